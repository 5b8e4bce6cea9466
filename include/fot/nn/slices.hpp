/// Taking parts of a tensor, joining tensors, and giving the same numbers another shape or order of axes.
///
/// The first axis of what runs through a model is that of batch entries, the second that of tokens. Training wants the logits of
/// some positions only (`take_positions`). Reading with a memory handles one batch entry at a time, since each has a memory of its
/// own
/// (`take_entries`, `concatenate_entries`). The others are there to put together a layer of one's own.
///
/// All copy. A tensor that is only read is cheaper addressed in place: `row`, `as_matrix` (core/tensor.hpp, core/matrix_view.hpp).
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
#pragma omp simd
            for (Index i = begin; i < end; ++i) f(part_at[i], whole_at[i]);
        });
    });
}

inline constexpr auto copy_to_part = [](auto& part, const auto& whole) { part = whole; };
inline constexpr auto copy_to_whole = [](const auto& part, auto& whole) { whole = part; };
inline constexpr auto add_to_part = [](auto& part, const auto& whole) { part += whole; };
inline constexpr auto add_to_whole = [](const auto& part, auto& whole) { whole += part; };

template <std::size_t axis>
void require_there(const char* who, Index first, Index count, Index there) {
    require<ConfigError>(first >= 0 && count >= 0 && first <= there && count <= there - first, who, ": ", count,
                         axis == 0 ? " entries" : " positions", " from ", first, " on are not all among the ", there, " there are");
}

inline void require_positions(const char* who, const std::vector<Index>& positions, Index there) {
    for (const Index position : positions)
        require<ConfigError>(position >= 0 && position < there, who, ": position ", position, " is outside the ", there,
                             " there are");
}

template <std::size_t axis, class Real, std::size_t N>
Tensor<Real, N> take(const char* who, const Tensor<Real, N>& x, Index first, Index count) {
    require_there<axis>(who, first, count, extent(x, axis));
    Tensor<Real, N> y = empty<Real, N>(with_extent<axis>(shape_of(x), count));
    for_part<axis>(y, x, first, copy_to_part);
    return y;
}

template <std::size_t axis, class Real, std::size_t N>
void take_vjp(const char* who, const Tensor<Real, N>& d_y, Index first, Tensor<Real, N>& d_x) {
    require_shape(who, d_y, with_extent<axis>(shape_of(d_x), extent(d_y, axis)));
    require_there<axis>(who, first, extent(d_y, axis), extent(d_x, axis));
    for_part<axis>(d_y, d_x, first, add_to_whole);
}

template <std::size_t axis, class Real, std::size_t N>
Tensor<Real, N> concatenate(const char* who, const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    require_shape(who, b, with_extent<axis>(shape_of(a), -1));
    Tensor<Real, N> y = empty<Real, N>(with_extent<axis>(shape_of(a), extent(a, axis) + extent(b, axis)));
    for_part<axis>(a, y, 0, copy_to_whole);
    for_part<axis>(b, y, extent(a, axis), copy_to_whole);
    return y;
}

template <std::size_t axis, class Real, std::size_t N>
Variable<Real, N> concatenate(Tape& tape, Tensor<Real, N> y, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) {
        if (a.needs_gradient()) for_part<axis>(a.gradient(), d_y, 0, add_to_part);
        if (b.needs_gradient()) for_part<axis>(b.gradient(), d_y, extent(a.value(), axis), add_to_part);
    };
    return tape.record(std::move(y), backward, a, b);
}

}  // namespace detail

/// The entries first ... first+count-1 of the first axis.
///
/// Shapes: x (B,...) -> (count,...).
/// Errors: ConfigError if they are not all in x.
template <class Real, std::size_t N>
Tensor<Real, N> take_entries(const Tensor<Real, N>& x, Index first, Index count) {
    return detail::take<0>("take_entries", x, first, count);
}

