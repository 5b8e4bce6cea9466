/// Exact top-k inner product search over a stream of key blocks (paper section 3.1: the memory lookup).
///
/// For every query the k keys of largest inner product are wanted, out of a memory that may hold millions of keys. Nothing
/// needs to be kept of a key once its scores are known, so the search takes the keys block by block:
///
///     StreamingSearch<float> search(queries, 32);
///     for (each block of keys) search.add(block, position of its first key);
///     search.result();                                      // scores and indices (N, K), at any time
///
/// The queries are packed once as the right factor of a product whose left factor is the keys, read in place. A small tile of
/// scores, a few dozen keys by one panel of queries, is made in the first-level cache and scanned there: the largest score of
/// each query among eight keys is compared with the query's k-th best so far (its bar), all queries of the panel at once, and
/// only what passes is looked at one by one. The score matrix never exists.
///
/// Candidates are ordered by score, and equal scores by index, so no two are equal, and the best k do not depend on how the
/// keys are cut into blocks or shared among threads.
///
/// Read first: core/matrix_view.hpp, core/tile_product.hpp.   Read next: memory/exact_search.hpp, then memory/key_value_memory.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "fot/core/matrix_view.hpp"
#include "fot/core/parallel.hpp"
#include "fot/core/tile_product.hpp"

namespace fot {

/// What a search found: row n holds the K best keys of query n, best first, ties to the lower index. A query that saw fewer than K
/// keys, because some blocks were hidden from it, has score -infinity and index -1 in the rest of its row.
template <class Real>
struct SearchResult {
    Tensor<Real, 2> scores;    ///< (N, K)
    Tensor<Index, 2> indices;  ///< (N, K)
};

/// Queries first ... last - 1; `last` -1 stands for the number of queries.
struct QueryRange {
    Index first = 0;  ///< the first query
    Index last = -1;  ///< the one after the last; -1: the number of queries
};

namespace detail {

/// A key that may be among the best of a query. `slot` is where its value is kept, -1 for nowhere yet.
template <class Real>
struct Candidate {
    Real score;
    std::int32_t slot;
    Index index;

    /// The order of the result; total, because indices differ and scores are never NaN.
    bool operator<(const Candidate& other) const { return score > other.score || (score == other.score && index < other.index); }
};

/// For each query an unordered list that holds at least its k best candidates so far. It has room for about 2k and is cut
/// back to the best k when full: cheaper than keeping order at every insertion.
template <class Real>
class CandidateLists {
   public:
    static constexpr Real never = std::numeric_limits<Real>::infinity();  ///< bar of a query that takes no key
    static constexpr Real open = std::numeric_limits<Real>::quiet_NaN();  ///< bar of a query that takes every key

    CandidateLists(Index queries, Index k)
        : k_(k),
          capacity_(k + std::max<Index>(k, 16)),
          candidates_(empty<Candidate<Real>, 2>({queries, capacity_})),
          counts_(static_cast<std::size_t>(queries), 0),
          bars_(static_cast<std::size_t>(queries), open) {}

    Candidate<Real>* begin(Index query) { return row(candidates_, query); }
    const Candidate<Real>* begin(Index query) const { return row(candidates_, query); }
    Index count(Index query) const { return counts_[static_cast<std::size_t>(query)]; }
    Real& bar(Index query) { return bars_[static_cast<std::size_t>(query)]; }

    void push(Index query, const Candidate<Real>& candidate) {
        Index& count = counts_[static_cast<std::size_t>(query)];
        begin(query)[count++] = candidate;
        if (count == capacity_) trim(query);
    }

    /// Cuts the list back to its k best; the bar becomes the k-th best score.
    void trim(Index query) {
        Index& count = counts_[static_cast<std::size_t>(query)];
        if (count < k_) return;
        Candidate<Real>* list = begin(query);
        std::nth_element(list, list + (k_ - 1), list + count);
        count = k_;
        bar(query) = list[k_ - 1].score;
    }

