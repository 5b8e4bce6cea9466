/// Row-major tensors, the only place that includes xtensor.
///
/// Shape letters of the whole library:
///
///     B batch entries   T local tokens, which are the queries   H heads         D head width     E model width
///     C contexts that an entry attends to                       M memory entries, of which K are retrieved
///     V vocabulary      L layers
///
/// In attention E is the width of a value. Other letters are explained where they are used; the most frequent are
///
///     G key heads       U local keys, T or more                 N queries of a search, or tokens of a text of any length
///     P all contexts of a batch                                 S keys of a context
///
/// A shape is written `(B, T, H, D)`. Functions take and return concrete tensors, never lazy xtensor expressions, and loops work on
/// rows: `row(q, b, t, h)` points at the D numbers of one query head. A lazy expression is computed again at every use, and it may
/// refer to a tensor that no longer exists.
///
/// Read first: core/check.hpp.   Read next: core/blas.hpp.
#pragma once

#include <exception>  // for xtl, which calls std::terminate without it

#if __has_include(<xtensor/containers/xtensor.hpp>)  // xtensor 0.26 moved its headers
#include <xtensor/containers/xtensor.hpp>
#else
#include <xtensor/xtensor.hpp>
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <tuple>

#include "fot/core/aligned_allocator.hpp"
#include "fot/core/check.hpp"
#include "fot/core/index.hpp"

namespace fot {

/// A dense row-major tensor of fixed rank.
template <class Real, std::size_t N>
using Tensor = xt::xtensor<Real, N, xt::layout_type::row_major, AlignedAllocator<Real>>;

/// Token ids: (B, T), row-major, 32 bits.
using Tokens = Tensor<std::int32_t, 2>;

/// A shape as signed numbers.
template <std::size_t N>
using Shape = std::array<Index, N>;

/// The extent of one axis, signed.
template <class T>
Index extent(const T& tensor, std::size_t axis) {
    return static_cast<Index>(tensor.shape()[axis]);
}

/// The whole shape, signed.
template <class Real, std::size_t N>
Shape<N> shape_of(const Tensor<Real, N>& tensor) {
    Shape<N> shape{};
    for (std::size_t axis = 0; axis < N; ++axis) shape[axis] = extent(tensor, axis);
    return shape;
}

/// Number of elements.
template <class T>
Index element_count(const T& tensor) {
    return static_cast<Index>(tensor.size());
}

/// A tensor whose elements are not yet written.
/// Errors: ShapeError if an extent is negative or no memory could hold the product of all; std::bad_alloc if this one does not.
template <class Real, std::size_t N>
Tensor<Real, N> empty(const Shape<N>& shape) {
    std::array<std::size_t, N> extents{};
    Index room = std::numeric_limits<Index>::max() / static_cast<Index>(sizeof(Real));  // how often the elements so far fit in
    for (std::size_t axis = 0; axis < N; ++axis) {
        require<ShapeError>(shape[axis] >= 0, "empty: extent ", shape[axis], " of axis ", axis, " is negative");
        require<ShapeError>(shape[axis] <= room, "empty: extent ", shape[axis], " of axis ", axis,
                            " makes a tensor larger than any memory");
        if (shape[axis] > 0) room /= shape[axis];
        extents[axis] = static_cast<std::size_t>(shape[axis]);
    }
    return Tensor<Real, N>::from_shape(extents);
}

/// A tensor with every element equal to `value`.
template <class Real, std::size_t N>
Tensor<Real, N> full(const Shape<N>& shape, Real value) {
    Tensor<Real, N> tensor = empty<Real, N>(shape);
    std::fill_n(tensor.data(), tensor.size(), value);
    return tensor;
}

/// A tensor of zeros.
template <class Real, std::size_t N>
Tensor<Real, N> zeros(const Shape<N>& shape) {
    return full<Real, N>(shape, Real(0));
}

/// An unwritten tensor of the same shape.
template <class Real, std::size_t N>
Tensor<Real, N> empty_like(const Tensor<Real, N>& other) {
    return empty<Real, N>(shape_of(other));
}

/// A tensor of zeros of the same shape.
template <class Real, std::size_t N>
Tensor<Real, N> zeros_like(const Tensor<Real, N>& other) {
    return zeros<Real, N>(shape_of(other));
}

namespace detail {

struct RowOf {
    template <class T, class... Leading>
    auto* operator()(T& tensor, Leading... leading) const {
        static_assert(sizeof...(Leading) <= std::tuple_size_v<typename T::shape_type>,
                      "row: more indices than the tensor has axes");
        const std::array<Index, sizeof...(Leading)> at{static_cast<Index>(leading)...};
        Index offset = 0;
        for (std::size_t axis = 0; axis < at.size(); ++axis) offset = offset * extent(tensor, axis) + at[axis];
        for (std::size_t axis = at.size(); axis < tensor.dimension(); ++axis) offset *= extent(tensor, axis);
        return tensor.data() + offset;
    }
};

}  // namespace detail

/// Pointer to the contiguous numbers below the given leading indices: `row(x, b, t)` of x (B,T,E) points at E numbers.
///
/// It is an object because the compiler looks for a function of that name in the namespace of the tensor as well, and xtensor has
/// one, which a program that includes xtensor's views would then call.
inline constexpr detail::RowOf row{};

/// A shape as text: "(2, 3)".
template <class Extents>
std::string shape_text(const Extents& shape) {
    std::string text = "(";
    for (std::size_t axis = 0; axis < shape.size(); ++axis) text += (axis ? ", " : "") + std::to_string(shape[axis]);
    return text + ")";
}

/// Tokens as a batch of one, (1,T): a prompt, or a piece of a document.
inline Tokens token_row(std::span<const std::int32_t> tokens) {
    Tokens batch = empty<std::int32_t, 2>({1, static_cast<Index>(tokens.size())});
    std::copy(tokens.begin(), tokens.end(), batch.data());
    return batch;
}

/// Throws ShapeError unless `tensor` has the shape `expected`; an expected extent of -1 stands for any.
/// `what` names the function and the argument, "rms_norm: scale".
template <class Real, std::size_t N>
void require_shape(const char* what, const Tensor<Real, N>& tensor, const Shape<N>& expected) {
    const Shape<N> got = shape_of(tensor);
    bool fits = true, any = false;
    for (std::size_t axis = 0; axis < N; ++axis) {
        fits = fits && (expected[axis] < 0 || got[axis] == expected[axis]);
        any = any || expected[axis] < 0;
    }
    if (!fits) [[unlikely]]  // not `require`: it would make both texts at every call
        throw ShapeError(
            message(what, " has shape ", shape_text(got), ", expected ", shape_text(expected), any ? " (-1: any)" : ""));
}

/// The same numbers under another shape; the element counts must agree. Copies.
template <std::size_t M, class Real, std::size_t N>
Tensor<Real, M> reshaped(const Tensor<Real, N>& tensor, const Shape<M>& shape) {
    Tensor<Real, M> other = empty<Real, M>(shape);
    if (other.size() != tensor.size()) [[unlikely]]
        throw ShapeError(message("reshaped: ", shape_text(shape_of(tensor)), " has ", tensor.size(), " elements, ",
                                 shape_text(shape), " has ", other.size()));
    std::copy_n(tensor.data(), tensor.size(), other.data());
    return other;
}

}  // namespace fot
