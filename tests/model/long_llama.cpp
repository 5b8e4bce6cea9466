#include <doctest/doctest.h>

#include "fot/model/inference.hpp"
#include "fot/model/long_llama_generation.hpp"
#include "support/allocations.hpp"
#include "support/difference.hpp"
#include "support/random_tokens.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using testing::largest_difference;
using testing::random_tokens;

namespace {

LongLlamaConfig small_config() {
    return {.model = as_llama(
                {.vocabulary = 11, .width = 16, .layers = 3, .memory_layers = {1}, .heads = 4, .key_heads = 2, .feed_forward = 24}),
            .window = 8,
            .last_context = 5,
            .memory_storage = Storage::full};
}

/// A model of random weights, to be trained.
template <class Real>
struct SmallModel {
    LongLlamaConfig config;
    Random random{3};
    LongLlama<Real> model;

    explicit SmallModel(LongLlamaConfig of = small_config()) : config(of), model(config, Transformer<Real>(config.model, random)) {}
};

/// Stored weights that someone changed on the way.
struct ChangedWeights : WeightSource<double> {
    const Transformer<double>& from;
    std::string name;
    StoredMatrix other;

    ChangedWeights(const Transformer<double>& model, std::string changed, StoredMatrix matrix)
        : from(model), name(std::move(changed)), other(std::move(matrix)) {}
    LinearMap<double> matrix(const std::string& asked, Index, Index, double) const override {
        if (asked == name) return other;
        LinearMap<double> found;
        from.for_each_weight([&](const std::string& each, Role, const auto& weight) {
            if constexpr (std::is_same_v<decltype(weight), const LinearMap<double>&>)
                if (each == asked) found = weight.numbers();
        });
        return found;
    }
    Variable<double, 1> scales(const std::string&, Index count) const override {
        return Variable<double, 1>(full<double, 1>({count}, 1.0));
    }
};

template <class Real>
Tensor<Real, 3> read_anew(SmallModel<Real>& small, const Tokens& tokens, const LongLlamaReading& reading = {},
                          LongLlamaMemoryOptions options = {}) {
    LongLlamaState<Real> state(small.config, extent(tokens, 0), options);
    return small.model.read({tokens}, state, reading);
}

}  // namespace

TEST_CASE("an input of one window is read as the trained Transformer reads it") {
    SmallModel<double> small;
    const Tokens tokens = random_tokens(2, 5, 11, 1);
    Tape tape(Tape::inference);
    CHECK(largest_difference(read_anew(small, tokens), small.model.decoder().local(tape, tokens).value()) < 1e-12);
}

TEST_CASE("with everything in memory it is the Transformer with a memory of all windows") {
    SmallModel<double> small;
    const Tokens tokens = random_tokens(2, 24, 11, 2);
    MemoryState<double> memory(small.model.decoder().config(), 2);
    const Tensor<double, 3> expected = read_document(small.model.decoder(), tokens, 8, memory, {.top_k = 0});
    CHECK(largest_difference(read_anew(small, tokens, {.keep_local = false, .last_context = 8}), expected) < 1e-12);
}

TEST_CASE("the local cache gives what reading at once gives") {
    SmallModel<double> small;
    const Tokens tokens = random_tokens(2, 8, 11, 3);
    const Tensor<double, 3> at_once = read_anew(small, tokens, {.last_context = 8});
    LongLlamaState<double> state(small.config, 2);
    small.model.read({slice<1>(tokens, 0, 3)}, state);
    for (Index t = 3; t < 8; ++t) {
        const Tensor<double, 3> logits = small.model.read({slice<1>(tokens, t, 1)}, state);
        CHECK(largest_difference(logits, slice<1>(at_once, t, 1)) < 1e-12);
    }
    CHECK(state.local_size() == 8);
    CHECK(state.memory_size() == 0);
}

