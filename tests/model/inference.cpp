#include "fot/model/inference.hpp"

#include <doctest/doctest.h>

#include "support/allocations.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

TransformerConfig small_config() {
    return {.vocabulary = 11,
            .width = 8,
            .layers = 3,
            .memory_layers = {1, 2},
            .heads = 2,
            .memory_heads = 2,
            .feed_forward = 12,
            .activation = Activation::swiglu};
}

}  // namespace

TEST_CASE("with an empty memory a window is read as by a standard transformer") {
    Random random(1);
    Transformer<double> model(small_config(), random);
    const Tokens tokens = random_tokens(2, 6, 11, 2);
    MemoryState<double> state(model.config(), 2);
    Tape tape(Tape::inference);
    CHECK(largest_difference(read_window(model, tokens, state), model.local(tape, tokens).value()) < 1e-12);
    CHECK(state.size() == 6);
}

TEST_CASE("a window sees the one before as crossbatch sees its only positive") {
    for (const Integration integration : {Integration::merged, Integration::gated})
        for (const bool positions : {false, true})
            for (const Index top_k : {0, 6, 100}) {
                CAPTURE(top_k);
                CAPTURE(positions);
                TransformerConfig config = small_config();
                config.integration = integration;
                config.memory_positions = positions;
                Random random(3);
                Transformer<double> model(config, random);
                const Tokens previous = random_tokens(2, 6, 11, 4), current = random_tokens(2, 5, 11, 5);
                MemoryState<double> state(config, 2);
                read_window(model, previous, state, {.top_k = top_k});
                const Tensor<double, 3> logits = read_window(model, current, state, {.top_k = top_k});
                Tape tape(Tape::inference);
                const ContextTable table = previous_contexts(2, 1, 0);
                CHECK(largest_difference(logits, model.crossbatch(tape, {previous, current, table}).value()) < 1e-10);
            }
}

TEST_CASE("two earlier windows are those of crossbatch with one memory layer; with two the lower one's memory makes a difference") {
    const auto difference = [](std::vector<Index> memory_layers) {
        TransformerConfig config = small_config();
        config.memory_layers = std::move(memory_layers);
        Random random(3);
        const Transformer<double> model(config, random);
        const Tokens oldest = random_tokens(2, 6, 11, 4), before = random_tokens(2, 6, 11, 5), current = random_tokens(2, 5, 11, 6);
        MemoryState<double> state(config, 2);
        for (const Tokens& window : {oldest, before}) read_window(model, window, state, {.top_k = 0});
        const Tensor<double, 3> logits = read_window(model, current, state, {.top_k = 0});
        Tape tape(Tape::inference);
        const Tokens previous = concatenate<0>(before, oldest);  // the window just before comes first
        return largest_difference(logits, model.crossbatch(tape, {previous, current, previous_contexts(2, 2, 0)}).value());
    };
    CHECK(difference({2}) < 1e-10);
    CHECK(difference({1, 2}) > 1e-6);
}

TEST_CASE("grouped queries read the memory of their key head") {
    TransformerConfig config = small_config();
    config.key_heads = 1;
    Random random(6);
    Transformer<double> model(config, random);
    const Tokens previous = random_tokens(1, 6, 11, 7), current = random_tokens(1, 6, 11, 8);
    MemoryState<double> dense(config, 1), found(config, 1);
    read_window(model, previous, dense);
    read_window(model, previous, found);
    CHECK(largest_difference(read_window(model, current, dense, {.top_k = 0}), read_window(model, current, found, {.top_k = 6})) <
          1e-12);
}

TEST_CASE("a cleared memory is a fresh one") {
    Random random(9);
    Transformer<double> model(small_config(), random);
    const Tokens first = random_tokens(1, 6, 11, 10), second = random_tokens(1, 6, 11, 11);
    MemoryState<double> used(model.config(), 1), fresh(model.config(), 1);
    read_window(model, first, used);
    used.clear();
    CHECK(used.size() == 0);
    CHECK(largest_difference(read_window(model, second, used), read_window(model, second, fresh)) == 0);
}

