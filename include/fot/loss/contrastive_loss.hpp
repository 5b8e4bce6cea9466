/// An explicit contrastive loss on a memory layer: multi-positive InfoNCE over contexts.
///
///     loss = mean over queries of  -log( sum over positive contexts of exp(L_c) / sum over all contexts of exp(L_c) )
///
/// with L_c the log-sum-exp of the query's scores with context c (attention/context_mass.hpp). So its value is -log of the positive
/// attention mass: exp(-loss) is the geometric mean of r_d. Every key of a positive context is a positive, every key of another
/// document in the batch is an in-batch negative.
///
/// Crossbatch is the implicit form of the same contrast. There the softmax over positives and negatives stands inside the model,
/// and the next-token loss decides how sharply to contrast: attention to a negative is only punished where it makes the prediction
/// worse, and a positive key is only favoured where its value helps. Here the contrast is the loss itself, whether it helps or not.
///
/// Local keys take no part in it; in crossbatch attention they stand in the softmax beside the contexts. With `hardest` = n the
/// sum in the denominator holds, beside the positives, only the n hardest negatives of each query: the n keys of largest score
/// among all keys of its negative contexts.
///
/// Source: InfoNCE, van den Oord et al. 2018. The paper has no such loss: its training is crossbatch alone.
/// Read first: attention/context_mass.hpp.   Read next: examples/contrastive_loss.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "fot/attention/context_mass.hpp"
#include "fot/core/largest.hpp"
#include "fot/memory/streaming_search.hpp"

