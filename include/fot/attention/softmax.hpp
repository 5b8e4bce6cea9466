/// Softmax over keys that arrive in blocks: the inner loops of attention to the local context, to contexts and to a whole memory.
///
///     m_t = max over keys seen so far of s_ts          s_ts = <q_t, k_s> (+ bias)
///     l_t = sum of exp(s_ts - m_t)                     a_t = sum of exp(s_ts - m_t) v_s
///
/// When a block raises the maximum, l and a are multiplied by exp(old m - new m). At the end o_t = a_t / l_t, and the log-sum-exp
/// m_t + log l_t is all that the gradient needs to compute the same probabilities again: exp(s_ts - log_sum_exp_t).
/// So scores exist only as tiles of query_tile x key_block numbers, however many keys there are.
///
/// When it holds. The log-sum-exp is rounded as m_t is. So with scores of size s the probabilities of the gradient, and merges of
/// two attentions, are wrong by a share of s epsilon, in float a thousandth for scores of 10000. Scores of models are far smaller.
///
/// Source: the recurrence of Milakov and Gimelshein 2018 ("online normalizer").
/// Read first: attention/attention.hpp, core/tile_product.hpp, core/row_products.hpp.   Read next: attention/causal_attention.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "fot/attention/attention.hpp"
#include "fot/core/dtype.hpp"
#include "fot/core/exponential.hpp"
#include "fot/core/largest.hpp"
#include "fot/core/matrix_view.hpp"
#include "fot/core/row_products.hpp"
#include "fot/core/tile_product.hpp"

namespace fot {

inline constexpr Index query_tile = 64;  ///< queries of a tile
inline constexpr Index key_block = 256;  ///< keys of a tile: its scores stay in the cache

/// Which keys of a block the rows of a tile may see, and what is added to their scores.
template <class Real>
struct Visibility {
    const Index* last_visible = nullptr;  ///< per query the last key it sees; null: all keys
    const Real* bias = nullptr;           ///< per query a row of numbers added to the scores, `bias_leading` apart; null: none
    Index bias_leading = 0;               ///< numbers from one row of `bias` to the next

