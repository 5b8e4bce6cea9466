/// The tensors of a file by torch.save: pytorch_model.bin.
///
///     since torch 1.6   a zip archive: NAME/data.pkl, the pickle; NAME/data/KEY, the numbers of storage KEY; NAME/byteorder
///     before            pickles one after another: magic number, protocol, facts of the machine, the object, list of keys; then
///     for
///                       each key the number of elements (8 bytes) and the numbers
///
/// The pickle holds a dictionary from names to tensors. A tensor is a call of torch._utils._rebuild_tensor_v2(storage, offset,
/// shape, strides, ...), where the storage is a persistent id, ("storage", torch.HalfStorage, key, device, number of elements). The
/// call is not made but read; whatever else a file wants to call is an error (files/pickle.hpp). The numbers stay in the mapped
/// file.
///
/// Source: torch/serialization.py and torch/_utils.py of PyTorch.
/// Read first: files/stored_tensor.hpp, files/zip_file.hpp, files/pickle.hpp, files/mapped_file.hpp.
/// Read next: files/checkpoint_folder.hpp.
#pragma once

#include <array>
#include <filesystem>
#include <utility>

#include "fot/files/mapped_file.hpp"
#include "fot/files/pickle.hpp"
#include "fot/files/stored_tensor.hpp"
#include "fot/files/zip_file.hpp"

namespace fot {

namespace detail {

/// What a state_dict may name. The types of storages come first, in the order of the list below.
inline constexpr auto torch_globals = std::to_array<std::string_view>({"torch DoubleStorage",
                                                                       "torch FloatStorage",
                                                                       "torch HalfStorage",
                                                                       "torch BFloat16Storage",
                                                                       "torch LongStorage",
                                                                       "torch IntStorage",
                                                                       "torch ShortStorage",
                                                                       "torch CharStorage",
                                                                       "torch ByteStorage",
                                                                       "torch BoolStorage",
                                                                       "collections OrderedDict",
                                                                       "torch._utils _rebuild_tensor_v2",
                                                                       "torch._utils _rebuild_parameter",
                                                                       "torch Size",
                                                                       "torch float64",
                                                                       "torch float32",
                                                                       "torch float16",
                                                                       "torch bfloat16",
                                                                       "torch int64",
                                                                       "torch int32",
                                                                       "torch int16",
                                                                       "torch int8",
                                                                       "torch uint8",
                                                                       "torch bool"});
inline constexpr std::array<Dtype, 10> torch_storages{Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::i64,
                                                      Dtype::i32, Dtype::i16, Dtype::i8,  Dtype::u8,   Dtype::boolean};

/// Numbers that tensors share.
struct TorchStorage {
    Dtype dtype;
    Index count;
    std::string_view bytes = {};
};

/// What a dictionary has under a key, or nullptr.
inline const PickleValue* value_of(const PickleValue& dictionary, std::string_view key) {
    const PickleValue* found = nullptr;
    for (std::size_t i = 0; dictionary.kind == PickleValue::Kind::dictionary && i < dictionary.items.size(); i += 2)
        if (dictionary.items[i]->kind == PickleValue::Kind::text && dictionary.items[i]->text == key)
            found = dictionary.items[i + 1];
    return found;
}

/// With what a value calls the function, or nullptr if it does not.
inline const PickleValue* arguments_of(const PickleValue& value, std::string_view function) {
    return value.kind == PickleValue::Kind::call && value.items[0]->text == function ? value.items[1] : nullptr;
}

/// Reads what the pickle of tensors means.
class TorchObject {
   public:
    TorchObject(std::string_view bytes, const std::string& where) : where_(where), pickle_(bytes, torch_globals, where) {
        for (const PickleValue* id : pickle_.persistent()) add_storage(id->items.front());
    }

    /// By key; whoever reads the container gives them their bytes.
    std::map<std::string, TorchStorage, std::less<>> storages;

    std::size_t size() const { return pickle_.size(); }

    /// The tensors of the dictionary, or of the one that it keeps as "state_dict" or "model". Other values are passed over.
    StoredTensors tensors() const {
        StoredTensors found;
        const PickleValue* names = &pickle_.value();
        require<FileError>(names->kind == Kind::dictionary, where_, ": holds no dictionary of tensors");
        for (const char* key : {"state_dict", "model"})
            if (const PickleValue* inner = value_of(*names, key); inner != nullptr && inner->kind == Kind::dictionary) {
                names = inner;
                break;
            }
        for (std::size_t i = 0; i < names->items.size(); i += 2) {
            const PickleValue *name = names->items[i], *value = names->items[i + 1];
            if (const PickleValue* parameter = arguments_of(*value, "torch._utils _rebuild_parameter"))
                value = parameter->items.empty() ? value : parameter->items.front();
            const PickleValue* arguments = arguments_of(*value, "torch._utils _rebuild_tensor_v2");
            if (name->kind == Kind::text && arguments != nullptr)
                found.insert_or_assign(std::string(name->text), tensor(std::string(name->text), *arguments));
        }
        require<FileError>(!found.empty(), where_, ": has no tensors in its dictionary");
        return found;
    }

