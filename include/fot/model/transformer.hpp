/// The small Focused Transformer: a decoder in which some layers attend to more than their local context.
///
/// Pre-normalisation, rotary positions (none in memory layers), queries and keys of length one with a learned temperature per head.
/// If the configuration says so, all of it is as in LLaMA instead. Layers are in model/memory_layer.hpp.
///
/// No parameter belongs to the memory: the same weights run as a standard transformer, by crossbatch in training, and with a memory
/// in inference. There is one exception: with `Integration::gated` a memory layer has a gate per head (model/joining.hpp). Callers
/// name a source, and nothing else changes:
///
///     model.forward(tape, tokens, NoSource<float>());                         // a standard transformer
///     model.forward(tape, tokens, Contexts(model.keys_and_values(tape, previous), table));    // training: crossbatch
///     model.forward(tape, tokens, MemorySource(memory, 128));                      // inference
///
/// Forward passes do not change the model: several threads may read with one model, each on a tape of its own.
///
/// Source: paper sections 3 and 5.1, appendix B; appendix A.1 for a LLaMA.
/// Read first: model/memory_layer.hpp, model/contexts_source.hpp.   Read next: model/inference.hpp.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "fot/model/contexts_source.hpp"
#include "fot/model/memory_layer.hpp"

namespace fot {

/// The model.
template <class Real>
class Transformer {
   public:
    /// Random initial weights, to be trained.   Errors: ConfigError if the configuration does not fit together.
    Transformer(const TransformerConfig& config, Random& random) : Transformer(config, RandomWeights<Real>(random)) {}
    /// First weights from a source.   Errors: and those of the source.
    Transformer(const TransformerConfig& config, const WeightSource<Real>& weights)
        : config_((config.check(), config.resolved())),
          embedding_(weights.checked_matrix("embedding", config.vocabulary, config.width, 1)) {
        for (Index layer = 0; layer < config.layers; ++layer) layers_.emplace_back(config_, layer, weights);
        final_norm_ = weights.scales("final_norm", config.width);
        output_ = config.tied_output ? embedding_
                                     : weights.checked_matrix("output", config.vocabulary, config.width,
                                                              0.5 / std::sqrt(static_cast<double>(config.width)));
    }
    Transformer(const Transformer&) = delete;  // parameters are handles: a copy would share them
    Transformer& operator=(const Transformer&) = delete;
    Transformer(Transformer&&) = default;             ///< moves the handles
    Transformer& operator=(Transformer&&) = default;  ///< moves the handles

    /// Logits of a window of tokens: (B,T) -> (B,T,V), or (B,wanted positions,V). Memory layers get further keys from the source.
    ///
    /// Wanted positions are cheaper than all: the last layer computes no others.
    /// Cost:   in multiply-adds B T times the numbers in the layers' matrices and the output matrix, per layer B T^2 E of
    ///         attention, and the attention of the source.
    /// Errors: DataError for a token outside the vocabulary; ConfigError for more than RotaryTable::most_positions tokens, or for a
    ///         wanted position outside the window; those of the source.
    Variable<Real, 3> forward(Tape& tape, const Tokens& tokens, const Source<Real>& source,
                              const std::vector<Index>& wanted = {}) const {
        return head(tape, layers(tape, embed(tape, tokens), 0, config_.layers, source, wanted));
    }

    /// Logits of a standard transformer: every layer sees its local context only. (B,T) -> (B,T,V).
    Variable<Real, 3> local(Tape& tape, const Tokens& tokens) const { return forward(tape, tokens, NoSource<Real>()); }

    /// Logits of the current contexts, (B,T,V) or (B,wanted positions,V), trained by crossbatch: memory layers see the contexts
    /// that the table gives each batch entry.
    ///
    /// The pass over the previous contexts only serves as source of keys and values, and ends at the last memory layer.
    /// Errors: as forward; ConfigError if the table is not made for as many contexts as there are.
    /// Same as: local, if the table gives no entry a context.
    Variable<Real, 3> crossbatch(Tape& tape, const CrossbatchInput& input) const {
        input.check();
        Tape constant(Tape::inference);  // records nothing: keys and values of the Memorizing Transformer
        const Contexts<Real> contexts(keys_and_values(input.differentiable_previous ? tape : constant, input.previous),
                                      input.table);
        return forward(tape, input.current, contexts, input.wanted);
    }

