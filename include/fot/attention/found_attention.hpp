/// Attention to what a search has found, whose scores are therefore known; and memories of several sizes in one search.
///
///     o_t = sum_{j < k} softmax_j(scores[t,j]) values[t,j]                j: the entries found for query t, best first
///
/// A memory of M tokens is the newest part of a larger one, so the search goes on from size to size, and its best entries so far
/// are attended to at each.
///
/// Source: paper section 3.1 (memory attention); its analysis of perplexity against memory size asks for many sizes.
/// Read first: attention/memory_attention.hpp, memory/streaming_search.hpp.   Read next: measure/memory_curve.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "fot/attention/memory_attention.hpp"
#include "fot/core/parallel.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/memory/streaming_search.hpp"

namespace fot {

/// Attention to nested parts of a memory: its `lengths` newest entries, each with every top_k (0: all of the part). The scale is
/// taken to be in q. Without gradients.
///
/// Shapes: q (1,T,H,D), a memory of G heads of width D, G divides H -> result [length][top_k], each
///         o (1,T,H,D), log_sum_exp (1,H,T).
/// Cost:   T H M D multiply-adds of search if a top_k is above 0, M the largest length; 2 T H M D and T H M exponentials if one is
/// 0. Errors: ShapeError if q does not fit the memory; ConfigError if there is no top_k or one is negative, or unless the lengths
///         ascend from 0 or more to at most the memory's size.
/// Same as: memory_attention with each top_k over a memory that holds these entries alone.
template <class Real>
std::vector<std::vector<AttentionResult<Real>>> nested_attention(const Tensor<Real, 4>& q, const KeyValueMemory<Real>& memory,
                                                                 const std::vector<Index>& lengths,
                                                                 const std::vector<Index>& top_ks) {
    const Index queries = extent(q, 1), heads = extent(q, 2), width = extent(q, 3), group = heads / memory.heads();
    require_shape("nested_attention: q", q, Shape<4>{1, -1, -1, memory.width()});
    require<ShapeError>(heads % memory.heads() == 0, "nested_attention: q has ", heads, " heads, no multiple of the ",
                        memory.heads(), " of the memory");
    require<ConfigError>(!top_ks.empty() && *std::min_element(top_ks.begin(), top_ks.end()) >= 0,
                         "nested_attention: no top_k, or one below 0");
    require<ConfigError>(std::is_sorted(lengths.begin(), lengths.end()) &&
                             (lengths.empty() || (lengths.front() >= 0 && lengths.back() <= memory.size())),
                         "nested_attention: lengths that do not ascend from 0 or more to at most the ", memory.size(),
                         " entries of the memory");
    std::vector<std::vector<AttentionResult<Real>>> results(lengths.size());
    for (auto& of_length : results)
        for (std::size_t i = 0; i < top_ks.size(); ++i)
            of_length.push_back({zeros<Real, 4>({1, queries, heads, width}),
                                 full<Real, 3>({1, heads, queries}, -std::numeric_limits<Real>::infinity())});
    const Index most = std::min(*std::max_element(top_ks.begin(), top_ks.end()), lengths.empty() ? 0 : lengths.back());
    const bool whole = std::find(top_ks.begin(), top_ks.end(), 0) != top_ks.end();

    // Queries are shared among the threads: each slice walks the memory by itself, from the newest part to the oldest.
    const Index slices = std::min(std::max<Index>(threads() / heads, 1), (queries + panel_width<Real> - 1) / panel_width<Real>);
    parallel_for(heads * slices, [&](Index unit) {
        const Index h = unit / slices, from = queries * (unit % slices) / slices, to = queries * (unit % slices + 1) / slices;
        const MatrixView<const Real> q_h = head(q, 0, h).rows_from(from, to - from);
        StreamingSearch<Real> search(matrix(q_h.data, q_h.rows, width, q_h.leading), most);
        RunningSoftmax<Real> softmax(q_h, width);
        for (std::size_t i = 0; i < lengths.size(); ++i) {
            if (lengths[i] == 0) continue;
            const Index newer = i == 0 ? 0 : lengths[i - 1], first = memory.size() - lengths[i], last = memory.size() - newer;
            memory.for_each_block(h / group, first, last, [&](const auto& keys, const auto& values, Index entry) {
                if (most > 0) search.add_with_values(keys, values, newer + entry - first);  // numbered in the order they are seen
                if (whole) softmax.attend(keys, values);
            });
            const SearchResult<Real> found = most > 0 ? search.result() : SearchResult<Real>{};
            const Tensor<Real, 3> found_values = most > 0 ? search.values() : Tensor<Real, 3>{};
            for (std::size_t k = 0; k < top_ks.size(); ++k) {
                AttentionResult<Real>& result = results[i][k];
                if (top_ks[k] == 0) softmax.write(head(result.o, 0, h).rows_from(from, to - from));
                for (Index t = from; t < to; ++t)
                    result.log_sum_exp(0, h, t) =
                        top_ks[k] == 0 ? softmax.log_sum_exp(t - from)
                                       : found_attention(row(found.scores, t - from), row(found_values, t - from),
                                                         std::min(top_ks[k], lengths[i]), width, row(result.o, 0, t, h));
            }
        }
    });
    return results;
}

}  // namespace fot
