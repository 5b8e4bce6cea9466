/// Attention to a memory that is spread over ranks.
///
///     values   the values of the k best entries travel to the query's home, which attends to them
///     parts    no value travels: each rank attends to those of its own entries that are among the k best
///     whole    no search: each rank attends to all of its own entries
///
/// In `parts` and `whole` each rank sends the result of its attention, D numbers per head, and its log-sum-exp. The parts are
/// merged in the order of ranks, which is one softmax over all their keys (attention/joining.hpp). `parts` is the default, because
/// it sends less unless there are more ranks than k. Only `values` gives bitwise what one memory gives; the others differ from it
/// by rounding.
///
/// All three send the queries as a search does; `values` and `parts` also its candidates and their counts
/// (distributed/sharded_search.hpp). Attention itself then sends the bytes below, for p ranks, N queries per home rank and b bytes
/// per number. The row `values` counts all ranks together, the other rows one rank.
///
///     values    p N H k D b from all ranks together, minus what the homes already have      in `values`
///     parts     (p-1) N H (D+1) b                                                           in `parts` and `whole`
///     results   (p-1) N H (D+1) b, where all ranks have the same queries                    in all three
///
/// If all ranks have the same p N queries, `parts` and `results` together take 2 (p-1) N H (D+1) b, whatever k is and however
/// large the memory.
///
/// Read first: distributed/sharded_search.hpp, attention/memory_attention.hpp.   Read next: distributed/sharded_memory_source.hpp.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "fot/attention/memory_attention.hpp"
#include "fot/distributed/sharded_search.hpp"

