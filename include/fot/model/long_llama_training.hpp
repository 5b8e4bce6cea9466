/// LongLLaMA as a Transformer, and back: training happens there, by crossbatch in the paper's or the released form.
///
/// Read first: model/transformer.hpp, model/long_llama.hpp.   Read next: model/long_llama_files.hpp.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "fot/model/long_llama.hpp"
#include "fot/model/transformer.hpp"

namespace fot {

/// The configuration of a Transformer that is the same model: to train it, by crossbatch in the released form too.
/// Errors: ConfigError if the output map is the embedding: a Transformer has one of its own.
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

/// Throws ConfigError unless a Transformer is the model that `expected` says. The temperature is of no use without QK-norm, the
/// order of memory layers says nothing, and 0 key heads are as many as heads.
inline void require_same_model(const char* who, TransformerConfig expected, TransformerConfig got) {
    for (TransformerConfig* each : {&expected, &got}) {
        each->initial_inverse_temperature = 1;
        if (each->key_heads == 0) each->key_heads = each->heads;
        std::sort(each->memory_layers.begin(), each->memory_layers.end());
    }
    require<ConfigError>(got == expected, who, ": the Transformer's configuration is not the one that llama_config gives");
}

/// The parameter of that name and shape. Errors: ShapeError if there is none.
template <class Real>
const Parameter<Real>& parameter_named(const std::map<std::string, Parameter<Real>>& parameters, const LongLlamaWeight& weight) {
    const auto found = parameters.find(weight.name);
    require<ShapeError>(
        found != parameters.end() && length_of(found->second.value()) == weight.rows * std::max<Index>(weight.columns, 1),
        "long_llama: the Transformer has no '", weight.name, "' of ", weight.rows, " x ", std::max<Index>(weight.columns, 1),
        " numbers");
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
/// Errors: ConfigError if `config` does not fit together, or the Transformer's configuration is not llama_config(config).
template <class Real>
LongLlama<Real> long_llama(const LongLlamaConfig& config, Transformer<Real>& model) {
    config.check();
    detail::require_same_model("long_llama", llama_config(config), model.config());
    const auto parameters = detail::parameters_by_name(model);
    LongLlamaWeights<Real> weights;
    weights.layers.resize(static_cast<std::size_t>(config.layers));
    for_each_weight(config, weights, [&](const LongLlamaWeight& at, auto& weight) {
        const Parameter<Real>& p = detail::parameter_named(parameters, at);
        if constexpr (std::is_same_v<decltype(weight), StoredMatrix&>) {
            weight = {p.value().data(), dtype_of<Real>(), at.rows, at.columns, std::make_shared<const Parameter<Real>>(p)};
        } else {
            weight = empty<Real, 1>({at.rows});
            std::copy_n(p.value().data(), at.rows, weight.data());
        }
    });
    return LongLlama<Real>(config, std::move(weights));
}

/// Copies a model's weights, widened, into a Transformer: where continued training begins.
///
/// The two may differ in which layers have a memory, whether those turn their queries and keys, and how they put memory and local
/// context together; a gate keeps its numbers. If the output map is the embedding, the Transformer's own one begins as a copy.
/// Errors: ConfigError if they differ in anything else, or a matrix is not of floating-point numbers; then nothing is written.
template <class Real, class Stored>
void copy_weights(const LongLlama<Stored>& from, Transformer<Real>& to) {
    LongLlamaConfig untied = from.config();
    untied.tied_output = false;
    TransformerConfig expected = llama_config(untied);
    expected.memory_layers = to.config().memory_layers;
    expected.memory_positions = to.config().memory_positions;
    expected.integration = to.config().integration;
    detail::require_same_model("copy_weights", std::move(expected), to.config());
    const auto parameters = detail::parameters_by_name(to);
    for_each_weight(from.config(), from.weights(), [&](const LongLlamaWeight& at, const auto& weight) {
        detail::parameter_named(parameters, at);
        if constexpr (std::is_same_v<decltype(weight), const StoredMatrix&>) detail::with_weight_type(weight, [](auto) {});
    });
    for_each_weight(from.config(), from.weights(), [&](const LongLlamaWeight& at, const auto& weight) {
        const Parameter<Real>& p = detail::parameter_named(parameters, at);
        if constexpr (std::is_same_v<decltype(weight), const StoredMatrix&>)
            detail::with_weight_type(weight, [&](auto element) {
                detail::widen(static_cast<const decltype(element)*>(weight.numbers), length_of(p.value()), p.value().data());
            });
        else
            detail::widen(weight.data(), length_of(p.value()), p.value().data());
    });
}

}  // namespace fot
