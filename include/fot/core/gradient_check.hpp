/// Checks a gradient: compares what an operation adds to the gradients of its inputs with finite differences of its value.
///
///     Random random(1);
///     Variable<double, 2> x(normal_tensor<double, 2>({3, 4}, 1, random), true);
///     const double error = gradient_error([&](Tape& tape) { return my_operation(tape, x); }, x);     // expected below 1e-6
///
/// Run the check in double. A wrong formula gives an error of about 1, a right one of 1e-9 or less; in float a right one may show
/// 1e-3, because the difference of two values of a loss has few right digits left. This holds away from kinks: no number should lie
/// within two steps of a place where the operation has no derivative, such as the 0 of ReLU.
///
/// Each number is checked at its own scale, so that a small number that is wholly wrong is not lost beside a large one. Differences
/// within rounding are ignored: a derivative that is 0 has differences of about 1e-13 of the loss.
///
/// Read first: core/autograd.hpp.   Read next: nn/linear.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <span>

#include "fot/core/autograd.hpp"
#include "fot/core/parallel.hpp"
#include "fot/core/random.hpp"

namespace fot {

/// Largest relative deviation of a number of `d_x` from the numerical derivative of `loss()` with respect to that number of `x`,
/// beyond what rounding explains. NaN if one of them is NaN. `loss` is called four times per number and reads x where it is; x ends
/// as it began.
///
///     numerical = (8 (loss(x[i] + step) - loss(x[i] - step)) - (loss(x[i] + 2 step) - loss(x[i] - 2 step))) / (12 step)
///     error     = (|numerical - d_x[i]| - rounding) / max(|numerical|, |d_x[i]|),   rounding = 100 epsilon max |loss| / step
///
/// The error of these differences is of order step^4, and of rounding: each value of the loss is right to some epsilons (2e-16).
template <class Loss>
double gradient_error(std::span<double> x, std::span<const double> d_x, Loss&& loss, double step = 1e-3) {
    require<ShapeError>(x.size() == d_x.size(), "gradient_error: x has ", x.size(), " numbers, its gradient ", d_x.size());
    const struct OneThread {  // waking others costs more than a call of a tiny function
        Index before = threads();
        OneThread() { set_threads(1); }
        ~OneThread() { set_threads(before); }
    } alone;
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double before = x[i];
        double largest_loss = 0;
        const auto at = [&](double offset) {
            x[i] = before + offset;
            const auto value = static_cast<double>(loss());
            largest_loss = std::max(largest_loss, std::abs(value));
            return value;
        };
        const double numerical = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
        x[i] = before;
        const double rounding = 100 * std::numeric_limits<double>::epsilon() * largest_loss / step;
        const double beyond_rounding = std::abs(numerical - d_x[i]) - rounding;
        if (beyond_rounding <= 0) continue;
        const double error = beyond_rounding / std::max(std::abs(numerical), std::abs(d_x[i]));
        if (!(error <= worst)) worst = std::isnan(worst) ? worst : error;  // a NaN stays
    }
    return worst;
}

/// The same for a tensor and its gradient.
template <std::size_t N, class Loss>
double gradient_error(Tensor<double, N>& x, const Tensor<double, N>& d_x, Loss&& loss, double step = 1e-3) {
    return gradient_error(std::span<double>(x.storage()), std::span<const double>(d_x.storage()), loss, step);
}

/// Largest error of the gradients that `operation(tape)`, a variable of any shape, gives to `inputs`. The loss is the result under
/// a random weighting, so that no two errors cancel.
///
/// The gradients hold 0.5 beforehand, since an operation must add to what is there. Afterwards they are those of the operation.
template <class Operation, std::size_t... N>
requires std::invocable<Operation&, Tape&>
double gradient_error(Operation&& operation, Variable<double, N>&... inputs) {
    ((inputs.gradient() = full(shape_of(inputs.value()), 0.5)), ...);
    Tape tape;
    const auto y = operation(tape);
    Random random(99);
    const auto d_y = normal_tensor<double>(shape_of(y.value()), 1, random);
    y.gradient() = d_y;
    tape.replay();
    const auto loss = [&] {
        Tape inference(Tape::inference);
        const auto now = operation(inference);
        double sum = 0;
        for (Index i = 0; i < element_count(d_y); ++i) sum += now.value().data()[i] * d_y.data()[i];
        return sum;
    };
    double worst = 0;
    const auto check = [&](auto& input) {
        for (double& d : input.gradient().storage()) d -= 0.5;
        const double error = gradient_error(input.value(), input.gradient(), loss);
        if (!(error <= worst)) worst = std::isnan(worst) ? worst : error;
    };
    (check(inputs), ...);
    return worst;
}

}  // namespace fot
