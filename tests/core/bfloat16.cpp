#include "fot/core/bfloat16.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "fot/core/random.hpp"

using namespace fot;

namespace {

float from_bits(std::uint32_t bits) { return to_float(BFloat16{static_cast<std::uint16_t>(bits)}); }

/// The nearest of the two bfloat16 around |x|, by distance in double; ties to the even one.
float nearest(double x) {
    std::uint32_t lower = 0, upper = 0x7f80;  // as unsigned bits, non-negative numbers are in order
    while (upper - lower > 1) {
        const std::uint32_t middle = (lower + upper) / 2;
        (static_cast<double>(from_bits(middle)) <= std::abs(x) ? lower : upper) = middle;
    }
    const double low = from_bits(lower), high = upper == 0x7f80 ? 0x1p128 : static_cast<double>(from_bits(upper));
    const double to_low = std::abs(x) - low, to_high = high - std::abs(x);
    const std::uint32_t chosen = to_low < to_high || (to_low == to_high && lower % 2 == 0) ? lower : upper;
    return std::copysign(from_bits(chosen), static_cast<float>(x));
}

}  // namespace

TEST_CASE("some bfloat16 by hand") {
    CHECK(to_bfloat16(1.0f).bits == 0x3f80);
    CHECK(to_bfloat16(-2.0f).bits == 0xc000);
    CHECK(to_bfloat16(-0.0f).bits == 0x8000);
    CHECK(to_bfloat16(1.0f + 0x1p-8f).bits == 0x3f80);          // a tie: down to the even one
    CHECK(to_bfloat16(1.0f + 3 * 0x1p-8f).bits == 0x3f82);      // a tie: up to the even one
    CHECK(to_bfloat16(1.0f + 1.01f * 0x1p-8f).bits == 0x3f81);  // just above a tie
    CHECK(to_float(to_bfloat16(3.14159265f)) == 3.140625f);
}

TEST_CASE("a bfloat16 is the upper half of a float") {
    CHECK(from_bits(0x3f80) == 1.0f);
    CHECK(from_bits(0xc0a0) == -5.0f);
    CHECK(from_bits(0x0001) == std::ldexp(1.0f, -133));
    CHECK(std::isinf(from_bits(0x7f80)));
    CHECK(std::isnan(from_bits(0x7fc0)));
}

TEST_CASE("every bfloat16 survives expanding and rounding") {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const float x = from_bits(bits);
        if (std::isnan(x)) {
            REQUIRE(std::isnan(to_float(to_bfloat16(x))));
            REQUIRE(std::isnan(to_float(to_bfloat16(static_cast<double>(x)))));
        } else {
            REQUIRE(to_bfloat16(x).bits == bits);
            REQUIRE(to_bfloat16(static_cast<double>(x)).bits == bits);
        }
    }
}

TEST_CASE("rounding takes the nearest bfloat16, at all magnitudes") {
    Random random(1);
    for (int i = 0; i < 20000; ++i) {
        const double x = random.normal() * std::pow(2.0, 150 * random.uniform() - 100 * random.uniform());
        REQUIRE(to_float(to_bfloat16(x)) == nearest(x));
        const float single = static_cast<float>(x);
        if (std::isfinite(single)) REQUIRE(to_float(to_bfloat16(single)) == nearest(static_cast<double>(single)));
    }
    for (int i = 0; i < 2000; ++i) {  // the smallest magnitudes, below the normal floats
        const double x = random.normal() * 0x1p-130;
        REQUIRE(to_float(to_bfloat16(x)) == nearest(x));
    }
}

TEST_CASE("infinities, overflow and NaN") {
    const float infinity = std::numeric_limits<float>::infinity();
    CHECK(to_float(to_bfloat16(infinity)) == infinity);
    CHECK(to_float(to_bfloat16(-infinity)) == -infinity);
    CHECK(to_float(to_bfloat16(std::numeric_limits<float>::max())) == infinity);
    CHECK(to_float(to_bfloat16(-1e300)) == -infinity);
    CHECK(to_float(to_bfloat16(1e-300)) == 0.0f);
    CHECK(std::isnan(to_float(to_bfloat16(std::numeric_limits<double>::quiet_NaN()))));
    CHECK(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0x7f800001u)))));  // its fraction lies in the lower half only
    CHECK(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0x7fffffffu)))));
}

TEST_CASE("a double just above a tie is not rounded twice") {
    const double x = 1 + 0x1p-8 + 0x1p-40;  // as a float it would be the tie itself, and go down
    CHECK(to_bfloat16(x).bits == 0x3f81);
    CHECK(to_bfloat16(-x).bits == 0xbf81);
    CHECK(to_bfloat16(1 + 3 * 0x1p-8 - 0x1p-40).bits == 0x3f81);  // just below a tie that would go up
}

TEST_CASE("rows are rounded and expanded number by number") {
    Random random(2);
    const Tensor<double, 1> numbers = normal_tensor<double, 1>({77}, 1.0, random);
    Tensor<BFloat16, 1> rounded = empty<BFloat16, 1>({77});
    Tensor<double, 1> expanded = empty_like(numbers);
    for (Index i = 0; i < 77; ++i) rounded(i) = to_bfloat16(numbers(i));
    widen(rounded.data(), 77, expanded.data());
    for (Index i = 0; i < 77; ++i) {
        CHECK(expanded(i) == static_cast<double>(nearest(numbers(i))));
        CHECK(std::abs(expanded(i) - numbers(i)) <= std::abs(numbers(i)) * 0x1p-8);
    }
}
