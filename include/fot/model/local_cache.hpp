/// The local cache of a layer: keys and values of the last tokens, which generation attends to without computing them again.
///
/// Tokens are added behind and leave in front, in place: a step costs what is new, not what is there. Keys are kept as they came,
/// for the memory wants them so, and turned to their positions beside that. Positions count from the smallest one in the cache; as
/// long as that stays, only new keys need turning.
///
/// Read first: core/matrix_view.hpp, nn/rotary.hpp.   Read next: model/long_llama_state.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "fot/core/matrix_view.hpp"
#include "fot/nn/rotary.hpp"

namespace fot {

/// Keys and values of S tokens of B entries, G heads of width D.
template <class Real>
class LocalCache {
   public:
    /// Errors: ConfigError unless there are entries, heads and a width.
    LocalCache(Index entries, Index heads, Index width) : shape_{entries, 0, heads, width} {
        require<ConfigError>(entries >= 1 && heads >= 1 && width >= 1, "LocalCache: ", entries, " entries, ", heads,
                             " heads of width ", width, ": expected 1 or more of each");
    }

    /// S, tokens in the cache.
    Index size() const { return size_; }
    /// G, heads of keys and values.
    Index heads() const { return shape_[2]; }
    /// D
    Index width() const { return shape_[3]; }

    /// Adds the tokens of k and v, (B,T,G,D), behind the others.   Errors: ShapeError.
    void append(const Tensor<Real, 4>& k, const Tensor<Real, 4>& v) {
        require_shape("LocalCache::append: k", k, {shape_[0], -1, shape_[2], shape_[3]});
        require_shape("LocalCache::append: v", v, shape_of(k));
        const Index count = extent(k, 1), each = shape_[2] * shape_[3];
        make_room(count);
        for (Index b = 0; b < shape_[0]; ++b) {
            std::copy_n(row(k, b), count * each, row(keys_, b, first_ + size_));
            std::copy_n(row(v, b), count * each, row(values_, b, first_ + size_));
        }
        size_ += count;
    }

    /// Lets the oldest tokens go.   Errors: DataError if there are fewer.
    void drop(Index count) {
        require<DataError>(count >= 0 && count <= size_, "LocalCache::drop: ", count, " of ", size_, " tokens");
        first_ += count;
        size_ -= count;
        turned_ = std::max<Index>(turned_ - count, 0);
    }

    /// Turns the keys to their positions (B,S), counted from the smallest of each entry.
    /// Errors: ShapeError; ConfigError if an entry's positions lie RotaryTable::most_positions apart.
    void turn(const Tensor<Index, 2>& positions, const RotaryTable<Real>& table) {
        require_shape("LocalCache::turn: positions", positions, {shape_[0], size_});
        std::vector<Index> smallest;
        for (Index b = 0; b < shape_[0]; ++b)
            smallest.push_back(size_ == 0 ? 0 : *std::min_element(row(positions, b), row(positions, b) + size_));
        if (smallest != smallest_) turned_ = 0;
        smallest_ = smallest;
        if (turned_ == size_) return;
        Tensor<Index, 2> at = empty<Index, 2>({shape_[0], size_ - turned_});
        for (Index b = 0; b < shape_[0]; ++b)
            for (Index s = turned_; s < size_; ++s) at(b, s - turned_) = positions(b, s) - smallest[static_cast<std::size_t>(b)];
        const Tensor<Real, 4> turned =
            rotate(tokens(keys_, turned_, size_ - turned_), at, table.covering(*std::max_element(at.begin(), at.end())));
        for (Index b = 0; b < shape_[0]; ++b)
            std::copy_n(row(turned, b), element_count(turned) / shape_[0], row(turned_keys_, b, first_ + turned_));
        turned_ = size_;
    }

    /// The smallest position of an entry when the keys were turned last: what their positions count from.
    Index turned_from(Index entry) const { return smallest_.at(static_cast<std::size_t>(entry)); }

    /// Keys as they came, keys as turned last, and values of one head of one entry: (S,D), valid until the cache changes.
    MatrixView<const Real> keys(Index entry, Index head) const { return view(keys_, entry, head); }
    /// See `keys`.
    MatrixView<const Real> turned_keys(Index entry, Index head) const { return view(turned_keys_, entry, head); }
    /// See `keys`.
    MatrixView<const Real> values(Index entry, Index head) const { return view(values_, entry, head); }

    /// Copies of the oldest tokens' keys and values, (B,count,G,D).   Errors: DataError if there are fewer.
    Tensor<Real, 4> oldest_keys(Index count) const { return tokens(keys_, 0, count); }
    /// See `oldest_keys`.
    Tensor<Real, 4> oldest_values(Index count) const { return tokens(values_, 0, count); }

   private:
    MatrixView<const Real> view(const Tensor<Real, 4>& from, Index entry, Index head) const {
        return {size_ == 0 ? nullptr : row(from, entry, first_, head), size_, shape_[3], shape_[2] * shape_[3]};
    }

    Tensor<Real, 4> tokens(const Tensor<Real, 4>& from, Index first, Index count) const {
        require<DataError>(count >= 0 && first + count <= size_, "LocalCache: ", count, " tokens from ", first, " on of ", size_);
        Tensor<Real, 4> copy = empty<Real, 4>({shape_[0], count, shape_[2], shape_[3]});
        for (Index b = 0; b < shape_[0] && count > 0; ++b)
            std::copy_n(row(from, b, first_ + first), count * shape_[2] * shape_[3], row(copy, b));
        return copy;
    }

    /// Moves what is there to the front of buffers that have room for `count` more: larger ones, or these.
    void make_room(Index count) {
        if (first_ + size_ + count <= shape_[1]) return;
        if (size_ + count > shape_[1] / 2) shape_[1] = 2 * (size_ + count);
        for (Tensor<Real, 4>* buffer : {&keys_, &values_, &turned_keys_}) {
            Tensor<Real, 4> moved = empty<Real, 4>(shape_);
            for (Index b = 0; b < shape_[0] && size_ > 0; ++b)
                std::copy_n(row(*buffer, b, first_), size_ * shape_[2] * shape_[3], row(moved, b));
            *buffer = std::move(moved);
        }
        first_ = 0;
    }

    Shape<4> shape_;  ///< of the buffers: (B, room, G, D)
    Index first_ = 0, size_ = 0, turned_ = 0;
    std::vector<Index> smallest_;  ///< position of each entry that the turned keys count from
    Tensor<Real, 4> keys_, values_, turned_keys_;
};

}  // namespace fot
