/// Is every number of a row finite? A number that is not finite must not reach weights, memories or a mean, where it could no
/// longer be traced to its origin.
///
/// Read first: core/simd.hpp.   Read next: nn/cross_entropy.hpp, model/inference.hpp.
#pragma once

#include <algorithm>
#include <cmath>

#include "fot/core/exponential.hpp"  // refuses -ffast-math, under which everything would be finite
#include "fot/core/tensor.hpp"

namespace fot {

/// True if none of `count` numbers is NaN or infinite.   Cost: as long as it takes to read them.
template <class Real, class V = SimdVector<Real>>
bool all_finite(const Real* numbers, Index count) {
    // 0 * NaN and 0 * infinity are NaN.
    return sum_of_vectors<V>(count, [&](auto at) { return V(Real(0)) * at.load(numbers); }) == 0;
}

/// Throws NumericError unless every number is finite. `what` names the function and the tensor, "read_window: the logits".
template <class Real, std::size_t N>
void require_finite(const char* what, const Tensor<Real, N>& x) {
    if (all_finite(x.data(), element_count(x))) return;
    const auto at = std::find_if(x.storage().begin(), x.storage().end(), [](Real number) { return !std::isfinite(number); });
    throw NumericError(message(what, " of shape ", shape_text(shape_of(x)), ": number ", at - x.storage().begin(), " is ", *at,
                               ", expected finite numbers"));
}

}  // namespace fot
