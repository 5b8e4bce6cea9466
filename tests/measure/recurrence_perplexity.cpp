#include "fot/measure/recurrence_perplexity.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/measure/memory_curve.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using testing::random_documents;

namespace {

Transformer<double> small_model(Index layers) {
    Random random(1);
    return Transformer<double>({.vocabulary = 11,
                                .width = 8,
                                .layers = layers,
                                .memory_layers = {layers - 1},
                                .heads = 2,
                                .memory_heads = 1,
                                .feed_forward = 12},
                               random);
}

/// The same by reading every window of every document in order.
PerplexityMeter window_by_window(Transformer<double>& model, const std::vector<TokenDocument>& documents, Index window,
                                 Index scored, Index from) {
    PerplexityMeter meter;
    for (std::size_t d = 0; d < documents.size(); ++d) {
        const std::vector<Index> chosen = scored_windows(documents[d].length(), window, scored, from);
        RecurrentState<double> state;
        for (Index i = 0; (i + 1) * window < documents[d].length(); ++i) {
            Tokens tokens = empty<std::int32_t, 2>({1, window}), targets = empty<std::int32_t, 2>({1, window});
            for (Index t = 0; t < window; ++t) {
                tokens(0, t) = documents[d].tokens[static_cast<std::size_t>(i * window + t)];
                targets(0, t) = documents[d].tokens[static_cast<std::size_t>(i * window + t + 1)];
            }
            Tape tape(Tape::inference);
            const Tensor<double, 3> logits = window_with_recurrence(tape, model, tokens, state).value();
            if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) continue;
            meter.add(static_cast<Index>(d),
                      static_cast<double>(window) *
                          cross_entropy(logits, targets, full<double, 2>({1, window}, 1.0), Reduction::token_mean),
                      window);
        }
    }
    return meter;
}

}  // namespace

TEST_CASE("states reach back a window a layer, so that much is read") {
    const std::vector<TokenDocument> documents = random_documents({61, 4, 90, 5}, 2);
    for (const Index layers : {1, 2, 3}) {
        Transformer<double> model = small_model(layers);
        for (const Index from : {0, 30}) {
            const PerplexityMeter fast = recurrence_perplexity(model, documents, 5, 3, from),
                                  slow = window_by_window(model, documents, 5, 3, from);
            CHECK(fast.documents() == 2);
            CHECK(fast.nats_per_token(1).value == doctest::Approx(slow.nats_per_token(1).value).epsilon(1e-12));
            CHECK(bits_per_byte_difference(fast, slow, 1).value == doctest::Approx(0).scale(1));
        }
    }
}

TEST_CASE("the first window of a document is that of a standard transformer, at the places of memory_curve") {
    const std::vector<TokenDocument> documents = random_documents({8, 7}, 2);
    Transformer<double> model = small_model(2);
    const auto curve = memory_curve(model, documents, {}, {.conditions = {{.tokens = 0}}, .window = 6});
    CHECK(bits_per_byte_difference(recurrence_perplexity(model, documents, 6), curve.begin()->second, 1).value ==
          doctest::Approx(0).scale(1));
}

TEST_CASE("documents that are too short, and sizes that make no sense, are refused") {
    Transformer<double> model = small_model(1);
    CHECK_THROWS_WITH_AS(
        recurrence_perplexity(model, random_documents({20, 30}, 2), 5, 8, 40),
        "recurrence_perplexity: none of the 2 documents has a window of 5 tokens and a token after it at token 40 or "
        "later",
        DataError);
    CHECK_THROWS_WITH_AS(recurrence_perplexity(model, random_documents({20}, 2), 0), doctest::Contains("windows of 0 tokens"),
                         ConfigError);
}
