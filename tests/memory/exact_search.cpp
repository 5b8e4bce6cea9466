#include "fot/memory/exact_search.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/reference/exact_search.hpp"
#include "support/difference.hpp"
#include "support/far_apart.hpp"
#include "support/search_check.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using testing::same, testing::whole_numbers;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class Real>
void check_against_sorting(const Tensor<Real, 2>& keys, const Tensor<Real, 2>& queries, Index k, double tolerance = 0) {
    const SearchResult<Real> found = exact_search(keys, queries, k);
    const reference::Found<Real> expected = reference::exact_search(keys, queries, k);
    REQUIRE(shape_of(found.indices) == shape_of(expected.indices));
    REQUIRE(found.indices.storage() == expected.indices.storage());
    REQUIRE(testing::largest_difference(found.scores, expected.scores) <= tolerance);
}

}  // namespace

TEST_CASE("three keys by hand") {
    const Tensor<double, 2> keys{{1, 0}, {0, 2}, {1, 1}}, queries{{1, 0}, {-1, 1}};
    const SearchResult<double> found = exact_search(keys, queries, 2);
    CHECK(found.indices == Tensor<Index, 2>{{0, 2}, {1, 2}});  // the first query scores 1, 0, 1: the tie goes to key 0
    CHECK(found.scores == Tensor<double, 2>{{1, 1}, {2, 0}});
}

TEST_CASE("search is sorting all scores and keeping the first k, at every size and with ties everywhere") {
    Random random(1);
    for (const Index keys : {1, 2, 7, 8, 31, 95, 96, 97, 200, 1003})
        for (const Index queries : {1, 5, 32, 33, 70})
            for (const Index width : {1, 3, 64})
                for (const Index k : {1, 2, 16, 33, 2000})
                    check_against_sorting(whole_numbers(keys, width, random), whole_numbers(queries, width, random), k);
}

TEST_CASE_TEMPLATE("few queries, which pack nothing, and one more find what sorting finds", Real, float, double) {
    Random random(12);
    const double tolerance = std::is_same_v<Real, float> ? 2e-5 : 1e-13;
    for (const Index queries : {1, 2, 3, 4, 5})
        for (const Index keys : {1, 239, 240, 241, 2000})
            for (const Index width : {3, 64, 100})
                check_against_sorting(normal_tensor<Real, 2>({keys, width}, 1, random),
                                      normal_tensor<Real, 2>({queries, width}, 1, random), 20, tolerance);
}

TEST_CASE("few queries find equal scores by ascending index, also where the bar is one of them") {
    for (const Index queries : {1, 4}) {
        Tensor<float, 2> keys = full<float, 2>({3000, 5}, 1.0f);
        keys(2999, 0) = 2;
        const SearchResult<float> found = exact_search(keys, full<float, 2>({queries, 5}, 1.0f), 50);
        for (Index n = 0; n < queries; ++n)
            for (Index rank = 0; rank < 50; ++rank) REQUIRE(found.indices(n, rank) == (rank == 0 ? 2999 : rank - 1));
    }
}

TEST_CASE("search is sorting all scores, for real numbers") {
    Random random(2);
    check_against_sorting(normal_tensor<double, 2>({3001, 17}, 1.0, random), normal_tensor<double, 2>({41, 17}, 1.0, random), 100,
                          1e-12);
}

TEST_CASE("many queries are searched as one is") {
    Random random(3);
    const Tensor<float, 2> keys = whole_numbers(500, 5, random), queries = whole_numbers(2100, 5, random);
    check_against_sorting(keys, queries, 9);
}

TEST_CASE("extents of zero") {
    Random random(4);
    for (const Index keys : {0, 3})
        for (const Index queries : {0, 2})
            for (const Index width : {0, 4})
                for (const Index k : {0, 1, 5})
                    check_against_sorting(zeros<float, 2>({keys, width}), zeros<float, 2>({queries, width}), k);
}

TEST_CASE("equal scores go to the lower index") {
    const SearchResult<float> found = exact_search(zeros<float, 2>({3000, 4}), zeros<float, 2>({40, 4}), 50);
    for (Index n = 0; n < 40; ++n)
        for (Index rank = 0; rank < 50; ++rank) REQUIRE(found.indices(n, rank) == rank);
}

