/// Exercise 11: another rule of what a full memory forgets.
///
/// A KeyValueMemory of limited capacity drops its oldest entries. An entry that every window asks for then leaves as surely as one
/// that nobody ever looked at. Keep instead the entries that have received the most attention (heavy hitters: Zhang et al. 2023,
/// H2O).
///
/// Write attention_received and most_used. They now count nothing and keep the newest.
///
/// Paper:  section 3.1, the memory M; its rule is the oldest first, when there is a limit at all.
/// Read:   memory/key_value_memory.hpp: search, for_each_block, document, append; log_sum_exp in core/largest.hpp.
/// Try:    cmake --build --preset release --target exercises
#pragma once

#include <algorithm>

#include "fot/core/largest.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/nn/slices.hpp"

namespace exercises {

using namespace fot;

/// How much attention each entry of a memory receives from a window: the sum over queries and heads of the entry's weight in
/// softmax over the whole memory.
///
/// Shapes: queries (T,H,D), temperature in them, H a multiple of the memory's heads -> (M), M = memory.size(), in the order of the
///         entries. The sum over entries is T H, unless the memory is empty.
inline Tensor<double, 1> attention_received(const KeyValueMemory<double>& memory, const Tensor<double, 3>& /*queries*/) {
    return zeros<double, 1>({memory.size()});
}

/// A memory of the `capacity` entries that have received most, in the order in which they were; all of them if there are no more.
/// Of entries that have received the same the newer one stays. Keys, values and documents are those of before.
///
/// Shapes: received (M).
inline KeyValueMemory<double> most_used(const KeyValueMemory<double>& memory, const Tensor<double, 1>& /*received*/,
                                        Index capacity) {
    const Index heads = memory.heads(), width = memory.width(), kept = std::min(capacity, memory.size());
    KeyValueMemory<double> smaller(heads, width, memory.storage());
    const Index first = memory.size() - kept;
    Tensor<double, 3> keys = empty<double, 3>({kept, heads, width}), values = empty<double, 3>({kept, heads, width});
    for (Index h = 0; h < heads; ++h)
        memory.for_each_block(h, first, memory.size(), [&](const auto& of_keys, const auto& of_values, Index entry) {
            for (Index i = 0; i < of_keys.rows; ++i) {
                std::copy_n(of_keys.row(i), width, row(keys, entry - first + i, h));
                std::copy_n(of_values.row(i), width, row(values, entry - first + i, h));
            }
        });
    for (Index i = 0; i < kept; ++i) smaller.append(slice<0>(keys, i, 1), slice<0>(values, i, 1), memory.document(first + i));
    return smaller;
}

}  // namespace exercises
