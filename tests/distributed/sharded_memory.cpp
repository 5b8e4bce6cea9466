#include "fot/distributed/sharded_memory.hpp"

#include <doctest/doctest.h>

#include <atomic>

#include "support/sharded_stream.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("blocks of 1024 are dealt out in turn") {
    for (const Index p : {1, 2, 3, 4}) {
        const DealtBlocks blocks{p};
        std::vector<Index> held(static_cast<std::size_t>(p));
        for (Index n = 0; n < 9000; ++n) {
            const Index rank = n / 1024 % p;
            REQUIRE(blocks.rank_of(n) == rank);
            for (Index r = 0; r < p; ++r) REQUIRE(blocks.before(n, r) == element(held, r));
            REQUIRE(blocks.place_of(element(held, rank), rank) == n);
            ++element(held, rank);
        }
    }
    CHECK(DealtBlocks::entries == KeyValueMemory<float>::block_entries);
}

TEST_CASE("every entry lies with one rank, and all ranks know with which and in which document") {
    for (const Index capacity : {0, 1500, 3000})
        for (Stream<float>& stream : streams_of_all_lengths<float>()) {
            stream.capacity = capacity;
            const KeyValueMemory<float> one = stream.one_memory();
            for (const Index p : {1, 2, 3, 4}) {
                std::atomic<Index> held = 0;
                run_as_ranks(p, [&](Communicator& ranks) {
                    const ShardedMemory<float> memory = stream.sharded(ranks);
                    CHECK(memory.size() == one.size());
                    CHECK(memory.size_of(ranks.rank()) == memory.shard().size());
                    held += memory.shard().size();
                    for (Index i = 0; i < memory.shard().size(); ++i) {
                        const Index entry = memory.entry_of(i);
                        REQUIRE(memory.rank_of(entry) == ranks.rank());
                        std::array<float, 8> own{}, expected{};
                        memory.shard().copy_value(i, 1, own.data());
                        one.copy_value(entry, 1, expected.data());
                        REQUIRE(own == expected);
                        REQUIRE(memory.shard().document(i) == memory.document(entry));
                    }
                    for (Index entry = 0; entry < one.size(); ++entry) {
                        REQUIRE(memory.document(entry) == one.document(entry));
                        REQUIRE(memory.position(entry) == one.position(entry));
                    }
                });
                CHECK(held == one.size());
            }
        }
}

TEST_CASE("shards differ by one block at most, also when the oldest entries leave") {
    Stream<float> stream(20000);
    stream.documents = 50;
    stream.capacity = 7000;
    run_as_ranks(3, [&](Communicator& ranks) {
        const ShardedMemory<float> memory = stream.sharded(ranks);
        CHECK(memory.size() == 7000);
        for (Index r = 0; r < 3; ++r) CHECK(std::abs(memory.size_of(r) - 7000 / 3) <= 1024);
    });
}

TEST_CASE("a rank that appends only its own blocks holds what it would hold otherwise") {
    const Stream<double> stream(5200);
    run_as_ranks(3, [&](Communicator& ranks) {
        ShardedMemory<double> memory(ranks, 2, 8);
        Index computed = 0;
        for (const Share part : {Share{0, 300}, Share{300, 4000}, Share{4000, 5200}})
            memory.append_own(part.size(), 7, [&](KeyValueMemory<double>& shard, Index first, Index last) {
                CHECK(last - first <= 1024);
                computed += last - first;
                shard.append(slice<0>(stream.keys, part.first + first, last - first),
                             slice<0>(stream.values, part.first + first, last - first), 7);
            });
        CHECK(computed == memory.shard().size());
        CHECK(memory.size() == 5200);
        CHECK(memory.document(5199) == 7);
        const ShardedMemory<double> expected = stream.sharded(ranks);
        REQUIRE(memory.shard().size() == expected.shard().size());
        for (Index i = 0; i < computed; ++i) {
            std::array<double, 8> got{}, wanted{};
            memory.shard().copy_value(i, 0, got.data());
            expected.shard().copy_value(i, 0, wanted.data());
            REQUIRE(got == wanted);
        }
    });
}

TEST_CASE("a cleared memory is a fresh one") {
    const Stream<float> stream(3000);
    run_as_ranks(2, [&](Communicator& ranks) {
        ShardedMemory<float> memory = stream.sharded(ranks);
        memory.clear();
        CHECK(memory.size() == 0);
        CHECK(memory.shard().size() == 0);
        stream.fill(memory);
        CHECK(memory.position(2999) == 2999);
        CHECK(memory.document(0) == 10);
    });
}

