/// The feed-forward layer: widen, bend, narrow.
///
/// The small models of the paper use ReLU, LongLLaMA uses SwiGLU, whose hidden numbers are multiplied by a second map of the
/// input, bent by silu(x) = x / (1 + e^-x). The squared ReLU learns faster at small sizes.
///
/// The hidden layer is the widest tensor of a model. `feed_forward` therefore works through slices of rows, each bent while it is
/// still in the cache, and keeps only the numbers before the bend: its backward pass makes the others again.
///
/// Source: paper appendix A.1.
/// Read first: nn/linear.hpp.   Read next: model/transformer.hpp.
#pragma once

#include <memory>
#include <utility>

#include "fot/core/exponential.hpp"
#include "fot/core/parallel.hpp"
#include "fot/nn/linear.hpp"

namespace fot {

/// What bends the hidden layer.
enum class Activation {
    relu,          ///< max(x, 0)
    squared_relu,  ///< max(x, 0)^2
    swiglu         ///< silu(gate) * x, needs a second map
};

namespace detail {

inline constexpr Index elements_per_slice = 1 << 15, feed_forward_rows_per_slice = 256;

/// 1 / (1 + e^-x) of every number of a vector.
template <class V>
V fast_sigmoid(const V& x) {
    return 1 / (1 + exponential(-x));
}

/// a[i] = bend(x[i]). NaN stays NaN.
template <class Real>
void bend(const Real* x, Index count, Activation activation, Real* a) {
    if (activation == Activation::relu)
        for (Index i = 0; i < count; ++i) a[i] = x[i] < 0 ? Real(0) : x[i];
    else
        for (Index i = 0; i < count; ++i) a[i] = x[i] < 0 ? Real(0) : x[i] * x[i];
}

/// d_x[i] = d_a[i] bend'(x[i]); the slope at 0 is 0.
template <class Real>
void bend_vjp(const Real* d_a, const Real* x, Index count, Activation activation, Real* d_x) {
    if (activation == Activation::relu)
        for (Index i = 0; i < count; ++i) d_x[i] = x[i] > 0 ? d_a[i] : Real(0);
    else
        for (Index i = 0; i < count; ++i) d_x[i] = x[i] > 0 ? 2 * x[i] * d_a[i] : Real(0);
}

/// a[i] = silu(gate[i]) x[i].
template <class Real>
void bend_gated(const Real* gate, const Real* x, Index count, Real* a) {
    for_each_vector<Vector<Real>>(count, [&](auto at) {
        const Vector<Real> g = at.load(gate);
        at.store(g * fast_sigmoid(g) * at.load(x), a);
    });
}

/// d_gate[i], d_x[i] = their parts of d_a[i].
template <class Real>
void bend_gated_vjp(const Real* d_a, const Real* gate, const Real* x, Index count, Real* d_gate, Real* d_x) {
    for_each_vector<Vector<Real>>(count, [&](auto at) {
        const Vector<Real> g = at.load(gate), s = fast_sigmoid(g), d = at.load(d_a);
        // silu(g) = g s(g), silu'(g) = s (1 + g (1 - s))
        at.store(d * at.load(x) * s * (1 + g * (1 - s)), d_gate);
        at.store(d * g * s, d_x);
    });
}

}  // namespace detail

/// The gated bend: a = silu(gate) up, number by number. For models without gradients; training fuses it into feed_forward.
///
/// Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> swiglu(const Tensor<Real, N>& gate, const Tensor<Real, N>& up) {
    require_shape("swiglu: gate", gate, shape_of(up));
    Tensor<Real, N> a = empty_like(up);
    parallel_slices(element_count(up), detail::elements_per_slice, [&](Index first, Index last) {
        detail::bend_gated(gate.data() + first, up.data() + first, last - first, a.data() + first);
    });
    return a;
}

/// The three weights of a feed-forward layer, or their gradients. `gate` is null unless the activation is swiglu.
template <class Matrix>
struct FeedForwardWeights {
    Matrix* up;    ///< (F, E)
    Matrix* down;  ///< (E, F)
    Matrix* gate;  ///< (F, E), or null
};

