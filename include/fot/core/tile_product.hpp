/// Products of tiles that fit into the cache, for the inner loops of attention and exact search.
///
/// Attention and search never write their score matrix to memory: a tile of scores is made, used while it is in the cache, and
/// overwritten by the next. A library call cannot be fused that way, and its set-up shows on tiles this small. Everything
/// else in the library uses `gemm`.
///
/// The right factor is packed once into panels of `panel_width` columns (rows of a panel lie one after another), then any number
/// of left factors are multiplied with it:
///
///     pack_transposed(keys, ...);             // K^T, so that scores = Q K^T has the keys along a row
///     tile_product<false>(queries, packed, scores);
///
/// The kernel keeps a block of results in registers, `register_rows` rows by two vectors, and walks down the inner dimension:
/// a row of the panel is loaded, and each of the left factor's numbers is multiplied with all of it.
///
/// Read first: core/tensor.hpp.   Read next: core/blas.hpp, memory/exact_search.hpp, attention/softmax.hpp.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "fot/core/tensor.hpp"

namespace fot {

#ifdef __AVX512F__
inline constexpr std::size_t vector_bytes = 64;  ///< of a register
inline constexpr Index register_rows = 12;       ///< rows of a tile: 12 x 2 of 32 registers hold results
#else
inline constexpr std::size_t vector_bytes = 32;  ///< of a register
inline constexpr Index register_rows = 6;        ///< rows of a tile: 6 x 2 of 16 registers hold results
#endif

/// Columns of a panel: two vectors.
template <class Real>
inline constexpr Index panel_width = static_cast<Index>(2 * vector_bytes / sizeof(Real));

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

/// Four numbers of each of eight rows, turned over: target row k (0 ... 3) gets the k-th number of every source row.
/// Number by number this would be a store for each; here rows i and i + 4 lie side by side in one vector, and interleaving
/// the vectors twice leaves the eight numbers of a target row together.
inline void transpose_eight_by_four(const float* source, Index leading, float* target, Index target_leading) {
    typedef float Four __attribute__((vector_size(16)));
    typedef float Eight __attribute__((vector_size(32)));
    const auto load = [&](Index i, Eight& rows) {  // by reference: a vector that is returned has another ABI without AVX
        Four upper, lower;
        std::memcpy(&upper, source + i * leading, sizeof(Four));
        std::memcpy(&lower, source + (i + 4) * leading, sizeof(Four));
        rows = __builtin_shufflevector(upper, lower, 0, 1, 2, 3, 4, 5, 6, 7);
    };
    const auto interleave = [](const Eight& a, const Eight& b, Eight& first,
                               Eight& last) {  // the first and the last two numbers of each four
        first = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
        last = __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
    };
    Eight pair[4], even_first, even_last, odd_first, odd_last, turned[4];
    for (Index i = 0; i < 4; ++i) load(i, pair[i]);
    interleave(pair[0], pair[2], even_first, even_last);
    interleave(pair[1], pair[3], odd_first, odd_last);
    interleave(even_first, odd_first, turned[0], turned[1]);
    interleave(even_last, odd_last, turned[2], turned[3]);
    for (Index k = 0; k < 4; ++k) std::memcpy(target + k * target_leading, &turned[k], sizeof(Eight));
}

}  // namespace detail

/// Packs the transpose of the matrix (columns, depth) at `source`, whose rows lie `leading` apart.
template <class Real>
void pack_transposed(const Real* source, Index columns, Index depth, Index leading, PackedFactor<Real>& packed) {
    constexpr Index width = panel_width<Real>;
    packed.resize(depth, columns);
    Real* target = packed.numbers.data();
    for (Index first = 0; first < columns; first += width, target += width * depth) {
        const Index used = std::min(width, columns - first);
        if (used < width) std::fill_n(target, width * depth, Real(0));
        Index turned_rows = 0, turned_columns = 0;  // what went in blocks; double is for checks and goes number by number
        if constexpr (std::is_same_v<Real, float>) {
            turned_rows = used / 8 * 8;
            turned_columns = depth / 4 * 4;
            for (Index j = 0; j < turned_rows; j += 8)  // outer: heads often lie a power of two apart, all in one set of the cache
                for (Index k = 0; k < turned_columns; k += 4)
                    detail::transpose_eight_by_four(source + (first + j) * leading + k, leading, target + k * width + j, width);
        }
        for (Index j = 0; j < used; ++j) {
            const Real* source_row = source + (first + j) * leading;
            for (Index k = j < turned_rows ? turned_columns : 0; k < depth; ++k) target[k * width + j] = source_row[k];
        }
    }
}

