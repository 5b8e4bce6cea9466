/// A stream of keys and values, remembered by one memory and by a sharded one.
#pragma once

#include <cmath>

#include "fot/core/random.hpp"
#include "fot/distributed/sharded_memory.hpp"
#include "fot/distributed/thread_communicator.hpp"
#include "fot/nn/slices.hpp"

namespace fot::testing {

/// Entries of a memory of 2 heads of width 8, and how it is kept.
template <class Real>
struct Stream {
    Tensor<Real, 3> keys, values;  // (T,2,8)
    Storage storage = Storage::full;
    Index capacity = 0;
    Index documents = 3;  // of equal length, appended one after another

    explicit Stream(Index tokens, std::uint64_t seed = 1) {
        Random random(seed);
        keys = normal_tensor<Real, 3>({tokens, 2, 8}, 1, random);
        values = normal_tensor<Real, 3>({tokens, 2, 8}, 1, random);
    }

    /// Appends all to a memory of either kind.
    template <class Memory>
    void fill(Memory& memory) const {
        for (Index document = 0; document < documents; ++document) {
            const Share part = share_of(extent(keys, 0), document, documents);
            memory.append(slice<0>(keys, part.first, part.size()), slice<0>(values, part.first, part.size()), 10 + document);
        }
    }
    KeyValueMemory<Real> one_memory() const {
        KeyValueMemory<Real> memory(2, 8, storage, capacity);
        fill(memory);
        return memory;
    }
    ShardedMemory<Real> sharded(Communicator& ranks) const {
        ShardedMemory<Real> memory(ranks, 2, 8, storage, capacity);
        fill(memory);
        return memory;
    }
};

/// Streams of lengths at which shards are empty, of one block, of unequal length, and of several blocks.
template <class Real>
std::vector<Stream<Real>> streams_of_all_lengths() {
    std::vector<Stream<Real>> streams;
    for (const Index tokens : {0, 1, 700, 1024, 1025, 2500, 5200}) streams.emplace_back(tokens);
    return streams;
}

/// Whole numbers from -1 to 1 in place of all numbers: scores are exact, and most are equal to others.
template <class Real, std::size_t N>
Tensor<Real, N> with_ties(Tensor<Real, N> x) {
    for (Real& each : x.storage()) each = std::clamp(std::round(each), Real(-1), Real(1));
    return x;
}

}  // namespace fot::testing
