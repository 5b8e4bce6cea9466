/// Exact top-k inner product search: the memory lookup, without an index.
///
///     M_top = the k keys of largest <q, key>, best first, equal scores by ascending index
///
///     SearchResult<float> found = exact_search(keys, queries, 32);     // (M,D), (N,D) -> scores and indices (N,K)
///
/// The definition is reference::exact_search: all scores of a query, sorted, the first k. Here the score matrix never exists:
///
///     TopK             the k best of the keys that were offered to one query. Its bar is the score of the k-th
///     StreamingSearch  many queries, or few, over blocks of keys. A tile of scores is made in the first-level cache, and only
///                      what reaches a bar is looked at one by one
///     exact_search     threads share the keys, each with a search of its own, and their findings are joined
///
/// Keys are ordered by score, and ties go to the lower index, so the order is total. The best k therefore do not depend on how keys
/// are cut into blocks, on the order in which they come, or on the number of threads.
///
/// Why exact: there is one right answer, and many queries at once cost what a matrix product costs (paper_notes.md, "What exact
/// search costs").
///
/// Source: paper section 3.1, appendix B.2.
/// Read first: reference/exact_search.hpp, core/tile_product.hpp, core/row_products.hpp.   Read next: memory/key_value_memory.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/core/dtype.hpp"
#include "fot/core/largest.hpp"
#include "fot/core/matrix_view.hpp"
#include "fot/core/parallel.hpp"
#include "fot/core/row_products.hpp"
#include "fot/core/simd.hpp"
#include "fot/core/tile_product.hpp"

namespace fot {

/// What a search found: row n holds the K best keys of query n, best first, equal scores by ascending index.
template <class Real>
struct SearchResult {
    Tensor<Real, 2> scores;    ///< (N, K)
    Tensor<Index, 2> indices;  ///< (N, K)
};

/// A key by its number, and its score with a query.
template <class Real>
struct ScoredKey {
    Real score;   ///< not NaN
    Index index;  ///< of the key

    /// True if this key is the better one: of higher score, or of equal score and lower index.
    bool operator<(const ScoredKey& other) const { return score != other.score ? score > other.score : index < other.index; }
};

/// The k best of the keys that were offered, in any order. The list grows to 2k and is then cut back to the best k, which is
/// cheaper than keeping it sorted.
template <class Real>
class TopK {
   public:
    /// k of at least 1.
    explicit TopK(Index k) : k_(k) {}

    /// Offers a key, and returns the bar: no lower score is among the k best. A score that is NaN counts as -infinity.
    Real offer(Real score, Index index) {
        const ScoredKey<Real> key{std::isnan(score) ? -infinity : score, index};
        if (key < worst_) {
            keys_.push_back(key);
            if (length_of(keys_) - k_ == k_) cut();  // 2k of them
        }
        return worst_.score;
    }

    /// Offers what another list holds.
    void join(const TopK& other) {
        for (const ScoredKey<Real>& key : other.keys_) offer(key.score, key.index);
    }

    /// What is among the k best so far, and some that no longer are.
    const std::vector<ScoredKey<Real>>& candidates() const { return keys_; }

    /// Writes the k best, or all if fewer were offered, as row n of a result.
    void write(Index n, SearchResult<Real>& result) const {
        TopK best = *this;
        if (length_of(keys_) > k_) best.cut();
        std::sort(best.keys_.begin(), best.keys_.end());
        for (Index rank = 0; rank < length_of(best.keys_); ++rank) {
            result.scores(n, rank) = element(best.keys_, rank).score;
            result.indices(n, rank) = element(best.keys_, rank).index;
        }
    }

    static constexpr Real infinity = std::numeric_limits<Real>::infinity();  ///< -infinity is the bar of a list that takes all

   private:
    [[gnu::noinline]] void cut() {  // seldom called: inlined, it would slow down the loop that offers
        std::nth_element(keys_.begin(), keys_.begin() + (k_ - 1), keys_.end());
        keys_.erase(keys_.begin() + k_, keys_.end());
        worst_ = keys_.back();
    }

