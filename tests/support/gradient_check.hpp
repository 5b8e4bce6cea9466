/// What tests of vector-Jacobian products need beside core/gradient_check.hpp.
#pragma once

#include "fot/core/gradient_check.hpp"
#include "support/difference.hpp"
#include "support/with_threads.hpp"

namespace fot::testing {

using fot::gradient_error;

/// sum of x * weight: turns a tensor into a loss whose gradient with respect to x is `weight`.
template <std::size_t N>
double weighted_sum(const Tensor<double, N>& x, const Tensor<double, N>& weight) {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += x.data()[i] * weight.data()[i];
    return sum;
}

}  // namespace fot::testing
