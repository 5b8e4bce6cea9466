/// The configuration of a model as metadata of a file: one entry a field, so that a file says what it is of.
///
///     config.width          128
///     config.memory_layers  [2]
///     config.activation     "squared_relu"
///
/// Most fields leave no trace in the shapes of the weights: the base of the rotary angles, which layers have a memory, the
/// activation. Weights read under another configuration give a worse model, not an error, unless the file is asked.
///
/// Read first: model/config.hpp, files/safetensors.hpp.   Read next: train/model_file.hpp.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "fot/files/safetensors.hpp"
#include "fot/model/config.hpp"

namespace fot {

NLOHMANN_JSON_SERIALIZE_ENUM(Activation, {{Activation::relu, "relu"},
                                          {Activation::squared_relu, "squared_relu"},
                                          {Activation::swiglu, "swiglu"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Integration, {{Integration::merged, "merged"}, {Integration::gated, "gated"}})

namespace detail {

/// visit(name, field) for all of them: the one list that writing and reading share. A field that is missing here does not compile.
template <class Config, class Visit>
void for_each_field(Config& config, Visit visit) {
    auto& [vocabulary, width, layers, memory_layers, heads, memory_heads, key_heads, feed_forward, activation, integration,
           rotary_base, memory_positions, normalized_heads, initial_inverse_temperature, norm_epsilon, tied_output] = config;
    visit("vocabulary", vocabulary);
    visit("width", width);
    visit("layers", layers);
    visit("memory_layers", memory_layers);
    visit("heads", heads);
    visit("memory_heads", memory_heads);
    visit("key_heads", key_heads);
    visit("feed_forward", feed_forward);
    visit("activation", activation);
    visit("integration", integration);
    visit("rotary_base", rotary_base);
    visit("memory_positions", memory_positions);
    visit("normalized_heads", normalized_heads);
    visit("initial_inverse_temperature", initial_inverse_temperature);
    visit("norm_epsilon", norm_epsilon);
    visit("tied_output", tied_output);
}

inline std::string config_entry(const char* field) { return message("config.", field); }

}  // namespace detail

/// All fields, each as a JSON value: for save_weights, for a Trainer, and for require_metadata, which names the field that differs.
inline Metadata config_metadata(const TransformerConfig& config) {
    Metadata metadata;
    detail::for_each_field(
        config, [&](const char* name, const auto& field) { metadata[detail::config_entry(name)] = nlohmann::json(field).dump(); });
    return metadata;
}

/// The configuration that config_metadata wrote. `file` opens messages.
///
/// Errors: FileError if an entry is missing or is no value of its field; ConfigError if the fields do not fit each other.
inline TransformerConfig config_from(const Metadata& metadata, const std::string& file) {
    TransformerConfig config;
    detail::for_each_field(config, [&](const char* name, auto& field) {
        const auto entry = metadata.find(detail::config_entry(name));
        require<FileError>(entry != metadata.end(), file, ": metadata '", detail::config_entry(name),
                           "' is missing: the file does not say its configuration");
        const auto value = nlohmann::json::parse(entry->second, nullptr, false);
        try {
            field = value.get<std::remove_reference_t<decltype(field)>>();
        } catch (const nlohmann::json::exception&) {
        }
        require<FileError>(nlohmann::json(field) == value, file, ": metadata '", detail::config_entry(name), "' is '",
                           entry->second, "', expected a value such as ", nlohmann::json(field).dump());
    });
    config.check();
    return config;
}

}  // namespace fot
