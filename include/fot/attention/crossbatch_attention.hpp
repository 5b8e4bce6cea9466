/// Crossbatch attention: the training side of the Focused Transformer.
///
///     o[b,t,h] = sum over x in local(b, <= t) and contexts(b) of softmax_x(<q[b,t,h], k_x>) v_x
///
/// In inference a memory layer attends to keys of many documents at once. Here it learns to do so from the batch: a query attends
/// to the previous context of the query's own document (positive) and to contexts of other documents (negatives) in one softmax
/// with its local context, and gradients flow into all of these keys and values. There is no new parameter and no extra loss:
/// softmax under the next-token loss is itself the contrast. paper_notes.md ("Conditions") says when training and inference agree
/// exactly.
///
/// `context_attention` is attention to the contexts that the table gives to a batch entry, without local keys. Joined with local
/// attention through the log-sum-exp of both, it is the equation above. The paper's form, the released code's packed form and lists
/// by hand differ only in the table (attention/contexts.hpp).
///
/// Positions are the caller's responsibility: rotate q and the local keys, and pass context keys as they are, at position 0; or
/// rotate nothing.
///
/// Source: paper section 3.2 and appendix B.3, equation (2).
/// Read first: reference/crossbatch.hpp, attention/contexts.hpp, attention/joining.hpp.   Read next: model/contexts_source.hpp.
#pragma once

#include <vector>

#include "fot/attention/causal_attention.hpp"
#include "fot/attention/contexts.hpp"
#include "fot/attention/joining.hpp"
#include "fot/attention/visiting_rounds.hpp"

namespace fot {

namespace detail {

template <class Real>
void require_contexts(const char* what, const AttentionInput<Real>& in, const ContextTable& table) {
    require_valid(table, extent(in.q, 0));
    require_attention_shapes(what, in, table.available);
}

}  // namespace detail

/// Attention of each batch entry to all keys of the contexts that the table gives it.
///
/// Source: paper section 3.2 (crossbatch). No departures.
/// Shapes: q (B,T,H,D), k (P,S,G,D), v (P,S,G,E) of the P contexts -> o (B,T,H,E), log_sum_exp (B,H,T). G divides H.
///         An entry without contexts gets zeros and -infinity.
/// Cost:   2 B H T C S D multiply-adds for C contexts an entry; a thread holds as much as in causal_attention, whatever C is.
/// Errors: ShapeError for wrong shapes, ConfigError for a table that is not valid for B entries.
/// Same as: attention to the concatenated keys of these contexts.
template <class Real>
AttentionResult<Real> context_attention(const AttentionInput<Real>& in, const ContextTable& table) {
    detail::require_contexts("context_attention", in, table);
    const Index heads = extent(in.q, 2), group = heads / extent(in.k, 2);
    AttentionResult<Real> result = detail::unwritten_result(in);
    parallel_for(extent(in.q, 0) * heads, [&](Index unit) {
        const Index b = unit / heads, h = unit % heads;
        RunningSoftmax<Real> softmax(head(in.q, b, h), extent(in.v, 3));
        for (const Index context : element(table.contexts, b))
            softmax.attend(head(in.k, context, h / group), head(in.v, context, h / group));
        softmax.write(head(result.o, b, h), row(result.log_sum_exp, b, h));
    });
    return result;
}

/// Gradients of context_attention, added to those of `d` that are not null: into the queries, and into every key and value of every
/// context, previous and negative ones too.
///
/// Contexts are visited in rounds (attention/visiting_rounds.hpp), so that sums come out the same for any number of threads.
/// Shapes: as context_attention; each gradient as what it belongs to.
/// Cost:   5/2 of the forward pass, 1/2 less for each of the three gradients left out; probabilities are computed again.
/// Errors: as context_attention; ShapeError if an output or a gradient has another shape than what it belongs to.
template <class Real>
void context_attention_vjp(const AttentionInput<Real>& in, const ContextTable& table,
                           const std::type_identity_t<AttentionOutput<Real>>& out,
                           const std::type_identity_t<AttentionOutputGradient<Real>>& d_out,
                           const std::type_identity_t<AttentionGradients<Real>>& d) {
    detail::require_contexts("context_attention", in, table);
    detail::require_gradient_shapes("context_attention", in, out, d_out, d);
    const Tensor<Real, 3> delta = detail::softmax_delta(out, d_out);
    const Index key_heads = extent(in.k, 2), group = extent(in.q, 2) / key_heads;
    const bool one_gradient = d.q && (d.q == d.k || d.q == d.v);
    for_each_visit(table, key_heads, one_gradient, [&](const Visit& at, Index g) {
        for (Index h = g * group; h < (g + 1) * group; ++h)
            softmax_attention_vjp<Real>(detail::softmax_visit(in, out, d_out, delta, d, at.entry, h, at.context, g));
    });
}

/// context_attention on the tape; constants get no gradient.
template <class Real>
Attention<Real> context_attention(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& context_k,
                                  const Variable<Real, 4>& context_v, const ContextTable& table) {
    return detail::record_attention(
        tape, context_attention<Real>({q.value(), context_k.value(), context_v.value()}, table),
        [=](const AttentionOutput<Real>& out, const AttentionOutputGradient<Real>& d_out) {
            context_attention_vjp<Real>(
                {q.value(), context_k.value(), context_v.value()}, table, out, d_out,
                {.q = q.needed_gradient(), .k = context_k.needed_gradient(), .v = context_v.needed_gradient()});
        },
        q, context_k, context_v);
}

/// The whole equation: local keys and contexts in one softmax. (A memory layer does the same step by step, model/memory_layer.hpp.)
/// Same as: reference::crossbatch_attention; causal_attention if the table gives no entry a context.
template <class Real>
Attention<Real> crossbatch_attention(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& k, const Variable<Real, 4>& v,
                                     const Variable<Real, 4>& context_k, const Variable<Real, 4>& context_v,
                                     const ContextTable& table) {
    const Attention<Real> local = causal_attention(tape, q, k, v),
                          further = context_attention(tape, q, context_k, context_v, table);
    return merge(tape, further, local);
}

}  // namespace fot
