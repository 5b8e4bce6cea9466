/// Exact top-k inner product search: the memory lookup, without an index (paper section 3.1).
///
///     M_top = the k keys of largest <q, key>, best first, equal scores by ascending index
///
///     SearchResult<float> found = exact_search(keys, queries, 32);     // (M,D), (N,D) -> scores and indices (N,K)
///
/// The definition makes all N x M scores, sorts each row and keeps its first k. Here the same comes from a stream, and the score
/// matrix never exists:
///
///     TopK             the k best of the keys offered so far for one query; its bar is the score of the k-th
///     StreamingSearch  many queries over blocks of keys: a tile of scores is made in the first-level cache, and only what reaches
///                      a bar is looked at one by one
///     exact_search     queries and keys are shared among the threads, each with a search of its own, joined at the end
///
/// Scores and indices together order all keys without ties. So the best k do not depend on how the keys are cut into blocks, in
/// which order these come, or how they are shared among threads.
///
/// Read first: core/matrix_view.hpp, core/tile_product.hpp.   Read next: memory/key_value_memory.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>
#include <xsimd/xsimd.hpp>

#include "fot/core/matrix_view.hpp"
#include "fot/core/parallel.hpp"
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
    Real score;
    Index index;

    /// Better keys come first: the higher score, of equal scores the lower index.
    bool operator<(const ScoredKey& other) const { return score > other.score || (score == other.score && index < other.index); }
};

/// The k best keys of a stream. The list grows to 2k and is then cut back to the best k: cheaper than keeping it in order.
template <class Real>
class TopK {
   public:
    explicit TopK(Index k) : k_(k) {}

    /// No score below it is among the k best: the k-th best score when the list was last cut.
    Real bar() const { return worst_.score; }

    /// A score that is NaN counts as minus infinity.
    void offer(Real score, Index index) {
        const ScoredKey<Real> key{std::isnan(score) ? -std::numeric_limits<Real>::infinity() : score, index};
        if (!(key < worst_)) return;
        keys_.push_back(key);
        if (length_of(keys_) - k_ == k_) cut();
    }

    /// Offers what another list holds.
    void join(const TopK& other) {
        for (const ScoredKey<Real>& key : other.keys_) offer(key.score, key.index);
    }

    /// The best k, or all if there are fewer, best first.
    std::vector<ScoredKey<Real>> sorted() const {
        std::vector<ScoredKey<Real>> keys = keys_;
        std::sort(keys.begin(), keys.end());
        if (length_of(keys) > k_) keys.resize(static_cast<std::size_t>(k_));
        return keys;
    }

   private:
    [[gnu::noinline]] void cut() {
        std::nth_element(keys_.begin(), keys_.begin() + (k_ - 1), keys_.end());
        keys_.resize(static_cast<std::size_t>(k_));
        worst_ = keys_.back();
    }

    Index k_;
    std::vector<ScoredKey<Real>> keys_;
    ScoredKey<Real> worst_{-std::numeric_limits<Real>::infinity(), std::numeric_limits<Index>::max()};  // all are better than this
};

/// The k keys of largest inner product with each query, over a stream of key blocks that are not kept. Runs on one thread.
///
///     StreamingSearch<float> search(queries, 32);
///     for (each block of keys) search.add(block, number of its first key);
///     search.result();                                                        // at any time
///
/// Shapes: queries (N,D), blocks (m,D) with any m -> scores and indices (N,K), K = the smaller of k and the keys added.
/// Cost:   m N D multiply-adds a block; holds at most 2 N k candidates and a packed copy of the queries.
/// Errors: ShapeError if a width differs; ConfigError if k is negative.
/// Same as: exact_search over all keys added, if each has its number alone.
template <class Real>
class StreamingSearch {
   public:
    /// Packs the queries, (N,D); the view need not live on.
    StreamingSearch(MatrixView<const Real> queries, Index k) : width_(queries.columns), k_(k) {
        require<ShapeError>(!queries.transposed, "StreamingSearch: the queries are transposed");
        require<ConfigError>(k >= 0, "StreamingSearch: k = ", k, " is negative");
        best_.assign(static_cast<std::size_t>(queries.rows), TopK<Real>(k));
        bars_.assign(static_cast<std::size_t>(padded_to_panels<Real>(queries.rows)), std::numeric_limits<Real>::infinity());
        for (Index n = 0; n < queries.rows; ++n) element(bars_, n) = element(best_, n).bar();  // the filling takes no key
        for (Index n = 0; n < queries.rows; n += panel)
            pack_transposed(queries.data + n * queries.leading, std::min(panel, queries.rows - n), width_, queries.leading,
                            panels_.emplace_back());
    }

