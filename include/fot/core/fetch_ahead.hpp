/// Memory that is read next, fetched piece by piece while arithmetic keeps the processor busy.
///
/// A processor fetches ahead by itself what is read in order, but no further than a few lines. A loop that reads a block quickly
/// and then calculates for a long time would wait for memory first and leave it idle later.
///
/// Read first: core/matrix_view.hpp.   Read next: memory/byte_filter.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "fot/core/matrix_view.hpp"

namespace fot {

/// The bytes of a matrix, in pieces.
class FetchAhead {
   public:
    /// Nothing is to be fetched.
    FetchAhead() = default;

    /// The numbers of a matrix; of one whose rows have gaps nothing.
    template <class Stored>
    explicit FetchAhead(MatrixView<const Stored> next) {
        if (next.leading == next.columns)
            left_ = std::as_bytes(std::span(next.data, static_cast<std::size_t>(next.rows * next.columns)));
    }

    /// From now on a piece is one of so many.
    void cut(Index pieces) { piece_ = left_.size() / static_cast<std::size_t>(pieces) + 1; }

    /// Fetches a piece, as long as there are any.
    void fetch_piece() {
        const std::size_t count = std::min(piece_, left_.size());
        for (std::size_t i = 0; i < count; i += 64) __builtin_prefetch(left_.data() + i);
        left_ = left_.subspan(count);
    }

   private:
    std::span<const std::byte> left_;
    std::size_t piece_ = 0;
};

}  // namespace fot
