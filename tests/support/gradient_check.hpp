/// Finite differences in double, against which every vector-Jacobian product is checked.
#pragma once

#include <cmath>

#include "fot/core/parallel.hpp"
#include "fot/core/tensor.hpp"

namespace fot::testing {

/// One thread while it lives: finite differences call tiny functions thousands of times, and waking others costs more than the
/// work.
class OneThread {
   public:
    OneThread() : before_(threads()) { set_threads(1); }
    ~OneThread() { set_threads(before_); }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

   private:
    Index before_;
};

/// Largest deviation of `d_x` from the numerical gradient of `loss()` with respect to `x`, relative to the largest gradient.
/// Four-point central differences: the error of the method is of order step^4. `loss` reads x by reference.
template <std::size_t N, class Loss>
double gradient_error(Tensor<double, N>& x, const Tensor<double, N>& d_x, Loss&& loss, double step = 1e-3) {
    const OneThread alone;
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
        worst = std::max(worst, std::abs(numerical - d_x.data()[i]));
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

/// Largest absolute difference of two tensors of the same shape.
template <class Real, std::size_t N>
double largest_difference(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    require_shape("largest_difference", a, shape_of(b));
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
    return worst;
}

}  // namespace fot::testing
