/// Arithmetic of whole tensors, number by number: sum of two, difference, product, a factor, the sigmoid, and the sum of all.
///
/// A decoder needs two of them: `add` for its residual stream, and `multiply` for the scale of scores. The others are there to
/// put together a layer or a loss of one's own. Both tensors must have the same shape: nothing is repeated to fit.
///
/// Read first: core/autograd.hpp.   Read next: nn/slices.hpp.
#pragma once

#include <type_traits>
#include <utility>

#include "fot/core/autograd.hpp"
#include "fot/core/exponential.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

namespace detail {

/// f(y[i], x[i]...) for every i, on all threads.
template <class F, class Real, std::size_t N, class... Tensors>
void elementwise(F f, Tensor<Real, N>& y, const Tensors&... x) {
    const auto run = [f](Index first, Index last, Real* y_at, const auto*... x_at) {
#pragma omp simd
        for (Index i = first; i < last; ++i) f(y_at[i], x_at[i]...);
    };
    parallel_slices(element_count(y), 1 << 15, [&](Index first, Index last) { run(first, last, y.data(), x.data()...); });
}

/// y = f(y, x...) vector by vector: for an f with an exponential in it, which the compiler would call number by number.
template <class F, class Real, std::size_t N, class... Tensors>
void elementwise_in_vectors(F f, Tensor<Real, N>& y, const Tensors&... x) {
    parallel_slices(element_count(y), 1 << 15, [&](Index first, Index last) {
        for_each_vector<SimdVector<Real>>(
            last - first, [&](auto at) { at.store(f(at.load(y.data() + first), at.load(x.data() + first)...), y.data() + first); });
    });
}

/// y += factor x, if there is a y.
template <class Real, std::size_t N>
void add_multiple(Real factor, const Tensor<Real, N>& x, Tensor<Real, N>* y) {
    if (y) elementwise([factor](Real& y_i, Real x_i) { y_i += factor * x_i; }, *y, x);
}

}  // namespace detail

/// a + b: the residual stream and what a sub-layer adds to it.
///
/// Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> add(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    require_shape("add: b", b, shape_of(a));
    Tensor<Real, N> y = empty_like(a);
    detail::elementwise([](Real& y_i, Real a_i, Real b_i) { y_i = a_i + b_i; }, y, a, b);
    return y;
}

/// Vector-Jacobian product of `add`: adds d_y to both. A null pointer stands for a gradient that nobody needs.
/// Errors: ShapeError, from this and the others, unless a gradient has the shape of d_y.
template <class Real, std::size_t N>
void add_vjp(const Tensor<Real, N>& d_y, std::type_identity_t<Tensor<Real, N>>* d_a, std::type_identity_t<Tensor<Real, N>>* d_b) {
    if (d_a) require_shape("add vjp: d_a", *d_a, shape_of(d_y));
    if (d_b) require_shape("add vjp: d_b", *d_b, shape_of(d_y));
    detail::add_multiple(Real(1), d_y, d_a);
    detail::add_multiple(Real(1), d_y, d_b);
}

/// `add` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> add(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) { add_vjp(d_y, a.needed_gradient(), b.needed_gradient()); };
    return tape.record(add(a.value(), b.value()), backward, a, b);
}

/// a - b.   Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> difference(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    require_shape("difference: b", b, shape_of(a));
    Tensor<Real, N> y = empty_like(a);
    detail::elementwise([](Real& y_i, Real a_i, Real b_i) { y_i = a_i - b_i; }, y, a, b);
    return y;
}

/// Vector-Jacobian product of `difference`; null pointers as in add_vjp.
template <class Real, std::size_t N>
void difference_vjp(const Tensor<Real, N>& d_y, std::type_identity_t<Tensor<Real, N>>* d_a,
                    std::type_identity_t<Tensor<Real, N>>* d_b) {
    if (d_a) require_shape("difference vjp: d_a", *d_a, shape_of(d_y));
    if (d_b) require_shape("difference vjp: d_b", *d_b, shape_of(d_y));
    detail::add_multiple(Real(1), d_y, d_a);
    detail::add_multiple(Real(-1), d_y, d_b);
}

/// `difference` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> difference(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) { difference_vjp(d_y, a.needed_gradient(), b.needed_gradient()); };
    return tape.record(difference(a.value(), b.value()), backward, a, b);
}

