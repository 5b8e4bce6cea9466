/// Rotary positions: queries and keys are rotated by angles that grow with their position, so that their inner product depends on
/// the distance of the two.
///
/// The D numbers of a head form D/2 pairs (j, j + D/2), as in the files of Hugging Face, and pair j of a token at position p is
/// rotated by p / base^(2 j / D).
///
/// A memory attention layer of the paper's small models uses no positions at all. The reason is in paper_notes.md, "Reasons".
/// LongLLaMA rotates the local context as usual, and gives position 0 to keys of the memory and of other contexts. A rotation to
/// position 0 changes nothing, so those keys are used as they are.
///
/// Source: Su et al. 2021; paper section 3.1 (positions in the memory layer), appendices A.2 and B.1. RotaryScaling:
/// modeling_rope_utils.py of Hugging Face's transformers ("linear" and "llama3").
/// Read first: core/autograd.hpp.   Read next: attention/causal_attention.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <utility>
#include <vector>

#include "fot/core/autograd.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

/// Slower rotations, for texts longer than those that a model was first trained on. Every checkpoint says which it was trained
/// with.
///
///     a' = a (keep + (1 - keep) / factor),    keep = 0 ("linear"), or ("llama3")
///     keep = (r - low) / (high - low) between 0 and 1,  r = a window / (2 pi), the rotations within the first training's window
struct RotaryScaling {
    double factor = 1;          ///< angles are divided by it; 1: unscaled
    double window = 0;          ///< tokens of the first training's window; 0: all pairs are alike
    double low_rotations = 1;   ///< pairs of no more rotations within the window are slowed by the factor
    double high_rotations = 4;  ///< pairs of as many or more are left as they are

    bool operator==(const RotaryScaling&) const = default;  ///< field by field

    /// The angle per position, in radians, of a pair whose angle without scaling is `plain`.
    double frequency(double plain) const {
        const double rotations = plain * window / (2 * std::numbers::pi);
        const double keep = window > 0 ? std::clamp((rotations - low_rotations) / (high_rotations - low_rotations), 0.0, 1.0) : 0.0;
        return plain * (keep + (1 - keep) / factor);
    }
    /// Throws ConfigError unless rotations become slower, and the numbers are finite and in order.
    void check() const {
        require<ConfigError>(factor >= 1 && std::isfinite(factor), "RotaryScaling: factor is ", factor,
                             ", expected a finite number from 1 on");
        require<ConfigError>(window >= 0 && std::isfinite(window) && low_rotations > 0 && high_rotations > low_rotations &&
                                 std::isfinite(high_rotations),
                             "RotaryScaling: window ", window, ", low_rotations ", low_rotations, ", high_rotations ",
                             high_rotations, ": expected finite numbers above 0 (the window: or 0), the last above the second");
    }
};

/// Cosines and sines of the angles of the positions 0 ... positions-1, computed in double. Copies share the numbers, which never
/// change: any number of threads may use them.
template <class Real>
class RotaryTable {
   public:
    /// A local context of four million tokens, far more than dense attention can do: beyond it a position is taken for a mistake.
    static constexpr Index most_positions = Index(1) << 22;
    /// Enough for the local contexts of small models; `covering` makes more.
    static constexpr Index usual_positions = 1024;

    /// Errors: ConfigError if the head width is odd or below 2, if the base is not a finite number above 0, if `positions` is
    ///         negative or above most_positions, or if the scaling is not valid.
    RotaryTable(double base, Index width, Index positions = usual_positions, const RotaryScaling& scaling = {})
        : base_(base), width_(width), scaling_(scaling) {
        scaling.check();
        require<ConfigError>(width >= 2 && width % 2 == 0, "RotaryTable: head width ", width, ", expected an even number above 0");
        require<ConfigError>(base > 0 && std::isfinite(base), "RotaryTable: base is ", base, ", expected a finite number above 0");
        require<ConfigError>(positions >= 0 && positions <= most_positions, "RotaryTable: ", positions,
                             " positions, expected 0 ... ", most_positions);
        const Index pairs = width / 2;
        Tensor<Real, 2> cosine = empty<Real, 2>({positions, pairs}), sine = empty<Real, 2>({positions, pairs});
        for (Index j = 0; j < pairs; ++j) {
            const double frequency = scaling.frequency(std::pow(base, -2.0 * static_cast<double>(j) / static_cast<double>(width)));
            for (Index p = 0; p < positions; ++p) {
                cosine(p, j) = static_cast<Real>(std::cos(static_cast<double>(p) * frequency));
                sine(p, j) = static_cast<Real>(std::sin(static_cast<double>(p) * frequency));
            }
        }
        cosine_ = std::make_shared<const Tensor<Real, 2>>(std::move(cosine));
        sine_ = std::make_shared<const Tensor<Real, 2>>(std::move(sine));
    }

    /// This table if it has the positions 0 ... highest, else a larger one.   Errors: ConfigError from most_positions on.
    RotaryTable covering(Index highest) const {
        return highest < positions() ? *this : RotaryTable(base_, width_, highest + 1, scaling_);
    }
    /// The same for a list of positions.
    RotaryTable covering(const std::vector<Index>& list) const {
        return covering(list.empty() ? Index(-1) : *std::max_element(list.begin(), list.end()));
    }