TEST_CASE("a full cache leaves at once, or as much of it as must") {
    SmallModel<double> small;
    const Tokens tokens = random_tokens(1, 11, 11, 4);
    LongLlamaState<double> all(small.config, 1), oldest(small.config, 1, {.spill = Spill::oldest_first});
    for (LongLlamaState<double>* state : {&all, &oldest}) {
        small.model.read({slice<1>(tokens, 0, 5)}, *state);
        small.model.read({slice<1>(tokens, 5, 3)}, *state);
        CHECK(state->local_size() == 8);
        small.model.read({slice<1>(tokens, 8, 2)}, *state);
    }
    CHECK(all.local_size() == 2);
    CHECK(all.memory_size() == 8);
    CHECK(oldest.local_size() == 8);
    CHECK(oldest.memory_size() == 2);
    CHECK(oldest.positions()(0, 0) == 2);
    CHECK(all.memory_bytes() > 0);
}

TEST_CASE("the best entries of a memory are the whole memory when they are as many") {
    SmallModel<double> small;
    const Tokens tokens = random_tokens(2, 30, 11, 5);
    const Tensor<double, 3> whole = read_anew(small, tokens), best = read_anew(small, tokens, {}, {.top_k = 25}),
                            few = read_anew(small, tokens, {}, {.top_k = 2}),
                            short_memory = read_anew(small, tokens, {}, {.capacity = 4});
    CHECK(largest_difference(whole, best) < 1e-12);
    CHECK(largest_difference(whole, few) > 1e-4);
    CHECK(largest_difference(whole, short_memory) > 1e-4);
}

TEST_CASE("left padding changes nothing for the tokens after it") {
    SmallModel<double> small;
    const Tokens tokens = random_tokens(1, 5, 11, 6);
    Tokens padded = random_tokens(1, 8, 11, 7);
    Tensor<std::uint8_t, 2> visible = full<std::uint8_t, 2>({1, 8}, std::uint8_t(1));
    for (Index t = 0; t < 8; ++t)
        if (t < 3)
            visible(0, t) = 0;
        else
            padded(0, t) = tokens(0, t - 3);
    LongLlamaState<double> state(small.config, 1);
    const Tensor<double, 3> logits = small.model.read({padded, &visible}, state, {.last_context = 8});
    CHECK(largest_difference(slice<1>(logits, 3, 5), read_anew(small, tokens)) < 1e-12);
    small.model.read({slice<1>(tokens, 0, 1)}, state);  // nine are too many: all eight leave, the padding for nowhere
    CHECK(state.memory_size() == 5);
    CHECK(state.memory_bytes() == state.memory().memory(1, 0).bytes());
}

TEST_CASE("a left-padded batch writes what each of its rows writes alone") {
    SmallModel<double> small;
    const std::vector<Index> lengths{5, 6, 9};  // all fill the local cache, which leaves for the memory at the same step
    Tokens padded = random_tokens(3, 9, 11, 14);
    Tensor<std::uint8_t, 2> visible = full<std::uint8_t, 2>({3, 9}, std::uint8_t(1));
    for (Index b = 0; b < 3; ++b) std::fill_n(row(visible, b), 9 - lengths[static_cast<std::size_t>(b)], std::uint8_t(0));
    Random random(1);
    std::vector<Tensor<double, 3>> logits;
    LongLlamaState<double> state(small.config, 3);
    const Tokens written = generate<double>(small.model, padded, 8, state, {.temperature = 0}, random, {.visible = &visible},
                                            [&](const auto&, const Tensor<double, 3>& of_step) {
                                                logits.push_back(of_step);
                                                return true;
                                            });
    CHECK(state.memory_size(2) > 4);
    CHECK(state.positions()(0, 0) < state.positions()(2, 0));
    for (Index b = 0; b < 3; ++b) {
        const Index length = lengths[static_cast<std::size_t>(b)];
        LongLlamaState<double> alone(small.config, 1);
        std::size_t step = 0;
        const Tokens of_row = generate<double>(small.model, slice<1>(slice<0>(padded, b, 1), 9 - length, length), 8, alone,
                                               {.temperature = 0}, random, {}, [&](const auto&, const Tensor<double, 3>& of_step) {
                                                   CHECK(largest_difference(slice<0>(logits[step++], b, 1), of_step) < 1e-12);
                                                   return true;
                                               });
        CHECK(of_row == slice<0>(written, b, 1));
    }
}

