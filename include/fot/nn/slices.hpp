/// Taking parts of a tensor, joining tensors, and giving the same numbers another shape or order of axes.
///
/// The first axis of what runs through a model is that of batch entries, the second that of tokens. Training wants the logits of
/// some positions only (`take_positions`), a window is a piece of a text (`slice<1>`), and each batch entry has a memory of its own
/// (`slice<0>`). The others are there to put together a layer of one's own.
///
/// All of these functions copy. If a tensor is only read, addressing it in place is cheaper: `row`, `as_matrix` (core/tensor.hpp,
/// core/matrix_view.hpp).
///
/// Read first: nn/arithmetic.hpp.   Read next: attention/crossbatch_attention.hpp.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/core/autograd.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

namespace detail {

/// A tensor as (outer, along, inner): what lies before an axis, the axis, what lies after it.
template <std::size_t axis>
struct AroundAxis {
    Index outer = 1, along, inner = 1;

    template <std::size_t N>
    explicit AroundAxis(const Shape<N>& shape) : along(shape[axis]) {
        static_assert(axis < N);
        for (std::size_t i = 0; i < N; ++i) (i < axis ? outer : inner) *= i == axis ? 1 : shape[i];
    }
};

template <std::size_t axis, std::size_t N>
Shape<N> with_extent(Shape<N> shape, Index count) {
    shape[axis] = count;
    return shape;
}

/// f(y, x) on the numbers of `part`, and on those of `whole` from index `first` of the axis on, which they are or become.
template <std::size_t axis, class Part, class Whole, class F>
void for_part(Part& part, Whole& whole, Index first, F f) {
    const AroundAxis<axis> of_part(shape_of(part)), of_whole(shape_of(whole));
    const Index size = of_part.along * of_part.inner;
    parallel_for(of_part.outer, [&](Index outer) {
        auto* part_at = part.data() + outer * size;
        auto* whole_at = whole.data() + (outer * of_whole.along + first) * of_whole.inner;
        parallel_slices(size, 1 << 15, [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) f(part_at[i], whole_at[i]);
        });
    });
}

}  // namespace detail

/// The indices first ... first+count-1 of one axis: of batch entries (axis 0), or of a window of a text (axis 1).
///
///     slice<1>(x, first, count):   y[b,t,...] = x[b,first+t,...]
///
/// Shapes: x -> the same with `count` along the axis.
/// Errors: ConfigError if they are not all in x.
template <std::size_t axis, class Real, std::size_t N>
Tensor<Real, N> slice(const Tensor<Real, N>& x, Index first, Index count) {
    const Index there = extent(x, axis);
    require<ConfigError>(first >= 0 && count >= 0 && first <= there && count <= there - first, "slice: ", count, " from ", first,
                         " on are not all among the ", there, " that axis ", axis, " has");
    Tensor<Real, N> y = empty<Real, N>(detail::with_extent<axis>(shape_of(x), count));
    detail::for_part<axis>(y, x, first, [](Real& y_i, Real x_i) { y_i = x_i; });
    return y;
}

/// `slice` on the tape.
template <std::size_t axis, class Real, std::size_t N>
Variable<Real, N> slice(Tape& tape, const Variable<Real, N>& x, Index first, Index count) {
    const auto backward = [x, first](const Tensor<Real, N>& d_y) {
        detail::for_part<axis>(d_y, x.gradient(), first, [](Real d_y_i, Real& d_x_i) { d_x_i += d_y_i; });
    };
    return tape.record(slice<axis>(x.value(), first, count), backward, x);
}

/// a, then b, along one axis.
///
/// Shapes: of the same extents along all other axes.
/// Errors: ShapeError otherwise.
template <std::size_t axis, class Real, std::size_t N>
Tensor<Real, N> concatenate(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    require_shape("concatenate: b", b, detail::with_extent<axis>(shape_of(a), -1));
    Tensor<Real, N> y = empty<Real, N>(detail::with_extent<axis>(shape_of(a), extent(a, axis) + extent(b, axis)));
    const auto copy = [](Real part_i, Real& y_i) { y_i = part_i; };
    detail::for_part<axis>(a, y, 0, copy);
    detail::for_part<axis>(b, y, extent(a, axis), copy);
    return y;
}

/// `concatenate` on the tape.
template <std::size_t axis, class Real, std::size_t N>
Variable<Real, N> concatenate(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) {
        const auto add = [](Real& d_part_i, Real d_y_i) { d_part_i += d_y_i; };
        if (a.needs_gradient()) detail::for_part<axis>(a.gradient(), d_y, 0, add);
        if (b.needs_gradient()) detail::for_part<axis>(b.gradient(), d_y, extent(a.value(), axis), add);
    };
    return tape.record(concatenate<axis>(a.value(), b.value()), backward, a, b);
}

