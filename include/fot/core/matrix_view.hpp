/// A matrix within a larger block of numbers, addressed in place: what products, searches and memories hand to each other.
///
/// It owns nothing, so it is valid only while these numbers stay where they are.
///
/// A MatrixView is a pointer, two extents and the distance between rows, so a head of a (B,T,H,D) tensor needs no copy:
///
///     head(q, b, h)                             // the (T, D) matrix of head h: its rows lie H*D numbers apart
///     matrix(row(q, b, 0, h), T, D, H * D)      // the same in full
///
/// Read first: core/tensor.hpp.   Read next: core/blas.hpp, memory/exact_search.hpp.
#pragma once

#include <type_traits>

#include "fot/core/tensor.hpp"

namespace fot {

/// A matrix of rows x columns within a larger block of numbers; rows lie `leading` numbers apart.
/// `transposed` says that a product uses its transpose; rows and columns stay those of the stored matrix.
template <class Real>
struct MatrixView {
    Real* data = nullptr;     ///< the first number
    Index rows = 0;           ///< as stored
    Index columns = 0;        ///< as stored
    Index leading = 0;        ///< numbers from one row to the next
    bool transposed = false;  ///< a product uses the transpose

    /// Row i as stored.
    Real* row(Index i) const { return data + i * leading; }
    /// Rows first ... first + count - 1 as stored.
    MatrixView rows_from(Index first, Index count) const { return {row(first), count, columns, leading, transposed}; }
    /// Rows of the matrix that a product uses.
    Index used_rows() const { return transposed ? columns : rows; }
    /// Columns of the matrix that a product uses.
    Index used_columns() const { return transposed ? rows : columns; }
    /// The same numbers, read only.
    operator MatrixView<const Real>() const requires(!std::is_const_v<Real>) { return {data, rows, columns, leading, transposed}; }
};

/// View of rows x columns numbers at `data`; `leading` 0 stands for rows without gaps.
template <class Real>
MatrixView<Real> matrix(Real* data, Index rows, Index columns, Index leading = 0) {
    return {data, rows, columns, leading == 0 ? columns : leading, false};
}

/// The transpose, of the same numbers.
template <class Real>
MatrixView<Real> transpose(MatrixView<Real> view) {
    view.transposed = !view.transposed;
    return view;
}

namespace detail {

/// Rows of a tensor whose axes after the first `leading_axes` are a row. Not elements / columns: a (3, 0) tensor has three rows,
/// too.
template <class Real, std::size_t N>
Index leading_count(const Tensor<Real, N>& x, std::size_t leading_axes = N - 1) {
    Index rows = 1;
    for (std::size_t axis = 0; axis < leading_axes; ++axis) rows *= extent(x, axis);
    return rows;
}

}  // namespace detail

/// A tensor (..., N) as the matrix of its rows: all leading axes in one.
template <class Real, std::size_t N>
MatrixView<Real> as_matrix(Tensor<Real, N>& x) {
    return matrix(x.data(), detail::leading_count(x), extent(x, N - 1));
}
/// The same of a constant tensor.
template <class Real, std::size_t N>
MatrixView<const Real> as_matrix(const Tensor<Real, N>& x) {
    return matrix(x.data(), detail::leading_count(x), extent(x, N - 1));
}

/// Head h of batch entry b of a tensor (B,T,H,D), in place: the matrix (T,D) whose rows lie H*D numbers apart.
template <class Real>
MatrixView<Real> head(Tensor<Real, 4>& x, Index b, Index h) {
    return matrix(row(x, b, 0, h), extent(x, 1), extent(x, 3), extent(x, 2) * extent(x, 3));
}
/// The same of a constant tensor.
template <class Real>
MatrixView<const Real> head(const Tensor<Real, 4>& x, Index b, Index h) {
    return matrix(row(x, b, 0, h), extent(x, 1), extent(x, 3), extent(x, 2) * extent(x, 3));
}

}  // namespace fot
