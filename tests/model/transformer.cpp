#include "fot/model/transformer.hpp"

#include <doctest/doctest.h>

#include <set>

#include "fot/loss/contrastive_loss.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using testing::parameter_gradient_error;
using testing::random_tokens;
using testing::weighted_logits;

namespace {

/// A model of a few hundred numbers, smooth everywhere.
TransformerConfig tiny() {
    TransformerConfig config;
    config.vocabulary = 7;
    config.width = 8;
    config.layers = 3;
    config.memory_layers = {1};
    config.heads = config.memory_heads = 2;
    config.feed_forward = 6;
    config.activation = Activation::swiglu;
    config.initial_inverse_temperature = 2;
    config.norm_epsilon = 1e-3;
    return config;
}

const Tokens no_tokens = empty<std::int32_t, 2>({0, 0});

template <class Real>
Transformer<Real> model_of(const TransformerConfig& config, std::uint64_t seed = 1) {
    Random random(seed);
    return Transformer<Real>(config, random);
}

/// Logits of the crossbatch pass, nothing recorded.
template <class Real>
Tensor<Real, 3> logits(const Transformer<Real>& model, const CrossbatchInput& input) {
    Tape tape(Tape::inference);
    return model.crossbatch(tape, input).value();
}

/// The gate of a layer of a gated model.
HeadGate<double>& gate_of(Transformer<double>& model, Index layer) {
    return dynamic_cast<HeadGate<double>&>(*model.layer(layer).joining);
}

/// The contexts of a crossbatch input as a source.
Contexts<double> contexts_of(Tape& tape, const Transformer<double>& model, const CrossbatchInput& input) {
    return {model.keys_and_values(tape, input.previous), input.table};
}

/// All gradients of the model for the loss sum of weight * logits.
template <class Real>
std::vector<Real> gradients(Transformer<Real>& model, const CrossbatchInput& input) {
    std::vector<Parameter<Real>> parameters = model.parameters();
    zero_gradients(parameters);
    Tape tape;
    const Variable<Real, 3> y = model.crossbatch(tape, input);
    Random random(5);
    testing::replay(tape, y, normal_tensor<Real, 3>(shape_of(y.value()), 1, random));
    std::vector<Real> all;
    for (const auto& p : parameters) all.insert(all.end(), p.gradient().begin(), p.gradient().end());
    return all;
}

}  // namespace

TEST_CASE("parameters have names of their own, the roles that optimisers expect, and the count of the formula") {
    TransformerConfig config = tiny();
    config.integration = Integration::gated;
    Transformer<float> model = model_of<float>(config);
    const std::vector<Parameter<float>> parameters = model.parameters();
    std::set<std::string> names;
    for (const auto& p : parameters) {
        CHECK(names.insert(p.name).second);
        Index count = 1;
        for (const Index size : p.shape) count *= size;
        CHECK(count == length_of(p.value()));
    }
    CHECK(parameters.front().name == "embedding");
    CHECK(parameters.front().role == Role::embedding);
    CHECK(parameters.back().name == "output");
    CHECK(parameters.back().role == Role::output);
    CHECK(names.count("layers.1.gate_bias") == 1);
    CHECK(names.count("layers.0.gate_bias") == 0);
    const Index layer = 2 * 8 + 4 * 8 * 8 + 3 * 8 * 6 + 2;
    CHECK(parameter_count(parameters) == 2 * 7 * 8 + 8 + 3 * layer + 2);
}

TEST_CASE("one seed gives one model; grouped keys make the maps of keys and values smaller") {
    Transformer<float> one = model_of<float>(tiny(), 3), same = model_of<float>(tiny(), 3), other = model_of<float>(tiny(), 4);
    const Tokens tokens = random_tokens(1, 4, 7, 1);
    Tape tape(Tape::inference);
    CHECK(one.local(tape, tokens).value().storage() == same.local(tape, tokens).value().storage());
    CHECK(one.local(tape, tokens).value().storage() != other.local(tape, tokens).value().storage());
    TransformerConfig grouped = tiny();
    grouped.key_heads = 1;
    CHECK(parameter_count(model_of<float>(grouped).parameters()) == parameter_count(one.parameters()) - 3 * 2 * 4 * 8);
    CHECK(one.config().width == 8);
}

