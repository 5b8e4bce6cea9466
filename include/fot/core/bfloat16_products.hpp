/// Products of bfloat16 matrices with sums in float: twice as fast as products of floats on processors with AVX512_BF16.
///
///     y_ti = sum_k x_tk w_ik          x (T,K) and w (I,K) of bfloat16 numbers, y (T,I) of floats
///
/// A product of two bfloat16 numbers is exact in float, so the sums lose no more than those of floats do. What is lost is lost
/// before: numbers of x that were floats have been rounded, each by up to 1 part in 256.
///
/// An AVX-512 instruction for floats multiplies 16 numbers. That of AVX512_BF16 multiplies 32 and adds the products two by two to
/// 16 sums. It takes two neighbours of a row at a time. So tiles are packed and multiplied as in core/tile_product.hpp, with pairs
/// in place of numbers: a matrix is half as wide, and each element has 32 bits.
///
/// Read first: core/bfloat16.hpp, core/tile_product.hpp.   Read next: nn/stored_linear.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "fot/core/bfloat16.hpp"
#include "fot/core/matrix_view.hpp"
#include "fot/core/parallel.hpp"
#include "fot/core/tile_product.hpp"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace fot {

/// Two bfloat16 numbers, the first in the lower half.
using BFloat16Pair = std::int32_t;

/// x (T,K) rounded to bfloat16, in pairs: (T,(K+1)/2). If K is odd, the last pair of a row ends with 0.
template <class Real>
Tensor<BFloat16Pair, 2> bfloat16_pairs(MatrixView<const Real> x) {
    Tensor<BFloat16Pair, 2> pairs = empty<BFloat16Pair, 2>({x.rows, (x.columns + 1) / 2});
    parallel_slices(x.rows, 16, [&](Index first, Index last) {
        for (Index t = first; t < last; ++t)
            for (Index k = 0; k < x.columns; k += 2) {
                const std::uint32_t low = to_bfloat16(x.row(t)[k]).bits,
                                    high = k + 1 < x.columns ? to_bfloat16(x.row(t)[k + 1]).bits : 0u;
                row(pairs, t)[k / 2] = static_cast<BFloat16Pair>(low | high << 16);
            }
    });
    return pairs;
}

/// Products in plain loops, for every processor: what is computed, and what the tests compare with.
struct PlainBFloat16Products {
    static constexpr bool fast = false;  ///< faster than products of floats?

    /// y (T,I) = x w^T on the calling thread: x (T,(K+1)/2) in pairs, w (I,K) as stored.
    static void multiply(MatrixView<const BFloat16Pair> x, MatrixView<const BFloat16> w, MatrixView<float> y) {
        const auto number = [](const BFloat16Pair* pairs, Index k) {
            return to_float(BFloat16{static_cast<std::uint16_t>(static_cast<std::uint32_t>(pairs[k / 2]) >> k % 2 * 16)});
        };
        for (Index t = 0; t < x.rows; ++t)
            for (Index i = 0; i < w.rows; ++i) {
                float sum = 0;
                for (Index k = 0; k < w.columns; ++k) sum += number(x.row(t), k) * to_float(w.row(i)[k]);
                y.row(t)[i] = sum;
            }
    }
};

#ifdef __AVX512BF16__

/// Products with the instructions of AVX512_BF16.
class Avx512BFloat16Products {
   public:
    static constexpr bool fast = true;  ///< as above

    /// As above.
    ///
    /// Cost: T I K multiply-adds. A sum is added up in the order of its pairs, whatever T and I are. The processor takes numbers
    /// below 1.2e-38, which are denormal in bfloat16, for 0.
    static void multiply(MatrixView<const BFloat16Pair> x, MatrixView<const BFloat16> w, MatrixView<float> y) {
        constexpr Index most_pairs = 256, most_columns = 256, most_rows = 240;  // as in product_of_tiles
        for (Index t = 0; x.columns == 0 && t < y.rows; ++t) std::fill_n(y.row(t), y.columns, 0.0f);
        PackedFactor<BFloat16Pair> packed;
        Tensor<BFloat16Pair, 2> room;
        for (Index j = 0; j < w.rows; j += most_columns)
            for (Index k = 0; k < x.columns; k += most_pairs) {
                const Index pairs = std::min(most_pairs, x.columns - k), columns = std::min(most_columns, w.rows - j);
                const MatrixView<const BFloat16Pair> piece =
                    in_pairs({w.row(j) + 2 * k, columns, std::min(2 * pairs, w.columns - 2 * k), w.leading}, room);
                pack_transposed(piece.data, columns, pairs, piece.leading, packed);
                for (Index t = 0; t < x.rows; t += most_rows) {
                    const MatrixView<const BFloat16Pair> x_t = x.rows_from(t, std::min(most_rows, x.rows - t));
                    add_tiles(k > 0, {x_t.data + k, x_t.rows, pairs, x.leading}, packed,
                              matrix(y.row(t) + j, x_t.rows, columns, y.leading));
                }
            }
    }

