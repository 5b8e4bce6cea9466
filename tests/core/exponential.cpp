#include "fot/core/exponential.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "support/difference.hpp"

using namespace fot;

TEST_CASE("the exponential is right to 2e-7 from -44.7 to 88") {
    double worst = 0;
    const auto visit = [&](float x) {
        const double exact = std::exp(static_cast<double>(x));
        worst = testing::worse(worst, std::abs(static_cast<double>(exponential(x)) - exact) / exact);
    };
    for (int i = 0; i <= 1'327'000; ++i) visit(static_cast<float>(-44.7 + i * 1e-4));
    for (float x = 1.0f; x > 1e-30f; x *= 0.7f) {
        visit(x);
        visit(-x);
    }
    for (int n = -64; n <= 126; ++n)  // where the rounding to whole powers of two changes its mind
        for (int ulp = -3; ulp <= 3; ++ulp) visit((static_cast<float>(n) + 0.5f) * 0.69314718f + static_cast<float>(ulp) * 1e-6f);
    CHECK(worst < 2e-7);
}

TEST_CASE("e to the zero is exactly one") {
    CHECK(exponential(0.0f) == 1.0f);
    CHECK(exponential(-0.0f) == 1.0f);
    CHECK(exponential(0.0) == 1.0);
}

TEST_CASE("minus infinity and everything that rounds to less than 2^-64 give exactly zero") {
    const float infinity = std::numeric_limits<float>::infinity();
    CHECK(exponential(-infinity) == 0.0f);
    CHECK(exponential(std::numeric_limits<float>::lowest()) == 0.0f);
    CHECK(exponential(-1e6f) == 0.0f);
    CHECK(exponential(-88.0f) == 0.0f);
    CHECK(exponential(std::nextafter(-88.0f, -infinity)) == 0.0f);
    for (float x = -44.71f; x > -110.0f; x -= 0.01f) REQUIRE(exponential(x) == 0.0f);
    CHECK(exponential(-44.7f) > 0.0f);
    CHECK(exponential(-std::numeric_limits<double>::infinity()) == 0.0);
}

TEST_CASE("above 88 it stays at e^88, finite") {
    const float top = exponential(88.0f);
    CHECK(static_cast<double>(top) == doctest::Approx(std::exp(88.0)).epsilon(1e-6));
    CHECK(exponential(88.5f) == top);
    CHECK(exponential(std::numeric_limits<float>::max()) == top);
    CHECK(exponential(std::numeric_limits<float>::infinity()) == top);
}

TEST_CASE("NaN stays NaN") {
    CHECK(std::isnan(exponential(std::numeric_limits<float>::quiet_NaN())));
    CHECK(std::isnan(exponential(-std::numeric_limits<float>::quiet_NaN())));
    CHECK(std::isnan(exponential(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("a larger number never has a much smaller exponential") {
    float before = 0;
    for (int i = 0; i <= 200'000; ++i) {
        const float now = exponential(static_cast<float>(-46.0 + i * 6e-4));
        REQUIRE(now >= before * (1 - 3e-7f));
        before = now;
    }
}

TEST_CASE("in a loop it gives the same numbers as alone") {
    std::vector<float> x(1003), y(1003);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = -95.0f + 0.19f * static_cast<float>(i);
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = exponential(x[i]);
    for (std::size_t i = 0; i < x.size(); ++i) {
        volatile float alone = x[i];
        const float e = exponential(alone);
        CHECK(std::abs(y[i] - e) <= 3e-7f * e);
    }
}

TEST_CASE("in double it is the exponential of the C library") {
    for (const double x : {-700.0, -1.5, 0.3, 20.0, 700.0}) CHECK(exponential(x) == std::exp(x));
}