/// Vector-Jacobian product of `take_entries`. Shapes: d_y (count,...); adds to d_x (B,...).
/// Errors: ShapeError otherwise; ConfigError as take_entries.
template <class Real, std::size_t N>
void take_entries_vjp(const Tensor<Real, N>& d_y, Index first, Tensor<Real, N>& d_x) {
    detail::take_vjp<0>("take_entries vjp: d_y", d_y, first, d_x);
}

/// `take_entries` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> take_entries(Tape& tape, const Variable<Real, N>& x, Index first, Index count) {
    const auto backward = [x, first](const Tensor<Real, N>& d_y) { take_entries_vjp(d_y, first, x.gradient()); };
    return tape.record(take_entries(x.value(), first, count), backward, x);
}

/// The entries of a, then those of b.
///
/// Shapes: a (A,...), b (B,...) -> (A+B,...).
/// Errors: ShapeError if they differ in another axis than the first.
template <class Real, std::size_t N>
Tensor<Real, N> concatenate_entries(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    return detail::concatenate<0>("concatenate_entries: b", a, b);
}

/// `concatenate_entries` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> concatenate_entries(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    return detail::concatenate<0>(tape, concatenate_entries(a.value(), b.value()), a, b);
}

/// The positions first ... first+count-1 of the second axis: a window of a text.
///
/// Shapes: x (B,T,...) -> (B,count,...).
/// Errors: ConfigError if they are not all in x.
template <class Real, std::size_t N>
Tensor<Real, N> take_positions(const Tensor<Real, N>& x, Index first, Index count) {
    return detail::take<1>("take_positions", x, first, count);
}

/// Vector-Jacobian product of this. Shapes: d_y (B,count,...); adds to d_x (B,T,...).
/// Errors: ShapeError otherwise; ConfigError as take_positions.
template <class Real, std::size_t N>
void take_positions_vjp(const Tensor<Real, N>& d_y, Index first, Tensor<Real, N>& d_x) {
    detail::take_vjp<1>("take_positions vjp: d_y", d_y, first, d_x);
}

/// The same on the tape.
template <class Real, std::size_t N>
Variable<Real, N> take_positions(Tape& tape, const Variable<Real, N>& x, Index first, Index count) {
    const auto backward = [x, first](const Tensor<Real, N>& d_y) { take_positions_vjp(d_y, first, x.gradient()); };
    return tape.record(take_positions(x.value(), first, count), backward, x);
}

/// The positions of a, then those of b, entry by entry.
///
/// Shapes: a (B,S,...), b (B,T,...) -> (B,S+T,...).
/// Errors: ShapeError if they differ in another axis than the second.
template <class Real, std::size_t N>
Tensor<Real, N> concatenate_positions(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    return detail::concatenate<1>("concatenate_positions: b", a, b);
}

/// `concatenate_positions` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> concatenate_positions(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    return detail::concatenate<1>(tape, concatenate_positions(a.value(), b.value()), a, b);
}

/// The rows of the second axis at the given positions, in that order; a position may come more than once.
///
///     y[b,p,...] = x[b,positions[p],...]
///
/// Shapes: x (B,T,...) -> (B,P,...).
/// Errors: ConfigError if a position is outside 0 ... T-1.
template <class Real, std::size_t N>
Tensor<Real, N> take_positions(const Tensor<Real, N>& x, const std::vector<Index>& positions) {
    detail::require_positions("take_positions", positions, extent(x, 1));
    Tensor<Real, N> y = empty<Real, N>(detail::with_extent<1>(shape_of(x), length_of(positions)));
    const Index size = detail::AroundAxis<1>(shape_of(x)).inner;
    parallel_for(extent(x, 0), [&](Index b) {
        for (Index p = 0; p < length_of(positions); ++p) std::copy_n(row(x, b, element(positions, p)), size, row(y, b, p));
    });
    return y;
}

