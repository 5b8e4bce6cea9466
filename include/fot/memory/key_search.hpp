/// A search for keys as an object: keys are added, the k best of each query are found, and the search says how many keys it scored.
///
///     search.add(keys);                                      // (m,D): they get the next m indices
///     KeysFound<float> found = search.find(queries, 32);     // (N,D) -> scores and indices (N,K), and what it cost
///
/// The exact search has this interface and is the yardstick for the approximate ones: how many of its K keys do they find (recall),
/// and for how large a share of its inner products? That share does not depend on the machine, as a time does.
///
///     ExactKeySearch   scores every key                                                         (this file)
///     InvertedLists    scores the keys of the lists whose means lie nearest to the query        (memory/inverted_lists.hpp)
///     KeyGraph         walks from key to key, always towards better ones                        (memory/key_graph.hpp)
///
/// An exact search needs no preparation and its cost is known beforehand. The others must be built, key by key, and what they find
/// depends on how the queries lie among the keys.
///
/// Source: paper section 6, which asks for "careful evaluation of the impact of the approximation".
/// Read first: memory/exact_search.hpp.   Read next: memory/inverted_lists.hpp, memory/memory_index.hpp.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fot/core/aligned_allocator.hpp"
#include "fot/memory/exact_search.hpp"

namespace fot {

/// What a search found, and what it took.
template <class Real>
struct KeysFound {
    /// (N, K), K = min(k, size). Where a query found fewer than K keys, the rest has score -infinity and index -1.
    SearchResult<Real> best;
    Index scored = 0;  ///< inner products of width D, of all queries together: with keys, and with means of keys
};

/// Keys of one head that can be searched. Searches may run at the same time, but not while keys are added.
template <class Real>
class KeySearch {
   public:
    virtual ~KeySearch() = default;

    /// M, keys that were added.
    virtual Index size() const = 0;

    /// Adds keys (m,D), which get the numbers size() ... size() + m - 1.   Errors: ShapeError if the width is not D.
    virtual void add(MatrixView<const Real> keys) = 0;

    /// The k best keys of queries (N,D): best first, equal scores by ascending index.
    /// Errors: ShapeError if the width is not D; ConfigError if k is negative.
    virtual KeysFound<Real> find(MatrixView<const Real> queries, Index k) const = 0;
};

namespace detail {

/// Throws ShapeError unless a matrix has a row of `width` numbers for each key or query.
template <class Number>
void require_width(const char* who, const MatrixView<Number>& rows, Index width) {
    require<ShapeError>(rows.columns == width && !rows.transposed, who, ": rows of width ", rows.columns, ", expected ", width,
                        ", not transposed");
}

/// Keys one after another, and room for more.
template <class Real>
class KeyRows {
   public:
    explicit KeyRows(Index width) : width_(width) {}
    Index size() const { return rows_; }
    MatrixView<const Real> view() const { return matrix(numbers_.data(), rows_, width_); }
    void add(const Real* key) {
        numbers_.insert(numbers_.end(), key, key + width_);
        ++rows_;
    }

   private:
    Index width_, rows_ = 0;
    std::vector<Real, AlignedAllocator<Real>> numbers_;
};

/// Nothing found yet: (N, K) of -infinity and -1.
template <class Real>
SearchResult<Real> nothing_found(Index queries, Index k) {
    return {full<Real, 2>({queries, k}, -TopK<Real>::infinity), full<Index, 2>({queries, k}, Index(-1))};
}

}  // namespace detail

/// Scores every key: `exact_search` of keys that are kept.
///
/// Cost: M N D multiply-adds, nothing to build; M D numbers.
template <class Real>
class ExactKeySearch : public KeySearch<Real> {
   public:
    /// For keys of width D.
    explicit ExactKeySearch(Index width) : width_(width), keys_(width) {}

    Index size() const override { return keys_.size(); }
    void add(MatrixView<const Real> keys) override {
        detail::require_width("ExactKeySearch::add", keys, width_);
        for (Index i = 0; i < keys.rows; ++i) keys_.add(keys.row(i));
    }
    KeysFound<Real> find(MatrixView<const Real> queries, Index k) const override {
        detail::require_width("ExactKeySearch::find", queries, width_);
        return {exact_search(keys_.view(), queries, k), queries.rows * size()};
    }

   private:
    Index width_;
    detail::KeyRows<Real> keys_;
};

/// Makes a search for keys of which some are there already, so that it can learn from them how keys lie. It adds none of them.
template <class Real>
using MakeKeySearch = std::function<std::unique_ptr<KeySearch<Real>>(MatrixView<const Real> keys)>;

}  // namespace fot
