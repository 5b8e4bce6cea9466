/// A sharded memory in files: saved by p ranks, loaded by any number.
///
///     memory.safetensors                 what there is: ranks, entries, documents, and which parts belong to it
///     memory.part-5-0-of-2.safetensors   what rank 0 of 2 held at save number 5, a tensor for each block and head
///     memory.part-5-1-of-2.safetensors   what rank 1 held
///
/// Each rank writes its own part, so that none needs room for more. When all parts are on disk, rank 0 replaces the first file.
/// Only then are other parts removed: those of an earlier save and of killed ranks. So at any moment the first file names a
/// complete set of parts from one save.
///
/// On loading, entries are numbered from the beginning of a new stream and dealt out anew. A rank reads what it will hold. So all
/// parts must lie where all ranks can read them, in a folder that machines share.
///
/// Read first: distributed/sharded_memory.hpp, files/safetensors.hpp.   Read next: distributed/sharded_memory_source.hpp.
#pragma once

#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "fot/distributed/sharded_memory.hpp"
#include "fot/files/safetensors_writer.hpp"

namespace fot {

namespace detail {

/// What the first file says.
struct SavedShards {
    std::filesystem::path path;                               // of that file
    Index save = 0, ranks = 0;                                // number of the save, and how many ranks wrote it
    Index first = 0, entries = 0;                             // place of the oldest entry in the stream, and how many there are
    Index heads = 0;                                          // of each
    std::string id = {};                                      // of the save: its parts have it too
    std::vector<Index> document_begins = {}, documents = {};  // the entry at which each document begins

    explicit SavedShards(std::filesystem::path file) : path(std::move(file)) {}

    void read() {
        const SafetensorsFile file(path);
        file.require_shape("stream", {5});
        const std::vector<Index> numbers = file.read<Index>("stream");
        save = numbers[0], ranks = numbers[1], first = numbers[2], entries = numbers[3], heads = numbers[4];
        document_begins = file.read<Index>("document_begins");
        documents = file.read<Index>("documents");
        if (const auto found = file.metadata().find("id"); found != file.metadata().end()) id = found->second;
        bool valid = ranks >= 1 && first >= 0 && entries >= 0 &&
                     entries <= std::numeric_limits<Index>::max() - DealtBlocks::entries - first &&
                     document_begins.size() == documents.size() && document_begins.empty() == (entries == 0);
        Index expected_from = 0;
        for (const Index begin : document_begins) {
            valid = valid && begin >= expected_from && begin < entries && (expected_from > 0 || begin == 0);
            expected_from = begin + 1;
        }
        require<FileError>(valid, path.string(), ": is no sharded memory: ", entries, " entries from ", first, " on of ", ranks,
                           " ranks in ", documents.size(), " documents");
    }
    void write() const {
        const std::vector<Index> numbers{save, ranks, first, entries, heads};
        SafetensorsWriter writer;
        writer.metadata["id"] = id;
        writer.add("stream", {5}, numbers.data());
        writer.add("document_begins", {length_of(documents)}, document_begins.data());
        writer.add("documents", {length_of(documents)}, documents.data());
        writer.write(path);
    }