    /// Takes what passes the bars from a tile of scores (rows, panel_width): key `first_index + i` against query
    /// `first_query + j`. Keys come in ascending order, so a key that only reaches the bar has lost the tie.
    void scan(const Real* scores, Index rows, Index first_index, Index first_query) {
        using V = SimdVector<Real>;
        constexpr Index width = panel_width<Real>, group = 8;
        for (Index first = 0; first < rows; first += group) {
            const Index last = std::min(rows, first + group);
            std::array<Real, static_cast<std::size_t>(width)> best_of;
            bool any = false;
            for (Index j = 0; j < width; j += lanes<V>) {
                V best(-std::numeric_limits<Real>::infinity());
                for (Index i = first; i < last; ++i) {
                    const V score = V::load_unaligned(scores + i * width + j);
                    best = xsimd::select(score > best, score, best);  // a NaN is not larger: it leaves `best` alone
                }
                best.store_unaligned(best_of.data() + j);
                any |= !xsimd::all(best <= V::load_unaligned(&bar(first_query + j)));  // not `>`: an open bar is a NaN
            }
            if (!any) [[likely]]
                continue;
            for (Index j = 0; j < width; ++j) {
                if (best_of[static_cast<std::size_t>(j)] <= bar(first_query + j)) continue;
                for (Index i = first; i < last; ++i) {
                    const Real score = scores[i * width + j];
                    const Real number = std::isnan(score) ? -std::numeric_limits<Real>::infinity() : score;
                    if (!(number <= bar(first_query + j))) push(first_query + j, {number, -1, first_index + i});
                }
            }
        }
    }

   private:
    Index k_, capacity_;
    Tensor<Candidate<Real>, 2> candidates_;
    std::vector<Index> counts_;
    std::vector<Real> bars_;
};

}  // namespace detail

/// The k keys of largest inner product with each query, over a stream of key blocks that are not kept.
///
///     result[n] = the k largest of { (<queries[n], key_i>, i) : i in the blocks added so far }, best first
///
/// Source: paper section 3.1 (exact search); departs from it in: nothing.
/// Shapes: queries (N,D), blocks (m,D) with any m -> scores and indices (N,K), K = the smaller of k and the keys seen.
/// Cost:   m N D multiply-adds a block; holds 2 N k candidates and a packed copy of the queries, whatever the number of keys.
///         Memory for k is taken at once: pass no k larger than the number of keys to come.
/// Errors: ShapeError if a width differs; ConfigError if k is negative or the query range is none; DataError if a query sees a
///         block that begins before the end of one it has seen.
/// A score that is NaN counts as minus infinity. Results are bitwise the same for any blocks and number of threads.
template <class Real>
class StreamingSearch {
   public:
    /// Packs the queries, (N,D); the view need not live on.
    StreamingSearch(MatrixView<const Real> queries, Index k)
        : count_(queries.rows), width_(queries.columns), k_(k), best_(count_, checked(queries, k)) {
        seen_.assign(static_cast<std::size_t>(count_), 0);
        panels_.resize(static_cast<std::size_t>((count_ + panel - 1) / panel));
        for (Index first = 0; first < count_; first += panel)
            pack_transposed(queries.data + first * queries.leading, std::min(panel, count_ - first), width_, queries.leading,
                            panels_[static_cast<std::size_t>(first / panel)]);
    }
    /// The same of a tensor.
    StreamingSearch(const Tensor<Real, 2>& queries, Index k) : StreamingSearch(as_matrix(queries), k) {}

    /// Offers keys number `first_index` ... `first_index + keys.rows - 1` to the queries of the range. Blocks come in ascending
    /// order; indices may have gaps.
    void add(MatrixView<const Real> keys, Index first_index, QueryRange visible_to = {}) {
        require<ConfigError>(!keeps_values_, "StreamingSearch::add: earlier blocks came with values, this one has none");
        check_block(keys, first_index, visible_to);
        add_block(keys, nullptr, first_index, visible_to);
    }

    /// The same, and keeps the row of `values` (m, any width) of every key that is among the best. All blocks or none have values.
    void add_with_values(MatrixView<const Real> keys, MatrixView<const Real> values, Index first_index,
                         QueryRange visible_to = {}) {
        require<ShapeError>(values.rows == keys.rows && !values.transposed, "StreamingSearch::add_with_values: ", values.rows,
                            " values for ", keys.rows, " keys, or transposed");
        require<ConfigError>(keeps_values_ || !started_, "StreamingSearch::add_with_values: earlier blocks came without values");
        require<ShapeError>(!keeps_values_ || values.columns == extent(values_, 2),
                            "StreamingSearch::add_with_values: values of width ", values.columns, ", earlier ones had width ",
                            extent(values_, 2));
        check_block(keys, first_index, visible_to);
        if (!keeps_values_) values_ = empty<Real, 3>({count_, k_, values.columns});
        keeps_values_ = true;
        add_block(keys, &values, first_index, visible_to);
    }

