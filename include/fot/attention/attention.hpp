/// What all attention has in common: what it takes, what it gives back, and how it is put on the tape.
///
///     o_t = sum_s p_ts v_s      p_ts = exp(<q_t, k_s> - L_t)      L_t = log sum_s exp(<q_t, k_s>)
///
/// L, the log-sum-exp, is returned beside o, because two things need only L besides o: the gradient, to compute the
/// probabilities again; and the join of two attentions to different keys into one softmax (attention/joining.hpp).
///
/// A score is <q, k> and nothing else. One over a temperature, or 1 / sqrt(D), is multiplied into q once, before attention. A query
/// used in several places is then scaled in the same way everywhere, and no place can omit the scale.
///
/// Keys and values may have G heads, fewer than queries (grouped-query attention): query head h reads key head h / (H / G).
///
/// Source: paper appendix B, equations (1) and (2), where tau is the temperature.
/// Read first: reference/attention.hpp.   Read next: attention/softmax.hpp, attention/causal_attention.hpp.
#pragma once

#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "fot/core/autograd.hpp"
#include "fot/core/index.hpp"
#include "fot/core/matrix_view.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

/// first ... first+count-1, say the positions of the tokens of a window.
inline std::vector<Index> consecutive(Index first, Index count) {
    std::vector<Index> positions(static_cast<std::size_t>(count));
    std::iota(positions.begin(), positions.end(), first);
    return positions;
}

/// Queries, and the keys and values they attend to.
template <class Real>
struct AttentionInput {
    const Tensor<Real, 4>& q;  ///< (B,T,H,D)
    const Tensor<Real, 4>& k;  ///< (B,U,G,D), or (P,S,G,D) of P contexts
    const Tensor<Real, 4>& v;  ///< (B,U,G,E), or (P,S,G,E)
};

/// What attention gives back.
template <class Real>
struct AttentionResult {
    Tensor<Real, 4> o;            ///< (B,T,H,E) the heads' outputs; zeros where a query saw no key
    Tensor<Real, 3> log_sum_exp;  ///< (B,H,T) log of each softmax's denominator; -infinity where a query saw no key
};

/// The same, where it lies: what a vector-Jacobian product reads.
template <class Real>
struct AttentionOutput {
    const Tensor<Real, 4>& o;            ///< (B,T,H,E)
    const Tensor<Real, 3>& log_sum_exp;  ///< (B,H,T)

    /// The parts of two tensors.
    AttentionOutput(const Tensor<Real, 4>& heads, const Tensor<Real, 3>& log_sums) : o(heads), log_sum_exp(log_sums) {}
    /// The parts of a result, which must live on.
    AttentionOutput(const AttentionResult<Real>& result) : AttentionOutput(result.o, result.log_sum_exp) {}
    AttentionOutput(AttentionResult<Real>&&) = delete;  // would dangle
};

/// The gradient of a loss with respect to what attention gave back.
template <class Real>
struct AttentionOutputGradient {
    const Tensor<Real, 4>& o;                      ///< (B,T,H,E)
    const Tensor<Real, 3>* log_sum_exp = nullptr;  ///< (B,H,T); null: zeros
};

/// Where the gradients of an AttentionInput are added; null for one that nobody needs.
template <class Real>
struct AttentionGradients {
    Tensor<Real, 4>* q = nullptr;  ///< as q
    Tensor<Real, 4>* k = nullptr;  ///< as k
    Tensor<Real, 4>* v = nullptr;  ///< as v
};

/// Attention on the tape: the heads and the log-sum-exp, both differentiable. Empty handles stand for no attention at all.
template <class Real>
struct Attention {
    Variable<Real, 4> o;            ///< (B,T,H,E)
    Variable<Real, 3> log_sum_exp;  ///< (B,H,T)
};

/// Attention that was computed outside a tape, as constants: no gradient passes through it.
template <class Real>
Attention<Real> as_constant(AttentionResult<Real> result) {
    return {Variable<Real, 4>(std::move(result.o)), Variable<Real, 3>(std::move(result.log_sum_exp))};
}

