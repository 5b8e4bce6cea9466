/// Approximate search by inverted lists: only the keys near some means are scored (IVF: Sivic and Zisserman 2003, Jegou et al.
/// 2011).
///
///     build    means of the keys by k-means; each key goes to the list of its nearest mean
///     find     the `probes` means of largest <q, mean>; all keys of their lists are scored, the k best are kept
///
/// With as many probes as lists it is exact. With fewer it can miss a good key because the mean of its list scores badly.
/// That is rare if queries are distributed like the keys, and common if they are not.
///
/// A list is searched for up to four queries at a time, each key being read once for all of them. With many queries that probe the
/// same lists this is what makes it fast; with one query it is a scan of a few lists.
///
/// Read first: memory/key_search.hpp, memory/k_means.hpp, core/row_products.hpp.   Read next: memory/key_graph.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "fot/core/largest.hpp"
#include "fot/memory/k_means.hpp"
#include "fot/memory/key_search.hpp"

namespace fot {

/// How inverted lists are made and read.
struct InvertedListsOptions {
    Index lists = 1024;        ///< C; about the square root of the number of keys is usual
    Index probes = 8;          ///< lists that a query looks into
    KMeansOptions means = {};  ///< spherical for keys of length one, Euclidean for others
};

/// Keys in lists, one list per mean.
///
/// Cost:   to add, m C D multiply-adds; a query: C D, and D for each key of the lists it looks into. Holds M D numbers.
/// Errors: ConfigError unless there are at least as many keys to learn from as lists, and 1 <= probes.
template <class Real>
class InvertedLists : public KeySearch<Real> {
   public:
    /// Learns the means from these keys, and adds none of them.
    InvertedLists(MatrixView<const Real> keys, const InvertedListsOptions& options)
        : spherical_(options.means.spherical),
          means_(k_means(keys, options.lists, options.means)),
          lists_(static_cast<std::size_t>(options.lists), List{detail::KeyRows<Real>(keys.columns), {}}) {
        set_probes(options.probes);
    }

    /// Looks into so many lists from now on; more than there are stands for all.
    void set_probes(Index probes) {
        require<ConfigError>(probes >= 1, "InvertedLists: ", probes, " probes, expected 1 or more");
        probes_ = std::min(probes, lists());
    }
    /// Lists that a query looks into.
    Index probes() const { return probes_; }
    /// C
    Index lists() const { return length_of(lists_); }
    /// (C, D)
    const Tensor<Real, 2>& means() const { return means_; }
    /// The indices of the keys of a list, ascending.
    const std::vector<Index>& list(Index i) const { return element(lists_, i).numbers; }

    Index size() const override { return size_; }

    void add(MatrixView<const Real> keys) override {
        detail::require_width("InvertedLists::add", keys, width());
        const NearestMeans<Real> nearest = nearest_means(keys, means_, spherical_);
        for (Index i = 0; i < keys.rows; ++i) {
            List& list = element(lists_, element(nearest.mean, i));
            list.keys.add(keys.row(i));
            list.numbers.push_back(size_++);
        }
    }

    KeysFound<Real> find(MatrixView<const Real> queries, Index k) const override {
        detail::require_width("InvertedLists::find", queries, width());
        require<ConfigError>(k >= 0, "InvertedLists::find: k = ", k, " is negative");
        const Tensor<Index, 2> probed = exact_search(as_matrix(means_), queries, probes_).indices;
        KeysFound<Real> found{detail::nothing_found<Real>(queries.rows, std::min(k, size_)), queries.rows * lists()};
        for (const Index list : probed.storage()) found.scored += element(lists_, list).keys.size();
        if (k > 0)
            parallel_slices(queries.rows, most_queries, [&](Index first, Index last) {
                find_together(queries.rows_from(first, last - first), row(probed, first), k, first, found.best);
            });
        return found;
    }

   private:
    static constexpr Index most_queries = 256;  // that are searched together
    static constexpr Index block_keys = 240;    // of a list, scored at a time

    struct List {
        detail::KeyRows<Real> keys;
        std::vector<Index> numbers;
    };

    /// Queries that look into the same list.
    struct Visit {
        Index list, query;
        auto operator<=>(const Visit&) const = default;
    };

    Index width() const { return extent(means_, 1); }

    /// Searches for some queries, whose lists are probed (N, probes): list by list.
    void find_together(MatrixView<const Real> queries, const Index* probed, Index k, Index first_row,
                       SearchResult<Real>& result) const {
        std::vector<Visit> visits;
        for (Index i = 0; i < queries.rows * probes_; ++i) visits.push_back({probed[i], i / probes_});
        std::sort(visits.begin(), visits.end());
        std::vector<TopK<Real>> best(static_cast<std::size_t>(queries.rows), TopK<Real>(k));
        std::vector<Real> bars(best.size(), -TopK<Real>::infinity);
        for (auto begin = visits.begin(), end = begin; begin != visits.end(); begin = end) {
            while (end != visits.end() && end->list == begin->list && end - begin < few_rows) ++end;
            scan(element(lists_, begin->list), queries, {begin, end}, best, bars);
        }
        for (Index n = 0; n < queries.rows; ++n) element(best, n).write(first_row + n, result);
    }

    /// Offers the keys of a list to up to four queries.
    void scan(const List& list, MatrixView<const Real> queries, const std::vector<Visit>& visits, std::vector<TopK<Real>>& best,
              std::vector<Real>& bars) const {
        alignas(64) std::array<Real, std::size_t{few_rows * block_keys}> scores;
        Tensor<Real, 2> together = empty<Real, 2>({length_of(visits), width()});
        for (Index i = 0; i < length_of(visits); ++i) std::copy_n(queries.row(element(visits, i).query), width(), row(together, i));
        for (Index first = 0; first < list.keys.size(); first += block_keys) {
            const MatrixView<const Real> block = list.keys.view().rows_from(first, std::min(block_keys, list.keys.size() - first));
            row_products(as_matrix(std::as_const(together)), block, scores.data(), block_keys);
            for (Index i = 0; i < length_of(visits); ++i) {
                const Index n = element(visits, i).query;
                const Real* of_query = scores.data() + i * block_keys;
                Real& bar = element(bars, n);
                if (largest(of_query, block.rows) < bar) continue;
                for (Index j = 0; j < block.rows; ++j)
                    if (!(of_query[j] < bar)) bar = element(best, n).offer(of_query[j], element(list.numbers, first + j));
            }
        }
    }

    bool spherical_;
    Tensor<Real, 2> means_;  // (C, D)
    std::vector<List> lists_;
    Index probes_ = 1, size_ = 0;
};

}  // namespace fot
