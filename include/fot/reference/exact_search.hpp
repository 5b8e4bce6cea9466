/// Exact search as a definition: all scores, sorted, of which the first k are kept.
///
///     scores[n,:], indices[n,:] = the k largest of <queries[n], keys[m]> over m, best first
///
/// This is how a memory is searched. The paper's search is exact, so there is one right answer. Ties need a rule: the lower index
/// comes first. A score that is NaN counts as -infinity, since nothing can be said of it.
///
/// Source: paper section 3.1, appendix B.2 (M_top, the k best entries of a memory).
/// Read first: core/tensor.hpp.   Read next: reference/memory_attention.hpp, memory/exact_search.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "fot/core/index.hpp"
#include "fot/core/tensor.hpp"

namespace fot::reference {

/// What a search gives back: for each query its best keys, best first.
template <class Real>
struct Found {
    Tensor<Real, 2> scores;    ///< (N,K)
    Tensor<Index, 2> indices;  ///< (N,K) rows of the keys
};

/// The positions of the k largest of M numbers, the largest first: min(k, M) of them. NaN counts as -infinity.
template <class Real>
std::vector<Index> largest_first(Tensor<Real, 1> scores, Index k) {
    for (Real& score : scores.storage())
        if (std::isnan(score)) score = -std::numeric_limits<Real>::infinity();
    std::vector<Index> order(scores.size());
    std::iota(order.begin(), order.end(), Index(0));
    // Stable: equal scores stay in the order of their positions.
    std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) { return scores(i) > scores(j); });
    order.erase(order.begin() + std::min(k, length_of(order)), order.end());
    return order;
}

/// The k keys of largest inner product with each query.
///
/// Source: paper section 3.1. No departures.
/// Shapes: keys (M,D), queries (N,D) -> scores and indices (N,K), K = min(k, M).
/// Errors: ShapeError if the widths differ; ConfigError if k is negative.
/// Same as: exact_search of memory/.
template <class Real>
Found<Real> exact_search(const Tensor<Real, 2>& keys, const Tensor<Real, 2>& queries, Index k) {
    const Index M = extent(keys, 0), N = extent(queries, 0), D = extent(queries, 1), K = std::min(k, M);
    require_shape("reference::exact_search: keys", keys, {-1, D});
    require<ConfigError>(k >= 0, "reference::exact_search: k is ", k, ", expected 0 or more");
    Found<Real> found{empty<Real, 2>({N, K}), empty<Index, 2>({N, K})};
    for (Index n = 0; n < N; ++n) {
        // score_m = <queries[n], keys[m]>
        Tensor<Real, 1> score = zeros<Real, 1>({M});
        for (Index m = 0; m < M; ++m) {
            for (Index d = 0; d < D; ++d) score(m) += queries(n, d) * keys(m, d);
            if (std::isnan(score(m))) score(m) = -std::numeric_limits<Real>::infinity();
        }
        // the k largest of them
        const std::vector<Index> best = reference::largest_first(score, k);
        for (Index rank = 0; rank < K; ++rank) {
            found.indices(n, rank) = element(best, rank);
            found.scores(n, rank) = score(element(best, rank));
        }
    }
    return found;
}

}  // namespace fot::reference