namespace detail {

/// A result whose numbers are not yet written.
template <class Real>
AttentionResult<Real> unwritten_result(const AttentionInput<Real>& in) {
    return {empty<Real, 4>({extent(in.q, 0), extent(in.q, 1), extent(in.q, 2), extent(in.v, 3)}),
            empty<Real, 3>({extent(in.q, 0), extent(in.q, 2), extent(in.q, 1)})};
}

/// How many heads of a group read their keys together: all of them if each has one query, so that a key is read once for them all.
/// With more queries per head a key is used often enough without that.
inline Index heads_together(Index queries, Index group) { return queries == 1 ? group : 1; }

/// The queries, or what is written for them, of `together` heads from h on as rows of one matrix.
/// Shapes: (B,T,H,D) -> (T,D) of one head, or (together,D) of one query per head.
template <class T>
auto rows_of_heads(T& x, Index b, Index h, Index together) {
    return together == 1 ? head(x, b, h) : matrix(row(x, b, 0, h), together, extent(x, 3));
}

/// Throws ShapeError unless k and v are `sources` of the same length, fit q, and have heads that divide those of q.
template <class Real>
void require_attention_shapes(const char* what, const AttentionInput<Real>& in, Index sources) {
    const Index heads = extent(in.q, 2), key_heads = extent(in.k, 2);
    require_shape((message(what, ": k")).c_str(), in.k, Shape<4>{sources, -1, -1, extent(in.q, 3)});
    require_shape((message(what, ": v")).c_str(), in.v, Shape<4>{sources, extent(in.k, 1), key_heads, -1});
    require<ShapeError>(key_heads > 0 && heads % key_heads == 0, what, ": q has ", heads, " heads, expected a multiple of the ",
                        key_heads, " heads of k (grouped-query attention)");
}

/// Throws ShapeError unless output and gradients have the shapes that `in` gives them.
template <class Real>
void require_gradient_shapes(const char* what, const AttentionInput<Real>& in, const AttentionOutput<Real>& out,
                             const AttentionOutputGradient<Real>& d_out, const AttentionGradients<Real>& d) {
    const Shape<3> of_queries{extent(in.q, 0), extent(in.q, 2), extent(in.q, 1)};
    const auto require_like = [&](const char* name, const auto& got, const auto& expected) {
        require_shape((message(what, " vjp: ", name)).c_str(), got, expected);
    };
    require_like("o", out.o, Shape<4>{of_queries[0], of_queries[2], of_queries[1], extent(in.v, 3)});
    require_like("log_sum_exp", out.log_sum_exp, of_queries);
    require_like("d_o", d_out.o, shape_of(out.o));
    if (d_out.log_sum_exp) require_like("d_log_sum_exp", *d_out.log_sum_exp, of_queries);
    if (d.q) require_like("d_q", *d.q, shape_of(in.q));
    if (d.k) require_like("d_k", *d.k, shape_of(in.k));
    if (d.v) require_like("d_v", *d.v, shape_of(in.v));
}

/// <d_o, o> - d_log_sum_exp of every query, (B,H,T): what the gradient of a softmax subtracts from each d_p.
template <class Real>
Tensor<Real, 3> softmax_delta(const AttentionOutput<Real>& out, const AttentionOutputGradient<Real>& d_out) {
    Tensor<Real, 3> delta = empty_like(out.log_sum_exp);
    const Index heads = extent(delta, 1), queries = extent(delta, 2), width = extent(out.o, 3);
    parallel_for(extent(delta, 0) * heads, [&](Index unit) {
        const Index b = unit / heads, h = unit % heads;
        for (Index t = 0; t < queries; ++t) {
            const Real *o = row(out.o, b, t, h), *d_o = row(d_out.o, b, t, h);
            Real sum = d_out.log_sum_exp ? -(*d_out.log_sum_exp)(b, h, t) : Real(0);
            for (Index e = 0; e < width; ++e) sum += d_o[e] * o[e];
            delta(b, h, t) = sum;
        }
    });
    return delta;
}

/// Puts the result of an attention on the tape. `backward(output, d_output)` is called once for both parts of it.
template <class Real, class Backward, class... Inputs>
Attention<Real> record_attention(Tape& tape, AttentionResult<Real> result, Backward backward, const Inputs&... inputs) {
    const auto log_sum_exp = std::make_shared<Variable<Real, 3>>();
    const Variable<Real, 4> o = tape.record(
        std::move(result.o),
        [=](const Tensor<Real, 4>& heads, const Tensor<Real, 4>& d_o) {
            backward(AttentionOutput<Real>(heads, log_sum_exp->value()),
                     AttentionOutputGradient<Real>{d_o, log_sum_exp->has_gradient() ? &log_sum_exp->gradient() : nullptr});
        },
        inputs...);
    // Replayed before the step of o, which only runs if o has a gradient: here it gets one, if need be of zeros.
    *log_sum_exp = tape.record(
        std::move(result.log_sum_exp), [o](const Tensor<Real, 3>&) { o.gradient(); }, inputs...);
    return {o, *log_sum_exp};
}

}  // namespace detail

}  // namespace fot
