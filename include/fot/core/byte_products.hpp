/// Products of tiles of bytes, of which only those that reach a bar are reported: the kernel of memory/byte_filter.hpp.
///
///     sum_ij = start_j + sum_d x_id y_jd,     x_id of 0 ... 255, y_jd of -127 ... 127     is sum_ij >= 0?
///
/// A bar is the score that a key must reach to count (memory/byte_filter.hpp). Only the sign of a sum is needed: start_j is minus
/// the bar, corrected for the 128 that was added to each x to make it unsigned, so that a sum is 0 or more where the bar is
/// reached. In most tiles no sum reaches its bar. The signs of a tile are therefore joined in registers first, and nothing is
/// stored if all are negative. The sums are whole numbers of 32 bits, so they are exact.
///
/// VNNI are AVX-512 instructions for products of bytes. One of them multiplies and adds four times as many numbers as an
/// instruction for floats. In a build without them plain loops give the same sums for tests, and searches do without the filter.
///
/// Read first: core/tile_product.hpp.   Read next: memory/byte_filter.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "fot/core/index.hpp"

#ifdef __AVX512VNNI__
#include <immintrin.h>
#endif

namespace fot {

/// Rows x and y of a tile: 12 rows of two vectors of 16 sums fill three quarters of the registers.
inline constexpr Index byte_tile_rows = 12;
/// The columns: 32.
inline constexpr Index byte_tile_columns = 32;

/// Of each row i of a tile its columns: bit j is set if sum_ij >= 0.
using ReachedColumns = std::array<std::uint32_t, byte_tile_rows>;

/// The kernel in plain loops, for every processor.
struct PlainByteProducts {
    static constexpr bool fast = false;  ///< faster than products of floats?

    /// Is any sum of a tile at least 0? Then `reached` says which.
    ///
    /// Shapes: x (12, D) with rows `leading` apart, y (D / 4, 32, 4), start (32). D is a multiple of 4.
    static bool reach(Index depth, const std::uint8_t* x, Index leading, const std::int8_t* y, const std::int32_t* start,
                      ReachedColumns& reached) {
        std::uint32_t any = 0;
        for (Index i = 0; i < byte_tile_rows; ++i) {
            element(reached, i) = 0;
            for (Index j = 0; j < byte_tile_columns; ++j) {
                std::int32_t sum = start[j];
                for (Index d = 0; d < depth; ++d) sum += x[i * leading + d] * y[d / 4 * 4 * byte_tile_columns + j * 4 + d % 4];
                element(reached, i) |= static_cast<std::uint32_t>(sum >= 0) << j;
            }
            any |= element(reached, i);
        }
        return any != 0;
    }
};

#ifdef __AVX512VNNI__

/// The kernel with the instructions of AVX512_VNNI.
struct VnniByteProducts {
    static constexpr bool fast = true;  ///< as above

    /// As above.
    static bool reach(Index depth, const std::uint8_t* x, Index leading, const std::int8_t* y, const std::int32_t* start,
                      ReachedColumns& reached) {
        __m512i sum[byte_tile_rows][2];
        const std::uint8_t* fours[] = {x, x + 4 * leading, x + 8 * leading};  // as in tile_product
#pragma GCC unroll 12
        for (Index i = 0; i < byte_tile_rows; ++i)
            for (Index j = 0; j < 2; ++j) sum[i][j] = _mm512_loadu_si512(start + 16 * j);
        for (Index d = 0; d < depth; d += 4, y += 4 * byte_tile_columns) {
            const __m512i y_0 = _mm512_loadu_si512(y), y_1 = _mm512_loadu_si512(y + 64);
#pragma GCC unroll 12
            for (Index i = 0; i < byte_tile_rows; ++i) {
                std::int32_t four;
                std::memcpy(&four, fours[i / 4] + i % 4 * leading + d, 4);
                const __m512i x_i = _mm512_set1_epi32(four);
                sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], x_i, y_0);
                sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], x_i, y_1);
            }
        }
        const __m512i zero = _mm512_setzero_si512();
        __m512i all = _mm512_and_si512(sum[0][0], sum[0][1]);  // negative where all are
#pragma GCC unroll 12
        for (Index i = 1; i < byte_tile_rows; ++i) all = _mm512_and_si512(all, _mm512_and_si512(sum[i][0], sum[i][1]));
        if (_mm512_cmpge_epi32_mask(all, zero) == 0) [[likely]]
            return false;
#pragma GCC unroll 12
        for (Index i = 0; i < byte_tile_rows; ++i)
            element(reached, i) = static_cast<std::uint32_t>(_mm512_cmpge_epi32_mask(sum[i][0], zero)) |
                                  static_cast<std::uint32_t>(_mm512_cmpge_epi32_mask(sum[i][1], zero)) << 16;
        return true;
    }
};

/// The faster of the two here.
using ByteProducts = VnniByteProducts;

#else

/// The faster of the two here.
using ByteProducts = PlainByteProducts;

#endif

}  // namespace fot
