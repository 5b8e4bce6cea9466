/// Errors, and the largest of them.
#pragma once

#include <cmath>

#include "fot/core/tensor.hpp"

namespace fot::testing {

/// The larger of two errors. NaN is larger than any and stays; std::max would drop it.
inline double worse(double worst, double error) { return std::isnan(worst) || error <= worst ? worst : error; }

/// Largest absolute difference of two tensors of the same shape. Equal infinities do not differ.
template <class First, class Second, std::size_t N>
double largest_difference(const Tensor<First, N>& a, const Tensor<Second, N>& b) {
    require_shape("largest_difference", a, shape_of(b));
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const auto x = static_cast<double>(a.data()[i]), y = static_cast<double>(b.data()[i]);
        if (x != y) worst = worse(worst, std::abs(x - y));
    }
    return worst;
}

}  // namespace fot::testing
