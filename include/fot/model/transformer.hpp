/// The small Focused Transformer: a decoder in which some layers attend to more than their local context.
///
/// Pre-normalisation, rotary positions (none in memory layers), L2-normalised queries and keys with one learned temperature per
/// head; or, if the configuration says so, as LLaMA has it (model/long_llama.hpp). A layer is:
///
///     x = x + O attention(norm(x))
///     x = x + down activation(up norm(x))
///
/// Training by crossbatch runs the layers below a memory layer twice, over the previous contexts and over the current ones; the
/// memory layer of a current context then sees its own local keys and those of the contexts that the table gives it. No parameter
/// is new: the same weights run as a standard transformer (no contexts), by crossbatch, or with a memory (model/inference.hpp).
///
/// Source: paper section 3.2, the small models of its analysis, appendix A.
/// Read first: attention/crossbatch_attention.hpp, nn/linear.hpp.   Read next: model/inference.hpp, train/trainer.hpp.
#pragma once

#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "fot/attention/causal_attention.hpp"
#include "fot/attention/gate.hpp"
#include "fot/core/parameter.hpp"
#include "fot/core/random.hpp"
#include "fot/model/config.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/embedding.hpp"
#include "fot/nn/linear.hpp"
#include "fot/nn/rms_norm.hpp"
#include "fot/nn/rotary.hpp"
#include "fot/nn/slices.hpp"
#include "fot/nn/unit_heads.hpp"

namespace fot {

/// Keys and values of one layer.
template <class Real>
struct KeysAndValues {
    Variable<Real, 4> k;  ///< (B,T,G,D)
    Variable<Real, 4> v;  ///< (B,T,G,D)
};

/// What a memory layer saw in a pass by crossbatch or with a memory (window_with_memory): to measure attention, or to put a
/// contrastive loss on it.
template <class Real>
struct MemoryLayerView {
    Index layer;                  ///< its number
    Variable<Real, 4> q;          ///< (B,T,H,D) with the temperature in it: scores are <q, k>
    Variable<Real, 4> k;          ///< (B,T,G,D)
    Variable<Real, 4> context_k;  ///< (P,T,G,D) of previous contexts; packed: (B,T,G,D), not rotated; with neither: an empty handle
};

/// A batch for crossbatch training.
struct CrossbatchInput {
    const Tokens& previous;     ///< (P,T) previous contexts, numbered as in the table; (0,0) if there are none
    const Tokens& current;      ///< (B,T)
    const ContextTable& table;  ///< who sees which previous contexts; packed: which other current ones
    std::vector<Index> output_positions =
        {};  ///< positions whose logits are wanted; empty: all. Fewer are cheaper if the last layer has memory
    bool differentiable_previous = true;  ///< false: previous keys and values are constants, as in the Memorizing Transformer
    bool packed = false;  ///< the released code's form: contexts are other entries of the same pass; `previous` is empty then
};

/// One layer: parameters and the parts of its forward pass.
template <class Real>
class TransformerLayer {
   public:
    /// Random initial weights.
    TransformerLayer(const TransformerConfig& config, Index layer, Random& random)
        : heads_(config.heads_of(layer)),
          key_heads_(config.key_heads_of(layer)),
          memory_(config.is_memory_layer(layer)),
          rotated_(!memory_ || config.memory_positions),
          normalized_(config.normalized_heads),
          activation_(config.activation),
          epsilon_(config.norm_epsilon),
          positions_(config.rotary_base, config.head_width_of(layer), 0) {
        const Index width = config.width, inner = config.feed_forward, head_width = config.head_width_of(layer);
        // Deviation of the maps into a layer: fan_in^-1/2; of those back to the residual stream: half of that.
        const auto matrix_of = [&](Index out, Index in, double factor) {
            return Variable<Real, 2>(normal_tensor<Real, 2>({out, in}, factor / std::sqrt(static_cast<double>(in)), random), true);
        };
        q = matrix_of(heads_ * head_width, width, 1);
        k = matrix_of(key_heads_ * head_width, width, 1);
        v = matrix_of(key_heads_ * head_width, width, 1);
        o = matrix_of(width, heads_ * head_width, 0.5);
        up = matrix_of(inner, width, 1);
        if (activation_ == Activation::swiglu) gate_map = matrix_of(inner, width, 1);
        down = matrix_of(width, inner, 0.5);
        attention_norm = Variable<Real, 1>(full<Real, 1>({width}, Real(1)), true);
        feed_forward_norm = Variable<Real, 1>(full<Real, 1>({width}, Real(1)), true);
        if (normalized_)
            log_inverse_temperature =
                Variable<Real, 1>(full<Real, 1>({heads_}, static_cast<Real>(std::log(config.initial_inverse_temperature))), true);
        if (memory_ && config.integration == Integration::gated) gate_bias = Variable<Real, 1>(zeros<Real, 1>({heads_}), true);
    }

