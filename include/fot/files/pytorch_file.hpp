/// The tensors of a file that torch.save has written: pytorch_model.bin.
///
///     since torch 1.6   a zip archive: NAME/data.pkl, the pickle; NAME/data/KEY, the numbers of storage KEY; NAME/byteorder
///     before            pickles: magic number, protocol, facts of the machine, the object, list of keys; then the storages in
///                       the order of their keys, each after its number of elements (8 bytes)
///
/// The numbers stay in the mapped file. Nothing in a pickle is run: anything but a dictionary of tensors is an error.
///
/// Source: torch/serialization.py of PyTorch.
/// Read first: files/zip_file.hpp, files/state_dict.hpp, files/mapped_file.hpp.   Read next: files/checkpoint_folder.hpp.
#pragma once

#include <filesystem>
#include <utility>

#include "fot/files/mapped_file.hpp"
#include "fot/files/state_dict.hpp"
#include "fot/files/zip_file.hpp"

namespace fot {

namespace detail {

/// Of a zip archive.
inline StoredTensors zipped_torch_tensors(std::string_view bytes, const std::string& where) {
    const auto entries = zip_entries(bytes, where);
    const auto pickle = std::ranges::find_if(entries, [](const auto& entry) { return entry.first.ends_with("/data.pkl"); });
    require<FileError>(pickle != entries.end(), where, ": is a zip archive without a data.pkl, so not by torch.save");
    const std::string folder = pickle->first.substr(0, pickle->first.rfind('/') + 1);
    const auto order = entries.find(folder + "byteorder");
    require<FileError>(order == entries.end() || order->second == "little", where, ": has numbers in the byte order '",
                       order == entries.end() ? "" : order->second, "', expected little");
    StateDict object(pickle->second, where);
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
    StateDict object(bytes, where);
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
    file->advise(MADV_RANDOM);  // headers of a few bytes lie among the numbers: megabytes around each would be read
    StoredTensors tensors = pytorch_tensors({file->data(), file->size()}, path.string());
    for (auto& [name, tensor] : tensors) tensor.owner = file;
    file->advise(MADV_NORMAL);
    file->advise(MADV_DONTNEED);  // a header in a large page makes all of that resident
    return tensors;
}

}  // namespace fot
