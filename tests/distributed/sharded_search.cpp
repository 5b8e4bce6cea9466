#include "fot/distributed/sharded_search.hpp"

#include <doctest/doctest.h>

#include "support/sharded_stream.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

template <class Real>
Tensor<Real, 3> queries_of(Index tokens, Index heads, std::uint64_t seed) {
    Random random(seed);
    return normal_tensor<Real, 3>({tokens, heads, 8}, 1, random);
}

template <class Real>
void check_same(const FoundEntries<Real>& got, const FoundEntries<Real>& expected) {
    REQUIRE(shape_of(got.scores) == shape_of(expected.scores));
    REQUIRE(got.scores.storage() == expected.scores.storage());
    REQUIRE(got.indices.storage() == expected.indices.storage());
}

/// On 1 to 4 ranks the sharded memory must find bitwise what one memory does: for queries that all ranks have, and for those that
/// each has of its own (one rank has none).
template <class Real>
void check_search(const Stream<Real>& stream, Index k, Index tokens, Index heads, bool ties = false) {
    const KeyValueMemory<Real> one = stream.one_memory();
    const auto ask = [&](std::uint64_t seed, Index count) {
        const Tensor<Real, 3> q = queries_of<Real>(count, heads, seed);
        return ties ? with_ties(q) : q;
    };
    for (const Index p : {1, 2, 3, 4})
        run_as_ranks(p, [&](Communicator& ranks) {
            const ShardedMemory<Real> memory = stream.sharded(ranks);
            const Tensor<Real, 3> same = ask(5, tokens), own = ask(static_cast<std::uint64_t>(6 + ranks.rank()),
                                                                   ranks.rank() == 1 ? 0 : tokens + ranks.rank());
            check_same(sharded_search(memory, same, k), one.search(same, k));
            check_same(sharded_search(memory, own, k, Queries::own), one.search(own, k));
        });
}

}  // namespace

TEST_CASE("the k best of all ranks are those of one memory, bit for bit") {
    for (const Stream<float>& stream : streams_of_all_lengths<float>())
        for (const Index k : {0, 1, 32}) {
            check_search(stream, k, 3, 2);
            check_search(stream, k, 21, 4);  // two query heads for each of the memory's
        }
}

TEST_CASE("k may be larger than a shard, and than the whole memory") {
    for (const Stream<double>& stream : streams_of_all_lengths<double>()) check_search(stream, 1100, 3, 2);
    check_search(Stream<float>(2500), 2500, 3, 2);
    check_search(Stream<float>(2500), 9000, 3, 2);
}

TEST_CASE("equal scores on different ranks are taken by their place in the whole memory") {
    Stream<float> stream(5200);
    stream.keys = with_ties(stream.keys);
    check_search(stream, 50, 21, 2, true);
    std::fill(stream.keys.begin(), stream.keys.end(), 1.0f);  // all are equal
    check_search(stream, 2000, 3, 2);
}

TEST_CASE("memories of 16-bit numbers, and those whose oldest entries have left, are searched likewise") {
    for (const Index capacity : {0, 10, 1500, 3000})
        for (const Storage storage : {Storage::full, Storage::bfloat16, Storage::float16}) {
            Stream<float> stream(5200);
            stream.capacity = capacity;
            stream.storage = storage;
            stream.documents = 7;
            check_search(stream, 32, 21, 2);
        }
}

TEST_CASE("what a search sends is what its formulas say") {
    constexpr Index tokens = 12, heads = 4, width = 8, k = 40, p = 4;  // each rank has more entries than k
    const Stream<float> stream(5200);
    run_as_ranks(p, [&](Communicator& ranks) {
        const ShardedMemory<float> memory = stream.sharded(ranks);
        const Index before = ranks.bytes_sent("queries");
        sharded_search(memory, queries_of<float>(tokens, heads, 5), k);
        const Index at_home = tokens / p;
        CHECK(ranks.bytes_sent("queries") == before);
        CHECK(ranks.bytes_sent("candidates") == (p - 1) * at_home * heads * k * 12);
        CHECK(ranks.bytes_sent("chosen") == (p - 1) * at_home * heads * 8);
        CHECK(ranks.bytes_sent("results") == (p - 1) * at_home * heads * k * 12);
    });
    run_as_ranks(p, [&](Communicator& ranks) {
        const ShardedMemory<float> memory = stream.sharded(ranks);
        sharded_search(memory, queries_of<float>(tokens, heads, 5), k, Queries::own);
        CHECK(ranks.bytes_sent("number of queries") == (p - 1) * 8);
        CHECK(ranks.bytes_sent("queries") == (p - 1) * tokens * heads * width * 4);
        CHECK(ranks.bytes_sent("candidates") == (p - 1) * tokens * heads * k * 12);
        CHECK(ranks.bytes_sent("chosen") == (p - 1) * tokens * heads * 8);
        CHECK(ranks.bytes_sent("results") == 0);
    });
}

TEST_CASE("a search that ranks do not agree on fails on all of them") {
    const Stream<float> stream(2500);
    const auto search_with = [&](Index k_of_last, Index tokens_of_last) {
        run_as_ranks(2, [&](Communicator& ranks) {
            const ShardedMemory<float> memory = stream.sharded(ranks);
            const bool last = ranks.rank() == 1;
            sharded_search(memory, queries_of<float>(last ? tokens_of_last : 6, 2, 5), last ? k_of_last : 4);
        });
    };
    search_with(4, 6);
    CHECK_THROWS_AS(search_with(5, 6), CommunicationError);
    CHECK_THROWS_AS(search_with(4, 8), CommunicationError);
}

TEST_CASE("queries that do not fit are refused") {
    SingleProcess alone;
    const ShardedMemory<float> memory = Stream<float>(100).sharded(alone);
    CHECK_THROWS_WITH_AS(sharded_search(memory, zeros<float, 3>({4, 3, 8}), 5),
                         "sharded memory: queries (4, 3, 8), expected heads a multiple of 2 and width 8", ShapeError);
    CHECK_THROWS_AS(sharded_search(memory, zeros<float, 3>({4, 2, 8}), -1), ConfigError);
}
