/// Exercise 11: another rule of what a full memory forgets.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <most_used.hpp>  // the file beside this one, or the answer: as the include path says
#include <vector>

#include "fot/core/random.hpp"

using namespace exercises;

namespace {

Tensor<double, 3> normal(Index tokens, Index heads, std::uint64_t seed) {
    Random random(seed);
    return normal_tensor<double, 3>({tokens, heads, 4}, 1, random);
}

/// Twelve entries of two heads, three each of the documents 7, 8, 9 and 7 again.
KeyValueMemory<double> memory_of_twelve(Storage storage = Storage::full) {
    KeyValueMemory<double> memory(2, 4, storage);
    for (const Index part : {0, 1, 2, 3})
        memory.append(normal(3, 2, static_cast<std::uint64_t>(10 + part)), normal(3, 2, static_cast<std::uint64_t>(20 + part)),
                      7 + part % 3);
    return memory;
}

/// A number of an entry.
double first_of_key(const KeyValueMemory<double>& memory, Index entry, Index head) {
    double number = 0;
    memory.for_each_block(head, entry, entry + 1, [&](const auto& keys, const auto&, Index) { number = keys.row(0)[0]; });
    return number;
}
double first_of_value(const KeyValueMemory<double>& memory, Index entry, Index head) {
    double value[4];
    memory.copy_value(entry, head, value);
    return value[0];
}

Tensor<double, 1> numbers(std::initializer_list<double> list) {
    Tensor<double, 1> tensor = empty<double, 1>({static_cast<Index>(list.size())});
    std::copy(list.begin(), list.end(), tensor.data());
    return tensor;
}

/// Checks that a memory is these entries of the memory of twelve.
void check_entries(const KeyValueMemory<double>& got, const std::vector<Index>& expected, Storage storage = Storage::full) {
    const KeyValueMemory<double> before = memory_of_twelve(storage);
    REQUIRE(got.size() == length_of(expected));
    CHECK(got.storage() == storage);
    for (Index i = 0; i < got.size(); ++i) {
        CHECK(got.document(i) == before.document(element(expected, i)));
        for (const Index h : {0, 1}) {
            CHECK(first_of_key(got, i, h) == first_of_key(before, element(expected, i), h));
            CHECK(first_of_value(got, i, h) == first_of_value(before, element(expected, i), h));
        }
    }
}

}  // namespace

TEST_CASE("11: what an entry receives is its weight in softmax, summed over queries and heads") {
    const KeyValueMemory<double> memory = memory_of_twelve();
    for (const Index heads : {2, 4}) {  // four heads of queries: two look into each head of the memory
        const Tensor<double, 3> q = normal(5, heads, 1);
        const Tensor<double, 1> received = attention_received(memory, q);
        REQUIRE(element_count(received) == 12);
        std::vector<double> expected(12);
        for (Index t = 0; t < 5; ++t)
            for (Index h = 0; h < heads; ++h) {
                std::vector<double> weights(12);
                double sum = 0;
                memory.for_each_block(h * 2 / heads, [&](const auto& keys, const auto&, Index) {
                    for (Index m = 0; m < 12; ++m) {
                        double score = 0;
                        for (Index i = 0; i < 4; ++i) score += q(t, h, i) * keys.row(m)[i];
                        sum += element(weights, m) = std::exp(score);
                    }
                });
                for (Index m = 0; m < 12; ++m) element(expected, m) += element(weights, m) / sum;
            }
        for (Index m = 0; m < 12; ++m) CHECK(received(m) == doctest::Approx(element(expected, m)).epsilon(1e-12));
    }
}

TEST_CASE("11: large scores do not overflow, and an empty memory receives nothing") {
    const Tensor<double, 1> received = attention_received(memory_of_twelve(), 1000 * normal(5, 2, 1));
    double sum = 0;
    for (const double each : received) sum += each;
    CHECK(sum == doctest::Approx(10));
    CHECK(element_count(attention_received(KeyValueMemory<double>(2, 4), normal(5, 2, 1))) == 0);
}

TEST_CASE("11: the most used entries stay, in their order, with their keys, values and documents") {
    const Tensor<double, 1> received = numbers({5, 0.1, 3, 0.2, 0, 9, 0.3, 2, 0, 0.4, 7, 0.1});
    for (const Storage storage : {Storage::full, Storage::bfloat16})
        check_entries(most_used(memory_of_twelve(storage), received, 4), {0, 2, 5, 10}, storage);
    check_entries(most_used(memory_of_twelve(), received, 1), {5});
    check_entries(most_used(memory_of_twelve(), received, 40), {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("11: of entries that have received the same the newer stays") {
    check_entries(most_used(memory_of_twelve(), full<double, 1>({12}, 1.0), 3), {9, 10, 11});
    check_entries(most_used(memory_of_twelve(), numbers({1, 1, 5, 1, 1, 1, 5, 1, 1, 1, 1, 0}), 4), {2, 6, 9, 10});
}

TEST_CASE("11: an entry that every window asks for survives a long stream, where the oldest first would lose it") {
    const Index capacity = 32;
    Tensor<double, 3> asked_for = zeros<double, 3>({1, 1, 4});
    asked_for(0, 0, 0) = 1;
    const Tensor<double, 3> query = 6 * asked_for;
    KeyValueMemory<double> memory(1, 4), oldest_first(1, 4, Storage::full, capacity);
    memory.append(asked_for, asked_for, 100);
    oldest_first.append(asked_for, asked_for, 100);
    for (Index window = 0; window < 40; ++window) {
        const Tensor<double, 3> keys = 0.3 * normal(8, 1, static_cast<std::uint64_t>(window));
        for (KeyValueMemory<double>* each : {&memory, &oldest_first}) each->append(keys, keys, window);
        memory = most_used(memory, attention_received(memory, query), capacity);
    }
    CHECK(memory.size() == capacity);
    CHECK(memory.document(0) == 100);
    CHECK(oldest_first.document(0) != 100);
}