/// y[i] = a[i] b[i].   Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> product(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    require_shape("product: b", b, shape_of(a));
    Tensor<Real, N> y = empty_like(a);
    detail::elementwise([](Real& y_i, Real a_i, Real b_i) { y_i = a_i * b_i; }, y, a, b);
    return y;
}

/// Vector-Jacobian product of `product`; null pointers as in add_vjp.
template <class Real, std::size_t N>
void product_vjp(const Tensor<Real, N>& d_y, const Tensor<Real, N>& a, const Tensor<Real, N>& b,
                 std::type_identity_t<Tensor<Real, N>>* d_a, std::type_identity_t<Tensor<Real, N>>* d_b) {
    require_shape("product vjp: a", a, shape_of(d_y));
    require_shape("product vjp: b", b, shape_of(d_y));
    if (d_a) require_shape("product vjp: d_a", *d_a, shape_of(d_y));
    if (d_b) require_shape("product vjp: d_b", *d_b, shape_of(d_y));
    const auto add_product = [](Real& d_x_i, Real d_y_i, Real other_i) { d_x_i += d_y_i * other_i; };
    if (d_a) detail::elementwise(add_product, *d_a, d_y, b);
    if (d_b) detail::elementwise(add_product, *d_b, d_y, a);
}

/// `product` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> product(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) {
        product_vjp(d_y, a.value(), b.value(), a.needed_gradient(), b.needed_gradient());
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

/// Vector-Jacobian product of `multiply`.
template <class Real, std::size_t N>
void multiply_vjp(const Tensor<Real, N>& d_y, std::type_identity_t<Real> factor, Tensor<Real, N>& d_x) {
    require_shape("multiply vjp: d_x", d_x, shape_of(d_y));
    detail::add_multiple(factor, d_y, &d_x);
}

/// `multiply` on the tape. The factor is a constant.
template <class Real, std::size_t N>
Variable<Real, N> multiply(Tape& tape, const Variable<Real, N>& x, std::type_identity_t<Real> factor) {
    const auto backward = [x, factor](const Tensor<Real, N>& d_y) { multiply_vjp(d_y, factor, x.gradient()); };
    return tape.record(multiply(x.value(), factor), backward, x);
}

/// y[i] = 1 / (1 + e^-x[i]): a number between 0 and 1, for gates.
template <class Real, std::size_t N>
Tensor<Real, N> sigmoid(const Tensor<Real, N>& x) {
    Tensor<Real, N> y = empty_like(x);
    detail::elementwise_in_vectors([](auto, auto x_i) { return 1 / (1 + exponential(-x_i)); }, y, x);
    return y;
}

/// Vector-Jacobian product of `sigmoid`, from its result y.
template <class Real, std::size_t N>
void sigmoid_vjp(const Tensor<Real, N>& d_y, const Tensor<Real, N>& y, Tensor<Real, N>& d_x) {
    require_shape("sigmoid vjp: y", y, shape_of(d_y));
    require_shape("sigmoid vjp: d_x", d_x, shape_of(d_y));
    // y = 1 / (1 + e^-x), dy/dx = y (1 - y)
    detail::elementwise([](Real& d_x_i, Real d_y_i, Real y_i) { d_x_i += d_y_i * y_i * (1 - y_i); }, d_x, d_y, y);
}

/// `sigmoid` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> sigmoid(Tape& tape, const Variable<Real, N>& x) {
    const auto backward = [x](const Tensor<Real, N>& y, const Tensor<Real, N>& d_y) { sigmoid_vjp(d_y, y, x.gradient()); };
    return tape.record(sigmoid(x.value()), backward, x);
}

/// The sum of all numbers as one number, shape (1), added up in double: what makes a loss of a tensor. (Of a tensor without a tape
/// it is xt::sum<double>(x)().)
template <class Real, std::size_t N>
Variable<Real, 1> sum(Tape& tape, const Variable<Real, N>& x) {
    const auto backward = [x](const Tensor<Real, 1>& d_y) { x.gradient() += d_y(0); };
    return tape.record(full<Real, 1>({1}, static_cast<Real>(xt::sum<double>(x.value())())), backward, x);
}

}  // namespace fot
