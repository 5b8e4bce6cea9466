/// Products of tiles of bytes, of which only those that reach a bar are reported: the kernel of memory/byte_filter.hpp.
///
///     sum_ij = start_j + sum_d x_id y_jd,     x_id of 0 ... 255, y_jd of -Q ... Q     is sum_ij >= 0?
///
/// A bar is the score that a key must reach to count (memory/byte_filter.hpp). Only the sign of a sum is needed: start_j is minus
/// the bar, corrected for the 128 that was added to each x to make it unsigned, so that a sum is 0 or more where the bar is
/// reached. In most tiles no sum reaches its bar. The sums are whole numbers of 32 bits, so they are exact.
///
/// Instructions that multiply and add 64 bytes (64 floats), and what Q may be:
///
///     AVX512_VNNI     1 (4)     Q = 127
///     AVX2            5 (8)     Q = 32: four products are added up in 16 bits before they are widened to 32 bits, and
///                               4 * 255 * Q <= 2^15 - 1
///     plain loops               Q = 127: for tests; searches do without the filter. So do builds for AVX-512 without VNNI, where
///                               five instructions compare with four.
///
/// Read first: core/tile_product.hpp.   Read next: memory/byte_filter.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "fot/core/index.hpp"

#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace fot {

/// Rows of x in a tile. With AVX-512, 12 rows of two vectors of 16 sums fill three quarters of the registers.
inline constexpr Index byte_tile_rows = 12;
/// The columns, rows of y.
inline constexpr Index byte_tile_columns = 32;

/// Of each row i of a tile its columns: bit j is set if sum_ij >= 0.
using ReachedColumns = std::array<std::uint32_t, byte_tile_rows>;

/// The kernel in plain loops, for every processor.
struct PlainByteProducts {
    static constexpr bool fast = false;    ///< can it be faster than products of floats?
    static constexpr int largest_y = 127;  ///< Q

    /// Is any sum of a tile at least 0? Then `reached` says which; otherwise it is undefined.
    ///
    /// Shapes: x (12, D) with rows `leading` apart, y (D / 4, 32, 4), start (32). D is a multiple of 8.
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
    static constexpr bool fast = true;     ///< as above
    static constexpr int largest_y = 127;  ///< Q

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

/// The kernel of this build.
using ByteProducts = VnniByteProducts;

#elif defined(__AVX2__) && !defined(__AVX512F__)

/// The kernel with the instructions of AVX2, a row at a time: four vectors of eight sums.
struct Avx2ByteProducts {
    static constexpr bool fast = true;    ///< as above
    static constexpr int largest_y = 32;  ///< Q

    /// As above.
    static bool reach(Index depth, const std::uint8_t* x, Index leading, const std::int8_t* y, const std::int32_t* start,
                      ReachedColumns& reached) {
        const __m256i ones = _mm256_set1_epi16(1);
        const auto vector = [](const auto* numbers) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(numbers)); };
        const auto four = [](const std::uint8_t* numbers) {
            std::int32_t result;
            std::memcpy(&result, numbers, 4);
            return _mm256_set1_epi32(result);
        };
        std::uint32_t any = 0;
        for (Index i = 0; i < byte_tile_rows; ++i, x += leading) {
            __m256i sum[4];
#pragma GCC unroll 4
            for (Index j = 0; j < 4; ++j) sum[j] = vector(start + 8 * j);
            for (Index d = 0; d < depth; d += 8) {
                const __m256i x_0 = four(x + d), x_1 = four(x + d + 4);
#pragma GCC unroll 4
                for (Index j = 0; j < 4; ++j) {
                    const std::int8_t* y_j = y + d * byte_tile_columns + 32 * j;
                    const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(x_0, vector(y_j)),
                                                           _mm256_maddubs_epi16(x_1, vector(y_j + 4 * byte_tile_columns)));
                    sum[j] = _mm256_add_epi32(sum[j], _mm256_madd_epi16(pairs, ones));
                }
            }
            std::uint32_t negative = 0;
#pragma GCC unroll 4
            for (Index j = 0; j < 4; ++j)
                negative |= static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(sum[j]))) << 8 * j;
            element(reached, i) = ~negative;
            any |= ~negative;
        }
        return any != 0;
    }
};

/// The kernel of this build.
using ByteProducts = Avx2ByteProducts;

#else

/// The kernel of this build.
using ByteProducts = PlainByteProducts;

#endif

}  // namespace fot
