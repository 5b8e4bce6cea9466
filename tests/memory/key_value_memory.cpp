#include "fot/memory/key_value_memory.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/memory/exact_search.hpp"
#include "support/allocations.hpp"
#include "support/with_threads.hpp"

using namespace fot;

namespace {

/// Head h of (T,H,D) as a matrix of its own.
template <class Real>
Tensor<Real, 2> head_of(const Tensor<Real, 3>& x, Index h, Index first, Index last) {
    Tensor<Real, 2> head = empty<Real, 2>({last - first, extent(x, 2)});
    for (Index t = first; t < last; ++t) std::copy_n(row(x, t, h), extent(x, 2), row(head, t - first));
    return head;
}

template <class Real>
Tensor<Real, 3> tokens_of(const Tensor<Real, 3>& x, Index first, Index last) {
    Tensor<Real, 3> some = empty<Real, 3>({last - first, extent(x, 1), extent(x, 2)});
    std::copy_n(row(x, first), some.size(), some.data());
    return some;
}

/// Batch entry b of (B,T,H,D).
template <class Real>
Tensor<Real, 3> entry_of(const Tensor<Real, 4>& x, Index b) {
    Tensor<Real, 3> entry = empty<Real, 3>({extent(x, 1), extent(x, 2), extent(x, 3)});
    std::copy_n(row(x, b), entry.size(), entry.data());
    return entry;
}

template <class Real>
Tensor<Real, 3> rounded(const Tensor<Real, 3>& x, Storage storage) {
    Tensor<Real, 3> result = empty_like(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const Real number = x.data()[i];
        const float near = storage == Storage::bfloat16 ? to_float(to_bfloat16(number)) : to_float(detail::to_half(number));
        result.data()[i] = static_cast<Real>(near);
    }
    return result;
}

/// The memory must hold entries first ... last - 1 of keys and values, and find and give back exactly those.
template <class Real>
void check_holds(const KeyValueMemory<Real>& memory, const Tensor<Real, 3>& keys, const Tensor<Real, 3>& values, Index first,
                 Index last, const Tensor<Real, 3>& queries, Index k) {
    REQUIRE(memory.size() == last - first);
    const RetrievedEntries<Real> got = memory.retrieve(queries, k);
    const Index query_heads = extent(queries, 1), group = query_heads / memory.heads(), found = std::min(k, last - first);
    REQUIRE(shape_of(got.found.scores) == Shape<3>{extent(queries, 0), query_heads, found});
    REQUIRE(shape_of(got.keys) == Shape<4>{extent(queries, 0), query_heads, found, memory.width()});
    for (Index h = 0; h < query_heads; ++h) {
        const SearchResult<Real> expected =
            exact_search(head_of(keys, h / group, first, last), head_of(queries, h, 0, extent(queries, 0)), k);
        for (Index t = 0; t < extent(queries, 0); ++t)
            for (Index rank = 0; rank < found; ++rank) {
                const Index entry = expected.indices(t, rank);
                REQUIRE(got.found.indices(t, h, rank) == entry);
                REQUIRE(got.found.scores(t, h, rank) == expected.scores(t, rank));
                for (Index d = 0; d < memory.width(); ++d) {
                    REQUIRE(got.keys(t, h, rank, d) == keys(first + entry, h / group, d));
                    REQUIRE(got.values(t, h, rank, d) == values(first + entry, h / group, d));
                }
                REQUIRE(got.documents(t, h, rank) == memory.document(entry));
            }
    }
    Index next = 0;
    for (Index h = 0; h < memory.heads(); ++h, next = 0) {
        memory.for_each_block(h, [&](MatrixView<const Real> block_keys, MatrixView<const Real> block_values, Index from) {
            REQUIRE(from == next);
            REQUIRE(block_values.rows == block_keys.rows);
            for (Index i = 0; i < block_keys.rows; ++i, ++next)
                for (Index d = 0; d < memory.width(); ++d) {
                    REQUIRE(block_keys.data[i * block_keys.leading + d] == keys(first + next, h, d));
                    REQUIRE(block_values.data[i * block_values.leading + d] == values(first + next, h, d));
                }
        });
        REQUIRE(next == memory.size());
    }
}

}  // namespace

