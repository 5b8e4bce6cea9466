/// Files as torch.save writes them, byte by byte, in every form that torch has had since 2018; and zip archives and pickles of any
/// kind.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fot/core/dtype.hpp"

namespace fot::testing {

/// A number's bytes, little-endian.
template <class T>
std::string bytes_of(T number) {
    std::string bytes(sizeof(T), '\0');
    std::memcpy(bytes.data(), &number, sizeof(T));
    return bytes;
}

/// How an archive is written.
struct ZipForm {
    bool data_descriptors = true;  ///< sizes after the numbers, none in the local header
    bool wide = true;              ///< a zip64 end record, and sizes and places in zip64 extra fields
    std::size_t alignment = 64;    ///< of each entry, by an extra field in front of it
    std::string comment = "";
};

/// An archive of these entries, stored.
inline std::string zip_archive(const std::vector<std::pair<std::string, std::string>>& entries, const ZipForm& form = {}) {
    constexpr std::uint32_t ones = 0xffffffff;
    const auto u16 = [](std::size_t x) { return bytes_of(static_cast<std::uint16_t>(x)); };
    const auto u32 = [](std::size_t x) { return bytes_of(static_cast<std::uint32_t>(x)); };
    const auto u64 = [](std::size_t x) { return bytes_of(static_cast<std::uint64_t>(x)); };
    const std::string flags = u16(form.data_descriptors ? 0x0808 : 0x0800);
    std::string archive, directory;
    for (const auto& [name, bytes] : entries) {
        const std::size_t place = archive.size(), start = place + 30 + name.size() + 4;
        const std::string padding((form.alignment - start % form.alignment) % form.alignment, 'Z');
        const std::string sizes = u32(bytes.size()) + u32(bytes.size());
        archive += "PK\3\4" + u16(0) + flags + u16(0) + u32(0) + u32(0) + (form.data_descriptors ? u32(0) + u32(0) : sizes) +
                   u16(name.size()) + u16(4 + padding.size()) + name + "FB" + u16(padding.size()) + padding + bytes;
        if (form.data_descriptors) archive += "PK\7\10" + u32(0) + (form.wide ? u64(bytes.size()) + u64(bytes.size()) : sizes);
        const std::string extra =
            form.wide ? "XX" + u16(1) + "x" + u16(1) + u16(24) + u64(bytes.size()) + u64(bytes.size()) + u64(place) : "";
        directory += "PK\1\2" + u16(0) + u16(0) + flags + u16(0) + u32(0) + u32(0) + (form.wide ? u32(ones) + u32(ones) : sizes) +
                     u16(name.size()) + u16(extra.size()) + u16(0) + u16(0) + u16(0) + u32(0) + u32(form.wide ? ones : place) +
                     name + extra;
    }
    const std::size_t begin = archive.size(), end = begin + directory.size();
    archive += directory;
    if (form.wide)
        archive += "PK\6\6" + u64(44) + u16(0) + u16(0) + u32(0) + u32(0) + u64(entries.size()) + u64(entries.size()) +
                   u64(directory.size()) + u64(begin) + "PK\6\7" + u32(0) + u64(end) + u32(1);
    return archive + "PK\5\6" + u16(0) + u16(0) + u16(form.wide ? 0xffff : entries.size()) +
           u16(form.wide ? 0xffff : entries.size()) + u32(form.wide ? ones : directory.size()) + u32(form.wide ? ones : begin) +
           u16(form.comment.size()) + form.comment;
}

/// A pickle, instruction by instruction, with those that a protocol has.
class PickleWriter {
   public:
    explicit PickleWriter(int protocol = 2) : protocol_(protocol) {}

    std::string bytes;  ///< without header and end

    PickleWriter& raw(const std::string& instructions) { return bytes += instructions, *this; }
    PickleWriter& text(const std::string& text) {
        const bool is_short = protocol_ >= 4 && text.size() < 256;
        raw(is_short ? "\x8c" + bytes_of(static_cast<std::uint8_t>(text.size()))
                     : "X" + bytes_of(static_cast<std::uint32_t>(text.size())));
        return raw(text).keep();
    }
    PickleWriter& integer(Index x) {
        if (x >= 0 && x < 256) return raw("K" + bytes_of(static_cast<std::uint8_t>(x)));
        if (x >= 0 && x < 65536) return raw("M" + bytes_of(static_cast<std::uint16_t>(x)));
        if (x >= -(Index{1} << 31) && x < Index{1} << 31) return raw("J" + bytes_of(static_cast<std::int32_t>(x)));
        return raw("\x8a\x08" + bytes_of(x));
    }
    /// As Python does it: the first time in full, then from the memo.
    PickleWriter& global(const std::string& module, const std::string& name) {
        const auto [known, is_new] = globals_.emplace(module + " " + name, 0);
        if (!is_new) return raw("j" + bytes_of(known->second));
        if (protocol_ >= 4)
            text(module).text(name).raw("\x93").keep();
        else
            raw("c" + module + "\n" + name + "\n").keep();
        known->second = kept_ - 1;
        return *this;
    }
    PickleWriter& integers(const std::vector<Index>& list) {
        if (list.empty()) return raw(")");
        if (list.size() > 3) raw("(");
        for (const Index x : list) integer(x);
        return raw(list.size() > 3 ? "t" : bytes_of(static_cast<std::uint8_t>(0x84 + list.size()))).keep();
    }
    PickleWriter& ordered_dictionary() { return global("collections", "OrderedDict").raw(")R").keep(); }
    /// Into the memo.
    PickleWriter& keep() {
        raw(protocol_ >= 4 ? "\x94" : kept_ < 256 ? "q" + bytes_of(static_cast<std::uint8_t>(kept_)) : "r" + bytes_of(kept_));
        ++kept_;
        return *this;
    }

