#include "fot/memory/exact_search.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/reference/exact_search.hpp"
#include "support/allocations.hpp"
#include "support/difference.hpp"
#include "support/far_apart.hpp"
#include "support/with_threads.hpp"

using namespace fot;

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

/// Small whole numbers: every product and sum is exact, and equal scores abound.
Tensor<float, 2> whole_numbers(Index rows, Index columns, Random& random, Index spread = 3) {
    Tensor<float, 2> numbers = empty<float, 2>({rows, columns});
    for (float& x : numbers.storage()) x = static_cast<float>(random.below(2 * spread + 1) - spread);
    return numbers;
}

template <class Real>
bool same(const SearchResult<Real>& a, const SearchResult<Real>& b) {
    return a.scores.storage() == b.scores.storage() && a.indices.storage() == b.indices.storage();
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

TEST_CASE("the k best of a list, whatever was offered first") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::vector<double> scores{2, 5, nan, 5, -infinity, 1, 5, infinity};
    const std::vector<Index> best_first{7, 1, 3, 6, 0, 5, 2, 4};
    std::vector<Index> order{0, 1, 2, 3, 4, 5, 6, 7};
    Random random(9);
    for (Index trial = 0; trial < 50; ++trial) {
        random.shuffle(order);
        for (Index k = 1; k <= 9; ++k) {
            TopK<double> all(k), first(k), second(k);
            for (const Index i : order) {
                all.offer(element(scores, i), i);
                (i % 2 == 0 ? first : second).offer(element(scores, i), i);
            }
            first.join(second);
            const Index found = std::min<Index>(k, 8);
            SearchResult<double> result{empty<double, 2>({2, found}), empty<Index, 2>({2, found})};
            all.write(0, result);
            first.write(1, result);
            for (Index rank = 0; rank < found; ++rank) {
                REQUIRE(result.indices(0, rank) == element(best_first, rank));
                REQUIRE(result.indices(1, rank) == element(best_first, rank));
            }
        }
    }
}

TEST_CASE("a stream of blocks in any order gives what one search over all keys gives, at any time") {
    Random random(10);
    const Tensor<float, 2> keys = whole_numbers(1500, 6, random, 2), queries = whole_numbers(45, 6, random, 2);
    for (const Index k : {1, 10, 300})
        for (const bool backwards : {false, true}) {
            StreamingSearch<float> search(as_matrix(queries), k);
            CHECK(shape_of(search.result().scores) == Shape<2>{45, 0});
            for (Index seen = 0; seen < 1500;) {
                const Index count = std::min<Index>(1500 - seen, random.below(130));
                const Index first = backwards ? 1500 - seen - count : seen;
                search.add(as_matrix(keys).rows_from(first, count), first);
                seen += count;
                SearchResult<float> so_far =
                    exact_search(as_matrix(keys).rows_from(backwards ? first : 0, seen), as_matrix(queries), k);
                for (Index& i : so_far.indices.storage()) i += backwards ? first : 0;
                REQUIRE(same(search.result(), so_far));
            }
        }
}

TEST_CASE("indices of a stream may have gaps") {
    const Tensor<float, 2> keys{{1}, {3}, {2}}, query{{1}};
    StreamingSearch<float> search(as_matrix(query), 2);
    search.add(as_matrix(keys), 1000000);
    search.add(as_matrix(keys), 10);
    CHECK(search.result().indices == Tensor<Index, 2>{{11, 1000001}});
}

TEST_CASE("blocks of no keys, k of zero and no queries change nothing") {
    const Tensor<float, 2> none = zeros<float, 2>({0, 3}), some = zeros<float, 2>({4, 3});
    StreamingSearch<float> search(as_matrix(some), 2), nothing_wanted(as_matrix(some), 0), nobody(as_matrix(none), 2);
    search.add(as_matrix(none), 0);
    CHECK(shape_of(search.result().indices) == Shape<2>{4, 0});
    nothing_wanted.add(as_matrix(some), 0);
    CHECK(shape_of(nothing_wanted.result().scores) == Shape<2>{4, 0});
    nobody.add(as_matrix(some), 0);
    CHECK(shape_of(nobody.result().scores) == Shape<2>{0, 2});
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

TEST_CASE("a list of the best that runs out of room has not taken the key") {
    TopK<double> best(3);
    for (Index i = 0; i < 20; ++i) {  // it is cut on the way
        const std::size_t before = best.candidates().size();
        testing::for_every_failing_allocation([&] { best.offer(static_cast<double>(i % 7), i); },
                                              [&] { REQUIRE(best.candidates().size() == before); });
    }
    SearchResult<double> result{empty<double, 2>({1, 3}), empty<Index, 2>({1, 3})};
    CHECK(testing::for_every_failing_allocation([&] { best.write(0, result); }, [] {}) > 0);
    CHECK(std::vector<Index>(result.indices.begin(), result.indices.end()) == std::vector<Index>{6, 13, 5});
}
