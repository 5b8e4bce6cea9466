/// Products with few rows on the left, as when one token is written: nothing is packed.
///
///     row_products(queries, keys, scores, ...);            // scores_nm  = <query_n, key_m>
///     add_weighted_rows(weights, ..., values, o);          // o_n       += sum_m weight_nm value_m
///
/// `tile_product` packs its right factor first, which pays when many rows are multiplied with it. One query uses each key once, so
/// memory bandwidth limits the speed, and packing would move each key twice more. So the right factor is read here where it lies,
/// one row after the other, the order in which memory is fastest.
///
/// Read first: core/tile_product.hpp.   Read next: memory/exact_search.hpp, attention/softmax.hpp.
#pragma once

#include <functional>

#include "fot/core/matrix_view.hpp"
#include "fot/core/tile_product.hpp"

namespace fot {

/// So many rows on the left at most. With more of them packing pays.
inline constexpr Index few_rows = 4;

namespace detail {

/// The products of `rows` rows, a compile-time constant, so that their sums stay in registers.
template <std::size_t rows, class V, class Real, class Stored>
void products_of_rows(MatrixView<const Real> x, MatrixView<const Stored> y, Real* products, Index leading) {
    const Index whole = x.columns / lanes<V> * lanes<V>;  // what whole vectors cover
    for (Index m = 0; m < y.rows; ++m) {
        V sum[rows];
        for (V& sum_n : sum) sum_n = V(Real(0));
        for (Index d = 0; d < whole; d += lanes<V>) {
            const V y_d = load_widened<V>(y.row(m) + d);
            for (std::size_t n = 0; n < rows; ++n)
                sum[n] = xsimd::fma(V::load_unaligned(x.row(static_cast<Index>(n)) + d), y_d, sum[n]);
        }
        for (std::size_t n = 0; n < rows; ++n) {
            const Real* x_n = x.row(static_cast<Index>(n));
            Real product = joined_lanes(sum[n], std::plus<>{});
            for (Index d = whole; d < x.columns; ++d) product += x_n[d] * widened<Real>(y.row(m)[d]);
            products[static_cast<Index>(n) * leading + m] = product;
        }
    }
}

}  // namespace detail

/// products (N,M) = x y^T, rows `leading` apart: the inner products of the rows of x (N,D) and y (M,D), N of 1 ... few_rows; none
/// is nothing to do.
///
/// Errors: ShapeError for more.
/// Cost: N M D multiply-adds; y is read once. Equal rows of y have equal products, bit by bit.
template <class Real, class Stored, class V = SimdVector<Real>>
void row_products(MatrixView<const Real> x, MatrixView<const Stored> y, Real* products, Index leading) {
    require<ShapeError>(x.rows <= few_rows, "row_products: ", x.rows, " rows, expected at most ", few_rows);
    detail::with_constant<few_rows>(x.rows, [&](auto rows) { detail::products_of_rows<rows(), V>(x, y, products, leading); });
}

/// sums (N,E) += weights (N,M) y (M,E), N of 1 ... few_rows; rows of the weights lie `leading` apart.
///
/// Errors: ShapeError for more.
/// Cost: N M E multiply-adds; y is read once.
template <class Real, class Stored, class V = SimdVector<Real>>
void add_weighted_rows(const Real* weights, Index leading, MatrixView<const Stored> y, MatrixView<Real> sums) {
    require<ShapeError>(sums.rows <= few_rows, "add_weighted_rows: ", sums.rows, " rows, expected at most ", few_rows);
    detail::with_constant<few_rows>(sums.rows, [&](auto rows) {
        Index column = 0;
        const auto add_columns = [&]<class Vector, Index vectors>() {
            for (; y.columns - column >= vectors * lanes<Vector>; column += vectors * lanes<Vector>)
                detail::product_in_registers<true, rows(), vectors, Vector>(y.rows, weights, leading, 1, y.data + column, y.leading,
                                                                            sums.data + column, sums.leading);
        };
        if constexpr (rows() == 1) add_columns.template operator()<V, 8>();  // as far as registers go: most of a row, or all of
        add_columns.template operator()<V, 4>();                             // it, so that memory is read in its order
        add_columns.template operator()<V, 2>();
        add_columns.template operator()<V, 1>();
        add_columns.template operator()<detail::ShortVector<Real>, 1>();
        for (; column < y.columns; ++column)
            for (Index n = 0; n < sums.rows; ++n)
                for (Index m = 0; m < y.rows; ++m)
                    sums.row(n)[column] += weights[n * leading + m] * detail::widened<Real>(y.row(m)[column]);
    });
}

}  // namespace fot
