#include "../../examples/support/memory_snapshot.hpp"

#include <doctest/doctest.h>

#include "fot/model/inference.hpp"
#include "support/difference.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

Transformer<float> small_model(Index vocabulary, std::vector<Index> memory_layers = {1}) {
    Random random(1);
    return Transformer<float>({.vocabulary = vocabulary,
                               .width = 16,
                               .layers = 2,
                               .memory_layers = std::move(memory_layers),
                               .heads = 2,
                               .memory_heads = 2,
                               .feed_forward = 16},
                              random);
}

TokenDocument document(Index length, std::uint64_t seed) {
    Random random(seed);
    TokenDocument result;
    for (Index i = 0; i < length; ++i) result.tokens.push_back(static_cast<std::int32_t>(random.below(50)));
    return result;
}

}  // namespace

TEST_CASE("a memory of text holds other documents, then the beginnings of the test documents; asked is what follows") {
    const Transformer<float> model = small_model(50);
    const std::vector<TokenDocument> test{document(60, 1), document(20, 2), document(41, 3)},
        others{document(30, 4), document(90, 5)};
    const MemorySnapshot snapshot = text_snapshot(model, test, others, {.tokens = 80, .own = 16, .places = 3, .window = 8});
    REQUIRE(snapshot.memory().size() == 80);  // 24 + 24 of the others, 16 of each long enough
    CHECK(snapshot.memory().document(47) == -1);
    CHECK(snapshot.memory().document(48) == 0);
    CHECK(snapshot.memory().document(64) == 2);
    REQUIRE(snapshot.windows.size() == 6);
    CHECK(snapshot.windows[0].document == 0);
    CHECK(snapshot.windows[3].document == 2);
    CHECK(snapshot.windows[4].targets(0, 0) == test[2].tokens[16 + 8 + 1]);

    // The same by reading: a memory that was filled window by window, and a window that is not remembered.
    MemoryState<float> state(model.config(), 1);
    for (Index first = 0; first < 24; first += 8)
        remember_document(model,
                          reshaped<2>(token_row(std::span(others[0].tokens).subspan(static_cast<std::size_t>(first), 8)), {1, 8}),
                          8, state);
    std::vector<float> key(8), expected(8);
    for (const Index entry : {0, 23}) {
        snapshot.memory().copy_key(entry, 1, key.data());
        state.memory(1, 0).copy_key(entry, 1, expected.data());
        for (Index d = 0; d < 8; ++d) CHECK(element(key, d) == doctest::Approx(static_cast<double>(element(expected, d))));
    }
    const MemorySource<float> source(snapshot.state, 5);
    Tape tape(Tape::inference);
    const Tokens window = reshaped<2>(token_row(std::span(test[0].tokens).subspan(16, 8)), {1, 8});
    CHECK(testing::largest_difference(snapshot.logits(snapshot.windows[0], source), model.forward(tape, window, source).value()) <
          1e-5);
    CHECK(prediction(snapshot, source).documents() == 2);
}

TEST_CASE("memories that cannot be filled, or that the beginnings do not fit, are refused") {
    const Transformer<float> model = small_model(50);
    const std::vector<TokenDocument> test{document(60, 1)}, others{document(30, 4)};
    const auto refused = [&](const TextSnapshotOptions& options, const char* why) {
        CHECK_THROWS_WITH_AS(tokens_of_others(test, others, options), why, DataError);
        CHECK_THROWS_WITH_AS(text_snapshot(model, test, others, options), why, DataError);
    };
    refused({.tokens = 80, .own = 16, .places = 3, .window = 8},
            "text_snapshot: 40 tokens of 80 are missing: the other documents are too short");
    refused({.tokens = 8, .own = 16, .places = 3, .window = 8},
            "text_snapshot: the beginnings of 1 documents, 16 tokens each, do not fit into a memory of 8 tokens");
    refused({.tokens = 40, .own = 64, .places = 3, .window = 8}, "text_snapshot: none of 1 test documents has more than 88 bytes");
    refused({.tokens = 40, .own = 12, .places = 3, .window = 8},
            "text_snapshot: 12 bytes of each document are remembered, expected whole windows of 8");
}

TEST_CASE("a memory of definitions is asked for some of them, at the answers alone") {
    const Transformer<float> model = small_model(64);
    const EvaluationDictionary dictionary({}, 3);
    const MemorySnapshot snapshot = dictionary_snapshot(model, dictionary, 1024, 30, 4);
    CHECK(snapshot.memory().size() == 1024);
    REQUIRE(snapshot.windows.size() == 2);  // of 25 questions each
    CHECK(extent(snapshot.windows[0].q.value(), 1) == 100);
    const Proportion right = right_answers(snapshot, MemorySource<float>(snapshot.state, 4));
    CHECK(right.trials == 200);
}