   private:
    using Kind = PickleValue::Kind;

    void add_storage(const PickleValue* id) {
        require<FileError>(is_storage(*id), where_, ": refers to something that is no storage of tensors");
        const auto& items = id->items;
        const auto type = std::ranges::find(torch_globals, items[1]->text);
        const TorchStorage storage{element(torch_storages, type - torch_globals.begin()), items[4]->integer};
        const std::string key(items[2]->text);
        const auto [known, added] = storages.emplace(key, storage);
        require<FileError>(added || (known->second.dtype == storage.dtype && known->second.count == storage.count), where_,
                           ": storage '", key, "' has two types or sizes");
        require<FileError>(storage.count >= 0 && storage.count <= std::numeric_limits<Index>::max() / 8, where_, ": storage '", key,
                           "' has ", storage.count, " elements");
    }
    static bool is_storage(const PickleValue& id) {
        if (id.kind != Kind::tuple || id.items.size() < 5) return false;
        const auto& items = id.items;
        const bool whole = items.size() == 5 || items[5]->kind == Kind::none;  // of torch before 0.4 it may be a piece of another
        return whole && items[0]->text == "storage" && items[1]->kind == Kind::global && items[1]->text.ends_with("Storage") &&
               items[2]->kind == Kind::text && items[4]->kind == Kind::integer;
    }

    StoredTensor tensor(const std::string& name, const PickleValue& arguments) const {
        const std::string at = where_ + ": tensor '" + name + "' ";
        const auto& items = arguments.items;
        require<FileError>(items.size() >= 4 && items[0]->kind == Kind::persistent && items[1]->kind == Kind::integer, at,
                           "is not made of a storage, an offset, a shape and strides");
        const bool plain = items.size() < 7 || items[6]->kind == Kind::none || items[6]->items.empty();
        require<FileError>(plain, at, "is a view that changes its numbers (conjugate or negative), expected a plain one");
        const TorchStorage& storage = storages.find(items[0]->items.front()->items[2]->text)->second;
        StoredTensor tensor{nullptr, storage.dtype, integers(at, items[2]), integers(at, items[3]), nullptr};
        require<FileError>(tensor.shape.size() == tensor.strides.size() && tensor.shape.size() <= 64, at, "has ",
                           tensor.shape.size(), " axes and ", tensor.strides.size(), " strides, expected as many, up to 64");
        // A view that repeats numbers could be larger than its file, without limit.
        const Index count = checked_count(tensor.shape, dtype_bytes(storage.dtype));
        Index last = items[1]->integer;
        bool inside = count >= 0 && count <= storage.count && last >= 0 && last <= storage.count;
        for (std::size_t j = 0; j < tensor.shape.size() && inside && count > 0; ++j) {
            const Index steps = tensor.shape[j] - 1, stride = tensor.strides[j];
            inside = steps == 0 || (stride >= 0 && stride <= (storage.count - last) / steps);
            if (inside) last += steps * (steps == 0 ? 0 : stride);
        }
        require<FileError>(inside && (count == 0 || last < storage.count), at, "of shape ", shape_text(tensor.shape), ", strides ",
                           shape_text(tensor.strides), " and offset ", items[1]->integer, " does not fit its storage of ",
                           storage.count, " elements");
        require<FileError>(storage.bytes.size() == static_cast<std::size_t>(storage.count * dtype_bytes(storage.dtype)), at,
                           "has a storage without numbers");
        tensor.numbers = storage.bytes.data() + items[1]->integer * dtype_bytes(storage.dtype);
        return tensor;
    }

    /// The numbers of a tuple or torch.Size.
    static std::vector<Index> integers(const std::string& at, const PickleValue* tuple) {
        if (const PickleValue* size = arguments_of(*tuple, "torch Size"); size != nullptr && size->items.size() == 1)
            tuple = size->items.front();
        std::vector<Index> list;
        bool right = tuple->kind == Kind::tuple;
        for (const PickleValue* each : tuple->items) {
            right = right && each->kind == Kind::integer;
            list.push_back(each->integer);
        }
        require<FileError>(right, at, "has a shape or strides that are no tuple of integers");
        return list;
    }

