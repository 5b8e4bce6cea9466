/// Element types of stored tensors, and how their numbers become ours.
///
/// A safetensors file names its element types as text ("F32"). C++ has no arithmetic for half precision and bfloat16: such numbers
/// are widened to float, exactly, when they are read, and rounded when they are written.
///
/// Read first: core/bfloat16.hpp.   Read next: nn/stored_linear.hpp, files/safetensors.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "fot/core/bfloat16.hpp"

namespace fot {

/// The element types of safetensors files.
enum class Dtype { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

namespace detail {

struct DtypeFacts {
    Dtype dtype;
    const char* name;
    Index bytes;
};

inline constexpr std::array<DtypeFacts, 13> dtype_facts{{{Dtype::f64, "F64", 8},
                                                         {Dtype::f32, "F32", 4},
                                                         {Dtype::f16, "F16", 2},
                                                         {Dtype::bf16, "BF16", 2},
                                                         {Dtype::i64, "I64", 8},
                                                         {Dtype::i32, "I32", 4},
                                                         {Dtype::i16, "I16", 2},
                                                         {Dtype::i8, "I8", 1},
                                                         {Dtype::u64, "U64", 8},
                                                         {Dtype::u32, "U32", 4},
                                                         {Dtype::u16, "U16", 2},
                                                         {Dtype::u8, "U8", 1},
                                                         {Dtype::boolean, "BOOL", 1}}};

/// A stored IEEE half-precision number.
struct StoredHalf {
    std::uint16_t bits;
};

/// Without branches, so that a loop over many can be vectorised: exponent and fraction are moved to their places in a float and
/// multiplied by the quotient of the two formats' units, which is exact for subnormal numbers too.
inline float to_float(StoredHalf x) {
    const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16, size = x.bits & 0x7fffu;
    const float scaled = std::bit_cast<float>(size << 13) * 0x1p112f;
    const std::uint32_t special = size >= 0x7c00u ? 0x7f800000u : 0u;  // infinity and NaN stay so
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | special | sign);
}

/// The nearest half-precision number, ties to even; infinity from 65520 on.
inline StoredHalf to_half(float x) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x), sign = bits >> 16 & 0x8000u;
    const float size = std::abs(x);
    if (!(size < 65520.0f)) return {static_cast<std::uint16_t>(sign | (std::isnan(x) ? 0x7e00u : 0x7c00u))};
    // Added to a float whose last bit is worth as much as that of the half, the size is rounded to it.
    const std::uint32_t exponent = std::max(bits & 0x7f800000u, std::bit_cast<std::uint32_t>(0x1p-14f)),
                        large = exponent + (13u << 23);
    const std::uint32_t units = std::bit_cast<std::uint32_t>(size + std::bit_cast<float>(large)) - large;
    return {static_cast<std::uint16_t>(sign | ((((exponent >> 23) - 113) << 10) + units))};
}

/// The same from double.
inline StoredHalf to_half(double x) { return to_half(rounded_to_odd(x)); }

/// Calls `body` with a value of the C++ type that stores `dtype`.
template <class Body>
void with_stored_type(Dtype dtype, Body&& body) {
    switch (dtype) {
        case Dtype::f64:
            return body(double{});
        case Dtype::f32:
            return body(float{});
        case Dtype::f16:
            return body(StoredHalf{});
        case Dtype::bf16:
            return body(BFloat16{});
        case Dtype::i64:
            return body(std::int64_t{});
        case Dtype::i32:
            return body(std::int32_t{});
        case Dtype::i16:
            return body(std::int16_t{});
        case Dtype::i8:
            return body(std::int8_t{});
        case Dtype::u64:
            return body(std::uint64_t{});
        case Dtype::u32:
            return body(std::uint32_t{});
        case Dtype::u16:
            return body(std::uint16_t{});
        case Dtype::u8:
        case Dtype::boolean:
            return body(std::uint8_t{});
    }
}

}  // namespace detail

/// `count` numbers, each as the nearest one of the type that stores it: Real itself, or a 16-bit format.
template <class Real, class Stored>
void round_numbers(const Real* source, Index count, Stored* target) {
    for (Index i = 0; i < count; ++i)
        if constexpr (std::is_same_v<Stored, BFloat16>)
            target[i] = to_bfloat16(source[i]);
        else if constexpr (std::is_same_v<Stored, detail::StoredHalf>)
            target[i] = detail::to_half(source[i]);
        else
            target[i] = source[i];
}

/// The name of an element type in safetensors files, "F32".
inline const char* dtype_name(Dtype dtype) { return detail::dtype_facts[static_cast<std::size_t>(dtype)].name; }

/// Bytes of one element.
inline Index dtype_bytes(Dtype dtype) { return detail::dtype_facts[static_cast<std::size_t>(dtype)].bytes; }

/// The element type that stores a C++ number, or one of a 16-bit format, exactly.
template <class T>
constexpr Dtype dtype_of() {
    if constexpr (std::is_same_v<T, BFloat16>) {
        return Dtype::bf16;
    } else if constexpr (std::is_same_v<T, detail::StoredHalf>) {
        return Dtype::f16;
    } else {
        static_assert(std::is_same_v<T, double> || std::is_same_v<T, float> || (std::is_integral_v<T> && !std::is_same_v<T, bool>));
        if (std::is_floating_point_v<T>) return sizeof(T) == 8 ? Dtype::f64 : Dtype::f32;
        constexpr std::array<Dtype, 4> with_sign{Dtype::i8, Dtype::i16, Dtype::i32, Dtype::i64};
        constexpr std::array<Dtype, 4> without{Dtype::u8, Dtype::u16, Dtype::u32, Dtype::u64};
        return (std::is_signed_v<T> ? with_sign : without)[static_cast<std::size_t>(std::countr_zero(sizeof(T)))];
    }
}

}  // namespace fot
