#include "fot/model/memory_layer.hpp"

#include <doctest/doctest.h>

#include "fot/model/inference.hpp"
#include "fot/reference/attention.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

Transformer<double> model_of(const TransformerConfig& config) {
    Random random(1);
    return Transformer<double>(config, random);
}

/// A window's inputs to a layer, and an inference tape.
struct Pass {
    Tape tape{Tape::inference};
    Variable<double, 3> x;

    Pass() {
        Random random(2);
        x = Variable<double, 3>(normal_tensor<double, 3>({2, 5, 8}, 1, random));
    }
};

/// Three windows of two documents, the oldest first.
const std::vector<Tokens> windows{random_tokens(2, 5, 11, 3), random_tokens(2, 5, 11, 4), random_tokens(2, 4, 11, 5)};

/// Logits of the last window with all windows before it as contexts, those just before first in the table.
CrossbatchInput crossbatch_of(Index from = 0) {
    Tokens previous = windows[1];
    if (from == 0) previous = concatenate<0>(windows[1], windows[0]);
    return {previous, windows[2], previous_contexts(2, from == 0 ? 2 : 1, 0)};
}

/// Logits of the last window, read after those before it.
Tensor<double, 3> read_last(const Transformer<double>& model, MemoryState<double>& state, Index top_k, Index from = 0) {
    for (Index i = from; i < 2; ++i) read_window(model, element(windows, i), state, {.top_k = top_k});
    return read_window(model, windows[2], state, {.top_k = top_k});
}

/// Keys of batch entry 1 in a memory, (tokens,G,D).
Tensor<double, 3> remembered_keys(MemoryState<double>& state, Index layer, Index first, Index count) {
    const KeyValueMemory<double>& memory = state.memory(layer, 1);
    Tensor<double, 3> keys = empty<double, 3>({count, memory.heads(), memory.width()});
    for (Index g = 0; g < memory.heads(); ++g)
        memory.for_each_block(g, first, first + count, [&](const auto& block, const auto&, Index entry) {
            for (Index i = 0; i < block.rows; ++i) std::copy_n(block.row(i), memory.width(), row(keys, entry - first + i, g));
        });
    return keys;
}

/// Keys of batch entry 1 as crossbatch computes them of a window, (tokens,G,D).
Tensor<double, 3> computed_keys(const Transformer<double>& model, Index layer, const Tokens& window) {
    Tape tape(Tape::inference);
    const Tensor<double, 4> keys = element(model.keys_and_values(tape, window), layer).k.value();
    return reshaped<3>(slice<0>(keys, 1, 1), {extent(keys, 1), extent(keys, 2), extent(keys, 3)});
}

}  // namespace

TEST_CASE("without a source a layer is one of a standard transformer: the equation in the paper's loops") {
    for (const bool memory : {false, true})
        for (const bool grouped : {false, true}) {
            TransformerConfig config = small_model_config({1});
            config.key_heads = grouped ? 1 : 0;
            const Transformer<double> model = model_of(config);
            const TransformerLayer<double>& layer = model.layer(memory ? 1 : 0);
            Pass pass;
            Tape& tape = pass.tape;
            const Variable<double, 3> h = rms_norm(tape, pass.x, layer.attention_norm, config.norm_epsilon);
            const auto positioned = [&](const Variable<double, 4>& x) {  // none in a memory layer
                return memory ? x : rotate(tape, x, consecutive(0, 5), RotaryTable<double>(config.rotary_base, 4));
            };
            const auto& temperature = dynamic_cast<const UnitScoring<double>&>(*layer.scoring).log_inverse_temperature;
            const Variable<double, 4> q = positioned(normalize_heads(tape, project_heads(tape, h, layer.q, 2), temperature,
                                                                     config.norm_epsilon)),
                                      k = positioned(normalize_heads(tape, project_heads(tape, h, layer.k, grouped ? 1 : 2),
                                                                     config.norm_epsilon)),
                                      v = project_heads(tape, h, layer.v, grouped ? 1 : 2);
            const Variable<double, 4> heads(reference::causal_attention(q.value(), k.value(), v.value()).o);
            const Variable<double, 3> attended = add(tape, pass.x, merge_heads(tape, heads, layer.o));
            const Variable<double, 3> expected =
                add(tape, attended,
                    feed_forward(tape, rms_norm(tape, attended, layer.feed_forward_norm, config.norm_epsilon), layer.up, layer.down,
                                 config.activation, layer.gate_map));
            CHECK(largest_difference(layer.forward(tape, pass.x, NoSource<double>()).value(), expected.value()) < 1e-12);
        }
}

