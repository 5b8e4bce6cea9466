/// The largest of a row of numbers, in lanes that the compiler turns into vectors.
///
/// A plain loop with one running maximum is not vectorised without -ffinite-math-only: the result could depend on where a NaN
/// stands.
#pragma once

#include <algorithm>
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
    for (; first + lanes <= count; first += lanes)
        for (Index lane = 0; lane < lanes; ++lane)
            best[lane] = numbers[first + lane] > best[lane] ? numbers[first + lane] : best[lane];
    for (Index i = first; i < count; ++i) best[0] = numbers[i] > best[0] ? numbers[i] : best[0];
    return *std::max_element(best, best + lanes);
}

}  // namespace fot
