/// Root-mean-square normalisation: every token's numbers are brought to a common size before a sub-layer reads them.
///
/// The residual stream grows from layer to layer, as each layer adds to it. A sub-layer that reads it normalised sees numbers of
/// the same size at every depth, which keeps its gradients in range. No mean is subtracted and no bias is added; a learned scale
/// for each column remains.
///
/// Source: Zhang and Sennrich 2019; paper appendix A.1 (LongLLaMA). Appendix B.1 says "layer normalization" for the small models;
/// their code takes no mean and adds no bias either.
/// Read first: nn/linear.hpp.   Read next: nn/unit_heads.hpp.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "fot/core/autograd.hpp"
#include "fot/core/parallel.hpp"
#include "fot/core/simd.hpp"

namespace fot {

namespace detail {

inline constexpr Index norm_rows_per_slice = 64;

/// 1 / sqrt(x). NaN if x is infinite: 0 would turn a row whose squares are too large for a Real silently into zeros.
template <class Real>
Real inverse_root(Real x) {
    return std::isinf(x) ? std::numeric_limits<Real>::quiet_NaN() : 1 / std::sqrt(x);
}

/// 1 / sqrt(mean_e x[e]^2 + epsilon) of a row.
template <class Real>
Real inverse_root_mean_square(const Real* x, Index width, double epsilon) {
    return inverse_root(inner_product(x, x, width) / static_cast<Real>(width) + static_cast<Real>(epsilon));
}

}  // namespace detail

/// Root-mean-square normalisation of every row, with a scale for each column.
///
///     y[..., e] = scale[e] x[..., e] / sqrt(mean_e x[..., e]^2 + epsilon)       NaN if the squares are too large for a Real
///
/// Shapes: x (..., E), scale (E) -> (..., E).
/// Cost:   about 4 operations a number.
/// Errors: ShapeError if the scale is not as wide as a row; ConfigError unless epsilon, as a Real, is finite and above 0.
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
            Real* __restrict y_i = y.data() + i * width;
            const Real factor = detail::inverse_root_mean_square(x_i, width, epsilon);
            for (Index e = 0; e < width; ++e) y_i[e] = x_i[e] * factor * s[e];
        }
    });
    return y;
}

/// Vector-Jacobian product of `rms_norm`. A null pointer stands for a gradient that nobody needs.
/// The gradient of the scale is summed over slices of rows, then over the slices in their order.
///
/// Shapes: d_y, x (..., E), scale (E); adds to d_x (..., E) and d_scale (E).   Errors: ShapeError otherwise.
template <class Real, std::size_t N, class V = SimdVector<Real>>
void rms_norm_vjp(const Tensor<Real, N>& d_y, const Tensor<Real, N>& x, const Tensor<Real, 1>& scale, double epsilon,
                  std::type_identity_t<Tensor<Real, N>>* d_x, std::type_identity_t<Tensor<Real, 1>>* d_scale) {
    require_shape("rms_norm vjp: d_y", d_y, shape_of(x));
    require_shape("rms_norm vjp: scale", scale, Shape<1>{extent(x, N - 1)});
    if (d_x) require_shape("rms_norm vjp: d_x", *d_x, shape_of(x));
    if (d_scale) require_shape("rms_norm vjp: d_scale", *d_scale, shape_of(scale));
    const Index width = extent(x, N - 1), rows = width == 0 ? 0 : element_count(x) / width, grain = detail::norm_rows_per_slice;
    Tensor<Real, 2> partial = zeros<Real, 2>({d_scale ? (rows + grain - 1) / grain : 0, width});
    parallel_slices(rows, grain, [&](Index first, Index last) {
        const Real* s = scale.data();
        Real* __restrict d_s = d_scale ? row(partial, first / grain) : nullptr;
        for (Index i = first; i < last; ++i) {
            const Real *x_i = x.data() + i * width, *d_y_i = d_y.data() + i * width;
            const Real factor = detail::inverse_root_mean_square(x_i, width, epsilon);
            // y[e] = x[e] * factor * s[e]
            if (d_s)
                for (Index e = 0; e < width; ++e) d_s[e] += d_y_i[e] * x_i[e] * factor;
            if (!d_x) continue;
            // d(factor)/d(x[e]) = -factor^3 x[e] / width
            const Real sum = sum_of_vectors<V>(width, [&](auto at) { return at.load(d_y_i) * at.load(s) * at.load(x_i); });
            const Real pull = sum * factor * factor * factor / static_cast<Real>(width);
            Real* __restrict d_x_i = d_x->data() + i * width;
            for (Index e = 0; e < width; ++e) d_x_i[e] += d_y_i[e] * s[e] * factor - x_i[e] * pull;
        }
    });
    for (Index slice = 0; slice < extent(partial, 0); ++slice)
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

}  // namespace fot