TEST_CASE("crossbatch without contexts is the standard transformer, bitwise") {
    const Tokens current = random_tokens(3, 5, 7, 1), previous = random_tokens(3, 5, 7, 2);
    for (const Integration integration : {Integration::merged, Integration::gated}) {
        TransformerConfig config = tiny();
        config.integration = integration;
        Transformer<float> model = model_of<float>(config);
        Tape tape(Tape::inference);
        const Tensor<float, 3> local = model.local(tape, current).value();
        CHECK(logits(model, {no_tokens, current, no_contexts(3)}).storage() == local.storage());
        CHECK(logits(model, {previous, current, {3, {{}, {}, {}}, {0, 0, 0}}}).storage() == local.storage());
        // An entry without contexts among others that have some: local, gate or no gate.
        const Tensor<float, 3> some = logits(model, {previous, current, {3, {{0, 1}, {}, {2}}, {1, 0, 1}}});
        CHECK_FALSE(std::equal(row(some, 0), row(some, 1), row(local, 0)));
        CHECK(std::equal(row(some, 1), row(some, 2), row(local, 1)));
    }
}

TEST_CASE("a standard transformer does not look at previous contexts") {
    TransformerConfig config = tiny();
    config.memory_layers = {};
    Transformer<float> model = model_of<float>(config);
    const Tokens current = random_tokens(2, 5, 7, 1), previous = random_tokens(2, 5, 7, 2);
    Tape tape(Tape::inference);
    CHECK(logits(model, {previous, current, previous_contexts(2, 1, 1)}).storage() == model.local(tape, current).value().storage());
}

TEST_CASE("an entry depends on the previous contexts in its list and on no others") {
    Transformer<float> model = model_of<float>(tiny());
    const Tokens current = random_tokens(3, 5, 7, 1), previous = random_tokens(3, 4, 7, 2);
    Tokens edited = previous;
    edited(2, 1) = (edited(2, 1) + 1) % 7;
    const ContextTable table = previous_contexts(3, 1, 1);
    const Tensor<float, 3> before = logits(model, {previous, current, table}), after = logits(model, {edited, current, table});
    const auto same = [&](Index b) { return std::equal(row(before, b), row(before, b + 1), row(after, b)); };
    CHECK(same(0));
    CHECK_FALSE(same(1));
    CHECK_FALSE(same(2));
}

TEST_CASE("an edit to the future leaves the past bitwise equal, at every layer and with contexts") {
    Transformer<float> model = model_of<float>(tiny());
    const Tokens current = random_tokens(1, 80, 7, 1), previous = random_tokens(1, 80, 7, 2);
    Tokens edited = current;
    for (Index t = 70; t < 80; ++t) edited(0, t) = (edited(0, t) + 1) % 7;
    const ContextTable table = previous_contexts(1, 1, 0);
    const Tensor<float, 3> before = logits(model, {previous, current, table}), after = logits(model, {previous, edited, table});
    CHECK(std::equal(row(before, 0), row(before, 0, 70), row(after, 0)));
    CHECK_FALSE(std::equal(row(before, 0, 70), row(before, 1), row(after, 0, 70)));
}

TEST_CASE("a memory layer without positions sees an unordered context: its tokens may be shuffled if nothing lies below") {
    TransformerConfig config = tiny();
    config.memory_layers = {0};
    Transformer<double> model = model_of<double>(config);
    const Tokens current = random_tokens(1, 4, 7, 1), previous = random_tokens(1, 6, 7, 2);
    Tokens reversed = previous;
    for (Index t = 0; t < 6; ++t) reversed(0, t) = previous(0, 5 - t);
    const ContextTable table = previous_contexts(1, 1, 0);
    CHECK(testing::largest_difference(logits(model, {previous, current, table}), logits(model, {reversed, current, table})) <
          1e-13);
    config.memory_layers = {1};
    Transformer<double> ordered = model_of<double>(config);
    CHECK(testing::largest_difference(logits(ordered, {previous, current, table}), logits(ordered, {reversed, current, table})) >
          1e-6);
}

