/// The layer: attention and a feed-forward part, each added to the residual stream. A memory layer also attends to further keys.
///
///     h = norm(x);   q, k, v = linear projections of h
///     x = x + O join( attention of q to the local k, v up to its position,  attention of q to a source's keys )
///     x = x + feed_forward(norm(x))
///
/// The paper's idea is one sentence: training and inference differ only in where a memory layer's further keys come from. In code,
/// this is one argument of `forward`: the source. With `NoSource` the layer attends to its local context alone, still without
/// positions if it is a memory layer.
///
/// What can be exchanged without touching this file: the source (model/source.hpp), how queries and keys become scores
/// (model/scoring.hpp), and how the two attentions are joined (model/joining.hpp).
///
/// The layer's linear maps are parameters, or weights of a finished model that stay in their file (nn/linear_map.hpp). The layer is
/// the same for both.
///
/// Why memory layers have no positions, and what differs between training and inference with several of them: paper_notes.md,
/// "Reasons" and "Conditions".
///
/// Source: paper sections 3.1 and 3.2, appendices B.2 and B.3, equations (1) and (2).
/// Read first: model/config.hpp, model/source.hpp, model/joining.hpp, model/weights.hpp.   Read next: model/transformer.hpp.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "fot/attention/causal_attention.hpp"
#include "fot/model/config.hpp"
#include "fot/model/joining.hpp"
#include "fot/model/scoring.hpp"
#include "fot/model/weights.hpp"
#include "fot/nn/rotary.hpp"

namespace fot {

/// One layer of a Transformer: its weights and its forward pass.
template <class Real>
class TransformerLayer {
   public:
    /// First weights from a source, under names that begin with "layers.0." in layer 0.
    TransformerLayer(const TransformerConfig& config, Index layer, const WeightSource<Real>& weights);

    /// The layer with a source of further keys: x (B,U,E) -> (B,U,E), or (B,T,E) if only the outputs at T `wanted` positions of the
    /// window are asked for.
    ///
    /// Cost:   the projections, local attention, and what the source's attention costs.
    /// Errors: ConfigError for a wanted position outside the window; those of the source.
    Variable<Real, 3> forward(Tape& tape, const Variable<Real, 3>& x, const Source<Real>& source,
                              const std::vector<Index>& wanted = {}) const {
        const LayerView<Real> at = view(tape, x, source, wanted);
        const Attention<Real> local = causal_attention(tape, at.q, at.local_k, at.v, {.query_positions = wanted}),
                              further = source.attend(tape, at);
        return finish(tape, at_wanted(tape, x, wanted), joining->join(tape, at, local, further));
    }

    /// The rest of the layer after attention: x + O heads, then the feed-forward part. x (B,T,E), heads (B,T,H,D) -> (B,T,E).
    Variable<Real, 3> finish(Tape& tape, const Variable<Real, 3>& x, const Variable<Real, 4>& heads) const {
        const Variable<Real, 3> attended = add(tape, x, merge_heads(tape, heads, o));
        const Variable<Real, 3> h = rms_norm(tape, attended, feed_forward_norm, norm_epsilon_);
        return add(tape, attended, feed_forward(tape, h, up, down, activation_, gate_map));
    }

    /// Queries, keys and values as the layer computes them before its attention.
    LayerView<Real> view(Tape& tape, const Variable<Real, 3>& x, const Source<Real>& source,
                         const std::vector<Index>& wanted = {}) const {
        const std::vector<Index> all = consecutive(0, extent(x.value(), 1)), &asking = wanted.empty() ? all : wanted;
        LayerView<Real> at = project(tape, x, source, asking, wanted);
        at.q = rotated(tape, at.q, asking);
        at.local_k = rotated(tape, at.k, all);
        return at;
    }

    /// The same before positions come in: nothing is rotated, and `local_k` is left empty. Query t has the place places[t] among
    /// the local keys. The source is asked only how many keys it has, for scoring rules that depend on it.
    LayerView<Real> project(Tape& tape, const Variable<Real, 3>& x, const Source<Real>& source, const std::vector<Index>& places,
                            const std::vector<Index>& wanted = {}) const {
        KeysSeen seen{{}, places};
        for (Index b = 0; b < extent(x.value(), 0); ++b) seen.further.push_back(source.key_count(number_, b));
        const Variable<Real, 3> h = rms_norm(tape, x, attention_norm, norm_epsilon_), h_asking = at_wanted(tape, h, wanted);
        const auto [keys, values] = keys_and_values_of(tape, h);
        return {.layer = number_,
                .x = x,
                .h = h_asking,
                .q = scoring->queries(tape, project_heads(tape, h_asking, q, heads_), seen),
                .k = keys,
                .v = values,
                .wanted = wanted};
    }

    /// Keys and values alone, not rotated: what the layer gives to others.
    KeysAndValues<Real> keys_and_values(Tape& tape, const Variable<Real, 3>& x) const {
        return keys_and_values_of(tape, rms_norm(tape, x, attention_norm, norm_epsilon_));
    }

    /// Queries or keys (B,T,.,D) rotated to one position per token, for local attention; as they are in a layer without positions.
    /// Errors: ShapeError unless there are T positions; ConfigError beyond RotaryTable::most_positions.
    Variable<Real, 4> rotated(Tape& tape, const Variable<Real, 4>& x, const std::vector<Index>& positions) const {
        return has_positions_ ? rotate(tape, x, positions, rotary_.covering(positions)) : x;
    }

