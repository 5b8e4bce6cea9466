/// Search of a memory that is spread over ranks: each rank looks through its own entries, and what they found is put together.
///
/// Queries are sent and keys never are, since a memory has far more keys than a window has queries. What is found is bitwise what
/// one memory finds, with the same binary and kernels on all ranks (paper_notes.md, "Several machines"). For each query one rank is
/// the home, where its answer is put together. Four kinds of messages go between homes and other ranks:
///
///     queries      to all ranks, if each rank has its own                                (p-1) N H D b
///     candidates   the k best of a rank, to the home: scores and indices of entries      (p-1) N H k (b + 8)
///     chosen       to each rank: how many of these are among the k best of all           (p-1) N H 8
///     results      to all ranks, if all have the same queries                            (p-1) N H k (b + 8)
///
/// These are bytes that a rank sends, counted by the communicator under these names. p: ranks; N: queries per home rank; b: bytes
/// of a number; k: entries searched for. A rank that has fewer than k sends all that it has as candidates.
///
/// Score and index together order all entries without ties. So the k best of all are among the ranks' own k best, however the
/// memory is sharded. A rank sorts its candidates in this order. Those among the best of all are a prefix of that list, so their
/// count identifies them.
///
/// Read first: distributed/sharded_memory.hpp, memory/exact_search.hpp.   Read next: distributed/sharded_attention.hpp.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "fot/distributed/sharded_memory.hpp"

