/// The safetensors format: named tensors in one file that nothing can be smuggled into.
///
///     8 bytes   length of the header, little-endian
///     header    JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {"key": "text"}}
///     data      the tensors' numbers, row-major, little-endian, one tensor after another without a gap
///
/// The reader believes nothing: every extent and offset is checked before a byte of data is read, and the offsets must cover the
/// data exactly. Tensors are read on demand, and numbers converted while they are read. The writer builds the file under a temporary
/// name and renames it when it is safely on disk, so that a reader sees the old file or the new one, never half of one.
///
/// This header alone includes nlohmann/json.hpp. It needs POSIX (open, write, fsync, rename).
///
/// Read first: core/tensor.hpp.   Read next: train/checkpoint.hpp.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/core/tensor.hpp"

namespace fot {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian, and so must the machine be");

/// The `__metadata__` of a file: free text under free names.
using Metadata = std::map<std::string, std::string>;

/// The element types of the format.
enum class Dtype { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

namespace detail {

struct DtypeFacts {
    Dtype dtype;
    const char* name;
    Index bytes;
};

inline constexpr std::array<DtypeFacts, 13> dtype_facts{{{Dtype::f64, "F64", 8},
                                                         {Dtype::f32, "F32", 4},
                                                         {Dtype::f16, "F16", 2},
                                                         {Dtype::bf16, "BF16", 2},
                                                         {Dtype::i64, "I64", 8},
                                                         {Dtype::i32, "I32", 4},
                                                         {Dtype::i16, "I16", 2},
                                                         {Dtype::i8, "I8", 1},
                                                         {Dtype::u64, "U64", 8},
                                                         {Dtype::u32, "U32", 4},
                                                         {Dtype::u16, "U16", 2},
                                                         {Dtype::u8, "U8", 1},
                                                         {Dtype::boolean, "BOOL", 1}}};

/// A stored IEEE half-precision number.
struct StoredHalf {
    std::uint16_t bits;
    float number() const {
        const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u, fraction = bits & 1023u;
        if (exponent == 0) return (sign ? -0x1p-24f : 0x1p-24f) * static_cast<float>(fraction);  // zero and subnormal
        const std::uint32_t widened = exponent == 31 ? 255 : exponent + 112;                     // infinity and NaN stay so
        return std::bit_cast<float>(sign | widened << 23 | fraction << 13);
    }
};

/// A stored bfloat16: the upper half of a float.
struct StoredBfloat {
    std::uint16_t bits;
    float number() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

/// Calls `body` with a value of the C++ type that stores `dtype`.
template <class Body>
void with_stored_type(Dtype dtype, Body&& body) {
    switch (dtype) {
        case Dtype::f64: return body(double{});
        case Dtype::f32: return body(float{});
        case Dtype::f16: return body(StoredHalf{});
        case Dtype::bf16: return body(StoredBfloat{});
        case Dtype::i64: return body(std::int64_t{});
        case Dtype::i32: return body(std::int32_t{});
        case Dtype::i16: return body(std::int16_t{});
        case Dtype::i8: return body(std::int8_t{});
        case Dtype::u64: return body(std::uint64_t{});
        case Dtype::u32: return body(std::uint32_t{});
        case Dtype::u16: return body(std::uint16_t{});
        case Dtype::u8:
        case Dtype::boolean: return body(std::uint8_t{});
    }
}

/// The number of elements of a shape, or -1 if it does not fit an Index or an extent is negative.
inline Index checked_count(const std::vector<Index>& shape, Index bytes_each) {
    Index count = 1;
    for (Index extent : shape) {
        if (extent < 0 || (extent > 0 && count > std::numeric_limits<Index>::max() / bytes_each / extent)) return -1;
        count *= extent;
    }
    return count;
}

/// A file that takes the place of `path` when, and only when, all of it is on disk.
class ReplacingFile {
   public:
    explicit ReplacingFile(std::filesystem::path path) : path_(std::move(path)) {
        std::error_code ignored;
        const auto status = std::filesystem::status(path_, ignored);
        require<FileError>(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status), path_.string(),
                           ": cannot write: it exists and is not a regular file");
        static std::atomic<int> serial = 0;
        do {
            temporary_ = path_.string() + message(".partial-", ::getpid(), "-", serial++);
            file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        } while (file_ < 0 && errno == EEXIST);
        check(file_ >= 0, "create " + temporary_);
    }
    ReplacingFile(const ReplacingFile&) = delete;
    ReplacingFile& operator=(const ReplacingFile&) = delete;
    ~ReplacingFile() {
        if (file_ >= 0) ::close(file_);
        if (!temporary_.empty()) ::unlink(temporary_.c_str());
    }

