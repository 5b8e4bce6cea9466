/// Normalisation: of the residual stream by its root mean square, of queries and keys by their length.
///
/// The small models of the paper normalise before each sub-layer with a scale and neither mean nor bias, and make every query
/// and key a unit vector, so that <q, key> is a cosine. What softmax then divides by is a temperature, learned, one per head: it
/// decides how sharply a head can tell a right key among millions of wrong ones. We keep the logarithm of 1/temperature as the
/// parameter (always a positive temperature) and multiply it into the queries, in the pass that normalises them.
///
/// Source: paper appendix A.1 (architecture of the small models). LongLLaMA has the first norm only.
/// Read first: nn/linear.hpp.   Read next: nn/rotary.hpp.
#pragma once

#include <cmath>

#include "fot/core/autograd.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

namespace detail {

inline constexpr Index norm_rows_per_slice = 64;

template <class Real>
Real inner_product(const Real* a, const Real* b, Index count) {
    Real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (Index i = 0; i < count; ++i) sum += a[i] * b[i];
    return sum;
}

}  // namespace detail

/// Root-mean-square normalisation of every row, with a scale per column.
///
///     y[..., e] = scale[e] x[..., e] / sqrt(mean_e x[..., e]^2 + epsilon)
///
/// Shapes: x (..., E), scale (E) -> (..., E).
/// Cost:   about 4 operations a number.
/// Errors: ShapeError if the scale is not as wide as a row; ConfigError unless epsilon, as a Real, is finite and > 0.
template <class Real, std::size_t N>
Tensor<Real, N> rms_norm(const Tensor<Real, N>& x, const Tensor<Real, 1>& scale, double epsilon = 1e-6) {
    const Index width = extent(x, N - 1), rows = width == 0 ? 0 : element_count(x) / width;
    require_shape("rms_norm: scale", scale, {width});
    require<ConfigError>(static_cast<Real>(epsilon) > 0 && std::isfinite(static_cast<Real>(epsilon)), "rms_norm: epsilon is ",
                         epsilon, ", expected a finite number of more than 0");
    Tensor<Real, N> y = empty_like(x);
    parallel_slices(rows, detail::norm_rows_per_slice, [&](Index first, Index last) {
        const Real* s = scale.data();
        for (Index i = first; i < last; ++i) {
            const Real* x_i = x.data() + i * width;
            Real* y_i = y.data() + i * width;
            const Real factor =
                1 / std::sqrt(detail::inner_product(x_i, x_i, width) / static_cast<Real>(width) + static_cast<Real>(epsilon));
#pragma omp simd
            for (Index e = 0; e < width; ++e) y_i[e] = x_i[e] * factor * s[e];
        }
    });
    return y;
}

/// Vector-Jacobian product of `rms_norm`. A null pointer stands for a gradient that nobody needs.
/// The gradient of the scale is summed over slices of rows, then over the slices in their order.
///
/// Shapes: d_y, x (..., E), scale (E); adds to d_x (..., E) and d_scale (E).   Errors: ShapeError otherwise.
template <class Real, std::size_t N>
void rms_norm_vjp(const Tensor<Real, N>& d_y, const Tensor<Real, N>& x, const Tensor<Real, 1>& scale, double epsilon,
                  Tensor<Real, N>* d_x, Tensor<Real, 1>* d_scale) {
    require_shape("rms_norm vjp: d_y", d_y, shape_of(x));
    require_shape("rms_norm vjp: scale", scale, Shape<1>{extent(x, N - 1)});
    if (d_x) require_shape("rms_norm vjp: d_x", *d_x, shape_of(x));
    if (d_scale) require_shape("rms_norm vjp: d_scale", *d_scale, shape_of(scale));
    const Index width = extent(x, N - 1), rows = width == 0 ? 0 : element_count(x) / width, grain = detail::norm_rows_per_slice;
    const Index slices = (rows + grain - 1) / grain;
    Tensor<Real, 2> partial = zeros<Real, 2>({d_scale ? slices : 0, width});
    parallel_slices(rows, grain, [&](Index first, Index last) {
        const Real* s = scale.data();
        Real* d_s = d_scale ? row(partial, first / grain) : nullptr;
        for (Index i = first; i < last; ++i) {
            const Real *x_i = x.data() + i * width, *d_y_i = d_y.data() + i * width;
            const Real factor =
                1 / std::sqrt(detail::inner_product(x_i, x_i, width) / static_cast<Real>(width) + static_cast<Real>(epsilon));
            // y[e] = x[e] * factor * s[e]
            if (d_s) {
#pragma omp simd
                for (Index e = 0; e < width; ++e) d_s[e] += d_y_i[e] * x_i[e] * factor;
            }
            if (!d_x) continue;
            Real sum = 0;  // d(factor)/d(x[e]) = -factor^3 x[e] / width
#pragma omp simd reduction(+ : sum)
            for (Index e = 0; e < width; ++e) sum += d_y_i[e] * s[e] * x_i[e];
            const Real pull = sum * factor * factor * factor / static_cast<Real>(width);
            Real* d_x_i = d_x->data() + i * width;
#pragma omp simd
            for (Index e = 0; e < width; ++e) d_x_i[e] += d_y_i[e] * s[e] * factor - x_i[e] * pull;
        }
    });
    if (d_scale)
        for (Index slice = 0; slice < slices; ++slice)
            for (Index e = 0; e < width; ++e) (*d_scale)(e) += partial(slice, e);
}

