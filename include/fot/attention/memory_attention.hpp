/// Memory attention: each query attends to the k entries of a memory whose keys have the largest inner product with it.
///
///     M_top = the k entries of M with the largest <q, key>                 (exact, for each query and head)
///     o     = sum over (key, value) in M_top of softmax(<q, key>) value
///
/// Or to the whole memory, as LongLLaMA does. That is for inference only: it is refused while a tape records. The result is joined
/// with local attention by attention/joining.hpp.
///
/// Keys and values in a memory are constants; gradients reach only the queries. A Memorizing Transformer trains this way.
/// Crossbatch training uses no memory, precisely because it needs gradients in keys and values. paper_notes.md ("Reasons") says why
/// the search is exact.
///
/// Source: paper section 3.1, appendix B.2. No departures.
/// Read first: attention/joining.hpp, memory/key_value_memory.hpp.   Read next: model/memory_layer.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "fot/attention/joining.hpp"
#include "fot/attention/softmax.hpp"
#include "fot/memory/key_value_memory.hpp"

namespace fot {

/// The memory of each batch entry, not null.
template <class Real>
using Memories = std::vector<const KeyValueMemory<Real>*>;

/// True if none of them has an entry.
template <class Real>
bool all_empty(const Memories<Real>& memories) {
    return std::ranges::all_of(memories, [](const KeyValueMemory<Real>* each) { return each->size() == 0; });
}

/// Attention of one query to k entries whose scores are known; returns their log-sum-exp.
///
/// Shapes: scores (k), best first, values (k,E) with E = `width` -> o (E).
///         Nothing there (k = 0, or all scores -infinity): zeros and -infinity.
template <class Real>
Real found_attention(const Real* scores, const Real* values, Index k, Index width, Real* o) {
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    std::fill_n(o, width, Real(0));
    if (k == 0 || scores[0] == -infinity) return -infinity;
    std::array<Real, std::size_t{key_block}> weights;
    Real sum = 0;
    for (Index first = 0; first < k; first += key_block) {
        const Index count = std::min(key_block, k - first);
        std::copy_n(scores + first, count, weights.data());
        sum += exponentials(weights.data(), count, scores[0]);
        add_weighted_rows<Real>(weights.data(), count, matrix(values + first * width, count, width), matrix(o, 1, width));
    }
    for (Index e = 0; e < width; ++e) o[e] /= sum;
    return scores[0] + std::log(sum);
}

/// The gradient of found_attention with respect to the query, added to d_q (D):
///
///     d_q += sum_j p_j (<d_o, v_j> - delta) k_j,   p_j = exp(s_j - log_sum_exp),   delta = <d_o, o> - d_log_sum_exp
///
/// Without any weight (all scores -infinity) nothing is added.
/// Shapes: scores (k), keys (k,D), values (k,E), d_o (E) -> d_q (D), D = E = `width`.
template <class Real>
void found_attention_vjp(const Real* scores, const Real* keys, const Real* values, Index k, Index width, Real log_sum_exp,
                         Real delta, const Real* d_o, Real* d_q) {
    if (log_sum_exp == -std::numeric_limits<Real>::infinity()) return;
    for (Index j = 0; j < k; ++j) {
        Real d_p = 0;
        for (Index e = 0; e < width; ++e) d_p += d_o[e] * values[j * width + e];
        const Real d_score = std::exp(scores[j] - log_sum_exp) * (d_p - delta);
        for (Index e = 0; e < width; ++e) d_q[e] += d_score * keys[j * width + e];
    }
}

namespace detail {

template <class Real>
void require_memories(const Tensor<Real, 4>& q, const Memories<Real>& memories) {
    require<ShapeError>(length_of(memories) == extent(q, 0), "memory_attention: ", memories.size(), " memories, expected ",
                        extent(q, 0), ", one for each batch entry");
    for (const KeyValueMemory<Real>* memory : memories) {
        require<ShapeError>(extent(q, 3) == memory->width() && extent(q, 2) > 0 && extent(q, 2) % memory->heads() == 0,
                            "memory_attention: q has ", extent(q, 2), " heads of width ", extent(q, 3), ", expected a multiple of ",
                            memory->heads(), " heads of width ", memory->width());
        require<ShapeError>(memory->heads() == memories[0]->heads(), "memory_attention: a memory of ", memory->heads(),
                            " heads beside one of ", memories[0]->heads(), ", expected as many in all");
    }
}

}  // namespace detail

/// Attention of the queries of batch entry b to what a search found for them in their memory, written into its part of a result.
/// Values are read from the memory, a query at a time: nothing is gathered for all queries at once. An approximate search may have
/// found fewer than k, and then has an index of -1 in the places left.
template <class Real>
void found_attention(const KeyValueMemory<Real>& memory, const FoundEntries<Real>& found, Index b, AttentionResult<Real>& result) {
    const Index queries = extent(found.scores, 0), heads = extent(found.scores, 1), k = extent(found.scores, 2);
    parallel_slices(queries * heads, 16, [&](Index first, Index last) {
        Tensor<Real, 2> values = empty<Real, 2>({k, memory.width()});
        for (Index i = first; i < last; ++i) {
            const Index t = i / heads, h = i % heads;
            Index there = 0;
            for (; there < k && found.indices(t, h, there) >= 0; ++there)
                memory.copy_value(found.indices(t, h, there), h * memory.heads() / heads, row(values, there));
            result.log_sum_exp(b, h, t) =
                found_attention(row(found.scores, t, h), values.data(), there, memory.width(), row(result.o, b, t, h));
        }
    });
}

namespace detail {

/// Into how many parts a memory of `entries` is cut for attention by `rows` of queries in each of `units` units. There is work
/// for 64 threads where a memory is long; and what the parts give takes no more room than the memory, however many queries there
/// are. The number of threads has no say, so that it does not change the results.
inline Index memory_parts(Index entries, Index units, Index rows) {
    constexpr Index wanted = 64, worth_a_part = 4096;
    return std::clamp<Index>(wanted / std::max<Index>(units, 1), 1, std::max<Index>(entries / std::max(worth_a_part, rows), 1));
}

}  // namespace detail

/// Attention of each batch entry to the whole of its memory, block by block as it is stored; without gradients.
///
/// For one head this is a RunningSoftmax that attends to every stored block in turn. Here a memory is cut into parts, which threads
/// share as they share heads, and attention to the parts is merged.
/// Shapes: q (B,T,H,D), B memories of G heads of width D, G divides H -> o (B,T,H,D), log_sum_exp (B,H,T).
/// Cost:   2 T H M D multiply-adds and T H M exponentials an entry.
/// Errors: ShapeError if q does not fit the memories.   Same as: context_attention with each memory as the context.
template <class Real>
AttentionResult<Real> memory_attention(const Tensor<Real, 4>& q, const Memories<Real>& memories) {
    detail::require_memories(q, memories);
    const Index entries = extent(q, 0), queries = extent(q, 1), heads = extent(q, 2), width = extent(q, 3);
    Index most = 0;
    for (const KeyValueMemory<Real>* memory : memories) most = std::max(most, memory->size());
    const Index key_heads = entries == 0 ? 1 : memories[0]->heads(), together = detail::heads_together(queries, heads / key_heads);
    const Index parts = detail::memory_parts(most, entries * heads / together, queries * together);
    AttentionResult<Real> of_parts{empty<Real, 4>({entries * parts, queries, heads, width}),
                                   empty<Real, 3>({entries * parts, heads, queries})};
    parallel_for(entries * parts * heads / together, [&](Index unit) {
        const Index h = unit * together % heads, row_of_parts = unit * together / heads, b = row_of_parts / parts,
                    part = row_of_parts % parts;
        const KeyValueMemory<Real>& memory = *element(memories, b);
        RunningSoftmax<Real> softmax(detail::rows_of_heads(q, b, h, together), width);
        memory.for_each_stored_block(h * key_heads / heads, memory.size() * part / parts, memory.size() * (part + 1) / parts,
                                     [&](const auto& keys, const auto& values, Index) { softmax.attend(keys, values); });
        softmax.write(detail::rows_of_heads(of_parts.o, row_of_parts, h, together), row(of_parts.log_sum_exp, row_of_parts, h));
    });
    return merge_parts(std::move(of_parts), parts);
}

/// Attention of each batch entry to the `top_k` best entries of its memory for each query and head, or (top_k 0) to all of it.
///
/// Gradients reach the queries if top_k is above 0. An empty memory gives zeros and a log-sum-exp of -infinity.
/// Shapes: q (B,T,H,D) -> o (B,T,H,D), log_sum_exp (B,H,T).
/// Cost:   T H M D multiply-adds of search an entry, then T H top_k D, and 2 T H top_k D for the gradient of the queries.
/// Errors: ShapeError if q does not fit the memories; ConfigError if top_k is negative, or 0 while the tape records.
/// Same as: reference::memory_attention without local keys, if top_k is above 0.
template <class Real>
Attention<Real> memory_attention(Tape& tape, const Variable<Real, 4>& q, const Memories<Real>& memories, Index top_k) {
    require<ConfigError>(top_k >= (tape.recording() ? 1 : 0), "memory_attention: top_k ", top_k,
                         tape.recording() ? " in training, expected 1 or more" : ", expected 0 or more");
    if (top_k == 0) return as_constant(memory_attention(q.value(), memories));
    detail::require_memories(q.value(), memories);
    const Index entries = extent(q.value(), 0), heads = extent(q.value(), 2), width = extent(q.value(), 3);
    const auto found = std::make_shared<std::vector<RetrievedEntries<Real>>>();
    AttentionResult<Real> result = detail::unwritten_result<Real>({q.value(), q.value(), q.value()});
    for (Index b = 0; b < entries; ++b) {
        const KeyValueMemory<Real>& memory = *element(memories, b);
        if (!tape.recording() || !q.needs_gradient()) {
            found_attention(memory, memory.search(q.value(), b, top_k), b, result);
            continue;
        }
        found->push_back(memory.retrieve(q.value(), b, top_k));  // with copies: the memory may have lost them when gradients come
        found_attention(memory, found->back().found, b, result);
    }
    return detail::record_attention(
        tape, std::move(result),
        [=](const AttentionOutput<Real>& out, const AttentionOutputGradient<Real>& d_out) {
            const Tensor<Real, 3> delta = detail::softmax_delta(out, d_out);
            Tensor<Real, 4>& d_q = q.gradient();
            parallel_for(extent(d_q, 0) * extent(d_q, 1), [&](Index token) {
                const Index b = token / extent(d_q, 1), t = token % extent(d_q, 1);
                const RetrievedEntries<Real>& of_entry = element(*found, b);
                const Index k = extent(of_entry.found.scores, 2);
                for (Index h = 0; h < heads && k > 0; ++h)
                    found_attention_vjp(row(of_entry.found.scores, t, h), row(of_entry.keys, t, h), row(of_entry.values, t, h), k,
                                        width, out.log_sum_exp(b, h, t), delta(b, h, t), row(d_out.o, b, t, h), row(d_q, b, t, h));
            });
        },
        q);
}

}  // namespace fot
