/// Causal attention as an equation: each query sees the keys up to its own position.
///
///     score_s  = <q[b,t,h], k[b,s,g]>            s = 0 ... U-T+t,   g = h G / H
///     L[b,h,t] = log sum_s exp(score_s)
///     p_s      = exp(score_s - L[b,h,t])         softmax: the p_s of a query sum to one
///     o[b,t,h] = sum_s p_s v[b,s,g]
///
/// U is the number of local keys (the T queries have the last T positions), G the number of key heads, and in attention E is the
/// width of a value. All other letters are those of core/tensor.hpp.
///
/// The headers of this folder say what the library computes: the paper's sums as loops over their indices, and nothing for speed.
/// The fast functions compute the same numbers, and the tests compare the two.
///
/// A score is <q, k> and nothing else. What scales scores in a model, 1/sqrt(D) or one over a learned temperature, is multiplied
/// into q before, since <c q, k> = c <q, k>. So there is one place for a scale, and its gradient follows from the gradient of q.
///
/// Source: paper appendix B, the local part C_{<q} of equations (1) and (2).
/// Read first: core/tensor.hpp.   Read next: reference/crossbatch.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "fot/core/tensor.hpp"

namespace fot::reference {

/// What attention gives back.
template <class Real>
struct AttentionResult {
    Tensor<Real, 4> o;            ///< (B,T,H,E) the heads' outputs
    Tensor<Real, 3> log_sum_exp;  ///< (B,H,T) L, the logarithm of each softmax's denominator
};

/// Gradients of a loss with respect to what causal attention was given, in the same shapes.
template <class Real>
struct AttentionGradients {
    Tensor<Real, 4> q;  ///< (B,T,H,D)
    Tensor<Real, 4> k;  ///< (B,U,G,D)
    Tensor<Real, 4> v;  ///< (B,U,G,E)
};

/// L = log sum_x exp(score_x); -infinity if there is no score.
///
/// The largest score is taken out of the sum, so that no exponential overflows.
template <class Real, std::size_t N>
Real log_sum_exp(const Tensor<Real, N>& scores) {
    Real largest = -std::numeric_limits<Real>::infinity(), sum = 0;
    for (const Real score : scores.storage()) largest = std::max(largest, score);
    for (const Real score : scores.storage()) sum += std::exp(score - largest);
    return largest + std::log(sum);
}

/// Attention of each query to the local keys up to its own position.
///
///     o[b,t,h] = sum_{s <= U-T+t} softmax_s(<q[b,t,h], k[b,s,g]>) v[b,s,g]
///
/// Source: paper section 3.1. No departures.
/// Shapes: q (B,T,H,D), k (B,U,G,D), v (B,U,G,E) -> o (B,T,H,E), log_sum_exp (B,H,T).
///         The T queries have the last T positions of the U local keys. G divides H: H/G query heads share a key head (grouped
///         queries).
/// Errors: ShapeError if k and v do not fit q, or there are fewer keys than queries.
/// Same as: causal_attention of attention/; crossbatch_attention without contexts.
template <class Real>
AttentionResult<Real> causal_attention(const Tensor<Real, 4>& q, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v) {
    const Index B = extent(q, 0), T = extent(q, 1), H = extent(q, 2), D = extent(q, 3);
    const Index U = extent(k, 1), G = extent(k, 2), E = extent(v, 3);
    require_shape("reference::causal_attention: k", k, {B, -1, -1, D});
    require_shape("reference::causal_attention: v", v, {B, U, G, -1});
    require<ShapeError>(T <= U && G > 0 && H % G == 0, "reference::causal_attention: ", T, " queries of ", H, " heads for ", U,
                        " keys of ", G, " heads, expected T <= U and H a multiple of G");
    AttentionResult<Real> result{zeros<Real, 4>({B, T, H, E}), zeros<Real, 3>({B, H, T})};
    for (Index b = 0; b < B; ++b)
        for (Index t = 0; t < T; ++t)
            for (Index h = 0; h < H; ++h) {
                const Index g = h * G / H, last = U - T + t;
                // score_s = <q[b,t,h], k[b,s,g]>
                Tensor<Real, 1> score = zeros<Real, 1>({last + 1});
                for (Index s = 0; s <= last; ++s)
                    for (Index d = 0; d < D; ++d) score(s) += q(b, t, h, d) * k(b, s, g, d);
                // L = log sum_s exp(score_s)
                const Real L = reference::log_sum_exp(score);
                result.log_sum_exp(b, h, t) = L;
                // p_s = exp(score_s - L),   o[b,t,h] = sum_s p_s v[b,s,g]
                for (Index s = 0; s <= last; ++s) {
                    const Real p = std::exp(score(s) - L);
                    for (Index e = 0; e < E; ++e) result.o(b, t, h, e) += p * v(b, s, g, e);
                }
            }
    return result;
}

/// The vector-Jacobian product: the gradients of a loss with respect to q, k and v, given those with respect to o and to L.
///
///     d_p_s       = <d_o[b,t,h], v[b,s,g]>                     since o = sum_s p_s v_s
///     d_score_s   = p_s (d_p_s - sum_x p_x d_p_x + d_L)        since dp_x / dscore_s = p_x (1[x = s] - p_s), dL / dscore_s = p_s
///     d_q[b,t,h] += d_score_s k[b,s,g]                         since score_s = <q, k_s>
///     d_k[b,s,g] += d_score_s q[b,t,h]
///     d_v[b,s,g] += p_s d_o[b,t,h]
///
/// The sum over x is <d_o, o>, one number per query: this is why a fast backward pass has to keep o and L, but no p.
///
/// Shapes: q, k, v as above, d_o (B,T,H,E), d_log_sum_exp (B,H,T), or empty if the loss does not depend on L.
/// Errors: as causal_attention; ShapeError if d_o or d_log_sum_exp does not fit.
/// Same as: the gradients that the tape gives for causal_attention of attention/.
template <class Real>
AttentionGradients<Real> causal_attention_vjp(const Tensor<Real, 4>& q, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v,
                                              const Tensor<Real, 4>& d_o, const Tensor<Real, 3>& d_log_sum_exp = {}) {
    const Index B = extent(q, 0), T = extent(q, 1), H = extent(q, 2), D = extent(q, 3);
    const Index U = extent(k, 1), G = extent(k, 2), E = extent(v, 3);
    const auto [o, L] = reference::causal_attention(q, k, v);
    require_shape("reference::causal_attention_vjp: d_o", d_o, shape_of(o));
    if (d_log_sum_exp.size()) require_shape("reference::causal_attention_vjp: d_log_sum_exp", d_log_sum_exp, {B, H, T});
    AttentionGradients<Real> d{zeros_like(q), zeros_like(k), zeros_like(v)};
    for (Index b = 0; b < B; ++b)
        for (Index t = 0; t < T; ++t)
            for (Index h = 0; h < H; ++h) {
                const Index g = h * G / H;
                const Real d_L = d_log_sum_exp.size() ? d_log_sum_exp(b, h, t) : Real(0);
                // sum_x p_x d_p_x = <d_o, o>
                Real mean = 0;
                for (Index e = 0; e < E; ++e) mean += d_o(b, t, h, e) * o(b, t, h, e);
                for (Index s = 0; s <= U - T + t; ++s) {
                    // p_s = exp(<q, k_s> - L),   d_p_s = <d_o, v_s>
                    Real score = 0, d_p = 0;
                    for (Index i = 0; i < D; ++i) score += q(b, t, h, i) * k(b, s, g, i);
                    for (Index e = 0; e < E; ++e) d_p += d_o(b, t, h, e) * v(b, s, g, e);
                    const Real p = std::exp(score - L(b, h, t));
                    // d_score_s = p_s (d_p_s - sum_x p_x d_p_x + d_L)
                    const Real d_score = p * (d_p - mean + d_L);
                    // d_q += d_score_s k_s,   d_k_s += d_score_s q,   d_v_s += p_s d_o
                    for (Index i = 0; i < D; ++i) d.q(b, t, h, i) += d_score * k(b, s, g, i);
                    for (Index i = 0; i < D; ++i) d.k(b, s, g, i) += d_score * q(b, t, h, i);
                    for (Index e = 0; e < E; ++e) d.v(b, s, g, e) += p * d_o(b, t, h, e);
                }
            }
    return d;
}

}  // namespace fot::reference
