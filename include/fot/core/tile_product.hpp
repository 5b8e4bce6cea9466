/// Products of tiles that fit into the cache, for the inner loops of attention and exact search.
///
/// Attention and search never write their score matrix to memory: a tile of scores is made, used while it is in the cache, and
/// overwritten by the next. A library call cannot be fused that way, and its set-up cost matters for tiles this small. Whole
/// matrices are multiplied by `gemm` (core/blas.hpp), few rows by core/row_products.hpp.
///
/// The right factor is packed once into panels of `panel_width` columns (rows of a panel lie one after another), then any number
/// of left factors are multiplied with it:
///
///     pack_transposed(keys, ...);             // K^T, so that scores = Q K^T has the keys along a row
///     tile_product<false>(queries, packed, scores);
///
/// The kernel keeps a block of results in registers, `register_rows` rows by two vectors, and walks down the inner dimension:
/// two vectors of the panel are loaded, and each of the left factor's numbers is multiplied with both.
///
/// Panels are equally wide on every processor, so that parts of a program that were compiled for different processors agree on what
/// a packed factor is.
///
/// Read first: core/simd.hpp, core/bfloat16.hpp.   Read next: core/row_products.hpp, core/blas.hpp.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "fot/core/bfloat16.hpp"
#include "fot/core/simd.hpp"
#include "fot/core/tensor.hpp"

namespace fot {

/// Columns of a panel: two of the widest vectors, 128 bytes.
template <class Real>
inline constexpr Index panel_width = 128 / Index{sizeof(Real)};

/// Rows of a tile: with two vectors each, they take three quarters of the registers.
template <class V>
inline constexpr Index register_rows = register_count<V> * 3 / 8;

/// So many columns with the filling of the last panel.
template <class Real>
constexpr Index padded_to_panels(Index columns) {
    return (columns + panel_width<Real> - 1) / panel_width<Real> * panel_width<Real>;
}

/// A left factor: element (i, k) is data[i * row_stride + k * column_stride]. A transposed factor has its strides swapped.
template <class Real>
struct LeftFactor {
    const Real* data;     ///< element (0, 0)
    Index row_stride;     ///< numbers from one row to the next
    Index column_stride;  ///< and from one column to the next
};

/// A right factor (depth, columns) cut into panels; the last panel is filled up with zeros.
template <class Real>
struct PackedFactor {
    Tensor<Real, 1> numbers;  ///< panel after panel, each (depth, panel_width)
    Index depth = 0;          ///< rows of the factor
    Index columns = 0;        ///< without the filling

    /// Columns with the filling: what a row of the product must have room for.
    Index padded_columns() const { return padded_to_panels<Real>(columns); }

