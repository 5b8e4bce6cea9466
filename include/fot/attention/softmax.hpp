/// Softmax over keys that arrive in blocks: the inner loops that all attention of the library shares.
///
///     m_t = max over keys seen so far of s_ts          s_ts = scale <q_t, k_s> (+ bias)
///     l_t = sum of exp(s_ts - m_t)                     a_t = sum of exp(s_ts - m_t) v_s
///
/// When a block raises the maximum, l and a are multiplied by exp(old m - new m). At the end o_t = a_t / l_t, and the log-sum-exp
/// m_t + log l_t is all that the gradient needs to make the same probabilities again: exp(s_ts - log_sum_exp_t).
/// So scores exist only as tiles of query_tile x key_block numbers, however many keys there are.
///
/// Source: the recurrence of Milakov and Gimelshein 2018 ("online normalizer").
/// Read first: core/tile_product.hpp.   Read next: attention/causal_attention.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "fot/core/exponential.hpp"
#include "fot/core/largest.hpp"
#include "fot/core/matrix_view.hpp"
#include "fot/core/tile_product.hpp"

namespace fot {

inline constexpr Index query_tile = 64;  ///< so many queries
inline constexpr Index key_block = 256;  ///< meet so many keys at a time: the tile of scores stays in the cache

/// The (rows, D) matrix of one head of one batch entry, in place within a (B,T,H,D) tensor: rows lie H*D numbers apart.
template <class Real>
struct HeadView {
    Real* data;     ///< the first row
    Index rows;     ///< T
    Index width;    ///< D
    Index leading;  ///< from one row to the next

    /// Row i.
    Real* at(Index i) const { return data + i * leading; }
    /// Rows first ... first+count-1.
    HeadView rows_from(Index first, Index count) const { return {at(first), count, width, leading}; }
    /// The same numbers, read only.
    operator HeadView<const Real>() const requires(!std::is_const_v<Real>) { return {data, rows, width, leading}; }
};

/// One head of one batch entry of a (B,T,H,D) tensor, in place.
template <class Real>
HeadView<Real> head_view(Tensor<Real, 4>& x, Index entry, Index head) {
    return {row(x, entry, Index(0), head), extent(x, 1), extent(x, 3), extent(x, 2) * extent(x, 3)};
}
/// The same of a constant tensor.
template <class Real>
HeadView<const Real> head_view(const Tensor<Real, 4>& x, Index entry, Index head) {
    return {row(x, entry, Index(0), head), extent(x, 1), extent(x, 3), extent(x, 2) * extent(x, 3)};
}

/// The same of a matrix: a block of a memory.   Errors: ShapeError for a transposed view.
template <class Real>
HeadView<Real> head_view(MatrixView<Real> x) {
    require<ShapeError>(!x.transposed, "head_view: a transposed view of ", x.rows, " x ", x.columns, " numbers");
    return {x.data, x.rows, x.columns, x.leading};
}

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
};

namespace detail {

template <class Real>
LeftFactor<Real> left_factor(HeadView<const Real> view) {
    return {view.data, view.leading, 1};
}

/// The scores of a tile of queries with a packed block of keys, and the bias.
template <class Real>
void score_tile(HeadView<const Real> q, Index first_query, Index first_key, const PackedFactor<Real>& keys, Index seen, Real scale,
                const Visibility<Real>& visibility, Real* scores) {
    tile_product<false>(q.rows, left_factor(q), keys, scores, key_block, seen, keys.depth);
    for (Index i = 0; scale != 1 && i < q.rows; ++i)
        for (Index j = 0; j < seen; ++j) scores[i * key_block + j] *= scale;
    if (!visibility.bias) return;
    for (Index i = 0; i < q.rows; ++i) {
        const Real* bias = visibility.bias + (first_query + i) * visibility.bias_leading + first_key;
        for (Index j = 0; j < seen; ++j) scores[i * key_block + j] += bias[j];
    }
}

template <class Real>
void require_view(const char* what, HeadView<Real> view, Index rows, Index width) {
    require<ShapeError>(view.rows == rows && view.width == width, what, " has shape (", view.rows, ", ", view.width,
                        "), expected (", rows, ", ", width, ")");
}

}  // namespace detail