TEST_CASE("two entries by hand") {
    KeyValueMemory<double> memory(1, 2);
    const Tensor<double, 3> keys{{{1, 0}}, {{0, 3}}}, values{{{10, 11}}, {{20, 21}}}, query{{{1, 1}}};
    memory.append(keys, values, 5);
    const RetrievedEntries<double> got = memory.retrieve(query, 1);
    CHECK(got.found.indices(0, 0, 0) == 1);
    CHECK(got.found.scores(0, 0, 0) == 3);
    CHECK(got.keys(0, 0, 0, 1) == 3);
    CHECK(got.values(0, 0, 0, 0) == 20);
    CHECK(got.documents(0, 0, 0) == 5);
}

TEST_CASE("a memory gives back what was appended, in any portions and across its blocks") {
    Random random(1);
    const Index total = 2500;
    const Tensor<float, 3> keys = normal_tensor<float, 3>({total, 2, 3}, 1.0, random),
                           values = normal_tensor<float, 3>({total, 2, 3}, 1.0, random);
    const Tensor<float, 3> queries = normal_tensor<float, 3>({5, 2, 3}, 1.0, random);
    KeyValueMemory<float> memory(2, 3);
    for (const Index end : {1, 1, 300, 1023, 1024, 1025, 2500}) {
        const Index begin = memory.size();
        memory.append(tokens_of(keys, begin, end), tokens_of(values, begin, end), end);
        check_holds(memory, keys, values, 0, end, queries, 20);
        for (const Index entry : {begin, end - 1})
            if (end > begin) CHECK(memory.document(entry) == end);
    }
    CHECK(memory.document(0) == 1);
    CHECK(memory.document(300) == 1023);
    for (const Index entry : {0, 1023, 1024, 2499}) {
        std::vector<float> key(3), value(3);
        memory.copy_key(entry, 1, key.data());
        memory.copy_value(entry, 1, value.data());
        for (Index d = 0; d < 3; ++d) {
            CHECK(element(key, d) == keys(entry, 1, d));
            CHECK(element(value, d) == values(entry, 1, d));
        }
    }
}

TEST_CASE("each query head reads the memory head of its group") {
    Random random(2);
    const Tensor<double, 3> keys = normal_tensor<double, 3>({130, 2, 4}, 1.0, random),
                            values = normal_tensor<double, 3>({130, 2, 4}, 1.0, random);
    KeyValueMemory<double> memory(2, 4);
    memory.append(keys, values, 0);
    for (const Index query_heads : {2, 4, 6})
        check_holds(memory, keys, values, 0, 130, normal_tensor<double, 3>({7, query_heads, 4}, 1.0, random), 9);
}

TEST_CASE("beyond its capacity a memory drops the oldest entries") {
    Random random(3);
    const Index total = 5000;
    const Tensor<float, 3> keys = normal_tensor<float, 3>({total, 1, 2}, 1.0, random),
                           values = normal_tensor<float, 3>({total, 1, 2}, 1.0, random);
    const Tensor<float, 3> queries = normal_tensor<float, 3>({3, 1, 2}, 1.0, random);
    for (const Index capacity : {1, 100, 1024, 1500}) {
        KeyValueMemory<float> memory(1, 2, Storage::full, capacity);
        CHECK(memory.capacity() == capacity);
        Index end = 0;
        for (const Index portion : {50, 60, 1000, 1, 2500, 437, 952}) {
            memory.append(tokens_of(keys, end, end + portion), tokens_of(values, end, end + portion), portion);
            end += portion;
            check_holds(memory, keys, values, std::max<Index>(0, end - capacity), end, queries, 12);
            REQUIRE(memory.position(0) == std::max<Index>(0, end - capacity));
            REQUIRE(memory.position(memory.size() - 1) == end - 1);
            REQUIRE(memory.document(memory.size() - 1) == portion);
        }
        CHECK(memory.bytes() <= 3 * 1024 * (4 * sizeof(float) + sizeof(Index)));
    }
}

