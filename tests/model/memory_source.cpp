#include "fot/model/memory_source.hpp"

#include <doctest/doctest.h>

#include "fot/model/transformer.hpp"
#include "support/allocations.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

Transformer<double> model_of(const TransformerConfig& config) {
    Random random(1);
    return Transformer<double>(config, random);
}

const NoSource<double> none;
const Tokens first = random_tokens(2, 5, 11, 2), second = random_tokens(2, 4, 11, 3);

Tensor<double, 3> read(const Transformer<double>& model, const Tokens& tokens, const Source<double>& source) {
    Tape tape(Tape::inference);
    return model.forward(tape, tokens, source).value();
}

}  // namespace

TEST_CASE("a source only looks at the memories") {
    const Transformer<double> model = model_of(small_model_config({0, 2}));
    MemoryState<double> state(model.config(), 2);
    const MemorySource<double> source(state);
    CHECK(source.key_count(2, 1) == 0);
    CHECK(read(model, first, source).storage() == read(model, first, NoSource<double>()).storage());
    CHECK(source.key_count(2, 1) == 0);
    std::vector<LayerView<double>> views;
    read(model, first, ObservedSource<double>(source, views));
    state.append(views, 6);
    for (const Index layer : {0, 2})
        for (const Index entry : {0, 1}) {
            CHECK(source.key_count(layer, entry) == 5);
            CHECK(state.memory(layer, entry).document(4) == 6);
        }
    CHECK(largest_difference(read(model, second, source), read(model, second, NoSource<double>())) > 1e-3);
    CHECK(source.key_count(0, 0) == 5);
}

TEST_CASE("what is remembered is what the layer gives to others") {
    const Transformer<double> model = model_of(small_model_config({1}));
    MemoryState<double> by_reading(model.config(), 2), by_hand(model.config(), 2);
    std::vector<LayerView<double>> views;
    read(model, first, ObservedSource<double>(none, views));
    by_reading.append(views, 0);
    Tape tape(Tape::inference);
    const KeysAndValues<double> given = model.keys_and_values(tape, first)[1];
    LayerView<double> view;
    view.layer = 1;
    view.k = given.k;
    view.v = given.v;
    by_hand.append({view}, 0);
    CHECK(by_hand.size(1) == 5);
    CHECK(read(model, second, MemorySource<double>(by_hand)).storage() ==
          read(model, second, MemorySource<double>(by_reading)).storage());
}

TEST_CASE("a window of which a part cannot be remembered is not remembered at all") {
    const Transformer<double> model = model_of(small_model_config({0, 2}));
    MemoryState<double> state(model.config(), 2);
    std::vector<LayerView<double>> views;
    read(model, first, ObservedSource<double>(none, views));
    const auto unchanged = [&] {
        for (const Index layer : {0, 2})
            for (const Index entry : {0, 1}) REQUIRE(state.memory(layer, entry).size() == 0);
        state.clear();
    };
    CHECK(testing::for_every_failing_allocation([&] { state.append(views, 0); }, unchanged) >= 4 * 3);
    state.clear();
    views[1].v = Variable<double, 4>(views[1].v.value());
    views[1].v.value()(1, 2, 0, 3) = std::numeric_limits<double>::infinity();
    CHECK_THROWS_WITH_AS(state.append(views, 0),
                         "MemoryState::append: values of shape (2, 5, 2, 4): number 59 is inf, expected finite numbers",
                         NumericError);
    unchanged();
    views[1].v = Variable<double, 4>(zeros<double, 4>({2, 5, 2, 3}));
    CHECK_THROWS_WITH_AS(state.append(views, 0), "MemoryState::append: values has shape (2, 5, 2, 3), expected (2, 5, 2, 4)",
                         ShapeError);
    unchanged();
}

TEST_CASE("a top_k that says nothing is refused while the memory is empty, too, and nothing is remembered") {
    const Transformer<double> model = model_of(small_model_config({1}));
    MemoryState<double> state(model.config(), 2);
    CHECK_THROWS_WITH_AS(read(model, first, MemorySource<double>(state, -1)), "memory_attention: top_k -1, expected 0 or more",
                         ConfigError);
    Tape training;
    CHECK_THROWS_WITH_AS(model.forward(training, first, MemorySource<double>(state, 0)),
                         "memory_attention: top_k 0 in training, expected 1 or more", ConfigError);
    CHECK(state.size() == 0);
}

TEST_CASE("a source of more or fewer batch entries than the window has is refused, and nothing is remembered") {
    const Transformer<double> model = model_of(small_model_config({1}));
    MemoryState<double> one(model.config(), 1), three(model.config(), 3);
    for (MemoryState<double>* state : {&one, &three}) {
        CHECK_THROWS_AS(read(model, first, MemorySource<double>(*state)), ShapeError);
        for (Index entry = 0; entry < state->entries(); ++entry) CHECK(state->size(entry) == 0);
    }
}

TEST_CASE("a state says by whose name it does not fit: batch entries, memory layers, heads, widths") {
    const TransformerConfig config = small_model_config({1});
    const MemoryState<double> state(config, 2);
    CHECK_NOTHROW(state.require_fits("reader", config, 2));
    CHECK_THROWS_WITH_AS(state.require_fits("reader", config, 3), "reader: 3 batch entries, the memory state has 2", ShapeError);
    const auto refused = [&](auto&& change) {
        TransformerConfig other = config;
        change(other);
        CHECK_THROWS_WITH_AS(state.require_fits("reader", other, 2),
                             "reader: the memory state is of a model with other memory layers, or other heads in them", ShapeError);
    };
    refused([](auto& c) { c.layers = 4; });
    refused([](auto& c) { c.memory_layers = {2}; });
    refused([](auto& c) { c.memory_layers = {1, 2}; });
    refused([](auto& c) { c.memory_layers = {}; });
    refused([](auto& c) { c.memory_heads = 4; });
    refused([](auto& c) { c.key_heads = 1; });
    refused([](auto& c) { c.width = 16; });
    TransformerConfig same = config;
    same.memory_layers = {-2};  // the same layer, counted from the last
    same.heads = 4;             // of other layers
    CHECK_NOTHROW(state.require_fits("reader", same, 2));
}