    /// Offers keys number `first_index` ... `first_index + keys.rows - 1` to all queries.
    void add(MatrixView<const Real> keys, Index first_index) {
        require<ShapeError>(keys.columns == width_ && !keys.transposed, "StreamingSearch: keys of width ", keys.columns,
                            " for queries of width ", width_, ", or transposed");
        added_ += keys.rows;
        if (k_ == 0) return;
        alignas(64) Real scores[std::size_t{tile_rows * panel}];
        for (Index i = 0; i < keys.rows; i += tile_rows) {
            const Index rows = std::min(tile_rows, keys.rows - i), next = std::min(2 * tile_rows, keys.rows - i);
            for (Index p = 0; p < length_of(panels_); ++p) {
                for (Index r = rows + p; r < next; r += length_of(panels_))
                    for (Index d = 0; d < width_; d += 16) __builtin_prefetch(keys.data + (i + r) * keys.leading + d, 0, 2);
                tile_product<false>(rows, LeftFactor<Real>{keys.data + i * keys.leading, keys.leading, 1}, element(panels_, p),
                                    scores, panel);
                scan(scores, rows, first_index + i, p * panel);
            }
        }
    }

    /// The candidates of each query so far.
    const std::vector<TopK<Real>>& best() const { return best_; }

    /// The best keys so far. The search may go on.
    SearchResult<Real> result() const {
        const Index queries = length_of(best_), found = std::min(k_, added_);
        SearchResult<Real> result{empty<Real, 2>({queries, found}), empty<Index, 2>({queries, found})};
        for (Index n = 0; n < queries; ++n) write(element(best_, n), n, result);
        return result;
    }

    /// Writes the best of query n into a result.
    static void write(const TopK<Real>& best, Index n, SearchResult<Real>& result) {
        Index rank = 0;
        for (const ScoredKey<Real>& key : best.sorted()) {
            result.scores(n, rank) = key.score;
            result.indices(n, rank++) = key.index;
        }
    }

   private:
    static constexpr Index panel = panel_width<Real>;
    static constexpr Index tile_rows = 48;  // keys of a tile: 24 KiB at width 64, and their scores 12 KiB

    /// Offers a tile of scores: row i is key first_index + i, column j query first_query + j. Eight keys at a time are compared
    /// with a vector of queries: what reaches no bar is passed over.
    void scan(const Real* scores, Index rows, Index first_index, Index first_query) {
        using Batch = xsimd::batch<Real>;
        constexpr Index group = 8, lanes = static_cast<Index>(Batch::size);
        for (Index first = 0; first < rows; first += group) {
            const Index last = std::min(rows, first + group);
            for (Index j = 0; j < panel; j += lanes) {
                Batch most(-std::numeric_limits<Real>::infinity());
                for (Index i = first; i < last; ++i) {
                    const Batch score = Batch::load_aligned(scores + i * panel + j);
                    most = xsimd::select(score > most, score, most);  // a NaN is not larger: it leaves `most` alone
                }
                const Batch bars = Batch::load_unaligned(&element(bars_, first_query + j));
                if (!xsimd::any(most >= bars)) [[likely]]
                    continue;
                Real most_of[Batch::size];
                most.store_unaligned(most_of);
                for (Index lane = 0; lane < lanes; ++lane) {
                    Real& bar = element(bars_, first_query + j + lane);
                    if (most_of[lane] < bar) continue;
                    TopK<Real>& best = element(best_, first_query + j + lane);
                    for (Index i = first; i < last; ++i) best.offer(scores[i * panel + j + lane], first_index + i);
                    bar = best.bar();
                }
            }
        }
    }

