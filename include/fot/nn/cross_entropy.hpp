/// The loss of training: masked cross-entropy of the next token, in nats.
///
/// A mask weighs the tokens: 1 where the answer counts, 0 for questions, padding and the first token of a document. Where the
/// weight is 0 the target is not looked at. Two ways of averaging are in use, and with unequal masks they differ:
/// over all tokens that count (`token_mean`), or over the tokens of a row first and then over the rows (`row_mean`, the
/// released training code, where a row without any counted token still counts as a row of loss 0).
///
/// Source: paper section 3.2 (crossbatch trains on the ordinary loss), appendix F (loss on the answers only).
/// Read first: core/autograd.hpp.   Read next: loss/contrastive_loss.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "fot/core/autograd.hpp"
#include "fot/core/exponential.hpp"
#include "fot/core/largest.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

/// How the losses of the tokens become one number.
enum class Reduction {
    token_mean,  ///< sum(loss * mask) / max(sum(mask), 1e-10)
    row_mean     ///< the same within each row, then the mean over all rows
};

namespace detail {

/// The loss of each token, and what its gradient needs. Both are 0 where the mask is 0.
template <class Real>
struct TokenLosses {
    Tensor<Real, 2> nats;     ///< -log p(target), (B,T)
    Tensor<Real, 2> highest;  ///< logit, (B,T)
    Tensor<Real, 2> log_sum;  ///< log sum_v exp(logits[v] - highest), (B,T): apart, since large logits would round it away
};

inline constexpr Index cross_entropy_rows_per_slice = 32;

/// sum_i e^(x[i] - shift): vectors within a block, double over the blocks.
template <class Real>
double sum_of_exponentials(const Real* x, Index count, Real shift) {
    using V = SimdVector<Real>;
    constexpr Index block = 256;
    double total = 0;
    for (Index start = 0; start < count; start += block) {
        V sum(Real(0));
        for_each_vector<V>(std::min(block, count - start), [&](auto at) {
            sum += exponential(at.load(x + start, -std::numeric_limits<Real>::infinity()) - shift);
        });
        total += static_cast<double>(joined_lanes(sum, std::plus<>{}));
    }
    return total;
}

/// The factor of each token's nats in the loss, (B,T).   Errors: DataError if a number of the mask is negative or not finite.
template <class Real>
Tensor<double, 2> loss_weights(const Tensor<Real, 2>& mask, Reduction reduction) {
    const Index batch = extent(mask, 0), length = extent(mask, 1);
    Tensor<double, 1> row_sum = zeros<double, 1>({batch});
    double sum = 0;
    for (Index b = 0; b < batch; ++b) {
        for (Index t = 0; t < length; ++t) {
            require<DataError>(mask(b, t) >= 0 && std::isfinite(mask(b, t)), "cross_entropy: the mask at position (", b, ", ", t,
                               ") is ", mask(b, t), ", expected a finite number of 0 or more");
            row_sum(b) += static_cast<double>(mask(b, t));
        }
        sum += row_sum(b);
    }
    Tensor<double, 2> weights = empty<double, 2>({batch, length});
    for (Index b = 0; b < batch; ++b)
        for (Index t = 0; t < length; ++t)
            weights(b, t) = static_cast<double>(mask(b, t)) / (reduction == Reduction::token_mean
                                                                   ? std::max(sum, 1e-10)
                                                                   : std::max(row_sum(b), 1e-10) * static_cast<double>(batch));
    return weights;
}

/// The loss of each token separately, where the mask is not 0.
template <class Real>
TokenLosses<Real> token_losses(const Tensor<Real, 3>& logits, const Tokens& targets, const Tensor<Real, 2>& mask) {
    const Index batch = extent(logits, 0), length = extent(logits, 1), vocabulary = extent(logits, 2);
    require_shape("cross_entropy: targets", targets, {batch, length});
    require_shape("cross_entropy: mask", mask, {batch, length});
    for (Index b = 0; b < batch; ++b)
        for (Index t = 0; t < length; ++t)
            require<DataError>(mask(b, t) == 0 || (targets(b, t) >= 0 && targets(b, t) < vocabulary), "cross_entropy: target ",
                               targets(b, t), " at position (", b, ", ", t, ") is outside the vocabulary of ", vocabulary);
    TokenLosses<Real> losses{zeros<Real, 2>({batch, length}), zeros<Real, 2>({batch, length}), zeros<Real, 2>({batch, length})};
    parallel_slices(batch * length, cross_entropy_rows_per_slice, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i) {
            if (mask.data()[i] == 0) continue;
            const Real* logits_i = logits.data() + i * vocabulary;
            const Real highest = largest(logits_i, vocabulary);
            const double log_sum = std::log(sum_of_exponentials(logits_i, vocabulary, highest));
            losses.highest.data()[i] = highest;
            losses.log_sum.data()[i] = static_cast<Real>(log_sum);
            losses.nats.data()[i] = static_cast<Real>(log_sum + static_cast<double>(highest - logits_i[targets.data()[i]]));
        }
    });
    for (Index i = 0; i < batch * length; ++i)
        require<NumericError>(!std::isnan(losses.nats.data()[i]), "cross_entropy: the loss at position (", i / length, ", ",
                              i % length, ") is NaN: a logit is NaN or +infinity");
    return losses;
}

