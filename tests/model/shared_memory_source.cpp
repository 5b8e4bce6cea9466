#include "fot/model/shared_memory_source.hpp"

#include <doctest/doctest.h>

#include "fot/model/transformer.hpp"
#include "support/allocations.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

Transformer<double> small_model() {
    Random random(1);
    return Transformer<double>(small_model_config({0, 2}), random);
}

}  // namespace

TEST_CASE("documents that share a memory read what a memory of their own would hold with all their windows in it") {
    const Transformer<double> model = small_model();
    const Tokens first = random_tokens(4, 5, 11, 2), second = random_tokens(4, 6, 11, 3);
    SharedMemoryState<double> shared(model.config(), 4, 2);
    MemoryState<double> own(model.config(), 4);
    CHECK(read_window(model, first, shared).storage() == read_window(model, first, own, {.append = false}).storage());
    Tape tape(Tape::inference);
    std::vector<LayerView<double>> views;
    model.forward(tape, first, ObservedSource<double>(NoSource<double>(), views));
    for (const LayerView<double>& at : views)
        for (Index b = 0; b < 4; ++b)
            for (Index of_group = 0; of_group < 2; ++of_group)
                own.memory(at.layer, b).append(at.k.value(), at.v.value(), b / 2 * 2 + of_group, 0);
    CHECK(shared.of_groups().size(0) == 10);
    CHECK(read_window(model, second, shared, {.top_k = 3}).storage() == read_window(model, second, own, {.top_k = 3}).storage());
    CHECK(shared.of_groups().size(1) == 22);
    shared.of_groups().clear(1);
    const SharedMemorySource<double> source(shared, 3);
    CHECK(source.key_count(2, 1) == 22);
    CHECK(source.key_count(2, 2) == 0);
}

TEST_CASE("a group of one is a memory of its own, and a capacity is the group's") {
    const Transformer<double> model = small_model();
    SharedMemoryState<double> alone(model.config(), 2, 1), together(model.config(), 2, 2, 7);
    MemoryState<double> own(model.config(), 2);
    for (const std::uint64_t seed : {4u, 5u, 6u}) {
        const Tokens window = random_tokens(2, 3, 11, seed);
        CHECK(read_window(model, window, alone).storage() == read_window(model, window, own).storage());
        read_window(model, window, together);
    }
    CHECK(together.of_groups().size(0) == 7);
    CHECK(SharedMemorySource<double>(together, 4).key_count(2, 1) == 7);
}

TEST_CASE("batches that do not divide into groups, or do not fit, are refused") {
    const Transformer<double> model = small_model();
    CHECK_THROWS_WITH_AS(SharedMemoryState<double>(model.config(), 4, 3),
                         "SharedMemoryState: 4 batch entries, of which 3 share a memory: expected a divisor", ConfigError);
    CHECK_THROWS_AS(SharedMemoryState<double>(model.config(), 4, 0), ConfigError);
    SharedMemoryState<double> shared(model.config(), 4, 2);
    CHECK_THROWS_WITH_AS(read_window(model, random_tokens(2, 3, 11, 7), shared),
                         "window_with_memory: 2 batch entries, the shared memories are of 4", ShapeError);
}

TEST_CASE("a window that finds no room is remembered by none of its documents") {
    const Transformer<double> model = small_model();
    SharedMemoryState<double> shared(model.config(), 4, 2);
    const Tokens window = random_tokens(4, 5, 11, 8);
    read_window(model, window, shared);
    Tape tape(Tape::inference);
    std::vector<LayerView<double>> views;
    model.forward(tape, window, ObservedSource<double>(NoSource<double>(), views));
    const auto unchanged = [&] {
        for (Index group = 0; group < 2; ++group)
            for (const Index layer : {0, 2}) CHECK(shared.of_groups().memory(layer, group).size() == 10);
    };
    CHECK(for_every_failing_allocation([&] { shared.append(views, 0); }, unchanged) >= 2);
    CHECK(shared.of_groups().size(1) == 20);
}
