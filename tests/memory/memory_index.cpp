#include "fot/memory/memory_index.hpp"

#include <doctest/doctest.h>

#include "fot/memory/inverted_lists.hpp"
#include "support/search_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

std::unique_ptr<KeySearch<double>> exact(MatrixView<const double> keys) {
    return std::make_unique<ExactKeySearch<double>>(keys.columns);
}

void append(KeyValueMemory<double>& memory, Index tokens, Random& random) {
    const Shape<3> shape{tokens, memory.heads(), memory.width()};
    memory.append(normal_tensor<double, 3>(shape, 1, random), normal_tensor<double, 3>(shape, 1, random), 0);
}

}  // namespace

TEST_CASE("with exact searches an index finds what the memory's own search finds, in all heads, as the memory grows") {
    Random random(1);
    KeyValueMemory<double> memory(2, 6);
    MemoryIndex<double> index(exact);
    const Tensor<double, 4> q = normal_tensor<double, 4>({3, 5, 4, 6}, 1, random);  // two query heads a memory head
    index.update(memory);
    CHECK(index.size() == 0);
    CHECK(extent(index.search(q, 0, 7).entries.indices, 2) == 0);
    for (const Index tokens : {3, 1, 1500}) {
        append(memory, tokens, random);
        index.update(memory);
        CHECK(index.size() == memory.size());
        for (const Index b : {0, 2}) {
            const FoundEntries<double> expected = memory.search(q, b, 7);
            const FoundThrough<double> found = index.search(q, b, 7);
            CHECK(found.entries.indices.storage() == expected.indices.storage());
            CHECK(largest_difference(found.entries.scores, expected.scores) < 1e-12);
            CHECK(found.scored == 5 * 4 * memory.size());
        }
    }
}

TEST_CASE("entries that were appended are not found before the index is updated; a cleared memory is searched anew") {
    Random random(2);
    KeyValueMemory<double> memory(1, 4);
    MemoryIndex<double> index(exact);
    append(memory, 10, random);
    index.update(memory);
    append(memory, 10, random);
    const Tensor<double, 4> q = normal_tensor<double, 4>({1, 20, 1, 4}, 1, random);
    const FoundThrough<double> found = index.search(q, 0, 10);
    for (const Index entry : found.entries.indices.storage()) CHECK(entry < 10);
    memory.clear();
    append(memory, 4, random);
    index.update(memory);
    CHECK(index.size() == 4);
    CHECK(index.search(q, 0, 4).entries.indices.storage() == memory.search(q, 0, 4).indices.storage());
}

TEST_CASE("a memory that was changed otherwise than by appending is searched anew, of whatever size it is") {
    Random random(5);
    KeyValueMemory<double> memory(1, 4);
    MemoryIndex<double> index(exact);
    const Tensor<double, 4> q = normal_tensor<double, 4>({1, 20, 1, 4}, 1, random);
    const auto found_as_by_the_memory = [&] {
        CHECK_FALSE(index.knows(memory));
        index.update(memory);
        CHECK(index.knows(memory));
        CHECK(index.size() == memory.size());
        CHECK(index.search(q, 0, 5).entries.indices.storage() == memory.search(q, 0, 5).indices.storage());
    };
    append(memory, 20, random);
    found_as_by_the_memory();
    memory.clear();
    append(memory, 20, random);
    found_as_by_the_memory();
    memory.drop_oldest(10);
    append(memory, 30, random);
    found_as_by_the_memory();
    const KeyValueMemory<double> snapshot = memory;
    append(memory, 5, random);
    index.update(memory);
    memory = snapshot;
    append(memory, 5, random);
    found_as_by_the_memory();
    memory.replace(0, normal_tensor<double, 3>({40, 1, 4}, 1, random), normal_tensor<double, 3>({40, 1, 4}, 1, random));
    found_as_by_the_memory();
    const KeyValueMemory<double>::Mark mark = memory.mark();
    append(memory, 10, random);
    memory.go_back(mark);
    append(memory, 10, random);
    found_as_by_the_memory();
    KeyValueMemory<double> other(1, 4);
    append(other, 60, random);
    CHECK_FALSE(index.knows(other));
}

TEST_CASE("a search is made once a head, with the keys of that head that are there") {
    Random random(3);
    KeyValueMemory<double> memory(3, 4);
    std::vector<double> first_numbers;
    Index made = 0;
    MemoryIndex<double> index([&](MatrixView<const double> keys) -> std::unique_ptr<KeySearch<double>> {
        ++made;
        CHECK(keys.rows == 30);
        first_numbers.push_back(keys.row(29)[3]);
        return std::make_unique<InvertedLists<double>>(keys, InvertedListsOptions{.lists = 5});
    });
    append(memory, 30, random);
    index.update(memory);
    append(memory, 30, random);
    index.update(memory);
    CHECK(made == 3);
    for (Index h = 0; h < 3; ++h) {
        std::vector<double> key(4);
        memory.copy_key(29, h, key.data());
        CHECK(element(first_numbers, h) == key[3]);
        CHECK(index.of_head(h).size() == 60);
    }
    CHECK_THROWS_AS(index.of_head(3), ShapeError);
}

TEST_CASE("a memory with a capacity, and queries that do not fit, are refused") {
    Random random(4);
    const KeyValueMemory<double> forgetful(1, 4, Storage::full, 10);
    CHECK_THROWS_AS(MemoryIndex<double>(exact).update(forgetful), ConfigError);
    KeyValueMemory<double> memory(2, 4);
    append(memory, 10, random);
    MemoryIndex<double> index(exact);
    index.update(memory);
    CHECK_THROWS_AS(index.search(zeros<double, 4>({1, 1, 3, 4}), 0, 2), ShapeError);
    CHECK_THROWS_AS(index.search(zeros<double, 4>({1, 1, 2, 5}), 0, 2), ShapeError);
    CHECK_THROWS_AS(index.search(zeros<double, 4>({1, 1, 2, 4}), 1, 2), ShapeError);
    CHECK_THROWS_AS(index.search(zeros<double, 4>({1, 1, 2, 4}), 0, -2), ConfigError);
}
