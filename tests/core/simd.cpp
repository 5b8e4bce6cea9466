#include "fot/core/simd.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

using namespace fot;

TEST_CASE_TEMPLATE("a walk over rows of any length reads and writes each number once, and nothing beyond", Real, float, double) {
    using V = SimdVector<Real>;
    for (Index count = 0; count <= 3 * lanes<V> + 1; ++count) {
        std::vector<Real> x(static_cast<std::size_t>(count)), y(x.size() + 1, Real(-1)), expected = y;
        for (Index i = 0; i < count; ++i) {
            element(x, i) = static_cast<Real>(i);
            element(expected, i) = static_cast<Real>(2 * i);
        }
        Index next = 0;
        for_each_vector<V>(count, [&](auto at) {
            CHECK(at.first == next);
            next += lanes<V>;
            at.store(at.load(x.data()) + at.load(x.data()), y.data());
        });
        CHECK(next - lanes<V> < count);
        CHECK(next >= count);
        CHECK(y == expected);
    }
    for_each_vector<V>(-1, [](auto) { FAIL("a negative length has no vectors"); });
}

TEST_CASE_TEMPLATE("the rest of the last vector holds the filling", Real, float, double) {
    using V = SimdVector<Real>;
    const std::vector<Real> ones(static_cast<std::size_t>(2 * lanes<V>), Real(1));
    for (Index count = 1; count <= lanes<V>; ++count) {
        Real sum = 0;
        for_each_vector<V>(count, [&](auto at) { sum += joined_lanes(at.load(ones.data(), Real(100)), std::plus<>{}); });
        CHECK(sum == static_cast<Real>(count + 100 * (lanes<V> - count)));
    }
}

TEST_CASE_TEMPLATE("the numbers of a vector are all joined", Real, float, double) {
    using V = SimdVector<Real>;
    std::vector<Real> numbers(static_cast<std::size_t>(lanes<V>));
    for (Index at = 0; at < lanes<V>; ++at) {
        std::fill(numbers.begin(), numbers.end(), Real(1));
        element(numbers, at) = 7;
        const V x = V::load_unaligned(numbers.data());
        CHECK(joined_lanes(x, std::plus<>{}) == static_cast<Real>(lanes<V> + 6));
        CHECK(joined_lanes(x, [](Real a, Real b) { return std::max(a, b); }) == 7);
    }
}

TEST_CASE("a vector of floats holds twice as many numbers as one of doubles, at least four") {
    CHECK(lanes<SimdVector<float>> == 2 * lanes<SimdVector<double>>);
    CHECK(lanes<SimdVector<float>> >= 4);
    CHECK((register_count<SimdVector<float>> == 16 || register_count<SimdVector<float>> == 32));
    CHECK_FALSE(std::string(instruction_set()).empty());
}
