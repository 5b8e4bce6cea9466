/// Two attentions in one: the merged softmax of the Focused Transformer and the gate of the Memorizing Transformer.
///
/// A query has attended to two sets of keys apart (say memory and local context), and each gave heads and a log-sum-exp. Then
///
///     merged:  o = g o_memory + (1 - g) o_local    with  g = sigmoid(log_sum_exp_memory - log_sum_exp_local)
///     gated:   o = g o_memory + (1 - g) o_local    with  g = sigmoid(b_h), b learned, one per head
///
/// The first line IS softmax over both sets together. So the two ways differ only in where the gate comes from: from the scores of
/// each query, or from one number per head.
///
/// Source: paper section 3.1 (merged) and Memorizing Transformers, Wu et al. 2022 (gated).
/// Read first: attention/memory_attention.hpp.   Read next: model/transformer.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "fot/attention/crossbatch_attention.hpp"

namespace fot {

/// 1 / (1 + e^-x), without overflow; exactly 0 and 1 at -infinity and infinity.
template <class Real>
Real sigmoid(Real x) {
    return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

namespace detail {

template <class Real>
void require_parts(const Tensor<Real, 4>& a, const Tensor<Real, 3>& a_log_sum_exp, const Tensor<Real, 4>& b,
                   const Tensor<Real, 3>& b_log_sum_exp) {
    require_shape("merge: second o", b, shape_of(a));
    const Shape<3> rows{extent(a, 0), extent(a, 2), extent(a, 1)};
    require_shape("merge: first log_sum_exp", a_log_sum_exp, rows);
    require_shape("merge: second log_sum_exp", b_log_sum_exp, rows);
}

/// Calls f(b, t, h) for every query head, in parallel over (b, h).
template <class Real, class F>
void for_each_query(const Tensor<Real, 4>& o, F&& f) {
    const Index heads = extent(o, 2);
    parallel_for(extent(o, 0) * heads, [&](Index unit) {
        for (Index t = 0; t < extent(o, 1); ++t) f(unit / heads, t, unit % heads);
    });
}

/// The gate of one query: share of part a in softmax over a and b together. Half where both parts are empty (both o are 0).
template <class Real>
Real merging_gate(Real a_log_sum_exp, Real b_log_sum_exp) {
    return a_log_sum_exp == b_log_sum_exp ? Real(0.5) : sigmoid(a_log_sum_exp - b_log_sum_exp);
}

/// log(e^a + e^b), NaN if one of them is.
template <class Real>
Real log_of_sum(Real a, Real b) {
    constexpr Real none = -std::numeric_limits<Real>::infinity();
    if (a == none || b == none) return a == none ? b : a;
    return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

template <class Real>
void require_gated(const Tensor<Real, 4>& memory, const Tensor<Real, 4>& local, const Tensor<Real, 1>& bias,
                   const Tensor<Real, 3>* memory_log_sum_exp) {
    require_shape("gate: local", local, shape_of(memory));
    require_shape("gate: bias", bias, Shape<1>{extent(memory, 2)});
    if (memory_log_sum_exp)
        require_shape("gate: memory_log_sum_exp", *memory_log_sum_exp,
                      Shape<3>{extent(memory, 0), extent(memory, 2), extent(memory, 1)});
}

/// Whether a query has anything to remember; it has if nothing is said.
template <class Real>
bool remembers(const Tensor<Real, 3>* memory_log_sum_exp, Index b, Index h, Index t) {
    return !memory_log_sum_exp || (*memory_log_sum_exp)(b, h, t) != -std::numeric_limits<Real>::infinity();
}

}  // namespace detail

/// Softmax over the keys of both parts together, from the results of each.
///
/// Shapes: o (B,T,H,E), log_sum_exp (B,H,T) of each part -> the same of the whole. A part without keys has log_sum_exp = -infinity.
/// NaN in either part is NaN in the whole.
/// Errors: ShapeError if the parts do not fit.   Same as: crossbatch_attention with the keys of both parts.
template <class Real>
AttentionResult<Real> merge(const Tensor<Real, 4>& a, const Tensor<Real, 3>& a_log_sum_exp, const Tensor<Real, 4>& b,
                            const Tensor<Real, 3>& b_log_sum_exp) {
    detail::require_parts(a, a_log_sum_exp, b, b_log_sum_exp);
    AttentionResult<Real> whole{empty_like(a), empty_like(a_log_sum_exp)};
    detail::for_each_query(a, [&](Index i, Index t, Index h) {
        const Real gate = detail::merging_gate(a_log_sum_exp(i, h, t), b_log_sum_exp(i, h, t));
        whole.log_sum_exp(i, h, t) = detail::log_of_sum(a_log_sum_exp(i, h, t), b_log_sum_exp(i, h, t));
        const Real *a_row = row(a, i, t, h), *b_row = row(b, i, t, h);
        for (Index e = 0; e < extent(a, 3); ++e) whole.o(i, t, h, e) = gate * a_row[e] + (1 - gate) * b_row[e];
    });
    return whole;
}

/// Gradients of merge, added. With gate g = sigmoid(la - lb), la and lb the log-sum-exp of the parts:
///
///     d_a  += g d_o                                             d_b  += (1-g) d_o
///     d_la +=  g (1-g) <d_o, a - b> + g d_log_sum_exp           d_lb += -g (1-g) <d_o, a - b> + (1-g) d_log_sum_exp
///
/// A null pointer stands for a gradient that is not there (d_log_sum_exp), or that nobody needs.
/// Shapes: as merge; each gradient as what it belongs to.   Errors: ShapeError otherwise.
template <class Real>
void merge_vjp(const Tensor<Real, 4>& a, const Tensor<Real, 3>& a_log_sum_exp, const Tensor<Real, 4>& b,
               const Tensor<Real, 3>& b_log_sum_exp, const Tensor<Real, 4>& d_o,
               const std::type_identity_t<Tensor<Real, 3>>* d_log_sum_exp, Tensor<Real, 4>* d_a, Tensor<Real, 3>* d_a_log_sum_exp,
               Tensor<Real, 4>* d_b, Tensor<Real, 3>* d_b_log_sum_exp) {
    detail::require_parts(a, a_log_sum_exp, b, b_log_sum_exp);
    if (d_log_sum_exp) require_shape("merge vjp: d_log_sum_exp", *d_log_sum_exp, shape_of(a_log_sum_exp));
    require_shape("merge vjp: d_o", d_o, shape_of(a));
    if (d_a) require_shape("merge vjp: d_a", *d_a, shape_of(a));
    if (d_b) require_shape("merge vjp: d_b", *d_b, shape_of(b));
    if (d_a_log_sum_exp) require_shape("merge vjp: d_a_log_sum_exp", *d_a_log_sum_exp, shape_of(a_log_sum_exp));
    if (d_b_log_sum_exp) require_shape("merge vjp: d_b_log_sum_exp", *d_b_log_sum_exp, shape_of(b_log_sum_exp));
    detail::for_each_query(a, [&](Index i, Index t, Index h) {
        const Real gate = detail::merging_gate(a_log_sum_exp(i, h, t), b_log_sum_exp(i, h, t));
        Real d_gate = 0;
        for (Index e = 0; e < extent(a, 3); ++e) {
            d_gate += d_o(i, t, h, e) * (a(i, t, h, e) - b(i, t, h, e));
            if (d_a) (*d_a)(i, t, h, e) += gate * d_o(i, t, h, e);
            if (d_b) (*d_b)(i, t, h, e) += (1 - gate) * d_o(i, t, h, e);
        }
        const Real through_gate = gate * (1 - gate) * d_gate, d_whole = d_log_sum_exp ? (*d_log_sum_exp)(i, h, t) : Real(0);
        if (d_a_log_sum_exp) (*d_a_log_sum_exp)(i, h, t) += through_gate + gate * d_whole;
        if (d_b_log_sum_exp) (*d_b_log_sum_exp)(i, h, t) += -through_gate + (1 - gate) * d_whole;
    });
}

/// merge on the tape.
template <class Real>
Attention<Real> merge(Tape& tape, const Attention<Real>& a, const Attention<Real>& b) {
    return detail::record_attention(
        tape, merge(a.o.value(), a.log_sum_exp.value(), b.o.value(), b.log_sum_exp.value()),
        [=](const Tensor<Real, 4>&, const Tensor<Real, 3>&, const Tensor<Real, 4>& d_o, const Tensor<Real, 3>* d_log_sum_exp) {
            merge_vjp(a.o.value(), a.log_sum_exp.value(), b.o.value(), b.log_sum_exp.value(), d_o, d_log_sum_exp,
                      a.o.needed_gradient(), a.log_sum_exp.needed_gradient(), b.o.needed_gradient(),
                      b.log_sum_exp.needed_gradient());
        },
        a.o, a.log_sum_exp, b.o, b.log_sum_exp);
}

/// The learned gate: o[b,t,h] = g_h memory[b,t,h] + (1 - g_h) local[b,t,h] with g_h = sigmoid(bias_h). Where the log-sum-exp of the
/// memory is given and is -infinity, nothing is remembered: o = local there.
///
/// Shapes: memory, local (B,T,H,E), bias (H), memory_log_sum_exp (B,H,T) or null -> (B,T,H,E).
/// Errors: ShapeError if they do not fit.
template <class Real>
Tensor<Real, 4> gate(const Tensor<Real, 4>& memory, const Tensor<Real, 4>& local, const Tensor<Real, 1>& bias,
                     const std::type_identity_t<Tensor<Real, 3>>* memory_log_sum_exp = nullptr) {
    detail::require_gated(memory, local, bias, memory_log_sum_exp);
    Tensor<Real, 4> o = empty_like(memory);
    detail::for_each_query(o, [&](Index b, Index t, Index h) {
        const Real g = detail::remembers(memory_log_sum_exp, b, h, t) ? sigmoid(bias(h)) : Real(0);
        for (Index e = 0; e < extent(o, 3); ++e) o(b, t, h, e) = g * memory(b, t, h, e) + (1 - g) * local(b, t, h, e);
    });
    return o;
}

/// Gradients of gate, added: d_bias_h += g (1-g) sum <d_o, memory - local>. A null pointer stands for a gradient that nobody needs.
/// Shapes: as gate; each gradient as what it belongs to.   Errors: ShapeError otherwise.
template <class Real>
void gate_vjp(const Tensor<Real, 4>& memory, const Tensor<Real, 4>& local, const Tensor<Real, 1>& bias, const Tensor<Real, 4>& d_o,
              Tensor<Real, 4>* d_memory, Tensor<Real, 4>* d_local, Tensor<Real, 1>* d_bias,
              const std::type_identity_t<Tensor<Real, 3>>* memory_log_sum_exp = nullptr) {
    detail::require_gated(memory, local, bias, memory_log_sum_exp);
    require_shape("gate vjp: d_o", d_o, shape_of(memory));
    if (d_memory) require_shape("gate vjp: d_memory", *d_memory, shape_of(memory));
    if (d_local) require_shape("gate vjp: d_local", *d_local, shape_of(memory));
    if (d_bias) require_shape("gate vjp: d_bias", *d_bias, shape_of(bias));
    for (Index h = 0; h < extent(memory, 2); ++h) {
        const Real learned = sigmoid(bias(h));
        double d_gate = 0;
        for (Index b = 0; b < extent(memory, 0); ++b)
            for (Index t = 0; t < extent(memory, 1); ++t) {
                const bool remembered = detail::remembers(memory_log_sum_exp, b, h, t);
                const Real g = remembered ? learned : Real(0);
                for (Index e = 0; e < extent(memory, 3); ++e) {
                    if (remembered) d_gate += static_cast<double>(d_o(b, t, h, e) * (memory(b, t, h, e) - local(b, t, h, e)));
                    if (d_memory) (*d_memory)(b, t, h, e) += g * d_o(b, t, h, e);
                    if (d_local) (*d_local)(b, t, h, e) += (1 - g) * d_o(b, t, h, e);
                }
            }
        if (d_bias) (*d_bias)(h) += static_cast<Real>(static_cast<double>(learned * (1 - learned)) * d_gate);
    }
}

/// gate on the tape.
template <class Real>
Variable<Real, 4> gate(Tape& tape, const Variable<Real, 4>& memory, const Variable<Real, 4>& local, const Variable<Real, 1>& bias) {
    return tape.record(
        gate(memory.value(), local.value(), bias.value()),
        [=](const Tensor<Real, 4>& d_o) {
            gate_vjp(memory.value(), local.value(), bias.value(), d_o, memory.needed_gradient(), local.needed_gradient(),
                     bias.needed_gradient());
        },
        memory, local, bias);
}

/// gate of two attentions: a query that remembers nothing keeps its local attention.
template <class Real>
Variable<Real, 4> gate(Tape& tape, const Attention<Real>& memory, const Attention<Real>& local, const Variable<Real, 1>& bias) {
    return tape.record(
        gate(memory.o.value(), local.o.value(), bias.value(), &memory.log_sum_exp.value()),
        [=](const Tensor<Real, 4>& d_o) {
            gate_vjp(memory.o.value(), local.o.value(), bias.value(), d_o, memory.o.needed_gradient(), local.o.needed_gradient(),
                     bias.needed_gradient(), &memory.log_sum_exp.value());
        },
        memory.o, local.o, bias);
}

}  // namespace fot