   private:
    static constexpr Index tile_rows = 12, tile_columns = panel_width<BFloat16Pair>;  // 12 rows of two vectors of 16 sums

    /// Some rows of numbers as rows of pairs. The numbers of a file need not lie where numbers of 32 bits may.
    static MatrixView<const BFloat16Pair> in_pairs(MatrixView<const BFloat16> numbers, Tensor<BFloat16Pair, 2>& room) {
        const Index pairs = (numbers.columns + 1) / 2;
        if (extent(room, 0) < numbers.rows || extent(room, 1) != pairs) room = empty<BFloat16Pair, 2>({numbers.rows, pairs});
        for (Index i = 0; i < numbers.rows; ++i) {
            row(room, i)[pairs - 1] = 0;
            std::memcpy(row(room, i), numbers.row(i), static_cast<std::size_t>(numbers.columns) * sizeof(BFloat16));
        }
        return as_matrix(std::as_const(room)).rows_from(0, numbers.rows);
    }

    /// y = or += x w, tile by tile.
    static void add_tiles(bool add, MatrixView<const BFloat16Pair> x, const PackedFactor<BFloat16Pair>& w, MatrixView<float> y) {
        for (Index j = 0; j < y.columns; j += tile_columns)
            for (Index t = 0; t < x.rows; t += tile_rows)
                detail::with_constant<tile_rows>(std::min(tile_rows, x.rows - t), [&](auto rows) {
                    add_tile<rows()>(add, x.rows_from(t, rows()), w.numbers.data() + j * w.depth,
                                     matrix(y.row(t) + j, rows(), y.columns - j, y.leading));
                });
    }

    /// `rows` x 32 sums in registers: y = or += x (rows, pairs) w (pairs, 32), as far as y has columns.
    template <std::size_t rows>
    static void add_tile(bool add, MatrixView<const BFloat16Pair> x, const BFloat16Pair* w, MatrixView<float> y) {
        __mmask16 used[2];
        for (Index j = 0; j < 2; ++j) used[j] = static_cast<__mmask16>((1u << std::clamp<Index>(y.columns - 16 * j, 0, 16)) - 1u);
        __m512 sum[rows][2];
        const BFloat16Pair* fours[(rows + 3) / 4];  // as in tile_product
        for (std::size_t i = 0; i < rows; i += 4) fours[i / 4] = x.row(static_cast<Index>(i));
#pragma GCC unroll 12
        for (std::size_t i = 0; i < rows; ++i)
            for (Index j = 0; j < 2; ++j)
                sum[i][j] = add ? _mm512_maskz_loadu_ps(used[j], y.row(static_cast<Index>(i)) + 16 * j) : _mm512_setzero_ps();
        for (Index k = 0; k < x.columns; ++k, w += tile_columns) {
            const __m512bh w_0 = (__m512bh)_mm512_loadu_si512(w), w_1 = (__m512bh)_mm512_loadu_si512(w + 16);
#pragma GCC unroll 12
            for (std::size_t i = 0; i < rows; ++i) {
                const __m512bh x_i = (__m512bh)_mm512_set1_epi32(fours[i / 4][static_cast<Index>(i % 4) * x.leading + k]);
                sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x_i, w_0);
                sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x_i, w_1);
            }
        }
#pragma GCC unroll 12
        for (std::size_t i = 0; i < rows; ++i)
            for (Index j = 0; j < 2; ++j) _mm512_mask_storeu_ps(y.row(static_cast<Index>(i)) + 16 * j, used[j], sum[i][j]);
    }
};

/// The faster of the two here.
using BFloat16Products = Avx512BFloat16Products;

#else

/// The faster of the two here.
using BFloat16Products = PlainBFloat16Products;

#endif

}  // namespace fot
