#include "fot/model/local_cache.hpp"

#include <doctest/doctest.h>

#include "fot/attention/causal_attention.hpp"
#include "fot/core/random.hpp"
#include "fot/nn/slices.hpp"
#include "support/allocations.hpp"
#include "support/difference.hpp"
#include "support/with_threads.hpp"

using namespace fot;

namespace {

Tensor<double, 4> random_tokens(Index count, Random& random) { return normal_tensor<double, 4>({2, count, 3, 4}, 1, random); }

/// Positions first ... first+count-1 for both entries, the second one two further.
Tensor<Index, 2> positions_from(Index first, Index count) {
    Tensor<Index, 2> positions = empty<Index, 2>({2, count});
    for (Index s = 0; s < count; ++s) {
        positions(0, s) = first + s;
        positions(1, s) = first + s + 2;
    }
    return positions;
}

}  // namespace

TEST_CASE("a cache holds what was added and not dropped, however it grows") {
    Random random(1);
    LocalCache<double> cache(2, 3, 4);
    CHECK(cache.size() == 0);
    Tensor<double, 4> keys = random_tokens(0, random), values = keys;
    for (Index step = 0; step < 60; ++step) {
        const Index count = 1 + random.below(5);
        const Tensor<double, 4> k = random_tokens(count, random), v = random_tokens(count, random);
        cache.append(k, v);
        keys = concatenate<1>(keys, k);
        values = concatenate<1>(values, v);
        const Index dropped = random.below(std::min<Index>(cache.size(), 5) + 1), left = cache.size() - dropped;
        CHECK(cache.oldest_keys(dropped) == slice<1>(keys, 0, dropped));
        cache.drop(dropped);
        keys = slice<1>(keys, dropped, left);
        values = slice<1>(values, dropped, left);
        REQUIRE(cache.size() == left);
        REQUIRE(cache.oldest_keys(left) == keys);
        REQUIRE(cache.oldest_values(left) == values);
    }
}

TEST_CASE("keys are rotated to their distance from the first, when added and again when the first has left") {
    Random random(2);
    const RotaryTable<double> table(100, 4, 1);  // the cache makes a larger one
    LocalCache<double> cache(2, 3, 4);
    Index first = 5;
    const auto check = [&] {
        const Tensor<Index, 2> positions = positions_from(first, cache.size());
        cache.rotate(LocalPositions(positions), table);
        Tensor<Index, 2> from_zero = positions_from(0, cache.size());  // the second entry counts from its own first position
        for (Index s = 0; s < cache.size(); ++s) from_zero(1, s) -= 2;
        const Tensor<double, 4> expected = rotate(cache.oldest_keys(cache.size()), from_zero, table.covering(cache.size() - 1));
        const Tensor<double, 4> q = random_tokens(1, random), values = cache.oldest_values(cache.size());
        CHECK(testing::largest_difference(cache.attend(q).o, causal_attention<double>({q, expected, values}).o) < 1e-13);
    };
    cache.append(random_tokens(3, random), random_tokens(3, random));
    check();
    cache.append(random_tokens(4, random), random_tokens(4, random));
    check();
    cache.drop(2);
    first += 2;
    check();
    cache.append(random_tokens(20, random), random_tokens(20, random));
    check();
}

TEST_CASE("new keys are rotated when tokens left that stood at the smallest position too, as left padding does") {
    Random random(4);
    const RotaryTable<double> table(100, 4, 8);
    LocalCache<double> cache(2, 3, 4), fresh(2, 3, 4);
    cache.append(random_tokens(3, random), random_tokens(3, random));
    cache.rotate(LocalPositions(Tensor<Index, 2>{{-1, -1, 0}, {-1, -1, 0}}), table);
    cache.drop(1);
    cache.append(random_tokens(1, random), random_tokens(1, random));
    const LocalPositions positions(Tensor<Index, 2>{{-1, 0, 1}, {-1, 0, 1}});
    cache.rotate(positions, table);
    fresh.append(cache.oldest_keys(3), cache.oldest_values(3));
    fresh.rotate(positions, table);
    const Tensor<double, 4> q = random_tokens(1, random);
    CHECK(cache.attend(q).o == fresh.attend(q).o);
}

TEST_CASE("attention to a cache is that to its tokens, masked and grouped") {
    Random random(5);
    LocalCache<double> cache(2, 3, 4);
    cache.append(random_tokens(4, random), random_tokens(4, random));
    cache.drop(1);
    cache.append(random_tokens(3, random), random_tokens(3, random));
    const Tensor<double, 4> k = cache.oldest_keys(6), v = cache.oldest_values(6);
    Tensor<double, 2> bias = zeros<double, 2>({2, 6});
    bias(1, 0) = -std::numeric_limits<double>::infinity();
    for (const Index tokens : {1, 2, 5}) {  // one: the heads of a group read their keys together
        const Tensor<double, 4> q = normal_tensor<double, 4>({2, tokens, 6, 4}, 1, random);
        Tensor<double, 3> of_each = empty<double, 3>({2, tokens, 6});
        for (Index b = 0; b < 2; ++b)
            for (Index t = 0; t < tokens; ++t) std::copy_n(row(bias, b), 6, row(of_each, b, t));
        const AttentionResult<double> got = cache.attend(q), expected = causal_attention<double>({q, k, v}),
                                      masked = cache.attend(q, bias),
                                      expected_masked = causal_attention<double>({q, k, v}, {.bias = of_each});
        CHECK(testing::largest_difference(got.o, expected.o) < 1e-14);
        CHECK(testing::largest_difference(got.log_sum_exp, expected.log_sum_exp) < 1e-14);
        CHECK(testing::largest_difference(masked.o, expected_masked.o) < 1e-14);
        CHECK(testing::largest_difference(masked.log_sum_exp, expected_masked.log_sum_exp) < 1e-14);
    }
}

