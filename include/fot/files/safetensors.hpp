/// The safetensors format, and its reader: named tensors in one file, which holds numbers and nothing that could be run.
///
///     8 bytes   length of the header, little-endian
///     header    JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
///                      "__metadata__": {"key": "text"}}
///     data      the tensors' numbers, row-major, little-endian, one tensor after another without a gap
///
/// The reader trusts nothing: every extent and offset is checked before a byte of data is read, and the offsets must cover the
/// data exactly. Tensors are read on demand, and numbers converted while they are read.
///
/// Read first: core/dtype.hpp, files/stored_tensor.hpp.   Read next: files/safetensors_writer.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/core/dtype.hpp"
#include "fot/core/tensor.hpp"
#include "fot/files/stored_tensor.hpp"

namespace fot {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian, and so must the machine be");

/// The `__metadata__` of a file: free text under free names.
using Metadata = std::map<std::string, std::string>;

/// A safetensors file, open for reading. Opening reads and checks the header; `read` fetches one tensor.
/// One object serves one thread at a time.
///
/// Errors: FileError, naming the file and the tensor, if the file is missing, truncated or malformed in any way, if a tensor is
///         unknown, or if its numbers do not fit the type asked for.
class SafetensorsFile {
   public:
    /// Opens the file and checks its header; numbers are read when asked for.
    explicit SafetensorsFile(std::filesystem::path path) : path_(std::move(path)) {
        std::error_code ignored;
        const auto status = std::filesystem::status(path_, ignored);
        require<FileError>(std::filesystem::exists(status), path_.string(), ": there is no such file");
        require<FileError>(std::filesystem::is_regular_file(status), path_.string(), ": is not a regular file");
        stream_.open(path_, std::ios::binary);
        require<FileError>(stream_.is_open(), path_.string(), ": cannot be opened");
        parse(static_cast<std::uint64_t>(std::filesystem::file_size(path_)));
    }

    /// Of the file.
    const std::filesystem::path& path() const { return path_; }
    /// Text beside the tensors.
    const Metadata& metadata() const { return metadata_; }

    /// The tensors' names, in the order of their data.
    const std::vector<std::string>& names() const { return names_; }

    /// True if there is such a tensor.
    bool contains(const std::string& name) const { return entries_.count(name) != 0; }
    /// Its extents.
    const std::vector<Index>& shape(const std::string& name) const { return entry(name).shape; }
    /// Its type.
    Dtype dtype(const std::string& name) const { return entry(name).dtype; }

    /// Opens messages about a tensor.
    std::string at(const std::string& name) const { return path_.string() + ": tensor '" + name + "' "; }

    /// Number of elements.
    Index count(const std::string& name) const { return entry(name).count; }

    /// Throws FileError unless the tensor is there and has these extents.
    void require_shape(const std::string& name, const std::vector<Index>& expected) const {
        require<FileError>(shape(name) == expected, at(name), "has shape ", shape_text(shape(name)), ", expected ",
                           shape_text(expected));
    }
    /// Throws FileError unless it holds floating-point numbers.
    void require_floating(const std::string& name) const {
        const Dtype stored = dtype(name);
        require<FileError>(stored == Dtype::f64 || stored == Dtype::f32 || stored == Dtype::f16 || stored == Dtype::bf16, at(name),
                           "has dtype ", dtype_name(stored), ", expected F64, F32, F16 or BF16");
    }

    /// Where in the file the tensor's bytes begin: for readers that map the file.
    std::uint64_t offset(const std::string& name) const { return entry(name).begin; }

    /// Reads a tensor of exactly `count` elements to `destination`. A stored integer becomes any type that holds it, a stored
    /// floating-point number any floating-point type (rounded to nearest), never an integer. What does not fit is refused.
    template <class T>
    void read_into(const std::string& name, T* destination, Index count) const {
        const Entry& stored = entry(name);
        require<FileError>(stored.count == count, at(name), "has ", stored.count, " elements, ", count, " were asked for");
        seek(stored);
        detail::with_stored_type(stored.dtype, [&](auto element) {
            using Stored = decltype(element);
            require<FileError>(std::is_integral_v<Stored> || !std::is_integral_v<T>, at(name), "has dtype ",
                               dtype_name(stored.dtype), ", integers were asked for");
            if constexpr (std::is_same_v<Stored, T>)
                fetch(name, destination, count);
            else
                convert<Stored>(name, destination, count);
        });
    }

    /// Copies a tensor's bytes as they are stored: `count` elements of its dtype.
    void read_bytes(const std::string& name, void* destination) const {
        const Entry& stored = entry(name);
        seek(stored);
        fetch(name, static_cast<char*>(destination), stored.count * dtype_bytes(stored.dtype));
    }

