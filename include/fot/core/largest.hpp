/// The largest of a row of numbers, and the log-sum-exp of the row, whose computation starts from the largest.
///
/// The largest is subtracted before exponentials are taken, so none exceeds 1 and nothing overflows.
///
/// Read first: core/simd.hpp.   Read next: attention/softmax.hpp, nn/cross_entropy.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "fot/core/check.hpp"
#include "fot/core/simd.hpp"

namespace fot {

/// The largest of `count` numbers, -infinity of none. NaN counts as smaller than everything else.
template <class Real, class V = SimdVector<Real>>
Real largest(const Real* numbers, Index count) {
    std::array<V, 4> best;  // four, because each comparison waits for the one before it
    best.fill(V(-std::numeric_limits<Real>::infinity()));
    const auto take = [&](V& so_far, Index first) { so_far = larger(V::load_unaligned(numbers + first), so_far); };
    Index i = 0;
    for (; count - i >= 4 * lanes<V>; i += 4 * lanes<V>)
        for (Index j = 0; j < 4; ++j) take(element(best, j), i + j * lanes<V>);
    for (; count - i >= lanes<V>; i += lanes<V>) take(best[0], i);
    Real most =
        joined_lanes(larger(larger(best[0], best[1]), larger(best[2], best[3])), [](Real a, Real b) { return std::max(a, b); });
    for (; i < count; ++i) most = numbers[i] > most ? numbers[i] : most;
    return most;
}

/// log sum_j exp(scores[j]) of `count` scores, in double; -infinity of none.   Errors: NumericError for NaN and +infinity.
template <class Real>
double log_sum_exp(const Real* scores, Index count) {
    for (Index j = 0; j < count; ++j)
        require<NumericError>(scores[j] < std::numeric_limits<Real>::infinity(), "log_sum_exp: score ", j, " is ", scores[j]);
    const double most = static_cast<double>(largest(scores, count));
    if (std::isinf(most)) return most;
    double sum = 0;
    for (Index j = 0; j < count; ++j) sum += std::exp(static_cast<double>(scores[j]) - most);
    return most + std::log(sum);
}

}  // namespace fot