    void append(const void* bytes, Index count) {
        for (const char* next = static_cast<const char*>(bytes); count > 0;) {
            const Index written = ::write(file_, next, static_cast<std::size_t>(count));
            if (written < 0 && errno == EINTR) continue;
            check(written > 0, "write " + message(count, " bytes to ", temporary_));
            next += written;
            count -= written;
        }
    }

    void commit() {
        check(::fsync(file_) == 0, "flush " + temporary_);
        check(::close(std::exchange(file_, -1)) == 0, "close " + temporary_);
        check(::rename(temporary_.c_str(), path_.c_str()) == 0, "rename " + temporary_);
        temporary_.clear();
        const std::string folder = path_.has_parent_path() ? path_.parent_path().string() : ".";
        const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (handle < 0) return;  // the new name is in place; some file systems cannot promise more
        ::fsync(handle);
        ::close(handle);
    }

   private:
    void check(bool done, const std::string& action) const {
        require<FileError>(done, path_.string(), ": cannot ", action, ": ", std::generic_category().message(errno));
    }

    std::filesystem::path path_;
    std::string temporary_;
    int file_ = -1;
};

}  // namespace detail

/// The name of an element type in the file, "F32".
inline const char* dtype_name(Dtype dtype) { return detail::dtype_facts[static_cast<std::size_t>(dtype)].name; }

/// Bytes of one element.
inline Index dtype_bytes(Dtype dtype) { return detail::dtype_facts[static_cast<std::size_t>(dtype)].bytes; }

/// The element type that stores a C++ number exactly.
template <class T>
constexpr Dtype dtype_of() {
    static_assert(std::is_same_v<T, double> || std::is_same_v<T, float> || (std::is_integral_v<T> && !std::is_same_v<T, bool>));
    if (std::is_floating_point_v<T>) return sizeof(T) == 8 ? Dtype::f64 : Dtype::f32;
    constexpr std::array<Dtype, 4> with_sign{Dtype::i8, Dtype::i16, Dtype::i32, Dtype::i64};
    constexpr std::array<Dtype, 4> without{Dtype::u8, Dtype::u16, Dtype::u32, Dtype::u64};
    return (std::is_signed_v<T> ? with_sign : without)[static_cast<std::size_t>(std::countr_zero(sizeof(T)))];
}

/// A safetensors file, open for reading. Opening reads and checks the header; `read` fetches one tensor.
/// One object serves one thread at a time.
///
/// Errors: FileError, naming the file and the tensor, if the file is missing, truncated or malformed in any way, if a tensor is
///         unknown, or if its numbers do not fit the type asked for.
class SafetensorsFile {
   public:
    explicit SafetensorsFile(std::filesystem::path path) : path_(std::move(path)) {
        std::error_code error;
        require<FileError>(std::filesystem::is_regular_file(path_, error), path_.string(), ": ",
                           error ? error.message() : "is not a regular file");
        stream_.open(path_, std::ios::binary);
        require<FileError>(stream_.is_open(), path_.string(), ": cannot be opened");
        parse(static_cast<std::uint64_t>(std::filesystem::file_size(path_)));
    }

    const std::filesystem::path& path() const { return path_; }
    const Metadata& metadata() const { return metadata_; }

