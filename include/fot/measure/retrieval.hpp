/// Is the right key retrieved, how sharply, and what does the top k leave out?
///
/// Paper: the table of retrieved keys on dictionary lookup (kNN score, Focus score), and the question that a limited k raises.
///
///     kNN score     softmax weight of a key among the K retrieved ones: does the query decide between them?
///     Focus score   softmax weight of a key among itself, its 32 predecessors and its 32 successors: does it stand out there?
///     kept mass     share of the attention mass over the whole memory that the top k hold: what using k instead of all costs
///
/// All functions take plain tensors: scores <q, key> / temperature, (N, K), and the positions in memory that they belong to. -inf
/// marks a place where there is no key. Everything is per query, so that it can be averaged, or printed beside the query.
///
/// Read first: memory/exact_search.hpp, measure/intervals.hpp.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "fot/core/largest.hpp"
#include "fot/measure/intervals.hpp"

namespace fot {

/// kNN score of every retrieved key: its share of the mass on the retrieved keys.
///
///     share[n,j] = exp(scores[n,j]) / sum_i exp(scores[n,i])       i: the K retrieved
///
/// Shapes: scores (N,K) -> (N,K). A query without any key (all -inf) has shares 0.   Errors: NumericError for NaN and +inf.
template <class Real>
Tensor<double, 2> knn_scores(const Tensor<Real, 2>& scores) {
    const Index N = extent(scores, 0), K = extent(scores, 1);
    Tensor<double, 2> shares = zeros<double, 2>({N, K});
    for (Index n = 0; n < N; ++n) {
        const double total = log_sum_exp(row(scores, n), K);
        if (std::isinf(total)) continue;
        for (Index j = 0; j < K; ++j) shares(n, j) = std::exp(static_cast<double>(scores(n, j)) - total);
    }
    return shares;
}

/// Neighbours on either side that a Focus score compares a key with.
inline constexpr Index focus_reach = 32;
/// The key and its neighbours.
inline constexpr Index focus_width = 2 * focus_reach + 1;

/// Scores of a key's neighbourhood in memory, the key itself in the middle column.
///
///     result[n,j] = <queries[n], keys[centres[n] - 32 + j]> / temperature,   -inf before the first and behind the last key
///
/// Shapes: queries (N,D), keys (M,D), centres: N positions -> (N,65).
/// Errors: ShapeError if they do not fit; DataError if a centre lies outside the memory; ConfigError if temperature <= 0.
template <class Real>
Tensor<double, 2> neighbour_scores(const Tensor<Real, 2>& queries, const Tensor<Real, 2>& keys, const std::vector<Index>& centres,
                                   double temperature = 1) {
    const Index N = extent(queries, 0), D = extent(queries, 1), M = extent(keys, 0);
    require_shape("neighbour_scores: keys", keys, Shape<2>{-1, D});
    require<ShapeError>(length_of(centres) == N, "neighbour_scores: ", centres.size(), " centres for ", N, " queries");
    require<ConfigError>(temperature > 0, "neighbour_scores: temperature ", temperature, " is not above 0");
    Tensor<double, 2> scores = full<double, 2>({N, focus_width}, -std::numeric_limits<double>::infinity());
    for (Index n = 0; n < N; ++n) {
        const Index centre = element(centres, n);
        require<DataError>(centre >= 0 && centre < M, "neighbour_scores: centre ", centre, " of query ", n,
                           " lies outside a memory of ", M);
        for (Index m = std::max<Index>(centre - focus_reach, 0); m <= std::min(centre + focus_reach, M - 1); ++m) {
            double product = 0;
            for (Index i = 0; i < D; ++i) product += static_cast<double>(queries(n, i)) * static_cast<double>(keys(m, i));
            scores(n, m - centre + focus_reach) = product / temperature;
        }
    }
    return scores;
}

/// Focus score: softmax weight of a key among itself, its 32 predecessors and its 32 successors.
///
///     focus[n] = exp(scores[n,32]) / sum_{j=0..64} exp(scores[n,j])
///
/// Shapes: scores (N,65) as from `neighbour_scores` -> N. A key as good as its neighbours has 1/65.
/// Errors: ShapeError unless there are 65 columns; NumericError for NaN and +inf.
template <class Real>
std::vector<double> focus_scores(const Tensor<Real, 2>& scores) {
    require_shape("focus_scores: scores", scores, Shape<2>{-1, focus_width});
    std::vector<double> result;
    for (Index n = 0; n < extent(scores, 0); ++n) {
        const double own = static_cast<double>(scores(n, focus_reach)), total = log_sum_exp(row(scores, n), focus_width);
        result.push_back(std::isinf(own) ? 0.0 : std::exp(own - total));
    }
    return result;
}

/// Attention mass kept by the k best keys, of the mass over the whole memory.
///
///     kept[n] = sum_{j < k} exp(scores[n,j]) / sum_{m < M} exp(score of key m) = exp(log_sum_exp_j(scores[n,j]) - log_sum_exp[n])
///
/// Shapes: scores (N,K), best first; log_sum_exp over all M keys (N); k = -1 stands for all K -> N numbers in [0, 1].
/// Errors: ShapeError if they do not fit; ConfigError if k > K; NumericError if the part exceeds the whole (by more than
/// rounding: then scores and log-sum-exp differ in temperature or head).
template <class Real, class Total>
std::vector<double> kept_mass(const Tensor<Real, 2>& scores, const Tensor<Total, 1>& log_sum_exp_all, Index k = -1) {
    const Index N = extent(scores, 0), K = extent(scores, 1);
    require_shape("kept_mass: log_sum_exp_all", log_sum_exp_all, Shape<1>{N});
    require<ConfigError>(k >= -1 && k <= K, "kept_mass: k ", k, " of ", K, " retrieved keys");
    std::vector<double> kept;
    for (Index n = 0; n < N; ++n) {
        const double part = log_sum_exp(row(scores, n), k < 0 ? K : k), whole = static_cast<double>(log_sum_exp_all(n));
        const double share = std::isinf(part) ? 0.0 : std::exp(part - whole);
        require<NumericError>(share <= 1.001, "kept_mass: query ", n, " keeps ", share, " of the mass: log-sum-exp ", part,
                              " of the part, ", whole, " of the whole");
        kept.push_back(std::min(share, 1.0));
    }
    return kept;
}

}  // namespace fot
