#include "fot/train/kept_states.hpp"

#include <doctest/doctest.h>

#include "support/allocations.hpp"

using namespace fot;

namespace {

TransformerConfig small_config() {
    return {.vocabulary = 11, .width = 4, .layers = 3, .memory_layers = {0, 2}, .heads = 2, .memory_heads = 1};
}

/// Numbers that tell where they stand.
template <std::size_t N>
Tensor<float, N> numbered(const Shape<N>& shape, float first) {
    Tensor<float, N> tensor = empty<float, N>(shape);
    std::iota(tensor.data(), tensor.data() + tensor.size(), first);
    return tensor;
}

/// Two entries of each memory; the first entry of the batch remembers `of_first` tokens, the second 2.
MemoryState<float> memories(Index of_first, Index capacity = 0) {
    MemoryState<float> state(small_config(), 2, Storage::full, capacity);
    for (const Index layer : {0, 2})
        for (const Index b : {0, 1}) {
            const Index size = b == 0 ? of_first : 2;
            const float first = static_cast<float>(1000 * layer + 100 * b);
            state.memory(layer, b).append(numbered<3>({size, 1, 4}, first), numbered<3>({size, 1, 4}, -first - 50), 3);
        }
    return state;
}

/// What a memory holds: a key and its value, entry by entry.
std::vector<float> contents(const KeyValueMemory<float>& memory) {
    std::vector<float> all;
    memory.for_each_block(0, [&](const auto& keys, const auto& values, Index) {
        for (Index i = 0; i < keys.rows; ++i)
            for (const auto& part : {keys, values})
                all.insert(all.end(), part.data + i * part.leading, part.data + i * part.leading + part.columns);
    });
    return all;
}

}  // namespace

TEST_CASE("memories come back as they were written, and what was there before is gone") {
    const TransformerConfig config = small_config();
    MemoryState<float> state = memories(3), other = memories(1);
    KeptStates<float> kept;
    write_memory(config, state, kept);
    CHECK(kept.sizes == std::vector<Index>{3, 2, 3, 2});
    REQUIRE(kept.numbers.size() == 10 * 8);
    CHECK(std::vector<float>(kept.numbers.begin(), kept.numbers.begin() + 9) ==
          std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8});  // key after key, then the values
    CHECK(kept.numbers[12] == -50);
    read_memory(kept, config, other);
    for (const Index layer : {0, 2})
        for (const Index b : {0, 1}) CHECK(contents(other.memory(layer, b)) == contents(state.memory(layer, b)));
    CHECK(other.memory(2, 0).document(2) == 0);
    MemoryState<float> fresh(config, 2);
    write_memory(config, fresh, kept);
    read_memory(kept, config, other);
    CHECK(other.size(0) == 0);
    CHECK(other.size(1) == 0);
}

TEST_CASE("a memory of several blocks comes back whole") {
    const TransformerConfig config = small_config();
    MemoryState<float> state = memories(2 * KeyValueMemory<float>::block_entries + 7), other(config, 2);
    KeptStates<float> kept;
    write_memory(config, state, kept);
    read_memory(kept, config, other);
    CHECK(contents(other.memory(2, 0)) == contents(state.memory(2, 0)));
}

TEST_CASE("a memory that has dropped its oldest entries keeps the others") {
    const TransformerConfig config = small_config();
    MemoryState<float> state = memories(5, 3), other(config, 2, Storage::full, 3);
    KeptStates<float> kept;
    write_memory(config, state, kept);
    CHECK(kept.sizes == std::vector<Index>{3, 2, 3, 2});
    CHECK(kept.numbers.front() == 8);  // the third key
    read_memory(kept, config, other);
    CHECK(contents(other.memory(0, 0)) == contents(state.memory(0, 0)));
}

