#include "fot/model/counted_memory_source.hpp"

#include <doctest/doctest.h>

#include "fot/model/generation.hpp"
#include "support/difference.hpp"
#include "support/model_check.hpp"

using namespace fot;
using testing::largest_difference;

namespace {

Transformer<double> small_model() {
    Random random(1);
    return Transformer<double>(
        {.vocabulary = 11, .width = 8, .layers = 2, .memory_layers = {1}, .heads = 2, .memory_heads = 2, .feed_forward = 12},
        random);
}

/// `count` tokens of a text that repeats, with one other token in it.
std::vector<std::int32_t> periodic_tokens(Index count) {
    std::vector<std::int32_t> tokens;
    for (Index i = 0; i < count; ++i) tokens.push_back(static_cast<std::int32_t>(i % 9));
    element(tokens, count / 3) = 10;
    return tokens;
}

}  // namespace

TEST_CASE("text that repeats is read and written on as with a memory of all entries, and takes no more room for it") {
    const Transformer<double> model = small_model();
    const std::vector<std::int32_t> tokens = periodic_tokens(600);
    for (const Index top_k : {5, 0}) {
        MemoryState<double> plain(model.config(), 1);
        CountedMemoryState<double> counted(model.config());
        const Tensor<double, 3> expected = read_document(model, token_row(tokens), 12, plain, {.top_k = top_k}),
                                got = read_document(model, token_row(tokens), 12, counted, {.top_k = top_k});
        if (top_k > 0) CHECK(got == expected);
        CHECK(largest_difference(got, expected) < 1e-12);
        CHECK(counted.size() == 600);
        CountedMemoryState<double> remembered(model.config());
        remember_document(model, token_row(tokens), 12, remembered, {.top_k = top_k});
        CHECK(read_window(model, token_row(tokens), remembered, {.top_k = top_k}) ==
              read_window(model, token_row(tokens), counted, {.top_k = top_k, .append = false}));
        // 12 and 9: three kinds of windows, beside the one with the other token.
        CHECK(counted.memory(1).distinct().size() <= 4 * 12);
        Random random(2);
        CHECK(generate(model, {3, 4, 5}, 20, 12, counted, {.temperature = 0}, random, {.top_k = top_k}) ==
              generate(model, {3, 4, 5}, 20, 12, plain, {.temperature = 0}, random, {.top_k = top_k}));
    }
}

TEST_CASE("a window that is only looked at is not counted") {
    const Transformer<double> model = small_model();
    CountedMemoryState<double> state(model.config());
    read_window(model, token_row(periodic_tokens(12)), state, {.append = false});
    CHECK(state.size() == 0);
    read_window(model, token_row(periodic_tokens(12)), state);
    CHECK(CountedMemorySource<double>(state).key_count(1, 0) == 12);
}

TEST_CASE("a counted memory takes one text, in inference, of the layers that it was made for") {
    const Transformer<double> model = small_model();
    CountedMemoryState<double> state(model.config());
    CHECK_THROWS_WITH_AS(read_window(model, zeros<std::int32_t, 2>({2, 3}), state), doctest::Contains("2 batch entries"),
                         ShapeError);
    Random random(3);
    const Transformer<double> other(testing::small_model_config({2}), random);
    CHECK_THROWS_WITH_AS(read_window(other, zeros<std::int32_t, 2>({1, 3}), state), doctest::Contains("other memory layers"),
                         ShapeError);
    CHECK_THROWS_WITH_AS(state.memory(0), doctest::Contains("layer 0 is no memory layer"), ShapeError);
    Tape training;
    CHECK_THROWS_AS(model.forward(training, zeros<std::int32_t, 2>({1, 3}), CountedMemorySource<double>(state)), ConfigError);
    LayerView<double> at;
    at.layer = 1;
    at.k = at.v = Variable<double, 4>(zeros<double, 4>({1, 3, 3, 4}));
    CHECK_THROWS_AS(state.append({at}), ShapeError);
    at.k = Variable<double, 4>(zeros<double, 4>({1, 3, 2, 4}));
    at.v = Variable<double, 4>(full<double, 4>({1, 3, 2, 4}, NAN));
    CHECK_THROWS_AS(state.append({at}), NumericError);
    CHECK(state.size() == 0);
}
