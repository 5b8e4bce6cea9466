/// Gradient clipping: the norm of all gradients together, and its limit.
///
/// One bad batch can throw a model far off. Clipping shortens the whole gradient and keeps its direction. The norm is also the
/// cheapest watch on a training run: it goes bad before the loss does.
///
/// Read first: core/parameter.hpp.   Read next: train/adamw.hpp.
#pragma once

#include <cmath>

#include "fot/core/parallel.hpp"
#include "fot/core/parameter.hpp"

namespace fot {

/// The Euclidean norm of all gradients taken as one long vector, summed in double.
///
/// Errors: NumericError that names the first parameter whose gradient is not finite.
template <class Real>
double global_norm(const std::vector<Parameter<Real>>& parameters) {
    std::vector<double> squares(parameters.size());
    parallel_for(length_of(parameters), [&](Index p) {
        const std::span<const Real> gradient = element(parameters, p).gradient();
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::size_t i = 0; i < gradient.size(); ++i) {
            const double g = static_cast<double>(gradient[i]);
            sum += g * g;
        }
        element(squares, p) = sum;
    });
    double total = 0;
    for (std::size_t p = 0; p < squares.size(); ++p) {
        require<NumericError>(std::isfinite(squares[p]), "global_norm: the gradient of ", parameters[p].name,
                              " is not finite: its squares add up to ", std::isnan(squares[p]) ? "nan" : "inf");
        total += squares[p];
    }
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