    Index width_, k_, added_ = 0;
    std::vector<TopK<Real>> best_;            // of each query
    std::vector<Real> bars_;                  // theirs, side by side, with the filling of the last panel
    std::vector<PackedFactor<Real>> panels_;  // the queries, transposed
};

/// The same for keys that lie in several places: `add_keys(search, first, last)` adds the keys first ... last-1 of `key_count` to
/// a search. Threads call it at once, each with a search of its own.
template <class Real, class AddKeys>
SearchResult<Real> exact_search_in_parts(Index key_count, MatrixView<const Real> queries, Index k, AddKeys&& add_keys) {
    constexpr Index most_queries = 512;                   // of a search: their lists and panels share the second-level cache
    constexpr double worth_a_thread = Index{1} << 20;  // multiply-adds
    const Index groups = std::max<Index>(1, (queries.rows + most_queries - 1) / most_queries), found = std::min(k, key_count);
    const double work = static_cast<double>(key_count) * static_cast<double>(queries.rows) * static_cast<double>(queries.columns);
    const bool shared = groups < 2 * threads() && !in_parallel() && work > 2 * worth_a_thread;
    const Index slices = shared ? threads() : 1;  // of the keys
    std::vector<std::vector<TopK<Real>>> best(static_cast<std::size_t>(groups * slices));
    parallel_for(groups * slices, [&](Index unit) {
        const Index group = unit / slices, slice = unit % slices, first = group * most_queries;
        StreamingSearch<Real> search(matrix(queries.data + first * queries.leading, std::min(most_queries, queries.rows - first),
                                            queries.columns, queries.leading),
                                     found);
        add_keys(search, key_count * slice / slices, key_count * (slice + 1) / slices);
        element(best, unit) = search.best();
    });
    SearchResult<Real> result{empty<Real, 2>({queries.rows, found}), empty<Index, 2>({queries.rows, found})};
    parallel_slices(queries.rows, 16, [&](Index from, Index to) {
        for (Index n = from; n < to; ++n) {
            TopK<Real> joined(found);
            for (Index slice = 0; slice < slices; ++slice)
                joined.join(element(element(best, n / most_queries * slices + slice), n % most_queries));
            StreamingSearch<Real>::write(joined, n, result);
        }
    });
    return result;
}

/// The k keys of largest inner product with each query, best first, equal scores by ascending index.
///
///     scores[n,:], indices[n,:] = the k largest of <queries[n], keys[i]> over i
///
/// Source: paper section 3.1 (exact search); departs from it in: nothing.
/// Shapes: keys (M,D), queries (N,D) -> scores and indices (N,K), K = min(k, M). Any extent may be 0; with D = 0 all scores are 0.
///         The views may be strided: a head of a (M,H,D) block is matrix(row(block, 0, h), M, D, H * D).
/// Cost:   M N D multiply-adds; scratch 2 N k candidates a thread.
/// Errors: ShapeError if the widths differ; ConfigError if k is negative.
/// A score that is NaN counts as minus infinity. The result is bitwise the same for any number of threads.
/// Same as: reference::exact_search.
template <class Keys, class Queries, class Real = std::remove_const_t<Queries>>
SearchResult<Real> exact_search(MatrixView<Keys> keys, MatrixView<Queries> queries, Index k) {
    return exact_search_in_parts<Real>(keys.rows, queries, k, [&](StreamingSearch<Real>& search, Index first, Index last) {
        search.add(matrix(keys.data + first * keys.leading, last - first, keys.columns, keys.leading), first);
    });
}

/// The same for whole tensors: keys (M,D), queries (N,D).
template <class Real>
SearchResult<Real> exact_search(const Tensor<Real, 2>& keys, const Tensor<Real, 2>& queries, Index k) {
    return exact_search(as_matrix(keys), as_matrix(queries), k);
}

}  // namespace fot
