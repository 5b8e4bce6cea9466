/// Local attention: each query sees the key at its own position and those before it. Every layer does this.
///
///     o[b,t,h] = sum_{s <= t} softmax_s(<q[b,t,h], k[b,s,h]>) v[b,s,h]
///
/// There may be more keys than queries. The queries then have the last positions, or those that `query_positions` names. This makes
/// it possible to attend from a few positions of a window only, and to put a cache of earlier tokens before the window.
///
/// Source: paper appendix B, the local part C_{<q} of equations (1) and (2). Here a query also sees its own key, as in Listing 2.
/// Read first: attention/softmax.hpp.   Read next: attention/crossbatch_attention.hpp.
#pragma once

#include <vector>

#include "fot/attention/softmax.hpp"

namespace fot {

/// What varies between uses of local attention.
template <class Real>
struct LocalOptions {
    std::vector<Index> query_positions = {};  ///< (T) place of each query among the keys; empty: the last T of them
    Tensor<Real, 3> bias = {};                ///< (B,T,U) added to the scores (-infinity hides padding); empty: none
};

namespace detail {

/// The options of a call, checked: per query the last key it sees.
template <class Real>
std::vector<Index> last_visible_keys(const AttentionInput<Real>& in, const LocalOptions<Real>& options) {
    require_attention_shapes("causal_attention", in, extent(in.q, 0));
    const Index queries = extent(in.q, 1), keys = extent(in.k, 1);
    if (options.bias.size()) require_shape("causal_attention: bias", options.bias, Shape<3>{extent(in.q, 0), queries, keys});
    std::vector<Index> positions = options.query_positions;
    if (positions.empty()) {
        require<ShapeError>(queries <= keys, "causal_attention: ", queries, " queries at the end of ", keys, " local keys");
        positions = consecutive(keys - queries, queries);
    }
    require<ShapeError>(length_of(positions) == queries, "causal_attention: ", positions.size(), " query positions for ", queries,
                        " queries");
    for (const Index position : positions)
        require<ConfigError>(position >= 0 && position < keys, "causal_attention: query position ", position, ", expected 0 ... ",
                             keys - 1, " (local keys)");
    return positions;
}

template <class Real>
Visibility<Real> visibility_of_entry(const std::vector<Index>& last_visible, const LocalOptions<Real>& options, Index b) {
    if (options.bias.size() == 0) return {last_visible.data()};
    return {last_visible.data(), row(options.bias, b), extent(options.bias, 2)};
}

}  // namespace detail

/// Attention of each batch entry to its own keys, up to the position of the query.
///
/// Shapes: q (B,T,H,D), k (B,U,G,D), v (B,U,G,E), U >= T -> o (B,T,H,E), log_sum_exp (B,H,T). G divides H.
/// Cost:   B H T^2 D multiply-adds for U = T; a thread holds T E sums, 256 keys and values and 64 x 256 scores.
/// Errors: ShapeError for wrong shapes; ConfigError for a query position outside the keys.
/// Same as: reference::causal_attention.
template <class Real>
AttentionResult<Real> causal_attention(const AttentionInput<Real>& in, const LocalOptions<Real>& options = {}) {
    const std::vector<Index> last_visible = detail::last_visible_keys(in, options);
    const Index heads = extent(in.q, 2), group = heads / extent(in.k, 2);
    AttentionResult<Real> result = detail::unwritten_result(in);
    detail::for_query_parts(extent(in.q, 0) * heads, extent(in.q, 1), [&](Index unit, Index first, Index count) {
        const Index b = unit / heads, h = unit % heads;
        RunningSoftmax<Real> softmax(head(in.q, b, h).rows_from(first, count), extent(in.v, 3));
        softmax.attend(head(in.k, b, h / group), head(in.v, b, h / group),
                       detail::visibility_of_entry(last_visible, options, b).from_query(first));
        softmax.write(head(result.o, b, h).rows_from(first, count), row(result.log_sum_exp, b, h) + first);
    });
    return result;
}

/// Gradients of causal_attention, added to those of `d` that are not null.
///
/// Shapes: as causal_attention; each gradient as what it belongs to.
/// Cost:   5/2 of the forward pass, 1/2 less for each of the three gradients left out; probabilities are computed again.
/// Errors: as causal_attention; ShapeError if an output or a gradient has another shape than what it belongs to.
template <class Real>
void causal_attention_vjp(const AttentionInput<Real>& in, const LocalOptions<Real>& options,
                          const std::type_identity_t<AttentionOutput<Real>>& out,
                          const std::type_identity_t<AttentionOutputGradient<Real>>& d_out,
                          const std::type_identity_t<AttentionGradients<Real>>& d) {
    const std::vector<Index> last_visible = detail::last_visible_keys(in, options);
    detail::require_gradient_shapes("causal_attention", in, out, d_out, d);
    const Tensor<Real, 3> delta = detail::softmax_delta(out, d_out);
    const Index key_heads = extent(in.k, 2), group = extent(in.q, 2) / key_heads;
    parallel_for(extent(in.q, 0) * key_heads, [&](Index unit) {  // the heads of a group add to the same keys
        const Index b = unit / key_heads, g = unit % key_heads;
        for (Index h = g * group; h < (g + 1) * group; ++h)
            softmax_attention_vjp<Real>(detail::softmax_visit(in, out, d_out, delta, d, b, h, b, g),
                                        detail::visibility_of_entry(last_visible, options, b));
    });
}

/// causal_attention on the tape; constants get no gradient.
template <class Real>
Attention<Real> causal_attention(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& k, const Variable<Real, 4>& v,
                                 const LocalOptions<Real>& options = {}) {
    return detail::record_attention(
        tape, causal_attention<Real>({q.value(), k.value(), v.value()}, options),
        [=](const AttentionOutput<Real>& out, const AttentionOutputGradient<Real>& d_out) {
            causal_attention_vjp<Real>({q.value(), k.value(), v.value()}, options, out, d_out,
                                       {.q = q.needed_gradient(), .k = k.needed_gradient(), .v = v.needed_gradient()});
        },
        q, k, v);
}

}  // namespace fot
