/// The weights of a model in one or several safetensors files, left where they are: mapped, not copied.
///
/// Read first: files/safetensors.hpp, files/mapped_file.hpp.   Read next: model/long_llama_files.hpp.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fot/files/mapped_file.hpp"
#include "fot/files/safetensors.hpp"
#include "fot/nn/stored_linear.hpp"

namespace fot {

namespace detail {

/// A JSON file. Errors: FileError if it is missing, larger than 64 MB or no JSON object.
inline nlohmann::json read_json_object(const std::filesystem::path& path) {
    std::error_code failure;
    const auto bytes = std::filesystem::file_size(path, failure);
    require<FileError>(!failure, path.string(), ": there is no such file");
    require<FileError>(bytes <= 64'000'000, path.string(), ": has ", bytes, " bytes, expected at most 64 MB");
    std::ifstream stream(path);
    nlohmann::json json = nlohmann::json::parse(stream, nullptr, false);
    require<FileError>(json.is_object(), path.string(), ": is no JSON object");
    return json;
}

/// A value for an error message: as it stands in the file, but a list or object, which may nest without end, by its kind alone.
inline std::string shown(const nlohmann::json& value) {
    return value.is_structured() ? std::string("an ") + value.type_name() : value.dump();
}

}  // namespace detail

/// All safetensors files of a folder, as one collection of named tensors that stay where they are.
class CheckpointFolder {
   public:
    /// Of the file that says which file has which tensor, where there are several.
    static constexpr const char* index_name = "model.safetensors.index.json";

    /// Reads the files' headers; `index_name`, if there is such a file, says of which.
    explicit CheckpointFolder(const std::filesystem::path& folder) : folder_(folder) {
        const std::filesystem::path index = folder / index_name;
        if (!file_exists(index)) {
            open("model.safetensors");
            for (const std::string& name : files_.at("model.safetensors").header.names()) file_of_[name] = "model.safetensors";
            return;
        }
        const nlohmann::json json = detail::read_json_object(index);
        require<FileError>(json.contains("weight_map") && json["weight_map"].is_object(), index.string(),
                           ": has no object 'weight_map'");
        for (const auto& [name, file] : json["weight_map"].items()) {
            require<FileError>(file.is_string(), index.string(), ": the file of '", name, "' is ", detail::shown(file),
                               ", expected text");
            const std::string file_name = file.get<std::string>();
            require<FileError>(std::filesystem::path(file_name).filename() == file_name, index.string(), ": the file of '", name,
                               "' is '", file_name, "', expected a name without a folder");
            if (!files_.count(file_name)) open(file_name);
            file_of_[name] = file_name;
        }
        for (const auto& [file_name, file] : files_)
            for (const std::string& name : file.header.names())
                require<FileError>(file_of_.count(name) && file_of_.at(name) == file_name, index.string(), ": does not name '",
                                   name, "', which ", file_name, " has");
    }

    /// The file that has each tensor.
    const std::map<std::string, std::string>& names() const { return file_of_; }
    /// True if a file has such a tensor.
    bool contains(const std::string& name) const { return file_of_.count(name) != 0; }

    /// A weight (rows, columns) where it lies; one that is not aligned for its numbers is copied.
    StoredMatrix matrix(const std::string& name, Index rows, Index columns) const {
        const File& file = file_with(name, {rows, columns});
        file.header.require_floating(name);
        const Dtype dtype = file.header.dtype(name);
        const std::uint64_t offset = file.header.offset(name);
        if (offset % static_cast<std::uint64_t>(dtype_bytes(dtype)) == 0)
            return {file.bytes->data() + offset, dtype, rows, columns, file.bytes};
        const auto copy = std::make_shared<std::vector<char>>(static_cast<std::size_t>(rows * columns * dtype_bytes(dtype)));
        file.header.read_bytes(name, copy->data());
        return {copy->data(), dtype, rows, columns, copy};
    }

    /// A vector of `count` numbers, converted to Real.
    template <class Real>
    Tensor<Real, 1> vector(const std::string& name, Index count) const {
        return file_with(name, {count}).header.template read_tensor<Real, 1>(name);
    }

   private:
    struct File {
        SafetensorsFile header;
        std::shared_ptr<const MappedFile> bytes;
    };

    void open(const std::string& name) {
        files_.emplace(name, File{SafetensorsFile(folder_ / name), std::make_shared<const MappedFile>(folder_ / name)});
    }

    std::string at(const std::string& name) const { return (folder_ / file_of_.at(name)).string() + ": tensor '" + name + "' "; }

    const File& file_with(const std::string& name, const std::vector<Index>& shape) const {
        require<FileError>(contains(name), folder_.string(), ": tensor '", name, "' is missing");
        const File& file = files_.at(file_of_.at(name));
        require<FileError>(file.header.contains(name), at(name), "is missing there");
        require<FileError>(file.header.shape(name) == shape, at(name), "has shape ", shape_text(file.header.shape(name)),
                           ", expected ", shape_text(shape));
        return file;
    }

    std::filesystem::path folder_;
    std::map<std::string, File> files_;
    std::map<std::string, std::string> file_of_;
};

}  // namespace fot
