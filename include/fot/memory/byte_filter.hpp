/// A filter in front of exact search: products of bytes rule out most keys, by a proven bound, and the search stays exact.
///
///     if (filter.read(keys, queries, next))                                      // rounds a block of keys to bytes
///         for (const Candidate& candidate : filter.candidates(p, bars)) ...      // keys that may reach a bar of panel p
///
/// A search needs a score only where it reaches the query's bar, a k-th best score so far, and few scores do. Bytes are multiplied
/// two to four times as fast as floats, and for most keys their product shows that the score stays below the bar. The remaining
/// keys are scored by the float kernel of the search itself, so what it finds is bitwise the same with the filter and without.
///
/// The bound. A query q is rounded to s q', where q' has whole numbers of -Q ... Q, Q = 127 or what the kernel can take, and s Q is
/// the largest absolute value in q. The keys k of a block are rounded to t k', whole numbers of -127 ... 127, with one t for all of
/// them. With the errors dq = q - s q' and dk = k - t k'
///
///     <q, k> - s t <q', k'>  =  <dq, t k'> + <q, dk>.
///
/// If K is the largest |k| of the block and E the largest |dk|, then |t k'| <= K + E, and by the Cauchy-Schwarz inequality
///
///     |<q, k> - s t <q', k'>|  <=  |dq| (K + E) + |q| E.                                                                    (1)
///
/// The search compares float sums f with its bars, and f differs from <q, k> by at most D u |q| K / (1 - D u), u = 2^-24, in
/// whatever order its D terms are added. The right side of (1) is calculated in float as well. Its lengths are square roots of sums
/// of squares, which are right to a factor of 1 + D u; differences such as q - s q' are off by u |q|; and the few operations
/// that make the bar of <q', k'> are off by some u (|q| K + |bar|). A factor of 1 + 2^-10 and a term rho |q| K with
/// rho = (D + 16) 2^-20, sixteen times D u and more, cover all of that as long as D <= 4096:
///
///     f >= bar   implies   s t <q', k'>  >=  bar - (1 + 2^-10) (K (|dq| + rho |q|) + E (|dq| + |q|)).                         (2)
///
/// Beyond +-2 |q| K the bar's own error may exceed rho |q| K. But then no score reaches it or all do, and (2) holds anyway.
///
/// When it holds: in rounding to nearest, for lengths of 2^-40 ... 2^50. Then nothing overflows, and what underflows is covered by
/// rho, even if it is flushed to 0: errors below 2^-63, whose squares vanish, add up to sqrt(D) 2^-63. A block in which the largest
/// |k| is outside, or some number not finite, is left to the float search. A query outside, unless it is 0, keeps all keys.
///
/// Whether it pays is measured during a search (memory/filter_trials.hpp).
///
/// Read first: core/byte_products.hpp, core/tile_product.hpp.   Read next: memory/filter_trials.hpp, memory/streaming_search.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <vector>

#include "fot/core/byte_products.hpp"
#include "fot/core/exponential.hpp"  // refuses -ffast-math, under which sums are not rounded in the written order
#include "fot/core/fetch_ahead.hpp"
#include "fot/core/matrix_view.hpp"
#include "fot/core/simd.hpp"
#include "fot/core/tile_product.hpp"

namespace fot {

/// A key that may reach bars.
struct Candidate {
    Index key;              ///< its row in the block
    std::uint32_t queries;  ///< bit j: it may reach the bar of query j of the panel
};

/// The filter of one search, which runs on one thread. Bytes is the kernel that multiplies.
template <class Bytes = ByteProducts>
class ByteFilter {
   public:
    /// Rounds a block of keys (m,D); false if it is to be scored in float, because (2) may not hold or it has too few rows or
    /// columns to pay. The queries are the same in every call. What is read next is fetched meanwhile.
    bool read(MatrixView<const float> keys, const std::vector<PackedFactor<float>>& queries, const FetchAhead& next) {
        if (keys.rows < 4 * byte_tile_rows || keys.columns < 32 || keys.columns > 4096) return false;
        if (panels_.empty()) std::transform(queries.begin(), queries.end(), std::back_inserter(panels_), rounded_queries);
        next_ = next;
        next_.cut(length_of(panels_) * ((keys.rows - 1) / byte_tile_rows + 1));
        return round_keys(keys);
    }

    /// The keys of the block, in ascending order, that may reach a bar of panel p. The list is valid until the next call.
    [[gnu::flatten]] const std::vector<Candidate>& candidates(Index p, const float* bars) {
        const Panel& panel = element(panels_, p);
        // (2), divided by s t, as <q', k' + 128> - shift - least >= 0. No product of 4096 bytes is beyond 2^30; NaN is below all.
        alignas(64) std::array<std::int32_t, panel_width<float>> start;
        for (std::size_t j = 0; j < start.size(); ++j) {
            const float error = longest_ * panel.a[j] + largest_error_ * panel.b[j],
                        bar = (bars[j] - error) * panel.inverse_scale[j] * inverse_scale_,
                        least = bar > -0x1p30f ? std::ceil(std::min(bar, 0x1p30f)) : -0x1p30f;
            start[j] = -static_cast<std::int32_t>(least) - panel.shift[j];
        }
        candidates_.clear();
        ReachedColumns reached;
        for (Index first = 0; first < rows_; first += byte_tile_rows) {
            next_.fetch_piece();
            if (Bytes::reach(depth_, bytes_.data() + first * depth_, depth_, panel.bytes.data(), start.data(), reached))
                [[unlikely]]
                for (Index i = 0; i < std::min(byte_tile_rows, rows_ - first); ++i)
                    if (element(reached, i) != 0) candidates_.push_back({first + i, element(reached, i)});
        }
        return candidates_;
    }

