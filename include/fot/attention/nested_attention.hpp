/// Attention to the newest entries of one memory, for several memory sizes at once (the paper's perplexity against memory size).
///
///     memory of M tokens:  the newest M entries of a larger memory
///
/// A larger memory contains the smaller ones. So the memory is walked once, from its newest entries to its oldest: what was found
/// in one size is where the search of the next one goes on, and the softmax over a whole memory does the same.
///
/// Source: paper section 3.1 (memory attention); its analysis of perplexity against memory size asks for many sizes.
/// Read first: attention/memory_attention.hpp, memory/exact_search.hpp.   Read next: measure/memory_curve.hpp.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "fot/attention/memory_attention.hpp"
#include "fot/core/parallel.hpp"
#include "fot/memory/key_value_memory.hpp"

namespace fot {

namespace detail {

template <class Real>
void require_nested(const Tensor<Real, 4>& q, const KeyValueMemory<Real>& memory, const std::vector<Index>& lengths,
                    const std::vector<Index>& top_ks) {
    require_shape("nested_attention: q", q, Shape<4>{1, -1, -1, memory.width()});
    require<ShapeError>(extent(q, 2) % memory.heads() == 0, "nested_attention: q has ", extent(q, 2), " heads, no multiple of the ",
                        memory.heads(), " of the memory");
    require<ConfigError>(!top_ks.empty() && *std::min_element(top_ks.begin(), top_ks.end()) >= 0,
                         "nested_attention: no top_k, or one below 0");
    require<ConfigError>(std::is_sorted(lengths.begin(), lengths.end()) &&
                             (lengths.empty() || (lengths.front() >= 0 && lengths.back() <= memory.size())),
                         "nested_attention: lengths that do not ascend from 0 or more to at most the ", memory.size(),
                         " entries of the memory");
}

}  // namespace detail

/// Attention to the `lengths` newest entries of a memory, for each length with every top_k (0: all entries). Without gradients.
///
/// Shapes: q (1,T,H,D), a memory of G heads of width D, G divides H -> result [length][top_k], each
///         o (1,T,H,D), log_sum_exp (1,H,T).
/// Cost:   T H M D multiply-adds of search if a top_k is above 0, M the largest length; 2 T H M D and T H M exponentials if one
///         is 0.
/// Errors: ShapeError if q does not fit the memory; ConfigError if there is no top_k or one is negative, or unless the lengths
///         ascend from 0 or more to at most the memory's size.
/// Same as: memory_attention with each top_k over a memory that holds these entries alone.
template <class Real>
std::vector<std::vector<AttentionResult<Real>>> nested_attention(const Tensor<Real, 4>& q, const KeyValueMemory<Real>& memory,
                                                                 const std::vector<Index>& lengths,
                                                                 const std::vector<Index>& top_ks) {
    detail::require_nested(q, memory, lengths, top_ks);
    const Index queries = extent(q, 1), heads = extent(q, 2), width = extent(q, 3), group = heads / memory.heads();
    std::vector<std::vector<AttentionResult<Real>>> results(lengths.size());
    for (auto& of_length : results)
        for (Index i = 0; i < length_of(top_ks); ++i) of_length.push_back(detail::unwritten_result<Real>({q, q, q}));
    const Index most = std::min(*std::max_element(top_ks.begin(), top_ks.end()), lengths.empty() ? 0 : lengths.back());
    const bool whole = std::find(top_ks.begin(), top_ks.end(), 0) != top_ks.end();

    // Threads share the heads and, where there are more of them, the queries of each head.
    const Index slices = std::min(std::max<Index>(threads() / heads, 1), (queries + panel_width<Real> - 1) / panel_width<Real>);
    parallel_for(heads * slices, [&](Index unit) {
        const Index h = unit / slices, from = queries * (unit % slices) / slices, to = queries * (unit % slices + 1) / slices;
        const MatrixView<const Real> q_h = head(q, 0, h).rows_from(from, to - from);
        StreamingSearch<Real> search(q_h, most);
        RunningSoftmax<Real> softmax(q_h, width);
        Tensor<Real, 2> values = empty<Real, 2>({most, width});  // of one query, best first
        Index first = memory.size();                             // entries from here on are seen
        for (Index i = 0; i < length_of(lengths); ++i) {
            const Index end = std::exchange(first, memory.size() - element(lengths, i));
            memory.for_each_block(h / group, first, end, [&](const auto& keys, const auto& block_values, Index entry) {
                search.add(keys, entry);
                if (whole) softmax.attend(keys, block_values);
            });
            const SearchResult<Real> found = search.result();
            for (Index n = 0; n < length_of(top_ks); ++n) {
                AttentionResult<Real>& result = element(element(results, i), n);
                if (element(top_ks, n) == 0) {
                    softmax.write(head(result.o, 0, h).rows_from(from, to - from), row(result.log_sum_exp, 0, h) + from);
                    continue;
                }
                const Index k = std::min(element(top_ks, n), extent(found.indices, 1));
                for (Index t = from; t < to; ++t) {
                    for (Index j = 0; j < k; ++j) memory.copy_value(found.indices(t - from, j), h / group, row(values, j));
                    result.log_sum_exp(0, h, t) =
                        found_attention(row(found.scores, t - from), values.data(), k, width, row(result.o, 0, t, h));
                }
            }
        }
    });
    return results;
}

}  // namespace fot
