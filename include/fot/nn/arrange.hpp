/// Adding tensors, and taking rows out of them or putting them together: the operations between the layers.
///
/// Crossbatch training runs the layers below the memory layer on previous and current contexts together and then tells the two
/// apart again; only the current ones go on. That is `take_entries`; its inverse is `concatenate_entries`. Along the second axis,
/// that of tokens, the same are `take_positions` and `concatenate_positions`.
///
/// Read first: core/autograd.hpp.   Read next: attention/crossbatch_attention.hpp.
#pragma once

#include <vector>

#include "fot/core/autograd.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

namespace detail {

/// target[i] += source[i].
template <class Real>
void add_onto(const Real* source, Index count, Real* target) {
    parallel_slices(count, 1 << 15, [&](Index first, Index last) {
#pragma omp simd
        for (Index i = first; i < last; ++i) target[i] += source[i];
    });
}

template <class Real>
void copy_onto(const Real* source, Index count, Real* target) {
    parallel_slices(count, 1 << 15, [&](Index first, Index last) { std::copy(source + first, source + last, target + first); });
}

/// target[i] *= factor.
template <class Real>
void multiply_by(Real factor, Index count, Real* target) {
    parallel_slices(count, 1 << 15, [&](Index first, Index last) {
#pragma omp simd
        for (Index i = first; i < last; ++i) target[i] *= factor;
    });
}

/// Throws ConfigError unless the rows first ... first+count-1 are among those `there`.
inline void require_among(const char* who, const char* rows, Index first, Index count, Index there) {
    require<ConfigError>(first >= 0 && count >= 0 && first <= there && count <= there - first, who, ": ", count, " ", rows,
                         " from ", first, " on are not all among the ", there, " there are");
}

/// Numbers in one entry of the first axis.
template <class Real, std::size_t N>
Index entry_size(const Tensor<Real, N>& x) {
    return extent(x, 0) == 0 ? 0 : element_count(x) / extent(x, 0);
}

}  // namespace detail

/// a + b: the residual stream and what a sub-layer adds to it.
///
/// Errors: ShapeError if the two shapes differ.
template <class Real, std::size_t N>
Tensor<Real, N> add(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    require_shape("add: b", b, shape_of(a));
    Tensor<Real, N> y = empty_like(a);
    parallel_slices(element_count(a), 1 << 15, [&](Index first, Index last) {
        const Real *left = a.data(), *right = b.data();
        Real* sum = y.data();
#pragma omp simd
        for (Index i = first; i < last; ++i) sum[i] = left[i] + right[i];
    });
    return y;
}

/// `add` on the tape: the gradient of the sum goes to both.
template <class Real, std::size_t N>
Variable<Real, N> add(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) {
        if (a.needs_gradient()) detail::add_onto(d_y.data(), element_count(d_y), a.gradient().data());
        if (b.needs_gradient()) detail::add_onto(d_y.data(), element_count(d_y), b.gradient().data());
    };
    return tape.record(add(a.value(), b.value()), backward, a, b);
}

/// factor x, on the tape.
template <class Real, std::size_t N>
Variable<Real, N> multiply(Tape& tape, const Variable<Real, N>& x, Real factor) {
    Tensor<Real, N> y = x.value();
    detail::multiply_by(factor, element_count(y), y.data());
    const auto backward = [x, factor](const Tensor<Real, N>& d_y) {
        Real* d_x = x.gradient().data();
        for (Index i = 0; i < element_count(d_y); ++i) d_x[i] += factor * d_y.data()[i];
    };
    return tape.record(std::move(y), backward, x);
}

/// The entries first ... first+count-1 of the first axis.
///
/// Shapes: x (B,...) -> (count,...).
/// Errors: ConfigError if they are not all in x.
template <class Real, std::size_t N>
Tensor<Real, N> take_entries(const Tensor<Real, N>& x, Index first, Index count) {
    detail::require_among("take_entries", "entries", first, count, extent(x, 0));
    Shape<N> shape = shape_of(x);
    shape[0] = count;
    Tensor<Real, N> y = empty<Real, N>(shape);
    detail::copy_onto(x.data() + first * detail::entry_size(x), element_count(y), y.data());
    return y;
}

/// Vector-Jacobian product of `take_entries`. Shapes: d_y (count,...); adds to d_x (B,...).
template <class Real, std::size_t N>
void take_entries_vjp(const Tensor<Real, N>& d_y, Index first, Tensor<Real, N>& d_x) {
    Shape<N> taken = shape_of(d_x);
    taken[0] = extent(d_y, 0);
    require_shape("take_entries vjp: d_y", d_y, taken);
    require<ShapeError>(first >= 0 && first + taken[0] <= extent(d_x, 0), "take_entries vjp: ", taken[0], " entries from ", first,
                        " of ", extent(d_x, 0));
    detail::add_onto(d_y.data(), element_count(d_y), d_x.data() + first * detail::entry_size(d_x));
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
    Shape<N> shape = shape_of(a);
    shape[0] = -1;
    require_shape("concatenate_entries: b", b, shape);
    shape[0] = extent(a, 0) + extent(b, 0);
    Tensor<Real, N> y = empty<Real, N>(shape);
    detail::copy_onto(a.data(), element_count(a), y.data());
    detail::copy_onto(b.data(), element_count(b), y.data() + element_count(a));
    return y;
}

