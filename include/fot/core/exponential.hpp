/// e^x that the compiler can vectorise in a plain loop.
///
/// The exponential of the C library is called once per number and took a third of the time of attention's forward pass. Here it is
/// a few multiply-adds without branches: x = n ln 2 + r with |r| <= ln 2 / 2, then e^x = 2^n e^r, where 2^n is written into the
/// exponent bits and e^r is its Taylor polynomial of degree 7. x is limited as an integer: g++ 12 makes a branch of a comparison of
/// floats where the processor has no masks (AVX2), and a loop with a branch is not vectorised.
///
/// What is below 2^-64 becomes 0. Beside a largest term of 1 it is lost to rounding anyway; but its products with gradients are
/// denormal numbers, and an Intel processor takes a hundred cycles for each. A model whose attention has become sharp trains
/// three times as fast without them.
///
/// Read next: attention/softmax.hpp.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "fot does not work with -ffast-math: attention needs infinities, and the exponential needs additions in the written order"
#endif

namespace fot {

/// e^x in float, relative error below 2e-7 from -44.7 to 88. Below, the result is 0, also for -infinity; above 88 it is e^88; NaN
/// stays NaN.
inline float exponential(float x) {
    constexpr float log2_e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    constexpr float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, in its low bits
    constexpr std::uint32_t sign_bit = 0x80000000u, infinity = 0x7f800000u, limit = std::bit_cast<std::uint32_t>(88.0f);
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x), size = bits & ~sign_bit;  // ordered as |x| is; NaN above infinity
    const float clamped = std::bit_cast<float>((bits & sign_bit) | (((size > limit) & (size <= infinity)) ? limit : size));
    const float shifted = clamped * log2_e + rounder, n = shifted - rounder;
    const float r = (clamped - n * ln2_high) - n * ln2_low;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const std::uint32_t exponent = std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(rounder) + 127u;
    return p * std::bit_cast<float>(exponent < 127u - 64u ? 0u : exponent << 23);
}

/// e^x in double, by the C library: double is for checks, not for speed.
inline double exponential(double x) { return std::exp(x); }

}  // namespace fot
