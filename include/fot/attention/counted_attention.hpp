/// Attention to a memory that holds equal entries once, with a count.
///
///     o = sum_j softmax_j(<q, k_j> + log c_j) v_j          c_j copies of the distinct entry j
///
/// is attention to all copies, since c e^s = e^(s + log c). Attention to the k best copies needs no logarithm: there are at most k
/// of them, so they are written out (memory/counted_memory.hpp), and the result is bit for bit that of a memory of all copies.
/// Attention to the whole memory agrees with that up to rounding. Neither has gradients: both serve inference.
///
/// Source: ours.
/// Read first: memory/counted_memory.hpp, attention/memory_attention.hpp.   Read next: model/counted_memory_source.hpp.
#pragma once

#include <cmath>
#include <vector>

#include "fot/attention/memory_attention.hpp"
#include "fot/memory/counted_memory.hpp"

namespace fot {

/// Attention of all queries to the whole of one memory, without gradients.
///
/// Shapes: q (B,T,H,D), a memory of G heads of width D, G divides H -> o (B,T,H,D), log_sum_exp (B,H,T).
/// Cost:   2 B T H N D multiply-adds and B T H N exponentials, N the number of distinct entries.
/// Errors: ShapeError if q does not fit the memory.
/// Same as: memory_attention to a memory of all copies, but for rounding.
template <class Real>
AttentionResult<Real> counted_attention(const Tensor<Real, 4>& q, const CountedMemory<Real>& memory) {
    const KeyValueMemory<Real>& distinct = memory.distinct();
    const Index entries = extent(q, 0), heads = extent(q, 2), width = extent(q, 3);
    detail::require_memories(q, Memories<Real>(static_cast<std::size_t>(entries), &distinct));
    std::vector<Real> log_counts;
    for (Index j = 0; j < distinct.size(); ++j) log_counts.push_back(static_cast<Real>(std::log(memory.count(j))));
    AttentionResult<Real> result = detail::unwritten_result<Real>({q, q, q});
    parallel_for(entries * heads, [&](Index unit) {
        const Index b = unit / heads, h = unit % heads;
        RunningSoftmax<Real> softmax(head(q, b, h), width);
        distinct.for_each_stored_block(h * distinct.heads() / heads, 0, distinct.size(),
                                       [&](const auto& keys, const auto& values, Index first) {
                                           const Real* bias = &element(log_counts, first);  // the same for all queries
                                           softmax.attend(keys, values, {.bias = bias, .bias_leading = 0});
                                       });
        softmax.write(head(result.o, b, h), row(result.log_sum_exp, b, h));
    });
    return result;
}

/// Attention of all queries to the `top_k` best copies for each query and head, or (top_k 0) to all of one memory. An empty memory
/// gives zeros and a log-sum-exp of -infinity.
///
/// Shapes: q (B,T,H,D) -> o (B,T,H,D), log_sum_exp (B,H,T).
/// Cost:   B T H N D multiply-adds of search, N the number of distinct entries, then B T H top_k D.
/// Errors: ShapeError if q does not fit the memory; ConfigError if top_k is negative, or above the memory's most_k.
/// Same as: memory_attention to a memory of all copies; bitwise, if top_k is above 0.
template <class Real>
AttentionResult<Real> counted_attention(const Tensor<Real, 4>& q, const CountedMemory<Real>& memory, Index top_k) {
    if (top_k == 0) return counted_attention(q, memory);
    detail::require_memories(q, Memories<Real>(q.shape()[0], &memory.distinct()));
    AttentionResult<Real> result = detail::unwritten_result<Real>({q, q, q});
    for (Index b = 0; b < extent(q, 0); ++b) found_attention(memory.distinct(), memory.search(q, b, top_k), b, result);
    return result;
}

}  // namespace fot
