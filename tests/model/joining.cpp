#include "fot/model/joining.hpp"

#include <doctest/doctest.h>

#include "fot/measure/memory_curve.hpp"
#include "fot/measure/memory_inspection.hpp"
#include "fot/model/generation.hpp"
#include "fot/train/checkpoint.hpp"
#include "fot/train/muon.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// A gate that each query computes from the layer's input: sigmoid(W h).
struct QueryGate : Joining<double> {
    Variable<double, 2> map;  // (H,E)
    explicit QueryGate(std::uint64_t seed) {
        Random random(seed);
        map = Variable<double, 2>(normal_tensor<double, 2>({2, 8}, 1, random), true);
    }
    Variable<double, 3> logits(Tape& tape, const LayerView<double>& at, const Attention<double>&,
                               const Attention<double>&) const override {
        return linear(tape, at.h, map);
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<double>>& list) override {
        list.push_back(parameter(prefix + "query_gate", Role::gate, map));
    }
};

/// A model with such a gate in its memory layer.
Transformer<double> query_gated(std::uint64_t seed = 2, Index layers = 3) {
    TransformerConfig config = small_model_config({1});
    config.layers = layers;
    Random random(1);
    Transformer<double> model(config, random);
    model.layer(1).joining = std::make_unique<QueryGate>(seed);
    return model;
}

const Tensor<double, 2>& map_of(const Transformer<double>& model) {
    return std::as_const(dynamic_cast<const QueryGate&>(*model.layer(1).joining).map).value();
}

const CrossbatchInput input{random_tokens(2, 2, 11, 3), random_tokens(2, 3, 11, 4), previous_contexts(2, 1, 1)};

/// Attention of random queries to two sets of keys.
struct TwoAttentions {
    Variable<double, 4> q, k, v, further_k, further_v;
    ContextTable table{2, {{0, 1}, {}, {1}}, {1, 0, 1}};  // batch entry 1 sees no further key

    TwoAttentions() {
        Random random(5);
        for (Variable<double, 4>* each : {&q, &k, &v}) *each = normal_variable<4>({3, 4, 2, 4}, random);
        for (Variable<double, 4>* each : {&further_k, &further_v}) *each = normal_variable<4>({2, 3, 2, 4}, random);
    }
    Attention<double> local(Tape& tape) const { return causal_attention(tape, q, k, v); }
    Attention<double> further(Tape& tape) const { return context_attention(tape, q, further_k, further_v, table); }
};

}  // namespace

TEST_CASE("one softmax is softmax over both sets of keys, and its gate is the share of the further ones in it") {
    const TwoAttentions of;
    const OneSoftmax<double> one;
    Tape tape(Tape::inference);
    const Attention<double> local = of.local(tape), further = of.further(tape);
    const Tensor<double, 4> joined = one.join(tape, {.q = of.q}, local, further).value();
    CHECK(joined.storage() ==
          crossbatch_attention(tape, of.q, of.k, of.v, of.further_k, of.further_v, of.table).o.value().storage());
    CHECK(largest_difference(joined, gate(tape, further, local.o, one.logits(tape, {.q = of.q}, local, further)).value()) < 1e-13);
    CHECK(largest_difference(joined, local.o.value()) > 1e-3);
    CHECK(std::equal(row(joined, 1), row(joined, 2), row(local.o.value(), 1)));
}

TEST_CASE("a gate per head divides the attention as its bias says, whatever the scores are") {
    const TwoAttentions of;
    HeadGate<double> joining(2);
    Tape tape(Tape::inference);
    const Attention<double> local = of.local(tape), further = of.further(tape);
    CHECK(joining.bias.value().storage() == zeros<double, 1>({2}).storage());
    joining.bias.value()(1) = std::log(3.0);
    const Tensor<double, 4> joined = joining.join(tape, {.q = of.q}, local, further).value();
    for (Index b = 0; b < 3; ++b)
        for (Index t = 0; t < 4; ++t)
            for (Index h = 0; h < 2; ++h) {
                const double g = b == 1 ? 0 : h == 0 ? 0.5 : 0.75;
                for (Index d = 0; d < 4; ++d)
                    CHECK(
                        joined(b, t, h, d) ==
                        doctest::Approx(g * further.o.value()(b, t, h, d) + (1 - g) * local.o.value()(b, t, h, d)).epsilon(1e-12));
            }
}