/// The running softmax of all queries of one head of one batch entry.
template <class Real>
class RunningSoftmax {
   public:
    /// q (T,D), which must outlive this. Values will be (S,E) with E = `value_width`; 0: only the log-sum-exp is wanted.
    RunningSoftmax(HeadView<const Real> q, Index value_width, Real scale)
        : q_(q),
          scale_(scale),
          value_width_(value_width),
          width_(padded_to_panels<Real>(value_width)),
          maximum_(full<Real, 1>({q.rows}, -std::numeric_limits<Real>::infinity())),
          sum_(zeros<Real, 1>({q.rows})),
          weighted_(zeros<Real, 2>({q.rows, width_})),
          scores_(empty<Real, 2>({query_tile, key_block})) {}

    /// Lets the queries see the keys, and the values that belong to them.
    ///
    /// Shapes: keys (S,D), values (S,E); E = 0: `values` may be left empty. What `visibility` points at has T rows.
    /// Errors: ShapeError if keys or values do not fit.
    void attend(HeadView<const Real> keys, HeadView<const Real> values, const Visibility<Real>& visibility = {}) {
        detail::require_view("RunningSoftmax: keys", keys, keys.rows, q_.width);
        detail::require_view("RunningSoftmax: values", values, value_width_ == 0 ? values.rows : keys.rows, value_width_);
        for (Index first = 0; first < keys.rows; first += key_block) {
            const Index count = std::min(key_block, keys.rows - first);
            pack_transposed(keys.at(first), count, keys.width, keys.leading, keys_);
            if (value_width_) pack(values.at(first), count, values.width, values.leading, values_);
            for (Index tile = 0; tile < q_.rows; tile += query_tile) {
                const Index rows = std::min(query_tile, q_.rows - tile), seen = visibility.most_seen(tile, rows, first, count);
                if (seen == 0) continue;
                detail::score_tile(q_.rows_from(tile, rows), tile, first, keys_, seen, scale_, visibility, scores_.data());
                const Index padded = padded_to_panels<Real>(seen);
                for (Index i = 0; i < rows; ++i) absorb(tile + i, row(scores_, i), visibility.seen(tile + i, first, count), padded);
                if (value_width_)
                    tile_product<true>(rows, {scores_.data(), key_block, 1}, values_, row(weighted_, tile), width_, value_width_,
                                       seen);
            }
        }
    }

    /// log of the sum of exp(score) over all keys that query t (0 ... T-1) saw; -infinity if there were none.
    Real log_sum_exp(Index t) const { return maximum_(t) + std::log(sum_(t)); }

    /// Writes o_t into the rows of `o` (T,E), zeros where a query saw no key.   Errors: ShapeError if it has another shape.
    void write(HeadView<Real> o) const {
        detail::require_view("RunningSoftmax: o", o, q_.rows, value_width_);
        for (Index t = 0; t < o.rows; ++t) {
            const Real factor = sum_(t) > 0 ? 1 / sum_(t) : Real(0);
            for (Index d = 0; d < o.width; ++d) o.at(t)[d] = factor * weighted_(t, d);
        }
    }

   private:
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

    HeadView<const Real> q_;
    Real scale_;
    Index value_width_, width_;  // width_: with the filling of the last panel
    Tensor<Real, 1> maximum_, sum_;
    Tensor<Real, 2> weighted_, scores_;
    PackedFactor<Real> keys_, values_;
};