    /// Tokens (B,T) to their vectors (B,T,E).   Errors: DataError for a token outside the vocabulary.
    Variable<Real, 3> embed(Tape& tape, const Tokens& tokens) const { return embedding(tape, tokens, embedding_); }

    /// x through the layers first ... last-1: (B,T,E) -> (B,T,E), or at the wanted positions only.
    Variable<Real, 3> layers(Tape& tape, Variable<Real, 3> x, Index first, Index last, const Source<Real>& source,
                             const std::vector<Index>& wanted = {}) const {
        const NoSource<Real> none;
        const std::vector<Index> all;
        for (Index i = first; i < last; ++i)
            x = layer(i).forward(tape, x, config_.is_memory_layer(i) ? source : none, i == last - 1 ? wanted : all);
        return x;
    }

    /// Last normalisation and output projection: (B,T,E) to logits (B,T,V).
    Variable<Real, 3> head(Tape& tape, const Variable<Real, 3>& x) const { return linear(tape, normalized(tape, x), output_); }
    /// Last normalisation alone: (B,T,E) -> (B,T,E).
    Variable<Real, 3> normalized(Tape& tape, const Variable<Real, 3>& x) const {
        return rms_norm(tape, x, final_norm_, config_.norm_epsilon);
    }

    /// Keys and values that the memory layers compute of tokens (B,T) without any source, by layer; other layers have empty
    /// handles. This is the pass over previous contexts: it ends at the last memory layer, before its attention.
    std::vector<KeysAndValues<Real>> keys_and_values(Tape& tape, const Tokens& tokens) const {
        std::vector<KeysAndValues<Real>> result(layers_.size());
        const NoSource<Real> none;
        if (extent(tokens, 0) == 0) return result;
        Variable<Real, 3> x = embed(tape, tokens);
        for (Index i = 0; i <= config_.last_memory_layer(); ++i) {
            if (config_.is_memory_layer(i)) element(result, i) = layer(i).keys_and_values(tape, x);
            if (i < config_.last_memory_layer()) x = layer(i).forward(tape, x, none);
        }
        return result;
    }

    /// The model's shape.
    const TransformerConfig& config() const { return config_; }

    /// Errors: ShapeError if there is no such layer.
    TransformerLayer<Real>& layer(Index i) {
        require_layer(i);
        return element(layers_, i);
    }
    /// The same of a constant model.
    const TransformerLayer<Real>& layer(Index i) const {
        require_layer(i);
        return element(layers_, i);
    }

    /// All that is trained, in a fixed order.
    std::vector<Parameter<Real>> parameters() const {
        std::vector<Parameter<Real>> list;
        const auto add_trained = adding_trained(list);
        add_trained("embedding", Role::embedding, embedding_);
        for (Index i = 0; i < config_.layers; ++i) layer(i).add_parameters(prefix_of(i), list);
        for_each_last_weight(add_trained);
        return list;
    }

    /// Calls visit(name, role, weight) for all linear maps and norms, trained or not, in the same order: a LinearMap or a
    /// Variable<Real, 1>. A tied output matrix is not visited again.
    template <class Visit>
    void for_each_weight(const Visit& visit) const {
        visit("embedding", Role::embedding, embedding_);
        for (Index i = 0; i < config_.layers; ++i) layer(i).for_each_weight(prefix_of(i), visit);
        for_each_last_weight(visit);
    }

   private:
    static std::string prefix_of(Index layer) { return message("layers.", layer, "."); }

    template <class Visit>
    void for_each_last_weight(const Visit& visit) const {
        visit("final_norm", Role::norm_scale, final_norm_);
        if (!config_.tied_output) visit("output", Role::output, output_);
    }

    void require_layer(Index i) const {
        require<ShapeError>(i >= 0 && i < length_of(layers_), "Transformer: layer ", i, " of ", layers_.size(),
                            layers_.empty() ? " (this model was moved from)" : "");
    }

    TransformerConfig config_;
    LinearMap<Real> embedding_, output_;
    std::vector<TransformerLayer<Real>> layers_;
    Variable<Real, 1> final_norm_;
};

}  // namespace fot