/// The rows of the second axis at the given positions, in that order; a position may come more than once.
///
///     y[b,p,...] = x[b,positions[p],...]
///
/// Shapes: x (B,T,...) -> (B,P,...).
/// Errors: ConfigError if a position is outside 0 ... T-1.
template <class Real, std::size_t N>
Tensor<Real, N> take_positions(const Tensor<Real, N>& x, const std::vector<Index>& positions) {
    for (const Index position : positions)
        require<ConfigError>(position >= 0 && position < extent(x, 1), "take_positions: position ", position, " is outside the ",
                             extent(x, 1), " there are");
    Tensor<Real, N> y = empty<Real, N>(detail::with_extent<1>(shape_of(x), length_of(positions)));
    const Index size = detail::AroundAxis<1>(shape_of(x)).inner;
    parallel_for(extent(x, 0), [&](Index b) {
        for (Index p = 0; p < length_of(positions); ++p) std::copy_n(row(x, b, element(positions, p)), size, row(y, b, p));
    });
    return y;
}

/// `take_positions` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> take_positions(Tape& tape, const Variable<Real, N>& x, const std::vector<Index>& positions) {
    const auto backward = [x, positions](const Tensor<Real, N>& d_y) {
        Tensor<Real, N>& d_x = x.gradient();
        const Index size = detail::AroundAxis<1>(shape_of(d_x)).inner;
        parallel_for(extent(d_x, 0), [&](Index b) {
            for (Index p = 0; p < length_of(positions); ++p) {
                const Real* d_y_bp = row(d_y, b, p);
                Real* d_x_bp = row(d_x, b, element(positions, p));
                for (Index i = 0; i < size; ++i) d_x_bp[i] += d_y_bp[i];
            }
        });
    };
    return tape.record(take_positions(x.value(), positions), backward, x);
}

namespace detail {

/// The shape with its axes in a different order.   Errors: ConfigError unless every axis is named once.
template <std::size_t N>
Shape<N> permuted_shape(const Shape<N>& shape, const Shape<N>& axes) {
    Shape<N> other{};
    for (std::size_t i = 0; i < N; ++i) {
        require<ConfigError>(std::count(axes.begin(), axes.end(), static_cast<Index>(i)) == 1, "permuted: axes ", shape_text(axes),
                             ", expected each of 0 ... ", N - 1, " once");
        other[i] = element(shape, axes[i]);
    }
    return other;
}

/// f(place in y, place in x) for every number of y, whose axis i is axis axes[i] of x.
template <std::size_t N, class F>
void for_each_permuted(const Shape<N>& x_shape, const Shape<N>& axes, F f) {
    const Shape<N> y_shape = permuted_shape(x_shape, axes);
    Shape<N> x_step{}, step{};
    Index count = 1;
    for (std::size_t i = N; i-- > 0; count *= x_shape[i]) x_step[i] = count;
    for (std::size_t i = 0; i < N; ++i) step[i] = element(x_step, axes[i]);
    const Index width = y_shape[N - 1];
    for (Index y = 0; y < count; y += width) {
        Index x = 0, rest = y / width;
        for (std::size_t i = N - 1; i-- > 0; rest /= y_shape[i]) x += rest % y_shape[i] * step[i];
        for (Index i = 0; i < width; ++i) f(y + i, x + i * step[N - 1]);
    }
}

}  // namespace detail

/// The axes in a different order: axis i of the result is axis `axes[i]` of x.
///
///     permuted(x, {0, 2, 1, 3}):   y[b,h,t,d] = x[b,t,h,d]
///
/// Cost:   a copy; slower where the last axis changes, since numbers that lie apart are read one by one.
/// Errors: ConfigError unless every axis is named once.
template <class Real, std::size_t N>
Tensor<Real, N> permuted(const Tensor<Real, N>& x, const std::type_identity_t<Shape<N>>& axes) {
    Tensor<Real, N> y = empty<Real, N>(detail::permuted_shape(shape_of(x), axes));
    detail::for_each_permuted(shape_of(x), axes, [&](Index to, Index from) { y.data()[to] = x.data()[from]; });
    return y;
}

/// `permuted` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> permuted(Tape& tape, const Variable<Real, N>& x, const std::type_identity_t<Shape<N>>& axes) {
    const auto backward = [x, axes](const Tensor<Real, N>& d_y) {
        Real* d_x = x.gradient().data();
        detail::for_each_permuted(shape_of(x.value()), axes, [&](Index to, Index from) { d_x[from] += d_y.data()[to]; });
    };
    return tape.record(permuted(x.value(), axes), backward, x);
}

/// `reshaped` (core/tensor.hpp) on the tape: the same numbers in the same order, under another shape.
///
///     reshaped<4>(tape, x, {B, T, H, D})
///
/// Errors: ShapeError if the shape has a different number of elements.
template <std::size_t M, class Real, std::size_t N>
Variable<Real, M> reshaped(Tape& tape, const Variable<Real, N>& x, const Shape<M>& shape) {
    const auto backward = [x](const Tensor<Real, M>& d_y) { x.gradient() += reshaped<N>(d_y, shape_of(x.value())); };
    return tape.record(reshaped<M>(x.value(), shape), backward, x);
}

}  // namespace fot