TEST_CASE("batch entries do not see each other") {
    Random random(12);
    Transformer<double> model(small_config(), random);
    Tokens first = random_tokens(2, 6, 11, 13), second = random_tokens(2, 6, 11, 14);
    MemoryState<double> one(model.config(), 2), other(model.config(), 2);
    read_window(model, first, one);
    const Tensor<double, 3> before = read_window(model, second, one);
    for (Index t = 0; t < 6; ++t) first(1, t) = 0;  // another text in entry 1
    read_window(model, first, other);
    const Tensor<double, 3> after = read_window(model, second, other);
    double own = 0, neighbour = 0;
    for (Index i = 0; i < 6 * 11; ++i) {
        own = testing::worse(own, std::abs(row(before, Index(0))[i] - row(after, Index(0))[i]));
        neighbour = testing::worse(neighbour, std::abs(row(before, Index(1))[i] - row(after, Index(1))[i]));
    }
    CHECK(own == 0);
    CHECK(neighbour > 0);
}

TEST_CASE("bfloat16 storage is close, capacity drops the oldest") {
    Random random(15);
    Transformer<double> model(small_config(), random);
    const Tokens text = random_tokens(1, 20, 11, 16), next = random_tokens(1, 5, 11, 17);
    MemoryState<double> exact(model.config(), 1), rounded(model.config(), 1, Storage::bfloat16),
        limited(model.config(), 1, Storage::full, 5);
    for (MemoryState<double>* state : {&exact, &rounded, &limited}) read_document(model, text, 5, *state);
    CHECK(exact.size() == 20);
    CHECK(limited.size() == 5);
    const Tensor<double, 3> logits = read_window(model, next, exact, {.append = false});
    const double difference = largest_difference(logits, read_window(model, next, rounded, {.append = false}));
    CHECK(difference > 0);
    CHECK(difference < 0.05);
    CHECK(exact.size() == 20);  // append = false
}

TEST_CASE("a window that is read has the logits of one that is recorded, and leaves the same memory") {
    Random random(29);
    const Transformer<double> model(small_config(), random);
    const Tokens first = random_tokens(2, 6, 11, 30), second = random_tokens(2, 5, 11, 31), third = random_tokens(2, 4, 11, 32);
    MemoryState<double> was_read(model.config(), 2), recorded(model.config(), 2);
    for (const Tokens& window : {first, second, third}) {
        Tape tape;
        const Tensor<double, 3> logits = window_with_memory(tape, model, window, recorded, {.top_k = 3}).value();
        CHECK(tape.size() > 0);
        CHECK(read_window(model, window, was_read, {.top_k = 3}).storage() == logits.storage());
    }
    CHECK(was_read.size(1) == 15);
}

TEST_CASE("a standard transformer reads with a memory that stays empty") {
    TransformerConfig config = small_config();
    config.memory_layers = {};
    Random random(33);
    const Transformer<double> model(config, random);
    const Tokens text = random_tokens(2, 9, 11, 34);
    MemoryState<double> state(config, 2);
    Tape tape(Tape::inference);
    const Tensor<double, 3> logits = read_document(model, text, 6, state);
    CHECK(slice<1>(logits, 6, 3) == model.local(tape, slice<1>(text, 6, 3)).value());
    remember_document(model, text, 6, state);
    CHECK(state.size() == 0);
}

TEST_CASE("a document is read window by window, the last one ragged") {
    Random random(18);
    Transformer<double> model(small_config(), random);
    const Tokens text = random_tokens(1, 8, 11, 19);
    MemoryState<double> whole(model.config(), 1), by_hand(model.config(), 1);
    const Tensor<double, 3> logits = read_document(model, text, 5, whole, {.document = 7});
    CHECK(shape_of(logits) == Shape<3>{1, 8, 11});
    CHECK(whole.memory(1, 0).document(0) == 7);
    Tokens head = empty<std::int32_t, 2>({1, 5}), tail = empty<std::int32_t, 2>({1, 3});
    std::copy_n(text.data(), 5, head.data());
    std::copy_n(text.data() + 5, 3, tail.data());
    read_window(model, head, by_hand);
    const Tensor<double, 3> of_tail = read_window(model, tail, by_hand);
    for (Index i = 0; i < 3 * 11; ++i) CHECK(row(logits, Index(0), Index(5))[i] == of_tail.data()[i]);
}