TEST_CASE("16-bit storage is exact search over the rounded keys") {
    for (const Storage storage : {Storage::bfloat16, Storage::float16}) {
        Random random(4);
        const Tensor<float, 3> keys = normal_tensor<float, 3>({1100, 2, 8}, 1.0, random),
                               values = normal_tensor<float, 3>({1100, 2, 8}, 1.0, random);
        KeyValueMemory<float> memory(2, 8, storage), wide(2, 8);
        memory.append(keys, values, 0);
        wide.append(keys, values, 0);
        for (const Index queries : {1, 6})
            check_holds(memory, rounded(keys, storage), rounded(values, storage), 0, 1100,
                        normal_tensor<float, 3>({queries, 4, 8}, 1.0, random), 25);
        CHECK(wide.bytes() == 2 * 1024 * (2 * 2 * 8 * sizeof(float) + sizeof(Index)));
        CHECK(memory.bytes() == 2 * 1024 * (2 * 2 * 8 * 2 + sizeof(Index)));
        CHECK(memory.storage() == storage);
        std::array<float, 8> value;
        memory.copy_value(1050, 1, value.data());
        CHECK(value[7] == rounded(values, storage)(1050, 1, 7));

        const Tensor<double, 3> keys_double = normal_tensor<double, 3>({70, 1, 4}, 1.0, random),
                                near = rounded(keys_double, storage);
        KeyValueMemory<double> from_double(1, 4, storage, 60);
        from_double.append(keys_double, keys_double, 0);
        check_holds(from_double, near, near, 10, 70, normal_tensor<double, 3>({6, 1, 4}, 1.0, random), 5);
    }
}

TEST_CASE("an empty memory finds nothing") {
    KeyValueMemory<float> memory(2, 3);
    const Tensor<float, 3> queries = zeros<float, 3>({4, 2, 3});
    const RetrievedEntries<float> got = memory.retrieve(queries, 10);
    CHECK(memory.size() == 0);
    CHECK(memory.bytes() == 0);
    CHECK(shape_of(got.found.indices) == Shape<3>{4, 2, 0});
    CHECK(shape_of(got.values) == Shape<4>{4, 2, 0, 3});
    memory.for_each_block(0, [](auto, auto, Index) { FAIL("an empty memory has no block"); });
    memory.append(zeros<float, 3>({0, 2, 3}), zeros<float, 3>({0, 2, 3}), 1);
    CHECK(memory.size() == 0);
    CHECK(shape_of(memory.retrieve(queries, 0).keys) == Shape<4>{4, 2, 0, 3});
    memory.append(zeros<float, 3>({3, 2, 3}), zeros<float, 3>({3, 2, 3}), 1);
    CHECK(shape_of(memory.search(queries, 0).scores) == Shape<3>{4, 2, 0});
    CHECK(shape_of(memory.search(zeros<float, 3>({0, 2, 3}), 2).scores) == Shape<3>{0, 2, 2});
}

TEST_CASE("a cleared memory is a fresh one") {
    Random random(5);
    const Tensor<float, 3> old = normal_tensor<float, 3>({1500, 1, 4}, 1.0, random),
                           keys = normal_tensor<float, 3>({80, 1, 4}, 1.0, random);
    const Tensor<float, 3> queries = normal_tensor<float, 3>({2, 1, 4}, 1.0, random);
    KeyValueMemory<float> used(1, 4), fresh(1, 4);
    used.append(old, old, 3);
    used.clear();
    CHECK(used.size() == 0);
    CHECK(used.bytes() == 0);
    used.append(keys, keys, 4);
    fresh.append(keys, keys, 4);
    const FoundEntries<float> a = used.search(queries, 7), b = fresh.search(queries, 7);
    CHECK(a.scores == b.scores);
    CHECK(a.indices == b.indices);
    CHECK(used.position(0) == 0);
    CHECK(used.document(0) == 4);
}

TEST_CASE("a copy of a memory lives on its own") {
    const Tensor<float, 3> keys = full<float, 3>({2, 1, 1}, 1.0f);
    KeyValueMemory<float> memory(1, 1);
    memory.append(keys, keys, 0);
    KeyValueMemory<float> copy = memory;
    copy.append(full<float, 3>({1, 1, 1}, 2.0f), full<float, 3>({1, 1, 1}, 2.0f), 0);
    CHECK(memory.size() == 2);
    CHECK(memory.search(keys, 1).scores(0, 0, 0) == 1);
    CHECK(copy.search(keys, 1).scores(0, 0, 0) == 2);
}