    /// The best keys so far. The search may go on.
    SearchResult<Real> result() const {
        const Index found = found_at_most();
        SearchResult<Real> result{full<Real, 2>({count_, found}, -std::numeric_limits<Real>::infinity()),
                                  full<Index, 2>({count_, found}, -1)};
        for_each_found([&](Index n, Index rank, const auto& candidate) {
            result.scores(n, rank) = candidate.score;
            result.indices(n, rank) = candidate.index;
        });
        return result;
    }

    /// The values (N, K, value width) of the keys of `result()`; zeros where it has index -1.
    Tensor<Real, 3> values() const {
        require<ConfigError>(keeps_values_, "StreamingSearch::values: no block came with values");
        Tensor<Real, 3> chosen = zeros<Real, 3>({count_, found_at_most(), extent(values_, 2)});
        for_each_found([&](Index n, Index rank, const auto& candidate) {
            std::copy_n(row(values_, n, candidate.slot), extent(values_, 2), row(chosen, n, rank));
        });
        return chosen;
    }

   private:
    using Lists = detail::CandidateLists<Real>;
    static constexpr Index panel = panel_width<Real>;
    static constexpr Index tile_rows = 96;              // keys of a tile: 24 KiB at width 64, and their scores 12 KiB
    static constexpr Index block_panels = 512 / panel;  // panels whose lists and packed queries share the second-level cache
    static constexpr double worth_sharing = 1 << 21;    // multiply-adds below which one thread does it alone

    static Index checked(const MatrixView<const Real>& queries, Index k) {
        require<ShapeError>(!queries.transposed && queries.leading >= queries.columns, "StreamingSearch: queries of width ",
                            queries.columns, " lie ", queries.leading, " numbers apart, or are transposed");
        require<ConfigError>(k >= 0 && k < std::numeric_limits<std::int32_t>::max(), "StreamingSearch: k = ", k,
                             " is negative or too large");
        return k;
    }

    /// Throws before anything is changed; fills in the end of an open range.
    void check_block(const MatrixView<const Real>& keys, Index first_index, QueryRange& visible) const {
        if (visible.last == -1) visible.last = count_;
        require<ShapeError>(keys.columns == width_ && keys.leading >= width_ && !keys.transposed, "StreamingSearch: keys of width ",
                            keys.columns, " for queries of width ", width_, ", or overlapping, or transposed");
        require<ConfigError>(0 <= visible.first && visible.first <= visible.last && visible.last <= count_,
                             "StreamingSearch: queries ", visible.first, " to ", visible.last, " of ", count_);
        require<DataError>(first_index <= std::numeric_limits<Index>::max() - keys.rows, "StreamingSearch: a block of ", keys.rows,
                           " keys begins at index ", first_index, ", and would end beyond the last number");
        for (Index n = visible.first; n < visible.last; ++n)
            require<DataError>(first_index >= seen_[static_cast<std::size_t>(n)], "StreamingSearch: a block begins at index ",
                               first_index, ", but query ", n, " has already seen the keys below ",
                               seen_[static_cast<std::size_t>(n)]);
    }

    void add_block(const MatrixView<const Real>& keys, const MatrixView<const Real>* values, Index first_index,
                   const QueryRange& visible) {
        started_ = true;
        offered_ += keys.rows;
        std::fill(seen_.begin() + visible.first, seen_.begin() + visible.last, first_index + keys.rows);
        if (k_ == 0 || keys.rows == 0 || visible.first == visible.last) return;

        const Index first_panel = visible.first / panel, panels = (visible.last + panel - 1) / panel - first_panel;
        const Index blocks = (panels + block_panels - 1) / block_panels;
        const auto run = [&](Index block) {
            search_panels(keys, values, first_index, visible, first_panel + panels * block / blocks,
                          first_panel + panels * (block + 1) / blocks);
        };
        if (blocks >= 2 * threads()) {  // many queries: each thread takes some, and all keys
            parallel_for(blocks, run);
        } else {  // few: the threads share the keys within search_panels
            for (Index block = 0; block < blocks; ++block) run(block);
        }
    }

