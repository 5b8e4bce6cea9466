/// Checkpoints: a run that is interrupted and resumed ends with bitwise the weights of one that ran through, if binary, number of
/// threads and kind of processor are the same (paper_notes.md, "When results are bitwise the same").
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

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/core/parameter.hpp"
#include "fot/core/random.hpp"
#include "fot/files/safetensors_writer.hpp"
#include "fot/train/optimizer.hpp"

namespace fot {

/// One tensor of a checkpoint: how it is stored, and where its numbers live in the program.
struct KeptTensor {
    Dtype dtype;                                    ///< of the file
    std::vector<Index> shape;                       ///< extents
    void* numbers;                                  ///< row-major
    std::function<void(Index)> reserve = nullptr;   ///< of a list: makes room for another length
    std::function<void*(Index)> resized = nullptr;  ///< of a list: gives it that length, returns where its numbers are
};

/// Everything that the next step depends on, by reference.
template <class Real>
struct TrainingState {
    std::vector<Parameter<Real>> parameters;                       ///< of the model
    OptimizerState<Real> optimizer;                                ///< moments, and steps taken
    std::map<std::string, std::function<KeptTensor()>> kept = {};  ///< all else, by name: "random/batches"

    /// Adds a generator.   Errors (all forms of keep): ConfigError if the name is taken.
    void keep(const std::string& name, Random& random) {
        add("random/" + name, [&random] { return KeptTensor{Dtype::u64, {4}, random.state.data()}; });
    }
    /// Adds a counter.
    void keep(const std::string& name, Index& integer) {
        add("integer/" + name, [&integer] { return KeptTensor{Dtype::i64, {}, &integer}; });
    }
    /// Adds a running average.
    void keep(const std::string& name, double& number) {
        add("number/" + name, [&number] { return KeptTensor{Dtype::f64, {}, &number}; });
    }
    /// Adds counters or numbers in a row; they are loaded with whatever length they were saved with.
    template <class Number>
    void keep(const std::string& name, std::vector<Number>& list) {
        const auto reserve = [&list](Index size) { list.reserve(static_cast<std::size_t>(size)); };
        const auto resized = [&list](Index size) {
            list.resize(static_cast<std::size_t>(size));
            return static_cast<void*>(list.data());
        };
        add((std::is_integral_v<Number> ? "list/" : "array/") + name, [&list, reserve, resized] {
            return KeptTensor{dtype_of<Number>(), {length_of(list)}, list.data(), reserve, resized};
        });
    }

    /// What is saved and loaded now, under the names in the file.
    std::vector<std::pair<std::string, KeptTensor>> tensors() const {
        const std::string prefix = "training/";
        std::vector<std::pair<std::string, KeptTensor>> all;
        for (const auto& p : parameters) all.push_back({p.name, {dtype_of<Real>(), p.shape, p.value().data()}});
        for (const auto& slot : optimizer.slots)
            all.push_back({prefix + "optimizer/" + slot.name, {dtype_of<Real>(), slot.shape, slot.data}});
        all.push_back({prefix + "optimizer_step", {Dtype::i64, {}, optimizer.step_count}});
        for (const auto& [name, tensor] : kept) all.push_back({prefix + name, tensor()});
        return all;
    }

