/// Crossbatch attention: local keys, own previous context and other documents in one softmax, differentiably.
///
/// This is the training side of the Focused Transformer (paper section 3.2). In inference a memory layer attends to keys of many
/// documents at once; here it learns to do so from the batch, with gradients into ALL keys and values, the previous and the
/// negative ones too. There is no new parameter and no extra loss: softmax under the next-token loss is itself the contrast.
///
/// Who sees which contexts is a ContextTable, so the paper's form, the released code's packed form and lists by hand are all this
/// one function. Positions are the caller's: rotate q and k, and hand over context keys as they are (position 0, the identity
/// rotation) or rotate nothing.
///
/// Read first: attention/contexts.hpp, attention/softmax.hpp.   Read next: attention/memory_attention.hpp.
#pragma once

#include <memory>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/attention/contexts.hpp"
#include "fot/attention/softmax.hpp"
#include "fot/attention/visiting_rounds.hpp"
#include "fot/core/autograd.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

/// What varies between uses of attention.
template <class Real>
struct AttentionOptions {
    Real scale = 1;                           ///< multiplies <q, k>; our models put temperature or 1/sqrt(D) into q: 1
    std::vector<Index> query_positions = {};  ///< (T) place of each query among the local keys; empty: the last T of them
    Tensor<Real, 3> local_bias = {};          ///< (B, T, local keys) added to local scores (padding, as -1e6); empty: none
    bool causal = true;                       ///< false: a query sees all local keys, later ones too
};

/// What attention gives back: the heads, and the log-sum-exp of each query's scores, (B,H,T).
template <class Real>
struct AttentionResult {
    Tensor<Real, 4> o;            ///< (B,T,H,D) the heads' outputs
    Tensor<Real, 3> log_sum_exp;  ///< (B,H,T) log of each softmax's denominator
};

namespace detail {

/// Checks the shapes of a call and answers what depends on them.
template <class Real>
class AttentionShapes {
   public:
    AttentionShapes(const Tensor<Real, 4>& q, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v, const Tensor<Real, 4>& context_k,
                    const Tensor<Real, 4>& context_v, const ContextTable& table, const AttentionOptions<Real>& options)
        : entries(extent(q, 0)), queries(extent(q, 1)), heads(extent(q, 2)), key_heads(extent(k, 2)), options_(options) {
        require_shape("attention: k", k, Shape<4>{entries, -1, -1, extent(q, 3)});
        require_shape("attention: v", v, Shape<4>{entries, extent(k, 1), key_heads, -1});
        require<ShapeError>(key_heads > 0 && heads % key_heads == 0, "attention: q has ", heads, " heads, no multiple of the ",
                            key_heads, " heads of k (grouped-query attention)");
        require<ConfigError>(options.scale > Real(0), "attention: scale is ", options.scale, ", expected above 0");
        require_valid(table, entries);
        if (table.most_contexts() > 0) {
            require_shape("attention: context_k", context_k, Shape<4>{table.sources, -1, key_heads, extent(q, 3)});
            require_shape("attention: context_v", context_v,
                          Shape<4>{table.sources, extent(context_k, 1), key_heads, extent(v, 3)});
        }
        const Index local = extent(k, 1);
        if (options.local_bias.size())
            require_shape("attention: local_bias", options.local_bias, Shape<3>{entries, queries, local});
        last_visible_ = options.query_positions;
        if (last_visible_.empty() && options.causal) {
            require<ShapeError>(queries <= local, "attention: ", queries, " queries at the end of ", local, " local keys");
            last_visible_.resize(static_cast<std::size_t>(queries));
            std::iota(last_visible_.begin(), last_visible_.end(), local - queries);
        }
        require<ShapeError>(!options.causal || static_cast<Index>(last_visible_.size()) == queries,
                            "attention: ", last_visible_.size(), " query positions for ", queries, " queries");
        for (const Index position : last_visible_)
            require<ConfigError>(position >= 0 && position < local, "attention: query position ", position, " among ", local,
                                 " local keys");
    }

    Index key_head(Index head) const { return head / (heads / key_heads); }

    Visibility<Real> local_visibility(Index entry) const {
        Visibility<Real> visibility;
        if (options_.causal) visibility.last_visible = last_visible_.data();
        if (options_.local_bias.size()) {
            visibility.bias = row(options_.local_bias, entry);
            visibility.bias_leading = extent(options_.local_bias, 2);
        }
        return visibility;
    }

    Index entries, queries, heads, key_heads;

   private:
    const AttentionOptions<Real>& options_;
    std::vector<Index> last_visible_;
};

}  // namespace detail