    /// Adds the layer's parameters to the list, their names behind the prefix.
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) {
        list.push_back(parameter(prefix + "attention_norm", Role::norm_scale, attention_norm));
        list.push_back(parameter(prefix + "q", Role::hidden_matrix, q));
        list.push_back(parameter(prefix + "k", Role::hidden_matrix, k));
        list.push_back(parameter(prefix + "v", Role::hidden_matrix, v));
        list.push_back(parameter(prefix + "o", Role::hidden_matrix, o));
        if (normalized_) list.push_back(parameter(prefix + "log_inverse_temperature", Role::temperature, log_inverse_temperature));
        if (gate_bias) list.push_back(parameter(prefix + "gate_bias", Role::gate, gate_bias));
        list.push_back(parameter(prefix + "feed_forward_norm", Role::norm_scale, feed_forward_norm));
        list.push_back(parameter(prefix + "up", Role::hidden_matrix, up));
        if (gate_map) list.push_back(parameter(prefix + "gate_map", Role::hidden_matrix, gate_map));
        list.push_back(parameter(prefix + "down", Role::hidden_matrix, down));
    }

    /// The input of attention: x through the layer's first norm. (B,T,E) -> (B,T,E).
    Variable<Real, 3> normalized(Tape& tape, const Variable<Real, 3>& x) const {
        return rms_norm(tape, x, attention_norm, epsilon_);
    }

    /// q / |q| / temperature of normalized x, or q / sqrt(D): what a score multiplies with a key. (B,T,E) -> (B,T,H,D).
    Variable<Real, 4> queries(Tape& tape, const Variable<Real, 3>& h) const {
        if (!normalized_) {
            const Variable<Real, 4> projected = project_heads(tape, h, q, heads_);
            return multiply(tape, projected, 1 / std::sqrt(static_cast<Real>(extent(projected.value(), 3))));
        }
        return normalize_heads(tape, project_heads(tape, h, q, heads_), log_inverse_temperature, epsilon_);
    }
    /// k / |k|, or k. (B,T,E) -> (B,T,G,D).
    Variable<Real, 4> keys(Tape& tape, const Variable<Real, 3>& h) const {
        const Variable<Real, 4> projected = project_heads(tape, h, k, key_heads_);
        return normalized_ ? normalize_heads(tape, projected, epsilon_) : projected;
    }
    /// v. (B,T,E) -> (B,T,G,D).
    Variable<Real, 4> values(Tape& tape, const Variable<Real, 3>& h) const { return project_heads(tape, h, v, key_heads_); }

    /// Queries or keys (B,T,.,D) turned to the positions `at`, one a token, for local attention; as they are in a memory layer
    /// without positions.   Errors: ShapeError unless there are T positions; ConfigError beyond RotaryTable::most_positions.
    Variable<Real, 4> rotated(Tape& tape, const Variable<Real, 4>& x, const std::vector<Index>& at) {
        if (!rotated_) return x;
        positions_.grow(at.empty() ? 0 : *std::max_element(at.begin(), at.end()) + 1);
        return rotate(tape, x, at, positions_);
    }

    /// The rest of the layer after attention: x + O o, then the feed-forward part. x (B,T,E), heads_out (B,T,H,D) -> (B,T,E).
    Variable<Real, 3> finish(Tape& tape, const Variable<Real, 3>& x, const Variable<Real, 4>& heads_out) const {
        const Variable<Real, 3> attended = add(tape, x, merge_heads(tape, heads_out, o));
        const Variable<Real, 3> h = rms_norm(tape, attended, feed_forward_norm, epsilon_);
        return add(tape, attended, feed_forward(tape, h, up, down, activation_, gate_map));
    }

    /// The whole layer with local causal attention only. (B,T,E) -> (B,T,E).
    Variable<Real, 3> local(Tape& tape, const Variable<Real, 3>& x) {
        const Variable<Real, 3> h = normalized(tape, x);
        const std::vector<Index> at = all_positions(extent(x.value(), 1));
        return finish(
            tape, x,
            causal_attention(tape, rotated(tape, queries(tape, h), at), rotated(tape, keys(tape, h), at), values(tape, h)).o);
    }

