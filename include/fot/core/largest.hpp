/// The largest of a row of numbers, and the logarithm of the sum of their exponentials, which begins with it.
///
/// The largest is found in lanes that the compiler turns into vectors. A plain loop with one running maximum is not vectorised
/// without -ffinite-math-only: the result could depend on where a NaN stands.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "fot/core/tensor.hpp"

namespace fot {

/// The largest of `count` numbers, -infinity of none. NaN counts as smaller than everything else.
template <class Real>
Real largest(const Real* numbers, Index count) {
    constexpr Index lanes = 32;
    Real best[lanes];
    std::fill_n(best, lanes, -std::numeric_limits<Real>::infinity());
    Index first = 0;
    for (; count - first >= lanes; first += lanes)
        for (Index lane = 0; lane < lanes; ++lane)
            best[lane] = numbers[first + lane] > best[lane] ? numbers[first + lane] : best[lane];
    for (Index i = first; i < count; ++i) best[0] = numbers[i] > best[0] ? numbers[i] : best[0];
    return *std::max_element(best, best + lanes);
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