    /// The whole name, but for ".safetensors": memories of other names have other parts.
    std::string part_prefix() const {
        return (path.extension() == ".safetensors" ? path.stem() : path.filename()).string() + ".part-";
    }
    std::filesystem::path part(Index rank) const {
        return path.parent_path() / message(part_prefix(), save, "-", rank, "-of-", ranks, ".safetensors");
    }
    /// The file of a rank.   Errors: FileError if it is not there, or not of this save.
    std::unique_ptr<SafetensorsFile> open_part(Index rank) const {
        auto file = std::make_unique<SafetensorsFile>(part(rank));
        const auto of_part = file->metadata().find("id");
        require<FileError>(id.empty() || (of_part != file->metadata().end() && of_part->second == id), part(rank).string(),
                           ": is not a part of the save that ", path.string(), " is of");
        return file;
    }
    /// Parts of other saves are of no use to anybody.
    void remove_other_parts() const {
        std::error_code ignored;
        std::filesystem::directory_iterator each(path.has_parent_path() ? path.parent_path() : ".", ignored), end;
        for (; !ignored && each != end; each.increment(ignored))
            if (is_other_part(each->path().filename().string())) std::filesystem::remove(each->path(), ignored);
    }
    /// Is this a part that does not belong to this save, whole, or half-written by a rank that was killed? Any other name is the
    /// user's.
    bool is_other_part(const std::string& name) const {
        if (!name.starts_with(part_prefix())) return false;
        const std::string rest = name.substr(part_prefix().size());
        long of_save = 0, of_rank = 0, of_ranks = 0;
        int length = 0;
        std::sscanf(rest.c_str(), "%ld-%ld-of-%ld.safetensors%n", &of_save, &of_rank, &of_ranks, &length);
        if (length == 0) return false;
        const std::string_view ending = std::string_view(rest).substr(static_cast<std::size_t>(length));
        return ending.empty() ? of_save != save || of_ranks != ranks : ending.starts_with(".partial-");
    }
};

/// Of a block and head, by the first entry of the block that was there.
inline std::string saved_tensor(const char* what, Index entry, Index head) { return message(what, ".", entry, ".", head); }

}  // namespace detail

/// Saves a memory, all or nothing. All ranks call it.
///
/// Cost:   nothing is copied: the files have the memory's own numbers, and half of the bytes with 16 bits.
/// Errors: FileError of the rank that cannot write, CommunicationError on the others; an earlier save of that name then remains.
template <class Real>
void save_sharded_memory(const ShardedMemory<Real>& memory, const std::filesystem::path& path) {
    Communicator& ranks = memory.ranks();
    detail::SavedShards saved(path);
    together(ranks, "save_sharded_memory", [&] {
        if (ranks.rank() == 0 && file_exists(path)) saved.read();
    });
    // Of rank 0: the number of the save, and a random one that no other memory's save has.
    const std::vector<Index> of_save =
        all_gather(ranks, "save_sharded_memory", std::vector<Index>{saved.save + 1, Index{std::random_device{}()}},
                   std::vector<Index>(static_cast<std::size_t>(ranks.size()), 2))[0];
    saved.save = of_save[0];
    saved.id = message(of_save[1]);
    saved.ranks = ranks.size();
    saved.heads = memory.heads();
    saved.entries = memory.size();
    saved.first = memory.size() == 0 ? 0 : memory.position(0);
    saved.document_begins.clear();
    saved.documents.clear();
    memory.for_each_document([&](Index first, Index, Index document) {
        saved.document_begins.push_back(first);
        saved.documents.push_back(document);
    });

    SafetensorsWriter writer;
    writer.metadata["id"] = saved.id;
    const KeyValueMemory<Real>& shard = memory.shard();
    for (Index head = 0; head < shard.heads(); ++head)
        shard.for_each_stored_block(head, 0, shard.size(), [&](const auto& keys, const auto& values, Index in_shard) {
            constexpr Dtype dtype = dtype_of<std::remove_cvref_t<decltype(*keys.data)>>();
            const std::vector<Index> shape{keys.rows, keys.columns};
            const Index entry = memory.entry_of(in_shard);
            writer.add_bytes(detail::saved_tensor("keys", entry, head), dtype, shape, keys.data);
            writer.add_bytes(detail::saved_tensor("values", entry, head), dtype, shape, values.data);
        });
    together(ranks, "save_sharded_memory", [&] { writer.write(saved.part(ranks.rank())); });
    together(ranks, "save_sharded_memory", [&] {
        if (ranks.rank() > 0) return;
        for (Index rank = 0; rank < ranks.size(); ++rank) saved.open_part(rank);  // all are where they are looked for
        saved.write();
        saved.remove_other_parts();
    });
}

/// Makes a memory what was saved, by any number of ranks. All ranks call it. Numbers are converted to those that the memory keeps.
///
/// Errors: FileError of the rank that cannot read, or finds other heads or another width, CommunicationError on the others; the
///         memory is then to be cleared. ConfigError if ranks find different saves.
template <class Real>
void load_sharded_memory(ShardedMemory<Real>& memory, const std::filesystem::path& path) {
    detail::SavedShards saved(path);
    together(memory.ranks(), "load_sharded_memory", [&] { saved.read(); });
    require_same(memory.ranks(), "load_sharded_memory: the save",
                 message("number ", saved.save, ", id ", saved.id, ", ", saved.entries, " entries from ", saved.first, " on of ",
                         saved.ranks, " ranks"));
    together(memory.ranks(), "load_sharded_memory", [&] {
        require<FileError>(saved.heads == memory.heads(), path.string(), ": has ", saved.heads, " heads, expected ",
                           memory.heads());
        std::vector<std::unique_ptr<SafetensorsFile>> parts;
        for (Index rank = 0; rank < saved.ranks; ++rank) {
            parts.push_back(saved.open_part(rank));
        }
        const DealtBlocks dealt{saved.ranks};

        // Rows (n,H,D) of the entries first ... last - 1, which may lie in several blocks of those who saved them.
        const auto rows_of = [&](const char* what, Index first, Index last) {
            Tensor<Real, 3> rows = empty<Real, 3>({last - first, memory.heads(), memory.width()});
            for (Index entry = first, end; entry < last; entry = end) {
                const Index block = (saved.first + entry) / DealtBlocks::entries,
                            begin = std::max<Index>(block * DealtBlocks::entries - saved.first, 0),
                            block_end = std::min((block + 1) * DealtBlocks::entries - saved.first, saved.entries);
                end = std::min(block_end, last);
                const SafetensorsFile& part = *element(parts, dealt.rank_of(saved.first + entry));
                for (Index h = 0; h < memory.heads(); ++h) {
                    const std::string name = detail::saved_tensor(what, begin, h);
                    part.require_shape(name, {block_end - begin, memory.width()});
                    const Tensor<Real, 2> of_head = part.template read_tensor<Real, 2>(name);
                    for (Index i = entry; i < end; ++i)
                        std::copy_n(row(of_head, i - begin), memory.width(), row(rows, i - first, h));
                }
            }
            return rows;
        };
        memory.clear();
        for (Index i = 0; i < length_of(saved.documents); ++i) {
            const Index begin = element(saved.document_begins, i), document = element(saved.documents, i),
                        end = i + 1 < length_of(saved.documents) ? element(saved.document_begins, i + 1) : saved.entries;
            memory.append_own(end - begin, document, [&](KeyValueMemory<Real>& shard, Index first, Index last) {
                shard.append(rows_of("keys", begin + first, begin + last), rows_of("values", begin + first, begin + last),
                             document);
            });
        }
    });
}

}  // namespace fot
