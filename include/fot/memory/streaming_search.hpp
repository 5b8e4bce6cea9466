/// The k best of keys that come one block after another: what exact search is made of.
///
///     StreamingSearch<float> search(queries, 32);
///     for (each block of keys) search.add(block, index of its first key);
///     search.result();                                                        // at any time
///
/// The score matrix never exists. A tile of scores is made in the first-level cache, and only what reaches the bar of a query, the
/// score of its k-th best key when its list was last cut, is looked at one by one:
///
///     TopK             the k best of the keys that were offered to one query, and its bar
///     StreamingSearch  many queries, or few, over blocks of keys
///
/// Keys are ordered by score, and ties go to the lower index, so the order is total. The best k therefore do not depend on how keys
/// are cut into blocks, or on the order in which they come.
///
/// Where there are more than four queries and the processor has fast products of bytes, a filter looks at the keys first, as long
/// as that is found to pay, and only keys that it cannot rule out are scored. What is found is bitwise the same.
///
/// Source: paper section 3.1, appendix B.2.
/// Read first: reference/exact_search.hpp, core/tile_product.hpp, core/row_products.hpp, memory/filter_trials.hpp.
/// Read next: memory/exact_search.hpp, memory/parallel_search.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/core/dtype.hpp"
#include "fot/core/fetch_ahead.hpp"
#include "fot/core/largest.hpp"
#include "fot/core/matrix_view.hpp"
#include "fot/core/row_products.hpp"
#include "fot/core/simd.hpp"
#include "fot/core/tile_product.hpp"
#include "fot/memory/byte_filter.hpp"
#include "fot/memory/filter_trials.hpp"

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
            if (keys_.size() == keys_.capacity()) make_room();
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

    [[gnu::noinline]] void make_room() {  // left alone, a list would grow beyond 2k, to the next power of two
        keys_.reserve(static_cast<std::size_t>(2 * std::min(std::max<Index>(length_of(keys_), 8), k_)));
    }

    Index k_;
    std::vector<ScoredKey<Real>> keys_;
    ScoredKey<Real> worst_{-infinity, std::numeric_limits<Index>::max()};  // the k-th when the list was cut; before, worse than all
};

/// In place of a filter where there is none.
struct NoFilter {
    /// Every block is scored in float.
    template <class Real>
    bool read(MatrixView<const Real>, const std::vector<PackedFactor<Real>>&, const FetchAhead&) {
        return false;
    }
    /// Of no block.
    std::array<Candidate, 0> candidates(Index, const void*) { return {}; }
};

/// The filter that suits this processor.
template <class Real>
using SearchFilter = std::conditional_t<std::is_same_v<Real, float> && ByteProducts::fast, ByteFilter<>, NoFilter>;

/// The k keys of largest inner product with each query, over blocks of keys that come one after another and are not kept.
///
/// It runs on one thread. The filter, of which every processor has the one that suits it, does not show in the result. Each index
/// must come once only; gaps do not matter.
///
/// Shapes: queries (N,D), blocks (m,D) with any m -> scores and indices (N,K), K = the smaller of k and the keys added.
/// Cost:   m N D multiply-adds a block; holds at most 2 N k candidates and a packed copy of the queries.
/// Errors: ShapeError if a width differs; ConfigError if k is negative.
/// Same as: exact_search over all keys that were added.
template <class Real, class Filter = SearchFilter<Real>, class Trials = FilterTrials>
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
            if (length_of(best_) <= few_rows) {
                add_in_place(block, first_index + first);
                continue;
            }
            const MatrixView<const Real> wide = widened_rows(block, widened_);
            const Index after = first + block.rows;
            const FetchAhead next(keys.rows_from(after, std::min(block_keys, keys.rows - after)));
            const auto begun = std::chrono::steady_clock::now();
            const bool filtered = trials_.due(block.rows) && filter_.read(wide, panels_, next);
            if (filtered)
                add_candidates(wide, first_index + first);
            else
                add_in_tiles(wide, first_index + first);
            trials_.took(filtered, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
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

    /// Offers those of a block of keys that the filter cannot rule out to many queries. Their scores are made as above.
    [[gnu::flatten]] void add_candidates(MatrixView<const Real> keys, Index first_index) {
        alignas(64) std::array<Real, std::size_t{tile_keys * panel}> scores;
        if (extent(gathered_, 1) != width_) gathered_ = empty<Real, 2>({tile_keys, width_});
        for (Index p = 0; p < length_of(panels_); ++p) {
            const auto& candidates = filter_.candidates(p, &element(bars_, p * panel));
            for (Index first = 0; first < length_of(candidates); first += tile_keys) {
                const Index count = std::min(tile_keys, length_of(candidates) - first);
                for (Index i = 0; i < count; ++i)
                    std::copy_n(keys.row(element(candidates, first + i).key), width_, row(gathered_, i));
                tile_product<false>(count, LeftFactor<Real>{gathered_.data(), width_, 1}, element(panels_, p), scores.data(),
                                    panel);
                for (Index i = 0; i < count; ++i) {
                    const auto [key, queries] = element(candidates, first + i);
                    for (std::uint32_t left = queries; left != 0; left &= left - 1) {  // from bit to bit
                        const Index j = std::countr_zero(left);
                        offer(p * panel + j, scores.data() + i * panel + j, panel, 1, first_index + key);
                    }
                }
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
    Tensor<Real, 2> gathered_;                // some keys that the filter left over
    Filter filter_;
    Trials trials_;
};

}  // namespace fot