TEST_CASE("logits at some positions are those rows of all logits, with the memory layer last or below") {
    const Tokens current = random_tokens(2, 6, 7, 1), previous = random_tokens(2, 6, 7, 2);
    const ContextTable table = previous_contexts(2, 1, 1);
    const std::vector<Index> positions{1, 5, 2};
    for (const Integration integration : {Integration::merged, Integration::gated})
        for (const Index memory_layer : {1, 2})
            for (const bool memory_positions : {false, true}) {
                TransformerConfig config = tiny();
                config.integration = integration;
                config.memory_layers = {memory_layer};
                config.memory_positions = memory_positions;
                Transformer<double> model = model_of<double>(config);
                const Tensor<double, 3> all = logits(model, {previous, current, table});
                const Tensor<double, 3> some = logits(model, {previous, current, table, positions});
                CHECK(shape_of(some) == Shape<3>{2, 3, 7});
                CHECK(testing::largest_difference(some, take_positions(all, positions)) < 1e-13);
                CHECK(testing::largest_difference(logits(model, {no_tokens, current, no_contexts(2), positions}),
                                                  take_positions(logits(model, {no_tokens, current, no_contexts(2)}), positions)) <
                      1e-13);
            }
}

TEST_CASE("positions in the memory layer change the local context; rotated or not, both are built") {
    TransformerConfig config = tiny();
    Transformer<double> without = model_of<double>(config);
    config.memory_positions = true;
    Transformer<double> with = model_of<double>(config);  // the same weights
    const Tokens current = random_tokens(1, 4, 7, 1);
    Tape tape(Tape::inference);
    CHECK(testing::largest_difference(without.local(tape, current).value(), with.local(tape, current).value()) > 1e-6);
}

TEST_CASE("the gate decides between memory and local context") {
    TransformerConfig config = tiny();
    config.integration = Integration::gated;
    Transformer<double> model = model_of<double>(config);
    const Tokens current = random_tokens(2, 4, 7, 1), previous = random_tokens(2, 4, 7, 2), other = random_tokens(2, 4, 7, 3);
    const ContextTable table = previous_contexts(2, 1, 1);
    const auto set_bias = [&](double value) {
        for (double& number : gate_of(model, 1).bias.value().storage()) number = value;
    };
    CHECK(gate_of(model, 1).bias.value().storage()[0] == 0);  // half memory, half local at the start
    CHECK(testing::largest_difference(logits(model, {previous, current, table}), logits(model, {other, current, table})) > 1e-6);
    set_bias(-1e4);  // local only
    Tape tape(Tape::inference);
    CHECK(testing::largest_difference(logits(model, {previous, current, table}), model.local(tape, current).value()) < 1e-14);
    set_bias(1e4);  // memory only
    CHECK(testing::largest_difference(logits(model, {previous, current, table}), logits(model, {other, current, table})) > 1e-6);
}

TEST_CASE("an observed source tells what the memory layer asked, and changes nothing") {
    const Transformer<double> model = model_of<double>(tiny());
    const CrossbatchInput input{random_tokens(2, 3, 7, 2), random_tokens(2, 4, 7, 1), previous_contexts(2, 1, 1)};
    Tape tape(Tape::inference);
    std::vector<LayerView<double>> views;
    const Contexts<double> contexts = contexts_of(tape, model, input);
    const Tensor<double, 3> observed = model.forward(tape, input.current, ObservedSource<double>(contexts, views)).value();
    CHECK(observed.storage() == logits(model, input).storage());
    REQUIRE(views.size() == 1);
    const Tensor<double, 4>& context_k = contexts.of_layer(1).k.value();
    CHECK(views[0].layer == 1);
    CHECK(shape_of(views[0].q.value()) == Shape<4>{2, 4, 2, 4});
    CHECK(shape_of(views[0].k.value()) == Shape<4>{2, 4, 2, 4});
    CHECK(shape_of(context_k) == Shape<4>{2, 3, 2, 4});
    double q_square = 0, k_square = 0;
    for (Index d = 0; d < 4; ++d) {
        q_square += views[0].q.value()(1, 2, 1, d) * views[0].q.value()(1, 2, 1, d);
        k_square += context_k(1, 2, 1, d) * context_k(1, 2, 1, d);
    }
    CHECK(q_square == doctest::Approx(4).epsilon(0.05));  // 1 / temperature is 2
    CHECK(k_square == doctest::Approx(1).epsilon(0.05));
    // With a source that has nothing the memory layer still asks, and what it asks is the same.
    std::vector<LayerView<double>> local_views;
    const NoSource<double> none;
    model.forward(tape, input.current, ObservedSource<double>(none, local_views));
    REQUIRE(local_views.size() == 1);
    CHECK(local_views[0].q.value().storage() == views[0].q.value().storage());
    CHECK(local_views[0].k.value().storage() == views[0].k.value().storage());
}

