/// e^x of vectors, and the two loops over rows of scores of which softmax consists.
///
/// xsimd has the exponential of a vector. One thing is added: what is below e^-44.7, about 2^-64, becomes 0. Beside a largest term
/// of 1 it is lost to rounding anyway. But its products with gradients would be denormal numbers, and an Intel processor takes a
/// hundred cycles for each of those. A model whose attention has become sharp trains three times as fast without them.
///
/// Read first: core/simd.hpp.   Read next: core/largest.hpp, attention/softmax.hpp.
#pragma once

#include <concepts>
#include <functional>
#include <limits>

#include "fot/core/simd.hpp"

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "fot does not work with -ffast-math: attention needs infinities, and the exponential needs additions in the written order"
#endif

namespace fot {

/// e^x of every number of a vector: relative error below 2e-7 in float, 4e-16 in double. Below -44.7 it is 0, even for -infinity;
/// what is too large gives infinity; NaN stays NaN.
template <class Real, class Architecture>
xsimd::batch<Real, Architecture> exponential(const xsimd::batch<Real, Architecture>& x) {
    using V = xsimd::batch<Real, Architecture>;
    return xsimd::select(x < V(Real(-44.7)), V(Real(0)), xsimd::exp(x));
}

/// e^x of one number: bitwise what a vector of it gives.
template <std::floating_point Real, class V = SimdVector<Real>>
Real exponential(Real x) {
    return exponential(V(x)).get(0);
}

/// Turns scores s_j into exp(s_j - shift) and returns their sum.   Shapes: scores (count).
template <class Real, class V = SimdVector<Real>>
Real exponentials(Real* scores, Index count, Real shift) {
    V sum(Real(0));
    for_each_vector<V>(count, [&](auto at) {
        const V p = exponential(at.load(scores, -std::numeric_limits<Real>::infinity()) - shift);
        at.store(p, scores);
        sum += p;
    });
    return joined_lanes(sum, std::plus<>{});
}

/// The backward pass of a softmax row, whose sum is in the shift: log sum_j exp(s_j).
///
///     p_j = exp(s_j - shift),   d_s_j = p_j (d_p_j - delta)
///
/// Shapes: p (count) holds the scores and gets the probabilities, d_s (count) holds d_p and gets d_s.
template <class Real, class V = SimdVector<Real>>
void softmax_row_vjp(Real* p, Real* d_s, Index count, Real shift, Real delta) {
    for_each_vector<V>(count, [&](auto at) {
        const V probability = exponential(at.load(p) - shift);
        at.store(probability, p);
        at.store(probability * (at.load(d_s) - delta), d_s);
    });
}

}  // namespace fot