    /// A tensor's numbers, row-major.
    template <class T>
    std::vector<T> read(const std::string& name) const {
        std::vector<T> numbers(static_cast<std::size_t>(count(name)));
        read_into(name, numbers.data(), count(name));
        return numbers;
    }

    /// A tensor of rank N.
    template <class T, std::size_t N>
    Tensor<T, N> read_tensor(const std::string& name) const {
        const std::vector<Index>& stored = shape(name);
        require<FileError>(stored.size() == N, at(name), "has shape ", shape_text(stored), ", expected ", N, " axes");
        Shape<N> extents{};
        std::copy_n(stored.begin(), N, extents.begin());
        Tensor<T, N> tensor = empty<T, N>(extents);
        read_into(name, tensor.data(), element_count(tensor));
        return tensor;
    }

   private:
    struct Entry {
        Dtype dtype;
        std::vector<Index> shape;
        Index count;
        std::uint64_t begin, end;  ///< bytes from the start of the file
    };

    const Entry& entry(const std::string& name) const {
        const auto found = entries_.find(name);
        require<FileError>(found != entries_.end(), path_.string(), ": has no tensor '", name, "', among ", names_.size());
        return found->second;
    }

    void seek(const Entry& stored) const {
        stream_.clear();
        stream_.seekg(static_cast<std::streamoff>(stored.begin));
    }

    template <class T>
    void fetch(const std::string& name, T* destination, Index count) const {
        const auto bytes = static_cast<std::streamsize>(count * static_cast<Index>(sizeof(T)));
        if (bytes == 0) return;
        stream_.read(reinterpret_cast<char*>(destination), bytes);
        require<FileError>(stream_.gcount() == bytes, at(name), "cannot be read: got ", stream_.gcount(), " bytes, expected ",
                           bytes);
    }

    template <class Stored, class T>
    void convert(const std::string& name, T* destination, Index count) const {
        std::vector<Stored> block(static_cast<std::size_t>(std::min<Index>(count, 1 << 16)));
        for (Index done = 0, here; done < count; done += here) {
            here = std::min(count - done, length_of(block));
            fetch(name, block.data(), here);
            for (Index i = 0; i < here; ++i) {
                const Stored stored = element(block, i);
                if constexpr (std::is_integral_v<Stored> && std::is_integral_v<T>)
                    if (!std::in_range<T>(stored)) [[unlikely]]
                        throw FileError(message(at(name), "element ", done + i, " is ", +stored, ", which does not fit ",
                                                dtype_name(dtype_of<T>())));
                T& number = destination[done + i];
                if constexpr (std::is_class_v<Stored>)
                    number = static_cast<T>(to_float(stored));
                else
                    number = static_cast<T>(stored);
                if constexpr (std::is_integral_v<Stored> && !std::is_integral_v<T>)
                    if (static_cast<long double>(number) != static_cast<long double>(stored)) [[unlikely]]
                        throw FileError(message(at(name), "element ", done + i, " is ", +stored, ", which no ",
                                                dtype_name(dtype_of<T>()), " is"));
                if constexpr (std::is_same_v<Stored, double>)
                    if (std::isinf(number) && std::isfinite(stored)) [[unlikely]]
                        throw FileError(message(at(name), "element ", done + i, " is ", stored, ", which does not fit ",
                                                dtype_name(dtype_of<T>())));
            }
        }
    }

    void parse(std::uint64_t file_bytes) {
        const std::string file = path_.string() + ": ";
        constexpr std::uint64_t limit = 100'000'000;  // of the header
        require<FileError>(file_bytes >= 8, file, "has ", file_bytes, " bytes, expected at least 8");
        std::uint64_t header_bytes = 0;
        fetch("header length", &header_bytes, 1);
        require<FileError>(header_bytes <= limit, file, "header length is ", header_bytes, ", expected at most ", limit);
        require<FileError>(header_bytes <= file_bytes - 8, file, "header length is ", header_bytes, ", expected at most the ",
                           file_bytes - 8, " bytes that follow it");
        std::string text(header_bytes, ' ');
        fetch("header", text.data(), static_cast<Index>(header_bytes));
        require<FileError>(text.starts_with('{'), file, "header does not start with '{'");
        // The parser would stop at a zero byte and pass over what follows.
        require<FileError>(text.find('\0') == std::string::npos, file, "header contains a zero byte");
        try {
            const nlohmann::json header = nlohmann::json::parse(text, StrictJson{file, {}, {}});
            text.clear();
            for (const auto& [name, value] : header.items())
                name == "__metadata__" ? add_metadata(value) : add_entry(name, value, 8 + header_bytes);
        } catch (const nlohmann::json::exception& error) {
            throw FileError(file + "header is not valid JSON: " + error.what());
        }
        order_entries(8 + header_bytes, file_bytes);
    }

