/// The entries of a zip archive, where they lie.
///
///     entries     each: local header (30 bytes, name, extra field), then the bytes, perhaps a data descriptor
///     directory   for each entry: method, sizes, name, place of its local header
///     end         zip64 end record and its locator, where sizes or places need more than 32 bits; end record, comment
///
/// torch.save stores the numbers without compression, so that they can be used in the mapped file. The reader trusts the
/// directory alone, after it has checked that the entries lie before it and do not overlap. (An archive whose entries overlap can
/// unpack to any size.) Checksums are not computed: that would read the whole file before a model starts.
///
/// Source: APPNOTE.TXT of PKWARE, sections 4.3 and 4.5.3.
/// Read first: core/check.hpp.   Read next: files/pickle.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fot/core/check.hpp"

namespace fot {

namespace detail {

/// Records of an archive. Nothing is read beyond its end.
struct ZipRecords {
    std::string_view archive;
    const std::string& where;  ///< opens error messages

    /// `length` bytes from `place` on.
    std::string_view bytes(std::uint64_t place, std::uint64_t length, const char* what) const {
        require<FileError>(place <= archive.size() && length <= archive.size() - place, where, ": ", what, " is at byte ", place,
                           " and takes ", length, ", beyond the end at byte ", archive.size(), " (truncated?)");
        return archive.substr(place, length);
    }
};

/// The little-endian number at a place of a record. The record must be long enough.
template <class T>
T number_at(std::string_view record, std::size_t place) {
    T number;
    std::memcpy(&number, record.data() + place, sizeof(T));
    return number;
}

struct ZipDirectory {
    std::uint64_t entries, begin, end;
};

/// Finds the directory from the end of the archive.
inline ZipDirectory find_zip_directory(const ZipRecords& records) {
    constexpr std::size_t end_bytes = 22, locator_bytes = 20, longest_comment = 65535;
    const std::string_view archive = records.archive;
    std::size_t end = archive.size() < end_bytes ? std::string_view::npos : archive.size() - end_bytes;
    const auto is_end = [&](std::size_t place) {
        return archive.substr(place, 4) == "PK\5\6" &&
               number_at<std::uint16_t>(archive, place + 20) == archive.size() - place - end_bytes;
    };
    while (end != std::string_view::npos && !is_end(end))
        end = end == 0 || archive.size() - end > end_bytes + longest_comment ? std::string_view::npos : end - 1;
    require<FileError>(end != std::string_view::npos, records.where, ": has no end record of a zip archive (truncated?)");

    const std::string_view record = archive.substr(end, end_bytes);
    std::uint64_t entries = number_at<std::uint16_t>(record, 10), size = number_at<std::uint32_t>(record, 12),
                  begin = number_at<std::uint32_t>(record, 16), limit = end;
    bool one_disk = number_at<std::uint32_t>(record, 4) == 0;
    if (end >= locator_bytes && archive.substr(end - locator_bytes, 4) == "PK\6\7") {
        limit = number_at<std::uint64_t>(archive, end - 12);
        const std::string_view wide = records.bytes(limit, 56, "the zip64 end record");
        require<FileError>(wide.starts_with("PK\6\6"), records.where, ": has no zip64 end record at byte ", limit);
        entries = number_at<std::uint64_t>(wide, 32);
        size = number_at<std::uint64_t>(wide, 40);
        begin = number_at<std::uint64_t>(wide, 48);
        one_disk = number_at<std::uint64_t>(wide, 16) == 0;
    }
    require<FileError>(one_disk, records.where, ": is a part of an archive in several files");
    require<FileError>(begin <= limit && size <= limit - begin, records.where, ": the directory of the archive is at byte ", begin,
                       " and takes ", size, ", beyond the end record at byte ", limit);
    return {entries, begin, begin + size};
}

/// Replaces those of the fields that are all ones by what the zip64 extra field says.
inline void widen_zip_fields(std::string_view extra, std::uint64_t& size, std::uint64_t& stored, std::uint64_t& place) {
    while (extra.size() >= 4) {
        const auto kind = number_at<std::uint16_t>(extra, 0);
        std::string_view field = extra.substr(4, number_at<std::uint16_t>(extra, 2));
        extra.remove_prefix(4 + field.size());
        if (kind != 1) continue;
        for (std::uint64_t* number : {&size, &stored, &place})
            if (*number == 0xffffffff && field.size() >= 8) {
                *number = number_at<std::uint64_t>(field, 0);
                field.remove_prefix(8);
            }
    }
}

}  // namespace detail

/// The bytes of each entry, by name. They lie in `archive`, which must outlive them. `where` opens error messages.
///
/// Cost:   reads the directory and one local header an entry, not the entries.
/// Errors: FileError if the archive is truncated or damaged, has two entries of one name or at one place, or one that is compressed
///         or encrypted.
inline std::map<std::string, std::string_view> zip_entries(std::string_view archive, const std::string& where) {
    const detail::ZipRecords records{archive, where};
    const detail::ZipDirectory directory = detail::find_zip_directory(records);
    std::map<std::string, std::string_view> entries;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> extents;  // of local headers and what belongs to them
    std::uint64_t next = directory.begin;
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
        require<FileError>(directory.end - next >= 46, where, ": the directory of the archive ends before entry ", i, " of ",
                           directory.entries);
        const std::string_view fixed = records.bytes(next, 46, "an entry of the directory");
        require<FileError>(fixed.starts_with("PK\1\2"), where, ": entry ", i, " of ", directory.entries,
                           " is not in the directory of the archive");
        const auto flags = detail::number_at<std::uint16_t>(fixed, 8), method = detail::number_at<std::uint16_t>(fixed, 10),
                   name_bytes = detail::number_at<std::uint16_t>(fixed, 28),
                   extra_bytes = detail::number_at<std::uint16_t>(fixed, 30),
                   comment_bytes = detail::number_at<std::uint16_t>(fixed, 32);
        std::uint64_t stored = detail::number_at<std::uint32_t>(fixed, 20), size = detail::number_at<std::uint32_t>(fixed, 24),
                      place = detail::number_at<std::uint32_t>(fixed, 42);
        const std::string name(records.bytes(next + 46, name_bytes, "the name of an entry"));
        detail::widen_zip_fields(records.bytes(next + 46 + name_bytes, extra_bytes, "the extra field of an entry"), size, stored,
                                 place);
        next += std::uint64_t{46} + name_bytes + extra_bytes + comment_bytes;
        require<FileError>(next <= directory.end, where, ": entry '", name, "' reaches beyond the directory of the archive");

        const std::string at = where + ": entry '" + name + "' ";
        require<FileError>((flags & 1) == 0, at, "is encrypted");
        require<FileError>(method == 0 && stored == size, at, "is compressed (method ", method,
                           "), expected one that is stored, as torch.save does it");
        const std::string_view local = records.bytes(place, 30, "the local header of an entry");
        require<FileError>(local.starts_with("PK\3\4") && detail::number_at<std::uint16_t>(local, 26) == name_bytes &&
                               records.bytes(place + 30, name_bytes, "the name of an entry") == name,
                           at, "is not at byte ", place, ", where the directory has it");
        const std::uint64_t begin = place + 30 + name_bytes + detail::number_at<std::uint16_t>(local, 28);
        const std::string_view bytes = records.bytes(begin, size, "an entry");
        require<FileError>(begin + size <= directory.begin, at, "reaches into the directory of the archive");
        require<FileError>(entries.emplace(name, bytes).second, at, "is there twice");
        extents.emplace_back(place, begin + size);
    }
    require<FileError>(next == directory.end, where, ": the directory of the archive has more than ", directory.entries,
                       " entries");
    std::ranges::sort(extents);
    for (std::size_t i = 1; i < extents.size(); ++i)
        require<FileError>(extents[i - 1].second <= extents[i].first, where, ": entries of the archive overlap at byte ",
                           extents[i].first);
    return entries;
}

}  // namespace fot