TEST_CASE("the gradient of every parameter is that of finite differences: merged, gated, grouped, with two memory layers") {
    const Tokens current = random_tokens(2, 3, 7, 1), previous = random_tokens(2, 2, 7, 2);
    const ContextTable table = previous_contexts(2, 1, 1);
    TransformerConfig gated = tiny(), grouped = tiny(), two = tiny();
    gated.integration = Integration::gated;
    gated.layers = 2;
    grouped.key_heads = 1;
    grouped.layers = 2;
    grouped.memory_positions = true;
    two.memory_layers = {0, 2};
    for (const TransformerConfig& config : {gated, grouped, two}) {
        Transformer<double> model = model_of<double>(config);
        parameter_gradient_error(model.parameters(), [&](Tape& on) {
            return weighted_logits(on, model.crossbatch(on, {previous, current, table}));
        });
    }
    Transformer<double> model = model_of<double>(gated);  // and with entries that see no context
    const ContextTable packed = packed_contexts(2, 2, 1, false);
    parameter_gradient_error(model.parameters(), [&](Tape& on) {
        return weighted_logits(on, model.forward(on, current, PackedContexts<double>(packed, 3)));
    });
}

TEST_CASE("the gradient of packed crossbatch, with scores over the root of the width, is that of finite differences") {
    const Tokens current = random_tokens(4, 3, 7, 1);
    const ContextTable table = packed_contexts(4, 2, 2, true);
    TransformerConfig llama = tiny();
    llama.memory_layers = {0, 2};
    llama.memory_positions = true;
    llama.normalized_heads = false;
    Transformer<double> model = model_of<double>(llama);
    for (const auto& each : model.parameters()) CHECK(each.role != Role::temperature);
    parameter_gradient_error(model.parameters(), [&](Tape& on) {
        return weighted_logits(on, model.forward(on, current, PackedContexts<double>(table, 3)));
    });
}

TEST_CASE("packed contexts are the entries of the pass itself: below the first memory layer like previous ones of the same text") {
    const Tokens current = random_tokens(3, 4, 7, 2);
    const ContextTable table = packed_contexts(3, 2, 1, false);
    Transformer<double> model = model_of<double>(tiny());  // one memory layer: what its contexts are made of is local
    Tape tape(Tape::inference);
    const Tensor<double, 3> packed = model.forward(tape, current, PackedContexts<double>(table, 4)).value();
    const Tensor<double, 3> previous = logits(model, {current, current, table});
    for (Index i = 0; i < element_count(packed); ++i) CHECK(packed.data()[i] == doctest::Approx(previous.data()[i]).epsilon(1e-12));
}

TEST_CASE("the gradient at chosen positions and of the local model is that of finite differences") {
    TransformerConfig config = tiny();
    config.layers = 2;
    Transformer<double> model = model_of<double>(config);
    const Tokens current = random_tokens(2, 4, 7, 1), previous = random_tokens(2, 2, 7, 2);
    const ContextTable table = previous_contexts(2, 1, 1);
    parameter_gradient_error(model.parameters(), [&](Tape& on) {
        return weighted_logits(on, model.crossbatch(on, {previous, current, table, {3, 1}}));
    });
    parameter_gradient_error(model.parameters(), [&](Tape& on) { return weighted_logits(on, model.local(on, current)); });
}

