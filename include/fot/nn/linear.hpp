/// Linear maps without bias, and the two that lead into and out of the heads of an attention layer.
///
/// A weight is stored (out, in), as in the files of Hugging Face models, and acts on rows: y = x W^T. The heads of a token lie one
/// after another, so (B,T,H*D) and (B,T,H,D) are the same numbers in the same order: the map into the heads writes its
/// product straight into the tensor with four axes, and the map out of them reads it there.
///
/// Source: Vaswani et al. 2017 (the projections of an attention layer). Biases are left out, as in LLaMA.
/// Read first: core/autograd.hpp.   Read next: nn/rms_norm.hpp.
#pragma once

#include <algorithm>
#include <type_traits>

#include "fot/core/autograd.hpp"
#include "fot/core/blas.hpp"

namespace fot {

/// What the functions below ask of a weight. A tensor has it, and so has a matrix as a file keeps it (nn/stored_linear.hpp).
template <class Real>
Index rows_of(const Tensor<Real, 2>& weight) {
    return extent(weight, 0);
}
/// Throws ShapeError, in the name of `who`, unless the weight takes in `columns` numbers.
template <class Real>
void require_columns(const char* who, const Tensor<Real, 2>& weight, Index columns) {
    require_shape(message(who, ": weight").c_str(), weight, {-1, columns});
}
/// y = x W^T for `rows` rows of x.
template <class Real>
void multiply_rows(const Real* x, Index rows, const Tensor<Real, 2>& weight, Real* y) {
    gemm(Real(1), matrix(x, rows, extent(weight, 1)), transpose(as_matrix(weight)), Real(0), matrix(y, rows, extent(weight, 0)));
}

/// A linear map of every row.
///
///     y[..., i] = sum_j x[..., j] weight[i, j]
///
/// Shapes: x (..., in), weight (out, in) -> (..., out).
/// Cost:   rows * in * out multiply-adds.
/// Errors: ShapeError if the last axis of x is not `in`. (With `in` = 0 the sums are empty: zeros.)
template <class Real, std::size_t N, class Matrix>
Tensor<Real, N> linear(const Tensor<Real, N>& x, const Matrix& weight) {
    require_columns("linear", weight, extent(x, N - 1));
    Shape<N> shape = shape_of(x);
    shape[N - 1] = rows_of(weight);
    Tensor<Real, N> y = empty<Real, N>(shape);
    multiply_rows(x.data(), detail::leading_count(x), weight, y.data());
    return y;
}

/// The linear map into the heads: queries, keys and values from the residual stream.
///
///     y[b,t,h,i] = sum_j x[b,t,j] weight[h D + i, j]
///
/// Shapes: x (B,T,E), weight (H*D,E) -> (B,T,H,D).
/// Errors: ConfigError if the rows of the weight do not divide into `heads`; ShapeError if the widths differ.
/// Same as: `linear`, then its last axis cut into heads; nothing is copied.
template <class Real, class Matrix>
Tensor<Real, 4> project_heads(const Tensor<Real, 3>& x, const Matrix& weight, Index heads) {
    require_columns("project_heads", weight, extent(x, 2));
    require<ConfigError>(heads >= 1 && rows_of(weight) % heads == 0, "project_heads: the ", rows_of(weight),
                         " rows of the weight do not divide into ", heads, " heads");
    Tensor<Real, 4> y = empty<Real, 4>({extent(x, 0), extent(x, 1), heads, rows_of(weight) / heads});
    multiply_rows(x.data(), extent(x, 0) * extent(x, 1), weight, y.data());
    return y;
}

/// The linear map out of the heads: what attention found, back into the residual stream.
///
///     y[b,t,i] = sum_{h,j} o[b,t,h,j] weight[i, h D + j]
///
/// Shapes: o (B,T,H,D), weight (E,H*D) -> (B,T,E).
/// Errors: ShapeError if the columns of the weight are not H*D.
template <class Real, class Matrix>
Tensor<Real, 3> merge_heads(const Tensor<Real, 4>& o, const Matrix& weight) {
    require_columns("merge_heads", weight, extent(o, 2) * extent(o, 3));
    Tensor<Real, 3> y = empty<Real, 3>({extent(o, 0), extent(o, 1), rows_of(weight)});
    multiply_rows(o.data(), extent(o, 0) * extent(o, 1), weight, y.data());
    return y;
}

/// Vector-Jacobian product of all three: trailing axes of x and y are seen as one, as wide as the weight says.
/// A null pointer stands for a gradient that nobody needs.
///
/// Shapes: d_y (..., out), x (..., in), weight (out, in); adds to d_x (..., in) and d_weight (out, in).
/// Cost:   rows * in * out multiply-adds for each of the two.
/// Errors: ShapeError if the shapes do not fit.
template <class Real, std::size_t N, std::size_t M>
void linear_vjp(const Tensor<Real, M>& d_y, const Tensor<Real, N>& x, const Tensor<Real, 2>& weight,
                std::type_identity_t<Tensor<Real, N>>* d_x, std::type_identity_t<Tensor<Real, 2>>* d_weight) {
    const Index rows = detail::leading_count(x, std::min(N, M) - 1), out = extent(weight, 0), in = extent(weight, 1);
    require<ShapeError>(element_count(x) == rows * in && element_count(d_y) == rows * out, "linear vjp: d_y ",
                        shape_text(shape_of(d_y)), ", x ", shape_text(shape_of(x)), " and weight ", shape_text(shape_of(weight)),
                        " do not fit");
    if (d_x) require_shape("linear vjp: d_x", *d_x, shape_of(x));
    if (d_weight) require_shape("linear vjp: d_weight", *d_weight, shape_of(weight));
    // y = x W^T
    const MatrixView<const Real> d_y_rows = matrix(d_y.data(), rows, out), x_rows = matrix(x.data(), rows, in);
    if (d_x) gemm(Real(1), d_y_rows, as_matrix(weight), Real(1), matrix(d_x->data(), rows, in));
    if (d_weight) gemm(Real(1), transpose(d_y_rows), x_rows, Real(1), as_matrix(*d_weight));
}

/// What a variable multiplies with: its tensor.
template <class Real>
const Tensor<Real, 2>& numbers_of(const Variable<Real, 2>& weight) {
    return weight.value();
}

/// Puts y, which one of the three made of x, on the tape.
template <class Real, std::size_t N, std::size_t M>
Variable<Real, M> record_linear(Tape& tape, Tensor<Real, M> y, const Variable<Real, N>& x, const Variable<Real, 2>& weight) {
    const auto backward = [x, weight](const Tensor<Real, M>& d_y) {
        linear_vjp(d_y, x.value(), weight.value(), x.needed_gradient(), weight.needed_gradient());
    };
    return tape.record(std::move(y), backward, x, weight);
}

/// `linear` on the tape. Here and below a weight is a Variable<Real, 2>, or a LinearMap (nn/linear_map.hpp).
template <class Real, std::size_t N, class Weight>
Variable<Real, N> linear(Tape& tape, const Variable<Real, N>& x, const Weight& weight) {
    return record_linear(tape, linear(x.value(), numbers_of(weight)), x, weight);
}

/// `project_heads` on the tape.
template <class Real, class Weight>
Variable<Real, 4> project_heads(Tape& tape, const Variable<Real, 3>& x, const Weight& weight, Index heads) {
    return record_linear(tape, project_heads(x.value(), numbers_of(weight), heads), x, weight);
}

/// `merge_heads` on the tape.
template <class Real, class Weight>
Variable<Real, 3> merge_heads(Tape& tape, const Variable<Real, 4>& o, const Weight& weight) {
    return record_linear(tape, merge_heads(o.value(), numbers_of(weight)), o, weight);
}

}  // namespace fot