TEST_CASE("a document that is only remembered leaves the memory of one that was read") {
    for (const std::vector<Index>& layers : {std::vector<Index>{1}, std::vector<Index>{1, 2}}) {
        Random random(18);
        TransformerConfig config = small_config();
        config.memory_layers = layers;
        Transformer<double> model(config, random);
        const Tokens text = random_tokens(2, 13, 11, 19), next = random_tokens(2, 4, 11, 20);
        MemoryState<double> was_read(config, 2), remembered(config, 2);
        read_document(model, text, 5, was_read, {.top_k = 3});
        remember_document(model, text, 5, remembered, {.top_k = 3});
        CHECK(remembered.size(1) == 13);
        CHECK(largest_difference(read_window(model, next, was_read), read_window(model, next, remembered)) == 0);
        CHECK_THROWS_WITH_AS(remember_document(model, random_tokens(1, 3, 11, 21), 5, remembered),
                             "remember_document: 1 batch entries, the memory state has 2", ShapeError);
        CHECK_THROWS_WITH_AS(remember_document(model, text, 0, remembered),
                             "remember_document: a window of 0 tokens, expected 1 or more", ConfigError);
    }
}

TEST_CASE("in training, gradients flow through a window but not into its memory; entries may be of different length") {
    for (const Integration integration : {Integration::merged, Integration::gated}) {
        TransformerConfig config = small_config();
        config.integration = integration;
        config.norm_epsilon = 1e-3;
        config.memory_layers = {1};  // a higher one would look for other keys when the parameters move
        Random random(22);
        Transformer<double> model(config, random);
        MemoryState<double> state(config, 2);
        read_window(model, random_tokens(2, 4, 11, 23), state);
        state.clear(1);
        read_window(model, random_tokens(2, 3, 11, 24), state);
        CHECK(state.size(0) == 7);
        CHECK(state.size(1) == 3);
        const Tokens current = random_tokens(2, 3, 11, 25);
        parameter_gradient_error(model.parameters(), [&](Tape& on) {
            return weighted_logits(on, window_with_memory(on, model, current, state, {.top_k = 100, .append = false}));
        });
    }
}

TEST_CASE("what is cleared for one entry stays for the others") {
    Random random(26);
    Transformer<double> model(small_config(), random);
    MemoryState<double> state(model.config(), 2), kept(model.config(), 2);
    const Tokens first = random_tokens(2, 6, 11, 27), second = random_tokens(2, 6, 11, 28);
    read_window(model, first, state);
    read_window(model, first, kept);
    state.clear(0);
    const Tensor<double, 3> cleared = read_window(model, second, state), both = read_window(model, second, kept);
    Tape tape(Tape::inference);
    const Tensor<double, 3> local = model.local(tape, second).value();
    for (Index i = 0; i < 6 * 11; ++i) {
        CHECK(row(cleared, Index(0))[i] == doctest::Approx(row(local, Index(0))[i]).epsilon(1e-12));
        CHECK(row(cleared, Index(1))[i] == row(both, Index(1))[i]);
    }
}