TEST_CASE("a contrastive loss on the view of a memory layer has the gradient of finite differences") {
    TransformerConfig config = tiny();
    config.layers = 2;
    Transformer<double> model = model_of<double>(config);
    const Tokens current = random_tokens(2, 3, 7, 1), previous = random_tokens(2, 2, 7, 2);
    const ContextTable table = previous_contexts(2, 1, 1);
    parameter_gradient_error(model.parameters(), [&](Tape& on) {
        std::vector<LayerView<double>> views;
        const Contexts<double> contexts = contexts_of(on, model, {previous, current, table});
        model.forward(on, current, ObservedSource<double>(contexts, views));
        return contrastive_loss(on, views[0].q, contexts.of_layer(1).k, table);
    });
}

TEST_CASE("constant previous contexts: the same logits, but no gradient through them") {
    Transformer<double> model = model_of<double>(tiny());
    // Tokens 0 ... 2 in the current contexts, 3 ... 6 in the previous ones: embeddings tell which path a gradient took.
    Tokens current = random_tokens(2, 4, 7, 1), previous = random_tokens(2, 4, 7, 2);
    for (std::int32_t& token : current.storage()) token %= 3;
    for (std::int32_t& token : previous.storage()) token = 3 + token % 4;
    const ContextTable table = previous_contexts(2, 1, 1);
    CrossbatchInput input{previous, current, table};
    const Tensor<double, 3> differentiable_logits = logits(model, input);
    const std::vector<double> differentiable = gradients(model, input);
    input.differentiable_previous = false;
    CHECK(logits(model, input).storage() == differentiable_logits.storage());
    const std::vector<double> constant = gradients(model, input);
    const auto embedding_gradient = [](const std::vector<double>& all, Index token) {
        double sum = 0;
        for (Index e = 0; e < 8; ++e) sum += std::abs(all[static_cast<std::size_t>(token * 8 + e)]);
        return sum;
    };
    for (const std::int32_t token : previous.storage()) {
        CHECK(embedding_gradient(differentiable, token) > 0);
        CHECK(embedding_gradient(constant, token) == 0);
    }
    for (const std::int32_t token : current.storage()) CHECK(embedding_gradient(constant, token) > 0);
}

TEST_CASE("in inference nothing is recorded") {
    Transformer<float> model = model_of<float>(tiny());
    Tape tape(Tape::inference);
    model.crossbatch(tape, {random_tokens(2, 3, 7, 2), random_tokens(2, 3, 7, 1), previous_contexts(2, 1, 1)});
    CHECK(tape.size() == 0);
}

TEST_CASE("logits and gradients do not depend on the number of threads beyond rounding") {
    TransformerConfig config = tiny();
    config.activation = Activation::squared_relu;
    Transformer<double> model = model_of<double>(config);
    const Tokens current = random_tokens(4, 6, 7, 1), previous = random_tokens(4, 6, 7, 2);
    const ContextTable table = previous_contexts(4, 1, 3);
    const testing::WithThreads scope(1);
    const Tensor<double, 3> one = logits(model, {previous, current, table});
    const std::vector<double> d_one = gradients(model, {previous, current, table});
    set_threads(2);
    const Tensor<double, 3> two = logits(model, {previous, current, table});
    const std::vector<double> d_two = gradients(model, {previous, current, table});
    CHECK(testing::largest_difference(one, two) < 1e-13);
    for (std::size_t i = 0; i < d_one.size(); ++i) REQUIRE(d_one[i] == doctest::Approx(d_two[i]).epsilon(1e-10));
}

TEST_CASE("a context longer than the positions that are ready is read like a shorter one") {
    const Transformer<double> model = model_of<double>(tiny());
    const Tokens longer = random_tokens(1, 1030, 7, 1);
    Tokens shorter = empty<std::int32_t, 2>({1, 3});
    std::copy_n(longer.data(), 3, shorter.data());
    Tape tape(Tape::inference);
    const Tensor<double, 3> before = model.local(tape, shorter).value(), all = model.local(tape, longer).value();
    for (Index i = 0; i < 3 * 7; ++i) CHECK(before.data()[i] == doctest::Approx(all.data()[i]));
}

