/// The positive attention mass r_d as an equation: the share of a query's attention to C contexts that falls on the query's own
/// document.
///
///     w_cs = exp(<q[b,t,h], context_k[contexts[b][c], s, g]>)     key s of the c-th context that entry b sees
///     r_d  = sum_s w_0s / sum_{c<C} sum_s w_cs                    c = 0: the entry's own document; the paper's d is C
///
/// In the paper w is the weight that the softmax of the memory layer gives. The denominator of that softmax is the same for all
/// keys of a query, so it cancels, and the exponential of the score will do. Where attention cannot tell documents apart, r_d is
/// 1/d: the distraction issue. Local keys are in neither sum, so r_d does not show whether a context is used at all
/// (paper_notes.md, "Reasons").
///
/// Source: paper section 3.3, Figure 3.
/// Read first: reference/crossbatch.hpp.   Read next: measure/positive_mass.hpp.
#pragma once

#include <vector>

#include "fot/core/index.hpp"
#include "fot/reference/attention.hpp"

namespace fot::reference {

/// r_d of every query: the share of the first of C contexts.
///
/// Source: paper section 3.3, where r_d is the mean over queries, heads and documents. No departures.
/// Shapes: q (B,T,H,D), context_k (P,S,G,D), for each of B entries a list of C or more contexts -> (B,T,H).
/// Errors: ShapeError if context_k does not fit q; ConfigError if there are not B lists, C is below 1 or beyond the end of a list,
///         or a context does not exist.
/// Same as: positive_mass_per_query of measure/.
template <class Real>
Tensor<Real, 3> positive_mass(const Tensor<Real, 4>& q, const Tensor<Real, 4>& context_k,
                              const std::vector<std::vector<Index>>& contexts, Index C) {
    const Index B = extent(q, 0), T = extent(q, 1), H = extent(q, 2), D = extent(q, 3);
    const Index P = extent(context_k, 0), S = extent(context_k, 1), G = extent(context_k, 2);
    require_shape("reference::positive_mass: context_k", context_k, {-1, -1, -1, D});
    require<ShapeError>(G > 0 && H % G == 0, "reference::positive_mass: q has ", H, " heads, not a multiple of the ", G,
                        " heads of context_k");
    require<ConfigError>(length_of(contexts) == B, "reference::positive_mass: ", contexts.size(), " lists of contexts for ", B,
                         " entries");
    for (const auto& list : contexts) {
        require<ConfigError>(C >= 1 && C <= length_of(list), "reference::positive_mass: the share of the first of ", C,
                             " contexts in a list of ", list.size());
        for (const Index context : list)
            require<ConfigError>(context >= 0 && context < P, "reference::positive_mass: context ", context, ", expected 0 ... ",
                                 P - 1);
    }
    Tensor<Real, 3> r = zeros<Real, 3>({B, T, H});
    for (Index b = 0; b < B; ++b)
        for (Index t = 0; t < T; ++t)
            for (Index h = 0; h < H; ++h) {
                const Index g = h * G / H;
                // log w_cs = <q[b,t,h], context_k[contexts[b][c], s, g]>
                Tensor<Real, 2> score = zeros<Real, 2>({C, S});
                for (Index c = 0; c < C; ++c)
                    for (Index s = 0; s < S; ++s)
                        for (Index d = 0; d < D; ++d)
                            score(c, s) += q(b, t, h, d) * context_k(element(element(contexts, b), c), s, g, d);
                // r_d = sum_s w_0s / sum_cs w_cs
                const Real L = reference::log_sum_exp(score);
                for (Index s = 0; s < S; ++s) r(b, t, h) += std::exp(score(0, s) - L);
            }
    return r;
}

}  // namespace fot::reference