    /// The tensors' names, in the order of their data.
    const std::vector<std::string>& names() const { return names_; }

    bool contains(const std::string& name) const { return entries_.count(name) != 0; }
    const std::vector<Index>& shape(const std::string& name) const { return entry(name).shape; }
    Dtype dtype(const std::string& name) const { return entry(name).dtype; }

    /// Number of elements.
    Index count(const std::string& name) const { return entry(name).count; }

    /// Reads a tensor of exactly `count` elements to `destination`. A stored integer becomes any type that holds it, a stored
    /// floating-point number any floating-point type (rounded to nearest), never an integer.
    template <class T>
    void read_into(const std::string& name, T* destination, Index count) const {
        const Entry& stored = entry(name);
        require<FileError>(stored.count == count, at(name), "has ", stored.count, " elements, ", count, " were asked for");
        stream_.clear();
        stream_.seekg(static_cast<std::streamoff>(stored.begin));
        detail::with_stored_type(stored.dtype, [&](auto element) {
            using Stored = decltype(element);
            if constexpr (std::is_same_v<Stored, T>)
                fetch(name, destination, count);
            else
                convert<Stored>(name, destination, count);
        });
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
        std::copy(stored.begin(), stored.end(), extents.begin());
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

    std::string at(const std::string& name) const { return path_.string() + ": tensor '" + name + "' "; }

    const Entry& entry(const std::string& name) const {
        const auto found = entries_.find(name);
        require<FileError>(found != entries_.end(), path_.string(), ": has no tensor '", name, "' (it has ", names_.size(), " others)");
        return found->second;
    }

    template <class T>
    void fetch(const std::string& name, T* destination, Index count) const {
        const auto bytes = static_cast<std::streamsize>(count * static_cast<Index>(sizeof(T)));
        if (bytes == 0) return;
        stream_.read(reinterpret_cast<char*>(destination), bytes);
        require<FileError>(stream_.gcount() == bytes, at(name), "cannot be read: got ", stream_.gcount(), " bytes, expected ", bytes);
    }

    template <class Stored, class T>
    void convert(const std::string& name, T* destination, Index count) const {
        std::vector<Stored> block(static_cast<std::size_t>(std::min<Index>(count, 1 << 16)));
        for (Index done = 0, here; done < count; done += here) {
            here = std::min(count - done, static_cast<Index>(block.size()));
            fetch(name, block.data(), here);
            for (Index i = 0; i < here; ++i) {
                const Stored stored = block[static_cast<std::size_t>(i)];
                if constexpr (std::is_integral_v<Stored> && std::is_integral_v<T>) {
                    require<FileError>(std::in_range<T>(stored), at(name), "element ", done + i, " is ", +stored,
                                       ", which does not fit ", dtype_name(dtype_of<T>()));
                    destination[done + i] = static_cast<T>(stored);
                } else if constexpr (std::is_integral_v<T>) {
                    throw FileError(message(at(name), "has dtype ", dtype_name(dtype(name)), ", integers were asked for"));
                } else if constexpr (std::is_class_v<Stored>) {
                    destination[done + i] = stored.number();
                } else {
                    destination[done + i] = static_cast<T>(stored);
                }
            }
        }
    }

    void parse(std::uint64_t file_bytes) {
        const std::string file = path_.string() + ": ";
        constexpr std::uint64_t limit = 100'000'000;
        require<FileError>(file_bytes >= 8, file, "has ", file_bytes, " bytes, expected at least 8");
        std::uint64_t header_bytes = 0;
        fetch("header length", &header_bytes, 1);
        require<FileError>(header_bytes <= limit, file, "header length is ", header_bytes, ", expected at most ", limit);
        require<FileError>(header_bytes <= file_bytes - 8, file, "header length is ", header_bytes, ", expected at most the ",
                           file_bytes - 8, " bytes that follow it");
        std::string text(header_bytes, ' ');
        fetch("header", text.data(), static_cast<Index>(header_bytes));
        require<FileError>(text.starts_with('{'), file, "header does not start with '{'");
        try {
            const nlohmann::json header = nlohmann::json::parse(text, StrictJson{file, {}, {}});
            text.clear();
            for (const auto& item : header.items()) item.key() == "__metadata__" ? add_metadata(item.value())
                                                                                 : add_entry(item.key(), item.value(), 8 + header_bytes);
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
                require<FileError>(depth <= 2, file, "header nests ", depth + 1, " levels deep, expected at most 3");
                fields.clear();
            } else if (event == Event::key) {
                const std::string key = parsed.get<std::string>();
                require<FileError>((depth == 1 ? names : fields).insert(key).second, file, "header has the name '", key, "' twice");
            }
            return true;
        }
    };