    const std::string& where_;
    Pickle pickle_;
};

/// Of a zip archive.
inline StoredTensors zipped_torch_tensors(std::string_view bytes, const std::string& where) {
    const auto entries = zip_entries(bytes, where);
    const auto pickle = std::ranges::find_if(entries, [](const auto& entry) { return entry.first.ends_with("/data.pkl"); });
    require<FileError>(pickle != entries.end(), where, ": is a zip archive without a data.pkl, so not by torch.save");
    const std::string folder = pickle->first.substr(0, pickle->first.rfind('/') + 1);
    const auto order = entries.find(folder + "byteorder");
    require<FileError>(order == entries.end() || order->second == "little", where, ": has numbers in the byte order '",
                       order == entries.end() ? "" : order->second, "', expected little");
    TorchObject object(pickle->second, where);
    for (auto& [key, storage] : object.storages) {
        const auto entry = entries.find(folder + "data/" + key);
        require<FileError>(entry != entries.end(), where, ": has no entry '", folder, "data/", key, "' for a storage of ",
                           storage.count, " elements");
        storage.bytes = entry->second;
        const auto expected = static_cast<std::size_t>(storage.count * dtype_bytes(storage.dtype));
        require<FileError>(storage.bytes.size() == expected, where, ": entry '", entry->first, "' has ", storage.bytes.size(),
                           " bytes, expected ", expected);
    }
    return object.tensors();
}

/// Of pickles one after another.
inline StoredTensors legacy_torch_tensors(std::string_view bytes, const std::string& where) {
    const Pickle magic(bytes, torch_globals, where);
    require<FileError>(magic.value().text == "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", where,
                       ": is a pickle, but not by torch.save");
    bytes.remove_prefix(magic.size());
    const Pickle protocol(bytes, torch_globals, where);
    require<FileError>(protocol.value().integer == 1001, where, ": is of torch's protocol ", protocol.value().integer,
                       ", expected 1001");
    bytes.remove_prefix(protocol.size());
    const Pickle machine(bytes, torch_globals, where);
    const PickleValue* little = value_of(machine.value(), "little_endian");
    require<FileError>(little == nullptr || little->integer == 1, where, ": has numbers in the byte order 'big', expected little");
    bytes.remove_prefix(machine.size());
    TorchObject object(bytes, where);
    bytes.remove_prefix(object.size());
    const Pickle keys(bytes, torch_globals, where);
    bytes.remove_prefix(keys.size());
    for (const PickleValue* key : keys.value().items) {
        const auto known = object.storages.find(key->text);
        require<FileError>(known != object.storages.end(), where, ": no tensor says what storage '", key->text, "' is");
        TorchStorage& storage = known->second;
        const std::size_t size = static_cast<std::size_t>(storage.count * dtype_bytes(storage.dtype));
        require<FileError>(bytes.size() >= 8 && number_at<Index>(bytes, 0) == storage.count && bytes.size() - 8 >= size, where,
                           ": storage '", key->text, "' does not have its ", storage.count, " elements (truncated?)");
        storage.bytes = bytes.substr(8, size);
        bytes.remove_prefix(8 + size);
    }
    return object.tensors();
}

}  // namespace detail

/// The tensors of the bytes of a file, which must outlive them. `where` opens error messages.
///
/// Errors: FileError if it is no file by torch.save, is truncated or damaged, holds anything but a dictionary of tensors, or a
///         tensor does not fit its storage or repeats numbers of it.
inline StoredTensors pytorch_tensors(std::string_view bytes, const std::string& where) {
    if (bytes.starts_with("PK\3\4")) return detail::zipped_torch_tensors(bytes, where);
    if (bytes.starts_with('\x80')) return detail::legacy_torch_tensors(bytes, where);
    std::string start(bytes.substr(0, 24));
    for (char& c : start)
        if (c < ' ' || c > '~') c = '.';
    detail::fail<FileError>({where, ": is no file by torch.save: it has ", bytes.size(), " bytes and starts with '", start, "'"});
}

/// The tensors of a file, mapped.   Errors: and FileError if it cannot be opened.
inline StoredTensors read_pytorch_file(const std::filesystem::path& path) {
    const auto file = std::make_shared<const MappedFile>(path);
    StoredTensors tensors = pytorch_tensors({file->data(), file->size()}, path.string());
    for (auto& [name, tensor] : tensors) tensor.owner = file;
    return tensors;
}

}  // namespace fot