    /// Makes room for a factor of this shape; its numbers are undefined.
    void resize(Index new_depth, Index new_columns) {
        depth = new_depth;
        columns = new_columns;
        if (element_count(numbers) < depth * padded_columns()) numbers = empty<Real, 1>({depth * padded_columns()});
    }
};

/// Packs the matrix (depth, columns) at `source`, whose rows lie `leading` apart.
template <class Real>
void pack(const Real* source, Index depth, Index columns, Index leading, PackedFactor<Real>& packed) {
    constexpr Index width = panel_width<Real>;
    packed.resize(depth, columns);
    Real* target = packed.numbers.data();
    for (Index first = 0; first < columns; first += width) {
        const Index used = std::min(width, columns - first);
        for (Index k = 0; k < depth; ++k, target += width) {
            std::copy_n(source + k * leading + first, used, target);
            std::fill(target + used, target + width, Real(0));
        }
    }
}

namespace detail {

/// A vector of 16 bytes: in wider ones, what `zip_lo` and `zip_hi` do differs between versions of xsimd.
template <class Real>
using ShortVector = xsimd::make_sized_batch_t<Real, 16 / sizeof(Real)>;

/// Transposes a square of numbers, as many per row as a short vector holds. Interleaving row i with row i + side / 2, again and
/// again, brings the numbers of a column together: after log2(side) times every vector is a column.
template <class Real>
void transpose_square(const Real* source, Index leading, Real* target, Index target_leading) {
    using V = ShortVector<Real>;
    constexpr std::size_t side = V::size;
    std::array<V, side> rows, interleaved;
#pragma GCC unroll 4
    for (std::size_t i = 0; i < side; ++i) rows[i] = V::load_unaligned(source + static_cast<Index>(i) * leading);
#pragma GCC unroll 2
    for (std::size_t together = 1; together < side; together *= 2) {
#pragma GCC unroll 2
        for (std::size_t i = 0; i < side / 2; ++i) {
            interleaved[2 * i] = xsimd::zip_lo(rows[i], rows[i + side / 2]);
            interleaved[2 * i + 1] = xsimd::zip_hi(rows[i], rows[i + side / 2]);
        }
        rows = interleaved;
    }
#pragma GCC unroll 4
    for (std::size_t k = 0; k < side; ++k) rows[k].store_unaligned(target + static_cast<Index>(k) * target_leading);
}

}  // namespace detail

/// Packs the transpose of the matrix (columns, depth) at `source`, whose rows lie `leading` apart.
template <class Real>
void pack_transposed(const Real* source, Index columns, Index depth, Index leading, PackedFactor<Real>& packed) {
    constexpr Index width = panel_width<Real>, side = lanes<detail::ShortVector<Real>>;
    packed.resize(depth, columns);
    Real* target = packed.numbers.data();
    for (Index first = 0; first < columns; first += width, target += width * depth) {
        const Index used = std::min(width, columns - first);
        if (used < width) std::fill_n(target, width * depth, Real(0));
        const Index square_rows = used / side * side, square_depth = depth / side * side;  // what goes square by square
        for (Index j = 0; j < square_rows; j += side)  // outer: heads often lie a power of two apart, all in one set of the cache
            for (Index k = 0; k < square_depth; k += side)
                detail::transpose_square(source + (first + j) * leading + k, leading, target + k * width + j, width);
        for (Index j = 0; j < used; ++j) {
            const Real* source_row = source + (first + j) * leading;
            for (Index k = j < square_rows ? square_depth : 0; k < depth; ++k) target[k * width + j] = source_row[k];
        }
    }
}

namespace detail {

/// `rows` x `vectors` of results in registers: c = or += a (rows, depth) b (depth, vectors), where b is part of a wider matrix.
template <bool accumulate, std::size_t rows, std::size_t vectors, class V, class Real, class Stored>
void product_in_registers(Index depth, const Real* a, Index row_stride, Index column_stride, const Stored* b, Index b_leading,
                          Real* c, Index leading) {
    V sum[rows][vectors], b_k[vectors];
    const Real* fours[(rows + 3) / 4];  // every fourth row: fewer addresses than rows, so that they stay in registers
    for (std::size_t i = 0; i < rows; i += 4) fours[i / 4] = a + static_cast<Index>(i) * row_stride;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < vectors; ++j) sum[i][j] = V(Real(0));
    for (Index k = 0; k < depth; ++k, b += b_leading) {
        for (std::size_t j = 0; j < vectors; ++j) b_k[j] = load_widened<V>(b + static_cast<Index>(j) * lanes<V>);
#pragma GCC unroll 16
        for (std::size_t i = 0; i < rows; ++i) {
            const V factor(fours[i / 4][static_cast<Index>(i % 4) * row_stride + k * column_stride]);
            for (std::size_t j = 0; j < vectors; ++j) sum[i][j] = xsimd::fma(factor, b_k[j], sum[i][j]);
        }
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < rows; ++i, c += leading)
        for (std::size_t j = 0; j < vectors; ++j) {
            Real* target = c + static_cast<Index>(j) * lanes<V>;
            if constexpr (accumulate) sum[i][j] += V::load_unaligned(target);
            sum[i][j].store_unaligned(target);
        }
}

/// Calls f with `count` (1 ... most) as a compile-time constant.
template <Index most, class F>
void with_constant(Index count, F&& f) {
    if (count == most)
        f(std::integral_constant<std::size_t, static_cast<std::size_t>(most)>{});
    else if constexpr (most > 1)
        with_constant<most - 1>(count, std::forward<F>(f));
}

}  // namespace detail

/// c (rows, columns) = a b, or c += a b: a (rows, depth) read in place, b packed.
///
/// c's rows lie `leading` apart and have room for `columns` rounded up to panels; what they hold beyond `columns` is undefined
/// after. Only the first `columns` columns and `depth` rows of b are used: what lies beyond them is masked, as in causal attention.
/// Cost: rows * columns * depth multiply-adds. Every result is one sum in the order of k: it does not depend on `rows`.
template <bool accumulate, class Real, class V = SimdVector<Real>>
void tile_product(Index rows, LeftFactor<Real> a, const PackedFactor<Real>& b, Real* c, Index leading, Index columns, Index depth) {
    constexpr Index width = panel_width<Real>, most_rows = register_rows<V>;
    for (Index first = 0; first < columns; first += 2 * lanes<V>) {
        const Real* panel = b.numbers.data() + first / width * width * b.depth + first % width;
        for (Index i = 0; i < rows; i += most_rows)
            detail::with_constant<most_rows>(std::min(most_rows, rows - i), [&](auto count) {
                detail::product_in_registers<accumulate, count(), 2, V>(depth, a.data + i * a.row_stride, a.row_stride,
                                                                        a.column_stride, panel, width, c + i * leading + first,
                                                                        leading);
            });
    }
}

/// The same with all of b.
template <bool accumulate, class Real, class V = SimdVector<Real>>
void tile_product(Index rows, LeftFactor<Real> a, const PackedFactor<Real>& b, Real* c, Index leading) {
    tile_product<accumulate, Real, V>(rows, a, b, c, leading, b.columns, b.depth);
}

}  // namespace fot
