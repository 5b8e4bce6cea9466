/// Seeded random numbers that are the same on every platform and compiler.
///
/// The generator is xoshiro256** (Blackman and Vigna 2018), seeded through splitmix64. The standard library's engines are portable,
/// its distributions are not: `std::normal_distribution` gives different numbers with a different compiler. (Normal numbers are
/// computed with the logarithm of the C library, so their last bit may still differ between two C libraries.) The four words of
/// state are public so that a checkpoint can keep them.
///
/// Read next: core/parallel.hpp.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#include "fot/core/tensor.hpp"

namespace fot {

/// 64 bits, mixed as splitmix64 does: each bit of x changes each bit of the result with probability 1/2.
inline std::uint64_t mixed_bits(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/// xoshiro256**: 2^256 - 1 period, 64 random bits per call.
class Random {
   public:
    using State = std::array<std::uint64_t, 4>;  ///< four words, not all zero

    /// The words come from the seed by splitmix64, so that similar seeds give unrelated numbers.
    explicit Random(std::uint64_t seed) {
        for (auto& word : state) word = mixed_bits(seed += 0x9e3779b97f4a7c15u);
    }

    /// 64 random bits.
    std::uint64_t bits() {
        const std::uint64_t result = std::rotl(state[1] * 5, 7) * 9, shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = std::rotl(state[3], 45);
        return result;
    }

    /// Uniform in [0, 1), with 53 random bits.
    double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

    /// Uniform in {0, ..., count - 1}, without bias. Throws ConfigError if count < 1.
    Index below(Index count) {
        require<ConfigError>(count >= 1, "Random::below: count ", count, " is below 1");
        const auto range = static_cast<std::uint64_t>(count);
        const std::uint64_t limit = -range % range;  // 2^64 mod range: the part that would be drawn too often
        std::uint64_t draw = bits();
        while (draw < limit) draw = bits();
        return static_cast<Index>(draw % range);
    }

    /// Standard normal (Marsaglia's polar method; the second number of each pair is dropped so that the state says all).
    double normal() {
        for (;;) {
            const double x = 2 * uniform() - 1, y = 2 * uniform() - 1;
            const double square = std::fma(x, x, y * y);  // fma by name: whether compilers fuse x * x + y * y is their own choice
            if (square > 0 && square < 1) return x * std::sqrt(-2 * std::log(square) / square);
        }
    }

    /// Puts the elements into a uniformly random order (Fisher and Yates).
    template <class Container>
    void shuffle(Container& elements) {
        for (Index i = static_cast<Index>(elements.size()) - 1; i > 0; --i)
            std::swap(elements[static_cast<std::size_t>(i)], elements[static_cast<std::size_t>(below(i + 1))]);
    }

    State state{};  ///< all there is to a generator: what a checkpoint keeps
};

/// Fills a tensor with independent normal numbers of mean 0.
/// Errors: ConfigError unless the deviation is finite.
template <class Real, std::size_t N>
void fill_normal(Tensor<Real, N>& tensor, double standard_deviation, Random& random) {
    require<ConfigError>(std::isfinite(standard_deviation), "fill_normal: standard deviation ", standard_deviation,
                         ", expected a finite number");
    for (auto& element : tensor.storage()) element = static_cast<Real>(standard_deviation * random.normal());
}

/// A tensor of independent normal numbers of mean 0.
template <class Real, std::size_t N>
Tensor<Real, N> normal_tensor(const Shape<N>& shape, double standard_deviation, Random& random) {
    Tensor<Real, N> tensor = empty<Real, N>(shape);
    fill_normal(tensor, standard_deviation, random);
    return tensor;
}

}  // namespace fot
