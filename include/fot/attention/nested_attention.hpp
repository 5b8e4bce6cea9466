/// Attention to the newest entries of one memory, for several memory sizes at once.
///
///     memory of M tokens:  the newest M entries of a larger memory
///
/// The paper plots perplexity against memory size. Reading the text again for each size would cost a pass each. But a larger memory
/// contains the smaller ones, so the memory is walked once, from its newest entries to its oldest. The search for one size
/// continues where the search for the next smaller one ended, and so does the softmax over a whole memory.
///
/// This is valid only if the stored keys do not depend on the memory, which is so with one memory layer.
///
/// Source: paper sections 3.1 and 5.3, Figure 8.
/// Read first: attention/memory_attention.hpp, memory/exact_search.hpp.   Read next: measure/memory_curve.hpp.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "fot/attention/memory_attention.hpp"
#include "fot/core/parallel.hpp"
#include "fot/memory/key_value_memory.hpp"

namespace fot {

/// How much of a memory is read.
struct MemoryReading {
    Index tokens;                                           ///< its newest entries
    Index top_k;                                            ///< the best of them for each query and head; 0: all
    bool operator==(const MemoryReading&) const = default;  ///< both alike
};

/// Attention of the same queries to a memory under R readings. Without gradients.
///
/// Shapes: q (1,T,H,D), a memory of G heads of width D, G divides H -> o (R,T,H,D), log_sum_exp (R,H,T).
/// Cost:   T H M D multiply-adds of search if a top_k is above 0, M the most tokens; 2 T H M D and T H M exponentials if one
///         is 0.
/// Errors: ShapeError if q does not fit the memory; ConfigError unless every top_k is 0 or more, and every reading is of 0 to as
///         many tokens as the memory has.
/// Same as: memory_attention with each top_k over a memory that holds these entries alone.
template <class Real>
AttentionResult<Real> nested_attention(const Tensor<Real, 4>& q, const KeyValueMemory<Real>& memory,
                                       const std::vector<MemoryReading>& readings) {
    require_shape("nested_attention: q", q, Shape<4>{1, -1, -1, memory.width()});
    const Index queries = extent(q, 1), heads = extent(q, 2), width = extent(q, 3), group = heads / memory.heads();
    require<ShapeError>(heads > 0 && heads % memory.heads() == 0, "nested_attention: q has ", heads,
                        " heads, not a multiple of the ", memory.heads(), " of the memory");
    std::vector<Index> ascending;  // the readings, in the order of their tokens
    Index most = 0;                // of all top_k
    bool whole = false;
    for (const auto& [tokens, top_k] : readings) {
        require<ConfigError>(tokens >= 0 && tokens <= memory.size() && top_k >= 0, "nested_attention: the best ", top_k, " of ",
                             tokens, " tokens, expected 0 or more (0: all), and at most the ", memory.size(),
                             " entries of the memory");
        ascending.push_back(length_of(ascending));
        most = std::max(most, std::min(top_k, tokens));
        whole = whole || top_k == 0;
    }
    std::ranges::stable_sort(ascending, {}, [&](Index i) { return element(readings, i).tokens; });
    AttentionResult<Real> result{empty<Real, 4>({length_of(readings), queries, heads, width}),
                                 empty<Real, 3>({length_of(readings), heads, queries})};

    // Threads share the heads and, where there are more of them, the queries of each head.
    const Index slices = std::min(std::max<Index>(threads() / heads, 1), (queries + panel_width<Real> - 1) / panel_width<Real>);
    parallel_for(heads * slices, [&](Index unit) {
        const Index h = unit / slices, from = queries * (unit % slices) / slices, to = queries * (unit % slices + 1) / slices;
        const MatrixView<const Real> q_h = head(q, 0, h).rows_from(from, to - from);
        StreamingSearch<Real> search(q_h, most);
        RunningSoftmax<Real> softmax(q_h, width);
        Tensor<Real, 2> values = empty<Real, 2>({most, width});  // of one query, best first
        Index first = memory.size();                             // entries from here on are seen
        for (const Index i : ascending) {
            const auto [tokens, top_k] = element(readings, i);
            const Index end = std::exchange(first, memory.size() - tokens);
            memory.for_each_block(h / group, first, end, [&](const auto& keys, const auto& block_values, Index entry) {
                search.add(keys, entry);
                if (whole) softmax.attend(keys, block_values);
            });
            if (top_k == 0) {
                softmax.write(head(result.o, i, h).rows_from(from, to - from), row(result.log_sum_exp, i, h) + from);
                continue;
            }
            const SearchResult<Real> found = search.result();
            const Index k = std::min(top_k, extent(found.indices, 1));
            for (Index t = from; t < to; ++t) {
                for (Index j = 0; j < k; ++j) memory.copy_value(found.indices(t - from, j), h / group, row(values, j));
                result.log_sum_exp(i, h, t) =
                    found_attention(row(found.scores, t - from), values.data(), k, width, row(result.o, i, t, h));
            }
        }
    });
    return result;
}

}  // namespace fot