TEST_CASE("a long prompt, whose heads are cut into parts, attends bitwise as without a cache") {
    Random random(6);
    LocalCache<double> cache(1, 1, 4);
    const auto tokens = [&](Index heads) { return normal_tensor<double, 4>({1, 1100, heads, 4}, 1, random); };
    const Tensor<double, 4> k = tokens(1), v = tokens(1), q = tokens(2);
    cache.append(k, v);
    const AttentionResult<double> got = cache.attend(q), expected = causal_attention<double>({q, k, v});
    CHECK(got.o == expected.o);
    CHECK(got.log_sum_exp == expected.log_sum_exp);
}

TEST_CASE("a cache through which tokens pass takes a quarter more room than they need") {
    const Index heads = 2, width = 16, window = 400, token_bytes = 3 * heads * width * Index{sizeof(float)};
    const Index before = testing::bytes_in_use();
    LocalCache<float> cache(1, heads, width);
    const auto held = [&] { return testing::bytes_in_use() - before; };
    const auto pass = [&](Index leave, Index come) {
        const Tensor<float, 4> tokens = zeros<float, 4>({1, come, heads, width});
        cache.drop(leave);
        cache.append(tokens, tokens);
    };
    pass(0, window);
    CHECK(held() <= window * token_bytes + 4096);
    for (Index step = 0; step < 3 * window; ++step) {
        pass(1, 1);
        REQUIRE(held() <= window * token_bytes * 5 / 4 + 4096);
    }
}

TEST_CASE("what does not fit a cache is named") {
    LocalCache<double> cache(2, 3, 4);
    Random random(3);
    const Tensor<double, 4> k = random_tokens(2, random);
    CHECK_THROWS_WITH_AS(cache.append(normal_tensor<double, 4>({1, 2, 3, 4}, 1, random), k),
                         "LocalCache::append: k has shape (1, 2, 3, 4), expected (2, -1, 3, 4) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(cache.append(k, random_tokens(3, random)),
                         "LocalCache::append: v has shape (2, 3, 3, 4), expected (2, 2, 3, 4)", ShapeError);
    cache.append(k, k);
    CHECK_THROWS_WITH_AS(cache.drop(3), "LocalCache::drop: 3 of 2 tokens", DataError);
    const RotaryTable<double> table(100, 4, 8);
    CHECK_THROWS_WITH_AS(cache.rotate(LocalPositions(positions_from(0, 3)), table),
                         "LocalCache::rotate: positions has shape (2, 3), expected (2, 2)", ShapeError);
    CHECK_THROWS_WITH_AS(cache.oldest_keys(1000000), "LocalCache: 1000000 tokens from 0 on of 2", DataError);
    CHECK_THROWS_WITH_AS(LocalCache<double>(-1, 3, 4), "LocalCache: -1 entries, 3 heads of width 4: expected 1 or more of each",
                         ConfigError);
}

TEST_CASE("a cache that runs out of room while it takes in tokens or rotates is as before") {
    Random random(5);
    const RotaryTable<double> table(100, 4, 100);
    LocalCache<double> cache(2, 3, 4), expected(2, 3, 4);
    Index first = 0, failures = 0;
    for (Index step = 0; step < 6; ++step) {
        const Tensor<double, 4> k = random_tokens(4, random), v = random_tokens(4, random), q = random_tokens(1, random);
        const auto same = [&] {
            REQUIRE(cache.size() == expected.size());
            REQUIRE(cache.oldest_keys(cache.size()) == expected.oldest_keys(cache.size()));
            REQUIRE(cache.oldest_values(cache.size()) == expected.oldest_values(cache.size()));
            if (step > 0) REQUIRE(cache.attend(q).o == expected.attend(q).o);
            cache = expected;
        };
        const testing::WithThreads one(1);
        failures += testing::for_every_failing_allocation([&] { cache.append(k, v); }, same);
        expected.append(k, v);
        const LocalPositions positions(positions_from(first, cache.size()));
        expected.rotate(positions, table);
        failures += testing::for_every_failing_allocation([&] { cache.rotate(positions, table); }, [] {});
        same();
        if (step % 2 == 0) continue;
        cache.drop(3);
        expected.drop(3);
        first += 3;
        failures += testing::for_every_failing_allocation(
            [&] { cache.rotate(LocalPositions(positions_from(first, cache.size())), table); }, same);
        expected.rotate(LocalPositions(positions_from(first, cache.size())), table);
        same();
    }
    CHECK(failures > 20);
}

TEST_CASE("what was added and dropped since a mark is undone, as long as there was room") {
    Random random(6);
    const RotaryTable<double> table(100, 4, 100);
    LocalCache<double> cache(2, 3, 4);
    const Tensor<double, 4> k = random_tokens(5, random), more = random_tokens(7, random), q = random_tokens(2, random);
    cache.append(k, k);
    cache.rotate(LocalPositions(positions_from(0, 5)), table);
    const Tensor<double, 4> before = cache.attend(q).o;
    cache.reserve(7);
    const LocalCache<double>::Mark mark = cache.mark();
    cache.drop(5);
    cache.append(more, more);
    cache.rotate(LocalPositions(positions_from(5, 7)), table);
    cache.go_back(mark);
    cache.rotate(LocalPositions(positions_from(0, 5)), table);
    CHECK(cache.oldest_keys(5) == k);
    CHECK(cache.attend(q).o == before);
}