TEST_CASE("a batch entry of what a layer computes is appended and looked up in place") {
    Random random(7);
    const Tensor<float, 4> keys = normal_tensor<float, 4>({3, 40, 2, 4}, 1.0, random),
                           values = normal_tensor<float, 4>({3, 40, 2, 4}, 1.0, random),
                           queries = normal_tensor<float, 4>({3, 6, 4, 4}, 1.0, random);
    for (const Index entry : {0, 2}) {
        KeyValueMemory<float> whole(2, 4), alone(2, 4);
        whole.append(keys, values, entry, 5);
        alone.append(entry_of(keys, entry), entry_of(values, entry), 5);
        const RetrievedEntries<float> got = whole.retrieve(queries, entry, 9),
                                      expected = alone.retrieve(entry_of(queries, entry), 9);
        CHECK(got.found.indices == expected.found.indices);
        CHECK(got.found.scores == expected.found.scores);
        CHECK(got.keys == expected.keys);
        CHECK(got.values == expected.values);
        CHECK(got.documents == expected.documents);
    }
}

TEST_CASE("a memory that runs out of room while it appends stays as it was") {
    const Index width = 300;
    Random random(8);
    const Tensor<float, 3> some = normal_tensor<float, 3>({1000, 1, width}, 1.0, random),
                           more = normal_tensor<float, 3>({3000, 1, width}, 1.0, random);
    KeyValueMemory<float> memory(1, width);
    memory.append(some, some, 1);
    const KeyValueMemory<float> fresh = memory;
    const Tensor<float, 3> query = tokens_of(some, 0, 1);
    const RetrievedEntries<float> before = memory.retrieve(query, 1000);
    const testing::WithThreads one(1);
    const Index failures = testing::for_every_failing_allocation([&] { memory.append(more, more, 2); },
                                                                 [&] {
                                                                     REQUIRE(memory.size() == 1000);
                                                                     REQUIRE(memory.retrieve(query, 1000).values == before.values);
                                                                     memory = fresh;  // without the blocks that were made
                                                                 });
    CHECK(failures >= 3 * 3);  // three tensors in each of three new blocks
    REQUIRE(memory.size() == 4000);
    CHECK(memory.document(999) == 1);
    CHECK(memory.document(1000) == 2);
    KeyValueMemory<float> expected(1, width);
    expected.append(some, some, 1);
    expected.append(more, more, 2);
    CHECK(memory.bytes() == expected.bytes());
    CHECK(memory.retrieve(some, 5).values == expected.retrieve(some, 5).values);
}

TEST_CASE("entries that are written over are found as if they had been appended so, across blocks and after others have left") {
    Random random(9);
    for (const Storage storage : {Storage::full, Storage::bfloat16, Storage::float16}) {
        Tensor<float, 3> keys = normal_tensor<float, 3>({3000, 2, 4}, 1, random),
                         values = normal_tensor<float, 3>({3000, 2, 4}, 1, random);
        const Tensor<float, 3> new_keys = normal_tensor<float, 3>({1500, 2, 4}, 1, random),
                               new_values = normal_tensor<float, 3>({1500, 2, 4}, 1, random),
                               queries = normal_tensor<float, 3>({5, 2, 4}, 1, random);
        KeyValueMemory<float> memory(2, 4, storage, 2500);
        memory.append(keys, values, 3);
        memory.replace(700, new_keys, new_values);
        std::copy_n(new_keys.data(), new_keys.size(), row(keys, Index(1200)));
        std::copy_n(new_values.data(), new_values.size(), row(values, Index(1200)));
        const bool full = storage == Storage::full;
        check_holds(memory, full ? keys : rounded(keys, storage), full ? values : rounded(values, storage), 500, 3000, queries, 40);
        CHECK(memory.document(700) == 3);
        CHECK_THROWS_WITH_AS(memory.replace(1001, new_keys, new_values), doctest::Contains("1500 entries from 1001 on, of 2500"),
                             DataError);
        CHECK_THROWS_AS(memory.replace(-1, new_keys, new_values), DataError);
        CHECK_THROWS_AS(memory.replace(0, new_keys, zeros<float, 3>({1500, 2, 3})), ShapeError);
    }
}

TEST_CASE("the number of threads does not change what is found") {
    Random random(6);
    const Tensor<float, 3> keys = normal_tensor<float, 3>({3000, 3, 8}, 1.0, random),
                           queries = normal_tensor<float, 3>({70, 3, 8}, 1.0, random);
    KeyValueMemory<float> memory(3, 8);
    memory.append(keys, keys, 0);
    const testing::WithThreads scope(1);
    const FoundEntries<float> one = memory.search(queries, 16);
    for (const Index count : {2, 3, 40}) {
        set_threads(count);
        const FoundEntries<float> many = memory.search(queries, 16);
        CHECK(many.scores == one.scores);
        CHECK(many.indices == one.indices);
    }
}

