/// Writing safetensors files: all or nothing, from where the numbers lie.
///
///     SafetensorsWriter writer;
///     writer.add("weights", tensor);          // kept by pointer: nothing is copied
///     writer.write("model.safetensors");      // replaces an older file once the new one is whole
///
/// Read first: files/safetensors.hpp (the format), files/replacing_file.hpp.   Read next: train/checkpoint.hpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fot/files/replacing_file.hpp"
#include "fot/files/safetensors.hpp"

namespace fot {

/// Collects tensors and writes them as one file. It keeps pointers, not copies: the numbers must live until `write`.
class SafetensorsWriter {
   public:
    Metadata metadata;  ///< text beside the tensors

    /// Adds a tensor of the type that `dtype_of<T>` says. If it cannot, nothing has changed.
    /// Errors: ConfigError if the name is taken; ShapeError if the shape has a negative extent or too many elements.
    template <class T>
    void add(const std::string& name, const std::vector<Index>& shape, const T* numbers) {
        add_bytes(name, dtype_of<T>(), shape, numbers);
    }
    /// The same of a tensor, which must be there until the file is written.
    template <class T, std::size_t N>
    void add(const std::string& name, const Tensor<T, N>& tensor) {
        const Shape<N> shape = shape_of(tensor);
        add(name, {shape.begin(), shape.end()}, tensor.data());
    }
    template <class T, std::size_t N>
    void add(const std::string& name, Tensor<T, N>&& tensor) = delete;  // would be gone when the file is written

    /// Adds a tensor whose bytes are already those of `dtype` (F16, BF16 and BOOL have no C++ type here).
    void add_bytes(const std::string& name, Dtype dtype, const std::vector<Index>& shape, const void* bytes) {
        require<ConfigError>(name != "__metadata__" && !names_.contains(name), "SafetensorsWriter::add: name '", name,
                             "' is taken");
        const Index count = detail::checked_count(shape, dtype_bytes(dtype));
        require<ShapeError>(count >= 0, "SafetensorsWriter::add: tensor '", name, "' has shape ", shape_text(shape),
                            ", expected extents of 0 or more and a size that can be counted");
        std::set<std::string> added{name};
        entries_.push_back({name, dtype, shape, bytes, count * dtype_bytes(dtype)});
        names_.merge(added);  // which allocates nothing
    }

    /// Writes the file, all or nothing: on an error the temporary is removed and an older file of that name stays as it was.
    /// Errors: FileError if the file cannot be written (folder missing, disk full), or a name is not valid UTF-8.
    void write(const std::filesystem::path& path) const {
        std::vector<Entry> ordered = entries_;
        std::ranges::stable_sort(ordered, std::greater(), [](const Entry& entry) {
            return dtype_bytes(entry.dtype);  // wide elements first: every tensor starts aligned
        });
        std::string text;
        try {
            text = header_of(ordered);
        } catch (const nlohmann::json::exception& error) {
            throw FileError(path.string() + ": cannot write the header: " + error.what());
        }
        text.append((8 - text.size() % 8) % 8, ' ');  // the data starts at a multiple of 8
        const std::uint64_t length = text.size();
        ReplacingFile file(path);
        file.append(&length, 8);
        file.append(text.data(), length_of(text));
        for (const Entry& entry : ordered) file.append(entry.bytes, entry.byte_count);
        file.commit();
    }

   private:
    struct Entry {
        std::string name;
        Dtype dtype;
        std::vector<Index> shape;
        const void* bytes;
        Index byte_count;
    };

    /// Written by hand: an object of the JSON library ends the program if there is no memory to destroy it with.
    std::string header_of(const std::vector<Entry>& ordered) const {
        std::map<std::string, std::string> fields;
        for (const auto& [name, text] : metadata) fields[quoted(name)] = quoted(text);
        if (!fields.empty()) fields = {{quoted("__metadata__"), object_of(fields)}};
        Index offset = 0;
        for (const auto& [name, dtype, shape, bytes, byte_count] : ordered) {
            std::string extents;
            for (const Index extent : shape) extents += (extents.empty() ? "" : ",") + std::to_string(extent);
            fields[quoted(name)] = message("{\"data_offsets\":[", offset, ",", offset + byte_count, "],\"dtype\":\"",
                                           dtype_name(dtype), "\",\"shape\":[", extents, "]}");
            offset += byte_count;
        }
        return object_of(fields);
    }
    static std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }
    static std::string object_of(const std::map<std::string, std::string>& fields) {
        std::string object;
        for (const auto& [name, value] : fields) object += (object.empty() ? "{" : ",") + name + ":" + value;
        return object.empty() ? "{}" : object + "}";
    }

    std::set<std::string> names_;
    std::vector<Entry> entries_;
};

}  // namespace fot
