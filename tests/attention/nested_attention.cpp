#include "fot/attention/nested_attention.hpp"

#include <doctest/doctest.h>

#include "fot/attention/memory_attention.hpp"
#include "fot/core/random.hpp"
#include "fot/nn/slices.hpp"
#include "support/difference.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using testing::largest_difference;

namespace {

const double infinity = std::numeric_limits<double>::infinity();

/// Keys and values of `tokens` tokens, G = 2 heads of width 4.
struct Entries {
    Tensor<double, 3> keys, values;

    Entries(Index tokens, std::uint64_t seed) {
        Random random(seed);
        keys = normal_tensor<double, 3>({tokens, 2, 4}, 1, random);
        values = normal_tensor<double, 3>({tokens, 2, 4}, 1, random);
    }

    /// A memory that holds the `newest` of them alone.
    KeyValueMemory<double> memory(Index newest) const {
        KeyValueMemory<double> memory(2, 4);
        const Index first = extent(keys, 0) - newest;
        memory.append(slice<0>(keys, first, newest), slice<0>(values, first, newest), 0);
        return memory;
    }
};

Tensor<double, 4> random_queries(Index heads) {
    Random random(2);
    return normal_tensor<double, 4>({1, 5, heads, 4}, 1, random);
}

}  // namespace

TEST_CASE("parts of a memory are attended to as memories that hold nothing else") {
    const Entries entries(40, 1);
    const KeyValueMemory<double> whole = entries.memory(40);
    std::vector<MemoryReading> readings;
    for (const Index tokens : {7, 0, 40, 1})
        for (const Index top_k : {3, 0, 20}) readings.push_back({tokens, top_k});
    for (const Index heads : {2, 4}) {
        const Tensor<double, 4> q = random_queries(heads);
        const auto result = nested_attention(q, whole, readings);
        CHECK(shape_of(result.o) == Shape<4>{12, 5, heads, 4});
        for (Index i = 0; i < 12; ++i) {
            const auto [tokens, top_k] = element(readings, i);
            CAPTURE(tokens);
            CAPTURE(top_k);
            Tape tape(Tape::inference);
            const KeyValueMemory<double> newest = entries.memory(tokens);
            const Attention<double> expected = memory_attention(tape, Variable<double, 4>(q), {&newest}, top_k);
            CHECK(largest_difference(slice<0>(result.o, i, 1), expected.o.value()) < 1e-12);
            const Tensor<double, 3> log_sum_exp = slice<0>(result.log_sum_exp, i, 1);
            if (tokens > 0)
                CHECK(largest_difference(log_sum_exp, expected.log_sum_exp.value()) < 1e-12);
            else
                CHECK(log_sum_exp == full<double, 3>({1, heads, 5}, -infinity));
        }
    }
}

TEST_CASE("of equal scores the older entry is found, whatever other sizes are asked for") {
    Entries entries(3000, 4);
    for (double& key : entries.keys.storage()) key = 1;
    const KeyValueMemory<double> whole = entries.memory(3000);
    const Tensor<double, 4> q = random_queries(2);
    for (const Index length : {2, 1500, 3000}) {
        Tape tape(Tape::inference);
        const KeyValueMemory<double> newest = entries.memory(length);
        const Tensor<double, 4> expected = memory_attention(tape, Variable<double, 4>(q), {&newest}, 1).o.value();
        for (const std::vector<MemoryReading>& others :
             {std::vector<MemoryReading>{}, {{1, 1}}, {{0, 1}, {1, 1}, {length / 2 + 1, 2}, {3000, 1}}}) {
            std::vector<MemoryReading> readings = others;
            readings.push_back({length, 1});
            CHECK(slice<0>(nested_attention(q, whole, readings).o, length_of(others), 1) == expected);
        }
    }
}

TEST_CASE("threads share heads and queries, and change nothing") {
    const KeyValueMemory<double> memory = Entries(300, 5).memory(300);
    Random random(6);
    const Tensor<double, 4> q = normal_tensor<double, 4>({1, 90, 4, 4}, 1, random);
    const std::vector<MemoryReading> readings{{300, 0}, {120, 5}};
    const testing::WithThreads scope(1);
    const AttentionResult<double> one = nested_attention(q, memory, readings);
    for (const Index count : {2, 9, 40}) {
        set_threads(count);
        const AttentionResult<double> several = nested_attention(q, memory, readings);
        CHECK(several.o == one.o);
        CHECK(several.log_sum_exp == one.log_sum_exp);
    }
}

TEST_CASE("parts that a memory does not have are refused") {
    const KeyValueMemory<double> memory = Entries(10, 3).memory(10);
    const Tensor<double, 4> q = random_queries(2);
    CHECK(extent(nested_attention(q, memory, {}).o, 0) == 0);
    CHECK_THROWS_WITH_AS(nested_attention(q, memory, {{4, 0}, {11, 2}}),
                         doctest::Contains("the best 2 of 11 tokens, expected 0 or more (0: all), and at most the 10 entries"),
                         ConfigError);
    CHECK_THROWS_WITH_AS(nested_attention(q, memory, {{-1, 2}}), doctest::Contains("the best 2 of -1 tokens"), ConfigError);
    CHECK_THROWS_WITH_AS(nested_attention(q, memory, {{4, -1}}), doctest::Contains("the best -1 of 4 tokens"), ConfigError);
    CHECK_THROWS_WITH_AS(nested_attention(random_queries(3), memory, {{4, 2}}),
                         "nested_attention: q has 3 heads, not a multiple of the 2 of the memory", ShapeError);
    CHECK_THROWS_WITH_AS(nested_attention(zeros<double, 4>({1, 5, 2, 3}), memory, {{4, 2}}),
                         "nested_attention: q has shape (1, 5, 2, 3), expected (1, -1, -1, 4) (-1: any)", ShapeError);
}
