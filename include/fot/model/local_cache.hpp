/// The local cache of a layer: keys and values of the last tokens, which generation attends to without computing them again.
///
/// Tokens are added at the end and leave at the beginning, in place. When there is no more room, all are copied to buffers that
/// have room for a quarter more. That happens so seldom that the cost of a step depends on the new tokens, not on the length of the
/// cache. Keys are kept without positions, as the memory takes them, and also rotated to their positions. Scores depend on the
/// distance of two positions alone, so positions count from the smallest one in the cache: they then fit a small table, however
/// long the text is. As long as the smallest position stays, only new keys need rotating.
///
/// Read first: attention/softmax.hpp, nn/rotary.hpp.   Read next: model/long_llama_state.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "fot/attention/softmax.hpp"
#include "fot/nn/rotary.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// Positions of S local tokens of each batch entry, counted from the smallest of the entry.
struct LocalPositions {
    std::vector<Index> smallest;  ///< (B)
    Tensor<Index, 2> from_there;  ///< (B,S)
    Index highest = 0;            ///< of all in `from_there`

    /// Errors: ConfigError if an entry's positions lie RotaryTable::most_positions or more apart.
    explicit LocalPositions(const Tensor<Index, 2>& positions) : from_there(positions) {
        const Index count = extent(positions, 1), apart = RotaryTable<double>::most_positions;
        for (Index b = 0; b < extent(positions, 0); ++b) {
            Index* of_entry = row(from_there, b);
            const auto [low, high] = std::minmax_element(of_entry, of_entry + count);
            smallest.push_back(count == 0 ? 0 : *low);
            if (count == 0) continue;
            require<ConfigError>(*high - *low < apart, "LocalPositions: entry ", b, " has local positions from ", *low, " to ",
                                 *high, ", expected less than ", apart, " apart");
            highest = std::max(highest, *high - *low);
            for (Index s = 0; s < count; ++s) of_entry[s] -= smallest.back();
        }
    }
};

/// Keys and values of S tokens of B entries, G heads of width D.
template <class Real>
class LocalCache {
   public:
    /// Errors: ConfigError unless there are entries, heads and a width.
    LocalCache(Index entries, Index heads, Index width) : shape_{entries, 0, heads, width} {
        require<ConfigError>(entries >= 1 && heads >= 1 && width >= 1, "LocalCache: ", entries, " entries, ", heads,
                             " heads of width ", width, ": expected 1 or more of each");
        keys_ = values_ = rotated_keys_ = empty<Real, 4>(shape_);
    }

    /// S, tokens in the cache.
    Index size() const { return size_; }

    /// Makes room for `count` more tokens, so that appending them cannot run out of memory. If memory runs out here, the cache is
    /// as before.
    void reserve(Index count) {
        if (first_ + size_ + count <= shape_[1]) return;
        Shape<4> shape = shape_;
        shape[1] = size_ + std::max(size_ / 4, count);
        const std::array<Tensor<Real, 4>*, 3> buffers{&keys_, &values_, &rotated_keys_};
        std::array<Tensor<Real, 4>, 3> moved{empty<Real, 4>(shape), empty<Real, 4>(shape), empty<Real, 4>(shape)};
        for (std::size_t i = 0; i < buffers.size(); ++i) {
            for (Index b = 0; b < shape[0] && size_ > 0; ++b)
                std::copy_n(row(*buffers[i], b, first_), size_ * shape[2] * shape[3], row(moved[i], b));
            std::swap(*buffers[i], moved[i]);
        }
        shape_ = shape;
        first_ = 0;
    }

    /// Where in the buffers the tokens are.
    struct Mark {
        Index first;  ///< the oldest
        Index size;   ///< how many
    };
    /// What `go_back` needs.
    Mark mark() const { return {first_, size_}; }
    /// Makes the cache what it was at a mark, after which no more tokens were added than there was room for.
    void go_back(const Mark& mark) noexcept {
        first_ = mark.first;
        size_ = mark.size;
        rotated_ = 0;
    }

    /// Adds the tokens of k and v, (B,T,G,D), at the end. If memory runs out, the cache is as before.   Errors: ShapeError.
    void append(const Tensor<Real, 4>& k, const Tensor<Real, 4>& v) {
        require_shape("LocalCache::append: k", k, {shape_[0], -1, shape_[2], shape_[3]});
        require_shape("LocalCache::append: v", v, shape_of(k));
        const Index count = extent(k, 1), each = shape_[2] * shape_[3];
        reserve(count);
        for (Index b = 0; b < shape_[0]; ++b) {
            std::copy_n(row(k, b), count * each, row(keys_, b, first_ + size_));
            std::copy_n(row(v, b), count * each, row(values_, b, first_ + size_));
        }
        size_ += count;
    }

