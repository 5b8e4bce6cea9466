#include "fot/attention/counted_attention.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/difference.hpp"

using namespace fot;
using testing::largest_difference;

namespace {

/// The same entries in a memory that holds them all and in one that counts them: `kinds` kinds, whose copies come in any order.
struct BothMemories {
    KeyValueMemory<double> plain{2, 6};
    CountedMemory<double> counted{2, 6};

    BothMemories(Index entries, Index kinds, std::uint64_t seed) {
        Random random(seed);
        const Tensor<double, 3> k = normal_tensor<double, 3>({kinds, 2, 6}, 1, random),
                                v = normal_tensor<double, 3>({kinds, 2, 6}, 1, random);
        for (Index i = 0; i < entries; ++i) {
            const Index kind = random.below(kinds);
            plain.append(slice<0>(k, kind, 1), slice<0>(v, kind, 1), 0);
            counted.append(slice<0>(k, kind, 1), slice<0>(v, kind, 1));
        }
    }

    /// What memory_attention gives for all entries of a batch.
    AttentionResult<double> expected(const Tensor<double, 4>& q, Index top_k) const {
        Tape tape(Tape::inference);
        const Attention<double> of_plain =
            memory_attention(tape, Variable<double, 4>(q), Memories<double>(q.shape()[0], &plain), top_k);
        return {of_plain.o.value(), of_plain.log_sum_exp.value()};
    }
};

}  // namespace

TEST_CASE("attention with log counts is attention to all copies") {
    Random random(1);
    for (const Index kinds : {1, 5, 400})
        for (const Index queries : {1, 3, 70}) {
            const BothMemories memories(2000, kinds, random.bits());
            const Tensor<double, 4> q = normal_tensor<double, 4>({2, queries, 4, 6}, 1, random);
            const AttentionResult<double> got = counted_attention(q, memories.counted, 0), expected = memories.expected(q, 0);
            CHECK(largest_difference(got.o, expected.o) < 1e-12);
            CHECK(largest_difference(got.log_sum_exp, expected.log_sum_exp) < 1e-12);
        }
}

TEST_CASE("attention to the k best copies is bitwise that of a memory of all copies") {
    Random random(2);
    for (const Index kinds : {1, 5, 400})
        for (const Index queries : {1, 3, 70})
            for (const Index top_k : {1, 4, 32, 128}) {
                const BothMemories memories(1500, kinds, random.bits());
                const Tensor<double, 4> q = normal_tensor<double, 4>({2, queries, 4, 6}, 1, random);
                const AttentionResult<double> got = counted_attention(q, memories.counted, top_k),
                                              expected = memories.expected(q, top_k);
                CHECK(got.o == expected.o);
                CHECK(got.log_sum_exp == expected.log_sum_exp);
            }
}

TEST_CASE("a period that came a billion times weighs a billion times as much") {
    Random random(3);
    CountedMemory<double> memory(1, 4);
    const Tensor<double, 3> k = zeros<double, 3>({2, 1, 4});
    Tensor<double, 3> v = zeros<double, 3>({2, 1, 4});
    std::fill_n(row(v, Index(1)), 4, 1.0);
    memory.append(slice<0>(k, 0, 1), slice<0>(v, 0, 1));
    memory.append(slice<0>(k, 1, 1), slice<0>(v, 1, 1));
    memory.repeat(1, 999'999'998);
    CHECK(memory.size() == 1'000'000'000);
    const AttentionResult<double> got = counted_attention(normal_tensor<double, 4>({1, 1, 1, 4}, 1, random), memory, 0);
    CHECK(got.o(0, 0, 0, 0) == doctest::Approx(1 - 1e-9).epsilon(1e-14));
    CHECK(got.log_sum_exp(0, 0, 0) == doctest::Approx(std::log(1e9)).epsilon(1e-14));
}

TEST_CASE("an empty counted memory gives nothing, and queries that do not fit are refused") {
    const CountedMemory<double> memory(2, 6);
    for (const Index top_k : {0, 3}) {
        const AttentionResult<double> got = counted_attention(full<double, 4>({1, 2, 4, 6}, 1.0), memory, top_k);
        CHECK(got.o == zeros<double, 4>({1, 2, 4, 6}));
        CHECK(got.log_sum_exp(0, 3, 1) == -std::numeric_limits<double>::infinity());
        CHECK_THROWS_AS(counted_attention(zeros<double, 4>({1, 2, 4, 5}), memory, top_k), ShapeError);
        CHECK_THROWS_AS(counted_attention(zeros<double, 4>({1, 2, 3, 6}), memory, top_k), ShapeError);
    }
    CHECK_THROWS_AS(counted_attention(zeros<double, 4>({1, 2, 4, 6}), memory, 129), ConfigError);
    CHECK_THROWS_AS(counted_attention(zeros<double, 4>({1, 2, 4, 6}), memory, -1), ConfigError);
}

TEST_CASE("counts of more distinct entries than a block holds are added to their own scores") {
    Random random(4);
    for (const Index queries : {1, 70}) {
        const BothMemories memories(5000, 2 * KeyValueMemory<double>::block_entries, 11);
        REQUIRE(memories.counted.distinct().size() > KeyValueMemory<double>::block_entries);
        const Tensor<double, 4> q = normal_tensor<double, 4>({1, queries, 2, 6}, 1, random);
        const AttentionResult<double> got = counted_attention(q, memories.counted, 0), expected = memories.expected(q, 0);
        CHECK(largest_difference(got.o, expected.o) < 1e-12);
        CHECK(largest_difference(got.log_sum_exp, expected.log_sum_exp) < 1e-12);
    }
}
