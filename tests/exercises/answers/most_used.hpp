/// Answer to exercise 11: another rule of what a full memory forgets.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "fot/core/largest.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/nn/slices.hpp"

namespace exercises {

using namespace fot;

/// The sum over queries and heads of each entry's weight in softmax over the whole memory.
inline Tensor<double, 1> attention_received(const KeyValueMemory<double>& memory, const Tensor<double, 3>& queries) {
    Tensor<double, 1> received = zeros<double, 1>({memory.size()});
    const FoundEntries<double> all = memory.search(queries, memory.size());  // every entry, best first
    for (Index t = 0; t < extent(queries, 0); ++t)
        for (Index h = 0; h < extent(queries, 1); ++h) {
            const double* scores = row(all.scores, t, h);
            const double log_sum = log_sum_exp(scores, memory.size());
            for (Index j = 0; j < memory.size(); ++j) received(all.indices(t, h, j)) += std::exp(scores[j] - log_sum);
        }
    return received;
}

/// The numbers of the entries that have received most, ascending: `capacity` of them, the newer one among equals.
inline std::vector<Index> most_received(const Tensor<double, 1>& received, Index capacity) {
    std::vector<Index> entries;
    for (Index entry = element_count(received) - 1; entry >= 0; --entry) entries.push_back(entry);  // the newest first
    std::stable_sort(entries.begin(), entries.end(), [&](Index i, Index j) { return received(i) > received(j); });
    entries.resize(static_cast<std::size_t>(std::min(capacity, length_of(entries))));
    std::sort(entries.begin(), entries.end());
    return entries;
}

/// A memory of the `capacity` entries that have received most, in the order in which they were.
inline KeyValueMemory<double> most_used(const KeyValueMemory<double>& memory, const Tensor<double, 1>& received, Index capacity) {
    const Index heads = memory.heads(), width = memory.width();
    Tensor<double, 3> keys = empty<double, 3>({memory.size(), heads, width}), values = empty_like(keys);
    for (Index h = 0; h < heads; ++h)
        memory.for_each_block(h, [&](const auto& of_keys, const auto& of_values, Index first) {
            for (Index i = 0; i < of_keys.rows; ++i) {
                std::copy_n(of_keys.row(i), width, row(keys, first + i, h));
                std::copy_n(of_values.row(i), width, row(values, first + i, h));
            }
        });
    KeyValueMemory<double> smaller(heads, width, memory.storage());
    for (const Index entry : most_received(received, capacity))
        smaller.append(slice<0>(keys, entry, 1), slice<0>(values, entry, 1), memory.document(entry));
    return smaller;
}

}  // namespace exercises