    void add_metadata(const nlohmann::json& object) {
        require<FileError>(object.is_object(), path_.string(), ": __metadata__ is ", object.type_name(), ", expected an object");
        for (const auto& item : object.items()) {
            require<FileError>(item.value().is_string(), path_.string(), ": __metadata__ '", item.key(), "' is ",
                               item.value().type_name(), ", expected a string");
            metadata_[item.key()] = item.value().get<std::string>();
        }
    }

    void add_entry(const std::string& name, const nlohmann::json& object, std::uint64_t data_begin) {
        for (const char* field : {"dtype", "shape", "data_offsets"})
            require<FileError>(object.is_object() && object.contains(field), at(name), "has no ", field);
        const nlohmann::json &dtype = object["dtype"], &shape = object["shape"], &offsets = object["data_offsets"];
        const auto facts = std::find_if(detail::dtype_facts.begin(), detail::dtype_facts.end(),
                                        [&](const detail::DtypeFacts& known) { return dtype == known.name; });
        require<FileError>(facts != detail::dtype_facts.end(), at(name), "has dtype ", dtype.dump(),
                           ", expected one of F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL");
        for (const nlohmann::json* list : {&shape, &offsets}) {
            bool counts = list->is_array();
            for (const auto& number : *list) counts = counts && number.is_number_unsigned() && number <= limit_;
            require<FileError>(counts, at(name), "has ", list == &shape ? "shape " : "data_offsets ", list->dump(),
                               ", expected a list of integers from 0 to ", limit_);
        }
        require<FileError>(offsets.size() == 2, at(name), "has ", offsets.size(), " data_offsets, expected 2");
        Entry entry{facts->dtype, shape.get<std::vector<Index>>(), 0, offsets[0], offsets[1]};
        entry.count = detail::checked_count(entry.shape, facts->bytes);
        require<FileError>(entry.count >= 0, at(name), "has shape ", shape.dump(), ": too many elements to count");
        const auto expected = static_cast<std::uint64_t>(entry.count * facts->bytes);
        require<FileError>(entry.begin <= entry.end && entry.end - entry.begin == expected, at(name), "has data_offsets ",
                           offsets.dump(), ", expected ", expected, " bytes for shape ", shape_text(entry.shape), " of ", facts->name);
        entry.begin += data_begin;
        entry.end += data_begin;
        entries_.emplace(name, std::move(entry));
        names_.push_back(name);
    }

    /// Sorts the names by place, and checks that the tensors cover the data: no overlap, no gap, nothing missing or left over.
    void order_entries(std::uint64_t data_begin, std::uint64_t file_bytes) {
        std::sort(names_.begin(), names_.end(), [&](const std::string& a, const std::string& b) {
            const Entry &first = entries_.at(a), &second = entries_.at(b);
            return std::tie(first.begin, first.end, a) < std::tie(second.begin, second.end, b);
        });
        std::uint64_t end = data_begin;
        for (const std::string& name : names_) {
            const Entry& here = entries_.at(name);
            require<FileError>(here.begin == end, at(name), "starts at byte ", here.begin - data_begin, " of the data, expected ",
                               end - data_begin, " (tensors must follow one another without gap or overlap)");
            require<FileError>(here.end <= file_bytes, at(name), "ends at byte ", here.end, " of the file, which has ", file_bytes,
                               " (truncated?)");
            end = here.end;
        }
        require<FileError>(end == file_bytes, path_.string(), ": has ", file_bytes, " bytes, expected ", end,
                           " (bytes that belong to no tensor)");
    }