/// The gradient of one visit: queries of one head of one entry, keys of one context.
///
///     p_ts = exp(s_ts - log_sum_exp_t)                     (the forward line, made again)
///     d_s  = p (d_p - delta),  d_p_ts = <d_o_t, v_s>,  delta_t = <d_o_t, o_t> - d_log_sum_exp_t
///     d_q_t += scale sum_s d_s_ts k_s,   d_k_s += scale sum_t d_s_ts q_t,   d_v_s += sum_t p_ts d_o_t
///
/// Added to d_q, d_keys and d_values. A view without data stands for a gradient that nobody needs, or of values of width 0.
/// Shapes: q (T,D), keys (S,D), values (S,E), d_o (T,E); each gradient as what it belongs to; `log_sum_exp` and `delta` hold T
///         numbers.
/// Errors: ShapeError if a view does not fit.
template <class Real>
void softmax_attention_vjp(HeadView<const Real> q, HeadView<const Real> keys, HeadView<const Real> values, Real scale,
                           const Visibility<Real>& visibility, const Real* log_sum_exp, const Real* delta, HeadView<const Real> d_o,
                           HeadView<Real> d_q, HeadView<Real> d_keys, HeadView<Real> d_values) {
    detail::require_view("softmax_attention vjp: keys", keys, keys.rows, q.width);
    detail::require_view("softmax_attention vjp: values", values, keys.rows, values.width);
    detail::require_view("softmax_attention vjp: d_o", d_o, q.rows, values.width);
    if (d_q.data) detail::require_view("softmax_attention vjp: d_q", d_q, q.rows, q.width);
    if (d_keys.data) detail::require_view("softmax_attention vjp: d_keys", d_keys, keys.rows, keys.width);
    if (d_values.data) detail::require_view("softmax_attention vjp: d_values", d_values, values.rows, values.width);
    const Index key_width = padded_to_panels<Real>(q.width), value_width = padded_to_panels<Real>(values.width);
    Tensor<Real, 2> scores = empty<Real, 2>({query_tile, key_block}), d_scores = empty<Real, 2>({query_tile, key_block});
    Tensor<Real, 2> sum_q = zeros<Real, 2>({q.rows, key_width}), sum_k = empty<Real, 2>({key_block, key_width}),
                    sum_v = empty<Real, 2>({key_block, value_width});
    PackedFactor<Real> keys_turned, values_turned, keys_packed, q_packed, d_o_packed;
    const auto add_rows = [](const Tensor<Real, 2>& from, HeadView<Real> to, Real factor) {
        for (Index i = 0; i < to.rows; ++i)
            for (Index d = 0; d < to.width; ++d) to.at(i)[d] += factor * from(i, d);
    };
    for (Index first = 0; first < keys.rows; first += key_block) {
        const Index count = std::min(key_block, keys.rows - first);
        if (visibility.most_seen(0, q.rows, first, count) == 0) continue;
        pack_transposed(keys.at(first), count, keys.width, keys.leading, keys_turned);
        pack_transposed(values.at(first), count, values.width, values.leading, values_turned);
        if (d_q.data) pack(keys.at(first), count, keys.width, keys.leading, keys_packed);
        if (d_keys.data) std::fill_n(sum_k.data(), count * key_width, Real(0));
        if (d_values.data) std::fill_n(sum_v.data(), count * value_width, Real(0));
        for (Index tile = 0; tile < q.rows; tile += query_tile) {
            const Index rows = std::min(query_tile, q.rows - tile), seen = visibility.most_seen(tile, rows, first, count);
            if (seen == 0) continue;
            const HeadView<const Real> q_tile = q.rows_from(tile, rows), d_o_tile = d_o.rows_from(tile, rows);
            detail::score_tile(q_tile, tile, first, keys_turned, seen, scale, visibility, scores.data());
            tile_product<false>(rows, detail::left_factor(d_o_tile), values_turned, d_scores.data(), key_block, seen, values.width);
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
                pack(d_o_tile.data, rows, d_o.width, d_o.leading, d_o_packed);
                tile_product<true>(seen, {scores.data(), 1, key_block}, d_o_packed, sum_v.data(), value_width);
            }
            if (d_keys.data) {
                pack(q_tile.data, rows, q.width, q.leading, q_packed);
                tile_product<true>(seen, {d_scores.data(), 1, key_block}, q_packed, sum_k.data(), key_width);
            }
            if (d_q.data)
                tile_product<true>(rows, {d_scores.data(), key_block, 1}, keys_packed, row(sum_q, tile), key_width, q.width, seen);
        }
        if (d_keys.data) add_rows(sum_k, d_keys.rows_from(first, count), scale);
        if (d_values.data) add_rows(sum_v, d_values.rows_from(first, count), Real(1));
    }
    if (d_q.data) add_rows(sum_q, d_q, scale);
}

}  // namespace fot
