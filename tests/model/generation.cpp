#include "fot/model/generation.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace fot;

namespace {

Transformer<float> small_model() {
    Random random(1);
    return Transformer<float>(
        {.vocabulary = 11, .width = 8, .layers = 2, .memory_layers = {1}, .heads = 2, .memory_heads = 2, .feed_forward = 12},
        random);
}

}  // namespace

TEST_CASE("temperature 0, the first of top_k and a tiny top_p are greedy") {
    const float logits[] = {0.5f, 2.0f, 2.0f, -1.0f};
    Random random(2);
    for (int i = 0; i < 50; ++i) {
        CHECK(sample_token(logits, 4, {.temperature = 0}, random) == 1);
        CHECK(sample_token(logits, 4, {.top_k = 1}, random) == 1);
        CHECK(sample_token(logits, 4, {.top_p = 1e-9}, random) == 1);
    }
}

TEST_CASE("tokens are drawn as often as softmax says") {
    const double logits[] = {0.0, std::log(2.0), std::log(5.0), -std::numeric_limits<double>::infinity()};
    Random random(3);
    std::vector<double> counts(4, 0);
    const int draws = 20000;
    for (int i = 0; i < draws; ++i) ++counts[static_cast<std::size_t>(sample_token(logits, 4, {}, random))];
    CHECK(counts[0] / draws == doctest::Approx(1.0 / 8).epsilon(0.06));
    CHECK(counts[1] / draws == doctest::Approx(2.0 / 8).epsilon(0.06));
    CHECK(counts[2] / draws == doctest::Approx(5.0 / 8).epsilon(0.06));
    CHECK(counts[3] == 0);
}

TEST_CASE("top_k and top_p leave out the unlikely tokens, temperature sharpens") {
    const double logits[] = {0.0, std::log(2.0), std::log(5.0)};
    Random random(4);
    double sharp = 0;
    for (int i = 0; i < 4000; ++i) {
        CHECK(sample_token(logits, 3, {.top_k = 2}, random) != 0);
        CHECK(sample_token(logits, 3, {.top_p = 0.8}, random) != 0);  // 5/8 is not enough, 7/8 is
        CHECK(sample_token(logits, 3, {.top_p = 0.6}, random) == 2);
        sharp += sample_token(logits, 3, {.temperature = 0.5}, random) == 2 ? 1 : 0;
    }
    CHECK(sharp / 4000 == doctest::Approx(25.0 / 30).epsilon(0.04));
}

TEST_CASE("greedy generation is the likeliest token again and again") {
    Transformer<float> model = small_model();
    MemoryState<float> state(model.config(), 1);
    Random random(5);
    const std::vector<std::int32_t> prompt{1, 2, 3};
    std::vector<std::int32_t> told;
    const std::vector<std::int32_t> written =
        generate(model, prompt, 3, 100, state, {.temperature = 0}, random, {}, [&](std::int32_t token) { told.push_back(token); });
    CHECK(told == written);
    std::vector<std::int32_t> text = prompt;
    for (const std::int32_t token : written) {
        Tokens tokens = empty<std::int32_t, 2>({1, static_cast<Index>(text.size())});
        std::copy(text.begin(), text.end(), tokens.data());
        Tape tape(Tape::inference);
        const Tensor<float, 3> logits = model.local(tape, tokens).value();
        const float* last = row(logits, Index(0), static_cast<Index>(text.size()) - 1);
        CHECK(token == static_cast<std::int32_t>(std::max_element(last, last + 11) - last));
        text.push_back(token);
    }
    CHECK(state.size() == 0);  // the open window is not in memory yet
}

TEST_CASE("full windows go to memory, and the same seed writes the same text") {
    Transformer<float> model = small_model();
    const auto run = [&](std::uint64_t seed) {
        MemoryState<float> state(model.config(), 1);
        Random random(seed);
        const std::vector<std::int32_t> written = generate(model, {1, 2, 3, 4, 5}, 8, 4, state, {}, random);
        CHECK(state.size() == 12);  // 13 tokens: three windows of 4, one token in the open window
        return written;
    };
    CHECK(run(6) == run(6));
    CHECK(run(6) != run(7));
}

TEST_CASE("generation names what is wrong") {
    Transformer<float> model = small_model();
    MemoryState<float> state(model.config(), 1), two(model.config(), 2);
    Random random(8);
    CHECK_THROWS_WITH_AS(generate(model, {}, 1, 4, state, {}, random),
                         "generate: the prompt is empty, expected at least one token to go on from", DataError);
    CHECK_THROWS_WITH_AS(generate(model, {1}, 1, 0, state, {}, random),
                         "generate: windows of 0 tokens and 1 new ones make no sense", ConfigError);
    CHECK_THROWS_WITH_AS(generate(model, {1}, -1, 4, state, {}, random),
                         "generate: windows of 4 tokens and -1 new ones make no sense", ConfigError);
    CHECK_THROWS_WITH_AS(generate(model, {1}, 1, 4, two, {}, random), "generate: the memory state has 2 batch entries, expected 1",
                         ShapeError);
    const float logits[] = {1.0f, std::numeric_limits<float>::quiet_NaN()};
    CHECK_THROWS_WITH_AS(sample_token(logits, 2, {}, random), "sample_token: logit 1 is NaN", NumericError);
    CHECK_THROWS_WITH_AS(sample_token(logits, 1, {.top_p = 0}, random), doctest::Contains("top_p 0"), ConfigError);
    CHECK_THROWS_WITH_AS(sample_token(logits, 1, {.temperature = -1}, random), doctest::Contains("temperature -1"), ConfigError);
    const float certain[] = {0.0f, std::numeric_limits<float>::infinity()};
    CHECK(sample_token(certain, 2, {.temperature = 0}, random) == 1);
    CHECK_THROWS_WITH_AS(sample_token(certain, 2, {}, random), "sample_token: the largest logit is inf, expected a finite number",
                         NumericError);
}