/// `concatenate_entries` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> concatenate_entries(Tape& tape, const Variable<Real, N>& a, const Variable<Real, N>& b) {
    const auto backward = [a, b](const Tensor<Real, N>& d_y) {
        const Index split = element_count(a.value());
        if (a.needs_gradient()) detail::add_onto(d_y.data(), split, a.gradient().data());
        if (b.needs_gradient()) detail::add_onto(d_y.data() + split, element_count(b.value()), b.gradient().data());
    };
    return tape.record(concatenate_entries(a.value(), b.value()), backward, a, b);
}

/// The rows of the second axis at the given positions, in that order; a position may come more than once.
///
///     y[b,p,...] = x[b,positions[p],...]
///
/// Shapes: x (B,T,...) -> (B,P,...).
/// Errors: ConfigError if a position is outside 0 ... T-1.
template <class Real, std::size_t N>
requires(N >= 2) Tensor<Real, N> take_positions(const Tensor<Real, N>& x, const std::vector<Index>& positions) {
    const Index batch = extent(x, 0), length = extent(x, 1), taken = static_cast<Index>(positions.size());
    for (const Index position : positions)
        require<ConfigError>(position >= 0 && position < length, "take_positions: position ", position, " is outside the ", length,
                             " there are");
    Shape<N> shape = shape_of(x);
    shape[1] = taken;
    Tensor<Real, N> y = empty<Real, N>(shape);
    const Index size = batch * length == 0 ? 0 : element_count(x) / (batch * length);
    parallel_for(batch, [&](Index b) {
        for (Index p = 0; p < taken; ++p) std::copy_n(row(x, b, positions[static_cast<std::size_t>(p)]), size, row(y, b, p));
    });
    return y;
}

/// The positions first ... first+count-1 of the second axis: a window of a text.
///
/// Shapes: x (B,T,...) -> (B,count,...).
/// Errors: ConfigError if they are not all in x.
template <class Real, std::size_t N>
requires(N >= 2) Tensor<Real, N> take_positions(const Tensor<Real, N>& x, Index first, Index count) {
    detail::require_among("take_positions", "positions", first, count, extent(x, 1));
    Shape<N> shape = shape_of(x);
    shape[1] = count;
    Tensor<Real, N> y = empty<Real, N>(shape);
    for (Index b = 0; b < shape[0] && count > 0; ++b) std::copy_n(row(x, b, first), detail::entry_size(y), row(y, b));
    return y;
}

/// The positions of a, then those of b, entry by entry.
///
/// Shapes: a (B,S,...), b (B,T,...) -> (B,S+T,...).
/// Errors: ShapeError if they differ in another axis than the second.
template <class Real, std::size_t N>
requires(N >= 2) Tensor<Real, N> concatenate_positions(const Tensor<Real, N>& a, const Tensor<Real, N>& b) {
    Shape<N> shape = shape_of(a);
    shape[1] = -1;
    require_shape("concatenate_positions: b", b, shape);
    shape[1] = extent(a, 1) + extent(b, 1);
    Tensor<Real, N> y = empty<Real, N>(shape);
    for (Index entry = 0; entry < shape[0]; ++entry) {
        std::copy_n(row(a, entry), detail::entry_size(a), row(y, entry));
        std::copy_n(row(b, entry), detail::entry_size(b), row(y, entry) + detail::entry_size(a));
    }
    return y;
}

/// Vector-Jacobian product of `take_positions`. Shapes: d_y (B,P,...); adds to d_x (B,T,...).
template <class Real, std::size_t N>
requires(N >= 2) void take_positions_vjp(const Tensor<Real, N>& d_y, const std::vector<Index>& positions, Tensor<Real, N>& d_x) {
    const Index batch = extent(d_x, 0), length = extent(d_x, 1), taken = static_cast<Index>(positions.size());
    const Index size = batch * length == 0 ? 0 : element_count(d_x) / (batch * length);
    Shape<N> shape = shape_of(d_x);
    shape[1] = taken;
    require_shape("take_positions vjp: d_y", d_y, shape);
    for (const Index position : positions)
        require<ShapeError>(position >= 0 && position < length, "take_positions vjp: position ", position, " of ", length);
    parallel_for(batch, [&](Index b) {
        for (Index p = 0; p < taken; ++p) {
            const Real* d_y_bp = row(d_y, b, p);
            Real* d_x_bp = row(d_x, b, positions[static_cast<std::size_t>(p)]);
#pragma omp simd
            for (Index e = 0; e < size; ++e) d_x_bp[e] += d_y_bp[e];
        }
    });
}

/// `take_positions` on the tape.
template <class Real, std::size_t N>
Variable<Real, N> take_positions(Tape& tape, const Variable<Real, N>& x, const std::vector<Index>& positions) {
    const auto backward = [x, positions](const Tensor<Real, N>& d_y) { take_positions_vjp(d_y, positions, x.gradient()); };
    return tape.record(take_positions(x.value(), positions), backward, x);
}

}  // namespace fot