TEST_CASE("generation goes on from what was read, and the last logits are enough for it") {
    SmallModel<double> small;
    const Tokens prompt = random_tokens(2, 13, 11, 8);
    LongLlamaState<double> state(small.config, 2), step_by_step(small.config, 2);
    Random random(1);
    Index calls = 0;
    const Tokens written =
        generate<double>(small.model, prompt, 6, state, {.temperature = 0}, random, {}, [&](const auto& drawn, const auto& logits) {
            CHECK(drawn.size() == 2);
            CHECK(extent(logits, 1) == 1);
            return ++calls < 4;
        });
    CHECK(extent(written, 1) == 4);
    Tensor<double, 3> logits = small.model.read({prompt}, step_by_step);
    Tokens next = empty<std::int32_t, 2>({2, 1});
    for (Index i = 0; i < 4; ++i) {
        for (Index b = 0; b < 2; ++b) {
            const double* last = row(logits, b, extent(logits, 1) - 1);
            CHECK(written(b, i) == std::max_element(last, last + 11) - last);
            next(b, 0) = written(b, i);
        }
        logits = small.model.read({next}, step_by_step);
    }
}

TEST_CASE("a given text costs what generation would have paid for it") {
    SmallModel<double> small;
    const Tokens prompt = random_tokens(2, 13, 11, 20);
    Random random(1);
    for (const Spill spill : {Spill::all_at_once, Spill::oldest_first}) {
        LongLlamaState<double> writes(small.config, 2, {.spill = spill}), scores(small.config, 2, {.spill = spill});
        std::vector<std::vector<double>> expected(2);
        const Tokens written = generate<double>(small.model, prompt, 12, writes, {}, random, {},
                                                [&](const std::vector<std::int32_t>& drawn, const Tensor<double, 3>& logits) {
                                                    for (Index b = 0; b < 2; ++b) {
                                                        double sum = 0;
                                                        for (Index token = 0; token < 11; ++token)
                                                            sum += std::exp(logits(b, 0, token));
                                                        expected[static_cast<std::size_t>(b)].push_back(-std::log(
                                                            std::exp(logits(b, 0, drawn[static_cast<std::size_t>(b)])) / sum));
                                                    }
                                                    return true;
                                                });
        const Tensor<double, 2> nats = continuation_nats(small.model, prompt, written, scores);
        for (Index b = 0; b < 2; ++b)
            for (Index i = 0; i < 12; ++i)
                CHECK(nats(b, i) ==
                      doctest::Approx(expected[static_cast<std::size_t>(b)][static_cast<std::size_t>(i)]).epsilon(1e-12));
        CHECK(scores.memory_size() == writes.memory_size());
    }
    LongLlamaState<double> state(small.config, 2);
    CHECK_THROWS_WITH_AS(continuation_nats(small.model, prompt, random_tokens(1, 3, 11, 1), state),
                         doctest::Contains("continuation_nats: text has shape (1, 3), expected (2, 3)"), ShapeError);
    LongLlamaState<double> of_one(small.config, 1);
    CHECK_THROWS_WITH_AS(continuation_nats(small.model, prompt, prompt, of_one),
                         "continuation_nats: 2 prompts, the state has 1 entries", ShapeError);
    CHECK_THROWS_WITH_AS(continuation_nats(small.model, prompt, Tokens(full<std::int32_t, 2>({2, 1}, 11)), state),
                         "continuation_nats: token 11 is not among the 11 of the vocabulary", DataError);
}

TEST_CASE("a memory in 16 bits is close to one in full, the closer the more of them are digits") {
    const auto difference_in = [](Storage storage) {
        LongLlamaConfig rounded = small_config();
        rounded.memory_storage = storage;
        SmallModel<float> small, small_rounded(rounded);
        const Tokens tokens = random_tokens(1, 30, 11, 9);
        return largest_difference(read_anew(small, tokens), read_anew(small_rounded, tokens));
    };
    const double bfloat16 = difference_in(Storage::bfloat16), float16 = difference_in(Storage::float16);
    CHECK(bfloat16 > 0);
    CHECK(bfloat16 < 0.05);
    CHECK(float16 > 0);
    CHECK(float16 < 0.05 / 4);  // 10 bits of fraction in place of 7
}

