/// The weights of a model in one or several files of safetensors or PyTorch, mapped from there, and copied only if they are
/// transposed or unaligned.
///
///     model.safetensors      all weights, or else
///     model.safetensors.index.json     {"weight_map": {"name": "file", ...}} and the files that it names, or else
///     pytorch_model.bin      all weights, or else
///     pytorch_model.bin.index.json     and the files that it names
///
/// Where several lie in a folder, Hugging Face's code takes the first of them, and so does this header.
///
/// Read first: files/safetensors.hpp, files/pytorch_file.hpp.   Read next: model/long_llama_files.hpp.
#pragma once

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fot/files/json_file.hpp"
#include "fot/files/mapped_file.hpp"
#include "fot/files/pytorch_file.hpp"
#include "fot/files/replacing_file.hpp"
#include "fot/files/safetensors.hpp"
#include "fot/files/stored_tensor.hpp"
#include "fot/nn/stored_linear.hpp"

namespace fot {

/// The tensors of a safetensors file, mapped.   Errors: those of SafetensorsFile and MappedFile.
inline StoredTensors read_safetensors_file(const std::filesystem::path& path) {
    const SafetensorsFile header(path);
    const auto file = std::make_shared<const MappedFile>(path);
    StoredTensors tensors;
    for (const std::string& name : header.names()) {
        const std::vector<Index>& shape = header.shape(name);
        tensors[name] = {file->data() + header.offset(name), header.dtype(name), shape, row_major_strides(shape), file};
    }
    return tensors;
}

/// All weights of a folder, as one collection of named tensors that stay where they are.
class CheckpointFolder {
   public:
    /// Of the file that says which safetensors files there are, where there are several.
    static constexpr const char* index_name = "model.safetensors.index.json";

    /// Reads the names, shapes and places of all tensors. What an index says of single names is not looked at, only its files.
    /// Errors: FileError if there is no such file, or one of them is damaged.
    explicit CheckpointFolder(const std::filesystem::path& folder) : folder_(folder) {
        for (const std::string whole : {"model.safetensors", "pytorch_model.bin"}) {
            if (file_exists(folder / whole)) {
                add(whole);
                return;
            }
            const std::filesystem::path index = folder / (whole + ".index.json");
            if (!file_exists(index)) continue;
            for (const std::string& file : files_of(index)) {
                require<FileError>(file_exists(folder / file), index.string(), " names ", file, ", which is not there", others());
                add(file);
            }
            return;
        }
        refuse();
    }

    /// Where it is.
    const std::filesystem::path& path() const { return folder_; }
    /// All of them, by name.
    const StoredTensors& tensors() const { return tensors_; }
    /// True if there is such a tensor.
    bool contains(const std::string& name) const { return tensors_.count(name) != 0; }

    /// A weight (rows, columns) where it lies. One that is not row-major, or not aligned for its numbers, is copied.
    StoredMatrix matrix(const std::string& name, Index rows, Index columns) const {
        return as_matrix(name, {rows, columns}, rows, columns);
    }

    /// A vector of `count` numbers, converted to Real.
    template <class Real>
    Tensor<Real, 1> vector(const std::string& name, Index count) const {
        Tensor<Real, 1> numbers = empty<Real, 1>({count});
        const StoredMatrix stored = as_matrix(name, {count}, 1, count);
        read_ahead(static_cast<const char*>(stored.numbers), static_cast<std::size_t>(count * dtype_bytes(stored.dtype)));
        const Tensor<Real, 2> widened = detail::widened_tensor<Real>(stored);
        std::copy(widened.begin(), widened.end(), numbers.begin());
        return numbers;
    }

   private:
    void add(const std::string& file) {
        const std::filesystem::path path = folder_ / file;
        try {
            for (auto& [name, tensor] : file.ends_with(".safetensors") ? read_safetensors_file(path) : read_pytorch_file(path)) {
                file_of_[name] = file;
                tensors_[name] = tensor;
            }
        } catch (const FileError& error) {
            const std::string what = detail::what_it_is(path);
            const bool right_form = what.find("zip") != std::string::npos && !file.ends_with(".safetensors");
            throw FileError(error.what() + (right_form ? "" : what));
        }
    }

