/// Exact searches shared among threads: which thread sees which queries and keys, and how what they found is joined.
///
/// The result is that of one thread, bit for bit: a key's score does not depend on who computes it, and equal scores are ordered by
/// index.
///
/// Read first: memory/streaming_search.hpp, core/parallel.hpp.   Read next: memory/exact_search.hpp, memory/key_value_memory.hpp.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "fot/core/matrix_view.hpp"
#include "fot/core/parallel.hpp"
#include "fot/core/tile_product.hpp"
#include "fot/memory/streaming_search.hpp"

namespace fot {

/// Exact searches for several sets of queries, each over as many keys, which need not lie in one matrix:
/// `add_keys(search, set, first, last)` adds the keys first ... last - 1 of a set to a Search. Several threads call it at the same
/// time.
///
/// The keys of all searches, laid end to end, are cut into a share for each thread, so that all have as much to do whether there
/// are many sets, many queries in a set or one query and many keys. What the threads found in one search is joined at the end.
/// Many queries are cut into groups, a few threads each taking one with all its keys: the more keys a thread sees, the higher the
/// k-th best score so far, and the fewer keys come near it. With more threads than that, or fewer queries, reading the keys again
/// and again would cost more, and threads share the keys of a group.
/// Shapes: sets of queries (N,D) -> of each scores and indices (N,K), K = min(k, key_count).   Cost, errors: as exact_search.
template <class Real, class Search = StreamingSearch<Real>, class AddKeys>
std::vector<SearchResult<Real>> exact_search_in_parts(Index key_count, const std::vector<MatrixView<const Real>>& sets, Index k,
                                                      AddKeys&& add_keys) {
    require<ConfigError>(k >= 0, "exact_search: k = ", k, " is negative");
    constexpr Index most_queries = 512;    // of a group: their lists share the second-level cache
    constexpr Index enough_queries = 128;  // of a group: arithmetic takes longer than reading the keys
    constexpr Index few_threads = 4;
    constexpr Index worth_a_thread = Index{1} << 20;  // multiply-adds
    const Index found = std::min(k, key_count);
    struct Group {
        Index set, first;                // queries of a set, from the first on
        MatrixView<const Real> queries;  // that are searched together
    };
    struct Piece {
        Index group;
        Search search;  // over some of the keys
    };
    std::vector<SearchResult<Real>> results;
    std::vector<Group> groups;
    Index products = 0;
    const Index groups_for_threads = in_parallel() ? 1 : std::min(threads(), few_threads) / std::max<Index>(length_of(sets), 1);
    for (const MatrixView<const Real>& queries : sets) {
        const Index panels = padded_to_panels<Real>(queries.rows) / panel_width<Real>,
                    count = std::max((queries.rows + most_queries - 1) / most_queries,
                                     std::min(groups_for_threads, queries.rows / enough_queries));
        for (Index g = 0, first = 0; g < count; ++g) {
            const Index last = std::min(queries.rows, panels * (g + 1) / count * panel_width<Real>);
            groups.push_back({length_of(results), first, queries.rows_from(first, last - first)});
            first = last;
        }
        results.push_back({empty<Real, 2>({queries.rows, found}), empty<Index, 2>({queries.rows, found})});
        products += key_count * queries.rows * queries.columns;
    }
    const auto write = [&](const Group& group, Index n, const TopK<Real>& best) {
        best.write(group.first + n, element(results, group.set));
    };

    const Index all_keys = length_of(groups) * key_count,
                shares = in_parallel() ? 1 : std::clamp<Index>(products / worth_a_thread, 1, threads());
    std::vector<std::vector<Piece>> pieces_of(static_cast<std::size_t>(shares));
    parallel_for(shares, [&](Index share) {
        const Index end = all_keys * (share + 1) / shares;
        for (Index at = all_keys * share / shares, count = 0; at < end; at += count) {
            const Index g = at / key_count, first = at % key_count;
            const Group& group = element(groups, g);
            count = std::min(key_count - first, end - at);
            Search search(group.queries, found);
            add_keys(search, group.set, first, first + count);
            if (count < key_count)
                element(pieces_of, share).push_back({g, std::move(search)});
            else
                for (Index n = 0; n < group.queries.rows; ++n) write(group, n, search.best(n));
        }
    });

    std::vector<const Piece*> pieces;  // those of a group follow one another
    for (const std::vector<Piece>& of_share : pieces_of)
        for (const Piece& piece : of_share) pieces.push_back(&piece);
    constexpr Index slices = 32;
    parallel_for(length_of(pieces) * slices, [&](Index unit) {
        const Index begin = unit / slices, slice = unit % slices, g = element(pieces, begin)->group;
        if (begin > 0 && element(pieces, begin - 1)->group == g) return;  // joined with the first of its group
        const Group& group = element(groups, g);
        for (Index n = group.queries.rows * slice / slices; n < group.queries.rows * (slice + 1) / slices; ++n) {
            TopK<Real> best = element(pieces, begin)->search.best(n);
            for (Index i = begin + 1; i < length_of(pieces) && element(pieces, i)->group == g; ++i)
                best.join(element(pieces, i)->search.best(n));
            write(group, n, best);
        }
    });
    return results;
}

}  // namespace fot
