/// 1.5-entmax in place of softmax: keys of small score get no weight at all, however many they are.
///
///     p_j = max(0, s_j / 2 - t)^2        of scores s_j, with the threshold t at which the weights p_j sum to one
///
/// Softmax gives every key some weight, so that enough unrelated keys together always win. Here a key whose score is 2 below
/// the best has none, since the best has s/2 - t <= 1. So no number of unrelated keys dilutes anything, if all of them score at
/// least 2 below the best.
///
/// **When the k best suffice.** t depends on the scores above it only. So if among the k best the last has no weight, no entry
/// beyond them has any, and attention to the k best is exactly attention to the whole memory (`entmax_of_best_is_whole`). For
/// softmax that never holds.
///
/// The gradient, with r_j = sqrt(p_j):   d_s_j = r_j (d_p_j - sum_i r_i d_p_i / sum_i r_i)
///
/// Keys without weight get no gradient either: a key that never gets weight in training cannot improve.
///
/// Source: Peters et al. 2019 (1.5-entmax and its algorithm by sorting); for long contexts Vasylenko et al. 2025, arXiv 2506.16640.
/// Cost:   sorting. Only scores within 2 of the best need it.
///
/// Read first: attention/softmax.hpp.   Read next: remedies/entmax_attention.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "fot/core/autograd.hpp"

namespace fot {

/// t of n scores, best first; the best one is finite. A double holds it as long as |scores| are below 1e15.
/// Cost: one pass over those above t.
template <class Real>
double entmax_threshold(const Real* scores, Index n) {
    double sum = 0, squares = 0, threshold = -1;  // of halved scores minus the best one; one alone: t = -1
    for (Index j = 0; j < n; ++j) {
        const double half = (static_cast<double>(scores[j]) - static_cast<double>(scores[0])) / 2,
                     count = static_cast<double>(j + 1);
        if (half == -std::numeric_limits<double>::infinity()) break;  // no weight, as all that follow
        sum += half;
        squares += half * half;
        // sum over the first `count` of (half - t)^2 = 1
        const double mean = sum / count, under_root = (1 - (squares - sum * mean)) / count;
        if (under_root < 0 || mean - std::sqrt(under_root) > half) break;
        threshold = mean - std::sqrt(under_root);
    }
    return threshold + static_cast<double>(scores[0]) / 2;
}

/// p of a score.
template <class Real>
Real entmax_weight(Real score, double threshold) {
    const double root = std::max(static_cast<double>(score) / 2 - threshold, 0.0);  // in this order NaN stays
    return static_cast<Real>(root * root);
}

/// Whether entmax of the k best of `all` scores, best first, is entmax of all.
template <class Real>
bool entmax_of_best_is_whole(const Real* best, Index k, Index all) {
    return k >= all || (k > 0 && entmax_weight(best[k - 1], entmax_threshold(best, k)) == 0);
}

/// NaN (B,H,T) where a batch entry sees keys, -infinity where not: what entmax has in place of a log-sum-exp.
template <class Real, class Sees>
Variable<Real, 3> no_log_sum_exp(const Tensor<Real, 4>& q, Sees&& sees) {
    Tensor<Real, 3> none = empty<Real, 3>({extent(q, 0), extent(q, 2), extent(q, 1)});
    using Limits = std::numeric_limits<Real>;
    for (Index b = 0; b < extent(q, 0); ++b)
        std::fill_n(row(none, b), extent(q, 1) * extent(q, 2), sees(b) ? Limits::quiet_NaN() : -Limits::infinity());
    return Variable<Real, 3>(std::move(none));
}

}  // namespace fot