    /// The files that an index names.
    static std::set<std::string> files_of(const std::filesystem::path& index) {
        const detail::OwnedJson owned = detail::read_json_object(index);
        const nlohmann::json& json = *owned;
        require<FileError>(json.contains("weight_map") && json["weight_map"].is_object(), index.string(),
                           ": has no object 'weight_map'");
        std::set<std::string> files;
        for (const auto& [name, file] : json["weight_map"].items()) {
            require<FileError>(file.is_string(), index.string(), ": the file of '", name, "' is ", detail::shown(file),
                               ", expected text");
            const std::string file_name = file.get<std::string>();
            require<FileError>(std::filesystem::path(file_name).filename() == file_name, index.string(), ": the file of '", name,
                               "' is '", file_name, "', expected a name without a folder");
            files.insert(file_name);
        }
        return files;
    }

    /// The files of weights that are there, as the end of an error message.
    std::string others() const {
        std::set<std::string> names;
        std::error_code failure;
        for (std::filesystem::directory_iterator entry(folder_, failure), end; !failure && entry != end; entry.increment(failure))
            if (std::set<std::string>{".pth", ".safetensors", ".bin", ".gguf", ".onnx"}.count(entry->path().extension().string()))
                names.insert(entry->path().filename().string());
        if (names.empty()) return "";
        return names.size() == 1 ? "; the folder has " + *names.begin()
                                 : message("; the folder has ", *names.begin(), " and ", names.size() - 1, " more");
    }

    /// A tensor of the same name after another beginning, as the end of an error message.
    std::string nearest(const std::string& name) const {
        for (const auto& [other, tensor] : tensors_)
            if (other.ends_with("." + name)) return "; there is '" + other + "'";
        return "";
    }

    /// Says what is there in place of weights.
    [[noreturn]] void refuse() const {
        std::string what = others();
        if (what.find("consolidated.") != std::string::npos)
            what +=
                ", weights in the form of the original LLaMA: convert the folder by convert_llama_weights_to_hf.py of Hugging "
                "Face's transformers, and read the folder that it writes";
        if (what.find("adapter_model.") != std::string::npos)
            what += ", an adapter, which is no model: merge it into its base model by merge_and_unload of PEFT, and save that";
        if (what.find("-of-") != std::string::npos)
            what += ", a part whose index is missing: fetch the index too, or, if it is all there is, name it model.safetensors";
        throw FileError(
            message(folder_.string(), ": has neither model.safetensors nor pytorch_model.bin, nor an index of several", what));
    }

    /// A tensor of this shape, seen as a matrix.
    StoredMatrix as_matrix(const std::string& name, const std::vector<Index>& shape, Index rows, Index columns) const {
        require<FileError>(contains(name), folder_.string(), ": tensor '", name, "' is missing", nearest(name));
        const StoredTensor& tensor = tensors_.at(name);
        const std::string at = (folder_ / file_of_.at(name)).string() + ": tensor '" + name + "' ";
        require<FileError>(tensor.shape == shape, at, "has shape ", shape_text(tensor.shape), ", expected ", shape_text(shape));
        const Dtype dtype = tensor.dtype;
        require<FileError>(dtype == Dtype::f32 || dtype == Dtype::f16 || dtype == Dtype::bf16 || dtype == Dtype::f64, at,
                           "has dtype ", dtype_name(dtype), ", expected F64, F32, F16 or BF16");
        if (tensor.in_place()) return {tensor.numbers, dtype, rows, columns, tensor.owner};
        const auto copy = std::make_shared<std::vector<char>>(static_cast<std::size_t>(tensor.bytes()));
        copy_row_major(tensor, copy->data());
        return {copy->data(), dtype, rows, columns, copy};
    }

    std::filesystem::path folder_;
    StoredTensors tensors_;
    std::map<std::string, std::string> file_of_;
};

}  // namespace fot
