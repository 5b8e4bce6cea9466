/// Memory attention: each query attends to the k entries of a memory that look most like it, and to its local context.
///
///     M_top = the k entries of M with the largest <q, key>                            (exact, per query and head)
///     o = sum over (key, value) in M_top and C_{<=q} of softmax(scale <q, key>) value
///
/// The search is memory/key_value_memory.hpp. Here is attention of each query to pairs of its own (retrieved_attention), to the
/// whole of a memory, and to the k entries that the search finds in it (both memory_attention). Putting it together with the local
/// attention is left to attention/gate.hpp: `merge` makes one softmax of the two, `gate` mixes them as the Memorizing Transformer
/// does.
///
/// Source: paper section 3.1.
/// Read first: attention/crossbatch_attention.hpp, memory/key_value_memory.hpp.   Read next: attention/gate.hpp.
#pragma once

#include <type_traits>
#include <utility>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/memory/key_value_memory.hpp"

namespace fot {

namespace detail {

template <class Real>
void require_retrieved(const Tensor<Real, 4>& q, const Tensor<Real, 5>& keys, const Tensor<Real, 5>& values, Real scale) {
    const Shape<4> shape = shape_of(q);
    require_shape("retrieved_attention: keys", keys, Shape<5>{shape[0], shape[1], shape[2], -1, shape[3]});
    require_shape("retrieved_attention: values", values, Shape<5>{shape[0], shape[1], shape[2], extent(keys, 3), -1});
    require<ConfigError>(scale > Real(0), "retrieved_attention: scale is ", scale, ", expected above 0");
}

}  // namespace detail

/// Attention of each query to pairs of its own, such as those a search retrieved for it.
///
/// Shapes: q (B,T,H,D), keys (B,T,H,K,D), values (B,T,H,K,E) -> o (B,T,H,E), log_sum_exp (B,H,T). K = 0: zeros and -infinity.
/// Cost:   2 B T H K D multiply-adds.
/// Errors: ShapeError if the pairs do not fit the queries; ConfigError if the scale is not above 0.
/// Same as: memory attention over all of M, when the K pairs are M.
template <class Real>
AttentionResult<Real> retrieved_attention(const Tensor<Real, 4>& q, const Tensor<Real, 5>& keys, const Tensor<Real, 5>& values,
                                          Real scale = 1) {
    const Shape<4> shape = shape_of(q);
    detail::require_retrieved(q, keys, values, scale);
    AttentionResult<Real> result{empty<Real, 4>({shape[0], shape[1], shape[2], extent(values, 4)}),
                                 empty<Real, 3>({shape[0], shape[2], shape[1]})};
    parallel_for(shape[0] * shape[2], [&](Index unit) {
        const Index b = unit / shape[2], h = unit % shape[2];
        for (Index t = 0; t < shape[1]; ++t) {
            // The K keys of one query are a context of one query.
            RunningSoftmax<Real> softmax({row(q, b, t, h), 1, shape[3], shape[3]}, extent(values, 4), scale);
            softmax.attend({row(keys, b, t, h), extent(keys, 3), shape[3], shape[3]},
                           {row(values, b, t, h), extent(values, 3), extent(values, 4), extent(values, 4)});
            softmax.write(HeadView<Real>{row(result.o, b, t, h), 1, extent(values, 4), extent(values, 4)});
            result.log_sum_exp(b, h, t) = softmax.log_sum_exp(0);
        }
    });
    return result;
}

/// Gradients of retrieved_attention, added. A null pointer stands for a gradient that is not there (d_log_sum_exp), or that nobody
/// needs: the Memorizing Transformer drops those of retrieved keys and values.
/// Shapes: as retrieved_attention; each gradient as what it belongs to.   Errors: as retrieved_attention; ShapeError otherwise.
template <class Real>
void retrieved_attention_vjp(const Tensor<Real, 4>& q, const Tensor<Real, 5>& keys, const Tensor<Real, 5>& values, Real scale,
                             const Tensor<Real, 4>& o, const Tensor<Real, 3>& log_sum_exp, const Tensor<Real, 4>& d_o,
                             const std::type_identity_t<Tensor<Real, 3>>* d_log_sum_exp, Tensor<Real, 4>* d_q,
                             Tensor<Real, 5>* d_keys, Tensor<Real, 5>* d_values) {
    const Shape<4> shape = shape_of(q);
    const Index count = extent(keys, 3), width = shape[3], value_width = extent(values, 4);
    const Shape<3> of_queries{shape[0], shape[2], shape[1]};
    detail::require_retrieved(q, keys, values, scale);
    require_shape("retrieved_attention vjp: o", o, Shape<4>{shape[0], shape[1], shape[2], value_width});
    require_shape("retrieved_attention vjp: log_sum_exp", log_sum_exp, of_queries);
    if (d_log_sum_exp) require_shape("retrieved_attention vjp: d_log_sum_exp", *d_log_sum_exp, of_queries);
    require_shape("retrieved_attention vjp: d_o", d_o, shape_of(o));
    if (d_q) require_shape("retrieved_attention vjp: d_q", *d_q, shape);
    if (d_keys) require_shape("retrieved_attention vjp: d_keys", *d_keys, shape_of(keys));
    if (d_values) require_shape("retrieved_attention vjp: d_values", *d_values, shape_of(values));
    parallel_for(shape[0] * shape[2], [&](Index unit) {
        const Index b = unit / shape[2], h = unit % shape[2];
        for (Index t = 0; t < shape[1]; ++t) {
            Real delta = d_log_sum_exp ? -(*d_log_sum_exp)(b, h, t) : Real(0);
            for (Index e = 0; e < value_width; ++e) delta += d_o(b, t, h, e) * o(b, t, h, e);
            softmax_attention_vjp<Real>({row(q, b, t, h), 1, width, width}, {row(keys, b, t, h), count, width, width},
                                        {row(values, b, t, h), count, value_width, value_width}, scale, {}, &log_sum_exp(b, h, t),
                                        &delta, {row(d_o, b, t, h), 1, value_width, value_width},
                                        {d_q ? row(*d_q, b, t, h) : nullptr, 1, width, width},
                                        {d_keys ? row(*d_keys, b, t, h) : nullptr, count, width, width},
                                        {d_values ? row(*d_values, b, t, h) : nullptr, count, value_width, value_width});
        }
    });
}

/// retrieved_attention on the tape. Constants get no gradient: the keys and values of the Memorizing Transformer.
template <class Real>
Attention<Real> retrieved_attention(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 5>& keys,
                                    const Variable<Real, 5>& values, Real scale = 1) {
    return detail::record_attention(
        tape, retrieved_attention(q.value(), keys.value(), values.value(), scale),
        [=](const Tensor<Real, 4>& o, const Tensor<Real, 3>& log_sum_exp, const Tensor<Real, 4>& d_o,
            const Tensor<Real, 3>* d_log_sum_exp) {
            retrieved_attention_vjp(q.value(), keys.value(), values.value(), scale, o, log_sum_exp, d_o, d_log_sum_exp,
                                    q.needed_gradient(), keys.needed_gradient(), values.needed_gradient());
        },
        q, keys, values);
}

/// Attention to the whole of a memory, block by block as it is stored; without gradients.
///
/// Shapes: q (1,T,H,D), a memory of G heads of width D, G divides H -> o (1,T,H,D), log_sum_exp (1,H,T).
/// Cost:   2 T H M D multiply-adds and T H M exponentials.
/// Errors: ShapeError if q does not fit the memory; ConfigError if the scale is not above 0.
/// Same as: crossbatch_attention without local keys and with the memory as the context.
template <class Real>
AttentionResult<Real> memory_attention(const Tensor<Real, 4>& q, const KeyValueMemory<Real>& memory, Real scale = 1) {
    const Index queries = extent(q, 1), heads = extent(q, 2), width = extent(q, 3);
    require_shape("memory_attention: q", q, Shape<4>{1, -1, -1, memory.width()});
    require<ShapeError>(heads % memory.heads() == 0, "memory_attention: q has ", heads, " heads, no multiple of the ",
                        memory.heads(), " of the memory");
    require<ConfigError>(scale > Real(0), "memory_attention: scale is ", scale, ", expected above 0");
    const Index group = heads / memory.heads();
    AttentionResult<Real> result{empty<Real, 4>({1, queries, heads, width}), empty<Real, 3>({1, heads, queries})};
    parallel_for(heads, [&](Index h) {
        RunningSoftmax<Real> softmax(head_view(q, 0, h), width, scale);
        memory.for_each_block(
            h / group, [&](const auto& keys, const auto& values, Index) { softmax.attend(head_view(keys), head_view(values)); });
        softmax.write(head_view(result.o, 0, h));
        for (Index t = 0; t < queries; ++t) result.log_sum_exp(0, h, t) = softmax.log_sum_exp(t);
    });
    return result;
}

/// Attention to the `top_k` best entries of a memory for each query and head, or (top_k 0) to all of it. The memory is constant:
/// with a top_k above 0 gradients reach the queries, with 0 none do.
///
/// Shapes, errors: as above, and those of KeyValueMemory::retrieve.   Cost: T H M D multiply-adds of search, then 2 T H top_k D.
template <class Real>
Attention<Real> memory_attention(Tape& tape, const Variable<Real, 4>& q, const KeyValueMemory<Real>& memory, Index top_k,
                                 Real scale = 1) {
    if (top_k == 0) {
        AttentionResult<Real> all = memory_attention(q.value(), memory, scale);
        return {Variable<Real, 4>(std::move(all.o)), Variable<Real, 3>(std::move(all.log_sum_exp))};
    }
    require_shape("memory_attention: q", q.value(), Shape<4>{1, -1, -1, memory.width()});
    RetrievedEntries<Real> found = memory.retrieve(q.value(), 0, top_k);
    return retrieved_attention(tape, q, Variable<Real, 5>(std::move(found.keys)), Variable<Real, 5>(std::move(found.values)),
                               scale);
}

}  // namespace fot
