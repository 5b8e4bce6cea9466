/// Finite differences in double, against which every vector-Jacobian product is checked.
#pragma once

#include <cmath>

#include "support/difference.hpp"
#include "support/with_threads.hpp"

namespace fot::testing {

/// Largest deviation of `d_x` from the numerical gradient of `loss()` with respect to `x`, relative to the largest gradient.
/// Four-point central differences: the error of the method is of order step^4. `loss` reads x by reference. On one thread: waking
/// others costs more than a call of a tiny function.
template <std::size_t N, class Loss>
double gradient_error(Tensor<double, N>& x, const Tensor<double, N>& d_x, Loss&& loss, double step = 1e-3) {
    const WithThreads alone(1);
    double worst = 0, largest = 1e-8;
    for (std::size_t i = 0; i < x.size(); ++i) {
        double& element = x.data()[i];
        const double before = element;
        const auto at = [&](double offset) {
            element = before + offset;
            return static_cast<double>(loss());
        };
        const double numerical = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
        element = before;
        worst = worse(worst, std::abs(numerical - d_x.data()[i]));
        largest = std::max({largest, std::abs(numerical), std::abs(d_x.data()[i])});
    }
    return worst / largest;
}

/// sum of x * weight: turns a tensor into a loss whose gradient with respect to x is `weight`.
template <std::size_t N>
double weighted_sum(const Tensor<double, N>& x, const Tensor<double, N>& weight) {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += x.data()[i] * weight.data()[i];
    return sum;
}

}  // namespace fot::testing
