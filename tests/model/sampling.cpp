#include "fot/model/sampling.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace fot;

namespace {

/// Whether the share of the draws is within 4.5 standard deviations of the probability.
bool is_share(double count, double draws, double probability) {
    return std::abs(count / draws - probability) < 4.5 * std::sqrt(probability * (1 - probability) / draws);
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
    CHECK(is_share(counts[0], draws, 1.0 / 8));
    CHECK(is_share(counts[1], draws, 2.0 / 8));
    CHECK(is_share(counts[2], draws, 5.0 / 8));
    CHECK(counts[3] == 0);
}

TEST_CASE("top_k and top_p leave out the unlikely tokens, temperature sharpens") {
    const double logits[] = {0.0, std::log(2.0), std::log(5.0)};
    Random random(4);
    double sharp = 0, second = 0;
    for (int i = 0; i < 4000; ++i) {
        CHECK(sample_token(logits, 3, {.top_k = 2}, random) != 0);
        const std::int32_t of_two = sample_token(logits, 3, {.top_p = 0.8}, random);  // 5/8 is not enough, 7/8 is
        CHECK(of_two != 0);
        second += of_two == 1 ? 1 : 0;
        CHECK(sample_token(logits, 3, {.top_p = 0.6}, random) == 2);
        sharp += sample_token(logits, 3, {.temperature = 0.5}, random) == 2 ? 1 : 0;
    }
    CHECK(is_share(second, 4000, 2.0 / 7));  // the token that reaches top_p is kept
    CHECK(is_share(sharp, 4000, 25.0 / 30));
}

TEST_CASE("logits and options that make no sense are named") {
    Random random(8);
    const float logits[] = {1.0f, std::numeric_limits<float>::quiet_NaN()};
    CHECK_THROWS_WITH_AS(sample_token(logits, 2, {}, random), "sample_token: logit 1 is NaN", NumericError);
    CHECK_THROWS_WITH_AS(sample_token(logits, 1, {.top_p = 0}, random), doctest::Contains("top_p 0"), ConfigError);
    CHECK_THROWS_WITH_AS(sample_token(logits, 1, {.temperature = -1}, random), doctest::Contains("temperature -1"), ConfigError);
    const float certain[] = {0.0f, std::numeric_limits<float>::infinity()};
    CHECK(sample_token(certain, 2, {.temperature = 0}, random) == 1);
    CHECK_THROWS_WITH_AS(sample_token(certain, 2, {}, random), "sample_token: the largest logit is inf, expected a finite number",
                         NumericError);
}

TEST_CASE("a temperature that is negative or not finite is refused") {
    const float logits[] = {1, -std::numeric_limits<float>::infinity()};
    Random random(8);
    for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()})
        CHECK_THROWS_AS(sample_token(logits, 2, {.temperature = bad}, random), ConfigError);
}

TEST_CASE("limits apply in the order of the fields, and more than all tokens are all") {
    const double logits[] = {0.0, std::log(2.0), std::log(5.0)};
    Random random(5);
    double first = 0;
    for (int i = 0; i < 4000; ++i) {
        CHECK(sample_token(logits, 3, {.top_k = 1, .top_p = 0.9}, random) == 2);
        CHECK(sample_token(logits, 3, {.top_k = 2, .top_p = 0.7}, random) == 2);  // 5/7 is enough, 5/8 would not be
        first += sample_token(logits, 3, {.top_k = 40}, random) == 0 ? 1 : 0;
    }
    CHECK(std::abs(first / 4000 - 1.0 / 8) < 0.025);  // five standard deviations
}
