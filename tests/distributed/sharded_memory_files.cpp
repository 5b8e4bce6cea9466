#include "fot/distributed/sharded_memory_files.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <set>

#include "support/sharded_stream.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// What this rank holds must be what it would hold of a stream, entry by entry; with the documents of all.
template <class Real>
void check_holds(const ShardedMemory<Real>& memory, const KeyValueMemory<Real>& one) {
    REQUIRE(memory.size() == one.size());
    REQUIRE(memory.shard().size() == memory.size_of(memory.ranks().rank()));
    for (Index h = 0; h < 2; ++h)
        memory.shard().for_each_block(h, [&](const auto& keys, const auto& values, Index first) {
            for (Index i = 0; i < keys.rows; ++i) {
                const Index entry = memory.entry_of(first + i);
                one.for_each_block(h, entry, entry + 1, [&](const auto& key, const auto& value, Index) {
                    REQUIRE(std::equal(key.row(0), key.row(0) + 8, keys.row(i)));
                    REQUIRE(std::equal(value.row(0), value.row(0) + 8, values.row(i)));
                });
            }
        });
    for (Index entry = 0; entry < one.size(); ++entry) REQUIRE(memory.document(entry) == one.document(entry));
}

}  // namespace

TEST_CASE("what p ranks have saved q ranks load") {
    for (const Index capacity : {0, 1500, 2200})
        for (const Storage storage : {Storage::full, Storage::bfloat16, Storage::float16})
            for (Stream<float>& stream : streams_of_all_lengths<float>()) {
                stream.capacity = capacity;
                stream.storage = storage;
                const KeyValueMemory<float> one = stream.one_memory();
                for (const Index p : {1, 3}) {
                    const TemporaryFolder folder;
                    run_as_ranks(
                        p, [&](Communicator& ranks) { save_sharded_memory(stream.sharded(ranks), folder / "memory.safetensors"); });
                    for (const Index q : {1, 2, 3, 4})
                        run_as_ranks(q, [&](Communicator& ranks) {
                            ShardedMemory<float> memory(ranks, 2, 8, storage, capacity);
                            memory.append(stream.keys, stream.keys, 5);  // which is forgotten
                            load_sharded_memory(memory, folder / "memory.safetensors");
                            check_holds(memory, one);
                        });
                }
            }
}

TEST_CASE("a save removes what killed ranks have left, and no file of the user's") {
    const TemporaryFolder folder;
    const Stream<float> stream(1500);
    const std::set<std::string> users{"memory.part-1-notes.txt", "memory.part-1-0-of-2.safetensors.bak",
                                      "memory.part-two.safetensors", "other.part-9-0-of-2.safetensors"};
    for (const std::string& name : users) folder.write(name, "x");
    folder.write("memory.part-1-3-of-4.safetensors", "x");  // a save by four ranks, killed before it was one
    folder.write("memory.part-1-2-of-4.safetensors.partial-123-4", "x");
    folder.write("memory.part-1-0-of-2.safetensors.partial-123-5", "x");
    run_as_ranks(2, [&](Communicator& ranks) { save_sharded_memory(stream.sharded(ranks), folder / "memory.safetensors"); });
    std::set<std::string> expected = users, names;
    expected.insert({"memory.safetensors", "memory.part-1-0-of-2.safetensors", "memory.part-1-1-of-2.safetensors"});
    for (const auto& each : std::filesystem::directory_iterator(folder / "")) names.insert(each.path().filename().string());
    CHECK(names == expected);
}

TEST_CASE("memories whose names differ in nothing but what follows a dot do not share parts") {
    const TemporaryFolder folder;
    const Stream<double> first(1500, 1), second(1200, 2);
    run_as_ranks(2, [&](Communicator& ranks) {
        save_sharded_memory(first.sharded(ranks), folder / "memory.v1");
        for (int again = 0; again < 2; ++again) save_sharded_memory(second.sharded(ranks), folder / "memory.v2");
        for (const auto& [name, stream] : {std::pair{"memory.v1", &first}, {"memory.v2", &second}}) {
            ShardedMemory<double> memory(ranks, 2, 8);
            load_sharded_memory(memory, folder / name);
            check_holds(memory, stream->one_memory());
        }
    });
}

TEST_CASE("a save replaces an earlier one of more ranks, and leaves nothing of it") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder / "memory.safetensors";
    const Stream<double> first(5000, 1), second(3000, 2);
    run_as_ranks(4, [&](Communicator& ranks) { save_sharded_memory(first.sharded(ranks), file); });
    CHECK(folder.entries() == 5);
    run_as_ranks(2, [&](Communicator& ranks) { save_sharded_memory(second.sharded(ranks), file); });
    CHECK(folder.entries() == 3);
    run_as_ranks(3, [&](Communicator& ranks) {
        ShardedMemory<double> memory(ranks, 2, 8);
        load_sharded_memory(memory, file);
        check_holds(memory, second.one_memory());
    });
}

