/// A finished model in one file: its weights, and the configuration that they belong to.
///
///     save_model("model.safetensors", model);
///     Transformer<float> again = load_model<float>("model.safetensors");
///
/// `load_weights(path, model)` reads into an existing model, which may have parts of its own, and refuses a file of a different
/// configuration. A checkpoint of a Trainer that was made for a model can be read in both ways too.
///
/// The configuration is metadata of the file, one entry per field:
///
///     config.width          128
///     config.memory_layers  [2]
///     config.activation     "squared_relu"
///
/// Most fields leave no trace in the shapes of the weights: the base of the rotary angles, which layers have a memory, the
/// activation. Weights read under a different configuration give a worse model, not an error, unless the configuration in the file
/// is checked.
///
/// Read first: train/checkpoint.hpp, model/config.hpp.   Read next: train/trainer.hpp.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "fot/model/transformer.hpp"
#include "fot/train/checkpoint.hpp"

namespace fot {

/// @cond
NLOHMANN_JSON_SERIALIZE_ENUM(Activation, {{Activation::relu, "relu"},
                                          {Activation::squared_relu, "squared_relu"},
                                          {Activation::swiglu, "swiglu"}})
NLOHMANN_JSON_SERIALIZE_ENUM(Integration, {{Integration::merged, "merged"}, {Integration::gated, "gated"}})

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RotaryScaling, factor, window, low_rotations, high_rotations)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TransformerConfig, vocabulary, width, layers, memory_layers, heads, memory_heads, key_heads,
                                   feed_forward, activation, integration, rotary_base, rotary_scaling, memory_positions,
                                   normalized_heads, initial_inverse_temperature, norm_epsilon, tied_output)
/// @endcond

/// All fields, each as a JSON value: for save_weights, for a Trainer, and for require_metadata, which names the field that differs.
inline Metadata config_metadata(const TransformerConfig& config) {
    Metadata metadata;
    const nlohmann::json fields = config;
    for (const auto& [field, value] : fields.items()) metadata["config." + field] = value.dump();
    return metadata;
}

/// Adds the configuration to metadata of the user's.
/// Errors: ConfigError if an entry says something else of a configuration.
inline void add_config(Metadata& metadata, const TransformerConfig& config) {
    for (const auto& [name, value] : config_metadata(config)) {
        const auto entry = metadata.emplace(name, value).first;
        require<ConfigError>(entry->second == value, "metadata '", name, "' is '", entry->second, "', but the model has '", value,
                             "'");
    }
}

/// The configuration that config_metadata wrote. `file` opens messages.
///
/// Errors: FileError if an entry is missing, unknown or not a value of its field; ConfigError if the fields do not fit each other.
inline TransformerConfig config_from(const Metadata& metadata, const std::string& file) {
    TransformerConfig config;
    const nlohmann::json examples = config;
    for (const auto& [field, example] : examples.items()) {
        const auto entry = metadata.find("config." + field);
        if (entry == metadata.end() && field == "rotary_scaling") continue;  // files before there was any
        require<FileError>(entry != metadata.end(), file, ": metadata 'config.", field,
                           "' is missing: the file does not say its configuration");
        nlohmann::json fields = config;
        fields[field] = nlohmann::json::parse(entry->second, nullptr, false);
        try {
            config = fields.get<TransformerConfig>();
        } catch (const nlohmann::json::exception&) {
        }
        require<FileError>(nlohmann::json(config)[field] == fields[field], file, ": metadata 'config.", field, "' is '",
                           entry->second, "', expected a value such as ", example.dump());
    }
    for (const auto& [name, value] : metadata)
        require<FileError>(!name.starts_with("config.") || examples.contains(name.substr(7)), file, ": metadata '", name,
                           "' is unknown: a later version may have written the file");
    config.check();
    return config;
}

/// Writes the weights and the configuration, all or nothing. `metadata` is kept beside it.   Errors: as save_weights and
/// add_config.
template <class Real>
void save_model(const std::filesystem::path& path, Transformer<Real>& model, Metadata metadata = {}) {
    add_config(metadata, model.config());
    save_weights(path, model.parameters(), metadata);
}

/// Reads weights into a model of the same configuration.
///
/// Errors: ConfigError, with the field's name, what the file says and what the model has, if the configurations differ or the file
///         does not say its own; FileError as load_weights of a list of parameters. The model is as before then.
template <class Real>
void load_weights(const std::filesystem::path& path, Transformer<Real>& model) {
    require_metadata(path, config_metadata(model.config()));
    load_weights(path, model.parameters());
}

/// The model of a file, as it was saved; numbers of another type are converted.
///
/// Errors: FileError if the file is malformed or does not say its configuration; ConfigError if that does not fit together.
template <class Real>
Transformer<Real> load_model(const std::filesystem::path& path) {
    Random unused(0);  // initial weights, all of which are overwritten
    Transformer<Real> model(config_from(read_metadata(path), path.string()), unused);
    load_weights(path, model.parameters());
    return model;
}

}  // namespace fot