/// The hidden layer before the bend: what the backward pass needs. `gate` is empty unless the activation is swiglu.
template <class Real>
struct FeedForwardHidden {
    Tensor<Real, 2> up;    ///< (tokens, F)
    Tensor<Real, 2> gate;  ///< (tokens, F), or empty
};

namespace detail {

template <class Real>
void require_weights(const Tensor<Real, 3>& x, const FeedForwardWeights<const Tensor<Real, 2>>& weights, Activation kind) {
    const Index width = extent(x, 2), wide = extent(*weights.up, 0);
    const bool gated = kind == Activation::swiglu;
    require<ConfigError>(gated == (weights.gate != nullptr), gated
                                                                 ? "feed_forward: swiglu needs a gate weight"
                                                                 : "feed_forward: a gate weight is given, but only swiglu has one");
    require_shape("feed_forward: up", *weights.up, {-1, width});
    require_shape("feed_forward: down", *weights.down, {width, wide});
    if (gated) require_shape("feed_forward: gate", *weights.gate, {wide, width});
}

}  // namespace detail

/// The feed-forward layer.
///
///     y = down bend(up x),   or with swiglu   y = down (silu(gate x) (up x))
///
/// Shapes: x (B,T,E), up and gate (F,E), down (E,F) -> (B,T,E).   Saves: the hidden layer before the bend, (B*T,F) each.
/// Cost:   2 B T E F multiply-adds, 3 with swiglu.
/// Errors: ShapeError if a weight does not fit; ConfigError if the gate is missing for swiglu, or given without it.
/// Same as: linear, the bend, linear.
template <class Real>
Tensor<Real, 3> feed_forward(const Tensor<Real, 3>& x, const FeedForwardWeights<const Tensor<Real, 2>>& weights, Activation kind,
                             FeedForwardHidden<Real>& hidden) {
    const Index width = extent(x, 2), wide = extent(*weights.up, 0), rows = extent(x, 0) * extent(x, 1);
    const bool gated = kind == Activation::swiglu;
    detail::require_weights(x, weights, kind);
    hidden.up = empty<Real, 2>({rows, wide});
    hidden.gate = empty<Real, 2>({gated ? rows : 0, wide});
    Tensor<Real, 3> y = empty_like(x);
    parallel_slices(rows, detail::feed_forward_rows_per_slice, [&](Index first, Index last) {
        const Index count = last - first;
        const MatrixView<const Real> x_rows = matrix(x.data() + first * width, count, width);
        Real *up = row(hidden.up, first), *gate = gated ? row(hidden.gate, first) : nullptr;
        Tensor<Real, 2> bent = empty<Real, 2>({count, wide});
        gemm(Real(1), x_rows, transpose(as_matrix(*weights.up)), Real(0), matrix(up, count, wide));
        if (gated) {
            gemm(Real(1), x_rows, transpose(as_matrix(*weights.gate)), Real(0), matrix(gate, count, wide));
            detail::bend_gated(gate, up, count * wide, bent.data());
        } else {
            detail::bend(up, count * wide, kind, bent.data());
        }
        gemm(Real(1), as_matrix(bent), transpose(as_matrix(*weights.down)), Real(0),
             matrix(y.data() + first * width, count, width));
    });
    return y;
}

