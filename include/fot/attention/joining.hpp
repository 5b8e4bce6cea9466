/// Two attentions in one: the single softmax of the Focused Transformer, and the gate of the Memorizing Transformer.
///
/// A query has attended to two sets of keys separately, say memory and local context, and each gave a result and a log-sum-exp per
/// head. Then
///
///     o = g o_memory + (1 - g) o_local
///
///     one softmax:   g = sigmoid(log_sum_exp_memory - log_sum_exp_local)
///     gate:          g = sigmoid(logit), learned: one number per head, or one per query
///
/// With the first g, o IS softmax attention over both sets together, if no key is in both. So the two ways differ only in where the
/// gate comes from: from the scores, or from a parameter. A query that found nothing in the memory keeps its local attention, in
/// both. Why separate attentions at all: local keys are masked and differentiable, a memory's are searched and constant, and each
/// has a fast function of its own.
///
/// Source: paper appendix B.2, equation (1) for one softmax, the unnumbered equation after it for the gate (Wu et al. 2022).
/// Read first: attention/causal_attention.hpp.   Read next: attention/crossbatch_attention.hpp, attention/memory_attention.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "fot/attention/attention.hpp"
#include "fot/core/simd.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

namespace detail {

/// 1 / (1 + e^-x), without overflow; exactly 0 and 1 at -infinity and infinity.
template <class Real>
Real logistic(Real x) {
    return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

/// The share of part a in softmax over a and b together; half where both parts are empty, whose o are 0.
template <class Real>
Real share_of_first(Real a_log_sum_exp, Real b_log_sum_exp) {
    return a_log_sum_exp == b_log_sum_exp ? Real(0.5) : logistic(a_log_sum_exp - b_log_sum_exp);
}

/// log(e^a + e^b), NaN if one of them is.
template <class Real>
Real log_of_sum(Real a, Real b) {
    constexpr Real none = -std::numeric_limits<Real>::infinity();
    if (a == none || b == none) return a == none ? b : a;
    return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

template <class Real>
void require_parts(const char* what, const AttentionOutput<Real>& a, const AttentionOutput<Real>& b) {
    require_shape((message(what, ": second o")).c_str(), b.o, shape_of(a.o));
    const Shape<3> queries{extent(a.o, 0), extent(a.o, 2), extent(a.o, 1)};
    require_shape((message(what, ": first log_sum_exp")).c_str(), a.log_sum_exp, queries);
    require_shape((message(what, ": second log_sum_exp")).c_str(), b.log_sum_exp, queries);
}

/// Calls f(b, t, h) for every query head, in parallel over (b, h).
template <class Real, class F>
void for_each_query(const Tensor<Real, 4>& o, F&& f) {
    const Index heads = extent(o, 2);
    parallel_for(extent(o, 0) * heads, [&](Index unit) {
        for (Index t = 0; t < extent(o, 1); ++t) f(unit / heads, t, unit % heads);
    });
}

/// o = g a + (1 - g) b for E numbers; o may be a or b.
template <class Real>
void mix(const Real* a, const Real* b, Real g, Index width, Real* o) {
    for (Index e = 0; e < width; ++e) o[e] = g * a[e] + (1 - g) * b[e];
}

/// Its gradients: d_a += g d_o, d_b += (1 - g) d_o unless null; returns d_g = <d_o, a - b>.
template <class Real, class V = SimdVector<Real>>
Real mix_vjp(const Real* a, const Real* b, Real g, Index width, const Real* d_o, Real* d_a, Real* d_b) {
    const Real d_g = sum_of_vectors<V>(width, [&](auto at) { return at.load(d_o) * (at.load(a) - at.load(b)); });
    if (d_a)
        for (Index e = 0; e < width; ++e) d_a[e] += g * d_o[e];
    if (d_b)
        for (Index e = 0; e < width; ++e) d_b[e] += (1 - g) * d_o[e];
    return d_g;
}

}  // namespace detail

/// Softmax over the keys of both parts together, from the results of each.
///
/// Shapes: o (B,T,H,E), log_sum_exp (B,H,T) of each part -> the same of the whole. A part without keys has log_sum_exp -infinity.
/// Cost:   one pass over both; NaN in either part is NaN in the whole.
/// Errors: ShapeError if the parts do not fit.   Same as: attention to the concatenated keys of both parts.
template <class Real>
AttentionResult<Real> merge(const AttentionOutput<Real>& a, const std::type_identity_t<AttentionOutput<Real>>& b) {
    detail::require_parts("merge", a, b);
    AttentionResult<Real> whole{empty_like(a.o), empty_like(a.log_sum_exp)};
    detail::for_each_query(a.o, [&](Index i, Index t, Index h) {
        const Real of_a = a.log_sum_exp(i, h, t), of_b = b.log_sum_exp(i, h, t);
        whole.log_sum_exp(i, h, t) = detail::log_of_sum(of_a, of_b);
        detail::mix(row(a.o, i, t, h), row(b.o, i, t, h), detail::share_of_first(of_a, of_b), extent(a.o, 3),
                    row(whole.o, i, t, h));
    });
    return whole;
}

/// The same for several parts of each batch entry, which follow one another: (B P,T,H,E) with P = `count` -> (B,T,H,E).
template <class Real>
AttentionResult<Real> merge_parts(AttentionResult<Real> parts, Index count) {
    if (count == 1) return parts;
    const Index entries = extent(parts.o, 0), queries = extent(parts.o, 1), heads = extent(parts.o, 2), width = extent(parts.o, 3);
    AttentionResult<Real> whole{zeros<Real, 4>({entries / count, queries, heads, width}),
                                full<Real, 3>({entries / count, heads, queries}, -std::numeric_limits<Real>::infinity())};
    detail::for_each_query(whole.o, [&](Index i, Index t, Index h) {
        Real *o = row(whole.o, i, t, h), &so_far = whole.log_sum_exp(i, h, t);
        for (Index part = i * count; part < (i + 1) * count; ++part) {
            const Real of_part = parts.log_sum_exp(part, h, t);
            detail::mix(row(parts.o, part, t, h), o, detail::share_of_first(of_part, so_far), width, o);
            so_far = detail::log_of_sum(of_part, so_far);
        }
    });
    return whole;
}

/// Where the gradients of two attentions are added; null for one that nobody needs.
template <class Real>
struct PartGradients {
    Tensor<Real, 4>* o = nullptr;            ///< (B,T,H,E)
    Tensor<Real, 3>* log_sum_exp = nullptr;  ///< (B,H,T)
};

/// Gradients of merge, added. With g the share of a, and L_a, L_b the log-sum-exp of the parts:
///
///     d_a   += g d_o                                           d_b   += (1-g) d_o
///     d_L_a +=  g (1-g) <d_o, a - b> + g d_L                   d_L_b += -g (1-g) <d_o, a - b> + (1-g) d_L
///
/// Shapes: as merge; each gradient as what it belongs to.   Errors: ShapeError otherwise.
template <class Real>
void merge_vjp(const AttentionOutput<Real>& a, const std::type_identity_t<AttentionOutput<Real>>& b,
               const std::type_identity_t<AttentionOutputGradient<Real>>& d_whole,
               const std::type_identity_t<PartGradients<Real>>& d_a, const std::type_identity_t<PartGradients<Real>>& d_b) {
    detail::require_parts("merge vjp", a, b);
    require_shape("merge vjp: d_o", d_whole.o, shape_of(a.o));
    if (d_whole.log_sum_exp) require_shape("merge vjp: d_log_sum_exp", *d_whole.log_sum_exp, shape_of(a.log_sum_exp));
    for (const auto* part : {&d_a, &d_b}) {
        if (part->o) require_shape("merge vjp: gradient of a part's o", *part->o, shape_of(a.o));
        if (part->log_sum_exp)
            require_shape("merge vjp: gradient of a part's log_sum_exp", *part->log_sum_exp, shape_of(a.log_sum_exp));
    }
    detail::for_each_query(a.o, [&](Index i, Index t, Index h) {
        const Real g = detail::share_of_first(a.log_sum_exp(i, h, t), b.log_sum_exp(i, h, t));
        const Real d_g = detail::mix_vjp(row(a.o, i, t, h), row(b.o, i, t, h), g, extent(a.o, 3), row(d_whole.o, i, t, h),
                                         d_a.o ? row(*d_a.o, i, t, h) : nullptr, d_b.o ? row(*d_b.o, i, t, h) : nullptr);
        const Real d_log_sum = d_whole.log_sum_exp ? (*d_whole.log_sum_exp)(i, h, t) : Real(0);
        if (d_a.log_sum_exp) (*d_a.log_sum_exp)(i, h, t) += g * (1 - g) * d_g + g * d_log_sum;
        if (d_b.log_sum_exp) (*d_b.log_sum_exp)(i, h, t) += -g * (1 - g) * d_g + (1 - g) * d_log_sum;
    });
}

/// merge on the tape.
template <class Real>
Attention<Real> merge(Tape& tape, const Attention<Real>& a, const Attention<Real>& b) {
    const auto part = [](const Attention<Real>& x) { return AttentionOutput<Real>(x.o.value(), x.log_sum_exp.value()); };
    return detail::record_attention(
        tape, merge(part(a), part(b)),
        [=](const AttentionOutput<Real>&, const AttentionOutputGradient<Real>& d_whole) {
            merge_vjp(part(a), part(b), d_whole, {a.o.needed_gradient(), a.log_sum_exp.needed_gradient()},
                      {b.o.needed_gradient(), b.log_sum_exp.needed_gradient()});
        },
        a.o, a.log_sum_exp, b.o, b.log_sum_exp);
}

namespace detail {

/// The gate of a query: 0 if it saw no key of the memory.
template <class Real>
Real gate_of_query(const AttentionOutput<Real>& memory, const Tensor<Real, 3>& logits, Index b, Index t, Index h) {
    const bool saw_none = memory.log_sum_exp(b, h, t) == -std::numeric_limits<Real>::infinity();
    return saw_none ? Real(0) : logistic(logits(b, t, h));
}

}  // namespace detail

/// The gate: o[b,t,h] = g memory[b,t,h] + (1 - g) local[b,t,h] with g = sigmoid(logits[b,t,h]), and g = 0 for a query that saw no
/// key of the memory.
///
/// Shapes: memory o and local (B,T,H,E), logits (B,T,H) -> (B,T,H,E).   Errors: ShapeError if they do not fit.
template <class Real>
Tensor<Real, 4> gate(const AttentionOutput<Real>& memory, const Tensor<Real, 4>& local, const Tensor<Real, 3>& logits) {
    const Index entries = extent(memory.o, 0), queries = extent(memory.o, 1), heads = extent(memory.o, 2),
                width = extent(memory.o, 3);
    require_shape("gate: local", local, shape_of(memory.o));
    require_shape("gate: memory log_sum_exp", memory.log_sum_exp, {entries, heads, queries});
    require_shape("gate: logits", logits, {entries, queries, heads});
    Tensor<Real, 4> o = empty_like(local);
    detail::for_each_query(o, [&](Index b, Index t, Index h) {
        const Real g = detail::gate_of_query(memory, logits, b, t, h);
        detail::mix(row(memory.o, b, t, h), row(local, b, t, h), g, width, row(o, b, t, h));
    });
    return o;
}

/// gate on the tape: d_memory += g d_o, d_local += (1-g) d_o, d_logit += g (1-g) <d_o, memory - local>.
template <class Real>
Variable<Real, 4> gate(Tape& tape, const Attention<Real>& memory, const Variable<Real, 4>& local, const Variable<Real, 3>& logits) {
    const auto part = [memory] { return AttentionOutput<Real>(memory.o.value(), memory.log_sum_exp.value()); };
    const auto backward = [=](const Tensor<Real, 4>& d_o) {
        Tensor<Real, 4>*d_memory = memory.o.needed_gradient(), *d_local = local.needed_gradient();
        Tensor<Real, 3>* d_logits = logits.needed_gradient();
        detail::for_each_query(d_o, [&](Index b, Index t, Index h) {
            const Real g = detail::gate_of_query(part(), logits.value(), b, t, h);
            const Real d_g =
                detail::mix_vjp(row(memory.o.value(), b, t, h), row(local.value(), b, t, h), g, extent(d_o, 3), row(d_o, b, t, h),
                                d_memory ? row(*d_memory, b, t, h) : nullptr, d_local ? row(*d_local, b, t, h) : nullptr);
            if (d_logits) (*d_logits)(b, t, h) += g * (1 - g) * d_g;
        });
    };
    return tape.record(gate(part(), local.value(), logits.value()), backward, memory.o, local, logits);
}

/// L_a - L_b of the log-sum-exp of two attentions (B,H,T), as a gate's logits (B,T,H): with them the gate is the share of a in
/// softmax over the keys of both. Where both are -infinity it is NaN, which no gate looks at.
template <class Real>
Variable<Real, 3> log_mass_difference(Tape& tape, const Attention<Real>& a, const Attention<Real>& b) {
    return permuted(tape, difference(tape, a.log_sum_exp, b.log_sum_exp), {0, 2, 1});
}

/// One number per head as a gate's logits: bias (H) -> (B,T,H). The gradient is summed in double.
template <class Real>
Variable<Real, 3> logits_of_heads(Tape& tape, const Variable<Real, 1>& bias, Index entries, Index length) {
    const Index heads = extent(bias.value(), 0);
    Tensor<Real, 3> logits = empty<Real, 3>({entries, length, heads});
    for (Index i = 0; i < entries * length; ++i) std::copy_n(bias.value().data(), heads, logits.data() + i * heads);
    return tape.record(
        std::move(logits),
        [=](const Tensor<Real, 3>& d_logits) {
            for (Index h = 0; h < heads; ++h) {
                double sum = 0;
                for (Index i = 0; i < entries * length; ++i) sum += static_cast<double>(d_logits.data()[i * heads + h]);
                bias.gradient()(h) += static_cast<Real>(sum);
            }
        },
        bias);
}

}  // namespace fot
