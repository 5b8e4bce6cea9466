/// Vectors of numbers, as wide as the registers of the processor: the only place that includes xsimd.
///
/// `SimdVector<float>` holds as many numbers as one instruction works on: 4 with SSE or NEON, 8 with AVX2, 16 with AVX-512.
/// Arithmetic on vectors is arithmetic on each of their numbers. Rows of any length are walked vector by vector:
///
///     for_each_vector<SimdVector<float>>(count, [&](auto at) { at.store(2 * at.load(x), y); });      // y[i] = 2 x[i]
///
/// The instruction set comes from the compiler's options, and it is part of the vector's type. A kernel is a template on that type,
/// so two parts of a program that were compiled with different options each call their own kernel. What stays in memory between two
/// calls, such as a packed factor, must look the same for all instruction sets.
///
/// Read first: core/index.hpp.   Read next: core/tile_product.hpp, core/exponential.hpp.
#pragma once

#if __has_include(<xsimd/xsimd.hpp>)
#if defined(__GNUC__) && !defined(__clang__)  // false alarms from the AVX-512 intrinsics of g++ 12 (GCC bug 105593)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#else
#error "fot needs xsimd: apt-get install libxsimd-dev"
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "fot/core/index.hpp"

namespace fot {

/// A register of numbers.
template <class Real>
using SimdVector = xsimd::batch<Real>;

/// How many numbers a vector V holds.
template <class V>
inline constexpr Index lanes = static_cast<Index>(V::size);

/// How many vectors V the processor can hold in registers: 16 on x86 before AVX-512, 32 everywhere else.
template <class V>
inline constexpr Index register_count =
    std::is_base_of_v<xsimd::sse2, typename V::arch_type> || std::is_base_of_v<xsimd::avx, typename V::arch_type> ? 16 : 32;

/// The name of the instruction set: "sse2", "fma3+avx2", "neon64".
template <class V = SimdVector<float>>
constexpr const char* instruction_set() {
    return V::arch_type::name();
}

/// The larger of the numbers at each place; that of y where either is NaN.
template <class V>
V larger(const V& x, const V& y) {
    if constexpr (XSIMD_WITH_SSE2)
        return xsimd::max(x, y);  // one instruction, which is defined that way
    else
        return xsimd::select(x > y, x, y);
}

/// A whole vector within rows of numbers: the numbers `first` ... `first + lanes - 1` of each.
template <class V>
struct WholeVector {
    using Real = typename V::value_type;  ///< of the rows
    Index first;                          ///< the position of the vector's first number

    /// The vector of a row. The filling is for parts of vectors.
    V load(const Real* numbers, [[maybe_unused]] Real filling = 0) const { return V::load_unaligned(numbers + first); }
    /// Writes the vector into a row.
    void store(const V& x, Real* numbers) const { x.store_unaligned(numbers + first); }
};

/// The last vector of rows whose length is not a multiple of the vector's: `count` numbers from `first` on.
template <class V>
struct PartOfVector {
    using Real = typename V::value_type;  ///< of the rows
    Index first;                          ///< the position of the vector's first number
    Index count;                          ///< how many numbers of the vector belong to the rows

    /// The numbers of a row, and `filling` in the rest of the vector.
    V load(const Real* numbers, Real filling = 0) const {
        std::array<Real, V::size> whole;
        whole.fill(filling);
        std::copy_n(numbers + first, count, whole.begin());
        return V::load_unaligned(whole.data());
    }
    /// Writes as many numbers as belong to the row.
    void store(const V& x, Real* numbers) const {
        std::array<Real, V::size> whole;
        x.store_unaligned(whole.data());
        std::copy_n(whole.begin(), count, numbers + first);
    }
};

/// Calls body(at) for the vectors of rows of `count` numbers, in ascending order. `at.load(row)` and `at.store(x, row)` read and
/// write the vector's part of a row, so that a row of any length needs no loop of its own for the rest.
template <class V, class Body>
void for_each_vector(Index count, Body&& body) {
    Index first = 0;
    for (; count - first >= lanes<V>; first += lanes<V>) body(WholeVector<V>{first});
    if (first < count) body(PartOfVector<V>{first, count - first});
}

/// Writes the last eight bits of each number: a plain loop, which -O3 turns into vectors. V keeps builds for several processors
/// apart.
template <class V = SimdVector<float>>
void store_last_bytes(const float* numbers, Index count, std::uint8_t* target) {
    for (Index i = 0; i < count; ++i) target[i] = static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(numbers[i]));
}

/// The numbers of a vector joined to one: join(x, y) must be associative, as a sum or a maximum is.
template <class V, class Join>
typename V::value_type joined_lanes(const V& x, Join&& join) {
    std::array<typename V::value_type, V::size> numbers;
    x.store_unaligned(numbers.data());
    for (std::size_t half = V::size / 2; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) numbers[i] = join(numbers[i], numbers[i + half]);
    return numbers[0];
}

/// The sum over rows of `count` numbers of f(at), which is a vector, and 0 where the numbers are 0.
template <class V, class F>
typename V::value_type sum_of_vectors(Index count, F&& f) {
    V sum(typename V::value_type(0));
    for_each_vector<V>(count, [&](auto at) { sum += f(at); });
#if XSIMD_VERSION_MAJOR < 9  // which named it anew
    return xsimd::hadd(sum);
#else
    return xsimd::reduce_add(sum);
#endif
}

/// sum_i a[i] b[i] of two rows.
template <class Real, class V = SimdVector<Real>>
Real inner_product(const Real* a, const Real* b, Index count) {
    return sum_of_vectors<V>(count, [&](auto at) { return at.load(a) * at.load(b); });
}

}  // namespace fot