namespace detail {

template <class Real>
struct VectorOf {
    typedef Real type __attribute__((vector_size(vector_bytes)));
};

/// `rows` x panel_width results in registers. c (rows, panel_width) = or += a (rows, depth) panel (depth, panel_width).
template <bool accumulate, std::size_t rows, class Real>
inline void product_in_registers(Index depth, LeftFactor<Real> a, const Real* panel, Real* c, Index leading) {
    using Vector = typename VectorOf<Real>::type;
    constexpr Index lanes = panel_width<Real> / 2;
    Vector sum[rows][2] = {};
    for (Index k = 0; k < depth; ++k) {
        Vector left_half, right_half;
        std::memcpy(&left_half, panel + k * 2 * lanes, sizeof(Vector));
        std::memcpy(&right_half, panel + k * 2 * lanes + lanes, sizeof(Vector));
#pragma GCC unroll 16
        for (std::size_t i = 0; i < rows; ++i) {
            const Real factor = a.data[static_cast<Index>(i) * a.row_stride + k * a.column_stride];
            sum[i][0] += factor * left_half;
            sum[i][1] += factor * right_half;
        }
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t half = 0; half < 2; ++half) {
            Real* target = c + static_cast<Index>(i) * leading + static_cast<Index>(half) * lanes;
            Vector result = sum[i][half];
            if constexpr (accumulate) {
                Vector before;
                std::memcpy(&before, target, sizeof(Vector));
                result += before;
            }
            std::memcpy(target, &result, sizeof(Vector));
        }
}

/// Calls f with `count` (1 ... register_rows) as a compile-time constant.
template <Index candidate = register_rows, class F>
inline void with_constant_rows(Index count, F&& f) {
    if (count == candidate)
        f(std::integral_constant<std::size_t, static_cast<std::size_t>(candidate)>{});
    else if constexpr (candidate > 1)
        with_constant_rows<candidate - 1>(count, std::forward<F>(f));
}

}  // namespace detail

/// c (rows, columns) = a b, or c += a b: a (rows, depth) read in place, b packed.
///
/// c's rows lie `leading` apart and have room for `columns` rounded up to panels; what stands beyond `columns` is overwritten.
/// Only the first `columns` columns and `depth` rows of b are used: what lies beyond them is masked, as in causal attention.
/// Cost: rows * columns * depth multiply-adds. Every result is one sum in the order of k: it does not depend on `rows`.
template <bool accumulate, class Real>
void tile_product(Index rows, LeftFactor<Real> a, const PackedFactor<Real>& b, Real* c, Index leading, Index columns, Index depth) {
    constexpr Index width = panel_width<Real>;
    for (Index first = 0; first < columns; first += width) {
        const Real* panel = b.numbers.data() + first * b.depth;
        for (Index i = 0; i < rows; i += register_rows)
            detail::with_constant_rows(std::min(register_rows, rows - i), [&](auto count) {
                detail::product_in_registers<accumulate, count()>(
                    depth, LeftFactor<Real>{a.data + i * a.row_stride, a.row_stride, a.column_stride}, panel,
                    c + i * leading + first, leading);
            });
    }
}

/// The same with all of b.
template <bool accumulate, class Real>
void tile_product(Index rows, LeftFactor<Real> a, const PackedFactor<Real>& b, Real* c, Index leading) {
    tile_product<accumulate>(rows, a, b, c, leading, b.columns, b.depth);
}

}  // namespace fot