    /// Drops the oldest tokens.   Errors: DataError if there are fewer.
    void drop(Index count) {
        require<DataError>(count >= 0 && count <= size_, "LocalCache::drop: ", count, " of ", size_, " tokens");
        first_ += count;
        size_ -= count;
        rotated_ = std::max<Index>(rotated_ - count, 0);
    }

    /// Rotates the keys to the positions of all S tokens. If memory runs out, the cache is as before. A cache that never rotates is
    /// that of a layer without positions.
    /// Errors: ShapeError unless there are S positions of each entry.
    void rotate(const LocalPositions& positions, const RotaryTable<Real>& table) {
        require_shape("LocalCache::rotate: positions", positions.from_there, {shape_[0], size_});
        std::vector<Index> smallest = positions.smallest;
        const Index first = smallest == smallest_ ? rotated_ : 0, count = size_ - first;
        const Tensor<Index, 2> of_new = slice<1>(positions.from_there, first, count);
        const Tensor<Real, 4> rotated = fot::rotate(tokens(keys_, first, count), of_new, table.covering(positions.highest));
        for (Index b = 0; b < shape_[0] && count > 0; ++b)
            std::copy_n(row(rotated, b), count * shape_[2] * shape_[3], row(rotated_keys_, b, first_ + first));
        smallest_ = std::move(smallest);
        rotated_ = size_;
    }

    /// Attention of the last T tokens to those up to their own place: q (B,T,H,D), rotated as the keys are. `bias` (B,S), if not
    /// empty, is added to the scores of all queries.
    ///
    /// It is causal_attention in place: the buffers have more room than tokens, so they are not tensors (B,S,G,D).
    AttentionResult<Real> attend(const Tensor<Real, 4>& q, const Tensor<Real, 2>& bias = {}) const {
        const Index entries = extent(q, 0), queries = extent(q, 1), heads = extent(q, 2), width = extent(q, 3);
        AttentionResult<Real> result{empty_like(q), empty<Real, 3>({entries, heads, queries})};
        const Index group = heads / shape_[2], together = detail::heads_together(queries, group);
        const std::vector<Index> last_visible = consecutive(size_ - queries, queries);
        const Index* last = together == 1 ? last_visible.data() : nullptr;  // one token sees all
        detail::for_query_parts(entries * heads / together, queries, [&](Index unit, Index first, Index count) {
            const Index b = unit * together / heads, h = unit * together % heads;
            const Visibility<Real> visibility{last, bias.size() ? row(bias, b) : nullptr, 0};  // one row of bias for all queries
            RunningSoftmax<Real> softmax(detail::rows_of_heads(q, b, h, together).rows_from(first, count * together), width);
            softmax.attend(view(smallest_.empty() ? keys_ : rotated_keys_, b, h / group), view(values_, b, h / group),
                           visibility.from_query(first));
            softmax.write(detail::rows_of_heads(result.o, b, h, together).rows_from(first, count * together),
                          row(result.log_sum_exp, b, h) + first);
        });
        return result;
    }

    /// Copies of the oldest tokens' keys as they came, (B,count,G,D).   Errors: DataError if there are fewer.
    Tensor<Real, 4> oldest_keys(Index count) const { return tokens(keys_, 0, count); }
    /// The values.
    Tensor<Real, 4> oldest_values(Index count) const { return tokens(values_, 0, count); }

   private:
    MatrixView<const Real> view(const Tensor<Real, 4>& from, Index entry, Index head) const {
        return {size_ == 0 ? nullptr : row(from, entry, first_, head), size_, shape_[3], shape_[2] * shape_[3]};
    }

    Tensor<Real, 4> tokens(const Tensor<Real, 4>& from, Index first, Index count) const {
        require<DataError>(count >= 0 && first + count <= size_, "LocalCache: ", count, " tokens from ", first, " on of ", size_);
        return slice<1>(from, first_ + first, count);
    }

    Shape<4> shape_;  ///< of the buffers: (B, room, G, D)
    Index first_ = 0, size_ = 0, rotated_ = 0;
    std::vector<Index> smallest_;  ///< position of each entry that the rotated keys count from
    Tensor<Real, 4> keys_, values_, rotated_keys_;
};

}  // namespace fot