TEST_CASE("a search for many or all entries takes little beside its result, however many blocks and threads there are") {
    const Index entries = 20 * KeyValueMemory<float>::block_entries, queries = 20;
    Random random(12);
    const Tensor<float, 3> keys = normal_tensor<float, 3>({entries, 1, 4}, 1, random),
                           q = normal_tensor<float, 3>({queries, 1, 4}, 1, random);
    KeyValueMemory<float> memory(1, 4);
    memory.append(keys, keys, 0);
    for (const Index thread_count : {1, 2, 8})
        for (const Index k : {entries / 8, entries / 2, entries}) {
            const testing::WithThreads some(thread_count);
            const Index candidates = std::min(2 * k * thread_count, 2 * entries),          // of a query, on all threads
                lists = queries + 3 * thread_count;                                        // a thread joins and sorts copies
            const Index results = 2 * queries * k * Index{sizeof(float) + sizeof(Index)};  // of each head, and of all of them
            CHECK(testing::peak_bytes([&] { memory.search(q, k); }) <=
                  lists * candidates * Index{sizeof(ScoredKey<float>)} + results + (Index{1} << 17));
        }
}

TEST_CASE("bad use of a memory is named") {
    using Memory = KeyValueMemory<float>;
    CHECK_THROWS_WITH_AS(Memory(0, 4), doctest::Contains("0 heads of width 4"), ConfigError);
    CHECK_THROWS_WITH_AS(Memory(1, 4, Storage::full, -1), doctest::Contains("capacity -1 is negative"), ConfigError);
    Memory memory(2, 4);
    const Tensor<float, 3> good = zeros<float, 3>({3, 2, 4}), short_one = zeros<float, 3>({2, 2, 4});
    CHECK_THROWS_WITH_AS(memory.append(zeros<float, 3>({3, 1, 4}), good, 0),
                         doctest::Contains("keys has shape (3, 1, 4), expected (-1, 2, 4)"), ShapeError);
    CHECK_THROWS_WITH_AS(memory.append(good, short_one, 0), doctest::Contains("values has shape (2, 2, 4), expected (3, 2, 4)"),
                         ShapeError);
    const Tensor<float, 4> batch = zeros<float, 4>({2, 3, 2, 4});
    CHECK_THROWS_WITH_AS(memory.append(batch, batch, 2, 0), "KeyValueMemory::append: batch entry 2 of 2", ShapeError);
    CHECK_THROWS_WITH_AS(memory.search(batch, -1, 1), "KeyValueMemory::search: batch entry -1 of 2", ShapeError);
    CHECK_THROWS_WITH_AS(memory.append(batch, zeros<float, 4>({1, 3, 2, 4}), 0, 0),
                         doctest::Contains("values has shape (1, 3, 2, 4), expected (2, 3, 2, 4)"), ShapeError);
    CHECK(memory.size() == 0);
    memory.append(good, good, 0);
    CHECK_THROWS_WITH_AS(memory.search(zeros<float, 3>({1, 3, 4}), 1),
                         doctest::Contains("queries (1, 3, 4), expected heads a multiple of 2 and width 4"), ShapeError);
    CHECK_THROWS_WITH_AS(memory.search(good, -1), doctest::Contains("k = -1 is negative"), ConfigError);
    CHECK_THROWS_WITH_AS(memory.document(3), doctest::Contains("entry 3 of 3"), DataError);
    CHECK_THROWS_WITH_AS(memory.position(-1), doctest::Contains("entry -1 of 3"), DataError);
    CHECK_THROWS_WITH_AS(memory.for_each_block(2, [](auto, auto, Index) {}), doctest::Contains("head 2 of 2"), ShapeError);
    CHECK_THROWS_WITH_AS(memory.for_each_block(0, 2, 4, [](auto, auto, Index) {}), doctest::Contains("entries 2 to 4 of 3"),
                         DataError);
    CHECK_THROWS_AS(memory.for_each_block(0, 2, 1, [](auto, auto, Index) {}), DataError);
}

