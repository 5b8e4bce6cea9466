/// How much attention each context gets: the log-sum-exp of a query's scores, context by context.
///
///     L[b,t,h,c] = log sum_s exp(<q[b,t,h], k[context c of b, s, h]>)
///
/// Two things follow from these numbers without a score ever being stored: the positive attention mass r_d, for every d at once,
/// since r_d needs the first d contexts only (measure/positive_mass.hpp); and the explicit contrastive loss
/// (loss/contrastive_loss.hpp).
///
/// Source: paper section 3.3; the inner sums of r_d.
/// Read first: attention/crossbatch_attention.hpp.   Read next: measure/positive_mass.hpp, loss/contrastive_loss.hpp.
#pragma once

#include <limits>
#include <vector>

#include "fot/attention/crossbatch_attention.hpp"

namespace fot {

/// The log-sum-exp of each query's scores with each of its contexts.
///
/// Shapes: q (B,T,H,D), context_k (P,S,G,D) -> (B,T,H,C), C the longest list of the table; -infinity after a shorter list.
/// Cost:   B H T C S D multiply-adds.
/// Errors: ShapeError if the shapes do not fit; ConfigError if the table is not valid for B entries.
template <class Real>
Tensor<Real, 4> context_log_mass(const Tensor<Real, 4>& q, const Tensor<Real, 4>& context_k, const ContextTable& table) {
    detail::require_contexts<Real>("context_log_mass", {q, context_k, context_k}, table);
    const Index heads = extent(q, 2), group = heads / extent(context_k, 2);
    Tensor<Real, 4> mass =
        full<Real, 4>({extent(q, 0), extent(q, 1), heads, table.most_contexts()}, -std::numeric_limits<Real>::infinity());
    parallel_for(extent(q, 0) * heads, [&](Index unit) {
        const Index b = unit / heads, h = unit % heads;
        const std::vector<Index>& list = element(table.contexts, b);
        for (Index c = 0; c < length_of(list); ++c) {
            RunningSoftmax<Real> softmax(head(q, b, h), 0);
            softmax.attend(head(context_k, element(list, c), h / group), {});
            for (Index t = 0; t < extent(q, 1); ++t) mass(b, t, h, c) = softmax.log_sum_exp(t);
        }
    });
    return mass;
}

/// Gradients of context_log_mass, added. It is the gradient of attention with no values and d_log_sum_exp = d_mass:
///
///     d_s = p d_mass with p = exp(s - mass)
///
/// Shapes: as context_log_mass; each gradient as what it belongs to.
/// Cost:   3 B H T C S D multiply-adds; probabilities are made again.
/// Errors: ShapeError if a shape does not fit; ConfigError if the table is not valid for B entries.
template <class Real>
void context_log_mass_vjp(const Tensor<Real, 4>& q, const Tensor<Real, 4>& context_k, const ContextTable& table,
                          const Tensor<Real, 4>& mass, const Tensor<Real, 4>& d_mass, Tensor<Real, 4>& d_q,
                          Tensor<Real, 4>& d_context_k) {
    detail::require_contexts<Real>("context_log_mass", {q, context_k, context_k}, table);
    require_shape("context_log_mass vjp: mass", mass, {extent(q, 0), extent(q, 1), extent(q, 2), table.most_contexts()});
    require_shape("context_log_mass vjp: d_mass", d_mass, shape_of(mass));
    require_shape("context_log_mass vjp: d_q", d_q, shape_of(q));
    require_shape("context_log_mass vjp: d_context_k", d_context_k, shape_of(context_k));
    const Index queries = extent(q, 1), key_heads = extent(context_k, 2), group = extent(q, 2) / key_heads;
    for_each_visit(table, key_heads, &d_q == &d_context_k, [&](const Visit& at, Index g) {
        Tensor<Real, 1> log_sum_exp = empty<Real, 1>({queries}), delta = empty<Real, 1>({queries});
        for (Index h = g * group; h < (g + 1) * group; ++h) {
            for (Index t = 0; t < queries; ++t) {
                log_sum_exp(t) = mass(at.entry, t, h, at.place);
                delta(t) = -d_mass(at.entry, t, h, at.place);
            }
            softmax_attention_vjp<Real>({.q = head(q, at.entry, h),
                                         .keys = head(context_k, at.context, g),
                                         .values = {nullptr, extent(context_k, 1), 0, 0},
                                         .log_sum_exp = log_sum_exp.data(),
                                         .delta = delta.data(),
                                         .d_o = {nullptr, queries, 0, 0},
                                         .d_q = head(d_q, at.entry, h),
                                         .d_keys = head(d_context_k, at.context, g)});
        }
    });
}

}  // namespace fot