TEST_CASE("what a layer gives to others is what its view shows, not rotated, and does not depend on a source") {
    TransformerConfig config = small_model_config({1});
    config.memory_positions = true;
    const Transformer<double> model = model_of(config);
    const TransformerLayer<double>& layer = model.layer(1);
    Pass pass;
    const NoSource<double> none;
    const LayerView<double> at = layer.view(pass.tape, pass.x, none);
    const KeysAndValues<double> given = layer.keys_and_values(pass.tape, pass.x);
    CHECK(given.k.value().storage() == at.k.value().storage());
    CHECK(given.v.value().storage() == at.v.value().storage());
    CHECK(at.layer == 1);
    CHECK(at.x.value().storage() == pass.x.value().storage());
    CHECK(at.local_k.value().storage() == layer.rotated(pass.tape, at.k, {0, 1, 2, 3, 4}).value().storage());
    CHECK(largest_difference(at.local_k.value(), at.k.value()) > 0.1);
    CHECK(std::equal(row(at.k.value(), 0, 0), row(at.k.value(), 0, 1), row(at.local_k.value(), 0, 0)));  // position 0

    const Transformer<double> without = model_of(small_model_config({1}));  // the same weights, no positions in the layer
    const LayerView<double> unrotated = without.layer(1).view(pass.tape, pass.x, none);
    CHECK(unrotated.local_k.value().storage() == at.k.value().storage());
    CHECK(at.q.value().storage() == layer.rotated(pass.tape, unrotated.q, {0, 1, 2, 3, 4}).value().storage());
}

TEST_CASE("wanted positions ask alone: their queries, with the keys of the whole window") {
    TransformerConfig config = small_model_config({1});
    config.memory_positions = true;
    const Transformer<double> model = model_of(config);
    Pass pass;
    const NoSource<double> none;
    const std::vector<Index> wanted{4, 1};
    const LayerView<double> all = model.layer(1).view(pass.tape, pass.x, none),
                            some = model.layer(1).view(pass.tape, pass.x, none, wanted);
    CHECK(largest_difference(some.q.value(), take_positions(all.q.value(), wanted)) < 1e-13);  // BLAS: last bits by number of rows
    CHECK(some.h.value().storage() == take_positions(all.h.value(), wanted).storage());
    CHECK(some.k.value().storage() == all.k.value().storage());
    CHECK(some.local_k.value().storage() == all.local_k.value().storage());
    CHECK(some.v.value().storage() == all.v.value().storage());
    CHECK(largest_difference(model.layer(1).forward(pass.tape, pass.x, none, wanted).value(),
                             take_positions(model.layer(1).forward(pass.tape, pass.x, none).value(), wanted)) < 1e-13);
    CHECK_THROWS_AS(model.layer(1).forward(pass.tape, pass.x, none, {5}), ConfigError);
    CHECK_THROWS_AS(model.layer(1).forward(pass.tape, pass.x, none, {-1}), ConfigError);
}

