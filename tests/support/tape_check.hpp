/// Variables and replays for tests of operations as they run on the tape.
#pragma once

#include "fot/core/autograd.hpp"
#include "fot/core/random.hpp"
#include "support/gradient_check.hpp"

namespace fot::testing {

/// A variable of standard normal numbers that needs a gradient.
template <std::size_t N>
Variable<double, N> normal_variable(const Shape<N>& shape, Random& random) {
    return Variable<double, N>(normal_tensor<double, N>(shape, 1, random), true);
}

/// Replays the tape as if the loss had the gradient `d_y` with respect to y.
template <class Real, std::size_t N>
void replay(Tape& tape, const Variable<Real, N>& y, const Tensor<Real, N>& d_y) {
    y.gradient() = d_y;
    tape.replay();
}

/// The library's check of an operation on the tape.
template <class Operation, class... Inputs>
double tape_gradient_error(Operation&& operation, Inputs&... inputs) {
    return fot::gradient_error(operation, inputs...);
}

}  // namespace fot::testing