TEST_CASE("ascending, descending and all negative scores") {
    const Index count = 2000;
    Tensor<float, 2> keys = empty<float, 2>({count, 1});
    const Tensor<float, 2> queries{{1}, {-1}, {0}};
    for (const float offset : {0.0f, -5000.0f, 5000.0f}) {
        for (Index i = 0; i < count; ++i) keys(i, 0) = static_cast<float>(i) + offset;
        check_against_sorting(keys, queries, 37);
        for (Index i = 0; i < count; ++i) keys(i, 0) = static_cast<float>(count - i) + offset;
        check_against_sorting(keys, queries, 37);
    }
}

TEST_CASE("queries may be a prefix of the keys, at the same address") {
    Random random(5);
    const Tensor<float, 2> keys = whole_numbers(300, 6, random);
    Tensor<float, 2> queries = empty<float, 2>({30, 6});
    std::copy_n(keys.data(), 30 * 6, queries.data());
    CHECK(same(exact_search(as_matrix(keys), matrix(keys.data(), 30, 6), 10), exact_search(keys, queries, 10)));
    check_against_sorting(keys, keys, 10);
}

TEST_CASE("a head of a block is searched in place") {
    Random random(6);
    const Index count = 120, heads = 3, width = 5;
    const Tensor<double, 3> block = normal_tensor<double, 3>({count, heads, width}, 1.0, random);
    for (Index h = 0; h < heads; ++h) {
        Tensor<double, 2> head = empty<double, 2>({count, width});
        for (Index i = 0; i < count; ++i) std::copy_n(row(block, i, h), width, row(head, i));
        const MatrixView<const double> in_place = matrix(row(block, 0, h), count, width, heads * width);
        CHECK(same(exact_search(in_place, in_place, 7), exact_search(head, head, 7)));
    }
}

TEST_CASE("keys and queries may lie so far apart that 32 bits do not count the numbers between") {
    Random random(12);
    const testing::FarApart<float> keys(70, 6, random), queries(66, 6, random);
    if (!keys.reserved() || !queries.reserved()) return;
    CHECK(same(exact_search(keys.view(), queries.view(), 7), exact_search(keys.near(), queries.near(), 7)));
}

TEST_CASE("infinite scores are found first or last") {
    Tensor<double, 2> keys = full<double, 2>({100, 1}, 1.0);
    keys(20, 0) = keys(90, 0) = infinity;
    keys(3, 0) = keys(50, 0) = -infinity;
    const Tensor<double, 2> query{{1}, {-1}};
    for (const Index k : {1, 2, 5, 98, 99, 100}) check_against_sorting(keys, query, k);
    Tensor<double, 2> hopeless = full<double, 2>({500, 1}, -infinity);
    check_against_sorting(hopeless, query, 10);
    hopeless(400, 0) = -1;
    CHECK(exact_search(hopeless, Tensor<double, 2>{{1}}, 10).indices(0, 0) == 400);
}

TEST_CASE("a NaN score counts as minus infinity") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    Random random(7);
    Tensor<double, 2> keys = normal_tensor<double, 2>({700, 2}, 1.0, random);
    for (Index i = 0; i < 700; i += 3) keys(i, 1) = nan;
    const Tensor<double, 2> queries = normal_tensor<double, 2>({35, 2}, 1.0, random);
    for (const Index k : {1, 40, 466, 500, 700}) check_against_sorting(keys, queries, k, 1e-12);
    const SearchResult<double> nothing = exact_search(full<double, 2>({300, 2}, nan), queries, 20);
    for (Index n = 0; n < 35; ++n)
        for (Index rank = 0; rank < 20; ++rank) {
            REQUIRE(nothing.indices(n, rank) == rank);
            REQUIRE(nothing.scores(n, rank) == -infinity);
        }
}

TEST_CASE("the number of threads does not change a bit") {
    Random random(8);
    const Tensor<float, 2> keys = normal_tensor<float, 2>({20011, 16}, 1.0, random);
    const Tensor<float, 2> whole = whole_numbers(20011, 16, random, 1);
    const testing::WithThreads scope(1);
    for (const Index query_count : {1, 100, 1300}) {
        const Tensor<float, 2> queries = normal_tensor<float, 2>({query_count, 16}, 1.0, random);
        const Tensor<float, 2> whole_queries = whole_numbers(query_count, 16, random, 1);
        set_threads(1);
        const SearchResult<float> one = exact_search(keys, queries, 30), one_whole = exact_search(whole, whole_queries, 30);
        for (const Index count : {2, 3, 7, 40}) {
            set_threads(count);
            CHECK(same(exact_search(keys, queries, 30), one));
            CHECK(same(exact_search(whole, whole_queries, 30), one_whole));
        }
    }
}