/// Attention of each entry to its own local keys and to the contexts that the table gives it.
///
///     o[b,t,h] = sum over x in local(b, <= t) and contexts(b) of softmax_x(scale <q[b,t,h], k_x>) v_x
///
/// Source: paper section 3.2 (crossbatch) and 3.1 (merged softmax); departs from it in: nothing.
/// Shapes: q (B,T,H,D), k (B,U,G,D), v (B,U,G,E), context_k (P,S,G,D), context_v (P,S,G,E) -> o (B,T,H,E), log_sum_exp (B,H,T).
///         U >= T local keys; query t stands at local key U - T + t, or where query_positions says. G divides H (grouped queries).
/// Cost:   2 B H T (C S + T/2) D multiply-adds; scratch of T D numbers per (b, h) that is at work, whatever the number of contexts.
/// Errors: ShapeError for wrong shapes, ConfigError for a context out of range or a scale that is not above 0.
/// Same as: causal_attention when the table is empty; attention to the concatenated keys in any case.
template <class Real>
AttentionResult<Real> crossbatch_attention(const Tensor<Real, 4>& q, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v,
                                           const Tensor<Real, 4>& context_k, const Tensor<Real, 4>& context_v,
                                           const ContextTable& table, const AttentionOptions<Real>& options = {}) {
    const detail::AttentionShapes<Real> shapes(q, k, v, context_k, context_v, table, options);
    AttentionResult<Real> result{empty<Real, 4>({shapes.entries, shapes.queries, shapes.heads, extent(v, 3)}),
                                 empty<Real, 3>({shapes.entries, shapes.heads, shapes.queries})};
    parallel_for(shapes.entries * shapes.heads, [&](Index unit) {
        const Index b = unit / shapes.heads, h = unit % shapes.heads, g = shapes.key_head(h);
        RunningSoftmax<Real> softmax(head_view(q, b, h), extent(v, 3), options.scale);
        softmax.attend(head_view(k, b, g), head_view(v, b, g), shapes.local_visibility(b));
        for (const Index context : table.contexts[static_cast<std::size_t>(b)])
            softmax.attend(head_view(context_k, context, g), head_view(context_v, context, g));
        softmax.write(head_view(result.o, b, h));
        for (Index t = 0; t < shapes.queries; ++t) result.log_sum_exp(b, h, t) = softmax.log_sum_exp(t);
    });
    return result;
}

/// Gradients of crossbatch_attention, added to d_q ... d_context_v, given those of o and (if not null) of log_sum_exp. A null
/// pointer stands for a gradient that nobody needs.
///
/// Contexts are visited in rounds (attention/visiting_rounds.hpp), after the local keys: sums come out the same for any number of
/// threads.
/// Shapes: as crossbatch_attention; each gradient as what it belongs to.
/// Cost:   5/2 of the forward pass, 1/2 less for each of the three kinds (q, keys, values) left out; probabilities are made again,
///         never stored.
/// Errors: as crossbatch_attention; ShapeError if a result or a gradient has another shape than what it belongs to.
template <class Real>
void crossbatch_attention_vjp(const Tensor<Real, 4>& q, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v,
                              const Tensor<Real, 4>& context_k, const Tensor<Real, 4>& context_v, const ContextTable& table,
                              const AttentionOptions<Real>& options, const Tensor<Real, 4>& o, const Tensor<Real, 3>& log_sum_exp,
                              const Tensor<Real, 4>& d_o, const std::type_identity_t<Tensor<Real, 3>>* d_log_sum_exp,
                              Tensor<Real, 4>* d_q, Tensor<Real, 4>* d_k, Tensor<Real, 4>* d_v, Tensor<Real, 4>* d_context_k,
                              Tensor<Real, 4>* d_context_v) {
    const detail::AttentionShapes<Real> shapes(q, k, v, context_k, context_v, table, options);
    const Shape<3> of_queries{shapes.entries, shapes.heads, shapes.queries};
    require_shape("attention vjp: o", o, {shapes.entries, shapes.queries, shapes.heads, extent(v, 3)});
    require_shape("attention vjp: log_sum_exp", log_sum_exp, of_queries);
    if (d_log_sum_exp) require_shape("attention vjp: d_log_sum_exp", *d_log_sum_exp, of_queries);
    require_shape("attention vjp: d_o", d_o, shape_of(o));
    if (d_q) require_shape("attention vjp: d_q", *d_q, shape_of(q));
    if (d_k) require_shape("attention vjp: d_k", *d_k, shape_of(k));
    if (d_v) require_shape("attention vjp: d_v", *d_v, shape_of(v));
    if (d_context_k) require_shape("attention vjp: d_context_k", *d_context_k, shape_of(context_k));
    if (d_context_v) require_shape("attention vjp: d_context_v", *d_context_v, shape_of(context_v));
    const Index group = shapes.heads / shapes.key_heads;

    Tensor<Real, 3> delta = empty_like(log_sum_exp);  // <d_o, o> - d_log_sum_exp
    parallel_for(shapes.entries * shapes.heads, [&](Index unit) {
        const Index b = unit / shapes.heads, h = unit % shapes.heads;
        const HeadView<const Real> o_bh = head_view(o, b, h), d_o_bh = head_view(d_o, b, h);
        for (Index t = 0; t < shapes.queries; ++t) {
            Real sum = d_log_sum_exp ? -(*d_log_sum_exp)(b, h, t) : Real(0);
            for (Index e = 0; e < o_bh.width; ++e) sum += d_o_bh.at(t)[e] * o_bh.at(t)[e];
            delta(b, h, t) = sum;
        }
    });

    // One visit: all query heads of group g of entry b, the keys and values of row `at` of the given tensors.
    const auto wanted = [](Tensor<Real, 4>* d_x, Index entry, Index head) {
        return d_x ? head_view(*d_x, entry, head) : HeadView<Real>{};
    };
    const auto visit = [&](Index b, Index g, const Tensor<Real, 4>& keys, const Tensor<Real, 4>& values, Index at,
                           const Visibility<Real>& visibility, Tensor<Real, 4>* d_keys, Tensor<Real, 4>* d_values) {
        for (Index h = g * group; h < (g + 1) * group; ++h)
            softmax_attention_vjp<Real>(head_view(q, b, h), head_view(keys, at, g), head_view(values, at, g), options.scale,
                                        visibility, row(log_sum_exp, b, h), row(delta, b, h), head_view(d_o, b, h),
                                        wanted(d_q, b, h), wanted(d_keys, at, g), wanted(d_values, at, g));
    };
    parallel_for(shapes.entries * shapes.key_heads, [&](Index unit) {
        const Index b = unit / shapes.key_heads, g = unit % shapes.key_heads;
        visit(b, g, k, v, b, shapes.local_visibility(b), d_k, d_v);
    });
    for (const std::vector<Visit>& round : visiting_rounds(table))
        parallel_for(static_cast<Index>(round.size()) * shapes.key_heads, [&](Index unit) {
            const Visit& at = round[static_cast<std::size_t>(unit / shapes.key_heads)];
            visit(at.entry, unit % shapes.key_heads, context_k, context_v, at.context, {}, d_context_k, d_context_v);
        });
}

