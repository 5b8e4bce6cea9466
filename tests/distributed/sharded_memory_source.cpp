#include "fot/distributed/sharded_memory_source.hpp"

#include <doctest/doctest.h>

#include "fot/distributed/thread_communicator.hpp"
#include "fot/model/generation.hpp"
#include "support/difference.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

template <class Real>
Transformer<Real> model_with(std::vector<Index> memory_layers) {
    Random random(3);
    return Transformer<Real>(small_model_config(std::move(memory_layers)), random);
}

/// What a program reads or writes must not depend on where its memory lies.
template <class Real>
void check_reading(std::vector<Index> memory_layers, Index top_k, double tolerance) {
    const Transformer<Real> model = model_with<Real>(std::move(memory_layers));
    const Tokens tokens = random_tokens(1, 2600, 11, 4);
    const MemoryOptions options{.top_k = top_k};
    MemoryState<Real> state(model.config(), 1);
    const Tensor<Real, 3> expected = read_document(model, tokens, 200, state, options);
    run_as_ranks(3, [&](Communicator& ranks) {
        ShardedMemoryState<Real> sharded(ranks, model.config());
        CHECK(largest_difference(read_document(model, tokens, 200, sharded, options), expected) < tolerance);
        CHECK(sharded.size() == 2600);
    });
}

}  // namespace

TEST_CASE("a text is read with a sharded memory as with one memory") {
    check_reading<double>({-1}, 16, 1e-12);
    check_reading<double>({-1}, 0, 1e-12);
    check_reading<double>({1, 2}, 16, 1e-12);
    check_reading<float>({-1}, 16, 1e-5);
}

TEST_CASE("all ranks write the same text, which is that of one memory") {
    const Transformer<double> model = model_with<double>({-1});
    const Tokens tokens = random_tokens(1, 1100, 11, 4);
    const std::vector<std::int32_t> prompt(tokens.begin(), tokens.end());
    const MemoryOptions options{.top_k = 8};
    MemoryState<double> state(model.config(), 1);
    Random random(7);
    const std::vector<std::int32_t> expected = generate(model, prompt, 40, 30, state, {}, random, options);
    run_as_ranks(2, [&](Communicator& ranks) {
        ShardedMemoryState<double> sharded(ranks, model.config());
        Random own(7);
        CHECK(generate(model, prompt, 40, 30, sharded, {}, own, options) == expected);
        CHECK(sharded.size() == state.size());
        CHECK(sharded.memory(2).shard().size() == (ranks.rank() == 0 ? 1024 : state.size() - 1024));
    });
}

TEST_CASE("ranks that each have questions of their own get their own answers") {
    const Transformer<double> model = model_with<double>({-1});
    const Tokens text = random_tokens(1, 2200, 11, 4);
    MemoryState<double> state(model.config(), 1);
    read_document(model, text, 100, state);
    run_as_ranks(3, [&](Communicator& ranks) {
        ShardedMemoryState<double> sharded(ranks, model.config());
        read_document(model, text, 100, sharded);
        const Tokens question = random_tokens(1, 20, 11, static_cast<std::uint64_t>(50 + ranks.rank()));
        const Tensor<double, 3> expected = read_window(model, question, state, {.top_k = 9, .append = false});
        for (const Travel travel : {Travel::values, Travel::parts}) {
            Tape tape(Tape::inference);
            const ShardedMemorySource<double> source(sharded, {9, travel, Queries::own});
            CHECK(largest_difference(model.forward(tape, question, source).value(), expected) < 1e-12);
        }
    });
}

TEST_CASE("a capacity, a clearing and 16-bit numbers are those of one memory") {
    const Transformer<float> model = model_with<float>({-1});
    const Tokens text = random_tokens(1, 3000, 11, 4);
    MemoryState<float> state(model.config(), 1, Storage::bfloat16, 1500);
    const Tensor<float, 3> expected = read_document(model, text, 100, state);
    run_as_ranks(2, [&](Communicator& ranks) {
        ShardedMemoryState<float> sharded(ranks, model.config(), Storage::bfloat16, 1500);
        for (int times = 0; times < 2; ++times, sharded.clear()) {
            CHECK(largest_difference(read_document(model, text, 100, sharded), expected) < 1e-5);
            CHECK(sharded.size() == 1500);
        }
        CHECK(sharded.size() == 0);
    });
}

TEST_CASE("an empty sharded memory leaves a window to its local attention, and a source only reads") {
    const Transformer<double> model = model_with<double>({-1});
    const Tokens text = random_tokens(1, 12, 11, 4);
    Tape tape(Tape::inference);
    SingleProcess alone;
    ShardedMemoryState<double> state(alone, model.config());
    CHECK(read_window(model, text, state, {.append = false}).storage() == model.local(tape, text).value().storage());
    CHECK(state.size() == 0);
}

TEST_CASE("what a sharded memory cannot do is refused") {
    const Transformer<double> model = model_with<double>({-1});
    SingleProcess alone;
    ShardedMemoryState<double> state(alone, model.config());
    CHECK_THROWS_WITH_AS(read_window(model, random_tokens(2, 12, 11, 4), state),
                         "window_with_memory: 2 batch entries, a sharded memory is of 1", ShapeError);
    CHECK_THROWS_WITH_AS(state.memory(0), "ShardedMemoryState: layer 0 is no memory layer", ShapeError);
    Tape tape;
    const ShardedMemorySource<double> source(state);
    CHECK_THROWS_WITH_AS(model.forward(tape, random_tokens(1, 12, 11, 4), source),
                         "ShardedMemorySource: the tape records, expected inference", ConfigError);
}
