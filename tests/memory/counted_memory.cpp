#include "fot/memory/counted_memory.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "fot/core/random.hpp"

using namespace fot;

namespace {

/// A stream of T entries (T,H,D), each one of a few: so copies come in any order.
struct Stream {
    Tensor<double, 3> keys, values;

    /// Numbers of keys are whole, so that different keys often have equal scores.
    Stream(Index entries, Index kinds, Index heads, Index width, std::uint64_t seed)
        : keys(empty<double, 3>({entries, heads, width})), values(empty<double, 3>({entries, heads, width})) {
        Random random(seed);
        Tensor<double, 3> kind_keys = empty<double, 3>({kinds, heads, width});
        for (double& number : kind_keys.storage()) number = static_cast<double>(random.below(3) - 1);
        const Tensor<double, 3> kind_values = normal_tensor<double, 3>({kinds, heads, width}, 1, random);
        for (Index t = 0; t < entries; ++t) {
            const Index kind = random.below(kinds);
            std::copy_n(row(kind_keys, kind), heads * width, row(keys, t));
            std::copy_n(row(kind_values, kind), heads * width, row(values, t));
        }
    }
};

/// Checks that a search finds the same scores, keys and values in both.
template <class Real>
void check_same_search(const CountedMemory<Real>& counted, const KeyValueMemory<Real>& plain, const Tensor<Real, 4>& queries,
                       Index k) {
    const FoundEntries<Real> found = counted.search(queries, 0, k), expected = plain.search(queries, 0, k);
    CHECK(found.scores == expected.scores);
    REQUIRE(shape_of(found.indices) == shape_of(expected.indices));
    const Index width = plain.width();
    std::vector<Real> got(static_cast<std::size_t>(width)), wanted = got;
    for (Index t = 0; t < extent(found.scores, 0); ++t)
        for (Index h = 0; h < extent(found.scores, 1); ++h)
            for (Index j = 0; j < extent(found.scores, 2); ++j) {
                const Index head = h * plain.heads() / extent(found.scores, 1);
                counted.distinct().copy_key(found.indices(t, h, j), head, got.data());
                plain.copy_key(expected.indices(t, h, j), head, wanted.data());
                CHECK(got == wanted);
                counted.distinct().copy_value(found.indices(t, h, j), head, got.data());
                plain.copy_value(expected.indices(t, h, j), head, wanted.data());
                CHECK(got == wanted);
            }
}

Tensor<double, 4> whole_queries(Index queries, Index heads, Index width, Random& random) {
    Tensor<double, 4> q = empty<double, 4>({1, queries, heads, width});
    for (double& number : q.storage()) number = static_cast<double>(random.below(5) - 2);
    return q;
}

}  // namespace

TEST_CASE("equal entries are held once and counted, and those that differ in one bit are not equal") {
    CountedMemory<float> memory(1, 2);
    Tensor<float, 3> keys = zeros<float, 3>({4, 1, 2}), values = full<float, 3>({4, 1, 2}, 1.0f);
    keys(2, 0, 1) = -0.0f;
    values(3, 0, 0) = std::nextafter(1.0f, 2.0f);
    memory.append(keys, values);
    memory.append(keys, values);
    CHECK(memory.size() == 8);
    CHECK(memory.distinct().size() == 3);
    CHECK(memory.count(0) == 4);
    CHECK(memory.count(1) == 2);
    CHECK(memory.count(2) == 2);
    memory.clear();
    CHECK(memory.size() == 0);
    CHECK(memory.distinct().size() == 0);
}

TEST_CASE("the k best copies are those of a memory that holds them all, bit by bit, equal scores too") {
    Random random(1);
    for (const Index kinds : {1, 3, 12, 200})
        for (const Index entries : {1, 7, 60, 500}) {
            const Stream stream(entries, kinds, 2, 3, random.bits());
            KeyValueMemory<double> plain(2, 3);
            CountedMemory<double> counted(2, 3, 40);
            plain.append(stream.keys, stream.values, 0);
            counted.append(stream.keys, stream.values);
            CHECK(counted.size() == entries);
            CHECK(counted.distinct().size() <= kinds);
            for (const Index queries : {1, 9})
                for (const Index k : {0, 1, 2, 5, 32, 40})
                    check_same_search(counted, plain, whole_queries(queries, 4, 3, random), k);
        }
}