namespace fot {

/// What comes to a query of its k best entries.
enum class Travel {
    values,  ///< their values: bitwise the attention to one memory
    parts    ///< the attention of each rank to its own of them: less to send, unless there are more ranks than k
};

/// How a sharded memory is read.
struct ShardedReading {
    Index top_k = 128;                ///< retrieved entries per query and head; 0: the whole memory
    Travel travel = Travel::parts;    ///< what is sent of them
    Queries queries = Queries::same;  ///< whose queries they are found for
};

namespace detail {

/// Result and log-sum-exp of each query one after another, (B,T,H,D+1), as they are sent.
template <class Real>
std::vector<Real> packed(const AttentionResult<Real>& result) {
    const auto [entries, queries, heads, width] = shape_of(result.o);
    std::vector<Real> numbers;
    for (Index b = 0; b < entries; ++b)
        for (Index t = 0; t < queries; ++t)
            for (Index h = 0; h < heads; ++h) {
                numbers.insert(numbers.end(), row(result.o, b, t, h), row(result.o, b, t, h) + width);
                numbers.push_back(result.log_sum_exp(b, h, t));
            }
    return numbers;
}

/// The same back: (B,T,H,D+1) as a result of this shape (B,T,H,D) and log-sum-exp.
template <class Real>
AttentionResult<Real> unpacked(const std::vector<Real>& numbers, const Shape<4>& shape) {
    const auto [entries, queries, heads, width] = shape;
    AttentionResult<Real> result{empty<Real, 4>(shape), empty<Real, 3>({entries, heads, queries})};
    const Real* next = numbers.data();
    for (Index b = 0; b < entries; ++b)
        for (Index t = 0; t < queries; ++t)
            for (Index h = 0; h < heads; ++h) {
                std::copy_n(next, width, row(result.o, b, t, h));
                result.log_sum_exp(b, h, t) = next[width];
                next += width + 1;
            }
    return result;
}

/// Attention of each rank for all queries (1,M,H,D), merged at their homes: (1,N,H,D).
template <class Real>
AttentionResult<Real> merged_at_homes(Communicator& ranks, const AskedQueries<Real>& asked, const AttentionResult<Real>& own) {
    const auto [one, all, heads, width] = shape_of(own.o);
    const std::vector<Index> each(static_cast<std::size_t>(ranks.size()), heads * (width + 1));
    std::vector<Real> parts;
    for (const std::vector<Real>& of_rank : to_homes(ranks, "parts", asked, packed(own).data(), each))
        parts.insert(parts.end(), of_rank.begin(), of_rank.end());
    return merge_parts(unpacked(parts, {ranks.size(), element(asked.homes, ranks.rank()).size(), heads, width}), ranks.size());
}

/// Attention of all queries to those of this rank's entries that are among the best: (1,M,H,D).
template <class Real>
AttentionResult<Real> attend_to_chosen(const KeyValueMemory<Real>& shard, const AskedQueries<Real>& asked,
                                       const ShardedFinding<Real>& finding) {
    const Index queries = extent(asked.q, 1), heads = extent(asked.q, 2), width = extent(asked.q, 3);
    AttentionResult<Real> result = unwritten_result<Real>({asked.q, asked.q, asked.q});
    parallel_slices(queries * heads, 16, [&](Index first, Index last) {
        Tensor<Real, 2> values = empty<Real, 2>({extent(finding.here.indices, 2), width});
        for (Index i = first; i < last; ++i) {
            const Index t = i / heads, h = i % heads, chosen = element(finding.chosen, i);
            for (Index j = 0; j < chosen; ++j)
                shard.copy_value(finding.here.indices(t, h, j), h * shard.heads() / heads, row(values, j));
            result.log_sum_exp(0, h, t) =
                found_attention<Real>(row(finding.here.scores, t, h), values.data(), chosen, width, row(result.o, Index(0), t, h));
        }
    });
    return result;
}

/// Attention of the queries at home here to the best entries of all ranks, whose values are sent here: (1,N,H,D).
template <class Real>
AttentionResult<Real> attend_to_values(const ShardedMemory<Real>& memory, const AskedQueries<Real>& asked,
                                       const ShardedFinding<Real>& finding) {
    const auto [queries, heads, found] = shape_of(finding.best.indices);
    const Index width = memory.width(), k = extent(finding.here.indices, 2);
    ByRank<Real> sent, received;
    std::vector<Index> counts(asked.homes.size());
    for (const Index entry : finding.best.indices) counts[static_cast<std::size_t>(memory.rank_of(entry))] += width;
    for (std::size_t rank = 0; rank < counts.size(); ++rank) {
        std::vector<Real>& values = sent.emplace_back();
        for (Index i = asked.homes[rank].first * heads; i < asked.homes[rank].last * heads; ++i)
            for (Index j = 0; j < element(finding.chosen, i); ++j) {
                values.resize(values.size() + static_cast<std::size_t>(width));
                memory.shard().copy_value(finding.here.indices.data()[i * k + j], i % heads * memory.heads() / heads,
                                          values.data() + (length_of(values) - width));
            }
        received.emplace_back(static_cast<std::size_t>(counts[rank]));
    }
    exchange_all(memory.ranks(), "values", sent, received);

    AttentionResult<Real> result{empty<Real, 4>({1, queries, heads, width}), empty<Real, 3>({1, heads, queries})};
    std::vector<const Real*> next;  // value of each rank: they come in the order of queries, of each the best first
    for (const std::vector<Real>& of_rank : received) next.push_back(of_rank.data());
    Tensor<Real, 2> values = empty<Real, 2>({found, width});
    for (Index t = 0; t < queries; ++t)
        for (Index h = 0; h < heads; ++h) {
            for (Index j = 0; j < found; ++j) {
                const Real*& value = element(next, memory.rank_of(finding.best.indices(t, h, j)));
                std::copy_n(value, width, row(values, j));
                value += width;
            }
            result.log_sum_exp(0, h, t) =
                found_attention<Real>(row(finding.best.scores, t, h), values.data(), found, width, row(result.o, Index(0), t, h));
        }
    return result;
}

}  // namespace detail

/// Attention to the top_k best entries of a sharded memory for each query and head, or to all of it. All ranks call it; without
/// gradients.
///
/// Shapes: q (B,T,H,D), whose batch entries all read the one memory -> o (B,T,H,D), log_sum_exp (B,H,T).
/// Cost:   a rank searches its shard, or attends to it, for all queries; bytes as above.
/// Errors: those of sharded_search; ConfigError if top_k is negative.
/// Same as: memory_attention with one memory that holds all entries: bitwise where values travel and B is 1, but for rounding
///          otherwise (the queries of all batch entries are searched for together).
///          With the same number of ranks, results are bitwise the same.
template <class Real>
AttentionResult<Real> sharded_attention(const ShardedMemory<Real>& memory, const Tensor<Real, 4>& q,
                                        const ShardedReading& reading) {
    const auto [entries, tokens, heads, width] = shape_of(q);
    const AskedQueries<Real> asked = ask_all(memory, reshaped<3>(q, {entries * tokens, heads, width}), reading.queries);
    AttentionResult<Real> at_home;
    if (reading.top_k == 0) {
        at_home = detail::merged_at_homes(memory.ranks(), asked, memory_attention(asked.q, Memories<Real>{&memory.shard()}));
    } else {
        const ShardedFinding<Real> finding = find_in_shards(memory, asked, reading.top_k);
        at_home = reading.travel == Travel::values
                      ? detail::attend_to_values(memory, asked, finding)
                      : detail::merged_at_homes(memory.ranks(), asked, detail::attend_to_chosen(memory.shard(), asked, finding));
    }
    return detail::unpacked(detail::to_askers(memory.ranks(), asked, detail::packed(at_home), heads * (width + 1)), shape_of(q));
}

}  // namespace fot