TEST_CASE("inference names what is wrong") {
    Random random(20);
    Transformer<double> model(small_config(), random);
    MemoryState<double> state(model.config(), 1);
    CHECK_THROWS_WITH_AS(read_window(model, random_tokens(2, 3, 11, 21), state),
                         "window_with_memory: 2 batch entries, the memory state has 1", ShapeError);
    CHECK_THROWS_WITH_AS(read_window(model, random_tokens(1, 3, 11, 21), state, {.top_k = -1}),
                         "memory_attention: top_k -1, expected 0 or more", ConfigError);
    Tape training;
    CHECK_THROWS_WITH_AS(window_with_memory(training, model, random_tokens(1, 3, 11, 21), state, {.top_k = 0}),
                         "memory_attention: top_k 0 in training, expected 1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(read_document(model, random_tokens(1, 3, 11, 21), 0, state),
                         "read_document: a window of 0 tokens, expected 1 or more", ConfigError);
    TransformerConfig shallow = model.config();
    shallow.layers = 1;
    shallow.memory_layers = {0};
    MemoryState<double> of_another(shallow, 1);
    CHECK_THROWS_WITH_AS(read_window(model, random_tokens(1, 3, 11, 21), of_another),
                         "window_with_memory: the memory state is of a model with other memory layers, or other heads in them",
                         ShapeError);
    shallow.memory_heads = 0;
    CHECK_THROWS_AS(MemoryState<double>(shallow, 1), ConfigError);
    CHECK_THROWS_WITH_AS(MemoryState<double>(model.config(), 0), "MemoryState: 0 batch entries, expected 1 or more", ConfigError);
    Tokens unknown = random_tokens(1, 3, 11, 21);
    unknown(0, 1) = 11;
    CHECK_THROWS_AS(read_window(model, unknown, state), DataError);
    CHECK(state.size() == 0);
    CHECK_THROWS_WITH_AS(state.memory(0, 0), doctest::Contains("MemoryState: layer 0 of "), ShapeError);
    CHECK_THROWS_WITH_AS(state.size(1000), "MemoryState: entry 1000 of 1", ShapeError);
    CHECK_THROWS_WITH_AS(state.clear(-1), "MemoryState: entry -1 of 1", ShapeError);
    CHECK_THROWS_WITH_AS(model.layer(5000), doctest::Contains("Transformer: layer 5000 of "), ShapeError);
}

TEST_CASE("reading that runs out of memory, at whatever place, leaves the memories as they were") {
    Random random(21);
    const Transformer<double> model(small_config(), random);
    const Tokens first = random_tokens(2, 5, 11, 22), second = random_tokens(2, 6, 11, 23);
    const testing::WithThreads one(1);
    for (const Index capacity : {0, 7}) {
        MemoryState<double> state(model.config(), 2, Storage::full, capacity), expected(model.config(), 2, Storage::full, capacity);
        read_window(model, first, state);
        read_window(model, first, expected);
        const MemoryState<double> before_window = state;
        const Tensor<double, 3> before = read_window(model, second, expected, {.append = false});
        const auto unchanged = [&] {
            for (const Index layer : {1, 2})
                for (const Index b : {0, 1}) REQUIRE(state.memory(layer, b).size() == 5);
            state = before_window;
        };
        Tensor<double, 3> logits;
        const Index failures = for_every_failing_allocation([&] { logits = read_window(model, second, state); }, unchanged);
        CHECK(failures > 100);
        CHECK(logits == before);
        read_window(model, second, expected);
        CHECK(read_window(model, first, state) == read_window(model, first, expected));
    }
    MemoryState<double> state(model.config(), 2), expected(model.config(), 2);
    const auto unchanged = [&] {
        REQUIRE(state.size() == 0);
        state = MemoryState<double>(model.config(), 2);
    };
    CHECK(for_every_failing_allocation([&] { remember_document(model, second, 6, state); }, unchanged) > 100);
    remember_document(model, second, 6, expected);
    CHECK(read_window(model, first, state) == read_window(model, first, expected));
}

TEST_CASE("a model with a weight that is NaN is not read with, and remembers nothing") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    Random random(24);
    Transformer<double> model(small_config(), random);
    const Tokens tokens = random_tokens(1, 6, 11, 25);
    for (const Parameter<double>& p : model.parameters()) {
        if (p.name == "embedding") continue;  // most of its rows are not looked at
        const double good = p.value()[0];
        p.value()[0] = nan;
        CAPTURE(p.name);
        MemoryState<double> state(model.config(), 1);
        CHECK_THROWS_WITH_AS(read_document(model, tokens, 4, state), doctest::Contains(" is nan, expected finite numbers"),
                             NumericError);
        CHECK(state.size() == 0);
        p.value()[0] = good;
    }
}
