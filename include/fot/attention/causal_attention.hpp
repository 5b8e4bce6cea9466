/// Causal attention: each query sees its own position and the ones before it. What every layer without memory does.
///
///     o[b,t,h] = sum_{s <= t} softmax_s(scale <q[b,t,h], k[b,s,h]>) v[b,s,h]
///
/// It is crossbatch attention without contexts, and is one call of it.
///
/// Read first: attention/softmax.hpp.   Read next: attention/crossbatch_attention.hpp.
#pragma once

#include "fot/attention/crossbatch_attention.hpp"

namespace fot {

/// Shapes: q (B,T,H,D), k (B,U,G,D), v (B,U,G,E), U >= T -> o (B,T,H,E), log_sum_exp (B,H,T).
/// Errors: as crossbatch_attention.
template <class Real>
AttentionResult<Real> causal_attention(const Tensor<Real, 4>& q, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v,
                                       const AttentionOptions<Real>& options = {}) {
    const Tensor<Real, 4> none;
    return crossbatch_attention(q, k, v, none, none, no_contexts(extent(q, 0)), options);
}

/// The same on the tape.
template <class Real>
Attention<Real> causal_attention(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& k, const Variable<Real, 4>& v,
                                 const AttentionOptions<Real>& options = {}) {
    return crossbatch_attention(tape, q, k, v, Variable<Real, 4>(), Variable<Real, 4>(), no_contexts(extent(q.value(), 0)),
                                options);
}

}  // namespace fot
