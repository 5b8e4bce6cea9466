#include "fot/core/largest.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "fot/core/random.hpp"

using namespace fot;

TEST_CASE("the largest of a few numbers") {
    const double numbers[] = {-3, 2, -1};
    CHECK(largest(numbers, 3) == 2);
    CHECK(largest(numbers, 1) == -3);
}

TEST_CASE_TEMPLATE("the largest is found wherever it stands, at any length around the lanes", Real, float, double) {
    Random random(1);
    for (const Index count : {1, 2, 31, 32, 33, 63, 64, 65, 100}) {
        std::vector<Real> numbers(static_cast<std::size_t>(count));
        for (Index at = 0; at < count; ++at) {
            for (Real& number : numbers) number = static_cast<Real>(-5 - random.uniform());
            numbers[static_cast<std::size_t>(at)] = Real(-4);
            REQUIRE(largest(numbers.data(), count) == Real(-4));
        }
    }
}

TEST_CASE("the largest of no numbers is minus infinity, and so is that of masked ones") {
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> masked(40, -infinity);
    CHECK(largest(masked.data(), 0) == -infinity);
    CHECK(largest(masked.data(), 40) == -infinity);
}

TEST_CASE("log-sum-exp: hand numbers, without overflow, of masked scores and of none") {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const double scores[] = {std::log(6.0), std::log(3.0), -infinity, std::log(1.0)};
    CHECK(log_sum_exp(scores, 4) == doctest::Approx(std::log(10.0)).epsilon(1e-15));
    CHECK(log_sum_exp(scores, 1) == std::log(6.0));
    const float large[] = {3e38f, 3e38f};
    CHECK(log_sum_exp(large, 2) == static_cast<double>(3e38f));
    const float small[] = {-5000, -5000};
    CHECK(log_sum_exp(small, 2) == doctest::Approx(-5000 + std::log(2.0)).epsilon(1e-15));
    CHECK(log_sum_exp(scores + 2, 1) == -infinity);
    CHECK(log_sum_exp(scores, 0) == -infinity);
}

TEST_CASE("log-sum-exp names a score that is not a number or infinite") {
    const double nan[] = {1, std::nan("")};
    const float infinite[] = {std::numeric_limits<float>::infinity(), 1};
    CHECK_THROWS_WITH_AS(log_sum_exp(nan, 2), "log_sum_exp: score 1 is nan", NumericError);
    CHECK_THROWS_WITH_AS(log_sum_exp(infinite, 2), "log_sum_exp: score 0 is inf", NumericError);
}

TEST_CASE("a NaN is smaller than everything else, wherever it stands") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t at = 0; at < 70; ++at) {
        std::vector<double> numbers(70, -2.0);
        numbers[(at + 35) % 70] = 1.0;
        numbers[at] = nan;
        REQUIRE(largest(numbers.data(), 70) == 1.0);
    }
    CHECK(largest(&nan, 1) == -std::numeric_limits<double>::infinity());
}