TEST_CASE("a model may be moved: the new one is the model, the old one has no layers, and says so") {
    Transformer<double> old = model_of<double>(tiny());
    const CrossbatchInput input{random_tokens(2, 3, 7, 2), random_tokens(2, 3, 7, 1), previous_contexts(2, 1, 1)};
    const Tensor<double, 3> before = logits(old, input);
    const Transformer<double> model = std::move(old);
    CHECK(logits(model, input).storage() == before.storage());
    const char* text = "Transformer: layer 0 of 0 (this model was moved from)";
    CHECK_THROWS_WITH_AS(old.layer(0), text, ShapeError);
    CHECK_THROWS_WITH_AS(std::as_const(old).layer(0), text, ShapeError);
    CHECK_THROWS_WITH_AS(old.parameters(), text, ShapeError);
    CHECK_THROWS_AS(logits(old, input), ConfigError);
    CHECK_THROWS_WITH_AS(model.layer(3), "Transformer: layer 3 of 3", ShapeError);
}

TEST_CASE("layers are run one range after the other as all at once") {
    const Transformer<double> model = model_of<double>(tiny());
    const Tokens current = random_tokens(2, 4, 7, 1);
    Tape tape(Tape::inference);
    const Contexts<double> source = contexts_of(tape, model, {random_tokens(2, 3, 7, 2), current, previous_contexts(2, 1, 1)});
    const Variable<double, 3> below = model.layers(tape, model.embed(tape, current), 0, 1, source);
    CHECK(model.head(tape, model.layers(tape, below, 1, 3, source, {2, 0})).value().storage() ==
          model.forward(tape, current, source, {2, 0}).value().storage());
    CHECK(model.head(tape, model.layers(tape, below, 1, 3, source)).value().storage() ==
          model.forward(tape, current, source).value().storage());
}

TEST_CASE("memory layers counted from the last are those counted from the first") {
    TransformerConfig config = tiny();
    const Transformer<double> one = model_of<double>(config);
    config.memory_layers = {-2};
    const Transformer<double> same = model_of<double>(config);
    const CrossbatchInput input{random_tokens(2, 3, 7, 2), random_tokens(2, 3, 7, 1), previous_contexts(2, 1, 1)};
    CHECK(logits(one, input).storage() == logits(same, input).storage());
    CHECK(same.config() == one.config());
}

TEST_CASE("inputs that do not fit are refused") {
    Transformer<float> model = model_of<float>(tiny());
    const Tokens current = random_tokens(2, 3, 7, 1), previous = random_tokens(2, 3, 7, 2);
    CHECK_THROWS_WITH_AS(logits(model, {previous, current, previous_contexts(2, 1, 1, 3)}),
                         "crossbatch: the table is made for 3 previous contexts, got 2", ConfigError);
    CHECK_THROWS_WITH_AS(logits(model, {previous, current, {2, {{0}}, {1}}}),
                         "context table: has 1 lists and 1 counts of positives, expected 2 of each, one per batch entry",
                         ConfigError);
    CHECK_THROWS_WITH_AS(logits(model, {previous, current, previous_contexts(2, 1, 1), {0, 3}}), doctest::Contains("position 3"),
                         ConfigError);
    Tape tape(Tape::inference);
    CHECK_THROWS_WITH_AS(model.forward(tape, current, PackedContexts<float>(packed_contexts(3, 1, 1, false), 3)),
                         "context table: has 3 lists and 3 counts of positives, expected 2 of each, one per batch entry",
                         ConfigError);
    Tokens outside = current;
    outside(1, 2) = 7;
    CHECK_THROWS_AS(logits(model, {previous, outside, previous_contexts(2, 1, 1)}), DataError);
    CHECK_THROWS_AS(logits(model, {outside, current, previous_contexts(2, 1, 1)}), DataError);
    TransformerConfig wrong = tiny();
    wrong.memory_layers = {3};
    CHECK_THROWS_WITH_AS(model_of<float>(wrong), "TransformerConfig: memory layer 3 of 3 layers", ConfigError);
}
