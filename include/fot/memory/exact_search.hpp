/// Exact top-k inner product search in one call, without an index (paper section 3.1).
///
///     SearchResult<float> found = exact_search(keys, queries, 32);     // (M,D), (N,D) -> scores and indices (N,K)
///
/// It is one block of a streaming search: memory/streaming_search.hpp says how it works.
///
/// Read first: memory/streaming_search.hpp.   Read next: memory/key_value_memory.hpp.
#pragma once

#include <algorithm>
#include <type_traits>

#include "fot/memory/streaming_search.hpp"

namespace fot {

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
/// Same as: sorting all M scores of a query and keeping the first k.
template <class Keys, class Queries, class Real = std::remove_const_t<Queries>>
SearchResult<Real> exact_search(MatrixView<Keys> keys, MatrixView<Queries> queries, Index k) {
    StreamingSearch<Real> search(queries, std::min(k, keys.rows));
    search.add(keys, 0);
    return search.result();
}

/// The same for whole tensors: keys (M,D), queries (N,D).
template <class Real>
SearchResult<Real> exact_search(const Tensor<Real, 2>& keys, const Tensor<Real, 2>& queries, Index k) {
    return exact_search(as_matrix(keys), as_matrix(queries), k);
}

}  // namespace fot
