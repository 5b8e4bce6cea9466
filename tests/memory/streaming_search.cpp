#include "fot/memory/streaming_search.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/allocations.hpp"
#include "support/search_check.hpp"

using namespace fot;
using testing::same, testing::whole_numbers;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

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

TEST_CASE("a list holds 2k keys at most, and where fewer were offered, twice as many as these at most") {
    constexpr Index key_bytes = sizeof(ScoredKey<float>);
    const auto held_bytes = [](Index k, Index offered) {
        const Index before = testing::bytes_in_use();
        TopK<float> best(k);
        for (Index i = 0; i < offered; ++i) best.offer(static_cast<float>(i), i);  // each is better than those before
        return testing::bytes_in_use() - before;
    };
    for (const Index k : {1, 7, 8, 9, 1100, 5000}) CHECK(held_bytes(k, 20 * k) <= 2 * k * key_bytes);
    CHECK(held_bytes(Index{1} << 60, 1000) <= 2 * 1000 * key_bytes);
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
