/// The feed-forward layer: a linear map up to a wider hidden layer, an activation, a linear map down.
///
/// It works on each token separately, between two attention layers. The small models of the paper use ReLU, LongLLaMA uses SwiGLU,
/// where a second linear map of the input, through silu(g) = g / (1 + e^-g), is multiplied into the hidden numbers. The squared
/// ReLU learned faster in our toys.
///
/// Source: paper appendix A.1 (LongLLaMA); the code of the Memorizing Transformer (ReLU). The squared ReLU is our choice.
/// Read first: nn/linear.hpp, nn/arithmetic.hpp.   Read next: model/transformer.hpp.
#pragma once

#include "fot/nn/arithmetic.hpp"
#include "fot/nn/linear.hpp"

namespace fot {

/// The activation of the hidden layer.
enum class Activation {
    relu,          ///< max(x, 0)
    squared_relu,  ///< max(x, 0)^2
    swiglu         ///< silu(gate) x, needs a second map
};

namespace detail {

/// max(x, 0) of a vector. There is no branch, which would be guessed wrong for half of the numbers. NaN stays NaN.
template <class V>
V positive_part(const V& x) {
    return larger(V(typename V::value_type(0)), x);
}

}  // namespace detail

/// relu or squared_relu of every number. NaN stays NaN.   Errors: ConfigError for swiglu, which needs two tensors.
template <class Real, std::size_t N>
Tensor<Real, N> activation(const Tensor<Real, N>& x, Activation kind) {
    require<ConfigError>(kind != Activation::swiglu, "activation: swiglu is a function of two tensors, call swiglu(gate, up)");
    Tensor<Real, N> a = empty_like(x);
    if (kind == Activation::relu)
        detail::elementwise_in_vectors([](auto, auto x_i) { return detail::positive_part(x_i); }, a, x);
    else
        detail::elementwise_in_vectors([](auto, auto x_i) { return detail::positive_part(x_i) * detail::positive_part(x_i); }, a,
                                       x);
    return a;
}

/// `activation` on the tape; the slope at 0 is 0.
template <class Real, std::size_t N>
Variable<Real, N> activation(Tape& tape, const Variable<Real, N>& x, Activation kind) {
    const auto backward = [x, kind](const Tensor<Real, N>& d_a) {
        const auto of_relu = [](auto d_x, auto d, auto x_i) { return d_x + select(x_i > 0, d, decltype(d)(Real(0))); };
        const auto of_its_square = [](auto d_x, auto d, auto x_i) {
            return d_x + select(x_i > 0, 2 * x_i * d, decltype(d)(Real(0)));
        };
        if (kind == Activation::relu)
            detail::elementwise_in_vectors(of_relu, x.gradient(), d_a, x.value());
        else
            detail::elementwise_in_vectors(of_its_square, x.gradient(), d_a, x.value());
    };
    return tape.record(activation(x.value(), kind), backward, x);
}

/// The gated activation: a = silu(gate) up, elementwise.   Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> swiglu(const Tensor<Real, N>& gate, const Tensor<Real, N>& up) {
    require_shape("swiglu: gate", gate, shape_of(up));
    Tensor<Real, N> a = empty_like(up);
    detail::elementwise_in_vectors([](auto, auto g, auto u) { return g / (1 + exponential(-g)) * u; }, a, gate, up);
    return a;
}

/// `swiglu` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> swiglu(Tape& tape, const Variable<Real, N>& gate, const Variable<Real, N>& up) {
    const auto backward = [gate, up](const Tensor<Real, N>& d_a) {
        // silu(g) = g s with s = 1 / (1 + e^-g), silu'(g) = s (1 + g (1 - s))
        const auto to_gate = [](auto d_g, auto d, auto g, auto u) {
            const auto s = 1 / (1 + exponential(-g));
            return d_g + d * u * s * (1 + g * (1 - s));
        };
        const auto to_up = [](auto d_u, auto d, auto g) { return d_u + d * g / (1 + exponential(-g)); };
        if (gate.needs_gradient()) detail::elementwise_in_vectors(to_gate, gate.gradient(), d_a, gate.value(), up.value());
        if (up.needs_gradient()) detail::elementwise_in_vectors(to_up, up.gradient(), d_a, gate.value());
    };
    return tape.record(swiglu(gate.value(), up.value()), backward, gate, up);
}

/// The feed-forward layer.
///
///     y = down activation(up x),   or with swiglu   y = down (silu(gate x) (up x))
///
/// `gate` belongs to swiglu alone and is left out otherwise. A matrix is a Variable<Real, 2>, or a LinearMap (nn/linear_map.hpp).
/// Shapes: x (B,T,E), up and gate (F,E), down (E,F) -> (B,T,E).
/// Saves:  the hidden layer before and after the activation, (B,T,F) each.
/// Cost:   2 B T E F multiply-adds, 3 B T E F with swiglu.
/// Errors: ShapeError if a weight does not fit; ConfigError if the gate is missing for swiglu, or given without it.
template <class Real, class Matrix>
Variable<Real, 3> feed_forward(Tape& tape, const Variable<Real, 3>& x, const Matrix& up, const Matrix& down, Activation kind,
                               const Matrix& gate = {}) {
    require<ConfigError>(
        (kind == Activation::swiglu) == static_cast<bool>(gate),
        gate ? "feed_forward: a gate weight is given, but only swiglu has one" : "feed_forward: swiglu needs a gate weight");
    const Variable<Real, 3> hidden = linear(tape, x, up);
    return linear(tape, gate ? swiglu(tape, linear(tape, x, gate), hidden) : activation(tape, hidden, kind), down);
}

}  // namespace fot