    Index k_;
    std::vector<ScoredKey<Real>> keys_;
    ScoredKey<Real> worst_{-infinity, std::numeric_limits<Index>::max()};  // the k-th when the list was cut; before, worse than all
};

/// The k keys of largest inner product with each query, over blocks of keys that come one after another and are not kept.
///
///     StreamingSearch<float> search(queries, 32);
///     for (each block of keys) search.add(block, index of its first key);
///     search.result();                                                        // at any time
///
/// It runs on one thread. Each index must come once only; gaps do not matter.
/// Shapes: queries (N,D), blocks (m,D) with any m -> scores and indices (N,K), K = the smaller of k and the keys added.
/// Cost:   m N D multiply-adds a block; holds at most 2 N k candidates and a packed copy of the queries.
/// Errors: ShapeError if a width differs; ConfigError if k is negative.
/// Same as: exact_search over all keys that were added.
template <class Real>
class StreamingSearch {
   public:
    /// Packs the queries, or copies them if they are few; the view need not live on.
    StreamingSearch(MatrixView<const Real> queries, Index k) : width_(queries.columns), k_(k) {
        require<ShapeError>(!queries.transposed, "StreamingSearch: the queries are transposed, expected a query a row");
        require<ConfigError>(k >= 0, "StreamingSearch: k = ", k, " is negative");
        best_.assign(static_cast<std::size_t>(queries.rows), TopK<Real>(k));
        bars_.assign(static_cast<std::size_t>(padded_to_panels<Real>(queries.rows)), TopK<Real>::infinity);
        std::fill_n(bars_.begin(), queries.rows, -TopK<Real>::infinity);  // the filling keeps +infinity: it takes no key
        if (queries.rows <= few_rows) {
            few_ = empty<Real, 2>({queries.rows, width_});
            for (Index n = 0; n < queries.rows; ++n) std::copy_n(queries.row(n), width_, row(few_, n));
            return;
        }
        for (Index n = 0; n < queries.rows; n += panel)
            pack_transposed(queries.row(n), std::min(panel, queries.rows - n), width_, queries.leading, panels_.emplace_back());
    }

    /// The same of a tensor.
    StreamingSearch(const Tensor<Real, 2>& queries, Index k) : StreamingSearch(as_matrix(queries), k) {}

    /// Offers keys number `first_index` ... `first_index + keys.rows - 1` to all queries.
    void add(MatrixView<const Real> keys, Index first_index) { add_stored(keys, first_index); }
    /// The same of stored 16-bit numbers.
    void add(MatrixView<const BFloat16> keys, Index first_index) { add_stored(keys, first_index); }
    /// Likewise.
    void add(MatrixView<const detail::StoredHalf> keys, Index first_index) { add_stored(keys, first_index); }

    /// The best keys of query n so far.
    const TopK<Real>& best(Index n) const { return element(best_, n); }

    /// The best keys so far. The search may go on.
    SearchResult<Real> result() const {
        const Index queries = length_of(best_), found = std::min(k_, added_);
        SearchResult<Real> result{empty<Real, 2>({queries, found}), empty<Index, 2>({queries, found})};
        for (Index n = 0; n < queries; ++n) element(best_, n).write(n, result);
        return result;
    }

   private:
    static constexpr Index panel = panel_width<Real>;    // queries of a tile of scores
    static constexpr Index tile_keys = 12;               // its keys: tile_product makes their scores in registers
    static constexpr Index block_keys = 20 * tile_keys;  // keys that are widened, or meet few queries, at a time