/// `rms_norm` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> rms_norm(Tape& tape, const Variable<Real, N>& x, const Variable<Real, 1>& scale, double epsilon = 1e-6) {
    const auto backward = [x, scale, epsilon](const Tensor<Real, N>& d_y) {
        rms_norm_vjp(d_y, x.value(), scale.value(), epsilon, x.needed_gradient(), scale.needed_gradient());
    };
    return tape.record(rms_norm(x.value(), scale.value(), epsilon), backward, x, scale);
}

/// Every head vector made a unit vector, then multiplied by its head's inverse temperature.
///
///     y[b,t,h,:] = exp(log_inverse_temperature[h]) x[b,t,h,:] / sqrt(sum_i x[b,t,h,i]^2 + epsilon)
///
/// A null pointer for the temperatures stands for factors of 1: keys, and queries of a model without temperature.
/// Shapes: x (B,T,H,D), log_inverse_temperature (H) -> (B,T,H,D).
/// Cost:   one pass, about 4 operations a number.
/// Errors: ShapeError if there is not one temperature per head; ConfigError unless epsilon, as a Real, is finite and 0 or more (if
///         it is 0, no vector may be zero).
template <class Real>
Tensor<Real, 4> normalize_heads(const Tensor<Real, 4>& x, const Tensor<Real, 1>* log_inverse_temperature = nullptr,
                                double epsilon = 1e-6) {
    const Index tokens = extent(x, 0) * extent(x, 1), heads = extent(x, 2), width = extent(x, 3);
    if (log_inverse_temperature) require_shape("normalize_heads: log_inverse_temperature", *log_inverse_temperature, {heads});
    require<ConfigError>(epsilon >= 0 && std::isfinite(static_cast<Real>(epsilon)), "normalize_heads: epsilon is ", epsilon,
                         ", expected a finite number of 0 or more");
    Tensor<Real, 1> sharpness = full<Real, 1>({heads}, Real(1));
    for (Index h = 0; log_inverse_temperature && h < heads; ++h) sharpness(h) = std::exp((*log_inverse_temperature)(h));
    Tensor<Real, 4> y = empty_like(x);
    parallel_slices(tokens, detail::norm_rows_per_slice, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i)
            for (Index h = 0; h < heads; ++h) {
                const Real* x_ih = x.data() + (i * heads + h) * width;
                Real* y_ih = y.data() + (i * heads + h) * width;
                const Real length = std::sqrt(detail::inner_product(x_ih, x_ih, width) + static_cast<Real>(epsilon));
                const Real factor = sharpness(h) / length;
#pragma omp simd
                for (Index j = 0; j < width; ++j) y_ih[j] = x_ih[j] * factor;
            }
    });
    return y;
}