    /// 0 ... length-1: tokens at their own places.
    static std::vector<Index> all_positions(Index length) {
        std::vector<Index> at(static_cast<std::size_t>(length));
        std::iota(at.begin(), at.end(), Index(0));
        return at;
    }

    Variable<Real, 2> q;                        ///< (H D, E)
    Variable<Real, 2> k;                        ///< (G D, E)
    Variable<Real, 2> v;                        ///< (G D, E)
    Variable<Real, 2> o;                        ///< (E, H D)
    Variable<Real, 2> up;                       ///< (inner width, E)
    Variable<Real, 2> down;                     ///< (E, inner width)
    Variable<Real, 2> gate_map;                 ///< (inner width, E); swiglu only
    Variable<Real, 1> attention_norm;           ///< (E)
    Variable<Real, 1> feed_forward_norm;        ///< (E)
    Variable<Real, 1> log_inverse_temperature;  ///< (H); normalized heads only
    Variable<Real, 1> gate_bias;                ///< (H); a memory layer with a gate only

   private:
    Index heads_, key_heads_;
    bool memory_, rotated_, normalized_;
    Activation activation_;
    double epsilon_;
    RotaryTable<Real> positions_;
};

/// The model.
template <class Real>
class Transformer {
   public:
    /// Random initial weights. Throws ConfigError if the configuration does not fit together.
    Transformer(const TransformerConfig& config, Random& random) : config_((config.check(), config)) {
        embedding_ = Variable<Real, 2>(normal_tensor<Real, 2>({config.vocabulary, config.width}, 1, random), true);
        for (Index layer = 0; layer < config.layers; ++layer) layers_.emplace_back(config, layer, random);
        final_norm_ = Variable<Real, 1>(full<Real, 1>({config.width}, Real(1)), true);
        output_ = Variable<Real, 2>(
            normal_tensor<Real, 2>({config.vocabulary, config.width}, 0.5 / std::sqrt(static_cast<double>(config.width)), random),
            true);
    }
    Transformer(const Transformer&) = delete;  // parameters are handles: a copy would share them
    Transformer& operator=(const Transformer&) = delete;
    Transformer(Transformer&&) = default;             ///< moves the handles
    Transformer& operator=(Transformer&&) = default;  ///< moves the handles

    /// The model's shape.
    const TransformerConfig& config() const { return config_; }

    /// Errors: ShapeError if there is no such layer.
    TransformerLayer<Real>& layer(Index i) {
        require<ShapeError>(i >= 0 && i < config_.layers, "Transformer: layer ", i, " of ", config_.layers);
        return layers_[static_cast<std::size_t>(i)];
    }

    /// All that is trained, in a fixed order.
    std::vector<Parameter<Real>> parameters() {
        std::vector<Parameter<Real>> list{parameter("embedding", Role::embedding, embedding_)};
        for (Index i = 0; i < config_.layers; ++i) layer(i).add_parameters("layers." + std::to_string(i) + ".", list);
        list.push_back(parameter("final_norm", Role::norm_scale, final_norm_));
        list.push_back(parameter("output", Role::output, output_));
        return list;
    }

    /// Tokens (B,T) to their vectors (B,T,E). Throws DataError for a token outside the vocabulary.
    Variable<Real, 3> embed(Tape& tape, const Tokens& tokens) const { return embedding(tape, tokens, embedding_); }

    /// Last normalisation and output map: (B,T,E) to logits (B,T,V).
    Variable<Real, 3> head(Tape& tape, const Variable<Real, 3>& x) const {
        return linear(tape, rms_norm(tape, x, final_norm_, config_.norm_epsilon), output_);
    }

    /// Logits of a standard transformer: every layer sees its local context only. (B,T) -> (B,T,V).
    ///
    /// Cost:   in multiply-adds B T times the numbers in the layers' matrices and the output map; per layer B T^2 E of attention.
    /// Errors: DataError for a token outside the vocabulary; ConfigError for more than RotaryTable::most_positions tokens.
    /// Same as: crossbatch without previous contexts.
    Variable<Real, 3> local(Tape& tape, const Tokens& tokens) {
        Variable<Real, 3> x = embed(tape, tokens);
        for (auto& each : layers_) x = each.local(tape, x);
        return head(tape, x);
    }