TEST_CASE("kept memories that are none are refused before anything is overwritten") {
    const TransformerConfig config = small_config();
    MemoryState<float> state = memories(3), limited(config, 2, Storage::full, 2);
    KeptStates<float> kept;
    write_memory(config, state, kept);
    MemoryState<float> other = memories(1);
    const auto refused = [&](const KeptStates<float>& wrong, const char* why) {
        CHECK_THROWS_WITH_AS(read_memory(wrong, config, other), why, DataError);
        CHECK(other.size(0) == 1);
    };
    KeptStates<float> wrong = kept;
    wrong.sizes.pop_back();
    refused(wrong, "read_memory: 3 kept memories with 80 numbers are not those of 4 memories of this model");
    wrong = kept;
    wrong.numbers.pop_back();
    refused(wrong, "read_memory: 4 kept memories with 79 numbers are not those of 4 memories of this model");
    for (const Index size : {Index(-1), Index(1), Index(3), std::numeric_limits<Index>::max()}) {
        wrong = kept;
        wrong.sizes[3] = size;
        refused(wrong, "read_memory: 4 kept memories with 80 numbers are not those of 4 memories of this model");
    }
    CHECK_THROWS_AS(read_memory(kept, config, limited), DataError);
}

TEST_CASE("states come back as they were written") {
    const TransformerConfig config = small_config();
    RecurrentState<float> state;
    KeptStates<float> kept{.sizes = {7}, .numbers = {7}};
    write_states(state, kept);
    CHECK(kept.sizes.empty());
    CHECK(kept.numbers.empty());
    for (const float layer : {0.f, 100.f, 200.f}) state.inputs.push_back(numbered<3>({2, 5, 4}, layer));
    state.seen = {false, true};
    write_states(state, kept);
    CHECK(kept.sizes == std::vector<Index>{0, 1});
    CHECK(kept.numbers.size() == 3 * 2 * 5 * 4);
    RecurrentState<float> other;
    read_states(kept, config, 2, other);
    CHECK(other.seen == state.seen);
    REQUIRE(other.inputs.size() == 3);
    for (std::size_t layer = 0; layer < 3; ++layer) CHECK(other.inputs[layer] == state.inputs[layer]);
    read_states({}, config, 2, other);
    CHECK(other.seen.empty());
    CHECK(other.inputs.empty());
}

TEST_CASE("kept states of another shape are refused") {
    const TransformerConfig config = small_config();
    RecurrentState<float> state;
    const auto refused = [&](std::size_t sizes, std::size_t numbers, Index entries) {
        const KeptStates<float> wrong{std::vector<Index>(sizes, 1), std::vector<float>(numbers, 1)};
        CHECK_THROWS_WITH_AS(read_states(wrong, config, entries, state),
                             message("read_states: ", numbers, " kept states of ", sizes, " entries, expected ", entries,
                                     " entries in 3 layers of width 4")
                                 .c_str(),
                             DataError);
        CHECK(state.inputs.empty());
    };
    refused(2, 119, 2);
    refused(1, 120, 2);
    refused(2, 0, 2);
    refused(0, 120, 2);
}

TEST_CASE("states that cannot be kept or read back for want of memory stay as they were") {
    MemoryState<float> saved = memories(3), state = memories(1);
    KeptStates<float> kept;
    CHECK(testing::for_every_failing_allocation([&] { write_memory(small_config(), saved, kept); },
                                                [&] { REQUIRE(kept.sizes.empty()); }) > 10);
    const auto unchanged = [&] {
        for (const Index layer : {0, 2}) REQUIRE(contents(state.memory(layer, 0)) == contents(memories(1).memory(layer, 0)));
    };
    CHECK(testing::for_every_failing_allocation([&] { read_memory(kept, small_config(), state); }, unchanged) > 10);
    CHECK(contents(state.memory(2, 0)) == contents(saved.memory(2, 0)));

    const RecurrentState<float> recurrent{.inputs = {3, numbered<3>({2, 5, 4}, 7)}, .seen = {true, false}};
    RecurrentState<float> other;
    CHECK(testing::for_every_failing_allocation([&] { write_states(recurrent, kept); }, [&] { REQUIRE(kept.sizes.size() == 4); }) >
          3);
    CHECK(testing::for_every_failing_allocation([&] { read_states(kept, small_config(), 2, other); },
                                                [&] { REQUIRE(other.inputs.empty()); }) > 3);
    CHECK(other.inputs == recurrent.inputs);
}
