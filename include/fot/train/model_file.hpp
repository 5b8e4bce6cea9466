/// A finished model in one file: its weights, and the configuration that they are weights of.
///
///     save_model("model.safetensors", model);
///     Transformer<float> again = load_model<float>("model.safetensors");
///
/// `load_weights(path, model)` reads into a model that there is already, one with parts of its own perhaps, and refuses a file of
/// another configuration. A checkpoint of a Trainer that was made for a model can be read in both ways too.
///
/// Read first: train/checkpoint.hpp, train/config_metadata.hpp.   Read next: train/trainer.hpp.
#pragma once

#include <filesystem>

#include "fot/model/transformer.hpp"
#include "fot/train/checkpoint.hpp"
#include "fot/train/config_metadata.hpp"

namespace fot {

/// Writes the weights and the configuration, all or nothing. `metadata` is kept beside it.   Errors: as save_weights.
template <class Real>
void save_model(const std::filesystem::path& path, Transformer<Real>& model, Metadata metadata = {}) {
    metadata.merge(config_metadata(model.config()));
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