TEST_CASE("a mask of any numbers but 0 means the same") {
    SmallModel<double> small;
    const Tokens prompt = random_tokens(1, 6, 11, 21);
    Visible ones = full<std::uint8_t, 2>({1, 6}, std::uint8_t(1)), others = full<std::uint8_t, 2>({1, 6}, std::uint8_t(255));
    ones(0, 0) = others(0, 0) = 0;
    const auto positions_after = [&](const Visible& visible) {
        LongLlamaState<double> state(small.config, 1);
        Random random(1);
        const Tokens written = generate<double>(small.model, prompt, 5, state, {.temperature = 0}, random, {.visible = &visible});
        return std::pair(written, state.positions());
    };
    CHECK(positions_after(ones) == positions_after(others));
}

TEST_CASE("the same weights read the same, trained or stored, and what is trained shows at once") {
    SmallModel<double> small;
    const LongLlama<double> stored(small.config,
                                   Transformer<double>(small.config.model, ChangedWeights(small.model.decoder(), "", {})));
    const Tokens tokens = random_tokens(2, 20, 11, 10);
    const auto logits_of = [&](const LongLlama<double>& model) {
        LongLlamaState<double> state(small.config, 2);
        return model.read({tokens}, state);
    };
    const Tensor<double, 3> before = logits_of(small.model);
    CHECK(largest_difference(before, logits_of(stored)) < 1e-12);
    CHECK(stored.decoder().parameters().empty());
    CHECK(small.model.decoder().parameters().size() == 3 + 3 * 9);
    for (const Parameter<double>& each : small.model.decoder().parameters())
        if (each.name == "layers.2.q")
            for (double& number : each.value()) number *= 2;
    CHECK(largest_difference(before, logits_of(small.model)) > 1e-4);
    CHECK(largest_difference(logits_of(stored), logits_of(small.model)) < 1e-12);  // the numbers are shared
    Tape tape;
    CHECK_NOTHROW(stored.decoder().local(tape, tokens));  // constants, on any tape
}

TEST_CASE("a decoder of another configuration than the one given is refused") {
    SmallModel<double> small;
    TransformerConfig other = small.config.model;
    other.rotary_base = 100;
    Random random(2);
    CHECK_THROWS_WITH_AS(LongLlama<double>(small.config, Transformer<double>(other, random)),
                         "LongLlama: config.model is not the decoder's configuration", ConfigError);
}

TEST_CASE("a decoder with a gate, or heads of unit length, is read with a cache too") {
    for (const bool gated : {true, false}) {
        LongLlamaConfig config = small_config();
        if (gated)
            config.model.integration = Integration::gated;
        else
            config.model.normalized_heads = true;
        SmallModel<double> small(config);
        const Tokens tokens = random_tokens(2, 24, 11, 2);
        MemoryState<double> memory(config.model, 2);
        const Tensor<double, 3> expected = read_document(small.model.decoder(), tokens, 8, memory, {.top_k = 0});
        CHECK(largest_difference(read_anew(small, tokens, {.keep_local = false, .last_context = 8}), expected) < 1e-12);
    }
}

