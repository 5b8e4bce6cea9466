/// Memory attention as an equation: the paper's memory layer in inference.
///
///     M_top    = the k entries of the memory with the largest <q[b,t,h], memory_k[b,m,g]>
///     o[b,t,h] = sum_x softmax_x(<q[b,t,h], key_x>) value_x
///
///     where x runs over   the local keys k[b,s],  s = 0 ... U-T+t
///                  and    the entries of M_top
///
/// This is the sum of crossbatch training with different keys beside the local ones: there all keys of a few contexts, here the
/// best few of all that was read before. That is why a layer can be trained on contexts and then used with a memory, with nothing
/// added. In a whole model the two agree up to rounding under the conditions of paper_notes.md, "Conditions".
///
/// Source: paper section 3.1 and appendix B.2, equation (1).
/// Read first: reference/crossbatch.hpp, reference/exact_search.hpp.   Read next: reference/positive_mass.hpp.
#pragma once

#include "fot/reference/crossbatch.hpp"
#include "fot/reference/exact_search.hpp"

namespace fot::reference {

/// Attention of each query to the local keys up to its own position and to its top_k best entries of a memory, in one softmax.
///
/// Source: paper section 3.1 (merged softmax). No departures.
/// Shapes: q (B,T,H,D), k (B,U,G,D), v (B,U,G,E), memory_k (B,M,G,D), memory_v (B,M,G,E) -> o (B,T,H,E), log_sum_exp (B,H,T).
///         Each batch entry has a memory of its own. U = 0 is attention to the memory alone.
/// Errors: ShapeError if the tensors do not fit together; ConfigError if top_k is negative.
/// Same as: crossbatch_attention with the whole memory as the only context of its entry, if top_k is M or more;
///          causal_attention if it is 0. (The fast function reads 0 as the whole memory.)
template <class Real>
AttentionResult<Real> memory_attention(const Tensor<Real, 4>& q, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v,
                                       const Tensor<Real, 4>& memory_k, const Tensor<Real, 4>& memory_v, Index top_k) {
    const Index B = extent(q, 0), T = extent(q, 1), H = extent(q, 2), G = extent(k, 2), E = extent(v, 3);
    const Index M = extent(memory_k, 1), D = extent(q, 3);
    require_shape("reference::memory_attention: memory_k", memory_k, {B, -1, -1, -1});
    require<ConfigError>(top_k >= 0, "reference::memory_attention: top_k is ", top_k, ", expected 0 or more");
    // The memory of entry b is context b, which no list names: it is not seen as a whole.
    const CrossbatchInput<Real> in{q, k, v, memory_k, memory_v, std::vector<std::vector<Index>>(q.shape()[0])};
    require_valid(in);
    AttentionResult<Real> result{zeros<Real, 4>({B, T, H, E}), zeros<Real, 3>({B, H, T})};
    for (Index b = 0; b < B; ++b)
        for (Index t = 0; t < T; ++t)
            for (Index h = 0; h < H; ++h) {
                const Index g = h * G / H;
                // score_m = <q[b,t,h], memory_k[b,m,g]>
                Tensor<Real, 1> score = zeros<Real, 1>({M});
                for (Index m = 0; m < M; ++m)
                    for (Index d = 0; d < D; ++d) score(m) += q(b, t, h, d) * memory_k(b, m, g, d);
                // x in local keys and M_top
                std::vector<SeenKey> seen = seen_keys(in, b, t);
                for (const Index m : reference::largest_first(score, top_k)) seen.push_back({false, b, m});
                // o[b,t,h] = sum_x softmax_x(<q[b,t,h], key_x>) value_x
                attend(in, seen, b, t, h, result);
            }
    return result;
}

}  // namespace fot::reference