/// Vector-Jacobian product of `feed_forward`. A null pointer stands for a gradient that nobody needs.
///
/// Shapes: d_y, x (B,T,E); adds to d_x (B,T,E) and to the weights' gradients.   Scratch: the hidden layer twice (thrice with
/// swiglu). Cost:   twice the forward pass.
/// Errors: ShapeError, ConfigError as `feed_forward`; ShapeError unless each gradient has the shape of what it belongs to.
template <class Real>
void feed_forward_vjp(const Tensor<Real, 3>& d_y, const Tensor<Real, 3>& x,
                      const FeedForwardWeights<const Tensor<Real, 2>>& weights, Activation kind,
                      const FeedForwardHidden<Real>& hidden, Tensor<Real, 3>* d_x,
                      const FeedForwardWeights<Tensor<Real, 2>>& d_weights) {
    const Index width = extent(x, 2), wide = extent(*weights.up, 0), rows = extent(x, 0) * extent(x, 1);
    const bool gated = kind == Activation::swiglu;
    detail::require_weights(x, weights, kind);
    require_shape("feed_forward vjp: d_y", d_y, shape_of(x));
    require_shape("feed_forward vjp: hidden.up", hidden.up, {rows, wide});
    require_shape("feed_forward vjp: hidden.gate", hidden.gate, {gated ? rows : 0, wide});
    if (d_x) require_shape("feed_forward vjp: d_x", *d_x, shape_of(x));
    if (d_weights.up) require_shape("feed_forward vjp: d_weights.up", *d_weights.up, shape_of(*weights.up));
    if (d_weights.down) require_shape("feed_forward vjp: d_weights.down", *d_weights.down, shape_of(*weights.down));
    if (d_weights.gate) require_shape("feed_forward vjp: d_weights.gate", *d_weights.gate, shape_of(*weights.up));
    Tensor<Real, 2> bent = empty<Real, 2>({rows, wide}), d_up = empty_like(bent), d_gate = empty<Real, 2>({gated ? rows : 0, wide});
    parallel_slices(rows, detail::feed_forward_rows_per_slice, [&](Index first, Index last) {
        const Index count = last - first, size = count * wide;
        const Real* up = row(hidden.up, first);
        Real *a = row(bent, first), *d_up_rows = row(d_up, first);
        Tensor<Real, 2> d_bent = empty<Real, 2>({count, wide});
        // y = bent down^T
        gemm(Real(1), matrix(d_y.data() + first * width, count, width), as_matrix(*weights.down), Real(0), as_matrix(d_bent));
        if (gated) {
            const Real* gate = row(hidden.gate, first);
            detail::bend_gated(gate, up, size, a);
            detail::bend_gated_vjp(d_bent.data(), gate, up, size, row(d_gate, first), d_up_rows);
        } else {
            detail::bend(up, size, kind, a);
            detail::bend_vjp(d_bent.data(), up, size, kind, d_up_rows);
        }
        if (!d_x) return;
        const MatrixView<Real> d_x_rows = matrix(d_x->data() + first * width, count, width);
        // up = x W_up^T, gate = x W_gate^T
        gemm(Real(1), matrix(d_up_rows, count, wide), as_matrix(*weights.up), Real(1), d_x_rows);
        if (gated) gemm(Real(1), matrix(row(d_gate, first), count, wide), as_matrix(*weights.gate), Real(1), d_x_rows);
    });
    const MatrixView<const Real> x_rows = matrix(x.data(), rows, width), d_y_rows = matrix(d_y.data(), rows, width);
    if (d_weights.down) gemm(Real(1), transpose(d_y_rows), as_matrix(bent), Real(1), as_matrix(*d_weights.down));
    if (d_weights.up) gemm(Real(1), transpose(as_matrix(d_up)), x_rows, Real(1), as_matrix(*d_weights.up));
    if (d_weights.gate) gemm(Real(1), transpose(as_matrix(d_gate)), x_rows, Real(1), as_matrix(*d_weights.gate));
}

/// `feed_forward` on the tape. `gate` belongs to swiglu alone and is left out otherwise.
template <class Real>
Variable<Real, 3> feed_forward(Tape& tape, const Variable<Real, 3>& x, const Variable<Real, 2>& up, const Variable<Real, 2>& down,
                               Activation kind, const Variable<Real, 2>& gate = {}) {
    using Weights = FeedForwardWeights<const Tensor<Real, 2>>;
    const auto values = [up, down, gate] { return Weights{&up.value(), &down.value(), gate ? &gate.value() : nullptr}; };
    const auto hidden = std::make_shared<FeedForwardHidden<Real>>();
    Tensor<Real, 3> y = feed_forward(x.value(), values(), kind, *hidden);
    const auto backward = [x, up, down, gate, values, kind, hidden](const Tensor<Real, 3>& d_y) {
        feed_forward_vjp(d_y, x.value(), values(), kind, *hidden, x.needed_gradient(),
                         {up.needed_gradient(), down.needed_gradient(), gate.needed_gradient()});
    };
    return tape.record(std::move(y), backward, x, up, down, gate);
}

}  // namespace fot
