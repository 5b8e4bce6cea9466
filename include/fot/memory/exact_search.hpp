/// Exact top-k inner product search: the memory lookup, without an index.
///
///     M_top = the k keys of largest <q, key>, best first, equal scores by ascending index
///
///     SearchResult<float> found = exact_search(keys, queries, 32);     // (M,D), (N,D) -> scores and indices (N,K)
///
/// The definition is reference::exact_search: all scores of a query, sorted, the first k. On one thread the search is
///
///     StreamingSearch<float> search(queries, k);
///     search.add(keys, 0);                               // and search.result() has it
///
/// Threads share queries and keys, each with a StreamingSearch of its own (memory/parallel_search.hpp). The result does not depend
/// on their number.
///
/// Why exact: there is one right answer, and many queries at once cost what a matrix product costs, or less where a filter rules
/// out most keys (paper_notes.md, "What exact search costs").
///
/// Source: paper section 3.1, appendix B.2.
/// Read first: reference/exact_search.hpp, memory/streaming_search.hpp.   Read next: memory/key_value_memory.hpp.
#pragma once

#include <type_traits>
#include <utility>

#include "fot/memory/parallel_search.hpp"

namespace fot {

/// The k keys of largest inner product with each query, best first, equal scores by ascending index.
///
///     scores[n,:], indices[n,:] = the k largest of <queries[n], keys[i]> over i
///
/// A score that is NaN counts as -infinity. The result is bitwise the same for any number of threads.
///
/// Source: paper section 3.1 (exact search). No departures.
/// Shapes: keys (M,D), queries (N,D) -> scores and indices (N,K), K = min(k, M). Any extent may be 0; with D = 0 all scores are 0.
///         The views may be strided: a head of a (M,H,D) block is matrix(row(block, 0, h), M, D, H * D).
/// Cost:   M N D multiply-adds; scratch 2 N K candidates per thread.
/// Errors: ShapeError if the widths differ; ConfigError if k is negative.
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
