/// Signed positions and counts, and what lets standard containers be used with them without a cast at every bracket.
///
/// Sizes are signed because differences of them are taken all the time, and `a - b` of unsigned numbers is never below zero. The
/// type is called Index and not index, because <strings.h> has a function of that name.
///
/// Read first: nothing.   Read next: core/tensor.hpp.
#pragma once

#include <cstddef>

namespace fot {

/// Signed size and position type. (Not `index`: <strings.h> has a function of that name.)
using Index = std::ptrdiff_t;
static_assert(sizeof(Index) == 8, "fot needs 64-bit positions: memories hold more numbers than 32 bits count");

/// Element i of a vector, array or span.   The position is not checked, as with operator[].
template <class List>
constexpr decltype(auto) element(List&& list, Index i) {
    return list[static_cast<std::size_t>(i)];
}

/// The length of a vector, string or span, signed.
template <class List>
constexpr Index length_of(const List& list) {
    return static_cast<Index>(list.size());
}

}  // namespace fot
