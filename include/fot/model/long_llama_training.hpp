/// LongLLaMA as a Transformer, and back: training happens there, by crossbatch in the paper's or the released form.
///
/// Read first: model/transformer.hpp, model/long_llama.hpp.   Read next: train/long_llama_files.hpp.
#pragma once

#include <map>
#include <string>

#include "fot/model/long_llama.hpp"

namespace fot {

/// The configuration of a Transformer that is the same model: to train it, by crossbatch in the released form too.
inline TransformerConfig llama_config(const LongLlamaConfig& config) {
    require<ConfigError>(!config.tied_output,
                         "llama_config: a Transformer has an output map of its own, the model's is its embedding");
    return {.vocabulary = config.vocabulary,
            .width = config.width,
            .layers = config.layers,
            .memory_layers = config.memory_layers,
            .heads = config.heads,
            .memory_heads = config.heads,
            .key_heads = config.key_heads,
            .feed_forward = config.feed_forward,
            .activation = Activation::swiglu,
            .rotary_base = config.rotary_base,
            .memory_positions = config.memory_positions,
            .normalized_heads = false,
            .norm_epsilon = config.norm_epsilon};
}

/// A Transformer of such a configuration, as LongLLaMA reads: the weights are shared, not copied, and must not move.
/// Errors: ConfigError if the Transformer's configuration is not llama_config(config).
template <class Real>
LongLlama<Real> long_llama(const LongLlamaConfig& config, Transformer<Real>& model) {
    const TransformerConfig& trained = model.config();
    require<ConfigError>(
        !trained.normalized_heads && trained.activation == Activation::swiglu && trained.heads == trained.memory_heads,
        "long_llama: the Transformer has QK-norm, another activation than swiglu, or memory heads of their own");
    std::map<std::string, Parameter<Real>> by_name;
    for (const Parameter<Real>& each : model.parameters()) by_name.emplace(each.name, each);
    const auto matrix = [&](const std::string& name) -> StoredMatrix {
        const Parameter<Real>& p = by_name.at(name);
        return {p.value, dtype_of<Real>(), p.shape[0], p.shape[1], p.owner};
    };
    const auto vector = [&](const std::string& name) {
        const Parameter<Real>& p = by_name.at(name);
        Tensor<Real, 1> copy = empty<Real, 1>({p.count});
        std::copy_n(p.value, p.count, copy.data());
        return copy;
    };
    LongLlamaWeights<Real> weights{matrix("embedding"), matrix("output"), vector("final_norm"), {}};
    for (Index i = 0; i < trained.layers; ++i) {
        const std::string layer = message("layers.", i, ".");
        weights.layers.push_back({matrix(layer + "q"), matrix(layer + "k"), matrix(layer + "v"), matrix(layer + "o"),
                                  matrix(layer + "gate_map"), matrix(layer + "up"), matrix(layer + "down"),
                                  vector(layer + "attention_norm"), vector(layer + "feed_forward_norm")});
    }
    return LongLlama<Real>(config, std::move(weights));
}

/// Copies a model's weights, widened, into a Transformer of the same shape: where continued training begins.
/// Errors: ShapeError if the two differ in shape.
template <class Real, class Stored>
void copy_weights(const LongLlama<Stored>& from, Transformer<Real>& to) {
    std::map<std::string, Parameter<Real>> by_name;
    for (const Parameter<Real>& each : to.parameters()) by_name.emplace(each.name, each);
    const auto target = [&](const std::string& name, Index count) {
        const auto found = by_name.find(name);
        require<ShapeError>(found != by_name.end() && found->second.count == count, "copy_weights: the Transformer has no '", name,
                            "' of ", count, " numbers");
        return found->second.value;
    };
    const auto matrix = [&](const std::string& name, const StoredMatrix& weight) {
        Real* numbers = target(name, weight.rows * weight.columns);
        detail::with_weight_type(weight, [&](auto element) {
            detail::widen(static_cast<const decltype(element)*>(weight.numbers), weight.rows * weight.columns, numbers);
        });
    };
    const auto vector = [&](const std::string& name, const Tensor<Stored, 1>& x) {
        detail::widen(x.data(), element_count(x), target(name, element_count(x)));
    };
    const LongLlamaWeights<Stored>& weights = from.weights();
    matrix("embedding", weights.embedding);
    matrix("output", weights.output);
    vector("final_norm", weights.final_norm);
    for (std::size_t i = 0; i < weights.layers.size(); ++i) {
        const auto& layer = weights.layers[i];
        const std::string prefix = message("layers.", i, ".");
        matrix(prefix + "q", layer.q);
        matrix(prefix + "k", layer.k);
        matrix(prefix + "v", layer.v);
        matrix(prefix + "o", layer.o);
        matrix(prefix + "gate_map", layer.gate);
        matrix(prefix + "up", layer.up);
        matrix(prefix + "down", layer.down);
        vector(prefix + "attention_norm", layer.attention_norm);
        vector(prefix + "feed_forward_norm", layer.feed_forward_norm);
    }
}

}  // namespace fot