/// Adds d_nats[b,t] (softmax(logits[b,t]) - 1 at the target) to d_logits, where d_nats (B,T) is not 0.
template <class Real>
void token_losses_vjp(const Tensor<double, 2>& d_nats, const Tensor<Real, 3>& logits, const Tokens& targets,
                      const TokenLosses<Real>& losses, Tensor<Real, 3>& d_logits) {
    const Index vocabulary = extent(logits, 2);
    parallel_slices(element_count(targets), cross_entropy_rows_per_slice, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i) {
            const Real factor = static_cast<Real>(d_nats.data()[i]), highest = losses.highest.data()[i],
                       log_sum = losses.log_sum.data()[i];
            if (factor == 0) continue;
            const Real* logits_i = logits.data() + i * vocabulary;
            Real* d_logits_i = d_logits.data() + i * vocabulary;
            // nats = log sum_v exp(logits[v]) - logits[target]
            for_each_vector<SimdVector<Real>>(vocabulary, [&](auto at) {
                at.store(at.load(d_logits_i) + factor * exponential(at.load(logits_i) - highest - log_sum), d_logits_i);
            });
            d_logits_i[targets.data()[i]] -= factor;
        }
    });
}

/// sum_{b,t} weights[b,t] nats[b,t], in the order of the tokens.
template <class Real>
double weighted_nats(const Tensor<double, 2>& weights, const Tensor<Real, 2>& nats) {
    double loss = 0;
    for (Index i = 0; i < element_count(weights); ++i) loss += weights.data()[i] * static_cast<double>(nats.data()[i]);
    return loss;
}

}  // namespace detail

/// -log p(target) of every token, in nats: for perplexity, and for losses of one's own. The sum of them all is
/// `xt::sum<double>(token_nats(...))()`. (In C++20 the tensor must have a name to be looped over: of a temporary,
/// `for (float n : token_nats(...).storage())` reads freed memory.)
///
/// Shapes: logits (B,T,V), targets (B,T) -> (B,T).
/// Errors: ShapeError if the shapes differ; DataError if a target is outside 0 ... V-1; NumericError, which
///         says where, if a logit is NaN or +infinity.
template <class Real>
Tensor<Real, 2> token_nats(const Tensor<Real, 3>& logits, const Tokens& targets) {
    return detail::token_losses(logits, targets, full<Real, 2>({extent(logits, 0), extent(logits, 1)}, Real(1))).nats;
}

/// 1 where the largest logit is the target's, else 0. Of equal logits the first one counts as the largest. A target outside the
/// vocabulary is never predicted.
///
/// Shapes: logits (B,T,V), targets (B,T) -> (B,T).
/// Errors: ShapeError if the shapes differ, or if the vocabulary is empty; NumericError if a logit is NaN.
template <class Real>
Tensor<std::uint8_t, 2> correct_predictions(const Tensor<Real, 3>& logits, const Tokens& targets) {
    const Index batch = extent(logits, 0), length = extent(logits, 1), vocabulary = extent(logits, 2);
    require_shape("correct_predictions: targets", targets, {batch, length});
    require<ShapeError>(vocabulary >= 1, "correct_predictions: logits have shape ", shape_text(shape_of(logits)),
                        ", expected a vocabulary of at least 1");
    Tensor<std::uint8_t, 2> correct = zeros<std::uint8_t, 2>({batch, length});
    parallel_slices(batch * length, detail::cross_entropy_rows_per_slice, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i) {
            const Real* logits_i = logits.data() + i * vocabulary;
            require<NumericError>(std::none_of(logits_i, logits_i + vocabulary, [](Real x) { return std::isnan(x); }),
                                  "correct_predictions: a logit of token ", i % length, " of batch entry ", i / length,
                                  " is not a number");
            const Real* highest = std::find(logits_i, logits_i + vocabulary, largest(logits_i, vocabulary));
            correct.data()[i] = highest - logits_i == targets.data()[i];
        }
    });
    return correct;
}

/// Masked cross-entropy as one number, summed in double in the order of the tokens.
///
///     loss = mean over (b,t) of nats[b,t] = log sum_v exp(logits[b,t,v]) - logits[b,t,targets[b,t]]
///
/// Shapes: logits (B,T,V), targets and mask (B,T).
/// Cost:   one exponential per logit, where the mask is not 0.
/// Errors: ShapeError if the shapes differ; DataError if a target that counts is outside 0 ... V-1, or a number of the mask is
///         negative or not finite; NumericError, which says where, if a logit of a token that counts is NaN or +infinity.
template <class Real>
double cross_entropy(const Tensor<Real, 3>& logits, const Tokens& targets, const Tensor<Real, 2>& mask,
                     Reduction reduction = Reduction::token_mean) {
    const Tensor<double, 2> weights = detail::loss_weights(mask, reduction);
    return detail::weighted_nats(weights, detail::token_losses(logits, targets, mask).nats);
}

/// `cross_entropy` on the tape: one number, shape (1).
template <class Real>
Variable<Real, 1> cross_entropy(Tape& tape, const Variable<Real, 3>& logits, const Tokens& targets, const Tensor<Real, 2>& mask,
                                Reduction reduction = Reduction::token_mean) {
    const Tensor<double, 2> weights = detail::loss_weights(mask, reduction);
    detail::TokenLosses<Real> losses = detail::token_losses(logits.value(), targets, mask);
    const double loss = detail::weighted_nats(weights, losses.nats);
    const auto backward = [logits, targets, weights, losses = std::move(losses)](const Tensor<Real, 1>& d_loss) {
        Tensor<double, 2> d_nats = weights;
        for (double& d : d_nats.storage()) d *= static_cast<double>(d_loss(0));
        detail::token_losses_vjp(d_nats, logits.value(), targets, losses, logits.gradient());
    };
    return tape.record(full<Real, 1>({1}, static_cast<Real>(loss)), backward, logits);
}

}  // namespace fot