    std::string finished() const {
        const std::string head = "\x80" + std::string(1, static_cast<char>(protocol_));
        return head + (protocol_ >= 4 ? "\x95" + bytes_of(std::uint64_t{bytes.size() + 1}) : "") + bytes + ".";
    }

   private:
    int protocol_;
    std::uint32_t kept_ = 0;
    std::map<std::string, std::uint32_t> globals_;
};

/// A tensor of a file to be written.
struct TorchTensor {
    std::string storage;  ///< its key
    Index offset = 0;
    std::vector<Index> shape, strides;
    bool parameter = false, size_called = false;  ///< torch.nn.Parameter; shape as a call of torch.Size
};

/// A dictionary of tensors to be written.
struct TorchState {
    std::map<std::string, std::pair<std::string, std::string>> storages;  ///< by key: "HalfStorage" and the bytes
    std::vector<std::pair<std::string, TorchTensor>> tensors;
    std::string nested = "";  ///< the key under which the dictionary lies in another, which has a number too
    bool plain = false;       ///< a dict, not an OrderedDict with attributes
    int protocol = 2;

    static Index element_bytes(const std::string& storage) {
        static const std::map<std::string, Index> sizes{{"DoubleStorage", 8},   {"FloatStorage", 4}, {"HalfStorage", 2},
                                                        {"BFloat16Storage", 2}, {"LongStorage", 8},  {"BoolStorage", 1}};
        return sizes.at(storage);
    }
    Index count(const std::string& key) const {
        const auto& [type, bytes] = storages.at(key);
        return static_cast<Index>(bytes.size()) / element_bytes(type);
    }

    std::string pickle(bool legacy = false) const {
        PickleWriter writer(protocol);
        if (!nested.empty()) writer.raw("}").keep().raw("(").text("step").integer(70000).text(nested);
        plain ? writer.raw("}").keep() : writer.ordered_dictionary();
        writer.raw("(");
        for (const auto& [name, tensor] : tensors) {
            writer.text(name);
            if (tensor.parameter) writer.global("torch._utils", "_rebuild_parameter").raw("(");
            writer.global("torch._utils", "_rebuild_tensor_v2").raw("((").text("storage");
            writer.global("torch", storages.at(tensor.storage).first)
                .text(tensor.storage)
                .text("cpu")
                .integer(count(tensor.storage));
            writer.raw(legacy ? "Nt" : "t").keep().raw("Q").integer(tensor.offset);
            if (tensor.size_called) writer.global("torch", "Size");
            writer.integers(tensor.shape);
            if (tensor.size_called) writer.raw("\x85R");
            writer.integers(tensor.strides).raw("\x89").ordered_dictionary().raw("t").keep().raw("R").keep();
            if (tensor.parameter) writer.raw("\x88").ordered_dictionary().raw("t").keep().raw("R").keep();
        }
        writer.raw("u");
        if (!plain)  // what torch.nn.Module.state_dict adds
            writer.raw("}")
                .keep()
                .text("_metadata")
                .ordered_dictionary()
                .raw("(")
                .text("")
                .raw("}")
                .keep()
                .text("version")
                .integer(1)
                .raw("susb");
        if (!nested.empty()) writer.raw("u");
        return writer.finished();
    }

    /// Since torch 1.6.
    std::string zip_file(const ZipForm& form = {}, const std::string& byte_order = "little") const {
        std::vector<std::pair<std::string, std::string>> entries{{"archive/data.pkl", pickle()}, {"archive/byteorder", byte_order}};
        for (const auto& [key, storage] : storages) entries.emplace_back("archive/data/" + key, storage.second);
        entries.emplace_back("archive/version", "3\n");
        return zip_archive(entries, form);
    }

    /// Before.
    std::string legacy_file(bool little_endian = true) const {
        PickleWriter magic(protocol), version(protocol), machine(protocol), keys(protocol);
        magic.raw("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
        version.integer(1001);
        machine.raw("}(").text("protocol_version").integer(1001).text("little_endian").raw(little_endian ? "\x88u" : "\x89u");
        keys.raw("](");
        std::string numbers;
        for (const auto& [key, storage] : storages) {
            keys.text(key);
            numbers += bytes_of(count(key)) + storage.second;
        }
        keys.raw("e");
        return magic.finished() + version.finished() + machine.finished() + pickle(true) + keys.finished() + numbers;
    }
};

}  // namespace fot::testing
