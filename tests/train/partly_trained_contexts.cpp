#include "fot/train/partly_trained_contexts.hpp"

#include <doctest/doctest.h>

#include "support/difference.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

constexpr Index few = 3, all = 7;

const Tokens windows_before = random_tokens(all, 5, 11, 2), windows_now = random_tokens(3, 4, 11, 3);

Transformer<double> model_with(const std::vector<Index>& memory_layers) {
    Random random(1);
    return Transformer<double>(small_model_config(memory_layers), random);
}

/// Gradients of all parameters after a step with the contexts that `attend_to(tape, model, forward)` hands to `forward`.
template <class AttendTo>
std::vector<std::vector<double>> step_gradients(const Transformer<double>& model, const AttendTo& attend_to) {
    std::vector<Parameter<double>> parameters = model.parameters();
    zero_gradients(parameters);
    Tape tape;
    attend_to(tape, [&](const Source<double>& source) {
        tape.backward(weighted_logits(tape, model.forward(tape, windows_now, source)));
    });
    std::vector<std::vector<double>> list;
    for (const auto& parameter : parameters) list.emplace_back(parameter.gradient().begin(), parameter.gradient().end());
    return list;
}

void check_same(const std::vector<std::vector<double>>& a, const std::vector<std::vector<double>>& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t j = 0; j < a[i].size(); ++j) CHECK(a[i][j] == doctest::Approx(b[i][j]).epsilon(1e-9).scale(1));
}

}  // namespace

TEST_CASE("gradients flow into the first contexts and not into the others, which compete nevertheless") {
    for (const std::vector<Index>& layers : {std::vector<Index>{1}, {0, 2}})
        for (const ContextTable& table :
             {previous_contexts(3, 1, 6, 7), previous_contexts(3, 1, 1, 7), ContextTable{7, {{5, 0}, {6}, {2, 1}}, {1, 1, 2}},
              ContextTable{7, {{5, 0}, {6}, {}}, {1, 1, 0}}, ContextTable{7, {{}, {}, {}}, {0, 0, 0}}}) {
            const Transformer<double> model = model_with(layers);
            const auto partly = step_gradients(model, [&](Tape& tape, const auto& forward) {
                forward(PartlyTrainedContexts<double>(tape, model, windows_before, table, few, 2));
            });
            // By hand: keys and values of all contexts in one tensor, of which a part is constant.
            const auto by_hand = step_gradients(model, [&](Tape& tape, const auto& forward) {
                Tape constant(Tape::inference);
                auto keys = model.keys_and_values(tape, slice<0>(windows_before, 0, few));
                const auto others = model.keys_and_values(constant, slice<0>(windows_before, few, all - few));
                for (const Index layer : layers) {
                    auto& of_layer = element(keys, layer);
                    of_layer.k = concatenate<0>(tape, of_layer.k, element(others, layer).k);
                    of_layer.v = concatenate<0>(tape, of_layer.v, element(others, layer).v);
                }
                forward(Contexts<double>(keys, table));
            });
            check_same(partly, by_hand);
        }
}

TEST_CASE("with all contexts trained on it is plain crossbatch") {
    const Transformer<double> model = model_with({1});
    const ContextTable table = previous_contexts(3, 1, 6, 7);
    const auto partly = step_gradients(model, [&](Tape& tape, const auto& forward) {
        forward(PartlyTrainedContexts<double>(tape, model, windows_before, table, all));
    });
    const auto plain = step_gradients(model, [&](Tape& tape, const auto& forward) {
        forward(Contexts<double>(model.keys_and_values(tape, windows_before), table));
    });
    check_same(partly, plain);
}

TEST_CASE("it counts the keys that an entry sees, and refuses tables of other contexts and counts out of range") {
    const Transformer<double> model = model_with({1});
    Tape tape;
    const PartlyTrainedContexts<double> contexts(tape, model, windows_before, {7, {{5, 0}, {6}, {}}, {1, 1, 0}}, few);
    CHECK(contexts.key_count(1, 0) == 10);
    CHECK(contexts.key_count(1, 1) == 5);
    CHECK(contexts.key_count(1, 2) == 0);
    const ContextTable table = previous_contexts(3, 1, 6, 7);
    for (const Index trained : {Index(0), all + 1})
        CHECK_THROWS_WITH_AS(PartlyTrainedContexts<double>(tape, model, windows_before, table, trained),
                             doctest::Contains("expected 1 ... 7"), ConfigError);
    for (const ContextTable& wrong : {ContextTable{7, {{0, 9}, {1}, {2}}, {1, 1, 1}}, ContextTable{7, {{0}, {-1}, {2}}, {1, 1, 1}},
                                      ContextTable{7, {{0}, {1}, {2}}, {77, -3, 1}}, ContextTable{7, {{0}, {1}, {2}}, {}}})
        CHECK_THROWS_AS(PartlyTrainedContexts<double>(tape, model, windows_before, wrong, few), ConfigError);
    CHECK_THROWS_WITH_AS(PartlyTrainedContexts<double>(tape, model, windows_before, previous_contexts(3, 1, 6, 8), few),
                         "PartlyTrainedContexts: the table is made for 8 contexts, got 7", ConfigError);
}
