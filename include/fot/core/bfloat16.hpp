/// bfloat16: the upper half of a float, for memories that must be small. It halves the bytes that a search reads.
///
/// Sign, the 8 exponent bits of a float and 7 bits of fraction: the range of a float at two to three decimal digits. Numbers are
/// stored this way, and expanding them to floats is exact. Arithmetic runs on these floats, except in products that are asked to
/// round both factors (core/bfloat16_products.hpp).
///
/// Read first: core/matrix_view.hpp, core/simd.hpp.   Read next: core/tile_product.hpp, memory/key_value_memory.hpp.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "fot/core/matrix_view.hpp"
#include "fot/core/simd.hpp"

namespace fot {

/// The 16 stored bits.
struct BFloat16 {
    std::uint16_t bits = 0;                            ///< sign, 8 of exponent, 7 of mantissa: the upper half of a float
    bool operator==(const BFloat16&) const = default;  ///< of the bits: a NaN equals itself, 0 and -0 differ
};

/// The nearest bfloat16, ties to the even one; beyond the largest one infinity; a NaN stays a NaN.
inline BFloat16 to_bfloat16(float x) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const std::uint32_t quiet_nan = (bits >> 16) | 0x40u;
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return {static_cast<std::uint16_t>(is_nan ? quiet_nan : rounded)};
}

namespace detail {

/// A float to be rounded further. Rounding to the nearest float first and then again could take the wrong side of a tie, so this is
/// the truncated one, its last bit set if anything was cut off ("round to odd").
inline float rounded_to_odd(double x) {
    const float nearest = static_cast<float>(x);
    if (static_cast<double>(nearest) == x || std::isnan(x)) return nearest;
    std::uint32_t bits = std::bit_cast<std::uint32_t>(nearest);
    if (std::abs(static_cast<double>(nearest)) > std::abs(x)) --bits;
    return std::bit_cast<float>(bits | 1u);
}

}  // namespace detail

/// The same from double.
inline BFloat16 to_bfloat16(double x) { return to_bfloat16(detail::rounded_to_odd(x)); }

/// The same number as a float: exact.
inline float to_float(BFloat16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16); }

namespace detail {

/// A stored number as one to calculate with: a Real, an integer, or a 16-bit format.
template <class Real, class Stored>
Real widened(Stored stored) {
    if constexpr (std::is_class_v<Stored>)
        return static_cast<Real>(to_float(stored));
    else
        return static_cast<Real>(stored);
}

}  // namespace detail

/// `count` stored numbers as ones to calculate with.
template <class Real, class Stored>
void widen(const Stored* source, Index count, Real* target) {
    for (Index i = 0; i < count; ++i) target[i] = detail::widened<Real>(source[i]);
}

/// A vector V of stored numbers: of V's type, or of a 16-bit format.
template <class V, class Stored>
V load_widened(const Stored* numbers) {
    if constexpr (std::is_same_v<Stored, typename V::value_type>) {
        return V::load_unaligned(numbers);
    } else {
        std::array<typename V::value_type, V::size> wide;
        for (std::size_t i = 0; i < V::size; ++i) wide[i] = detail::widened<typename V::value_type>(numbers[i]);
        return V::load_unaligned(wide.data());
    }
}

/// Rows of numbers, of type Real or of a 16-bit format, as numbers of type Real: the rows themselves, or copies of them in `room`.
template <class Real, class Stored>
MatrixView<const Real> widened_rows(MatrixView<const Stored> rows, Tensor<Real, 2>& room) {
    if constexpr (std::is_same_v<Stored, Real>) {
        return rows;
    } else {
        if (extent(room, 0) < rows.rows || extent(room, 1) != rows.columns) room = empty<Real, 2>({rows.rows, rows.columns});
        const bool gaps = rows.leading != rows.columns;
        for (Index i = 0; gaps && i < rows.rows; ++i) widen(rows.row(i), rows.columns, row(room, i));
        if (!gaps) widen(rows.data, rows.rows * rows.columns, room.data());
        return as_matrix(std::as_const(room)).rows_from(0, rows.rows);
    }
}

}  // namespace fot
