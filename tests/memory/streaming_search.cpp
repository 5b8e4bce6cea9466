#include "fot/memory/streaming_search.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/memory/exact_search.hpp"
#include "support/with_threads.hpp"

using namespace fot;

namespace {

template <class Real>
bool same(const SearchResult<Real>& a, const SearchResult<Real>& b) {
    return shape_of(a.scores) == shape_of(b.scores) && a.scores.storage() == b.scores.storage() &&
           a.indices.storage() == b.indices.storage();
}

template <class Real>
MatrixView<const Real> rows(const Tensor<Real, 2>& x, Index first, Index last) {
    return matrix(row(x, first), last - first, extent(x, 1));
}

/// Whole numbers, so that many scores are equal.
Tensor<float, 2> whole_numbers(Index count, Index width, Random& random) {
    Tensor<float, 2> numbers = empty<float, 2>({count, width});
    for (float& x : numbers.storage()) x = static_cast<float>(random.below(5) - 2);
    return numbers;
}

}  // namespace

TEST_CASE("a stream of blocks gives what one search over all keys gives") {
    Random random(1);
    const Tensor<float, 2> keys = whole_numbers(1500, 6, random), queries = whole_numbers(45, 6, random);
    for (const Index k : {1, 10, 300}) {
        StreamingSearch<float> search(queries, k);
        for (Index first = 0; first < 1500;) {
            const Index last = std::min<Index>(1500, first + random.below(130));
            search.add(rows(keys, first, last), first);
            first = last;
        }
        CHECK(same(search.result(), exact_search(keys, queries, k)));
    }
}

TEST_CASE("the result may be read at any time") {
    Random random(2);
    const Tensor<double, 2> keys = normal_tensor<double, 2>({200, 3}, 1.0, random),
                            queries = normal_tensor<double, 2>({4, 3}, 1.0, random);
    StreamingSearch<double> search(queries, 12);
    CHECK(shape_of(search.result().scores) == Shape<2>{4, 0});
    for (Index first = 0; first < 200; first += 5) {
        search.add(rows(keys, first, first + 5), first);
        const MatrixView<const double> so_far = rows(keys, 0, first + 5);
        REQUIRE(same(search.result(), exact_search(so_far, as_matrix(queries), 12)));
    }
}

TEST_CASE("the values of the best keys are kept, those of the others are not") {
    Random random(3);
    for (const Index k : {3, 40}) {
        const Tensor<double, 2> keys = normal_tensor<double, 2>({900, 5}, 1.0, random);
        const Tensor<double, 2> values = normal_tensor<double, 2>({900, 7}, 1.0, random);
        const Tensor<double, 2> queries = normal_tensor<double, 2>({37, 5}, 1.0, random);
        StreamingSearch<double> search(queries, k);
        for (Index first = 0; first < 900; first += 90) {
            search.add_with_values(rows(keys, first, first + 90), rows(values, first, first + 90), first);
            const SearchResult<double> found = search.result();
            const Tensor<double, 3> chosen = search.values();
            REQUIRE(shape_of(chosen) == Shape<3>{37, std::min(k, first + 90), 7});
            for (Index n = 0; n < 37; ++n)
                for (Index rank = 0; rank < extent(chosen, 1); ++rank)
                    for (Index d = 0; d < 7; ++d) REQUIRE(chosen(n, rank, d) == values(found.indices(n, rank), d));
        }
    }
}

TEST_CASE("a block is seen by the queries of its range only") {
    Random random(4);
    const Tensor<float, 2> keys = whole_numbers(400, 4, random), values = whole_numbers(400, 2, random);
    const Tensor<float, 2> queries = whole_numbers(100, 4, random);
    StreamingSearch<float> search(queries, 8);  // queries 0-39 see 400 keys, 40-89 the first 100, 90-99 five
    search.add_with_values(rows(keys, 0, 5), rows(values, 0, 5), 0);
    search.add_with_values(rows(keys, 5, 100), rows(values, 5, 100), 5, {0, 90});
    search.add_with_values(rows(keys, 100, 400), rows(values, 100, 400), 100, {0, 40});
    const SearchResult<float> found = search.result();
    const Tensor<float, 3> chosen = search.values();
    REQUIRE(shape_of(found.scores) == Shape<2>{100, 8});
    for (Index n = 0; n < 100; ++n) {
        const Index seen = n < 40 ? 400 : n < 90 ? 100 : 5;
        const SearchResult<float> expected = exact_search(rows(keys, 0, seen), rows(queries, n, n + 1), 8);
        for (Index rank = 0; rank < 8; ++rank) {
            if (rank < seen) {
                REQUIRE(found.indices(n, rank) == expected.indices(0, rank));
                REQUIRE(found.scores(n, rank) == expected.scores(0, rank));
                REQUIRE(chosen(n, rank, 1) == values(found.indices(n, rank), 1));
            } else {
                REQUIRE(found.indices(n, rank) == -1);
                REQUIRE(found.scores(n, rank) == -std::numeric_limits<float>::infinity());
                REQUIRE(chosen(n, rank, 1) == 0);
            }
        }
    }
}

