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

namespace detail {

/// The parameter of that name and shape. Errors: ShapeError if there is none.
template <class Real>
const Parameter<Real>& parameter_named(const std::map<std::string, Parameter<Real>>& parameters, const LongLlamaWeight& weight) {
    const auto found = parameters.find(weight.name);
    require<ShapeError>(found != parameters.end() && found->second.count == weight.rows * std::max<Index>(weight.columns, 1),
                        "long_llama: the Transformer has no '", weight.name, "' of ", weight.rows, " x ",
                        std::max<Index>(weight.columns, 1), " numbers");
    return found->second;
}

template <class Real>
std::map<std::string, Parameter<Real>> parameters_by_name(Transformer<Real>& model) {
    std::map<std::string, Parameter<Real>> parameters;
    for (const Parameter<Real>& each : model.parameters()) parameters.emplace(each.name, each);
    return parameters;
}

}  // namespace detail

/// A Transformer of such a configuration, as LongLLaMA reads: matrices are shared, not copied, and must not move; norms are copied.
/// Errors: ConfigError if `config` does not fit together or the Transformer is no LLaMA; ShapeError if its shape is another.
template <class Real>
LongLlama<Real> long_llama(const LongLlamaConfig& config, Transformer<Real>& model) {
    config.check();
    const TransformerConfig& trained = model.config();
    require<ConfigError>(
        !trained.normalized_heads && trained.activation == Activation::swiglu && trained.heads == trained.memory_heads,
        "long_llama: the Transformer has QK-norm, another activation than swiglu, or memory heads of their own");
    const auto parameters = detail::parameters_by_name(model);
    LongLlamaWeights<Real> weights;
    weights.layers.resize(static_cast<std::size_t>(config.layers));
    for_each_weight(config, weights, [&](const LongLlamaWeight& at, auto& weight) {
        const Parameter<Real>& p = detail::parameter_named(parameters, at);
        if constexpr (std::is_same_v<decltype(weight), StoredMatrix&>) {
            weight = {p.value, dtype_of<Real>(), at.rows, at.columns, p.owner};
        } else {
            weight = empty<Real, 1>({at.rows});
            std::copy_n(p.value, at.rows, weight.data());
        }
    });
    return LongLlama<Real>(config, std::move(weights));
}

/// Copies a model's weights, widened, into a Transformer of the same shape: where continued training begins.
/// Errors: ShapeError if the two differ in shape; ConfigError if a matrix is not of floating-point numbers.
template <class Real, class Stored>
void copy_weights(const LongLlama<Stored>& from, Transformer<Real>& to) {
    const auto parameters = detail::parameters_by_name(to);
    for_each_weight(from.config(), from.weights(), [&](const LongLlamaWeight& at, const auto& weight) {
        const Parameter<Real>& p = detail::parameter_named(parameters, at);
        if constexpr (std::is_same_v<decltype(weight), const StoredMatrix&>)
            detail::with_weight_type(weight, [&](auto element) {
                detail::widen(static_cast<const decltype(element)*>(weight.numbers), p.count, p.value);
            });
        else
            detail::widen(weight.data(), p.count, p.value);
    });
}

}  // namespace fot