TEST_CASE("wrong input is named") {
    SmallModel<double> small;
    LongLlamaState<double> state(small.config, 1);
    const Tokens two = random_tokens(2, 5, 11, 11), one = random_tokens(1, 5, 11, 12), none = empty<std::int32_t, 2>({1, 0});
    CHECK_THROWS_WITH_AS(small.model.read({two}, state), "LongLlama::read: 2 batch entries, the state has 1", ShapeError);
    CHECK_THROWS_WITH_AS(small.model.read({none}, state), "LongLlama::read: no tokens", DataError);
    const Tensor<std::uint8_t, 2> visible = full<std::uint8_t, 2>({1, 4}, std::uint8_t(1));
    CHECK_THROWS_WITH_AS(small.model.read({one, &visible}, state), "LongLlama::read: visible has shape (1, 4), expected (1, 5)",
                         ShapeError);
    small.model.read({one}, state);
    CHECK_THROWS_WITH_AS(small.model.read({one}, state, {.keep_local = false}),
                         "LongLlama::read: 5 tokens are in the local cache, which keep_local = false would leave there",
                         ConfigError);
    Tokens outside = one;
    outside(0, 2) = 11;
    CHECK_THROWS_WITH_AS(small.model.read({outside}, state),
                         "embedding: token 11 at position (0, 2) is outside the vocabulary of 11", DataError);
    Random random(1);
    const Tensor<Index, 2> positions = zeros<Index, 2>({1, 4});
    CHECK_THROWS_WITH_AS(small.model.read({one, nullptr, &positions}, state),
                         "LongLlama::read: positions has shape (1, 4), expected (1, 5)", ShapeError);
    CHECK_THROWS_WITH_AS(generate<double>(small.model, one, -1, state, {}, random), "generate: -1 new tokens, expected 0 or more",
                         ConfigError);
    CHECK_THROWS_WITH_AS(generate<double>(small.model, two, 1, state, {}, random), "generate: 2 prompts, the state has 1 entries",
                         ShapeError);
    CHECK_THROWS_WITH_AS(generate<double>(small.model, one, 1, state, {}, random, {.visible = &visible}),
                         "generate: visible has shape (1, 4), expected (1, 5)", ShapeError);
    Visible right_padded = full<std::uint8_t, 2>({1, 5}, std::uint8_t(1));
    right_padded(0, 4) = 0;
    CHECK_THROWS_WITH_AS(generate<double>(small.model, one, 1, state, {}, random, {.visible = &right_padded}),
                         "generate: prompt 0 ends in padding, expected it on the left", DataError);
    Tokens outside_later = random_tokens(1, 20, 11, 13);
    outside_later(0, 18) = -1;
    LongLlamaState<double> untouched(small.config, 1);
    CHECK_THROWS_WITH_AS(small.model.read({outside_later}, untouched),
                         "embedding: token -1 at position (0, 18) is outside the vocabulary of 11", DataError);
    CHECK(untouched.memory_size() == 0);
    CHECK_THROWS_WITH_AS(LongLlamaState<double>(small.config, 0), "MemoryState: 0 batch entries, expected 1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(LongLlamaState<double>(small.config, 1, {.top_k = -1}), "LongLlamaState: top_k -1, expected 0 or more",
                         ConfigError);
}

TEST_CASE("a configuration that does not fit together is named") {
    const auto with = [](auto&& change) {
        LongLlamaConfig config = small_config();
        change(config);
        config.check();
    };
    CHECK_THROWS_WITH_AS(with([](auto& c) { c.model.layers = 0; }), doctest::Contains("layers 0"), ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& c) { c.model.memory_heads = 2; }),
                         "LongLlamaConfig: 4 heads and 2 memory heads, expected as many of both", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& c) { c.last_context = -2; }),
                         "LongLlamaConfig: window 8, last_context -2: expected 1 or more, -1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& c) { c.window = 0; }), doctest::Contains("LongLlamaConfig: window 0"), ConfigError);
}

