#include "fot/remedies/untied_memory.hpp"

#include <doctest/doctest.h>

#include "fot/remedies/untied_contexts.hpp"
#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("with an untied first level, windows as contexts and a memory in chunks of a window agree") {
    Random random(1);
    const Variable<double, 2> map(normal_tensor<double, 2>({4, 4}, 1, random), true);
    const Transformer<double> model = remedied_model([&](auto& of) {
        auto joining = std::make_unique<FirstLevel<double>>(4);
        joining->map = map;
        of.layer(1).joining = std::move(joining);
    });
    const Tokens first = random_tokens(2, 5, 11, 6), second = random_tokens(2, 5, 11, 7), current = random_tokens(2, 4, 11, 8);
    MemoryState<double> state(model.config(), 2);
    for (const Tokens& each : {first, second}) read_window(model, each, state);
    Tape tape(Tape::inference);
    const Contexts<double> windows(model.keys_and_values(tape, concatenate<0>(second, first)), previous_contexts(2, 2, 0));
    const UntiedMemory<double> memory(state, map, 5);
    const Tensor<double, 3> read = model.forward(tape, current, memory).value();
    CHECK(largest_difference(read, model.forward(tape, current, UntiedContexts<double>(windows, map)).value()) < 1e-12);
    CHECK(largest_difference(read, model.forward(tape, current, windows).value()) > 1e-4);
    CHECK(largest_difference(read, model.forward(tape, current, UntiedMemory<double>(state, map, 4)).value()) > 1e-6);
    CHECK(memory.key_count(1, 0) == 10);

    const Tensor<double, 3> one_chunk = model.forward(tape, current, UntiedMemory<double>(state, map, 100)).value();
    CHECK(largest_difference(one_chunk, read) > 1e-6);  // one context: nothing to choose but local or not
    state.clear(0);
    CHECK(largest_difference(slice<0>(model.forward(tape, current, memory).value(), 0, 1),
                             slice<0>(model.local(tape, current).value(), 0, 1)) < 1e-13);
    CHECK(largest_difference(slice<0>(model.forward(tape, current, memory).value(), 1, 1), slice<0>(read, 1, 1)) < 1e-13);
}

TEST_CASE("a training tape and chunks of nothing are refused") {
    const Transformer<double> model = remedied_model([](auto&) {});
    MemoryState<double> state(model.config(), 1);
    const Variable<double, 2> map = FirstLevel<double>(4).map;
    CHECK_THROWS_AS(UntiedMemory<double>(state, map, 0), ConfigError);
    Tape training;
    CHECK_THROWS_AS(model.forward(training, random_tokens(1, 3, 11, 1), UntiedMemory<double>(state, map, 2)), ConfigError);
}