TEST_CASE("scores of any numbers are bitwise the same, whichever neighbours a key has") {
    Random random(2);
    const Index width = 24, entries = 3000;
    Tensor<float, 3> keys = empty<float, 3>({entries, 1, width}), values = zeros<float, 3>({entries, 1, width});
    const Tensor<float, 3> kinds = normal_tensor<float, 3>({50, 1, width}, 1, random);
    for (Index t = 0; t < entries; ++t) std::copy_n(row(kinds, random.below(50)), width, row(keys, t));
    KeyValueMemory<float> plain(1, width);
    CountedMemory<float> counted(1, width);
    plain.append(keys, values, 0);
    counted.append(keys, values);
    for (const Index queries : {1, 3, 5, 64}) {
        const Tensor<float, 4> q = normal_tensor<float, 4>({1, queries, 1, width}, 1, random);
        check_same_search(counted, plain, q, 128);
    }
}

TEST_CASE("repeating the last entries is appending them again, also where they differ from what came before") {
    Random random(3);
    for (const Index times : {0, 1, 3, 100}) {
        const Stream before(30, 4, 1, 3, 7), period(20, 6, 1, 3, 8), after(10, 4, 1, 3, 7);
        KeyValueMemory<double> plain(1, 3);
        CountedMemory<double> counted(1, 3, 16);
        plain.append(before.keys, before.values, 0);
        counted.append(before.keys, before.values);
        counted.append(period.keys, period.values);
        counted.repeat(20, times);
        for (Index i = 0; i <= times; ++i) plain.append(period.keys, period.values, 0);
        counted.repeat(20, 1);  // what was repeated may be repeated again
        plain.append(period.keys, period.values, 0);
        counted.append(after.keys, after.values);
        plain.append(after.keys, after.values, 0);
        CHECK(counted.size() == plain.size());
        Index copies = 0;
        for (Index j = 0; j < counted.distinct().size(); ++j) copies += counted.count(j);
        CHECK(copies == counted.size());
        for (const Index k : {1, 4, 16}) check_same_search(counted, plain, whole_queries(12, 2, 3, random), k);
    }
}

TEST_CASE("a score that is not a number is the least of all, here too") {
    Random random(4);
    Stream stream(40, 5, 1, 2, 9);
    for (Index t = 0; t < 40; t += 3) stream.keys(t, 0, 0) = NAN;
    KeyValueMemory<double> plain(1, 2);
    CountedMemory<double> counted(1, 2);
    plain.append(stream.keys, stream.values, 0);
    counted.append(stream.keys, stream.values);
    const Tensor<double, 4> q = whole_queries(6, 1, 2, random);
    CHECK(counted.search(q, 0, 40).scores == plain.search(q, 0, 40).scores);
}

TEST_CASE("what does not fit a counted memory is refused") {
    CountedMemory<float> memory(2, 3, 8);
    const Tensor<float, 3> keys = zeros<float, 3>({4, 2, 3});
    CHECK_THROWS_WITH_AS(CountedMemory<float>(2, 3, 0), doctest::Contains("most_k 0, expected 1 or more"), ConfigError);
    CHECK_THROWS_AS(memory.append(zeros<float, 3>({4, 2, 4}), keys), ShapeError);
    CHECK_THROWS_AS(memory.append(keys, zeros<float, 3>({3, 2, 3})), ShapeError);
    memory.append(keys, keys);
    CHECK_THROWS_WITH_AS(memory.repeat(5, 1), doctest::Contains("5 entries 1 times, expected 0 to 4 entries"), DataError);
    CHECK_THROWS_AS(memory.repeat(2, -1), DataError);
    memory.repeat(2, 1);
    CHECK_THROWS_WITH_AS(memory.count(1), "CountedMemory: entry 1 of 1", DataError);
    CHECK_THROWS_AS(memory.repeat(3, 1), DataError);
    const Index most = std::numeric_limits<Index>::max();
    CHECK_THROWS_WITH_AS(memory.repeat(2, most / 2), doctest::Contains("more than can be counted"), DataError);
    memory.repeat(0, most);
    memory.repeat(2, 1);
    CHECK(memory.size() == 8);
    CHECK_THROWS_WITH_AS(memory.search(zeros<float, 4>({1, 1, 2, 3}), 0, 9), doctest::Contains("k = 9, expected 8 or less"),
                         ConfigError);
}

TEST_CASE("a cleared counted memory keeps its most_k") {
    CountedMemory<float> memory(1, 2, 8);
    memory.clear();
    CHECK_THROWS_AS(memory.search(zeros<float, 4>({1, 1, 1, 2}), 0, 9), ConfigError);
}
