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

TEST_CASE("what is too large is infinity") {
    CHECK(std::isfinite(exponential(88.0f)));
    CHECK(std::isinf(exponential(89.0f)));
    CHECK(std::isinf(exponential(std::numeric_limits<float>::infinity())));
    CHECK(std::isfinite(exponential(709.0)));
    CHECK(std::isinf(exponential(710.0)));
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

TEST_CASE("in double it is right to 4e-16, and what rounds to less than 2^-64 gives exactly zero, too") {
    double worst = 0;
    for (double x = -44.7; x < 709; x += 0.01) worst = testing::worse(worst, std::abs(exponential(x) / std::exp(x) - 1));
    CHECK(worst < 4e-16);
    CHECK(exponential(-44.71) == 0.0);
}

TEST_CASE_TEMPLATE("a number alone, in a vector, and in the last vector of a row gives bitwise the same", Real, float, double) {
    std::vector<Real> x(1003), y(1003);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<Real>(-60.0 + 0.13 * static_cast<double>(i));
    for_each_vector<SimdVector<Real>>(length_of(x), [&](auto at) { at.store(exponential(at.load(x.data())), y.data()); });
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i] == exponential(x[i]));
}

TEST_CASE_TEMPLATE("a row of scores becomes exponentials, and their sum", Real, float, double) {
    const Real infinity = std::numeric_limits<Real>::infinity();
    for (Index count = 0; count <= 3 * lanes<SimdVector<Real>> + 1; ++count) {
        std::vector<Real> scores(static_cast<std::size_t>(count) + 1, Real(5)), before;
        for (Index j = 0; j < count; ++j) element(scores, j) = j % 7 == 3 ? -infinity : static_cast<Real>(0.25 * double(j % 11));
        before = scores;
        const Real sum = exponentials(scores.data(), count, Real(2));
        double expected = 0;
        for (Index j = 0; j < count; ++j) {
            CHECK(element(scores, j) == exponential(element(before, j) - 2));
            expected += static_cast<double>(element(scores, j));
        }
        CHECK(static_cast<double>(sum) == doctest::Approx(expected).epsilon(1e-6));
        CHECK(scores.back() == 5);  // what stands after the row is left alone
    }
}

TEST_CASE("a row that holds NaN sums to NaN; a row without numbers sums to zero") {
    std::vector<float> scores(40, 1.0f);
    scores[37] = std::numeric_limits<float>::quiet_NaN();
    CHECK(std::isnan(exponentials(scores.data(), 40, 1.0f)));
    CHECK(exponentials(scores.data(), 0, 1.0f) == 0);
}

TEST_CASE_TEMPLATE("the backward pass of a softmax row is its formula", Real, float, double) {
    for (const Index count : {Index{0}, Index{1}, lanes<SimdVector<Real>>, 2 * lanes<SimdVector<Real>> + 3}) {
        const Real shift = Real(1.5), delta = Real(0.3);
        std::vector<Real> p(static_cast<std::size_t>(count) + 1, Real(5)), d_s = p, scores, d_p;
        for (Index j = 0; j < count; ++j) {
            element(p, j) = static_cast<Real>(0.1 * double(j)) - 1;
            element(d_s, j) = static_cast<Real>(0.2 * double(j)) - 1;
        }
        scores = p;
        d_p = d_s;
        softmax_row_vjp(p.data(), d_s.data(), count, shift, delta);
        for (Index j = 0; j < count; ++j) {
            CHECK(element(p, j) == exponential(element(scores, j) - shift));
            CHECK(element(d_s, j) == doctest::Approx(element(p, j) * (element(d_p, j) - delta)));
        }
        CHECK((p.back() == 5 && d_s.back() == 5));
    }
}