TEST_CASE("a rank that cannot write leaves the earlier save as it was, and all ranks learn of it") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder / "memory.safetensors";
    const Stream<double> first(5000, 1), second(3000, 2);
    run_as_ranks(2, [&](Communicator& ranks) { save_sharded_memory(first.sharded(ranks), file); });
    std::filesystem::create_directory(folder / "memory.part-2-1-of-2.safetensors");  // in the way of rank 1
    std::atomic<int> refused = 0;
    run_as_ranks(2, [&](Communicator& ranks) {
        try {
            save_sharded_memory(second.sharded(ranks), file);
        } catch (const FileError&) {
            refused += ranks.rank() == 1 ? 1 : 0;
        } catch (const CommunicationError& error) {
            refused += std::string(error.what()).find("rank 1 failed") != std::string::npos ? 1 : 0;
        }
    });
    CHECK(refused == 2);
    run_as_ranks(3, [&](Communicator& ranks) {
        ShardedMemory<double> memory(ranks, 2, 8);
        load_sharded_memory(memory, file);
        check_holds(memory, first.one_memory());
    });
}

TEST_CASE("ranks that do not load, or save, the same are refused, and an earlier save stays") {
    const TemporaryFolder folder, elsewhere;
    const Stream<float> stream(3000);
    const auto of_rank = [&](const Communicator& ranks) { return (ranks.rank() == 0 ? folder : elsewhere) / "memory.safetensors"; };
    run_as_ranks(2, [&](Communicator& ranks) { save_sharded_memory(stream.sharded(ranks), folder / "memory.safetensors"); });
    std::atomic<int> refused = 0;
    const auto counting = [&](const auto& work) {
        try {
            work();
        } catch (const Error&) {
            ++refused;
        }
    };
    run_as_ranks(2, [&](Communicator& ranks) {
        const ShardedMemory<float> memory = stream.sharded(ranks);
        counting([&] { save_sharded_memory(memory, of_rank(ranks)); });  // rank 1 writes elsewhere
    });
    CHECK(refused == 2);
    const auto loads = [&] {
        run_as_ranks(2, [&](Communicator& ranks) {
            ShardedMemory<float> memory(ranks, 2, 8);
            load_sharded_memory(memory, folder / "memory.safetensors");
            check_holds(memory, stream.one_memory());
        });
    };
    loads();
    run_as_ranks(2, [&](Communicator& ranks) { save_sharded_memory(stream.sharded(ranks), elsewhere / "memory.safetensors"); });
    run_as_ranks(2, [&](Communicator& ranks) {
        ShardedMemory<float> memory(ranks, 2, 8);
        counting([&] { load_sharded_memory(memory, of_rank(ranks)); });
    });
    CHECK(refused == 4);
    loads();
}

TEST_CASE("files that are not those of this memory are refused on every rank") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder / "memory.safetensors";
    const Stream<float> stream(3000);
    run_as_ranks(2, [&](Communicator& ranks) { save_sharded_memory(stream.sharded(ranks), file); });
    const auto load_fails = [&](Index heads, Index width, const std::filesystem::path& path) {
        std::atomic<int> refused = 0;
        run_as_ranks(2, [&](Communicator& ranks) {
            ShardedMemory<float> memory(ranks, heads, width);
            try {
                load_sharded_memory(memory, path);
            } catch (const Error&) {
                ++refused;
            }
        });
        return refused == 2;
    };
    CHECK_FALSE(load_fails(2, 8, file));
    CHECK(load_fails(1, 8, file));
    CHECK(load_fails(2, 4, file));
    CHECK(load_fails(2, 8, folder / "none.safetensors"));
    CHECK(load_fails(2, 8, folder / "memory.part-1-0-of-2.safetensors"));
    const TemporaryFolder elsewhere;  // the same memory, saved again: as many entries, and perhaps others
    run_as_ranks(2, [&](Communicator& ranks) { save_sharded_memory(stream.sharded(ranks), elsewhere / "memory.safetensors"); });
    const char* part = "memory.part-1-0-of-2.safetensors";
    std::filesystem::rename(folder / part, folder / "kept");
    std::filesystem::copy_file(elsewhere / part, folder / part);
    CHECK(load_fails(2, 8, file));
    std::filesystem::rename(folder / "kept", folder / part);
    CHECK_FALSE(load_fails(2, 8, file));
    std::filesystem::remove(folder / "memory.part-1-1-of-2.safetensors");
    CHECK(load_fails(2, 8, file));
}