TEST_CASE("two ranges of queries may see different keys under the same indices") {
    Random random(5);
    const Tensor<float, 2> a = whole_numbers(50, 4, random), b = whole_numbers(60, 4, random),
                           queries = whole_numbers(9, 4, random);
    StreamingSearch<float> search(queries, 5);
    search.add(as_matrix(a), 0, {0, 4});
    search.add(as_matrix(b), 0, {4, 9});
    const SearchResult<float> found = search.result();
    const MatrixView<const float> in_a = as_matrix(a), in_b = as_matrix(b);
    const SearchResult<float> first = exact_search(in_a, rows(queries, 0, 4), 5),
                              second = exact_search(in_b, rows(queries, 4, 9), 5);
    for (Index n = 0; n < 9; ++n)
        for (Index rank = 0; rank < 5; ++rank)
            CHECK(found.indices(n, rank) == (n < 4 ? first.indices(n, rank) : second.indices(n - 4, rank)));
}

TEST_CASE("indices may have gaps") {
    const Tensor<float, 2> keys{{1}, {3}, {2}}, query{{1}};
    StreamingSearch<float> search(query, 2);
    search.add(as_matrix(keys), 10);
    search.add(as_matrix(keys), 1000000);
    CHECK(search.result().indices == Tensor<Index, 2>{{11, 1000001}});
}

TEST_CASE("blocks of no keys, k of zero and no queries change nothing") {
    const Tensor<float, 2> none = zeros<float, 2>({0, 3}), some = zeros<float, 2>({4, 3});
    StreamingSearch<float> search(some, 2), nothing_wanted(some, 0), nobody(none, 2);
    search.add(as_matrix(none), 0);
    CHECK(shape_of(search.result().indices) == Shape<2>{4, 0});
    nothing_wanted.add_with_values(as_matrix(some), as_matrix(some), 0);
    CHECK(shape_of(nothing_wanted.values()) == Shape<3>{4, 0, 3});
    nobody.add(as_matrix(some), 0);
    CHECK(shape_of(nobody.result().scores) == Shape<2>{0, 2});
    search.add(as_matrix(some), 0, {2, 2});
    CHECK(shape_of(search.result().indices) == Shape<2>{4, 0});
}

TEST_CASE("the number of threads does not change the values kept") {
    Random random(6);
    const Tensor<float, 2> keys = whole_numbers(9000, 16, random), queries = whole_numbers(600, 16, random);
    const testing::WithThreads scope(1);
    const auto run = [&](Index count) {
        set_threads(count);
        StreamingSearch<float> search(queries, 20);
        search.add_with_values(rows(keys, 0, 4000), rows(keys, 0, 4000), 0);
        search.add_with_values(rows(keys, 4000, 9000), rows(keys, 4000, 9000), 4000);
        return search.values();
    };
    const Tensor<float, 3> one = run(1), three = run(3);
    CHECK(one.storage() == three.storage());
}

TEST_CASE("bad use of a streaming search is named") {
    const Tensor<float, 2> keys = zeros<float, 2>({6, 3}), narrow = zeros<float, 2>({6, 2}), few = zeros<float, 2>({5, 3});
    const MatrixView<const float> block = as_matrix(keys);
    CHECK_THROWS_WITH_AS(StreamingSearch<float>(keys, -2), doctest::Contains("k = -2 is negative"), ConfigError);
    CHECK_THROWS_WITH_AS(StreamingSearch<float>(transpose(block), 2), doctest::Contains("transposed"), ShapeError);
    StreamingSearch<float> search(keys, 2);
    CHECK_THROWS_WITH_AS(search.values(), doctest::Contains("no block came with values"), ConfigError);
    CHECK_THROWS_WITH_AS(search.add(as_matrix(narrow), 0), doctest::Contains("keys of width 2 for queries of width 3"), ShapeError);
    CHECK_THROWS_WITH_AS(search.add(block, 0, {2, 7}), doctest::Contains("queries 2 to 7 of 6"), ConfigError);
    search.add(block, 10, {0, 3});
    CHECK_THROWS_WITH_AS(search.add(block, 15),
                         doctest::Contains("begins at index 15, but query 0 has already seen the keys below 16"), DataError);
    CHECK_THROWS_WITH_AS(search.add(block, std::numeric_limits<Index>::max() - 3),
                         doctest::Contains("and would end beyond the last number"), DataError);
    CHECK_THROWS_WITH_AS(search.add_with_values(block, block, 20), doctest::Contains("earlier blocks came without values"),
                         ConfigError);
    StreamingSearch<float> with_values(keys, 2);
    CHECK_THROWS_WITH_AS(with_values.add_with_values(block, as_matrix(few), 0), doctest::Contains("5 values for 6 keys"),
                         ShapeError);
    with_values.add_with_values(block, block, 0);
    CHECK_THROWS_WITH_AS(with_values.add(block, 6), doctest::Contains("earlier blocks came with values"), ConfigError);
    CHECK_THROWS_WITH_AS(with_values.add_with_values(block, as_matrix(narrow), 6),
                         doctest::Contains("values of width 2, earlier ones had width 3"), ShapeError);
}
