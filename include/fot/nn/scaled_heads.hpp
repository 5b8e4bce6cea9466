/// A factor for each head of each token: what gates heads, or sharpens their queries.
///
///     y[b,t,h,:] = factors[b,t,h] x[b,t,h,:]
///
/// Read first: nn/arithmetic.hpp.   Read next: remedies/length_temperature.hpp.
#pragma once

#include "fot/core/autograd.hpp"
#include "fot/core/simd.hpp"

namespace fot {

/// Every head vector times its factor.
///
/// Shapes: x (B,T,H,D), factors (B,T,H) -> (B,T,H,D).   Cost: one pass.   Errors: ShapeError if there is not one factor per head.
template <class Real>
Tensor<Real, 4> scaled_heads(const Tensor<Real, 4>& x, const Tensor<Real, 3>& factors) {
    require_shape("scaled_heads: factors", factors, {extent(x, 0), extent(x, 1), extent(x, 2)});
    Tensor<Real, 4> y = empty_like(x);
    const Index width = extent(x, 3);
    parallel_slices(element_count(factors), 256, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i)
            for (Index d = i * width; d < (i + 1) * width; ++d) y.data()[d] = factors.data()[i] * x.data()[d];
    });
    return y;
}

/// `scaled_heads` on the tape: d_x += factor d_y, d_factor += <d_y, x>.
template <class Real>
Variable<Real, 4> scaled_heads(Tape& tape, const Variable<Real, 4>& x, const Variable<Real, 3>& factors) {
    const auto backward = [x, factors](const Tensor<Real, 4>& d_y) {
        if (x.needs_gradient()) x.gradient() += scaled_heads(d_y, factors.value());
        if (!factors.needs_gradient()) return;
        const Index width = extent(d_y, 3);
        Tensor<Real, 3>& d_factors = factors.gradient();
        parallel_slices(element_count(d_factors), 256, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i)
                d_factors.data()[i] += inner_product(d_y.data() + i * width, x.value().data() + i * width, width);
        });
    };
    return tape.record(scaled_heads(x.value(), factors.value()), backward, x, factors);
}

}  // namespace fot