    /// Logits of the current contexts, (B,T,V) or (B,output positions,V), with crossbatch attention in the memory layers.
    ///
    /// The pass over the previous contexts only serves as source of keys and values. It ends at the last memory layer.
    /// `views`, if not null, receives what each memory layer saw.
    /// Cost:   as `local` over the current contexts; below the last memory layer also over the previous ones; and per memory layer
    ///         2 B H T^2 C D multiply-adds for C contexts an entry, as crossbatch_attention.
    /// Errors: ConfigError if the table is not made for as many contexts as there are, for an output position outside the window,
    ///         or for a packed input with previous contexts or constant ones; DataError for a token outside the vocabulary; those
    ///         of crossbatch_attention for the table.
    /// Same as: local, if the table gives no entry a context.
    Variable<Real, 3> crossbatch(Tape& tape, const CrossbatchInput& input, std::vector<MemoryLayerView<Real>>* views = nullptr) {
        const bool has_previous = extent(input.previous, 0) > 0;
        const Index sources = extent(input.packed ? input.current : input.previous, 0);
        require<ConfigError>(!input.packed || (!has_previous && input.differentiable_previous),
                             "Transformer::crossbatch: packed contexts are current ones, but previous ones are given, or constant");
        require<ConfigError>(input.table.sources == sources, "Transformer::crossbatch: the table is made for ", input.table.sources,
                             input.packed ? " entries, got " : " previous contexts, got ", sources);
        Variable<Real, 3> previous = has_previous ? embed(tape, input.previous) : Variable<Real, 3>();
        Variable<Real, 3> x = embed(tape, input.current);
        for (Index i = 0; i < config_.layers; ++i) {
            KeysAndValues<Real> context;
            if (has_previous && i <= config_.last_memory_layer()) {
                const NoGradientIf constant(tape, !input.differentiable_previous);
                if (config_.is_memory_layer(i)) {
                    const Variable<Real, 3> h = layer(i).normalized(tape, previous);
                    context.k = layer(i).keys(tape, h);
                    context.v = layer(i).values(tape, h);
                }
                if (i < config_.last_memory_layer()) previous = layer(i).local(tape, previous);
            }
            const bool last = i == config_.layers - 1 && !input.output_positions.empty();
            x = config_.is_memory_layer(i) ? memory_layer(tape, i, x, context, input, last, views) : layer(i).local(tape, x);
            if (last && !config_.is_memory_layer(i)) x = take_positions(tape, x, input.output_positions);
        }
        return head(tape, x);
    }

   private:
    /// NoGradient, or nothing.
    struct NoGradientIf {
        NoGradientIf(Tape& tape, bool active) {
            if (active) scope.emplace(tape);
        }
        std::optional<NoGradient> scope;
    };

    /// A memory layer over the current contexts; with `reduce` only at the output positions.
    Variable<Real, 3> memory_layer(Tape& tape, Index i, Variable<Real, 3> x, KeysAndValues<Real> context,
                                   const CrossbatchInput& input, bool reduce, std::vector<MemoryLayerView<Real>>* views) {
        TransformerLayer<Real>& at = layer(i);
        Variable<Real, 3> h = at.normalized(tape, x);
        const std::vector<Index> all = TransformerLayer<Real>::all_positions(extent(x.value(), 1));
        const Variable<Real, 4> keys = at.keys(tape, h), k = at.rotated(tape, keys, all), v = at.values(tape, h);
        if (input.packed) context = {keys, v};  // keys of others stand at position 0
        AttentionOptions<Real> options;
        if (reduce) {
            options.query_positions = input.output_positions;
            h = take_positions(tape, h, input.output_positions);
            x = take_positions(tape, x, input.output_positions);
        }
        const Variable<Real, 4> q = at.rotated(tape, at.queries(tape, h), reduce ? input.output_positions : all);
        if (views) views->push_back({i, q, k, context.k});
        if (!context.k) return at.finish(tape, x, causal_attention(tape, q, k, v, options).o);
        if (!at.gate_bias)
            return at.finish(tape, x, crossbatch_attention(tape, q, k, v, context.k, context.v, input.table, options).o);
        const Attention<Real> memory = context_attention(tape, q, context.k, context.v, input.table),
                              local = causal_attention(tape, q, k, v, options);
        return at.finish(tape, x, gate(tape, memory, local, at.gate_bias));
    }

    TransformerConfig config_;
    Variable<Real, 2> embedding_, output_;
    std::vector<TransformerLayer<Real>> layers_;
    Variable<Real, 1> final_norm_;
};

}  // namespace fot
