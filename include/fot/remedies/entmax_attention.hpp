/// 1.5-entmax attention to contexts, differentiably: the training side.
///
/// All keys of the contexts are scored, since any of them may have weight. Local keys are not among them; the reason is in
/// remedies/entmax_sources.hpp.
///
///     o[b,t,h] = sum over the keys x of contexts(b) of p_x v_x        p: 1.5-entmax of <q[b,t,h], k_x>
///
/// Source: remedies/entmax.hpp.
/// Read first: remedies/entmax.hpp, attention/crossbatch_attention.hpp.   Read next: remedies/entmax_sources.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/remedies/entmax.hpp"

namespace fot {

/// A key that a query gives weight to.
template <class Real>
struct EntmaxKey {
    Index context;  ///< a row of the tensor of context keys
    Index place;    ///< in the context
    Real weight;    ///< p
};

/// 1.5-entmax attention of each batch entry to all keys of the contexts that the table gives it; zeros without any.
///
/// Shapes: q (B,T,H,D), k (P,S,G,D), v (P,S,G,E) -> (B,T,H,E).   Errors: as context_attention; NumericError for a score
///         that is not finite.
/// Cost:   B H T C S D multiply-adds, and sorting. The gradient visits keys with weight alone.
template <class Real>
Variable<Real, 4> entmax_context_attention(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& k,
                                           const Variable<Real, 4>& v, const ContextTable& table) {
    detail::require_contexts<Real>("entmax_context_attention", {q.value(), k.value(), v.value()}, table);
    const Index length = extent(q.value(), 1), heads = extent(q.value(), 2), width = extent(q.value(), 3),
                rows = extent(k.value(), 1), key_heads = extent(k.value(), 2), value_width = extent(v.value(), 3);
    Tensor<Real, 4> o = zeros<Real, 4>({extent(q.value(), 0), length, heads, value_width});
    // by (b,t,h)
    const auto seen = std::make_shared<std::vector<std::vector<EntmaxKey<Real>>>>(
        static_cast<std::size_t>(extent(q.value(), 0) * length * heads));
    parallel_for(length_of(*seen), [&](Index query) {
        const Index h = query % heads, g = h * key_heads / heads;
        const std::vector<Index>& list = element(table.contexts, query / heads / length);
        std::vector<Real> scores(static_cast<std::size_t>(length_of(list) * rows)), best;
        if (scores.empty()) return;
        for (Index c = 0; c < length_of(list); ++c)
            row_products(matrix(q.value().data() + query * width, 1, width), head(k.value(), element(list, c), g),
                         scores.data() + c * rows, rows);
        require<NumericError>(std::ranges::all_of(scores, [](Real score) { return std::isfinite(score); }),
                              "entmax_context_attention: a score is not finite");
        const Real largest_score = *std::ranges::max_element(scores);
        std::ranges::copy_if(scores, std::back_inserter(best), [&](Real score) { return score >= largest_score - 2; });
        std::ranges::sort(best, std::greater<Real>());
        const double threshold = entmax_threshold(best.data(), length_of(best));
        for (Index j = 0; j < length_of(scores); ++j) {
            const Real weight = entmax_weight(element(scores, j), threshold);
            if (weight == 0) continue;
            element(*seen, query).push_back({element(list, j / rows), j % rows, weight});
            const Real* v_j = row(v.value(), element(list, j / rows), j % rows, g);
            for (Index e = 0; e < value_width; ++e) o.data()[query * value_width + e] += weight * v_j[e];
        }
    });
    const auto backward = [=](const Tensor<Real, 4>& d_o) {
        Tensor<Real, 4>*d_q = q.needed_gradient(), *d_k = k.needed_gradient(), *d_v = v.needed_gradient();
        parallel_for(key_heads, [&](Index g) {  // so that each key's gradient is added up by one thread, in one order
            for (Index query = 0; query < length_of(*seen); ++query) {
                if (query % heads * key_heads / heads != g) continue;
                const Real *d_o_t = d_o.data() + query * value_width, *q_t = q.value().data() + query * width;
                const auto d_p = [&](const EntmaxKey<Real>& key) {
                    return inner_product(d_o_t, row(v.value(), key.context, key.place, g), value_width);
                };
                Real roots = 0, pull = 0;
                for (const EntmaxKey<Real>& key : element(*seen, query)) {
                    roots += std::sqrt(key.weight);
                    pull += std::sqrt(key.weight) * d_p(key);
                }
                for (const EntmaxKey<Real>& key : element(*seen, query)) {
                    const Real d_score = std::sqrt(key.weight) * (d_p(key) - pull / roots);
                    const Real* k_j = row(k.value(), key.context, key.place, g);
                    for (Index d = 0; d_q && d < width; ++d) d_q->data()[query * width + d] += d_score * k_j[d];
                    for (Index d = 0; d_k && d < width; ++d) (*d_k)(key.context, key.place, g, d) += d_score * q_t[d];
                    for (Index e = 0; d_v && e < value_width; ++e) (*d_v)(key.context, key.place, g, e) += key.weight * d_o_t[e];
                }
            }
        });
    };
    return tape.record(std::move(o), backward, q, k, v);
}

}  // namespace fot
