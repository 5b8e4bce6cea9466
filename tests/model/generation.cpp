#include "fot/model/generation.hpp"

#include <doctest/doctest.h>

using namespace fot;

namespace {

Transformer<float> small_model() {
    Random random(1);
    return Transformer<float>(
        {.vocabulary = 11, .width = 8, .layers = 2, .memory_layers = {1}, .heads = 2, .memory_heads = 2, .feed_forward = 12},
        random);
}

}  // namespace

TEST_CASE("greedy generation is the likeliest token again and again") {
    const Transformer<float> model = small_model();
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
    const Transformer<float> model = small_model();
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
    const Transformer<float> model = small_model();
    MemoryState<float> state(model.config(), 1), two(model.config(), 2);
    Random random(8);
    CHECK_THROWS_WITH_AS(generate(model, {}, 1, 4, state, {}, random),
                         "generate: the prompt is empty, expected at least one token to go on from", DataError);
    CHECK_THROWS_WITH_AS(generate(model, {1}, 1, 0, state, {}, random),
                         "generate: windows of 0 tokens and 1 new ones, expected at least 1 and 0", ConfigError);
    CHECK_THROWS_WITH_AS(generate(model, {1}, -1, 4, state, {}, random),
                         "generate: windows of 4 tokens and -1 new ones, expected at least 1 and 0", ConfigError);
    CHECK_THROWS_WITH_AS(generate(model, {1}, 1, 4, two, {}, random), "generate: the memory state has 2 batch entries, expected 1",
                         ShapeError);
}

TEST_CASE("the window that is being written looks at the memory as the options say") {
    const Transformer<float> model = small_model();
    MemoryState<float> state(model.config(), 1);
    Random random(9);
    CHECK_THROWS_AS(generate(model, {1}, 1, 4, state, {}, random, {.top_k = -1}), ConfigError);
}