    /// How many of the keys first ... first+count-1 query t sees (a prefix of them).
    Index seen(Index t, Index first, Index count) const {
        return last_visible ? std::clamp<Index>(last_visible[t] + 1 - first, 0, count) : count;
    }
    /// The largest `seen` among the queries first_query ... first_query+queries-1.
    Index most_seen(Index first_query, Index queries, Index first, Index count) const {
        if (!last_visible) return count;
        Index most = 0;
        for (Index t = first_query; t < first_query + queries; ++t) most = std::max(most, seen(t, first, count));
        return most;
    }
    /// That of the queries from number t on, which are then numbered from 0.
    Visibility from_query(Index t) const {
        return {last_visible ? last_visible + t : nullptr, bias ? bias + t * bias_leading : nullptr, bias_leading};
    }
};

namespace detail {

template <class Real>
LeftFactor<Real> left_factor(MatrixView<const Real> view) {
    return {view.data, view.leading, 1};
}

/// Adds the bias of a tile, if there is one, to its scores.
template <class Real>
void add_bias(const Visibility<Real>& visibility, Index first_query, Index queries, Index first_key, Index seen, Real* scores) {
    if (!visibility.bias) return;
    for (Index i = 0; i < queries; ++i) {
        const Real* bias = visibility.bias + (first_query + i) * visibility.bias_leading + first_key;
        for (Index j = 0; j < seen; ++j) scores[i * key_block + j] += bias[j];
    }
}

/// The scores of a tile of queries with a packed block of keys, and the bias.
template <class Real>
void score_tile(MatrixView<const Real> q, Index first_query, Index first_key, const PackedFactor<Real>& keys, Index seen,
                const Visibility<Real>& visibility, Real* scores) {
    tile_product<false>(q.rows, left_factor(q), keys, scores, key_block, seen, keys.depth);
    add_bias(visibility, first_query, q.rows, first_key, seen, scores);
}

/// Calls f(unit, first, count), on all threads, for the queries first ... first + count - 1 of each of `units` heads.
///
/// Where there are few heads and many queries, those of a head are cut into parts of whole tiles, so that there is work for 64
/// threads. Each part packs the keys anew, which costs little beside the products of so many queries. The number of threads has
/// no say, so that it does not change the results; nor do the parts.
template <class F>
void for_query_parts(Index units, Index queries, F&& f) {
    constexpr Index wanted = 64, worth_a_part = 512;
    const Index parts = std::clamp<Index>(wanted / std::max<Index>(units, 1), 1, std::max<Index>(queries / worth_a_part, 1));
    const auto begin_of = [&](Index part) {
        const Index tiles = (queries + query_tile - 1) / query_tile;
        return std::min(queries, tiles * part / parts * query_tile);
    };
    parallel_for(units * parts, [&](Index i) {
        const Index part = parts - 1 - i / units;  // the last one first: in causal attention it takes longest
        f(i % units, begin_of(part), begin_of(part + 1) - begin_of(part));
    });
}

template <class Real>
void require_view(const char* what, MatrixView<const Real> view, Index rows, Index width) {
    require<ShapeError>(view.rows == rows && view.columns == width && !view.transposed, what, " has shape (", view.rows, ", ",
                        view.columns, ")", view.transposed ? " transposed" : "", ", expected (", rows, ", ", width, ")");
}

}  // namespace detail

/// The running softmax of all queries of one head of one batch entry.
template <class Real>
class RunningSoftmax {
   public:
    /// q (T,D), which must outlive this. Values will be (S,E) with E = `value_width`; 0: only the log-sum-exp is wanted.
    /// Errors: ShapeError for a transposed view.
    RunningSoftmax(MatrixView<const Real> q, Index value_width)
        : q_(q),
          value_width_(value_width),
          width_(padded_to_panels<Real>(value_width)),
          maximum_(full<Real, 1>({q.rows}, -std::numeric_limits<Real>::infinity())),
          sum_(zeros<Real, 1>({q.rows})),
          weighted_(zeros<Real, 2>({q.rows, width_})),
          scores_(empty<Real, 2>({std::min(query_tile, q.rows), key_block})) {
        detail::require_view("RunningSoftmax: q", q, q.rows, q.columns);
    }

    /// The queries attend to these keys, and to the values that belong to them.
    ///
    /// Shapes: keys (S,D), values (S,E); E = 0: `values` may be left empty. What `visibility` points at has T rows.
    /// Errors: ShapeError if keys or values do not fit.
    void attend(MatrixView<const Real> keys, MatrixView<const Real> values, const Visibility<Real>& visibility = {}) {
        attend_stored(keys, values, visibility);
    }
    /// The same of stored 16-bit numbers.
    void attend(MatrixView<const BFloat16> keys, MatrixView<const BFloat16> values, const Visibility<Real>& visibility = {}) {
        attend_stored(keys, values, visibility);
    }
    /// Likewise.
    void attend(MatrixView<const detail::StoredHalf> keys, MatrixView<const detail::StoredHalf> values,
                const Visibility<Real>& visibility = {}) {
        attend_stored(keys, values, visibility);
    }

    /// log of the sum of exp(score) over all keys that query t (0 ... T-1) saw; -infinity if there were none.
    Real log_sum_exp(Index t) const { return maximum_(t) + std::log(sum_(t)); }

    /// Writes o_t into the rows of `o` (T,E), zeros where a query saw no key, and T log-sum-exps unless they are null.
    /// Errors: ShapeError if o has another shape.
    void write(MatrixView<Real> o, Real* log_sum_exps = nullptr) const {
        detail::require_view<Real>("RunningSoftmax: o", o, q_.rows, value_width_);
        for (Index t = 0; t < o.rows; ++t) {
            const Real factor = sum_(t) > 0 ? 1 / sum_(t) : Real(0);
            for (Index e = 0; e < o.columns; ++e) o.row(t)[e] = factor * weighted_(t, e);
            if (log_sum_exps) log_sum_exps[t] = log_sum_exp(t);
        }
    }

