#include "fot/train/recomputed_contexts.hpp"

#include <doctest/doctest.h>

#include "support/difference.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// Gradients of all parameters after a crossbatch step with keys and values as `make(tape, model, previous)` gives them.
template <class Make>
std::vector<std::vector<double>> gradients(const std::vector<Index>& memory_layers, const Make& make, bool frozen = false) {
    Random random(1);
    Transformer<double> model(small_model_config(memory_layers), random);
    if (frozen) model.layer(0).attention_norm = Variable<double, 1>(model.layer(0).attention_norm.value(), false);
    const Tokens previous = random_tokens(7, 5, 11, 2), current = random_tokens(3, 4, 11, 3);
    std::vector<Parameter<double>> parameters = model.parameters();
    zero_gradients(parameters);
    Tape tape;
    const Contexts<double> contexts(make(tape, model, previous), previous_contexts(3, 1, 4, 7));
    tape.backward(weighted_logits(tape, model.forward(tape, current, contexts)));
    std::vector<std::vector<double>> list;
    for (const auto& parameter : parameters)
        if (!frozen || parameter.name.find("layers.0.attention_norm") == std::string::npos)
            list.emplace_back(parameter.gradient().begin(), parameter.gradient().end());
    return list;
}

}  // namespace

TEST_CASE("gradients are those of plain crossbatch, however many contexts are together, with one memory layer and with two") {
    for (const std::vector<Index>& layers : {std::vector<Index>{1}, {0, 2}, {0}}) {
        const auto plain = gradients(
            layers, [](Tape& tape, const auto& model, const Tokens& previous) { return model.keys_and_values(tape, previous); });
        for (const Index together : {1, 3, 7, 100}) {
            const auto again = gradients(layers, [=](Tape& tape, const auto& model, const Tokens& previous) {
                return recomputed_keys_and_values(tape, model, previous, together);
            });
            REQUIRE(again.size() == plain.size());
            for (std::size_t i = 0; i < plain.size(); ++i)
                for (std::size_t j = 0; j < plain[i].size(); ++j)
                    CHECK(again[i][j] == doctest::Approx(plain[i][j]).epsilon(1e-9).scale(1));
        }
    }
}

TEST_CASE("weights that are not trained change nothing for the others; no contexts have no keys") {
    const auto plain = gradients(
        {1}, [](Tape& tape, const auto& model, const Tokens& previous) { return model.keys_and_values(tape, previous); }, true);
    const auto again = gradients(
        {1},
        [](Tape& tape, const auto& model, const Tokens& previous) { return recomputed_keys_and_values(tape, model, previous, 3); },
        true);
    for (std::size_t i = 0; i < plain.size(); ++i)
        for (std::size_t j = 0; j < plain[i].size(); ++j) CHECK(again[i][j] == doctest::Approx(plain[i][j]).epsilon(1e-9).scale(1));
    Random random(1);
    const Transformer<double> model(small_model_config({1}), random);
    Tape tape;
    CHECK(!recomputed_keys_and_values(tape, model, zeros<std::int32_t, 2>({0, 5}), 2)[1].k);
}

TEST_CASE("the tape records as many steps for many contexts as for few, and an inference tape none") {
    Random random(1);
    const Transformer<double> model(small_model_config({1}), random);
    for (const Index contexts : {2, 50}) {
        Tape tape, constant(Tape::inference);
        recomputed_keys_and_values(tape, model, random_tokens(contexts, 5, 11, 2), 2);
        recomputed_keys_and_values(constant, model, random_tokens(contexts, 5, 11, 2), 2);
        CHECK(tape.size() == 2);
        CHECK(constant.size() == 0);
    }
}

TEST_CASE("values are those of plain crossbatch; layers without memory have none; none at a time is refused") {
    Random random(1);
    const Transformer<double> model(small_model_config({1}), random);
    const Tokens previous = random_tokens(5, 4, 11, 2);
    Tape tape(Tape::inference);
    const auto plain = model.keys_and_values(tape, previous), again = recomputed_keys_and_values(tape, model, previous, 2);
    CHECK(largest_difference(again[1].k.value(), plain[1].k.value()) < 1e-12);
    CHECK(largest_difference(again[1].v.value(), plain[1].v.value()) < 1e-12);
    CHECK(!again[0].k);
    CHECK(!again[2].v);
    CHECK_THROWS_AS(recomputed_keys_and_values(tape, model, previous, 0), ConfigError);
}