    template <class Stored>
    void add_stored(MatrixView<const Stored> keys, Index first_index) {
        require<ShapeError>(keys.columns == width_ && !keys.transposed, "StreamingSearch: keys of width ", keys.columns,
                            " for queries of width ", width_, ", or transposed");
        added_ += keys.rows;
        if (k_ == 0) return;
        for (Index first = 0; first < keys.rows; first += block_keys) {
            const MatrixView<const Stored> block = keys.rows_from(first, std::min(block_keys, keys.rows - first));
            if (length_of(best_) <= few_rows)
                add_in_place(block, first_index + first);
            else
                add_in_tiles(widened_rows(block, widened_), first_index + first);
        }
    }

    /// Offers a block of keys to few queries, which read it where it lies. Most blocks have no score that reaches the bar.
    template <class Stored>
    void add_in_place(MatrixView<const Stored> keys, Index first_index) {
        alignas(64) std::array<Real, std::size_t{few_rows * block_keys}> scores;
        row_products(as_matrix(std::as_const(few_)), keys, scores.data(), block_keys);
        for (Index n = 0; n < length_of(best_); ++n)
            if (const Real* of_query = scores.data() + n * block_keys; !(largest(of_query, keys.rows) < element(bars_, n)))
                offer(n, of_query, 1, keys.rows, first_index);
    }

    /// Offers a block of keys to many queries, whose scores with a tile of keys stay in the first-level cache. Flattened: with
    /// twelve keys a tile, calls would show.
    [[gnu::flatten]] void add_in_tiles(MatrixView<const Real> keys, Index first_index) {
        alignas(64) std::array<Real, std::size_t{tile_keys * panel}> scores;
        for (Index first = 0; first < keys.rows; first += tile_keys) {
            const MatrixView<const Real> tile = keys.rows_from(first, std::min(tile_keys, keys.rows - first));
            for (Index i = tile.rows; i < std::min(2 * tile_keys, keys.rows - first); ++i)  // the next tile
                for (Index d = 0; d < width_; d += Index{64 / sizeof(Real)}) __builtin_prefetch(tile.row(i) + d);
            for (Index p = 0; p < length_of(panels_); ++p) {
                tile_product<false>(tile.rows, LeftFactor<Real>{tile.data, tile.leading, 1}, element(panels_, p), scores.data(),
                                    panel);
                take(scores.data(), tile.rows, first_index + first, p * panel);
            }
        }
    }

    /// Offers a tile of scores (keys, panel): row i is key first_index + i, column j is query first_query + j. Most scores reach no
    /// bar. To pass over them quickly, the largest score of each query is compared with its bar, a vector of queries at a time.
    template <class V = SimdVector<Real>>
    void take(const Real* scores, Index keys, Index first_index, Index first_query) {
        const Index columns = std::min(panel, length_of(best_) - first_query);  // without the filling of the last panel
        for (Index j = 0; j < columns; j += lanes<V>) {
            V most(-TopK<Real>::infinity);
            for (Index i = 0; i < keys; ++i) most = larger(V::load_unaligned(scores + i * panel + j), most);  // past a NaN
            if (!xsimd::any(most >= V::load_unaligned(&element(bars_, first_query + j)))) [[likely]]
                continue;
            std::array<Real, V::size> most_of;
            most.store_unaligned(most_of.data());
            for (Index lane = 0; lane < lanes<V>; ++lane) {
                const Index n = first_query + j + lane;
                if (!(element(most_of, lane) < element(bars_, n))) offer(n, scores + j + lane, panel, keys, first_index);
            }
        }
    }

    /// Offers the keys first_index ... first_index + keys - 1 to query n; their scores with it lie `stride` apart.
    void offer(Index n, const Real* scores, Index stride, Index keys, Index first_index) {
        Real& bar = element(bars_, n);
        TopK<Real>& best = element(best_, n);
        for (Index i = 0; i < keys; ++i)
            if (const Real score = scores[i * stride]; !(score < bar)) bar = best.offer(score, first_index + i);
    }