    /// All keys of the block against the queries of some panels. Every slice of the keys has lists of its own, joined at the end.
    void search_panels(const MatrixView<const Real>& keys, const MatrixView<const Real>* values, Index first_index,
                       const QueryRange& visible, Index first_panel, Index last_panel) {
        const Index offset = first_panel * panel, queries = (last_panel - first_panel) * panel;
        const double work = static_cast<double>(keys.rows) * static_cast<double>(queries) * static_cast<double>(width_);
        const Index slices =
            in_parallel() || work < worth_sharing ? 1 : std::min(threads(), (keys.rows + tile_rows - 1) / tile_rows);
        std::vector<Lists> lists(static_cast<std::size_t>(slices), Lists(0, 0));
        parallel_for(slices, [&](Index slice) {
            Lists& found = lists[static_cast<std::size_t>(slice)];
            found = Lists(queries, k_);
            for (Index n = offset; n < offset + queries; ++n)
                found.bar(n - offset) = visible.first <= n && n < visible.last ? best_.bar(n) : Lists::never;
            const Index last_key = keys.rows * (slice + 1) / slices;
            std::array<Real, static_cast<std::size_t>(tile_rows * panel)> scores;
            for (Index key = keys.rows * slice / slices; key < last_key; key += tile_rows) {
                const Index rows = std::min(tile_rows, last_key - key);
                for (Index p = first_panel; p < last_panel; ++p) {
                    tile_product<false>(rows, LeftFactor<Real>{keys.data + key * keys.leading, keys.leading, 1},
                                        panels_[static_cast<std::size_t>(p)], scores.data(), panel);
                    found.scan(scores.data(), rows, first_index + key, p * panel - offset);
                }
            }
        });
        const Index first = std::max(visible.first, offset), last = std::min(visible.last, offset + queries);
        parallel_slices(last - first, slices == 1 ? last - first : panel, [&](Index from, Index to) {
            for (Index n = first + from; n < first + to; ++n) {
                const auto more = [&](const Lists& found) { return found.count(n - offset) > 0; };
                if (std::none_of(lists.begin(), lists.end(), more)) continue;
                for (const Lists& found : lists)
                    for (Index i = 0; i < found.count(n - offset); ++i) best_.push(n, found.begin(n - offset)[i]);
                best_.trim(n);
                if (values) keep_values(n, *values, first_index);
            }
        });
    }

    /// Copies the values of the new candidates of query n to slots that no candidate uses any more.
    void keep_values(Index n, const MatrixView<const Real>& values, Index first_index) {
        detail::Candidate<Real>* list = best_.begin(n);
        std::vector<char> taken(static_cast<std::size_t>(k_), 0);
        for (Index i = 0; i < best_.count(n); ++i)
            if (list[i].slot >= 0) taken[static_cast<std::size_t>(list[i].slot)] = 1;
        std::int32_t slot = 0;
        for (Index i = 0; i < best_.count(n); ++i) {
            if (list[i].slot >= 0) continue;
            while (taken[static_cast<std::size_t>(slot)]) ++slot;
            list[i].slot = slot++;
            std::copy_n(values.data + (list[i].index - first_index) * values.leading, values.columns,
                        row(values_, n, list[i].slot));
        }
    }

    Index found_at_most() const {
        Index most = count_ == 0 ? std::min(k_, offered_) : 0;
        for (Index n = 0; n < count_; ++n) most = std::max(most, best_.count(n));
        return most;
    }

    /// Calls f(query, rank, candidate) for all that is in the result.
    template <class F>
    void for_each_found(F&& f) const {
        parallel_slices(count_, panel, [&](Index first, Index last) {
            std::vector<detail::Candidate<Real>> sorted;
            for (Index n = first; n < last; ++n) {
                sorted.assign(best_.begin(n), best_.begin(n) + best_.count(n));
                std::sort(sorted.begin(), sorted.end());
                for (Index rank = 0; rank < best_.count(n); ++rank) f(n, rank, sorted[static_cast<std::size_t>(rank)]);
            }
        });
    }

    Index count_, width_, k_, offered_ = 0;
    bool started_ = false, keeps_values_ = false;
    Lists best_;                              // at most k candidates a query between two calls
    std::vector<Index> seen_;                 // a query has seen keys below this index only
    std::vector<PackedFactor<Real>> panels_;  // the queries, transposed
    Tensor<Real, 3> values_;                  // (N, k, value width), by slot
};

}  // namespace fot