namespace fot {

namespace detail {

/// Both kinds of contexts for every entry, and keys in them.
template <class Real>
void require_contrast(const char* who, const Tensor<Real, 4>& q, const Tensor<Real, 4>& context_k, const ContextTable& table) {
    require_valid(table, extent(q, 0));
    for (std::size_t b = 0; b < table.contexts.size(); ++b)
        require<ConfigError>(table.positives[b] >= 1 && table.positives[b] < static_cast<Index>(table.contexts[b].size()), who,
                             ": entry ", b, " has ", table.positives[b], " positives among ", table.contexts[b].size(),
                             " contexts, expected some of each kind");
    require<ShapeError>(extent(context_k, 1) >= 1, who, ": contexts without keys");
}

}  // namespace detail

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
///         entry has no positive or no negative, or the scale is not above 0; NumericError if a score is NaN or infinite.
template <class Real>
ContrastiveLoss<Real> contrastive_loss(const Tensor<Real, 4>& q, const Tensor<Real, 4>& context_k, const ContextTable& table,
                                       Real scale = 1) {
    detail::require_contrast("contrastive_loss", q, context_k, table);
    const Tensor<Real, 4> mass = context_log_mass(q, context_k, table, scale);
    const Index entries = extent(mass, 0), queries = extent(mass, 1), heads = extent(mass, 2);
    const double weight = 1 / static_cast<double>(entries * queries * heads);
    ContrastiveLoss<Real> loss{0, zeros_like(q), zeros_like(context_k)};
    Tensor<Real, 4> d_mass = zeros_like(mass);
    std::vector<double> per_entry(static_cast<std::size_t>(entries));
    parallel_for(entries, [&](Index b) {
        const auto at = static_cast<std::size_t>(b);
        const Index positives = table.positives[at], count = static_cast<Index>(table.contexts[at].size());
        for (Index t = 0; t < queries; ++t)
            for (Index h = 0; h < heads; ++h) {
                const Real* mass_bth = row(mass, b, t, h);
                const double log_all = log_sum_exp(mass_bth, count), log_positive = log_sum_exp(mass_bth, positives);
                per_entry[at] += weight * (log_all - log_positive);
                // d loss / d L_c = share of c among all - share of c among the positives
                for (Index c = 0; c < count; ++c)
                    d_mass(b, t, h, c) = static_cast<Real>(
                        weight * (std::exp(mass_bth[c] - log_all) - (c < positives ? std::exp(mass_bth[c] - log_positive) : 0.0)));
            }
    });
    for (const double part : per_entry) loss.value += part;
    context_log_mass_vjp(q, context_k, table, scale, mass, d_mass, loss.d_q, loss.d_context_k);
    return loss;
}

/// InfoNCE against the `hardest` negative keys of each query only. All of them, or more than there are: the same as
/// contrastive_loss.
///
/// The choice of keys is a constant to the gradient.
/// Shapes: as contrastive_loss.
/// Cost:   as contrastive_loss for the positive contexts; for the negative ones an exact search, and 2 B H T hardest D for the
///         gradient.
/// Errors: as contrastive_loss; ConfigError if hardest < 1.
template <class Real>
ContrastiveLoss<Real> hard_contrastive_loss(const Tensor<Real, 4>& q, const Tensor<Real, 4>& context_k, const ContextTable& table,
                                            Index hardest, Real scale = 1) {
    require<ConfigError>(hardest >= 1, "hard_contrastive_loss: ", hardest, " hardest negatives, expected at least 1");
    detail::require_contrast("hard_contrastive_loss", q, context_k, table);
    ContextTable positive_table = table;  // lists the positives alone
    for (std::size_t b = 0; b < table.contexts.size(); ++b)
        positive_table.contexts[b].resize(static_cast<std::size_t>(table.positives[b]));
    const Tensor<Real, 4> mass = context_log_mass(q, context_k, positive_table, scale);
    const Index entries = extent(q, 0), queries = extent(q, 1), heads = extent(q, 2), width = extent(q, 3),
                rows = extent(context_k, 1);
    const Index key_heads = extent(context_k, 2), group = heads / key_heads;
    const double weight = 1 / static_cast<double>(entries * queries * heads);

    ContrastiveLoss<Real> loss{0, zeros_like(q), zeros_like(context_k)};
    Tensor<Real, 4> d_mass = zeros_like(mass);
    std::vector<double> per_head(static_cast<std::size_t>(key_heads));
    // Keys of one head are touched by all entries: parallel over the heads of the keys, in order within each.
    parallel_for(key_heads, [&](Index g) {
        std::vector<Real> terms;  // of one query: the positive contexts, then the hardest negatives
        for (Index b = 0; b < entries; ++b)
            for (Index h = g * group; h < (g + 1) * group; ++h) {
                const auto at = static_cast<std::size_t>(b);
                std::vector<Index> negative_contexts(table.contexts[at].begin() + table.positives[at], table.contexts[at].end());
                const Index wanted = std::min(hardest, static_cast<Index>(negative_contexts.size()) * rows);
                StreamingSearch<Real> search(matrix(row(q, b, Index(0), h), queries, width, heads * width), wanted);
                std::sort(negative_contexts.begin(), negative_contexts.end());  // a search takes its blocks in ascending order
                for (const Index context : negative_contexts)
                    search.add(matrix(row(context_k, context, Index(0), g), rows, width, key_heads * width), context * rows);
                const SearchResult<Real> negatives = search.result();
                for (Index t = 0; t < queries; ++t) {
                    const Real* mass_bth = row(mass, b, t, h);
                    terms.assign(mass_bth, mass_bth + table.positives[at]);
                    for (Index n = 0; n < extent(negatives.scores, 1); ++n) terms.push_back(scale * negatives.scores(t, n));
                    const double log_positive = log_sum_exp(mass_bth, table.positives[at]),
                                 log_all = log_sum_exp(terms.data(), static_cast<Index>(terms.size()));
                    per_head[static_cast<std::size_t>(g)] += weight * (log_all - log_positive);
                    for (Index c = 0; c < table.positives[at]; ++c)
                        d_mass(b, t, h, c) =
                            static_cast<Real>(weight * (std::exp(mass_bth[c] - log_all) - std::exp(mass_bth[c] - log_positive)));
                    for (Index n = 0; n < extent(negatives.scores, 1); ++n) {
                        const Index key = negatives.indices(t, n);
                        const Real d_score =
                            scale *
                            static_cast<Real>(weight * std::exp(static_cast<double>(scale * negatives.scores(t, n)) - log_all));
                        const Real *k_n = row(context_k, key / rows, key % rows, g), *q_t = row(q, b, t, h);
                        Real *d_k_n = row(loss.d_context_k, key / rows, key % rows, g), *d_q_t = row(loss.d_q, b, t, h);
                        for (Index d = 0; d < width; ++d) {
                            d_q_t[d] += d_score * k_n[d];
                            d_k_n[d] += d_score * q_t[d];
                        }
                    }
                }
            }
    });
    for (const double part : per_head) loss.value += part;
    context_log_mass_vjp(q, context_k, positive_table, scale, mass, d_mass, loss.d_q, loss.d_context_k);
    return loss;
}

/// `weight` times the loss on the tape, to be added to another loss; with `hardest` = 0 against all negatives.
/// Errors: as contrastive_loss and hard_contrastive_loss; ConfigError unless the weight is finite.
template <class Real>
Variable<Real, 1> contrastive_loss(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& context_k,
                                   const ContextTable& table, Index hardest = 0, Real scale = 1, Real weight = 1) {
    require<ConfigError>(std::isfinite(weight), "contrastive_loss: weight ", weight, ", expected a finite number");
    const auto loss = std::make_shared<ContrastiveLoss<Real>>(
        hardest == 0 ? contrastive_loss(q.value(), context_k.value(), table, scale)
                     : hard_contrastive_loss(q.value(), context_k.value(), table, hardest, scale));
    return tape.record(
        full<Real, 1>({1}, weight * static_cast<Real>(loss->value)),
        [=](const Tensor<Real, 1>& d_loss) {
            const auto add_scaled = [&](const Tensor<Real, 4>& from, Tensor<Real, 4>& to) {
                for (std::size_t i = 0; i < from.size(); ++i) to.data()[i] += weight * d_loss(0) * from.data()[i];
            };
            if (q.needs_gradient()) add_scaled(loss->d_q, q.gradient());
            if (context_k.needs_gradient()) add_scaled(loss->d_context_k, context_k.gradient());
        },
        q, context_k);
}

}  // namespace fot
