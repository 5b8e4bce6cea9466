#include "fot/remedies/entmax_sources.hpp"

#include <doctest/doctest.h>

#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// A model whose memory layer has a gate, and scores that are far apart.
Transformer<double> gated_model() {
    return remedied_model([](auto& of) {
        of.layer(1).joining = std::make_unique<HeadGate<double>>(2);
        of.layer(1).scoring = std::make_unique<UnitScoring<double>>(2, 8, 1e-3);
    });
}

const Tokens first = random_tokens(2, 5, 11, 6), second = random_tokens(2, 5, 11, 7), current = random_tokens(2, 4, 11, 8);

}  // namespace

TEST_CASE("read by entmax, windows as contexts and a memory agree, also with few of its entries if no query needs more") {
    const Transformer<double> model = gated_model();
    MemoryState<double> state(model.config(), 2);
    for (const Tokens& each : {first, second}) read_window(model, each, state);
    Tape tape(Tape::inference);
    const auto windows = model.keys_and_values(tape, concatenate<0>(second, first));
    const ContextTable table = previous_contexts(2, 2, 0);
    const Tensor<double, 3> whole = model.forward(tape, current, EntmaxContexts<double>(Contexts<double>(windows, table))).value();
    CHECK(largest_difference(whole, model.forward(tape, current, Contexts<double>(windows, table)).value()) > 1e-4);
    Index most_exact = 0;
    for (Index k = 1; k <= 10; ++k) {
        const EntmaxMemory<double> memory(state, k);
        const double apart = largest_difference(model.forward(tape, current, memory).value(), whole);
        CHECK(memory.inexact() <= 2 * 4 * 2);
        if (memory.inexact() == 0) CHECK(apart < 1e-12);
        if (apart > 1e-6) CHECK(memory.inexact() > 0);
        if (k == 1) CHECK(apart > 1e-6);
        most_exact += memory.inexact() == 0 && k < 10;
    }
    CHECK(most_exact >= 1);  // fewer than all ten sufficed
}

TEST_CASE("a model that is read by entmax has the gradient of finite differences") {
    const Transformer<double> model = gated_model();
    const ContextTable table{2, {{0, 1}, {}, {1}}, {1, 0, 1}};
    const Tokens previous = random_tokens(2, 2, 11, 4), asking = random_tokens(3, 3, 11, 5);
    const auto logits = [&](Tape& on) {
        return model.forward(on, asking, EntmaxContexts<double>(Contexts<double>(model.keys_and_values(on, previous), table)));
    };
    parameter_gradient_error(model.parameters(), [&](Tape& on) { return weighted_logits(on, logits(on)); });
    Tape tape(Tape::inference);
    CHECK(largest_difference(slice<0>(logits(tape).value(), 1, 1), slice<0>(model.local(tape, asking).value(), 1, 1)) < 1e-13);
}

TEST_CASE("entmax has no log-sum-exp, so that one softmax cannot join it unnoticed") {
    const Transformer<double> model = remedied_model([](auto&) {});
    MemoryState<double> state(model.config(), 2);
    Tape tape(Tape::inference);
    CHECK(model.forward(tape, current, EntmaxMemory<double>(state, 3)).value() == model.local(tape, current).value());
    read_window(model, first, state);
    CHECK(std::isnan(model.forward(tape, current, EntmaxMemory<double>(state, 3)).value()(0, 0, 0)));
}

TEST_CASE("a training tape and a top k of 0 are refused") {
    const Transformer<double> model = gated_model();
    MemoryState<double> state(model.config(), 2);
    CHECK_THROWS_AS(EntmaxMemory<double>(state, 0), ConfigError);
    Tape training;
    CHECK_THROWS_AS(model.forward(training, current, EntmaxMemory<double>(state, 2)), ConfigError);
}