    /// D
    Index width() const { return width_; }
    /// How many positions it has.
    Index positions() const { return extent(*cosine_, 0); }

    /// (positions, D/2)
    const Tensor<Real, 2>& cosine() const { return *cosine_; }
    /// (positions, D/2)
    const Tensor<Real, 2>& sine() const { return *sine_; }

   private:
    double base_;
    Index width_;
    RotaryScaling scaling_;
    std::shared_ptr<const Tensor<Real, 2>> cosine_, sine_;
};

namespace detail {

/// Checks one position per token and writes them out as (B,T).
inline Tensor<Index, 2> positions_of_all(const std::vector<Index>& positions, Index batch, Index length) {
    require<ShapeError>(length_of(positions) == length, "rotate: got ", positions.size(), " positions, expected one for each of ",
                        length, " tokens");
    Tensor<Index, 2> all = empty<Index, 2>({batch, length});
    for (Index b = 0; b < batch; ++b) std::copy_n(positions.data(), length, row(all, b));
    return all;
}

inline const Tensor<Index, 2>& positions_of_all(const Tensor<Index, 2>& positions, Index batch, Index length) {
    require_shape("rotate: positions", positions, {batch, length});
    return positions;
}

/// y = the vector x of D numbers, rotated; or back: y += x, rotated back. Both in halves; the compiler is told that those of y
/// overlap with nothing.
template <bool back, class Real>
void rotate_head(const Real* x1, const Real* x2, const Real* cosine, const Real* sine, Index pairs, Real* __restrict y1,
                 Real* __restrict y2) {
    for (Index j = 0; j < pairs; ++j) {
        const Real c = cosine[j], s = back ? -sine[j] : sine[j];
        const Real first = x1[j] * c - x2[j] * s, second = x2[j] * c + x1[j] * s;
        y1[j] = back ? y1[j] + first : first;
        y2[j] = back ? y2[j] + second : second;
    }
}

template <bool back, class Real, class Positions>
void rotate_into(const Tensor<Real, 4>& x, const Positions& positions, const RotaryTable<Real>& table, Tensor<Real, 4>& y) {
    const Index batch = extent(x, 0), length = extent(x, 1), heads = extent(x, 2), width = extent(x, 3), pairs = width / 2;
    require<ConfigError>(width == table.width(), "rotate: head width is ", width, ", the table is made for ", table.width());
    const Tensor<Index, 2>& all = positions_of_all(positions, batch, length);
    for (const Index position : all.storage())
        require<ConfigError>(position >= 0 && position < table.positions(), "rotate: position ", position,
                             " is outside the table of ", table.positions(), " positions");
    parallel_slices(batch * length, 64, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i) {
            const Real *cosine = row(table.cosine(), all.data()[i]), *sine = row(table.sine(), all.data()[i]);
            for (Index h = 0; h < heads; ++h) {
                const Real* x_ih = x.data() + (i * heads + h) * width;
                Real* y_ih = y.data() + (i * heads + h) * width;
                rotate_head<back>(x_ih, x_ih + pairs, cosine, sine, pairs, y_ih, y_ih + pairs);
            }
        }
    });
}

}  // namespace detail

/// Every head vector rotated by the angles of its token's position.
///
///     (y[j], y[j'])  = (x[j] cos a - x[j'] sin a, x[j'] cos a + x[j] sin a),   j' = j + D/2, a = position / base^(2 j / D)
///
/// `positions` is a `std::vector<Index>` of length T, the same for each batch entry, or a `Tensor<Index, 2>` (B,T).
/// Shapes: x (B,T,H,D) -> (B,T,H,D).
/// Cost:   one pass, 4 multiplications a pair.
/// Errors: ConfigError if a position is outside the table, or D is not the table's; ShapeError unless there is one per token.
/// Same as: x, if all positions are 0.
template <class Real, class Positions>
Tensor<Real, 4> rotate(const Tensor<Real, 4>& x, const Positions& positions, const RotaryTable<Real>& table) {
    Tensor<Real, 4> y = empty_like(x);
    detail::rotate_into<false>(x, positions, table, y);
    return y;
}

/// Vector-Jacobian product of `rotate`: a rotation keeps lengths, so its transpose is the rotation back.
///
/// Shapes: d_y (B,T,H,D); adds to d_x (B,T,H,D).   Errors: as `rotate`; ShapeError unless both have the same shape.
template <class Real, class Positions>
void rotate_vjp(const Tensor<Real, 4>& d_y, const Positions& positions, const RotaryTable<Real>& table, Tensor<Real, 4>& d_x) {
    require_shape("rotate vjp: d_x", d_x, shape_of(d_y));
    detail::rotate_into<true>(d_y, positions, table, d_x);
}

/// `rotate` on the tape.
template <class Real, class Positions>
Variable<Real, 4> rotate(Tape& tape, const Variable<Real, 4>& x, const Positions& positions, const RotaryTable<Real>& table) {
    const auto backward = [x, table, positions](const Tensor<Real, 4>& d_y) { rotate_vjp(d_y, positions, table, x.gradient()); };
    return tape.record(rotate(x.value(), positions, table), backward, x);
}

}  // namespace fot