TEST_CASE("ranks that want different memories all learn of it") {
    std::atomic<int> refused = 0;
    const auto make = [&](Communicator& ranks, Index width, Storage storage, Index capacity) {
        try {
            ShardedMemory<float>(ranks, 2, width, storage, capacity);
        } catch (const ConfigError& error) {
            ++refused;
            CHECK(std::string(error.what()).find("of rank 2 is '2 heads of width") != std::string::npos);
        }
    };
    run_as_ranks(4, [&](Communicator& ranks) { make(ranks, ranks.rank() == 2 ? 16 : 8, Storage::full, 0); });
    CHECK(refused == 4);
    run_as_ranks(4, [&](Communicator& ranks) { make(ranks, 8, ranks.rank() == 2 ? Storage::bfloat16 : Storage::full, 0); });
    CHECK(refused == 8);
    run_as_ranks(4, [&](Communicator& ranks) { make(ranks, 8, Storage::full, ranks.rank() == 2 ? 5 : 6); });
    CHECK(refused == 12);
}

TEST_CASE("what is refused leaves nothing in a shard") {
    const Stream<float> stream(5000);
    for (const Index p : {1, 2})
        run_as_ranks(p, [&](Communicator& ranks) {
            ShardedMemory<float> memory(ranks, 2, 8, Storage::float16), expected(ranks, 2, 8, Storage::float16);
            memory.append(slice<0>(stream.keys, 0, 700), slice<0>(stream.keys, 0, 700), 3);
            expected.append(slice<0>(stream.keys, 0, 700), slice<0>(stream.keys, 0, 700), 3);
            Tensor<float, 3> bad = slice<0>(stream.keys, 0, 4000);
            bad(3500, 1, 2) = 1e6f;  // which float16 does not hold: in a later block
            CHECK_THROWS_AS(memory.append(bad, bad, 4), NumericError);
            Index parts = 0;
            const auto fails_late = [&](KeyValueMemory<float>& shard, Index first, Index last) {
                if (++parts == 2) throw DataError("late");
                shard.append(slice<0>(stream.keys, first, last - first), slice<0>(stream.keys, first, last - first), 4);
            };
            CHECK_THROWS_WITH_AS(memory.append_own(4000, 4, fails_late), "late", DataError);
            CHECK(memory.size() == 700);
            CHECK(memory.shard().size() == expected.shard().size());
            for (ShardedMemory<float>* each : {&memory, &expected}) each->append(stream.keys, stream.keys, 5);
            REQUIRE(memory.shard().size() == expected.shard().size());
            for (Index i = 0; i < memory.shard().size(); ++i) {
                std::array<float, 8> got{}, wanted{};
                memory.shard().copy_value(i, 1, got.data());
                expected.shard().copy_value(i, 1, wanted.data());
                REQUIRE(got == wanted);
                REQUIRE(memory.document(memory.entry_of(i)) == expected.document(expected.entry_of(i)));
            }
        });
}

TEST_CASE("what cannot be is named") {
    SingleProcess alone;
    CHECK_THROWS_WITH_AS(ShardedMemory<float>(alone, 2, 8, Storage::full, -1), "ShardedMemory: capacity -1 is negative",
                         ConfigError);
    ShardedMemory<float> memory(alone, 2, 8);
    const Tensor<float, 3> wrong = zeros<float, 3>({5, 2, 7}), right = zeros<float, 3>({5, 2, 8});
    CHECK_THROWS_WITH_AS(memory.append(wrong, wrong, 0),
                         "ShardedMemory::append: keys has shape (5, 2, 7), expected (-1, 2, 8) (-1: any)", ShapeError);
    memory.append(right, right, 0);
    CHECK_THROWS_WITH_AS(memory.document(5), "ShardedMemory: entry 5 of 5", DataError);
    CHECK_THROWS_WITH_AS(memory.drop_oldest(6), "ShardedMemory::drop_oldest: 6 entries of 5", DataError);
    CHECK_THROWS_WITH_AS(memory.append_own(-1, 0, [](auto&, Index, Index) {}),
                         "ShardedMemory::append_own: -1 entries, expected 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(memory.append_own(3, 0, [](auto&, Index, Index) {}),
                         "ShardedMemory::append_own: 0 entries were appended, expected 3", DataError);
}