/// Vector-Jacobian product of this. Shapes: d_y (B,P,...); adds to d_x (B,T,...).
/// Errors: ShapeError if they do not fit; ConfigError if a position is outside 0 ... T-1.
template <class Real, std::size_t N>
void take_positions_vjp(const Tensor<Real, N>& d_y, const std::vector<Index>& positions, Tensor<Real, N>& d_x) {
    require_shape("take_positions vjp: d_y", d_y, detail::with_extent<1>(shape_of(d_x), length_of(positions)));
    detail::require_positions("take_positions vjp", positions, extent(d_x, 1));
    const Index size = detail::AroundAxis<1>(shape_of(d_x)).inner;
    parallel_for(extent(d_x, 0), [&](Index b) {
        for (Index p = 0; p < length_of(positions); ++p) {
            const Real* d_y_bp = row(d_y, b, p);
            Real* d_x_bp = row(d_x, b, element(positions, p));
#pragma omp simd
            for (Index i = 0; i < size; ++i) d_x_bp[i] += d_y_bp[i];
        }
    });
}

/// The same on the tape.
template <class Real, std::size_t N>
Variable<Real, N> take_positions(Tape& tape, const Variable<Real, N>& x, const std::vector<Index>& positions) {
    const auto backward = [x, positions](const Tensor<Real, N>& d_y) { take_positions_vjp(d_y, positions, x.gradient()); };
    return tape.record(take_positions(x.value(), positions), backward, x);
}

namespace detail {

/// The shape with its axes in another order.   Errors: ConfigError unless every axis is named once.
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
    Shape<N> x_step{}, step{}, at{};
    Index count = 1;
    for (std::size_t i = N; i-- > 0; count *= x_shape[i]) x_step[i] = count;
    for (std::size_t i = 0; i < N; ++i) step[i] = element(x_step, axes[i]);
    for (Index y = 0, x = 0; y < count; y += y_shape[N - 1]) {
        for (Index i = 0; i < y_shape[N - 1]; ++i) f(y + i, x + i * step[N - 1]);
        for (std::size_t i = N - 1; i-- > 0;) {  // on to the next row of y
            x += step[i];
            if (++at[i] < y_shape[i]) break;
            x -= y_shape[i] * step[i];
            at[i] = 0;
        }
    }
}

}  // namespace detail

/// The axes in another order: axis i of the result is axis `axes[i]` of x.
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

/// Vector-Jacobian product of `permuted`. Shapes: d_y as the result; adds to d_x, of x's shape.   Errors: ShapeError otherwise.
template <class Real, std::size_t N>
void permuted_vjp(const Tensor<Real, N>& d_y, const std::type_identity_t<Shape<N>>& axes, Tensor<Real, N>& d_x) {
    require_shape("permuted vjp: d_y", d_y, detail::permuted_shape(shape_of(d_x), axes));
    detail::for_each_permuted(shape_of(d_x), axes, [&](Index to, Index from) { d_x.data()[from] += d_y.data()[to]; });
}

/// `permuted` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> permuted(Tape& tape, const Variable<Real, N>& x, const std::type_identity_t<Shape<N>>& axes) {
    const auto backward = [x, axes](const Tensor<Real, N>& d_y) { permuted_vjp(d_y, axes, x.gradient()); };
    return tape.record(permuted(x.value(), axes), backward, x);
}

/// `reshaped` (core/tensor.hpp) on the tape: the same numbers in the same order, under another shape.
///
///     reshaped<4>(tape, x, {B, T, H, D})
///
/// Errors: ShapeError if the shape has another number of elements.
template <std::size_t M, class Real, std::size_t N>
Variable<Real, M> reshaped(Tape& tape, const Variable<Real, N>& x, const Shape<M>& shape) {
    const auto backward = [x](const Tensor<Real, M>& d_y) { x.gradient() += reshaped<N>(d_y, shape_of(x.value())); };
    return tape.record(reshaped<M>(x.value(), shape), backward, x);
}

}  // namespace fot
