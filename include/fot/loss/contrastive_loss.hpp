/// An explicit contrastive loss on a memory layer: multi-positive InfoNCE over contexts.
///
///     loss = mean over queries of  -log( sum over positive contexts of exp(L_c) / sum over all contexts of exp(L_c) )
///
/// with L_c the log-sum-exp of the query's scores with context c (attention/context_mass.hpp). So its value is -log of the positive
/// attention mass: exp(-loss) is the geometric mean of r_d. Every key of a positive context is a positive, every key of the other
/// contexts that the table gives to the entry is a negative.
///
/// Crossbatch is the implicit form of the same contrast. There the softmax over positives and negatives is part of the model, and
/// the next-token loss decides how sharply to contrast: attention to a negative is punished only where it makes the prediction
/// worse, and a positive key is favoured only where its value helps. Here the contrast is the loss, whether it helps or not. So
/// with enough weight beside crossbatch it reaches an r_d that crossbatch alone does not, and pays for it in bits per byte
/// (examples/measurements.md, C1).
///
/// Local keys take no part in it; in crossbatch attention they share the softmax with the contexts.
///
/// Source: InfoNCE, van den Oord et al. 2018. The paper trains by crossbatch alone, and names other contrastive objectives as
/// future work (section 6).
/// Read first: attention/context_mass.hpp.   Read next: examples/contrastive_loss.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "fot/attention/context_mass.hpp"
#include "fot/core/largest.hpp"
#include "fot/nn/arithmetic.hpp"

namespace fot {

/// The value of the loss with its gradient with respect to queries and context keys.
template <class Real>
struct ContrastiveLoss {
    double value = 0;             ///< nats
    Tensor<Real, 4> d_q;          ///< (B,T,H,D)
    Tensor<Real, 4> d_context_k;  ///< (P,S,G,D)
};

/// InfoNCE against all keys of the negative contexts.
///
/// Shapes: q (B,T,H,D), context_k (P,S,G,D), table over P with at least one positive and one negative per entry.
/// Cost:   4 B H T C S D multiply-adds: the scores, and three products for the gradient.
/// Errors: ShapeError if the shapes do not fit, or contexts have no keys; ConfigError if the table is not valid for B entries, an
///         entry has no positive or no negative; NumericError if a score is NaN or infinite.
template <class Real>
ContrastiveLoss<Real> contrastive_loss(const Tensor<Real, 4>& q, const Tensor<Real, 4>& context_k, const ContextTable& table) {
    require_valid(table, extent(q, 0));
    for (Index b = 0; b < table.entries(); ++b) {
        const Index positives = element(table.positives, b), count = length_of(element(table.contexts, b));
        require<ConfigError>(positives >= 1 && positives < count, "contrastive_loss: entry ", b, " has ", positives,
                             " positives among ", count, " contexts, expected some of each kind");
    }
    require<ShapeError>(extent(context_k, 1) >= 1, "contrastive_loss: contexts without keys");
    const Tensor<Real, 4> mass = context_log_mass(q, context_k, table);
    const Index entries = extent(mass, 0), queries = extent(mass, 1), heads = extent(mass, 2);
    const double weight = 1 / static_cast<double>(entries * queries * heads);
    ContrastiveLoss<Real> loss{0, zeros_like(q), zeros_like(context_k)};
    Tensor<Real, 4> d_mass = zeros_like(mass);
    std::vector<double> per_entry(static_cast<std::size_t>(entries));
    parallel_for(entries, [&](Index b) {
        const Index positives = element(table.positives, b), count = length_of(element(table.contexts, b));
        for (Index t = 0; t < queries; ++t)
            for (Index h = 0; h < heads; ++h) {
                const Real* mass_bth = row(mass, b, t, h);
                const double log_all = log_sum_exp(mass_bth, count), log_positive = log_sum_exp(mass_bth, positives);
                element(per_entry, b) += weight * (log_all - log_positive);
                // d loss / d L_c = share of c among all - share of c among the positives
                for (Index c = 0; c < count; ++c)
                    d_mass(b, t, h, c) = static_cast<Real>(
                        weight * (std::exp(mass_bth[c] - log_all) - (c < positives ? std::exp(mass_bth[c] - log_positive) : 0.0)));
            }
    });
    for (const double part : per_entry) loss.value += part;
    require<NumericError>(std::isfinite(loss.value), "contrastive_loss: the loss is ", loss.value, ", expected a finite number");
    context_log_mass_vjp(q, context_k, table, mass, d_mass, loss.d_q, loss.d_context_k);
    return loss;
}

/// `weight` times the loss on the tape, to be added to another loss.
/// Errors: as contrastive_loss; ConfigError unless the weight is finite.
template <class Real>
Variable<Real, 1> contrastive_loss(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& context_k,
                                   const ContextTable& table, std::type_identity_t<Real> weight = 1) {
    require<ConfigError>(std::isfinite(weight), "contrastive_loss: weight ", weight, ", expected a finite number");
    const auto loss = std::make_shared<ContrastiveLoss<Real>>(contrastive_loss(q.value(), context_k.value(), table));
    return tape.record(
        full<Real, 1>({1}, weight * static_cast<Real>(loss->value)),
        [=](const Tensor<Real, 1>& d_loss) {
            const auto scaled = [factor = weight * d_loss(0)](Real d_i) { return factor * d_i; };
            detail::add_to_gradient(scaled, q, loss->d_q);
            detail::add_to_gradient(scaled, context_k, loss->d_context_k);
        },
        q, context_k);
}

}  // namespace fot