/// Attention on the tape: the heads and the log-sum-exp, both differentiable.
template <class Real>
struct Attention {
    Variable<Real, 4> o;            ///< (B,T,H,D) the heads' outputs
    Variable<Real, 3> log_sum_exp;  ///< (B,H,T) log of each softmax's denominator
};

namespace detail {

/// Puts the result of an attention on the tape. `backward(o, log_sum_exp, d_o, d_log_sum_exp)` is called once for both; its last
/// argument is null if no gradient came to the log-sum-exp.
template <class Real, class Backward, class... Inputs>
Attention<Real> record_attention(Tape& tape, AttentionResult<Real> result, Backward backward, const Inputs&... inputs) {
    Attention<Real> attention;
    const auto log_sum_exp = std::make_shared<Variable<Real, 3>>();
    attention.o = tape.record(
        std::move(result.o),
        [=](const Tensor<Real, 4>& o, const Tensor<Real, 4>& d_o) {
            backward(o, log_sum_exp->value(), d_o, log_sum_exp->has_gradient() ? &log_sum_exp->gradient() : nullptr);
        },
        inputs...);
    // Replayed before the step of o, which only runs if o has a gradient: here it gets one, if need be of zeros.
    *log_sum_exp = tape.record(
        std::move(result.log_sum_exp), [o = attention.o](const Tensor<Real, 3>&) { o.gradient(); }, inputs...);
    attention.log_sum_exp = *log_sum_exp;
    return attention;
}

}  // namespace detail

/// crossbatch_attention on the tape; constants get no gradient. `context_k` and `context_v` may be empty handles if the table is
/// empty.   Errors: as crossbatch_attention.
template <class Real>
Attention<Real> crossbatch_attention(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& k, const Variable<Real, 4>& v,
                                     const Variable<Real, 4>& context_k, const Variable<Real, 4>& context_v,
                                     const ContextTable& table, const AttentionOptions<Real>& options = {}) {
    const Variable<Real, 4> none(Tensor<Real, 4>{});
    const Variable<Real, 4> ck = context_k ? context_k : none, cv = context_v ? context_v : none;
    return detail::record_attention(
        tape, crossbatch_attention(q.value(), k.value(), v.value(), ck.value(), cv.value(), table, options),
        [=](const Tensor<Real, 4>& o, const Tensor<Real, 3>& log_sum_exp, const Tensor<Real, 4>& d_o,
            const Tensor<Real, 3>* d_log_sum_exp) {
            crossbatch_attention_vjp(q.value(), k.value(), v.value(), ck.value(), cv.value(), table, options, o, log_sum_exp, d_o,
                                     d_log_sum_exp, q.needed_gradient(), k.needed_gradient(), v.needed_gradient(),
                                     ck.needed_gradient(), cv.needed_gradient());
        },
        q, k, v, ck, cv);
}

/// Attention to contexts alone, without the local context: one part of a gated memory layer.
template <class Real>
Attention<Real> context_attention(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& context_k,
                                  const Variable<Real, 4>& context_v, const ContextTable& table, Real scale = 1) {
    const Index entries = extent(q.value(), 0), heads = extent(context_k.value(), 2);
    const Variable<Real, 4> no_keys(empty<Real, 4>({entries, 0, heads, extent(context_k.value(), 3)}));
    const Variable<Real, 4> no_values(empty<Real, 4>({entries, 0, heads, extent(context_v.value(), 3)}));
    return crossbatch_attention(tape, q, no_keys, no_values, context_k, context_v, table,
                                AttentionOptions<Real>{.scale = scale, .causal = false});
}

}  // namespace fot