TEST_CASE("a joining's own parameter is listed with its layer and has the gradient of finite differences in crossbatch") {
    Transformer<double> model = query_gated(2, 2);
    std::vector<std::string> names;
    for (const auto& each : model.parameters()) names.push_back(each.name);
    CHECK(std::count(names.begin(), names.end(), "layers.1.query_gate") == 1);
    CHECK(std::count(names.begin(), names.end(), "layers.1.gate_bias") == 0);
    CHECK(std::count(names.begin(), names.end(), "layers.0.query_gate") == 0);
    parameter_gradient_error(model.parameters(), [&](Tape& on) { return weighted_logits(on, model.crossbatch(on, input)); });
}

TEST_CASE("a joining's own parameter is trained by Muon, and kept by saved weights") {
    const TemporaryFolder folder;
    Transformer<double> model = query_gated(), other = query_gated(7);
    const Tensor<double, 2> before = map_of(model);
    CHECK(largest_difference(before, map_of(other)) > 0.1);
    Muon<double> optimizer(model.parameters());
    for (int step = 0; step < 2; ++step) {
        zero_gradients(model.parameters());
        Tape tape;
        tape.backward(weighted_logits(tape, model.crossbatch(tape, input)));
        optimizer.step(1);
    }
    CHECK(largest_difference(map_of(model), before) > 1e-4);
    save_weights(folder / "model.safetensors", model.parameters());
    load_weights(folder / "model.safetensors", other.parameters());
    CHECK(map_of(other) == map_of(model));
    Tape tape(Tape::inference);
    CHECK(other.crossbatch(tape, input).value() == model.crossbatch(tape, input).value());
    Random random(1);
    Transformer<double> without(small_model_config({1}), random);
    CHECK_THROWS_WITH_AS(load_weights(folder / "model.safetensors", without.parameters()),
                         doctest::Contains("'layers.1.query_gate' is unknown here"), FileError);
}

TEST_CASE("with a joining of one's own, crossbatch and a memory agree, and documents and generated text are read as windows are") {
    const Transformer<double> model = query_gated();
    const Tokens text = random_tokens(1, 15, 11, 6);
    const auto window = [&](Index i) { return slice<1>(text, 5 * i, 5); };
    MemoryState<double> state(model.config(), 1), again(model.config(), 1);
    read_window(model, window(0), state, {.top_k = 0});
    read_window(model, window(1), state, {.top_k = 0});
    const Tensor<double, 3> last = read_window(model, window(2), state, {.top_k = 0});
    Tape tape(Tape::inference);
    CHECK(largest_difference(
              last, model.crossbatch(tape, {concatenate<0>(window(1), window(0)), window(2), previous_contexts(1, 2, 0)}).value()) <
          1e-12);
    CHECK(slice<1>(read_document(model, text, 5, again, {.top_k = 0}), 10, 5) == last);

    MemoryState<double> written(model.config(), 1);
    Random random(7);
    const std::vector<std::int32_t> prompt(text.data(), text.data() + 14);
    const std::vector<std::int32_t> next = generate(model, prompt, 1, 5, written, {.temperature = 0}, random, {.top_k = 0});
    const double* scores = row(last, 0, 3);
    CHECK(next[0] == std::max_element(scores, scores + 11) - scores);
}

TEST_CASE("an inspected window shows the gate of a joining of one's own, query by query") {
    const Transformer<double> model = query_gated();
    const Tokens window = random_tokens(1, 4, 11, 9);
    MemoryState<double> state(model.config(), 1);
    read_window(model, random_tokens(1, 6, 11, 8), state);
    Tape tape(Tape::inference);
    std::vector<LayerView<double>> views;
    const NoSource<double> none;
    model.forward(tape, window, ObservedSource<double>(none, views));
    const Tensor<double, 3> logits = linear(tape, views[0].h, Variable<double, 2>(map_of(model))).value();
    const auto inspected = inspect_window(model, 1, window, state);
    for (Index t = 0; t < 4; ++t)
        for (Index h = 0; h < 2; ++h)
            CHECK(element(element(inspected, t), h).memory_mass ==
                  doctest::Approx(1 / (1 + std::exp(-logits(0, t, h)))).epsilon(1e-12));
}
