/// A random order of any number of things that is computed, not stored.
///
/// Why: with it, keys of a dictionary can be drawn without repetition from all 61^4 = 13.8 million words of four symbols, and no
/// table is needed.
///
/// Read first: core/random.hpp.   Read next: data/dictionary.hpp (keys that never repeat, questions that never repeat).
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "fot/core/random.hpp"

namespace fot {

/// A pseudo-random permutation of 0 ... count-1 that needs no table: a Feistel network on the next power of four, walked along
/// its cycle until the number is in range. Distinct arguments give distinct results, which is what keys without repetition need.
/// The network has 256 numbers or more: on fewer, some orders would come half as often again as others.
///
/// Cost: 6 rounds of a 64-bit mix, on average fewer than 4 times, or 256 / count times if that is more.
/// Errors: ConfigError unless the count is 1 ... 2^62; DataError for an argument out of range.
class IndexPermutation {
   public:
    /// The permutation of 0 ... count-1 that belongs to the seed.
    IndexPermutation(Index count, std::uint64_t seed) : count_(static_cast<std::uint64_t>(count)) {
        require<ConfigError>(count >= 1 && count <= Index{1} << 62, "IndexPermutation: count ", count, ", expected 1 ... 2^62");
        while (half_bits_ < 31 && (std::uint64_t{1} << (2 * half_bits_)) < count_) ++half_bits_;
        Random random(seed);
        for (std::uint64_t& key : round_keys_) key = random.bits();
    }

    /// Where i goes.
    Index operator()(Index i) const {
        auto x = static_cast<std::uint64_t>(i);
        require<DataError>(x < count_, "IndexPermutation: ", i, " is outside 0 ... ", count_ - 1);
        const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
        do {
            std::uint64_t left = x >> half_bits_, right = x & mask;
            for (const std::uint64_t key : round_keys_) left = std::exchange(right, left ^ (mixed_bits(right ^ key) & mask));
            x = left << half_bits_ | right;
        } while (x >= count_);
        return static_cast<Index>(x);
    }

   private:
    std::uint64_t count_;
    int half_bits_ = 4;
    std::array<std::uint64_t, 6> round_keys_{};
};

}  // namespace fot