    /// Calls visit(name, role, weight) for the layer's linear maps and norms, trained or not: a LinearMap or a Variable<Real, 1>.
    template <class Visit>
    void for_each_weight(const std::string& prefix, const Visit& visit) const {
        for_each_attention_weight(prefix, visit);
        for_each_feed_forward_weight(prefix, visit);
    }

    /// Adds all that is trained to the list, names after the prefix.
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) const;

    LinearMap<Real> q;                       ///< (H D, E)
    LinearMap<Real> k;                       ///< (G D, E)
    LinearMap<Real> v;                       ///< (G D, E)
    LinearMap<Real> o;                       ///< (E, H D)
    LinearMap<Real> up;                      ///< (inner width, E)
    LinearMap<Real> down;                    ///< (E, inner width)
    LinearMap<Real> gate_map;                ///< (inner width, E); swiglu only
    Variable<Real, 1> attention_norm;        ///< (E)
    Variable<Real, 1> feed_forward_norm;     ///< (E)
    std::unique_ptr<Scoring<Real>> scoring;  ///< how queries and keys become scores
    std::unique_ptr<Joining<Real>> joining;  ///< how local attention and that to further keys are joined

   private:
    KeysAndValues<Real> keys_and_values_of(Tape& tape, const Variable<Real, 3>& h) const {
        return {scoring->keys(tape, project_heads(tape, h, k, key_heads_)), project_heads(tape, h, v, key_heads_)};
    }
    template <class Visit>
    void for_each_attention_weight(const std::string& prefix, const Visit& visit) const {
        visit(prefix + "attention_norm", Role::norm_scale, attention_norm);
        visit(prefix + "q", Role::hidden_matrix, q);
        visit(prefix + "k", Role::hidden_matrix, k);
        visit(prefix + "v", Role::hidden_matrix, v);
        visit(prefix + "o", Role::hidden_matrix, o);
    }
    template <class Visit>
    void for_each_feed_forward_weight(const std::string& prefix, const Visit& visit) const {
        visit(prefix + "feed_forward_norm", Role::norm_scale, feed_forward_norm);
        visit(prefix + "up", Role::hidden_matrix, up);
        if (gate_map) visit(prefix + "gate_map", Role::hidden_matrix, gate_map);
        visit(prefix + "down", Role::hidden_matrix, down);
    }
    static Variable<Real, 3> at_wanted(Tape& tape, const Variable<Real, 3>& x, const std::vector<Index>& wanted) {
        return wanted.empty() ? x : take_positions(tape, x, wanted);
    }

    Index number_, heads_, key_heads_;
    bool has_positions_;
    Activation activation_;
    double norm_epsilon_;
    RotaryTable<Real> rotary_;
};

template <class Real>
TransformerLayer<Real>::TransformerLayer(const TransformerConfig& config, Index layer, const WeightSource<Real>& weights)
    : number_(layer),
      heads_(config.heads_of(layer)),
      key_heads_(config.key_heads_of(layer)),
      has_positions_(config.has_positions(layer)),
      activation_(config.activation),
      norm_epsilon_(config.norm_epsilon),
      rotary_(config.rotary_base, config.head_width_of(layer), RotaryTable<Real>::usual_positions, config.rotary_scaling) {
    const Index width = config.width, inner = config.feed_forward, head_width = config.head_width_of(layer);
    const std::string prefix = message("layers.", layer, ".");
    // Deviation of the projections into a layer: fan_in^-1/2; of those back to the residual stream: half of that.
    const auto matrix_of = [&](const char* name, Index out, Index in, double factor) {
        return weights.checked_matrix(prefix + name, out, in, factor / std::sqrt(static_cast<double>(in)));
    };
    q = matrix_of("q", heads_ * head_width, width, 1);
    k = matrix_of("k", key_heads_ * head_width, width, 1);
    v = matrix_of("v", key_heads_ * head_width, width, 1);
    o = matrix_of("o", width, heads_ * head_width, 0.5);
    up = matrix_of("up", inner, width, 1);
    if (activation_ == Activation::swiglu) gate_map = matrix_of("gate_map", inner, width, 1);
    down = matrix_of("down", width, inner, 0.5);
    attention_norm = weights.scales(prefix + "attention_norm", width);
    feed_forward_norm = weights.scales(prefix + "feed_forward_norm", width);
    if (config.normalized_heads)
        scoring = std::make_unique<UnitScoring<Real>>(heads_, config.initial_inverse_temperature, norm_epsilon_);
    else
        scoring = std::make_unique<ScaledScoring<Real>>();
    if (config.is_memory_layer(layer) && config.integration == Integration::gated)
        joining = std::make_unique<HeadGate<Real>>(heads_);
    else
        joining = std::make_unique<OneSoftmax<Real>>();
}

template <class Real>
void TransformerLayer<Real>::add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) const {
    const auto add_trained = adding_trained(list);
    for_each_attention_weight(prefix, add_trained);
    scoring->add_parameters(prefix, list);
    joining->add_parameters(prefix, list);
    for_each_feed_forward_weight(prefix, add_trained);
}

}  // namespace fot