TEST_CASE("a state of another model is refused, and positions that no table holds") {
    SmallModel<double> small;
    const Tokens tokens = random_tokens(1, 3, 11, 4);
    const auto refused = [&](auto&& change) {
        LongLlamaConfig other = small_config();
        change(other);
        LongLlamaState<double> state(other, 1);
        CHECK_THROWS_WITH_AS(small.model.read({tokens}, state), "LongLlama::read: the state was made for another model",
                             ShapeError);
    };
    refused([](auto& c) { c.model.layers = 2; });
    refused([](auto& c) { c.model.memory_layers = {0}; });
    refused([](auto& c) { c.model.key_heads = 4; });
    refused([](auto& c) { c.model.width = 32; });
    LongLlamaConfig headless = small_config();
    headless.model.heads = 0;
    CHECK_THROWS_WITH_AS(LongLlamaState<double>(headless, 1), doctest::Contains("width 16 does not divide into 0 heads"),
                         ConfigError);
    CHECK_THROWS_WITH_AS(LongLlamaState<double>(small.config, 1, {.capacity = -1}), doctest::Contains("capacity -1"), ConfigError);
    LongLlamaState<double> state(small.config, 1);
    CHECK_THROWS_WITH_AS(state.cache(3), "LongLlamaState: layer 3 of 3", ShapeError);
    CHECK_THROWS_WITH_AS(state.memory_size(1), "MemoryState: entry 1 of 1", ShapeError);

    const Tensor<Index, 2> far{{0, 1, 1000000000}}, negative{{-2, 0, 1}}, late{{1000000000, 1000000001, 1000000002}},
        too_late{{0, 1, std::numeric_limits<Index>::max()}};
    CHECK_THROWS_WITH_AS(small.model.read({tokens, nullptr, &far}, state),
                         doctest::Contains("entry 0 has local positions from 0 to 1000000000"), ConfigError);
    CHECK_THROWS_WITH_AS(small.model.read({tokens, nullptr, &negative}, state), doctest::Contains("position -2, expected -1"),
                         ConfigError);
    CHECK_THROWS_WITH_AS(small.model.read({tokens, nullptr, &too_late}, state),
                         doctest::Contains("LongLlama::read: position 9223372036854775807"), ConfigError);
    CHECK(state.local_size() == 0);
    CHECK(state.cache(0).size() == 0);
    const Tokens many = random_tokens(1, 20, 11, 4);
    Tensor<Index, 2> positions = zeros<Index, 2>({1, 20});
    positions(0, 12) = -2;  // in the second window
    CHECK_THROWS_WITH_AS(small.model.read({many, nullptr, &positions}, state), doctest::Contains("position -2"), ConfigError);
    CHECK(state.memory_size() == 0);
    small.model.read({tokens, nullptr, &late}, state);  // only distances count
    CHECK(state.local_size() == 3);
    LongLlamaConfig wide = small_config();
    wide.window = 2147483647;  // costs nothing before it is filled
    CHECK(largest_difference(read_anew(small, tokens), SmallModel<double>(wide).model.read({tokens}, state = {wide, 1})) < 1e-12);
}

TEST_CASE("weights that are not there, or no floating-point numbers, are refused") {
    SmallModel<double> small;
    LongLlamaState<double> state(small.config, 1);
    const auto read_with = [&](StoredMatrix q) {
        const LongLlama<double> model(
            small.config,
            Transformer<double>(small.config.model, ChangedWeights(small.model.decoder(), "layers.0.q", std::move(q))));
        model.read({random_tokens(1, 3, 11, 4)}, state);
    };
    StoredMatrix q = small.model.decoder().layer(0).q.numbers();
    CHECK_NOTHROW(read_with(q));
    q.dtype = Dtype::i64;
    CHECK_THROWS_WITH_AS(read_with(q), doctest::Contains("the weight has dtype I64, expected F64"), ConfigError);
    q.numbers = nullptr;
    q.dtype = Dtype::f64;
    CHECK_THROWS_WITH_AS(read_with(q), "stored_linear: the weight of 16 x 16 has no numbers", ConfigError);
    q.rows = 15;
    CHECK_THROWS_WITH_AS(read_with(q), "WeightSource: 'layers.0.q' is 15 x 16, expected 16 x 16", ShapeError);
}

TEST_CASE("writing stops at an end token; a prompt that has ended waits for the others, and need not stop") {
    const SmallModel<double> small;
    Random random(1);
    const Tokens prompts = random_tokens(2, 6, 11, 17);
    const auto write = [&](std::vector<std::int32_t> end_tokens, const PromptReading& reading = {}) {
        LongLlamaConfig config = small.model.config();
        config.end_tokens = std::move(end_tokens);
        Random weights(3);
        const LongLlama<double> model(config, Transformer<double>(config.model, weights));
        LongLlamaState<double> state(config, 2);
        return generate<double>(model, prompts, 12, state, {.temperature = 0}, random, reading);
    };
    const Tokens all = write({});
    REQUIRE(extent(all, 1) == 12);
    const std::int32_t first = all(0, 2), second = all(1, 4);
    const Tokens ended = write({first, second});
    Index steps = 0;  // until both have one of the two
    std::array<bool, 2> has_ended{};
    for (; steps < 12 && !(has_ended[0] && has_ended[1]); ++steps)
        for (const Index b : {0, 1}) {
            const std::int32_t token = ended(b, steps);
            if (steps > 0 && has_ended[static_cast<std::size_t>(b)]) CHECK(token == ended(b, steps - 1));
            if (token == first || token == second) has_ended[static_cast<std::size_t>(b)] = true;
        }
    CHECK(extent(ended, 1) == steps);
    CHECK(steps <= 5);
    CHECK(write({first, second}, {.stop_at_end = false}) == all);
}