/// Vector-Jacobian product of `normalize_heads`. A null pointer stands for what is not there or not needed.
/// The gradient of the temperatures is summed in double over slices of tokens, then over the slices in their order.
///
/// Shapes: d_y, x (B,T,H,D), log_inverse_temperature (H); adds to d_x (B,T,H,D) and d_log_inverse_temperature (H).
/// Errors: ShapeError otherwise.
template <class Real>
void normalize_heads_vjp(const Tensor<Real, 4>& d_y, const Tensor<Real, 4>& x, const Tensor<Real, 1>* log_inverse_temperature,
                         double epsilon, Tensor<Real, 4>* d_x, Tensor<Real, 1>* d_log_inverse_temperature) {
    const Shape<1> per_head{extent(x, 2)};
    require_shape("normalize_heads vjp: d_y", d_y, shape_of(x));
    if (log_inverse_temperature) require_shape("normalize_heads vjp: log_inverse_temperature", *log_inverse_temperature, per_head);
    if (d_x) require_shape("normalize_heads vjp: d_x", *d_x, shape_of(x));
    if (d_log_inverse_temperature)
        require_shape("normalize_heads vjp: d_log_inverse_temperature", *d_log_inverse_temperature, per_head);
    const Index tokens = extent(x, 0) * extent(x, 1), heads = extent(x, 2), width = extent(x, 3),
                grain = detail::norm_rows_per_slice;
    Tensor<Real, 1> sharpness = full<Real, 1>({heads}, Real(1));
    for (Index h = 0; log_inverse_temperature && h < heads; ++h) sharpness(h) = std::exp((*log_inverse_temperature)(h));
    const Index slices = (tokens + grain - 1) / grain;
    Tensor<double, 2> partial = zeros<double, 2>({slices, heads});
    parallel_slices(tokens, grain, [&](Index first, Index last) {
        double* d_log_sharpness = row(partial, first / grain);
        for (Index i = first; i < last; ++i)
            for (Index h = 0; h < heads; ++h) {
                const Index start = (i * heads + h) * width;
                const Real *x_ih = x.data() + start, *d_y_ih = d_y.data() + start;
                const Real inverse_length = 1 / std::sqrt(detail::inner_product(x_ih, x_ih, width) + static_cast<Real>(epsilon));
                // y[j] = x[j] * factor, factor = exp(log_inverse_temperature) * inverse_length
                const Real factor = sharpness(h) * inverse_length, d_factor = detail::inner_product(d_y_ih, x_ih, width);
                d_log_sharpness[h] += static_cast<double>(d_factor * factor);
                if (!d_x) continue;
                // d(factor)/d(x[j]) = -factor x[j] / length^2
                const Real pull = d_factor * factor * inverse_length * inverse_length;
                Real* d_x_ih = d_x->data() + start;
#pragma omp simd
                for (Index j = 0; j < width; ++j) d_x_ih[j] += d_y_ih[j] * factor - x_ih[j] * pull;
            }
    });
    if (!d_log_inverse_temperature) return;
    for (Index h = 0; h < heads; ++h) {
        double sum = 0;
        for (Index slice = 0; slice < slices; ++slice) sum += partial(slice, h);
        (*d_log_inverse_temperature)(h) += static_cast<Real>(sum);
    }
}

/// `normalize_heads` on the tape, without temperature: for keys.
template <class Real>
Variable<Real, 4> normalize_heads(Tape& tape, const Variable<Real, 4>& x, double epsilon = 1e-6) {
    const auto backward = [x, epsilon](const Tensor<Real, 4>& d_y) {
        normalize_heads_vjp<Real>(d_y, x.value(), nullptr, epsilon, &x.gradient(), nullptr);
    };
    return tape.record(normalize_heads<Real>(x.value(), nullptr, epsilon), backward, x);
}

/// `normalize_heads` on the tape, times the learned inverse temperature of each head: for queries.
template <class Real>
Variable<Real, 4> normalize_heads(Tape& tape, const Variable<Real, 4>& x, const Variable<Real, 1>& log_inverse_temperature,
                                  double epsilon = 1e-6) {
    const auto backward = [x, log_inverse_temperature, epsilon](const Tensor<Real, 4>& d_y) {
        normalize_heads_vjp(d_y, x.value(), &log_inverse_temperature.value(), epsilon, x.needed_gradient(),
                            log_inverse_temperature.needed_gradient());
    };
    return tape.record(normalize_heads(x.value(), &log_inverse_temperature.value(), epsilon), backward, x, log_inverse_temperature);
}

}  // namespace fot
