#include "fot/remedies/untied_contexts.hpp"

#include <doctest/doctest.h>

#include "fot/attention/context_mass.hpp"
#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// Queries of 3 batch entries, and 3 contexts of 4 keys.
struct FewContexts {
    Variable<double, 4> q, k, v;
    ContextTable table{3, {{0, 2, 1}, {}, {1, 0}}, {1, 0, 1}};
    explicit FewContexts(std::uint64_t seed) {
        Random random(seed);
        q = normal_variable<4>({3, 2, 4, 6}, random);
        for (Variable<double, 4>* each : {&k, &v}) *each = normal_variable<4>({3, 4, 2, 6}, random);
    }
    Attention<double> tied(Tape& tape) const { return context_attention(tape, q, k, v, table); }
    Attention<double> untied(Tape& tape, const Variable<double, 2>& map) const {
        return UntiedContexts<double>(Contexts<double>({{k, v}}, table), map).attend(tape, {.layer = 0, .q = q});
    }
};

}  // namespace

TEST_CASE("softmax over all keys is a choice among contexts by their log-sum-exp, then attention within each: tied, it is FoT's") {
    const FewContexts of(1);
    Tape tape(Tape::inference);
    const Tensor<double, 4> mass = context_log_mass(of.q.value(), of.k.value(), of.table), whole = of.tied(tape).o.value();
    for (const Index b : {0, 2}) {
        const std::vector<Index>& list = element(of.table.contexts, b);
        for (Index t = 0; t < 2; ++t)
            for (Index h = 0; h < 4; ++h)
                for (Index d = 0; d < 6; ++d) {
                    double sum = 0;
                    for (Index c = 0; c < length_of(list); ++c) {
                        const double w = std::exp(mass(b, t, h, c) - log_sum_exp(row(mass, b, t, h), length_of(list)));
                        ContextTable only = no_contexts(3);
                        only.available = 3;
                        element(only.contexts, b) = {element(list, c)};
                        sum += w * context_attention(tape, of.q, of.k, of.v, only).o.value()(b, t, h, d);
                    }
                    CHECK(whole(b, t, h, d) == doctest::Approx(sum).epsilon(1e-12));
                }
    }
}

TEST_CASE("with the identity the first level is at most the tied one, and equal to it if the keys of each context are alike") {
    FewContexts of(2);
    const Variable<double, 2> identity = FirstLevel<double>(6).map;
    Tape tape(Tape::inference);
    const Attention<double> untied = of.untied(tape, identity), tied = of.tied(tape);
    CHECK(largest_difference(untied.o.value(), tied.o.value()) > 1e-3);
    for (Index h = 0; h < 4; ++h) CHECK(untied.log_sum_exp.value()(0, h, 1) < tied.log_sum_exp.value()(0, h, 1));
    CHECK(untied.log_sum_exp.value()(1, 0, 0) == -std::numeric_limits<double>::infinity());

    for (Index c = 0; c < 3; ++c)
        for (Index s = 1; s < 4; ++s) std::copy_n(row(of.k.value(), c, Index(0)), 12, row(of.k.value(), c, s));
    CHECK(largest_difference(of.untied(tape, identity).o.value(), of.tied(tape).o.value()) < 1e-13);
    CHECK(largest_difference(of.untied(tape, identity).log_sum_exp.value(), of.tied(tape).log_sum_exp.value()) < 1e-13);
}

TEST_CASE("a first level of zeros weighs all contexts alike, whatever their keys are") {
    const FewContexts of(3);
    Tape tape(Tape::inference);
    const Tensor<double, 4> untied = of.untied(tape, Variable<double, 2>(zeros<double, 2>({6, 6}))).o.value();
    Tensor<double, 4> mean = zeros_like(untied);
    for (const Index c : {1, 0}) {
        ContextTable only = no_contexts(3);
        only.available = 3;
        only.contexts[2] = {c};
        mean += multiply(context_attention(tape, of.q, of.k, of.v, only).o.value(), 0.5);
    }
    CHECK(largest_difference(slice<0>(untied, 2, 1), slice<0>(mean, 2, 1)) < 1e-13);
}

TEST_CASE("queries, keys, values and the map have the gradient of finite differences") {
    FewContexts of(4);
    Random random(5);
    Variable<double, 2> map(normal_tensor<double, 2>({6, 6}, 0.5, random), true);
    CHECK(gradient_error([&](Tape& tape) { return of.untied(tape, map).o; }, of.q, of.k, of.v, map) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return merge(tape, of.untied(tape, map), of.tied(tape)).o; }, of.q, of.k, of.v, map) <
          1e-6);
}

TEST_CASE("the map is a parameter of its layer, and no contexts are no attention") {
    const Transformer<double> model =
        remedied_model([](auto& of) { of.layer(1).joining = std::make_unique<FirstLevel<double>>(4); });
    CHECK(parameter_named(model, "layers.1.first_level").value().size() == 16);
    const UntiedContexts<double> none(Contexts<double>({{}}, no_contexts(2)), FirstLevel<double>(4).map);
    Tape tape;
    CHECK_FALSE(none.attend(tape, {.layer = 0}).o);
}
