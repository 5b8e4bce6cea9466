/// Exercise 5: scores that grow with the number of keys.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <log_scaled_scores.hpp>  // the file beside this one, or the answer: as the include path says
#include <memory>

#include "fot/core/gradient_check.hpp"
#include "fot/model/inference.hpp"

using namespace exercises;

namespace {

/// Queries of two entries, three tokens, two heads of width 4; the first entry finds 2 further keys, the second 997.
const KeysSeen seen{{2, 997}, {0, 5, 60}};

Variable<double, 4> projected_queries() {
    Random random(1);
    return Variable<double, 4>(normal_tensor<double, 4>({2, 3, 2, 4}, 1, random), true);
}

Tensor<double, 4> scored(const Scoring<double>& scoring) {
    Tape tape(Tape::inference);
    return scoring.queries(tape, projected_queries(), seen).value();
}

}  // namespace

TEST_CASE("5: up to the keys seen in training the scores are those of a LLaMA") {
    const Tensor<double, 4> usual = scored(ScaledScoring<double>()), got = scored(LogScaledScoring(1058));
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got.data()[i] == doctest::Approx(usual.data()[i]).epsilon(1e-14));
}

TEST_CASE("5: beyond them the factor is log n / log n_trained, for each query by what it sees") {
    const Tensor<double, 4> usual = scored(ScaledScoring<double>()), got = scored(LogScaledScoring(16));
    // Entry 0 sees 2 keys of the source and 1, 6 or 61 of its own window; entry 1 sees 997 and as many.
    const double keys[2][3] = {{3, 8, 63}, {998, 1003, 1058}};
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t)
            for (Index i = 0; i < 8; ++i) {
                const double factor = std::max(1.0, std::log(keys[b][t]) / std::log(16));
                CHECK(row(got, b, t)[i] == doctest::Approx(factor * row(usual, b, t)[i]).epsilon(1e-12));
            }
}

TEST_CASE("5: the gradient passes through the factor") {
    const LogScaledScoring scoring(16);
    Variable<double, 4> q = projected_queries();
    CHECK(gradient_error([&](Tape& tape) { return scoring.queries(tape, q, seen); }, q) < 1e-6);
}

TEST_CASE("5: a key keeps its weight as the memory grows") {
    // One key scores 6 above all others, which score 0. Among n = 100 keys it has a weight of .803.
    const auto weight = [](const Scoring<double>& scoring, Index n) {
        Variable<double, 4> q(full<double, 4>({1, 1, 1, 1}, 6.0));
        Tape tape(Tape::inference);
        const double score = scoring.queries(tape, q, {{n - 1}, {0}}).value()(0, 0, 0, 0);
        return std::exp(score) / (std::exp(score) + static_cast<double>(n - 1));
    };
    CHECK(weight(ScaledScoring<double>(), 100) == doctest::Approx(0.803).epsilon(1e-3));
    CHECK(weight(ScaledScoring<double>(), 10000) < 0.04);
    CHECK(weight(LogScaledScoring(100), 100) == doctest::Approx(0.803).epsilon(1e-3));
    CHECK(weight(LogScaledScoring(100), 10000) > 0.9);
}

TEST_CASE("5: a model takes the rule and reads with a memory") {
    Random random(2);
    Transformer<double> model(
        {.vocabulary = 8, .width = 16, .layers = 2, .heads = 2, .memory_heads = 2, .feed_forward = 16, .normalized_heads = false},
        random);
    Tokens text = empty<std::int32_t, 2>({1, 64});
    for (auto& token : text.storage()) token = static_cast<std::int32_t>(random.below(8));
    const auto logits_of = [&](std::unique_ptr<Scoring<double>> scoring) {
        model.layer(1).scoring = std::move(scoring);
        MemoryState<double> memory(model.config(), 1);
        return read_document(model, text, 8, memory, {.top_k = 64});
    };
    const Tensor<double, 3> usual = logits_of(std::make_unique<ScaledScoring<double>>()),
                            got = logits_of(std::make_unique<LogScaledScoring>(16));
    const auto apart = [&](Index t) { return std::abs(got(0, t, 0) - usual(0, t, 0)); };
    for (Index t = 0; t < 16; ++t) CHECK(apart(t) < 1e-12);  // up to 16 keys are seen
    for (Index t = 16; t < 64; ++t) CHECK(apart(t) > 1e-12);
}