   private:
    /// The queries of a panel.
    struct Panel {
        Tensor<std::int8_t, 1> bytes;                              // q', (D / 4, 32, 4)
        std::array<float, panel_width<float>> a = {}, b = {};      // (2) subtracts K a + E b
        std::array<float, panel_width<float>> inverse_scale = {};  // 1 / s
        std::array<std::int32_t, panel_width<float>> shift = {};   // 128 <q', 1>
    };

    static constexpr float least_length = 0x1p-40f, most_length = 0x1p50f;  // for which (2) is used

    static Panel rounded_queries(const PackedFactor<float>& queries) {
        constexpr Index width = panel_width<float>;
        Panel panel{.bytes = zeros<std::int8_t, 1>({padded(queries.depth) * width})};
        for (Index j = 0; j < width; ++j) {
            const float* q = queries.numbers.data() + j;
            float largest = 0, square = 0, square_error = 0;
            for (Index d = 0; d < queries.depth; ++d) {
                largest = std::max(largest, std::abs(q[d * width]));
                square += q[d * width] * q[d * width];
            }
            const float scale = largest > 0 ? largest / Bytes::largest_y : 1, length = std::sqrt(square);
            element(panel.inverse_scale, j) = 1 / scale;
            if ((largest > 0 || square != 0) && !(length >= least_length && length <= most_length)) {
                element(panel.a, j) = std::numeric_limits<float>::infinity();
                continue;
            }
            for (Index d = 0; d < queries.depth; ++d) {
                const float whole = std::nearbyint(q[d * width] / scale), error = q[d * width] - scale * whole;
                square_error += error * error;
                panel.bytes((d / 4 * width + j) * 4 + d % 4) = static_cast<std::int8_t>(whole);
                element(panel.shift, j) += 128 * static_cast<std::int32_t>(whole);
            }
            const float error = std::sqrt(square_error), rho = static_cast<float>(queries.depth + 16) * 0x1p-20f;
            element(panel.a, j) = (1 + 0x1p-10f) * (error + rho * length);
            element(panel.b, j) = (1 + 0x1p-10f) * (error + length);
        }
        return panel;
    }

    /// k' + 128, K and E of a block; false if (2) may not hold for it. A float between 2^23 and 2^24 is a whole number: added to
    /// 1.5 2^23 + 128, a number is rounded, and its last byte is stored.
    template <class V = SimdVector<float>>
    [[gnu::flatten]] bool round_keys(MatrixView<const float> keys) {
        rows_ = keys.rows;
        depth_ = padded(keys.columns);
        const Index last_vector = keys.columns - lanes<V>;  // it may overlap the one before, which makes lengths no smaller
        V largest(0.0f);
        float square = 0, square_error = 0;
        for (Index i = 0; i < keys.rows; ++i) {
            const float of_key = sum_of_vectors<V>(keys.columns, [&](auto at) {
                const V k = V::load_unaligned(keys.row(i) + std::min(at.first, last_vector));
                largest = larger(xsimd::abs(k), largest);
                return k * k;
            });
            if (!(of_key <= most_length * most_length)) return false;
            square = std::max(square, of_key);
        }
        if (square < least_length * least_length) return false;
        const float scale = joined_lanes(largest, [](float x, float y) { return std::max(x, y); }) / 127;
        const Index room = (rows_ + byte_tile_rows - 1) / byte_tile_rows * byte_tile_rows * depth_;
        if (element_count(bytes_) < room) bytes_ = zeros<std::uint8_t, 1>({room});
        if (element_count(rounded_) != keys.columns) rounded_ = empty<float, 1>({keys.columns});
        const V whole_numbers(0x1.8p23f + 128);
        for (Index i = 0; i < keys.rows; ++i) {
            const float of_key = sum_of_vectors<V>(keys.columns, [&](auto at) {
                const Index first = std::min(at.first, last_vector);
                const V k = V::load_unaligned(keys.row(i) + first), sum = xsimd::fma(k, V(1 / scale), whole_numbers);
                sum.store_unaligned(rounded_.data() + first);
                const V error = k - V(scale) * (sum - whole_numbers);
                return error * error;
            });
            square_error = std::max(square_error, of_key);
            store_last_bytes<V>(rounded_.data(), keys.columns, bytes_.data() + i * depth_);
        }
        longest_ = std::sqrt(square);
        largest_error_ = std::sqrt(square_error);
        inverse_scale_ = 1 / scale;
        return true;
    }

    /// Bytes of a row, with the filling of the last vector.
    static constexpr Index padded(Index columns) { return (columns + 15) / 16 * 16; }

    std::vector<Panel> panels_;
    Tensor<float, 1> rounded_;       // a key, each number in its last byte
    Tensor<std::uint8_t, 1> bytes_;  // of a block of keys: rows_ of depth_
    Index rows_ = 0, depth_ = 0;
    float longest_ = 0, largest_error_ = 0, inverse_scale_ = 0;  // K, E, 1 / t
    std::vector<Candidate> candidates_;
    FetchAhead next_;
};

}  // namespace fot