    /// Called by the JSON parser as it goes: a name must not come twice, and nothing nests deeper than shape and data_offsets.
    struct StrictJson {
        std::string file;
        std::set<std::string> names, fields;

        bool operator()(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& parsed) {
            using Event = nlohmann::json::parse_event_t;
            if (event == Event::object_start || event == Event::array_start) {
                require<FileError>(depth <= 2, file, "header nests more than 3 levels deep");
                if (depth == 1) fields.clear();
            } else if (event == Event::key) {
                const std::string key = parsed.get<std::string>();
                require<FileError>((depth == 1 ? names : fields).insert(key).second, file, "header has the name '", key, "' twice");
            }
            return true;
        }
    };

    void add_metadata(const nlohmann::json& object) {
        const std::string start = path_.string() + ": __metadata__ ";
        require<FileError>(object.is_object(), start, "is ", object.type_name(), ", expected an object");
        for (const auto& [key, value] : object.items()) {
            require<FileError>(value.is_string(), start, "'", key, "' is ", value.type_name(), ", expected a string");
            metadata_[key] = value.get<std::string>();
        }
    }

    void add_entry(const std::string& name, const nlohmann::json& object, std::uint64_t data_begin) {
        for (const char* field : {"dtype", "shape", "data_offsets"})
            require<FileError>(object.is_object() && object.contains(field), at(name), "has no ", field);
        const nlohmann::json &dtype = object["dtype"], &shape = object["shape"], &offsets = object["data_offsets"];
        const std::string dtype_text = dtype.is_string() ? dtype.get<std::string>() : "";
        const auto facts = std::ranges::find(detail::dtype_facts, dtype_text, &detail::DtypeFacts::name);
        require<FileError>(facts != detail::dtype_facts.end(), at(name), "has dtype ", dtype.dump(),
                           ", expected one of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL");
        for (const nlohmann::json* list : {&shape, &offsets}) {
            bool counts = list->is_array();
            for (const auto& number : *list)
                counts = counts && number.is_number_unsigned() && number.get<std::uint64_t>() <= limit_;
            require<FileError>(counts, at(name), "has ", list == &shape ? "shape " : "data_offsets ", list->dump(),
                               ", expected a list of integers from 0 to ", limit_);
        }
        require<FileError>(offsets.size() == 2, at(name), "has ", offsets.size(), " data_offsets, expected 2");
        Entry entry{facts->dtype, shape.get<std::vector<Index>>(), 0, offsets[0].get<std::uint64_t>(),
                    offsets[1].get<std::uint64_t>()};
        entry.count = detail::checked_count(entry.shape, facts->bytes);
        require<FileError>(entry.count >= 0, at(name), "has shape ", shape.dump(), ": too many elements to count");
        const auto expected = static_cast<std::uint64_t>(entry.count * facts->bytes);
        require<FileError>(entry.begin <= entry.end && entry.end - entry.begin == expected, at(name), "has data_offsets ",
                           offsets.dump(), ", expected ", expected, " bytes for shape ", shape_text(entry.shape), " of ",
                           facts->name);
        entry.begin += data_begin;
        entry.end += data_begin;
        entries_.emplace(name, std::move(entry));
        names_.push_back(name);
    }

    /// Sorts the names by place, and checks that the tensors cover the data: no overlap, no gap, nothing missing or left over.
    void order_entries(std::uint64_t data_begin, std::uint64_t file_bytes) {
        std::ranges::sort(
            names_, {}, [&](const std::string& name) { return std::tuple(entries_.at(name).begin, entries_.at(name).end, name); });
        std::uint64_t end = data_begin;
        for (const std::string& name : names_) {
            const Entry& here = entries_.at(name);
            require<FileError>(here.begin == end, at(name), "starts at byte ", here.begin - data_begin, " of the data, expected ",
                               end - data_begin, " (tensors must follow one another without gap or overlap)");
            require<FileError>(here.end <= file_bytes, at(name), "ends at byte ", here.end - data_begin, " of the data, which has ",
                               file_bytes - data_begin, " (truncated?)");
            end = here.end;
        }
        require<FileError>(end == file_bytes, path_.string(), ": has ", file_bytes - data_begin, " bytes of data, expected ",
                           end - data_begin, " (bytes that belong to no tensor)");
    }

    static constexpr std::uint64_t limit_ = std::uint64_t{1} << 62;  ///< sums of two offsets still fit
    std::filesystem::path path_;
    mutable std::ifstream stream_;
    Metadata metadata_;
    std::map<std::string, Entry> entries_;
    std::vector<std::string> names_;
};

}  // namespace fot
