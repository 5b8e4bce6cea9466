/// Crossbatch attention as an equation: the paper's memory layer in training.
///
///     o[b,t,h] = sum_x softmax_x(<q[b,t,h], key_x>) value_x
///
///     where x runs over   the local keys k[b,s],                      s = 0 ... U-T+t
///                  and    all keys context_k[c,s] of the contexts     c in contexts[b],  s = 0 ... S-1
///
/// The list contexts[b] has the previous context of entry b's own document, the positive, and previous contexts of other documents
/// in the batch, the negatives. The equation does not tell them apart: all keys share one softmax, under the ordinary next-token
/// loss. That is the contrast. Weight that goes to one key is taken from all others, so the loss falls where the keys of the
/// query's own document score above those of other documents. Training can bring this about because gradients reach ALL keys and
/// values that were seen, previous and negative ones too. In inference the same sum runs over entries of a memory in place of the
/// contexts.
///
/// Source: paper section 3.2 and appendix B.3, equation (2). paper_notes.md works an example by hand.
/// Read first: reference/attention.hpp.   Read next: reference/memory_attention.hpp.
#pragma once

#include <vector>

#include "fot/core/index.hpp"
#include "fot/reference/attention.hpp"

namespace fot::reference {

/// What crossbatch attention is given.
template <class Real>
struct CrossbatchInput {
    Tensor<Real, 4> q;                         ///< (B,T,H,D)
    Tensor<Real, 4> k;                         ///< (B,U,G,D) local keys
    Tensor<Real, 4> v;                         ///< (B,U,G,E) their values
    Tensor<Real, 4> context_k;                 ///< (P,S,G,D) P contexts of S keys each
    Tensor<Real, 4> context_v;                 ///< (P,S,G,E) their values
    std::vector<std::vector<Index>> contexts;  ///< (B) which of them each batch entry sees
    std::vector<Index> last_visible = {};      ///< (T) the last local key that each query sees; empty: U-T+t, causal attention
};

/// Gradients of a loss with respect to its tensors, in the same shapes.
template <class Real>
struct CrossbatchGradients {
    Tensor<Real, 4> q;          ///< (B,T,H,D)
    Tensor<Real, 4> k;          ///< (B,U,G,D)
    Tensor<Real, 4> v;          ///< (B,U,G,E)
    Tensor<Real, 4> context_k;  ///< (P,S,G,D)
    Tensor<Real, 4> context_v;  ///< (P,S,G,E)
};

/// One key that a query sees: k[at,s] if it is local, context_k[at,s] if not. Its value lies at the same place of v or context_v.
struct SeenKey {
    bool local;  ///< of the entry itself, not of a context
    Index at;    ///< batch entry, or context
    Index s;     ///< which of its keys
};

/// All keys x that query t of entry b sees: the index set of the sum.
template <class Real>
std::vector<SeenKey> seen_keys(const CrossbatchInput<Real>& in, Index b, Index t) {
    const Index T = extent(in.q, 1), U = extent(in.k, 1), S = extent(in.context_k, 1);
    const Index last = in.last_visible.empty() ? U - T + t : element(in.last_visible, t);
    std::vector<SeenKey> seen;
    for (Index s = 0; s <= last; ++s) seen.push_back({true, b, s});  // local keys up to the query
    for (const Index c : element(in.contexts, b))                    // all keys of the contexts, positive or negative
        for (Index s = 0; s < S; ++s) seen.push_back({false, c, s});
    return seen;
}

/// One softmax over these keys for query (b,t,h): writes o[b,t,h] and L[b,h,t].
template <class Real>
void attend(const CrossbatchInput<Real>& in, const std::vector<SeenKey>& seen, Index b, Index t, Index h,
            AttentionResult<Real>& result) {
    const Index g = h * extent(in.k, 2) / extent(in.q, 2);
    // score_x = <q[b,t,h], key_x>
    Tensor<Real, 1> score = zeros<Real, 1>({length_of(seen)});
    for (Index x = 0; x < length_of(seen); ++x) {
        const auto [local, at, s] = element(seen, x);
        const Tensor<Real, 4>& keys = local ? in.k : in.context_k;
        for (Index d = 0; d < extent(in.q, 3); ++d) score(x) += in.q(b, t, h, d) * keys(at, s, g, d);
    }
    // L = log sum_x exp(score_x)
    const Real L = reference::log_sum_exp(score);
    result.log_sum_exp(b, h, t) = L;
    // p_x = exp(score_x - L),   o[b,t,h] = sum_x p_x value_x
    for (Index x = 0; x < length_of(seen); ++x) {
        const auto [local, at, s] = element(seen, x);
        const Tensor<Real, 4>& values = local ? in.v : in.context_v;
        const Real p = std::exp(score(x) - L);
        for (Index e = 0; e < extent(in.v, 3); ++e) result.o(b, t, h, e) += p * values(at, s, g, e);
    }
}

/// Attention of each query to its local keys and to all keys of the contexts that its batch entry is given, in one softmax.
///
///     o[b,t,h] = sum_x softmax_x(<q[b,t,h], key_x>) value_x,   x in local keys up to the query and contexts[b]
///
/// Source: paper section 3.2. No departures.
/// Shapes: those of CrossbatchInput -> o (B,T,H,E), log_sum_exp (B,H,T).
///         U = 0 is attention to contexts alone. A query that sees no key gets o = 0 and log_sum_exp = -infinity.
/// Errors: ShapeError if the tensors do not fit together; ConfigError if a context or a last visible key does not exist.
/// Same as: crossbatch_attention of attention/; causal_attention if all lists are empty.
template <class Real>
AttentionResult<Real> crossbatch_attention(const CrossbatchInput<Real>& in) {
    require_valid(in);
    const Index B = extent(in.q, 0), T = extent(in.q, 1), H = extent(in.q, 2), E = extent(in.v, 3);
    AttentionResult<Real> result{zeros<Real, 4>({B, T, H, E}), zeros<Real, 3>({B, H, T})};
    for (Index b = 0; b < B; ++b)
        for (Index t = 0; t < T; ++t) {
            const std::vector<SeenKey> seen = seen_keys(in, b, t);
            for (Index h = 0; h < H; ++h) attend(in, seen, b, t, h, result);
        }
    return result;
}

/// The vector-Jacobian product: the gradients of a loss with respect to q, to the local keys and values and to those of the
/// contexts, given its gradients with respect to o and to L. The rule is that of causal_attention_vjp, over more keys:
///
///     d_score_x   = p_x (<d_o[b,t,h], value_x> - <d_o[b,t,h], o[b,t,h]> + d_L)
///     d_q[b,t,h] += d_score_x key_x,    d_key_x += d_score_x q[b,t,h],    d_value_x += p_x d_o[b,t,h]
///
/// A step against the gradient lowers the score of a key whose value would raise the loss, in proportion to the weight p_x that the
/// key has: the negatives that distract most are pushed away most.
///
/// Shapes: as crossbatch_attention; d_log_sum_exp (B,H,T), or empty if the loss does not depend on L.
/// Errors: as crossbatch_attention; ShapeError if d_o or d_log_sum_exp does not fit.
/// Same as: the gradients that the tape gives for crossbatch_attention of attention/.
template <class Real>
CrossbatchGradients<Real> crossbatch_attention_vjp(const CrossbatchInput<Real>& in, const Tensor<Real, 4>& d_o,
                                                   const Tensor<Real, 3>& d_log_sum_exp = {}) {
    const Index B = extent(in.q, 0), T = extent(in.q, 1), H = extent(in.q, 2), D = extent(in.q, 3), E = extent(in.v, 3);
    const auto [o, L] = reference::crossbatch_attention(in);
    require_shape("reference::crossbatch_attention_vjp: d_o", d_o, shape_of(o));
    if (d_log_sum_exp.size()) require_shape("reference::crossbatch_attention_vjp: d_log_sum_exp", d_log_sum_exp, {B, H, T});
    CrossbatchGradients<Real> d{zeros_like(in.q), zeros_like(in.k), zeros_like(in.v), zeros_like(in.context_k),
                                zeros_like(in.context_v)};
    for (Index b = 0; b < B; ++b)
        for (Index t = 0; t < T; ++t) {
            const std::vector<SeenKey> seen = seen_keys(in, b, t);
            for (Index h = 0; h < H; ++h) {
                const Index g = h * extent(in.k, 2) / H;
                const Real d_L = d_log_sum_exp.size() ? d_log_sum_exp(b, h, t) : Real(0);
                // sum_y p_y d_p_y = <d_o, o>
                Real mean = 0;
                for (Index e = 0; e < E; ++e) mean += d_o(b, t, h, e) * o(b, t, h, e);
                for (const auto& [local, at, s] : seen) {
                    const Tensor<Real, 4>& keys = local ? in.k : in.context_k;
                    const Tensor<Real, 4>& values = local ? in.v : in.context_v;
                    Tensor<Real, 4>& d_keys = local ? d.k : d.context_k;
                    Tensor<Real, 4>& d_values = local ? d.v : d.context_v;
                    // p_x = exp(<q, key_x> - L),   d_p_x = <d_o, value_x>
                    Real score = 0, d_p = 0;
                    for (Index i = 0; i < D; ++i) score += in.q(b, t, h, i) * keys(at, s, g, i);
                    for (Index e = 0; e < E; ++e) d_p += d_o(b, t, h, e) * values(at, s, g, e);
                    const Real p = std::exp(score - L(b, h, t));
                    // d_score_x = p_x (d_p_x - sum_y p_y d_p_y + d_L)
                    const Real d_score = p * (d_p - mean + d_L);
                    // d_q += d_score_x key_x,   d_key_x += d_score_x q,   d_value_x += p_x d_o
                    for (Index i = 0; i < D; ++i) d.q(b, t, h, i) += d_score * keys(at, s, g, i);
                    for (Index i = 0; i < D; ++i) d_keys(at, s, g, i) += d_score * in.q(b, t, h, i);
                    for (Index e = 0; e < E; ++e) d_values(at, s, g, e) += p * d_o(b, t, h, e);
                }
            }
        }
    return d;
}

/// Throws ShapeError or ConfigError unless the parts of the input fit together.
template <class Real>
void require_valid(const CrossbatchInput<Real>& in) {
    const Index B = extent(in.q, 0), H = extent(in.q, 2), D = extent(in.q, 3), U = extent(in.k, 1), G = extent(in.k, 2);
    const Index P = extent(in.context_k, 0), S = extent(in.context_k, 1);
    require_shape("reference::crossbatch_attention: k", in.k, {B, -1, -1, D});
    require_shape("reference::crossbatch_attention: v", in.v, {B, U, G, -1});
    require<ShapeError>(G > 0 && H % G == 0, "reference::crossbatch_attention: q has ", H, " heads, not a multiple of the ", G,
                        " heads of k");
    if (P > 0) {
        require_shape("reference::crossbatch_attention: context_k", in.context_k, {-1, -1, G, D});
        require_shape("reference::crossbatch_attention: context_v", in.context_v, {P, S, G, extent(in.v, 3)});
    }
    require<ConfigError>(length_of(in.contexts) == B, "reference::crossbatch_attention: ", in.contexts.size(),
                         " lists of contexts for ", B, " entries");
    for (const auto& list : in.contexts)
        for (const Index c : list)
            require<ConfigError>(c >= 0 && c < P, "reference::crossbatch_attention: context ", c, ", expected 0 ... ", P - 1);
    require<ConfigError>(in.last_visible.empty() || length_of(in.last_visible) == extent(in.q, 1),
                         "reference::crossbatch_attention: last_visible for ", in.last_visible.size(), " of ", extent(in.q, 1),
                         " queries");
    for (const Index last : in.last_visible)
        require<ConfigError>(last < U, "reference::crossbatch_attention: last visible key ", last, " of ", U, " local keys");
}

}  // namespace fot::reference
