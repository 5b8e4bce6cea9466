/// Checkpoints: a run that is interrupted and resumed ends with bitwise the weights of one that ran through.
///
/// For that a checkpoint holds all that the next step depends on: the weights, the optimiser's state, the state of every random
/// generator, the step, and whatever counters and running averages the schedules keep. All of it is in one safetensors file, bit by
/// bit. The weights are there under their own names, the rest under names that start with "training/", so a checkpoint can also be
/// read as a finished model:
///
///     layers.0.q                                  F32   weights
///     training/optimizer/adamw.layers.0.q.m       F32   a slot of the optimiser
///     training/optimizer_step                     I64   steps that the optimiser has counted
///     training/random/batches                     U64   the four words of a generator
///     training/integer/step                       I64   a counter
///     training/number/accuracy                    F64   a running average
///     training/list/starts                        I64   counters in a row, as many as there are
///     training/array/memory                       F32   numbers in a row: what a memory holds, say
///
/// Read first: files/safetensors.hpp, train/optimizer.hpp.   Read next: train/trainer.hpp.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fot/core/parameter.hpp"
#include "fot/core/random.hpp"
#include "fot/files/safetensors.hpp"
#include "fot/train/optimizer.hpp"

namespace fot {

/// Everything that the next step depends on, by reference.
template <class Real>
struct TrainingState {
    std::vector<Parameter<Real>> parameters;                ///< of the model
    OptimizerState<Real> optimizer;                         ///< moments, and steps taken
    std::map<std::string, Random*> randoms;                 ///< generators
    std::map<std::string, Index*> integers;                 ///< counters
    std::map<std::string, double*> numbers;                 ///< running averages
    std::map<std::string, std::vector<Index>*> lists = {};  ///< loaded with whatever length they were saved with
    std::map<std::string, std::vector<Real>*> arrays = {};  ///< likewise
};

namespace detail {

inline constexpr const char* training_prefix = "training/";

/// One tensor of a checkpoint: how it is stored, and where its bytes live in the program.
struct CheckpointPiece {
    std::string name;
    Dtype dtype;
    std::vector<Index> shape;
    void* bytes;
    std::function<void*(Index)> resized = nullptr;  ///< for lists and arrays: makes room for another length, returns where
};

/// The one list that saving and loading share.
template <class Real>
std::vector<CheckpointPiece> checkpoint_pieces(const TrainingState<Real>& state) {
    const std::string prefix = training_prefix;
    std::vector<CheckpointPiece> pieces;
    for (const auto& p : state.parameters) pieces.push_back({p.name, dtype_of<Real>(), p.shape, p.value().data()});
    for (const auto& slot : state.optimizer.slots)
        pieces.push_back({prefix + "optimizer/" + slot.name, dtype_of<Real>(), slot.shape, slot.data});
    pieces.push_back({prefix + "optimizer_step", Dtype::i64, {}, state.optimizer.step_count});
    for (const auto& [name, random] : state.randoms)
        pieces.push_back({prefix + "random/" + name, Dtype::u64, {4}, random->state.data()});
    for (const auto& [name, integer] : state.integers) pieces.push_back({prefix + "integer/" + name, Dtype::i64, {}, integer});
    for (const auto& [name, number] : state.numbers) pieces.push_back({prefix + "number/" + name, Dtype::f64, {}, number});
    const auto add_list = [&]<class T>(const std::string& name, std::vector<T>* list) {
        pieces.push_back({prefix + name, dtype_of<T>(), {static_cast<Index>(list->size())}, list->data(), [list](Index size) {
                              list->resize(static_cast<std::size_t>(size));
                              return static_cast<void*>(list->data());
                          }});
    };
    for (const auto& [name, list] : state.lists) add_list("list/" + name, list);
    for (const auto& [name, array] : state.arrays) add_list("array/" + name, array);
    return pieces;
}

inline void require_stored_shape(const SafetensorsFile& file, const std::string& name, const std::vector<Index>& expected) {
    require<FileError>(file.shape(name) == expected, file.path().string(), ": tensor '", name, "' has shape ",
                       shape_text(file.shape(name)), ", expected ", shape_text(expected));
}

inline void require_floating(const SafetensorsFile& file, const std::string& name) {
    const Dtype dtype = file.dtype(name);
    require<FileError>(dtype == Dtype::f64 || dtype == Dtype::f32 || dtype == Dtype::f16 || dtype == Dtype::bf16,
                       file.path().string(), ": tensor '", name, "' has dtype ", dtype_name(dtype),
                       ", expected F64, F32, F16 or BF16");
}

inline void refuse_unknown(const SafetensorsFile& file, const std::set<std::string>& known, bool training_too) {
    for (const std::string& name : file.names())
        require<FileError>(known.count(name) != 0 || (!training_too && name.starts_with(training_prefix)), file.path().string(),
                           ": tensor '", name, "' is unknown here");
}

}  // namespace detail

/// Writes a checkpoint, all of it or none: an older one stays until the new one is on disk.
///
/// Errors: FileError if it cannot be written; ConfigError if two parameters share a name.
template <class Real>
void save_checkpoint(const std::filesystem::path& path, const TrainingState<Real>& state, const Metadata& metadata = {}) {
    SafetensorsWriter writer;
    writer.metadata = metadata;
    for (const auto& piece : detail::checkpoint_pieces(state)) writer.add_bytes(piece.name, piece.dtype, piece.shape, piece.bytes);
    writer.write(path);
}

/// Overwrites the state with that of a checkpoint. It must hold exactly this state: same names, shapes and types, so the same
/// model, optimiser and counters, and the same Real. All is checked before the first number is overwritten.
///
/// Errors: FileError if the file is malformed, a tensor is missing, unknown, or of another shape or type, or a generator or the
///         optimiser's step cannot be what the file says.
template <class Real>
void load_checkpoint(const std::filesystem::path& path, const TrainingState<Real>& state) {
    const SafetensorsFile file(path);
    const std::vector<detail::CheckpointPiece> pieces = detail::checkpoint_pieces(state);
    std::set<std::string> known;
    for (const auto& piece : pieces) {
        known.insert(piece.name);
        const std::vector<Index> shape = file.shape(piece.name);
        detail::require_stored_shape(file, piece.name, piece.resized && shape.size() == 1 ? shape : piece.shape);
        require<FileError>(file.dtype(piece.name) == piece.dtype, path.string(), ": tensor '", piece.name, "' has dtype ",
                           dtype_name(file.dtype(piece.name)), ", expected ", dtype_name(piece.dtype),
                           " (a checkpoint goes on only in the type it was made in)");
        if (piece.bytes == state.optimizer.step_count)
            require<FileError>(file.read<Index>(piece.name).at(0) >= 0, path.string(), ": tensor '", piece.name,
                               "' is negative, expected a number of steps");
        if (piece.dtype == Dtype::u64)
            require<FileError>(file.read<std::uint64_t>(piece.name) != std::vector<std::uint64_t>(4, 0), path.string(),
                               ": tensor '", piece.name, "' is all zero, which is no state of a generator");
    }
    detail::refuse_unknown(file, known, true);
    for (const auto& piece : pieces)
        file.read_bytes(piece.name, piece.resized ? piece.resized(file.shape(piece.name)[0]) : piece.bytes);
}

/// Writes the weights of a finished model: one tensor a parameter, under its name. The configuration is not in a list of
/// parameters: save_model (train/model_file.hpp) writes it too.
///
/// Errors: as save_checkpoint.
template <class Real>
void save_weights(const std::filesystem::path& path, const std::vector<Parameter<Real>>& parameters,
                  const Metadata& metadata = {}) {
    SafetensorsWriter writer;
    writer.metadata = metadata;
    for (const auto& p : parameters) writer.add(p.name, p.shape, p.value().data());
    writer.write(path);
}

/// Reads weights, from a finished model or from a checkpoint. Other floating-point types are converted: a float model can be
/// examined in double. Names and shapes are checked before the first number is overwritten. They do not tell models of different
/// configurations apart: load_model, or load_weights with a model (train/model_file.hpp), compares the configuration too.
///
/// Errors: FileError if the file is malformed, or a tensor is missing, unknown, of another shape or of no floating-point type.
template <class Real>
void load_weights(const std::filesystem::path& path, const std::vector<Parameter<Real>>& parameters) {
    const SafetensorsFile file(path);
    std::set<std::string> known;
    for (const auto& p : parameters) {
        known.insert(p.name);
        detail::require_stored_shape(file, p.name, p.shape);
        detail::require_floating(file, p.name);
    }
    detail::refuse_unknown(file, known, false);
    for (const auto& p : parameters) file.read_into(p.name, p.value().data(), length_of(p.value()));
}

/// The metadata of a checkpoint or of a finished model: its configuration, say. Reads no tensor.
inline Metadata read_metadata(const std::filesystem::path& path) { return SafetensorsFile(path).metadata(); }

/// Makes sure that a file was made for what it is now wanted for: each expected entry is in its metadata. It may hold others.
///
/// Errors: FileError if the file is malformed; ConfigError if an entry is missing or differs.
inline void require_metadata(const std::filesystem::path& path, const Metadata& expected) {
    const Metadata found = read_metadata(path);
    for (const auto& [name, value] : expected) {
        const auto at = found.find(name);
        require<ConfigError>(at != found.end(), path.string(), ": metadata '", name, "' is missing, expected '", value, "'");
        require<ConfigError>(at->second == value, path.string(), ": metadata '", name, "' is '", at->second, "', expected '", value,
                             "'");
    }
}

}  // namespace fot
