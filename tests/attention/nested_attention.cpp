#include "fot/attention/nested_attention.hpp"

#include <doctest/doctest.h>

#include "fot/attention/memory_attention.hpp"
#include "fot/core/random.hpp"
#include "fot/nn/slices.hpp"
#include "support/difference.hpp"

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
    const std::vector<Index> lengths{0, 1, 7, 40}, top_ks{3, 0, 20};
    for (const Index heads : {2, 4}) {
        const Tensor<double, 4> q = random_queries(heads);
        const auto results = nested_attention(q, whole, lengths, top_ks);
        REQUIRE(results.size() == lengths.size());
        for (std::size_t i = 0; i < lengths.size(); ++i)
            for (std::size_t k = 0; k < top_ks.size(); ++k) {
                CAPTURE(lengths[i]);
                CAPTURE(top_ks[k]);
                Tape tape(Tape::inference);
                const KeyValueMemory<double> newest = entries.memory(lengths[i]);
                const Attention<double> expected = memory_attention(tape, Variable<double, 4>(q), {&newest}, top_ks[k]);
                CHECK(largest_difference(results[i][k].o, expected.o.value()) < 1e-12);
                if (lengths[i] > 0)
                    CHECK(largest_difference(results[i][k].log_sum_exp, expected.log_sum_exp.value()) < 1e-12);
                else
                    CHECK(results[i][k].log_sum_exp == full<double, 3>({1, heads, 5}, -infinity));
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
        for (const std::vector<Index>& lengths : {std::vector<Index>{length}, {1, length}, {0, 1, length / 2 + 1, length}})
            CHECK(nested_attention(q, whole, lengths, {1}).back()[0].o == expected);
    }
}

TEST_CASE("parts that a memory does not have are refused") {
    const KeyValueMemory<double> memory = Entries(10, 3).memory(10);
    const Tensor<double, 4> q = random_queries(2);
    CHECK(nested_attention(q, memory, {}, {0, 2}).empty());
    CHECK_THROWS_WITH_AS(nested_attention(q, memory, {4, 11}, {2}), doctest::Contains("at most the 10 entries"), ConfigError);
    CHECK_THROWS_WITH_AS(nested_attention(q, memory, {4, 2}, {2}), doctest::Contains("lengths that do not ascend"), ConfigError);
    CHECK_THROWS_WITH_AS(nested_attention(q, memory, {-1}, {2}), doctest::Contains("from 0 or more"), ConfigError);
    CHECK_THROWS_WITH_AS(nested_attention(q, memory, {4}, {}), "nested_attention: no top_k, or one below 0", ConfigError);
    CHECK_THROWS_WITH_AS(nested_attention(q, memory, {4}, {3, -1}), "nested_attention: no top_k, or one below 0", ConfigError);
    CHECK_THROWS_WITH_AS(nested_attention(random_queries(3), memory, {4}, {2}),
                         "nested_attention: q has 3 heads, no multiple of the 2 of the memory", ShapeError);
    CHECK_THROWS_WITH_AS(nested_attention(zeros<double, 4>({1, 5, 2, 3}), memory, {4}, {2}),
                         "nested_attention: q has shape (1, 5, 2, 3), expected (1, -1, -1, 4) (-1: any)", ShapeError);
}
