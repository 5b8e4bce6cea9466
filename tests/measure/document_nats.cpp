#include "fot/measure/document_nats.hpp"

#include <doctest/doctest.h>

#include "support/memory_in_use.hpp"
#include "support/random_tokens.hpp"

using namespace fot;

namespace {

const TransformerConfig small{
    .vocabulary = 50, .width = 16, .layers = 2, .memory_layers = {1}, .heads = 2, .memory_heads = 2, .feed_forward = 16};

}  // namespace

TEST_CASE("the nats of a document are those of its logits, whatever the window, and so is what is remembered") {
    Random random(1);
    Transformer<double> model(small, random);
    for (const Index length : {2, 8, 9, 10, 30})
        for (const Index window : {1, 4, 9, 100}) {
            const Tokens tokens = testing::random_tokens(2, length, 50, random);
            MemoryState<double> by_window(small, 2), at_once(small, 2);
            const Tensor<double, 2> nats = document_nats(model, tokens, window, by_window, {.top_k = 3});
            const Tensor<double, 3> logits = read_document(model, slice<1>(tokens, 0, length - 1), window, at_once, {.top_k = 3});
            CHECK(nats == token_nats(logits, slice<1>(tokens, 1, length - 1)));
            CHECK(by_window.memory(1, 1).size() == at_once.memory(1, 1).size());
        }
}

TEST_CASE("a document of one token or none predicts nothing") {
    Random random(2);
    Transformer<float> model(small, random);
    MemoryState<float> state(small, 1);
    for (const Index length : {0, 1})
        CHECK(shape_of(document_nats(model, testing::random_tokens(1, length, 50, random), 4, state)) == Shape<2>{1, 0});
    CHECK(state.memory(1, 0).size() == 0);
    CHECK_THROWS_WITH_AS(document_nats(model, testing::random_tokens(1, 5, 50, random), 0, state),
                         "document_nats: a window of 0 tokens, expected 1 or more", ConfigError);
}

TEST_CASE("no more than the logits of a window are held at a time") {
    Random random(3);
    TransformerConfig wide = small;
    wide.vocabulary = 1000;
    Transformer<float> model(wide, random);
    MemoryState<float> state(wide, 1, Storage::full, 64);
    const Tokens tokens = testing::random_tokens(1, 5000, 1000, random);
    const Index all_logits = 5000 * 1000 * Index{sizeof(float)};
    CHECK(testing::peak_bytes([&] { document_nats(model, tokens, 32, state); }) < all_logits / 4);
}
