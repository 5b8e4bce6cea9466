/// Gradient clipping: the norm of all gradients together, and the largest value it may have.
///
/// One bad batch can throw a model far off. Clipping shortens the whole gradient and keeps its direction. The norm is also the
/// cheapest sign that a training run is in trouble: it rises before the loss does. A `Trainer` clips if `largest_gradient_norm` is
/// set; optimisers do not clip by themselves.
///
/// Read first: core/parameter.hpp.   Read next: train/adamw.hpp.
#pragma once

#include <array>
#include <cmath>
#include <numeric>

#include "fot/core/parallel.hpp"
#include "fot/core/parameter.hpp"

namespace fot {

/// The Euclidean norm of all gradients taken as one long vector, summed in double.
///
/// Errors: NumericError that names the first parameter whose gradient is not finite; NumericError if the squares are too many for
///         a double.
template <class Real>
double global_norm(const std::vector<Parameter<Real>>& parameters) {
    std::vector<double> squares(parameters.size());
    parallel_for(length_of(parameters), [&](Index p) {
        const std::span<const Real> gradient = element(parameters, p).gradient();
        std::array<double, 16> sums{};  // not one, of which each addition would wait for the one before it
        const auto square = [&](std::size_t i) { return static_cast<double>(gradient[i]) * static_cast<double>(gradient[i]); };
        std::size_t i = 0;
        for (; gradient.size() - i >= sums.size(); i += sums.size())
            for (std::size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += square(i + lane);
        for (; i < gradient.size(); ++i) sums[0] += square(i);
        element(squares, p) = std::accumulate(sums.begin(), sums.end(), 0.0);
    });
    double total = 0;
    for (std::size_t p = 0; p < squares.size(); ++p) {
        require<NumericError>(std::isfinite(squares[p]), "global_norm: the gradient of ", parameters[p].name,
                              " is not finite: its squares add up to ", std::isnan(squares[p]) ? "nan" : "inf");
        total += squares[p];
    }
    require<NumericError>(std::isfinite(total), "global_norm: the squares of all gradients add up to more than a double holds");
    return std::sqrt(total);
}

/// Shortens the gradients to the common norm `max_norm` if theirs is that long or longer. Returns the norm before.
///
///     g <- g * max_norm / norm      if norm >= max_norm
///
/// Errors: ConfigError if max_norm is not positive; NumericError as `global_norm`, with the gradients left as they were.
template <class Real>
double clip_by_global_norm(const std::vector<Parameter<Real>>& parameters, double max_norm) {
    require<ConfigError>(max_norm > 0, "clip_by_global_norm: largest norm ", max_norm, " is not positive");
    const double norm = global_norm(parameters);
    if (norm < max_norm) return norm;
    const Real factor = static_cast<Real>(max_norm / norm);
    for (const auto& parameter : parameters)
        for (Real& g : parameter.gradient()) g *= factor;
    return norm;
}

}  // namespace fot