TEST_CASE("blocks can be walked from any entry to any other") {
    constexpr Index tokens = 2 * KeyValueMemory<double>::block_entries + 300;
    KeyValueMemory<double> memory(1, 2, Storage::full, tokens - 100);  // the first 100 are dropped again
    Tensor<double, 3> keys = empty<double, 3>({tokens, 1, 2});
    for (Index t = 0; t < tokens; ++t) keys(t, 0, 0) = keys(t, 0, 1) = static_cast<double>(t);
    memory.append(keys, keys, 0);
    for (const auto& [first, last] :
         std::vector<std::pair<Index, Index>>{{0, 1}, {5, 5}, {900, 1000}, {900, 2100}, {2000, tokens - 100}}) {
        Index next = first;
        memory.for_each_block(0, first, last, [&](const auto& block_keys, const auto& block_values, Index entry) {
            CHECK(entry == next);
            CHECK(block_values.rows == block_keys.rows);
            for (Index i = 0; i < block_keys.rows; ++i, ++next)
                REQUIRE(block_keys.data[i * block_keys.leading] == static_cast<double>(100 + next));
        });
        CHECK(next == last);
    }
}

TEST_CASE("an append is undone by going back to before it, whether or not the oldest entries have left for it") {
    Random random(9);
    for (const Index capacity : {0, 1500}) {
        KeyValueMemory<float> memory(2, 4, Storage::full, capacity);
        const Tensor<float, 3> some = normal_tensor<float, 3>({1400, 2, 4}, 1.0, random),
                               more = normal_tensor<float, 3>({1300, 2, 4}, 1.0, random);
        memory.append(some, some, 1);
        KeyValueMemory<float> expected = memory;
        memory.reserve(1300);
        const KeyValueMemory<float>::Mark mark = memory.mark();
        memory.append(more, more, 2);
        memory.go_back(mark);
        REQUIRE(memory.size() == 1400);
        const Tensor<float, 3> queries = tokens_of(some, 0, 20);
        const auto same = [&] { return memory.retrieve(queries, 1400).values == expected.retrieve(queries, 1400).values; };
        CHECK(same());
        memory.append(more, more, 3);
        expected.append(more, more, 3);
        CHECK(memory.size() == expected.size());
        CHECK(same());
    }
}

TEST_CASE("numbers that 16 bits cannot hold are refused, and there is no key of a head that is not there") {
    for (const auto& [storage, large] : {std::pair{Storage::float16, 65520.0f}, {Storage::bfloat16, 3.4e38f}}) {
        KeyValueMemory<float> memory(1, 2, storage);
        Tensor<float, 3> one = zeros<float, 3>({1, 1, 2});
        one(0, 0, 1) = -large;
        CHECK_THROWS_WITH_AS(memory.append(one, zeros<float, 3>({1, 1, 2}), 0),
                             doctest::Contains("is too large for a memory of 16-bit numbers"), NumericError);
        CHECK_THROWS_AS(memory.append(zeros<float, 3>({1, 1, 2}), one, 0), NumericError);
        CHECK(memory.size() == 0);
        one(0, 0, 1) = storage == Storage::float16 ? 65519.0f : 3.38e38f;
        memory.append(one, one, 0);
        float key[2];
        memory.copy_key(0, 0, key);
        CHECK(std::isfinite(key[1]));
        CHECK_THROWS_WITH_AS(memory.copy_key(0, 1, key), "KeyValueMemory: head 1 of 1", ShapeError);
        CHECK_THROWS_AS(memory.copy_value(0, -1, key), ShapeError);
    }
    KeyValueMemory<float> whole(1, 2);
    CHECK_NOTHROW(whole.append(full<float, 3>({1, 1, 2}, 1e38f), zeros<float, 3>({1, 1, 2}), 0));
}

TEST_CASE("no more entries are dropped than there are, and what 16 bits cannot hold is not written over others") {
    KeyValueMemory<float> memory(1, 2, Storage::float16);
    memory.append(zeros<float, 3>({2, 1, 2}), zeros<float, 3>({2, 1, 2}), 0);
    for (const Index count : {-1, 3}) CHECK_THROWS_AS(memory.drop_oldest(count), DataError);
    CHECK_THROWS_AS(memory.replace(0, full<float, 3>({1, 1, 2}, 1e5f), zeros<float, 3>({1, 1, 2})), NumericError);
    CHECK_THROWS_AS(memory.replace(0, zeros<float, 3>({1, 1, 2}), full<float, 3>({1, 1, 2}, 1e5f)), NumericError);
}