    Index width_, k_, added_ = 0;
    std::vector<TopK<Real>> best_;            // of each query
    std::vector<Real> bars_;                  // theirs, and of the filling of the last panel: read as vectors
    std::vector<PackedFactor<Real>> panels_;  // the queries, transposed
    Tensor<Real, 2> few_;                     // or the queries as they are, if they are few
    Tensor<Real, 2> widened_;                 // some 16-bit keys
};

/// Exact searches for several sets of queries, each over as many keys, which need not lie in one matrix:
/// `add_keys(search, set, first, last)` adds the keys first ... last - 1 of a set to a StreamingSearch. Threads call it at a time.
///
/// The keys of all searches, laid end to end, are cut into a share for each thread, so that all have as much to do whether there
/// are many sets, many queries in a set or one query and many keys. What the threads found in one search is joined at the end.
/// Shapes: sets of queries (N,D) -> of each scores and indices (N,K), K = min(k, key_count).   Cost, errors: as exact_search.
template <class Real, class AddKeys>
std::vector<SearchResult<Real>> exact_search_in_parts(Index key_count, const std::vector<MatrixView<const Real>>& sets, Index k,
                                                      AddKeys&& add_keys) {
    require<ConfigError>(k >= 0, "exact_search: k = ", k, " is negative");
    constexpr Index most_queries = 512;               // at a time: their lists share the second-level cache
    constexpr Index worth_a_thread = Index{1} << 20;  // multiply-adds
    const Index found = std::min(k, key_count);
    struct Group {
        Index set, first;                // queries of a set, from the first on
        MatrixView<const Real> queries;  // that are searched together
    };
    struct Piece {
        Index group;
        StreamingSearch<Real> search;  // over some of the keys
    };
    std::vector<SearchResult<Real>> results;
    std::vector<Group> groups;
    Index products = 0;
    for (const MatrixView<const Real>& queries : sets) {
        const Index count = (queries.rows + most_queries - 1) / most_queries,
                    size = padded_to_panels<Real>((queries.rows + count - 1) / std::max<Index>(count, 1));
        for (Index first = 0; first < queries.rows; first += size)
            groups.push_back({length_of(results), first, queries.rows_from(first, std::min(size, queries.rows - first))});
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
            StreamingSearch<Real> search(group.queries, found);
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

/// The k keys of largest inner product with each query, best first, equal scores by ascending index.
///
///     scores[n,:], indices[n,:] = the k largest of <queries[n], keys[i]> over i
///
/// Source: paper section 3.1 (exact search). No departures.
/// Shapes: keys (M,D), queries (N,D) -> scores and indices (N,K), K = min(k, M). Any extent may be 0; with D = 0 all scores are 0.
///         The views may be strided: a head of a (M,H,D) block is matrix(row(block, 0, h), M, D, H * D).
/// Cost:   M N D multiply-adds; scratch 2 N K candidates per thread.
/// Errors: ShapeError if the widths differ; ConfigError if k is negative.
/// A score that is NaN counts as -infinity. The result is bitwise the same for any number of threads.
/// Same as: reference::exact_search.
template <class Keys, class Queries, class Real = std::remove_const_t<Queries>>
SearchResult<Real> exact_search(MatrixView<Keys> keys, MatrixView<Queries> queries, Index k) {
    require<ShapeError>(keys.columns == queries.columns, "exact_search: keys of width ", keys.columns, " for queries of width ",
                        queries.columns);
    const auto add_keys = [&](StreamingSearch<Real>& search, Index, Index first, Index last) {
        search.add(keys.rows_from(first, last - first), first);
    };
    return std::move(exact_search_in_parts<Real>(keys.rows, {queries}, k, add_keys)[0]);
}

/// The same for whole tensors: keys (M,D), queries (N,D).
template <class Real>
SearchResult<Real> exact_search(const Tensor<Real, 2>& keys, const Tensor<Real, 2>& queries, Index k) {
    return exact_search(as_matrix(keys), as_matrix(queries), k);
}

}  // namespace fot
