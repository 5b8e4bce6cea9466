/// Gradient check of an operation as it runs on the tape.
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

/// Largest relative error of the gradients that `operation(tape)` gives to the inputs, under a random weighting of its result.
/// The gradients hold 0.5 beforehand: an operation must add to what is there.
template <class Operation, class... Inputs>
double tape_gradient_error(Operation&& operation, Inputs&... inputs) {
    ((inputs.gradient() = full(shape_of(inputs.value()), 0.5)), ...);
    Tape tape;
    const auto y = operation(tape);
    Random random(99);
    const auto d_y = normal_tensor<double>(shape_of(y.value()), 1, random);
    replay(tape, y, d_y);
    const auto loss = [&] {
        Tape inference(Tape::inference);
        return weighted_sum(operation(inference).value(), d_y);
    };
    double worst = 0;
    const auto check = [&](auto& input) {
        for (auto& element : input.gradient().storage()) element -= 0.5;
        worst = worse(worst, gradient_error(input.value(), input.gradient(), loss));
    };
    (check(inputs), ...);
    return worst;
}

}  // namespace fot::testing
