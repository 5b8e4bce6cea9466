#include "fot/remedies/entmax.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <vector>

#include "fot/core/random.hpp"

using namespace fot;

namespace {

/// The weights of scores, best first.
std::vector<double> weights_of(const std::vector<double>& scores) {
    std::vector<double> weights;
    const double threshold = entmax_threshold(scores.data(), length_of(scores));
    for (const double score : scores) weights.push_back(entmax_weight(score, threshold));
    return weights;
}

/// Normal numbers times `spread`, best first.
std::vector<double> random_scores(Index count, double spread, Random& random) {
    std::vector<double> scores;
    while (length_of(scores) < count) scores.push_back(spread * random.normal());
    std::ranges::sort(scores, std::greater<double>());
    return scores;
}

double sum_of(const std::vector<double>& list) {
    double sum = 0;
    for (const double each : list) sum += each;
    return sum;
}

}  // namespace

TEST_CASE("hand numbers: one key has all, two alike have half each, one that is 2 below the best has nothing") {
    CHECK(weights_of({7}) == std::vector<double>{1});
    CHECK(weights_of({3, 3})[0] == doctest::Approx(0.5));
    CHECK(weights_of({3, 3})[1] == doctest::Approx(0.5));
    CHECK(weights_of({5, 3})[0] == doctest::Approx(1));
    CHECK(weights_of({5, 3})[1] == 0);
    CHECK(weights_of({5, 3.5})[1] > 0);
    // (1 - t)^2 + (0.5 - t)^2 = 1 with s = 2, 1: t = (1.5 - sqrt(1.75)) / 2
    CHECK(entmax_threshold(std::vector<double>{2, 1}.data(), 2) == doctest::Approx((1.5 - std::sqrt(1.75)) / 2));
}

TEST_CASE("a score of minus infinity has no weight") {
    const std::vector<double> scores{0, -std::numeric_limits<double>::infinity()};
    CHECK(entmax_threshold(scores.data(), 2) == -1);
    CHECK(entmax_weight(scores[0], -1) == 1);
    CHECK(entmax_weight(scores[1], -1) == 0);
}

TEST_CASE("weights are not negative, fall with the scores, and sum to one") {
    Random random(1);
    for (const double spread : {0.01, 0.3, 1.0, 5.0})
        for (const Index count : {2, 7, 300}) {
            const std::vector<double> weights = weights_of(random_scores(count, spread, random));
            CHECK(sum_of(weights) == doctest::Approx(1).epsilon(1e-12));
            CHECK(std::ranges::is_sorted(weights, std::greater<double>()));
            CHECK(weights.back() >= 0);
        }
}

TEST_CASE("a million unrelated keys take nothing from the key that is asked for, where they take nearly all of a softmax") {
    std::vector<double> scores(1000001, 0.0);
    scores[0] = 2;
    CHECK(weights_of(scores)[0] == doctest::Approx(1).epsilon(1e-9));
    CHECK(std::exp(2.0) / (std::exp(2.0) + 1e6) < 1e-5);
    scores[0] = 1.9;  // not quite 2: weights below the best are tiny, but there are many
    CHECK(weights_of(scores)[0] > 0.9);
    CHECK(weights_of(scores)[0] < 1);
}

TEST_CASE("if the last of the k best has no weight they give what all give; while more than k have weight the test says no") {
    Random random(2);
    Index whole = 0, not_whole = 0;
    for (int round = 0; round < 50; ++round) {
        const std::vector<double> scores = random_scores(60, 1.5, random), weights = weights_of(scores);
        const Index with_weight = std::ranges::count_if(weights, [](double weight) { return weight > 0; });
        for (Index k = 1; k <= 60; ++k) {
            const bool says = entmax_of_best_is_whole(scores.data(), k, 60);
            CHECK(says == (k > with_weight || k == 60));
            (says ? whole : not_whole) += 1;
            if (!says) continue;
            const double threshold = entmax_threshold(scores.data(), k);
            double apart = 0;
            for (Index j = 0; j < 60; ++j)
                apart = std::max(apart, std::abs(entmax_weight(element(scores, j), threshold) - element(weights, j)));
            CHECK(apart < 1e-12);
        }
    }
    CHECK(whole > 100);
    CHECK(not_whole > 100);
}

TEST_CASE("in float the weights of large scores still sum to one") {
    const std::vector<float> scores{812.5f, 812.25f, 811.0f, 700.0f};
    const double threshold = entmax_threshold(scores.data(), 4);
    float sum = 0;
    for (const float score : scores) sum += entmax_weight(score, threshold);
    CHECK(sum == doctest::Approx(1).epsilon(1e-6));
}
