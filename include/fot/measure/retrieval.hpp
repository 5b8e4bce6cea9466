/// Is the right key retrieved, how sharply, and what does the top k leave out?
///
///     kNN score     softmax weight of a key among the K retrieved ones: does the query decide between them?
///     Focus score   softmax weight of a key among itself, its 32 predecessors and its 32 successors: does it stand out there?
///     kept mass     share of the attention mass over the whole memory that the top k hold: what using k instead of all costs
///
/// Scores are <q, k>; -infinity marks a place where there is no key. Everything is per query, so that it can be averaged, or
/// printed beside the query.
///
/// Source: paper appendix B.4, Table 7 (kNN score, Focus score). Kept mass is ours.
/// Read first: memory/exact_search.hpp, measure/intervals.hpp.   Read next: measure/memory_inspection.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "fot/core/largest.hpp"
#include "fot/core/tensor.hpp"

namespace fot {

/// kNN score of every key that a query retrieved: its share of the mass on the K of them.
///
///     share[j] = exp(scores[j]) / sum_i exp(scores[i])       i: the K retrieved
///
/// A query without any key (all -inf) has shares 0.   Errors: NumericError for NaN and +inf.
template <class Real>
std::vector<double> knn_scores(std::span<const Real> scores) {
    const double total = log_sum_exp(scores.data(), length_of(scores));
    std::vector<double> shares;
    for (const Real score : scores) shares.push_back(std::isinf(total) ? 0 : std::exp(static_cast<double>(score) - total));
    return shares;
}

/// Neighbours on either side that a Focus score compares a key with.
inline constexpr Index focus_reach = 32;

/// Focus score of the key at `centre` for a query: its softmax weight among itself, its 32 predecessors and its 32 successors, as
/// far as there are any.
///
///     exp(<query, keys[centre]>) / sum_{|m - centre| <= 32} exp(<query, keys[m]>)
///
/// Shapes: query (D), keys (M,D). A key as good as its neighbours has 1/65.
/// Errors: ShapeError if the widths differ; DataError if the centre is not a key; NumericError for scores of NaN and +inf.
template <class Real>
double focus_score(std::span<const Real> query, const Tensor<Real, 2>& keys, Index centre) {
    const Index count = extent(keys, 0);
    require_shape("focus_score: keys", keys, Shape<2>{-1, length_of(query)});
    require<DataError>(centre >= 0 && centre < count, "focus_score: key ", centre, " of ", count);
    const Index first = std::max<Index>(centre - focus_reach, 0), last = std::min(centre + focus_reach + 1, count);
    std::vector<double> scores(static_cast<std::size_t>(last - first), 0.0);
    for (Index m = first; m < last; ++m)
        for (Index i = 0; i < length_of(query); ++i)
            element(scores, m - first) += static_cast<double>(element(query, i)) * static_cast<double>(keys(m, i));
    return std::exp(element(scores, centre - first) - log_sum_exp(scores.data(), last - first));
}

/// Attention mass kept by the k best keys, of the mass over the whole memory.
///
///     kept[n] = sum_{j < k} exp(scores[n,j]) / sum_{m < M} exp(score of key m) = exp(log_sum_exp_j(scores[n,j]) - log_sum_exp[n])
///
/// Shapes: scores (N,K), best first; log_sum_exp over all M keys (N); k = -1 stands for all K -> N numbers in [0, 1].
/// Errors: ShapeError if they do not fit; ConfigError if k > K; NumericError if a log-sum-exp is +infinity or NaN, or the part
///         exceeds the whole (by more than rounding: then scores and log-sum-exp differ in temperature or head).
template <class Real, class Total>
std::vector<double> kept_mass(const Tensor<Real, 2>& scores, const Tensor<Total, 1>& log_sum_exp_all, Index k = -1) {
    const Index N = extent(scores, 0), K = extent(scores, 1);
    require_shape("kept_mass: log_sum_exp_all", log_sum_exp_all, Shape<1>{N});
    require<ConfigError>(k >= -1 && k <= K, "kept_mass: k ", k, " of ", K, " retrieved keys");
    std::vector<double> kept;
    for (Index n = 0; n < N; ++n) {
        const double part = log_sum_exp(row(scores, n), k < 0 ? K : k), whole = static_cast<double>(log_sum_exp_all(n));
        const double share = part == -std::numeric_limits<double>::infinity() ? 0.0 : std::exp(part - whole);
        require<NumericError>(share <= 1.001 && whole < std::numeric_limits<double>::infinity(), "kept_mass: query ", n, " keeps ",
                              share, " of the mass: log-sum-exp ", part, " of the part, ", whole, " of the whole");
        kept.push_back(std::min(share, 1.0));
    }
    return kept;
}

}  // namespace fot
