/// Differential attention: what two queries find in common is noise, and is subtracted.
///
///     o_h = A(q_2h) - sigmoid(<w_h, x>) A(q_2h+1)        both queries read the same keys and values
///
/// A(q) is softmax attention of query q to all keys, x the layer's normalised input, w_h learned.
///
/// The second query of a head learns what the first finds besides the key that it looks for: unrelated keys that have some weight
/// for any query. The difference of the two attentions has weights that may be negative and sum to 1 - sigmoid(...). If both
/// queries are equal, the head gives 1 - sigmoid(...) of ordinary attention; where the sigmoid is 0, all of it.
///
/// Two query heads on one key head are grouped queries, which all attention here supports. So keys, values, the memory and the
/// output projection stay as they were: the scoring rule makes 2 H query heads of a projection with twice as many rows, and the
/// joining leaves H of them.
///
/// Source: the second version of the Differential Transformer, Microsoft 2026 (its first: Ye et al. 2024). Departures: queries and
///         keys have length one, and each of the 2 H queries a temperature of its own.
/// Cost:   attention and search for twice as many queries. Parameters: H D E more in the projection to queries, W (H,E), H
///         temperatures.
///
/// Read first: model/joining.hpp, model/scoring.hpp.   Read next: remedies/annealed_contrast.hpp.
#pragma once

#include "fot/core/random.hpp"
#include "fot/model/memory_layer.hpp"
#include "fot/nn/scaled_heads.hpp"

namespace fot {

/// Unit scores of 2 H queries, where H of twice the width were projected. Keys as before.
template <class Real>
class PairedScoring : public UnitScoring<Real> {
   public:
    /// As UnitScoring, for H heads.
    PairedScoring(Index heads, double inverse_temperature, double epsilon)
        : UnitScoring<Real>(2 * heads, inverse_temperature, epsilon) {}

    /// (B,T,H,2D) -> (B,T,2H,D)
    Variable<Real, 4> queries(Tape& tape, const Variable<Real, 4>& projected, const KeysSeen& seen) const override {
        const auto [entries, length, heads, width] = shape_of(projected.value());
        const Shape<4> pairs{entries, length, 2 * heads, width / 2};
        return UnitScoring<Real>::queries(tape, reshaped<4>(tape, projected, pairs), seen);
    }
};

/// One softmax over all keys for each of 2 H queries, then the difference within each pair.
template <class Real>
class DifferentialAttention : public OneSoftmax<Real> {
   public:
    /// For H heads of a layer of width E. The projection begins with zeros: half of the second attention is subtracted.
    DifferentialAttention(Index heads, Index width) : map(zeros<Real, 2>({heads, width}), true) {}

    Variable<Real, 4> join_both(Tape& tape, const LayerView<Real>& at, const Attention<Real>& local,
                                const Attention<Real>& further) const override {
        return alone(tape, at, merge(tape, further, local));
    }
    /// A(q_2h) - sigmoid(W x) A(q_2h+1): (B,T,2H,D) -> (B,T,H,D)
    Variable<Real, 4> alone(Tape& tape, const LayerView<Real>& at, const Attention<Real>& whole) const override {
        const auto [entries, length, queries, width] = shape_of(whole.o.value());
        const Variable<Real, 4> pairs = reshaped<4>(tape, whole.o, Shape<4>{entries, length, queries / 2, 2 * width}),
                                first = slice<3>(tape, pairs, 0, width), second = slice<3>(tape, pairs, width, width);
        return difference(tape, first, scaled_heads(tape, second, sigmoid(tape, linear(tape, at.h, map))));
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        list.push_back(parameter(prefix + "differential", Role::gate, map));
    }

    Variable<Real, 2> map;  ///< (H,E) W
};

/// Gives a layer differential attention: its scoring, its joining, and a projection to queries with twice as many rows.
/// Errors: ConfigError unless the configuration has normalised heads.
template <class Real>
void make_differential(TransformerLayer<Real>& layer, const TransformerConfig& config, Index number, Random& random) {
    require<ConfigError>(config.normalized_heads, "make_differential: expected a model with normalised heads");
    const Index heads = config.heads_of(number), rows = 2 * heads * config.head_width_of(number);
    const double deviation = 1 / std::sqrt(static_cast<double>(config.width));
    layer.q = Variable<Real, 2>(normal_tensor<Real, 2>({rows, config.width}, deviation, random), true);
    layer.scoring = std::make_unique<PairedScoring<Real>>(heads, config.initial_inverse_temperature, config.norm_epsilon);
    layer.joining = std::make_unique<DifferentialAttention<Real>>(heads, config.width);
}

}  // namespace fot