TEST_CASE("with one memory layer, three windows are one text to crossbatch and to a memory") {
    for (const Integration integration : {Integration::merged, Integration::gated})
        for (const bool positions : {false, true})
            for (const Index memory_layer : {0, 1, 2})
                for (const Index top_k : {0, 10, 1000}) {
                    CAPTURE(memory_layer);
                    CAPTURE(top_k);
                    TransformerConfig config = small_model_config({memory_layer});
                    config.integration = integration;
                    config.memory_positions = positions;
                    const Transformer<double> model = model_of(config);
                    MemoryState<double> state(config, 2);
                    const Tensor<double, 3> read = read_last(model, state, top_k);
                    Tape tape(Tape::inference);
                    CHECK(largest_difference(read, model.crossbatch(tape, crossbatch_of()).value()) < 1e-12);
                    CHECK(largest_difference(read, model.local(tape, windows[2]).value()) > 1e-3);
                    CHECK(largest_difference(read, model.crossbatch(tape, crossbatch_of(1)).value()) > 1e-3);
                }
}

TEST_CASE("with two memory layers an earlier window has seen its memory in inference alone: keys of the upper one differ") {
    const TransformerConfig config = small_model_config({0, 2});
    const Transformer<double> model = model_of(config);
    MemoryState<double> state(config, 2);
    const Tensor<double, 3> read = read_last(model, state, 0);
    // The lower memory layer gives the same keys in both.
    CHECK(largest_difference(remembered_keys(state, 0, 0, 5), computed_keys(model, 0, windows[0])) < 1e-12);
    CHECK(largest_difference(remembered_keys(state, 0, 5, 5), computed_keys(model, 0, windows[1])) < 1e-12);
    // So does the upper one for the first window, which had no memory; not for the second.
    CHECK(largest_difference(remembered_keys(state, 2, 0, 5), computed_keys(model, 2, windows[0])) < 1e-12);
    CHECK(largest_difference(remembered_keys(state, 2, 5, 5), computed_keys(model, 2, windows[1])) > 1e-3);
    Tape tape(Tape::inference);
    CHECK(largest_difference(read, model.crossbatch(tape, crossbatch_of()).value()) > 1e-6);
}

TEST_CASE("with two memory layers and one earlier window, crossbatch and a memory agree") {
    for (const Integration integration : {Integration::merged, Integration::gated}) {
        TransformerConfig config = small_model_config({0, 2});
        config.integration = integration;
        const Transformer<double> model = model_of(config);
        MemoryState<double> state(config, 2);
        Tape tape(Tape::inference);
        CHECK(largest_difference(read_last(model, state, 0, 1), model.crossbatch(tape, crossbatch_of(1)).value()) < 1e-12);
    }
}

TEST_CASE("previous contexts pass the lower memory layer locally: what one gives does not depend on the others") {
    const Transformer<double> model = model_of(small_model_config({0, 2}));
    Tokens both = concatenate<0>(windows[0], windows[1]);
    Tape tape(Tape::inference);
    const auto before = model.keys_and_values(tape, both);
    CHECK_FALSE(static_cast<bool>(before[1].k));  // no memory layer
    for (Index t = 0; t < 5; ++t) both(0, t) = (both(0, t) + 1) % 11;
    const auto after = model.keys_and_values(tape, both);
    for (const std::size_t layer : {std::size_t{0}, std::size_t{2}}) {
        CHECK(slice<0>(before[layer].k.value(), 1, 3).storage() == slice<0>(after[layer].k.value(), 1, 3).storage());
        CHECK(largest_difference(before[layer].v.value(), after[layer].v.value()) > 1e-3);
    }
}

TEST_CASE("the gradient of crossbatch with two memory layers and two previous windows is that of finite differences") {
    TransformerConfig config = small_model_config({0, 1});
    config.layers = 2;
    Transformer<double> model = model_of(config);
    const CrossbatchInput input{random_tokens(4, 2, 11, 6), random_tokens(2, 3, 11, 7), previous_contexts(2, 2, 2)};
    parameter_gradient_error(model.parameters(), [&](Tape& on) { return weighted_logits(on, model.crossbatch(on, input)); });
}