   private:
    template <class Stored>
    void attend_stored(MatrixView<const Stored> keys, MatrixView<const Stored> values, const Visibility<Real>& visibility) {
        detail::require_view("RunningSoftmax: keys", keys, keys.rows, q_.columns);
        detail::require_view("RunningSoftmax: values", values, value_width_ == 0 ? values.rows : keys.rows, value_width_);
        const Index visible = visibility.most_seen(0, q_.rows, 0, keys.rows);
        for (Index first = 0; first < visible; first += key_block) {
            const Index count = std::min(key_block, visible - first);
            const MatrixView<const Stored> block_keys = keys.rows_from(first, count),
                                           block_values = value_width_ ? values.rows_from(first, count) : values;
            if (q_.rows <= few_rows)
                attend_in_place(block_keys, block_values, first, visibility);
            else
                attend_packed(widened_rows(block_keys, wide_keys_), widened_rows(block_values, wide_values_), first, visibility);
        }
    }

    /// Lets many queries see a block of keys, from number `first` on, and the values: packed once for all tiles of queries.
    void attend_packed(MatrixView<const Real> keys, MatrixView<const Real> values, Index first,
                       const Visibility<Real>& visibility) {
        pack_transposed(keys.data, keys.rows, keys.columns, keys.leading, keys_);
        if (value_width_) pack(values.data, values.rows, values.columns, values.leading, values_);
        for (Index tile = 0; tile < q_.rows; tile += query_tile) {
            const Index rows = std::min(query_tile, q_.rows - tile), seen = visibility.most_seen(tile, rows, first, keys.rows);
            if (seen == 0) continue;
            detail::score_tile(q_.rows_from(tile, rows), tile, first, keys_, seen, visibility, scores_.data());
            absorb_tile(tile, rows, first, keys.rows, seen, visibility);
            if (value_width_)
                tile_product<true>(rows, {scores_.data(), key_block, 1}, values_, row(weighted_, tile), width_, value_width_, seen);
        }
    }

    /// The same for few queries, which read keys and values where they lie.
    template <class Stored>
    void attend_in_place(MatrixView<const Stored> keys, MatrixView<const Stored> values, Index first,
                         const Visibility<Real>& visibility) {
        row_products(q_, keys, scores_.data(), key_block);
        detail::add_bias(visibility, 0, q_.rows, first, keys.rows, scores_.data());
        absorb_tile(0, q_.rows, first, keys.rows, keys.rows, visibility);
        if (value_width_)
            add_weighted_rows(std::as_const(scores_).data(), key_block, values,
                              matrix(weighted_.data(), q_.rows, value_width_, width_));
    }

    /// Takes in a tile of scores, of queries `tile` ... tile + rows - 1 with the keys from number `first` on.
    void absorb_tile(Index tile, Index rows, Index first, Index count, Index seen, const Visibility<Real>& visibility) {
        const Index padded = padded_to_panels<Real>(seen);
        for (Index i = 0; i < rows; ++i) absorb(tile + i, row(scores_, i), visibility.seen(tile + i, first, count), padded);
    }

    /// Takes in the scores of query t with the first `seen` keys of a block; makes probabilities of them, zeros up to `padded`.
    void absorb(Index t, Real* scores, Index seen, Index padded) {
        std::fill(scores + seen, scores + padded, -std::numeric_limits<Real>::infinity());
        const Real maximum = std::max(maximum_(t), largest(scores, padded));
        if (maximum == -std::numeric_limits<Real>::infinity()) {  // all masked, or NaN: that must not vanish
            for (Index j = 0; j < padded; ++j) sum_(t) += scores[j] = std::isnan(scores[j]) ? scores[j] : Real(0);
            return;
        }
        const Real correction = exponential(maximum_(t) - maximum);
        sum_(t) = correction * sum_(t) + exponentials(scores, padded, maximum);
        if (correction != Real(1))
            for (Index d = 0; d < width_; ++d) weighted_(t, d) *= correction;
        maximum_(t) = maximum;
    }