TEST_CASE("the prompt is read with the last context of the call") {
    const SmallModel<double> small;
    const Tokens prompt = random_tokens(1, 20, 11, 19);
    for (const Index last : {0, 3, 8}) {
        LongLlamaState<double> written(small.model.config(), 1), read(small.model.config(), 1);
        Random random(1);
        generate<double>(small.model, prompt, 1, written, {}, random, {.last_context = last});
        small.model.read({prompt}, read, {.last_context = last});
        CHECK(written.local_size() == read.local_size());
        CHECK(written.memory_size() == read.memory_size());
        CHECK(written.memory_size() == 20 - last);
    }
}

TEST_CASE("reading that runs out of memory, at whatever place, leaves caches and memories as they were") {
    const SmallModel<double> small;
    const Tokens prompt = random_tokens(2, 7, 11, 31), more = random_tokens(2, 5, 11, 32), last = random_tokens(2, 1, 11, 33);
    Visible visible = full<std::uint8_t, 2>({2, 5}, std::uint8_t(1));
    visible(1, 2) = 0;
    const testing::WithThreads one(1);
    for (const Spill spill : {Spill::all_at_once, Spill::oldest_first})
        for (const Index capacity : {0, 4})
            for (const bool keep : {true, false}) {
                const LongLlamaMemoryOptions options{.top_k = 3, .capacity = capacity, .spill = spill};
                LongLlamaState<double> state(small.config, 2, options), expected(small.config, 2, options);
                for (LongLlamaState<double>* each : {&state, &expected}) {
                    small.model.read({prompt}, *each, {.keep_local = keep});
                    if (keep) small.model.read({last}, *each, {.last_context = 1});
                }
                const auto unchanged = [&] {
                    REQUIRE(state.positions() == expected.positions());
                    REQUIRE(state.visible() == expected.visible());
                    for (Index i = 0; i < 3; ++i) {
                        const Index count = expected.cache(i).size();
                        REQUIRE(state.cache(i).size() == count);
                        REQUIRE(state.cache(i).oldest_keys(count) == expected.cache(i).oldest_keys(count));
                        REQUIRE(state.cache(i).oldest_values(count) == expected.cache(i).oldest_values(count));
                    }
                    for (Index b = 0; b < 2; ++b) {
                        const KeyValueMemory<double>&memory = state.memory().memory(1, b), &other = expected.memory().memory(1, b);
                        REQUIRE(memory.size() == other.size());
                        const Tensor<double, 3> query = full<double, 3>({1, 2, 4}, 1.0);
                        REQUIRE(memory.retrieve(query, 9).keys == other.retrieve(query, 9).keys);
                        REQUIRE(memory.retrieve(query, 9).values == other.retrieve(query, 9).values);
                    }
                };
                const LongLlamaReading reading{.keep_local = keep, .last_context = keep ? 5 : 0, .only_last_logits = true};
                Tensor<double, 3> logits;
                const Index failures = testing::for_every_failing_allocation(
                    [&] {
                        logits = small.model.read({more, &visible}, state, reading);
                    },
                    [&] {
                        unchanged();
                        state = expected;
                    });
                CHECK(failures > 100);
                CHECK(logits == small.model.read({more, &visible}, expected, reading));
                unchanged();
                CHECK(small.model.read({last}, state, {.keep_local = keep}) ==
                      small.model.read({last}, expected, {.keep_local = keep}));
                unchanged();
            }
}