   private:
    void add(const std::string& name, std::function<KeptTensor()> tensor) {
        require<ConfigError>(kept.emplace(name, std::move(tensor)).second, "TrainingState::keep: name '", name, "' is taken");
    }
};

/// Writes a checkpoint, all of it or none: an older one stays until the new one is on disk.
///
/// Errors: FileError if it cannot be written; ConfigError if two parameters share a name.
template <class Real>
void save_checkpoint(const std::filesystem::path& path, const TrainingState<Real>& state, const Metadata& metadata = {}) {
    SafetensorsWriter writer;
    writer.metadata = metadata;
    for (const auto& [name, tensor] : state.tensors()) writer.add_bytes(name, tensor.dtype, tensor.shape, tensor.numbers);
    writer.write(path);
}

/// Overwrites the state with that of a checkpoint. It must hold exactly this state: same names, shapes and types, so the same
/// model, optimiser and counters, and the same Real. `accept`, if given, is called with the new state in place. If anything fails,
/// it too, the state is as it was; all is read before the first number is overwritten.
///
/// Errors: FileError if the file is malformed, a tensor is missing, unknown, or of another shape or type, or a generator or the
///         optimiser's step cannot be what the file says.
template <class Real>
void load_checkpoint(const std::filesystem::path& path, const TrainingState<Real>& state,
                     const std::function<void()>& accept = {}) {
    const SafetensorsFile file(path);
    const auto tensors = state.tensors();
    std::set<std::string> known;
    for (const auto& [name, tensor] : tensors) {
        known.insert(name);
        const std::vector<Index>& shape = file.shape(name);
        file.require_shape(name, tensor.resized && shape.size() == 1 ? shape : tensor.shape);
        require<FileError>(file.dtype(name) == tensor.dtype, file.at(name), "has dtype ", dtype_name(file.dtype(name)),
                           ", expected ", dtype_name(tensor.dtype), " (a checkpoint goes on only in the type it was made in)");
        require<FileError>(tensor.numbers != state.optimizer.step_count || file.read<Index>(name).at(0) >= 0, file.at(name),
                           "is negative, expected a number of steps");
        require<FileError>(tensor.dtype != Dtype::u64 || file.read<std::uint64_t>(name) != std::vector<std::uint64_t>(4, 0),
                           file.at(name), "is all zero, which is not a state of a generator");
    }
    for (const std::string& name : file.names()) require<FileError>(known.contains(name), file.at(name), "is unknown here");

    std::vector<std::vector<char>> read, before;
    for (const auto& [name, tensor] : tensors) {
        const Index bytes = dtype_bytes(tensor.dtype);
        const char* now = static_cast<const char*>(tensor.numbers);
        before.emplace_back(now, now + detail::checked_count(tensor.shape, bytes) * bytes);
        file.read_bytes(name, read.emplace_back(static_cast<std::size_t>(file.count(name) * bytes)).data());
        if (tensor.reserve) tensor.reserve(std::max(file.count(name), length_of(before.back()) / bytes));
    }
    const auto write = [&tensors](const std::vector<std::vector<char>>& contents) {
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            const KeptTensor& tensor = tensors[i].second;
            void* numbers = tensor.resized ? tensor.resized(length_of(contents[i]) / dtype_bytes(tensor.dtype)) : tensor.numbers;
            std::copy(contents[i].begin(), contents[i].end(), static_cast<char*>(numbers));
        }
    };
    write(read);
    try {
        if (accept) accept();
    } catch (...) {
        write(before);
        throw;
    }
}

/// Writes the weights of a finished model: one tensor per parameter, under its name. The configuration is not in a list of
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
/// examined in double. If anything fails, the weights are as they were. Names and shapes do not tell models of different
/// configurations apart: load_model, or load_weights with a model (train/model_file.hpp), compares the configuration too.
///
/// Errors: FileError if the file is malformed, or a tensor is missing, unknown, of another shape or of no floating-point type.
template <class Real>
void load_weights(const std::filesystem::path& path, const std::vector<Parameter<Real>>& parameters) {
    const SafetensorsFile file(path);
    std::set<std::string> known;
    for (const auto& p : parameters) {
        known.insert(p.name);
        file.require_shape(p.name, p.shape);
        file.require_floating(p.name);
    }
    for (const std::string& name : file.names())
        require<FileError>(known.contains(name) || name.starts_with("training/"), file.at(name), "is unknown here");
    std::vector<std::vector<Real>> read;  // all, before the first number is overwritten
    for (const auto& p : parameters) read.push_back(file.read<Real>(p.name));
    for (std::size_t i = 0; i < parameters.size(); ++i) std::ranges::copy(read[i], parameters[i].value().begin());
}

/// The metadata of a checkpoint or of a finished model: its configuration, say. Reads no tensor.
inline Metadata read_metadata(const std::filesystem::path& path) { return SafetensorsFile(path).metadata(); }

/// Makes sure that a file was made for what it is now wanted for: each expected entry is in its metadata. It may hold others.
///
/// Errors: FileError if the file is malformed; ConfigError if an entry is missing or differs.
inline void require_metadata(const std::filesystem::path& path, const Metadata& expected) {
    const Metadata found = read_metadata(path);
    const auto quoted = [](const std::string& value) {  // the beginning of what is long
        return value.size() <= 200 ? "'" + value + "'" : "'" + value.substr(0, 200) + "...'";
    };
    for (const auto& [name, value] : expected) {
        const auto at = found.find(name);
        require<ConfigError>(at != found.end(), path.string(), ": metadata '", name, "' is missing, expected ", quoted(value));
        require<ConfigError>(at->second == value, path.string(), ": metadata '", name, "' is ", quoted(at->second), ", expected ",
                             quoted(value));
    }
}

}  // namespace fot
