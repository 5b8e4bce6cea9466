/// Arithmetic of whole tensors, element by element: sum, difference, product, a factor, the sigmoid; and the sum of all elements.
///
/// A decoder needs two of them: `add` for its residual stream, and `multiply` for the scale of scores. The others are there to
/// put together a layer or a loss of one's own. Both tensors must have the same shape: nothing is repeated to fit. Each function is
/// followed by its form on the tape, whose second line is the gradient.
///
/// Read first: core/autograd.hpp.   Read next: nn/slices.hpp.
#pragma once

#include <type_traits>

#include "fot/core/autograd.hpp"
#include "fot/core/exponential.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

namespace detail {

/// f(y[i], x[i]...) for every i, on all threads.
template <class F, class Real, std::size_t N, class... Tensors>
void elementwise(F f, Tensor<Real, N>& y, const Tensors&... x) {
    const auto run = [f](Index first, Index last, Real* y_at, const auto*... x_at) {
        for (Index i = first; i < last; ++i) f(y_at[i], x_at[i]...);
    };
    parallel_slices(element_count(y), 1 << 15, [&](Index first, Index last) { run(first, last, y.data(), x.data()...); });
}

/// y = f(y, x...) vector by vector: for an f with an exponential in it, which the compiler would call for one number after another,
/// or with a choice, of which it would make a branch. f is given y, too, whatever it holds.
template <class F, class Real, std::size_t N, class... Tensors>
void elementwise_in_vectors(F f, Tensor<Real, N>& y, const Tensors&... x) {
    parallel_slices(element_count(y), 1 << 15, [&](Index first, Index last) {
        for_each_vector<SimdVector<Real>>(
            last - first, [&](auto at) { at.store(f(at.load(y.data() + first), at.load(x.data() + first)...), y.data() + first); });
    });
}

/// f(a[i], b[i]) for every i.   Errors: ShapeError, in the name of `what`, if the two shapes differ.
template <class F, class Real, std::size_t N>
Tensor<Real, N> of_each_pair(F f, const char* what, const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    require_shape(what, b, shape_of(a));
    Tensor<Real, N> y = empty_like(a);
    elementwise([f](Real& y_i, Real a_i, Real b_i) { y_i = f(a_i, b_i); }, y, a, b);
    return y;
}

/// Adds f(d_y[i], other[i]...) to the gradient of x, if it needs one.
template <class F, class Real, std::size_t N, class... Others>
void add_to_gradient(F f, const Variable<Real, N>& x, const Tensor<Real, N>& d_y, const Others&... other) {
    if (x.needs_gradient()) elementwise([f](Real& d_x_i, auto... at_i) { d_x_i += f(at_i...); }, x.gradient(), d_y, other...);
}

}  // namespace detail

/// a + b: the residual stream and what a sub-layer adds to it.   Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> add(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    return detail::of_each_pair([](Real a_i, Real b_i) { return a_i + b_i; }, "add: b", a, b);
}

/// `add` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> add(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) {
        for (const auto& x : {a, b}) detail::add_to_gradient([](Real d_y_i) { return d_y_i; }, x, d_y);
    };
    return tape.record(add(a.value(), b.value()), backward, a, b);
}

/// a - b.   Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> difference(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    return detail::of_each_pair([](Real a_i, Real b_i) { return a_i - b_i; }, "difference: b", a, b);
}

/// `difference` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> difference(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) {
        detail::add_to_gradient([](Real d_y_i) { return d_y_i; }, a, d_y);
        detail::add_to_gradient([](Real d_y_i) { return -d_y_i; }, b, d_y);
    };
    return tape.record(difference(a.value(), b.value()), backward, a, b);
}

/// y[i] = a[i] b[i].   Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> product(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    return detail::of_each_pair([](Real a_i, Real b_i) { return a_i * b_i; }, "product: b", a, b);
}

/// `product` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> product(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) {
        const auto times_other = [](Real d_y_i, Real other_i) { return d_y_i * other_i; };
        detail::add_to_gradient(times_other, a, d_y, b.value());
        detail::add_to_gradient(times_other, b, d_y, a.value());
    };
    return tape.record(product(a.value(), b.value()), backward, a, b);
}

/// factor x.
template <class Real, std::size_t N>
Tensor<Real, N> multiply(const Tensor<Real, N>& x, std::type_identity_t<Real> factor) {
    Tensor<Real, N> y = empty_like(x);
    detail::elementwise([factor](Real& y_i, Real x_i) { y_i = factor * x_i; }, y, x);
    return y;
}

/// `multiply` on the tape. The factor is a constant.
template <class Real, std::size_t N>
Variable<Real, N> multiply(Tape& tape, const Variable<Real, N>& x, std::type_identity_t<Real> factor) {
    const auto backward = [x, factor](const Tensor<Real, N>& d_y) {
        detail::add_to_gradient([factor](Real d_y_i) { return factor * d_y_i; }, x, d_y);
    };
    return tape.record(multiply(x.value(), factor), backward, x);
}

/// y[i] = 1 / (1 + e^-x[i]): a number between 0 and 1, for gates.
template <class Real, std::size_t N>
Tensor<Real, N> sigmoid(const Tensor<Real, N>& x) {
    Tensor<Real, N> y = empty_like(x);
    detail::elementwise_in_vectors([](auto, auto x_i) { return 1 / (1 + exponential(-x_i)); }, y, x);
    return y;
}

/// `sigmoid` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> sigmoid(Tape& tape, const Variable<Real, N>& x) {
    const auto backward = [x](const Tensor<Real, N>& y, const Tensor<Real, N>& d_y) {
        detail::add_to_gradient([](Real d_y_i, Real y_i) { return d_y_i * y_i * (1 - y_i); }, x, d_y, y);
    };
    return tape.record(sigmoid(x.value()), backward, x);
}

/// The sum of all numbers as one number, shape (1), added up in double: what makes a loss of a tensor. (Of a tensor without a tape
/// it is `xt::sum<double>(x)()`.)
template <class Real, std::size_t N>
Variable<Real, 1> sum(Tape& tape, const Variable<Real, N>& x) {
    const auto backward = [x](const Tensor<Real, 1>& d_y) { x.gradient() += d_y(0); };
    return tape.record(full<Real, 1>({1}, static_cast<Real>(xt::sum<double>(x.value())())), backward, x);
}

}  // namespace fot