    MatrixView<const Real> q_;
    Index value_width_, width_;  // width_: with the filling of the last panel
    Tensor<Real, 1> maximum_, sum_;
    Tensor<Real, 2> weighted_, scores_, wide_keys_, wide_values_;
    PackedFactor<Real> keys_, values_;
};

/// One visit of the queries of one head to the keys of one context, and what its gradient is made of. A gradient without data is
/// one that nobody needs.
template <class Real>
struct SoftmaxVisit {
    MatrixView<const Real> q;        ///< (T,D)
    MatrixView<const Real> keys;     ///< (S,D)
    MatrixView<const Real> values;   ///< (S,E); E = 0: only the log-sum-exp was wanted
    const Real* log_sum_exp;         ///< (T) over all keys that the queries saw, not only these
    const Real* delta;               ///< (T) <d_o_t, o_t> - d_log_sum_exp_t
    MatrixView<const Real> d_o;      ///< (T,E)
    MatrixView<Real> d_q = {};       ///< (T,D)
    MatrixView<Real> d_keys = {};    ///< (S,D)
    MatrixView<Real> d_values = {};  ///< (S,E)
};

/// The gradient of one visit, added to its d_q, d_keys and d_values:
///
///     p_ts = exp(s_ts - log_sum_exp_t)                     (the forward line, computed again)
///     d_s  = p (d_p - delta),  d_p_ts = <d_o_t, v_s>
///     d_q_t += sum_s d_s_ts k_s,   d_k_s += sum_t d_s_ts q_t,   d_v_s += sum_t p_ts d_o_t
///
/// Errors: ShapeError if a view does not fit.
template <class Real>
void softmax_attention_vjp(const SoftmaxVisit<Real>& visit, const Visibility<Real>& visibility = {}) {
    const auto& [q, keys, values, log_sum_exp, delta, d_o, d_q, d_keys, d_values] = visit;
    detail::require_view<Real>("softmax_attention vjp: q", q, q.rows, q.columns);
    detail::require_view<Real>("softmax_attention vjp: keys", keys, keys.rows, q.columns);
    detail::require_view<Real>("softmax_attention vjp: values", values, keys.rows, values.columns);
    detail::require_view<Real>("softmax_attention vjp: d_o", d_o, q.rows, values.columns);
    if (d_q.data) detail::require_view<Real>("softmax_attention vjp: d_q", d_q, q.rows, q.columns);
    if (d_keys.data) detail::require_view<Real>("softmax_attention vjp: d_keys", d_keys, keys.rows, keys.columns);
    if (d_values.data) detail::require_view<Real>("softmax_attention vjp: d_values", d_values, values.rows, values.columns);
    const Index key_width = padded_to_panels<Real>(q.columns), value_width = padded_to_panels<Real>(values.columns);
    Tensor<Real, 2> scores = empty<Real, 2>({query_tile, key_block}), d_scores = empty<Real, 2>({query_tile, key_block});
    Tensor<Real, 2> sum_q = zeros<Real, 2>({q.rows, key_width}), sum_k = empty<Real, 2>({key_block, key_width}),
                    sum_v = empty<Real, 2>({key_block, value_width});
    PackedFactor<Real> keys_transposed, values_transposed, keys_packed, q_packed, d_o_packed;
    const auto add_rows = [](const Tensor<Real, 2>& from, MatrixView<Real> to) {
        for (Index i = 0; i < to.rows; ++i)
            for (Index d = 0; d < to.columns; ++d) to.row(i)[d] += from(i, d);
    };
    for (Index first = 0; first < keys.rows; first += key_block) {
        const Index count = std::min(key_block, keys.rows - first);
        if (visibility.most_seen(0, q.rows, first, count) == 0) continue;
        pack_transposed(keys.row(first), count, keys.columns, keys.leading, keys_transposed);
        pack_transposed(values.row(first), count, values.columns, values.leading, values_transposed);
        if (d_q.data) pack(keys.row(first), count, keys.columns, keys.leading, keys_packed);
        if (d_keys.data) std::fill_n(sum_k.data(), count * key_width, Real(0));
        if (d_values.data) std::fill_n(sum_v.data(), count * value_width, Real(0));
        for (Index tile = 0; tile < q.rows; tile += query_tile) {
            const Index rows = std::min(query_tile, q.rows - tile), seen = visibility.most_seen(tile, rows, first, count);
            if (seen == 0) continue;
            const MatrixView<const Real> q_tile = q.rows_from(tile, rows), d_o_tile = d_o.rows_from(tile, rows);
            detail::score_tile(q_tile, tile, first, keys_transposed, seen, visibility, scores.data());
            tile_product<false>(rows, detail::left_factor(d_o_tile), values_transposed, d_scores.data(), key_block, seen,
                                values.columns);
            for (Index i = 0; i < rows; ++i) {
                const Real shift = log_sum_exp[tile + i], delta_t = delta[tile + i];
                const bool saw_none = shift == -std::numeric_limits<Real>::infinity();  // its p would be exp(-infinity + infinity)
                const Index row_seen = saw_none ? 0 : visibility.seen(tile + i, first, count);
                Real *p = row(scores, i), *d_s = row(d_scores, i);
                softmax_row_vjp(p, d_s, saw_none ? 0 : padded_to_panels<Real>(row_seen), shift, delta_t);
                std::fill(p + row_seen, p + seen, Real(0));
                std::fill(d_s + row_seen, d_s + seen, Real(0));
            }
            if (d_values.data) {
                pack(d_o_tile.data, rows, d_o.columns, d_o.leading, d_o_packed);
                tile_product<true>(seen, {scores.data(), 1, key_block}, d_o_packed, sum_v.data(), value_width);
            }
            if (d_keys.data) {
                pack(q_tile.data, rows, q.columns, q.leading, q_packed);
                tile_product<true>(seen, {d_scores.data(), 1, key_block}, q_packed, sum_k.data(), key_width);
            }
            if (d_q.data)
                tile_product<true>(rows, {d_scores.data(), key_block, 1}, keys_packed, row(sum_q, tile), key_width, q.columns,
                                   seen);
        }
        if (d_keys.data) add_rows(sum_k, d_keys.rows_from(first, count));
        if (d_values.data) add_rows(sum_v, d_values.rows_from(first, count));
    }
    if (d_q.data) add_rows(sum_q, d_q);
}

namespace detail {

/// Head h of entry b visits head g of context c (or of its own local keys, c = b).
template <class Real>
SoftmaxVisit<Real> softmax_visit(const AttentionInput<Real>& in, const AttentionOutput<Real>& out,
                                 const AttentionOutputGradient<Real>& d_out, const Tensor<Real, 3>& delta,
                                 const AttentionGradients<Real>& d, Index b, Index h, Index c, Index g) {
    const auto wanted = [](Tensor<Real, 4>* x, Index at, Index of) { return x ? head(*x, at, of) : MatrixView<Real>{}; };
    return {.q = head(in.q, b, h),
            .keys = head(in.k, c, g),
            .values = head(in.v, c, g),
            .log_sum_exp = row(out.log_sum_exp, b, h),
            .delta = row(delta, b, h),
            .d_o = head(d_out.o, b, h),
            .d_q = wanted(d.q, b, h),
            .d_keys = wanted(d.k, c, g),
            .d_values = wanted(d.v, c, g)};
}

}  // namespace detail

}  // namespace fot
