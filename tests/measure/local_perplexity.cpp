#include "fot/measure/local_perplexity.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/measure/memory_curve.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using testing::random_documents;

namespace {

Transformer<double> two_layer_model() {
    Random random(1);
    return Transformer<double>(
        {.vocabulary = 11, .width = 8, .layers = 2, .memory_layers = {1}, .heads = 2, .memory_heads = 1, .feed_forward = 12},
        random);
}

/// The natural logarithm of the inverse probability of the last `window` tokens, by exponentials of the logits.
double nats_of_the_end(const Transformer<double>& model, const TokenDocument& document, Index first, Index last, Index window) {
    Tokens tokens = empty<std::int32_t, 2>({1, last - first});
    for (Index t = first; t < last; ++t) tokens(0, t - first) = element(document.tokens, t);
    Tape tape(Tape::inference);
    const Tensor<double, 3> logits = model.local(tape, tokens).value();
    double nats = 0;
    for (Index t = last - window; t < last; ++t) {
        double sum = 0;
        for (Index v = 0; v < 11; ++v) sum += std::exp(logits(0, t - first, v));
        nats += std::log(sum) - logits(0, t - first, element(document.tokens, t + 1));
    }
    return nats;
}

}  // namespace

TEST_CASE("a window is predicted with the windows before it, or with as many as there are") {
    const std::vector<TokenDocument> documents = random_documents({24, 3, 11}, 2);
    const Transformer<double> model = two_layer_model();
    // Windows of 5: the first document has 4 of them, of which the second and the last are scored; the third document has 2.
    const PerplexityMeter meter = local_perplexity(model, documents, 5, 2, 2);
    REQUIRE(meter.documents() == 2);
    CHECK(meter.losses().at(0).nats ==
          doctest::Approx(nats_of_the_end(model, documents[0], 0, 10, 5) + nats_of_the_end(model, documents[0], 5, 20, 5)));
    CHECK(meter.losses().at(2).nats ==
          doctest::Approx(nats_of_the_end(model, documents[2], 0, 5, 5) + nats_of_the_end(model, documents[2], 0, 10, 5)));
    CHECK(meter.losses().at(0).tokens == 10);
}

TEST_CASE("without windows before it is the memory curve with no memory, at the same places") {
    const std::vector<TokenDocument> documents = random_documents({61, 40}, 2);
    const Transformer<double> model = two_layer_model();
    const auto curve =
        memory_curve(model, documents, {}, {.conditions = {{.tokens = 0}}, .window = 6, .scored_windows = 3, .score_from = 13});
    const PerplexityMeter meter = local_perplexity(model, documents, 6, 0, 3, 13);
    CHECK(meter.nats() == curve.begin()->second.nats());
}

TEST_CASE("documents that are too short, and sizes that make no sense, are refused") {
    const Transformer<double> model = two_layer_model();
    CHECK_THROWS_WITH_AS(local_perplexity(model, random_documents({20}, 2), 5, -1),
                         "local_perplexity: -1 windows before the one that is predicted, expected 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(local_perplexity(model, random_documents({20, 30}, 2), 5, 1, 8, 40),
                         doctest::Contains("none of the 2 documents has a window of 5 tokens"), DataError);
}