TEST_CASE("keys that lie in several places are searched by several threads") {
    Random random(11);
    const Tensor<float, 2> keys = whole_numbers(9000, 64, random, 1), queries = whole_numbers(100, 64, random, 1);
    const testing::WithThreads scope(3);
    const auto add_keys = [&](StreamingSearch<float>& search, Index, Index first, Index last) {
        for (Index i = first; i < last; i += 7) search.add(as_matrix(keys).rows_from(i, std::min<Index>(7, last - i)), i);
    };
    CHECK(same(exact_search_in_parts<float>(9000, {as_matrix(queries)}, 20, add_keys)[0], exact_search(keys, queries, 20)));
}

TEST_CASE("sets of queries over keys of their own are searched as each of them alone, by any number of threads") {
    Random random(13);
    const Index count = 3000, width = 40;
    std::vector<Tensor<float, 2>> keys, queries;
    std::vector<MatrixView<const float>> sets;
    for (const Index rows : {1, 700, 0, 5, 64}) {
        keys.push_back(whole_numbers(count, width, random, 1));
        queries.push_back(whole_numbers(rows, width, random, 1));
    }
    for (const Tensor<float, 2>& each : queries) sets.push_back(as_matrix(each));
    const testing::WithThreads scope(1);
    for (const Index threads : {1, 2, 3, 16}) {
        set_threads(threads);
        const auto add_keys = [&](StreamingSearch<float>& search, Index set, Index first, Index last) {
            search.add(as_matrix(std::as_const(element(keys, set))).rows_from(first, last - first), first);
        };
        const std::vector<SearchResult<float>> found = exact_search_in_parts<float>(count, sets, 9, add_keys);
        for (Index set = 0; set < length_of(sets); ++set)
            CHECK(same(element(found, set), exact_search(element(keys, set), element(queries, set), 9)));
    }
}

TEST_CASE("bad arguments of a search are named") {
    const Tensor<float, 2> keys = zeros<float, 2>({3, 4}), narrow = zeros<float, 2>({3, 2}), none = zeros<float, 2>({0, 2});
    CHECK_THROWS_WITH_AS(exact_search(keys, narrow, 1), doctest::Contains("keys of width 4 for queries of width 2"), ShapeError);
    CHECK_THROWS_WITH_AS(exact_search(keys, none, 1), doctest::Contains("keys of width 4 for queries of width 2"), ShapeError);
    CHECK_THROWS_WITH_AS(exact_search(keys, keys, -1), doctest::Contains("k = -1 is negative"), ConfigError);
    CHECK_THROWS_WITH_AS(exact_search(as_matrix(keys), transpose(as_matrix(keys)), 1), doctest::Contains("transposed"), ShapeError);
    CHECK_THROWS_WITH_AS(StreamingSearch<float>(as_matrix(keys), -2), doctest::Contains("k = -2 is negative"), ConfigError);
    StreamingSearch<float> search(as_matrix(keys), 2);
    CHECK_THROWS_WITH_AS(search.add(transpose(as_matrix(keys)), 0), doctest::Contains("or transposed"), ShapeError);
}

TEST_CASE("many queries are shared among threads, with a filter or without, and not a bit changes") {
    Random random(14);
    const Tensor<float, 2> keys = normal_tensor<float, 2>({15000, 36}, 1, random);
    const auto add_keys = [&](auto& search, Index, Index first, Index last) {
        search.add(as_matrix(keys).rows_from(first, last - first), first);
    };
    const testing::WithThreads scope(1);
    for (const Index count : {33, 256, 389, 1284}) {  // cut in any way, no group must be as small as `few_rows`
        const Tensor<float, 2> queries = normal_tensor<float, 2>({count, 36}, 1, random);
        set_threads(1);
        const SearchResult<float> in_float =
            exact_search_in_parts<float, StreamingSearch<float, NoFilter>>(15000, {as_matrix(queries)}, 20, add_keys)[0];
        for (const Index threads : {1, 2, 3, 4, 9}) {
            set_threads(threads);
            CHECK(same(exact_search(keys, queries, 20), in_float));
        }
    }
}
