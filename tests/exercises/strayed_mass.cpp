/// Exercise 8: another loss.
#include <doctest/doctest.h>

#include <strayed_mass.hpp>  // the file beside this one, or the answer: as the include path says
#include <utility>
#include <vector>

#include "fot/core/gradient_check.hpp"
#include "fot/measure/positive_mass.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/slices.hpp"

using namespace exercises;

namespace {

struct Setting {
    ContextTable table;
    Variable<double, 4> q, context_k;
};

/// Random queries of two heads, and keys of five contexts, one head or two.
Setting setting_of(ContextTable table, Index key_heads = 2) {
    Random random(1);
    Setting setting{table, Variable<double, 4>(normal_tensor<double, 4>({table.entries(), 3, 2, 4}, 1, random), true),
                    Variable<double, 4>(normal_tensor<double, 4>({table.available, 6, key_heads, 4}, 1, random), true)};
    return setting;
}

double loss_of(const Setting& setting) {
    Tape tape(Tape::inference);
    return strayed_mass(tape, setting.q, setting.context_k, setting.table).value()(0);
}

double gradient_error_of(Setting& setting) {
    return gradient_error([&](Tape& tape) { return strayed_mass(tape, setting.q, setting.context_k, setting.table); }, setting.q,
                          setting.context_k);
}

const ContextTable two_positives{5, {{0, 1, 2, 3}, {2, 3, 4, 0}}, {2, 2}};
const ContextTable uneven{5, {{0, 1, 2, 3, 4}, {1, 0}, {2}}, {1, 1, 1}};

}  // namespace

TEST_CASE("8: the loss is one minus the measured mean of r") {
    for (const auto& [table, positives] : {std::pair{previous_contexts(5, 1, 3), Index(1)}, {two_positives, Index(2)}}) {
        const Setting setting = setting_of(table);
        const Tensor<double, 3> r =
            positive_mass_per_query(context_log_mass(setting.q.value(), setting.context_k.value(), table), 4, positives);
        double mean = 0;
        for (const double each : r.storage()) mean += each / static_cast<double>(r.size());
        CHECK(loss_of(setting) == doctest::Approx(1 - mean).epsilon(1e-12));
    }
}

TEST_CASE("8: lists of contexts may differ in length") {
    const Setting setting = setting_of(uneven);
    double sum = 0;
    for (Index b = 0; b < 3; ++b) {  // entry by entry
        const Tensor<double, 4> q = slice<0>(setting.q.value(), b, 1);
        const std::vector<Index>& list = element(uneven.contexts, b);
        const auto r = positive_mass_per_query(context_log_mass(q, setting.context_k.value(), {5, {list}, {1}}), length_of(list));
        for (const double each : r.storage()) sum += (1 - each) / static_cast<double>(3 * r.size());
    }
    CHECK(loss_of(setting) == doctest::Approx(sum).epsilon(1e-12));
}

TEST_CASE("8: the gradient is that of the loss") {
    for (const ContextTable& table : {previous_contexts(5, 1, 3), two_positives, uneven})
        for (const Index key_heads : {2, 1}) {
            Setting setting = setting_of(table, key_heads);
            CHECK(gradient_error_of(setting) < 1e-6);
        }
}

TEST_CASE("8: as a part of a larger loss it passes on its share of the gradient") {
    Setting setting = setting_of(previous_contexts(5, 1, 3));
    const auto weighted = [&](Tape& tape) {
        return multiply(tape, strayed_mass(tape, setting.q, setting.context_k, setting.table), 0.25);
    };
    CHECK(gradient_error(weighted, setting.q, setting.context_k) < 1e-6);
}

TEST_CASE("8: steps down the gradient bring attention home") {
    Setting setting = setting_of(previous_contexts(5, 1, 4));
    CHECK(loss_of(setting) > 0.5);
    for (int step = 0; step < 300; ++step) {
        for (const auto* x : {&setting.q, &setting.context_k}) x->gradient() = zeros_like(x->value());
        Tape tape;
        tape.backward(strayed_mass(tape, setting.q, setting.context_k, setting.table));
        for (auto* x : {&setting.q, &setting.context_k}) x->value() -= 3 * x->gradient();
    }
    CHECK(loss_of(setting) < 0.1);
}