namespace fot {

/// Whose queries a sharded memory is asked.
enum class Queries {
    same,  ///< all ranks ask the same, and all get the answers: each computes the whole model. A rank is home to T / p of T queries
    own    ///< each rank has its own queries, as many as it likes, and is home to them
};

/// Queries of all ranks.
template <class Real>
struct AskedQueries {
    Tensor<Real, 4> q;         ///< (1,M,H,D)
    std::vector<Share> homes;  ///< which of the M have each rank as their home
    Queries whose;             ///< and who is to know the answers
};

/// Queries (T,H,D) as all ranks are asked them.   Errors: ShapeError if they do not fit the memory.
template <class Real>
AskedQueries<Real> ask_all(const ShardedMemory<Real>& memory, const Tensor<Real, 3>& q, Queries whose) {
    const auto [tokens, heads, width] = shape_of(q);
    require<ShapeError>(width == memory.width() && heads > 0 && heads % memory.heads() == 0, "sharded memory: queries ",
                        shape_text(shape_of(q)), ", expected heads a multiple of ", memory.heads(), " and width ", memory.width());
    Communicator& ranks = memory.ranks();
    AskedQueries<Real> asked{.q = {}, .homes = {}, .whose = whose};
    if (whose == Queries::same) {
        for (Index rank = 0; rank < ranks.size(); ++rank) asked.homes.push_back(share_of(tokens, rank, ranks.size()));
        asked.q = reshaped<4>(q, {1, tokens, heads, width});
        return asked;
    }
    const std::vector<Index> ones(static_cast<std::size_t>(ranks.size()), 1);
    std::vector<Index> lengths;
    Index all = 0;
    for (const std::vector<Index>& count : all_gather(ranks, "number of queries", std::vector<Index>{tokens}, ones)) {
        asked.homes.push_back({all, all + count[0]});
        lengths.push_back(count[0] * heads * width);
        all += count[0];
    }
    asked.q = empty<Real, 4>({1, all, heads, width});
    Real* next = asked.q.data();
    for (const std::vector<Real>& of_rank : all_gather(ranks, "queries", std::vector<Real>(q.begin(), q.end()), lengths))
        next = std::copy(of_rank.begin(), of_rank.end(), next);
    return asked;
}

namespace detail {

/// What each rank has for all queries, `each[rank]` numbers per query, at their homes: from each rank those of this home.
template <class Real, class Number>
ByRank<Number> to_homes(Communicator& ranks, const char* operation, const AskedQueries<Real>& asked, const Number* own,
                        const std::vector<Index>& each) {
    ByRank<Number> sent, received;
    for (Index rank = 0; rank < ranks.size(); ++rank) {
        const Index of_query = element(each, ranks.rank());
        sent.emplace_back(own + element(asked.homes, rank).first * of_query, own + element(asked.homes, rank).last * of_query);
        received.emplace_back(static_cast<std::size_t>(element(asked.homes, ranks.rank()).size() * element(each, rank)));
    }
    exchange_all(ranks, operation, sent, received);
    return received;
}

/// What the homes have found out, `each` numbers per query, for those who asked: all ranks, or the home alone.
template <class Real, class Number>
std::vector<Number> to_askers(Communicator& ranks, const AskedQueries<Real>& asked, const std::vector<Number>& at_home,
                              Index each) {
    if (asked.whose == Queries::own) return at_home;
    std::vector<Index> lengths;
    for (const Share& home : asked.homes) lengths.push_back(home.size() * each);
    std::vector<Number> all;
    for (const std::vector<Number>& of_home : all_gather(ranks, "results", at_home, lengths))
        all.insert(all.end(), of_home.begin(), of_home.end());
    return all;
}

}  // namespace detail

/// What a search has found: at each rank its part.
template <class Real>
struct ShardedFinding {
    FoundEntries<Real> here;    ///< (M,H,k) the best of this rank's entries for the queries of all; numbers in its shard
    std::vector<Index> chosen;  ///< (M,H) how many of them are among the best of all
    FoundEntries<Real> best;    ///< (N,H,K) the best of all, for the queries at home here; numbers among all entries
};

namespace detail {

/// The k best of this rank's entries. The queries of a rank are searched for together, as one memory would do it: how many there
/// are in a search may show in the last bit of a score.
template <class Real>
FoundEntries<Real> found_here(const ShardedMemory<Real>& memory, const AskedQueries<Real>& asked, Index k) {
    if (asked.whose == Queries::same) return memory.shard().search(asked.q, 0, k);
    const Index found = std::min(k, memory.shard().size()), queries = extent(asked.q, 1), heads = extent(asked.q, 2);
    FoundEntries<Real> all{empty<Real, 3>({queries, heads, found}), empty<Index, 3>({queries, heads, found})};
    for (const Share& home : asked.homes) {
        const FoundEntries<Real> part = memory.shard().search(slice<1>(asked.q, home.first, home.size()), 0, k);
        std::copy(part.scores.begin(), part.scores.end(), row(all.scores, home.first));
        std::copy(part.indices.begin(), part.indices.end(), row(all.indices, home.first));
    }
    return all;
}

}  // namespace detail

/// The k best entries of all ranks for each query: the step that all uses of them begin with.
template <class Real>
ShardedFinding<Real> find_in_shards(const ShardedMemory<Real>& memory, const AskedQueries<Real>& asked, Index k) {
    require<ConfigError>(k >= 0, "sharded memory: the ", k, " best entries, expected 0 or more");
    Communicator& ranks = memory.ranks();
    const Index p = ranks.size(), heads = extent(asked.q, 2), rows = element(asked.homes, ranks.rank()).size() * heads,
                found = std::min(k, memory.size());
    FoundEntries<Real> here = detail::found_here(memory, asked, k);

    std::vector<Index> each, entries;  // of each rank its candidates for a query, and this rank's as numbers among all entries
    for (Index rank = 0; rank < p; ++rank) each.push_back(heads * std::min(k, memory.size_of(rank)));
    for (const Index in_shard : here.indices) entries.push_back(memory.entry_of(in_shard));
    const ByRank<Real> scores = detail::to_homes(ranks, "candidates", asked, here.scores.data(), each);
    const ByRank<Index> numbers = detail::to_homes(ranks, "candidates", asked, entries.data(), each);

    FoundEntries<Real> best{empty<Real, 3>({rows / heads, heads, found}), empty<Index, 3>({rows / heads, heads, found})};
    ByRank<Index> counts(static_cast<std::size_t>(p), std::vector<Index>(static_cast<std::size_t>(rows)));
    std::vector<ScoredKey<Real>> candidates;
    for (Index i = 0; i < rows; ++i) {  // a query of a head
        candidates.clear();
        for (Index rank = 0; rank < p; ++rank) {
            const Index of_rank = element(each, rank) / heads;
            for (Index j = i * of_rank; j < (i + 1) * of_rank; ++j)
                candidates.push_back({element(element(scores, rank), j), element(element(numbers, rank), j)});
        }
        std::partial_sort(candidates.begin(), candidates.begin() + found, candidates.end());
        for (Index j = 0; j < found; ++j) {
            const auto [score, entry] = element(candidates, j);
            best.scores.data()[i * found + j] = score;
            best.indices.data()[i * found + j] = entry;
            ++element(element(counts, memory.rank_of(entry)), i);
        }
    }

    ByRank<Index> of_homes;
    for (const Share& home : asked.homes) of_homes.emplace_back(static_cast<std::size_t>(home.size() * heads));
    exchange_all(ranks, "chosen", counts, of_homes);
    std::vector<Index> chosen;
    for (const std::vector<Index>& of_home : of_homes) chosen.insert(chosen.end(), of_home.begin(), of_home.end());
    return {std::move(here), std::move(chosen), std::move(best)};
}

/// The k entries of largest inner product with each query, wherever they lie, best first. All ranks call it.
///
/// Shapes: queries (T,H,D) with H any multiple of the memory's heads -> (T,H,K), K = min(k, size()).
/// Cost:   a rank searches its shard for all queries; bytes as above.
/// Errors: ShapeError if the queries do not fit; ConfigError if k is negative; CommunicationError if ranks differ in k or, although
///         all are to ask the same, in the number of queries.
/// Same as: KeyValueMemory::search of one memory that holds all entries, bitwise.
template <class Real>
FoundEntries<Real> sharded_search(const ShardedMemory<Real>& memory, const Tensor<Real, 3>& queries, Index k,
                                  Queries whose = Queries::same) {
    const AskedQueries<Real> asked = ask_all(memory, queries, whose);
    const FoundEntries<Real> best = find_in_shards(memory, asked, k).best;
    const Shape<3> shape{extent(queries, 0), extent(queries, 1), extent(best.scores, 2)};
    FoundEntries<Real> all{empty<Real, 3>(shape), empty<Index, 3>(shape)};
    const auto tell = [&](const auto& of_home, auto& of_all) {
        std::ranges::copy(
            detail::to_askers(memory.ranks(), asked, std::vector(of_home.begin(), of_home.end()), shape[1] * shape[2]),
            of_all.begin());
    };
    tell(best.scores, all.scores);
    tell(best.indices, all.indices);
    return all;
}

}  // namespace fot