    static constexpr std::uint64_t limit_ = std::uint64_t{1} << 62;  ///< sums of two offsets still fit
    std::filesystem::path path_;
    mutable std::ifstream stream_;
    Metadata metadata_;
    std::map<std::string, Entry> entries_;
    std::vector<std::string> names_;
};

/// Collects tensors and writes them as one file. It keeps pointers, not copies: the numbers must live until `write`.
class SafetensorsWriter {
   public:
    Metadata metadata;

    /// Adds a tensor of the type that `dtype_of<T>` says.
    /// Errors: ConfigError if the name is taken; ShapeError if the shape has a negative extent or too many elements.
    template <class T>
    void add(const std::string& name, const std::vector<Index>& shape, const T* numbers) {
        add_bytes(name, dtype_of<T>(), shape, numbers);
    }
    template <class T, std::size_t N>
    void add(const std::string& name, const Tensor<T, N>& tensor) {
        const Shape<N> shape = shape_of(tensor);
        add(name, {shape.begin(), shape.end()}, tensor.data());
    }

    /// Adds a tensor whose bytes are already those of `dtype` (F16, BF16 and BOOL have no C++ type here).
    void add_bytes(const std::string& name, Dtype dtype, const std::vector<Index>& shape, const void* bytes) {
        require<ConfigError>(name != "__metadata__" && names_.insert(name).second, "SafetensorsWriter::add: name '", name,
                             "' is taken");
        const Index count = detail::checked_count(shape, dtype_bytes(dtype));
        require<ShapeError>(count >= 0, "SafetensorsWriter::add: tensor '", name, "' has shape ", shape_text(shape),
                            ", expected extents of 0 or more and a size that can be counted");
        entries_.push_back({name, dtype, shape, bytes, count * dtype_bytes(dtype)});
    }

    /// Writes the file, all or nothing: on an error the temporary is removed and an older file of that name stays as it was.
    /// Errors: FileError if the file cannot be written (folder missing, disk full), or a name is not valid UTF-8.
    void write(const std::filesystem::path& path) const {
        std::vector<const Entry*> ordered;
        for (const Entry& entry : entries_) ordered.push_back(&entry);
        std::stable_sort(ordered.begin(), ordered.end(), [](const Entry* a, const Entry* b) {
            return dtype_bytes(a->dtype) > dtype_bytes(b->dtype);  // wide elements first: every tensor starts aligned
        });
        nlohmann::json header = nlohmann::json::object();
        if (!metadata.empty()) header["__metadata__"] = metadata;
        Index offset = 0;
        for (const Entry* entry : ordered) {
            header[entry->name] = {{"dtype", dtype_name(entry->dtype)},
                                   {"shape", entry->shape},
                                   {"data_offsets", {offset, offset + entry->byte_count}}};
            offset += entry->byte_count;
        }
        const std::string text = header_text(path, header);
        const std::uint64_t length = text.size();
        detail::ReplacingFile file(path);
        file.append(&length, 8);
        file.append(text.data(), static_cast<Index>(text.size()));
        for (const Entry* entry : ordered) file.append(entry->bytes, entry->byte_count);
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

    static std::string header_text(const std::filesystem::path& path, const nlohmann::json& header) {
        try {
            std::string text = header.dump();
            text.append((8 - text.size() % 8) % 8, ' ');  // the data starts at a multiple of 8
            return text;
        } catch (const nlohmann::json::exception& error) {
            throw FileError(path.string() + ": cannot write the header: " + error.what());
        }
    }

    std::set<std::string> names_;
    std::vector<Entry> entries_;
};

}  // namespace fot
