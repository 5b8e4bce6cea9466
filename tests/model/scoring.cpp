#include "fot/model/scoring.hpp"

#include <doctest/doctest.h>

#include "fot/model/inference.hpp"
#include "fot/train/muon.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// What a scoring was told, call by call.
using Told = std::vector<KeysSeen>;

/// Scores that grow with the number of keys: the queries of unit scoring times 1 + slope_h log n.
struct GrowingScoring : UnitScoring<double> {
    Variable<double, 1> slope;
    Told* told;

    GrowingScoring(Index heads, Told* list) : UnitScoring(heads, 2, 1e-3), slope(full<double, 1>({heads}, 0.7), true), told(list) {}

    Variable<double, 4> queries(Tape& tape, const Variable<double, 4>& projected, const KeysSeen& seen) const override {
        if (told) told->push_back(seen);
        const Variable<double, 4> q = UnitScoring::queries(tape, projected, seen);
        const auto [entries, length, heads, width] = shape_of(q.value());
        const auto for_each = [=, entries = entries, length = length, heads = heads, width = width](auto&& f) {
            for (Index b = 0; b < entries; ++b)
                for (Index t = 0; t < length; ++t)
                    for (Index h = 0; h < heads; ++h)
                        for (Index d = 0; d < width; ++d) f(b, t, h, d, std::log(static_cast<double>(seen.of(b, t))));
        };
        Tensor<double, 4> grown = empty_like(q.value());
        for_each([&](Index b, Index t, Index h, Index d, double log_n) {
            grown(b, t, h, d) = (1 + slope.value()(h) * log_n) * q.value()(b, t, h, d);
        });
        return tape.record(
            std::move(grown),
            [=, slope = slope](const Tensor<double, 4>& d_grown) {
                for_each([&](Index b, Index t, Index h, Index d, double log_n) {
                    q.gradient()(b, t, h, d) += (1 + slope.value()(h) * log_n) * d_grown(b, t, h, d);
                    slope.gradient()(h) += log_n * q.value()(b, t, h, d) * d_grown(b, t, h, d);
                });
            },
            q, slope);
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<double>>& list) override {
        UnitScoring::add_parameters(prefix, list);
        list.push_back(parameter(prefix + "slope", Role::temperature, slope));
    }
};

/// A model whose memory layers score so; what each is told goes to `told`.
Transformer<double> growing_model(std::vector<Index> memory_layers, Told* told = nullptr, Index layers = 3) {
    TransformerConfig config = small_model_config(std::move(memory_layers));
    config.layers = layers;
    Random random(1);
    Transformer<double> model(config, random);
    for (const Index layer : model.config().memory_layers) model.layer(layer).scoring = std::make_unique<GrowingScoring>(2, told);
    return model;
}

/// Keys that a query of batch entry b sees at a position of its window, as the last call was told.
Index last_told(const Told& told, Index b, Index query) { return told.back().of(b, query); }

}  // namespace

TEST_CASE("unit scores are a cosine over the temperature of the head, scaled ones an inner product over the root of the width") {
    Random random(2);
    const Variable<double, 4> q(normal_tensor<double, 4>({1, 2, 2, 4}, 3, random)),
        k(normal_tensor<double, 4>({1, 2, 2, 4}, 3, random));
    const auto product = [](const Variable<double, 4>& a, const Variable<double, 4>& b) {  // of query 1 and key 0 of head 1
        double sum = 0;
        for (Index d = 0; d < 4; ++d) sum += a.value()(0, 1, 1, d) * b.value()(0, 0, 1, d);
        return sum;
    };
    const auto length = [](const Variable<double, 4>& a, Index t) {
        double squares = 0;
        for (Index d = 0; d < 4; ++d) squares += a.value()(0, t, 1, d) * a.value()(0, t, 1, d);
        return std::sqrt(squares);
    };
    const KeysSeen seen{{0}, {0, 1}};
    Tape tape(Tape::inference);
    UnitScoring<double> unit(2, 5, 1e-12);
    unit.log_inverse_temperature.value()(1) = std::log(7.0);
    CHECK(product(unit.queries(tape, q, seen), unit.keys(tape, k)) ==
          doctest::Approx(7 * product(q, k) / (length(q, 1) * length(k, 0))).epsilon(1e-9));
    const ScaledScoring<double> scaled;
    CHECK(product(scaled.queries(tape, q, seen), scaled.keys(tape, k)) == doctest::Approx(product(q, k) / 2).epsilon(1e-14));
}

TEST_CASE("a scoring is told how many keys a query sees: without a source, those up to its own position") {
    Told told;
    const Transformer<double> model = growing_model({1}, &told);
    Tape tape(Tape::inference);
    model.local(tape, random_tokens(2, 4, 11, 3));
    REQUIRE(told.size() == 1);
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 4; ++t) CHECK(last_told(told, b, t) == t + 1);
}

TEST_CASE("a scoring is told how many keys a query sees in crossbatch: contexts times their length, and the local ones") {
    Told told;
    const Transformer<double> model = growing_model({0, 2}, &told);
    const Tokens current = random_tokens(3, 4, 11, 4), previous = random_tokens(5, 6, 11, 5);
    const ContextTable table{5, {{0, 3, 4}, {}, {1}}, {1, 0, 1}};
    const Index contexts[] = {3, 0, 1};
    Tape tape(Tape::inference);
    model.crossbatch(tape, {previous, current, table});
    REQUIRE(told.size() == 3);  // layer 0 in the pass over the previous contexts, then both in the pass over the current ones
    for (Index b = 0; b < 5; ++b)
        for (Index t = 0; t < 6; ++t) CHECK(told[0].of(b, t) == t + 1);
    for (const std::size_t call : {std::size_t{1}, std::size_t{2}})
        for (Index b = 0; b < 3; ++b)
            for (Index t = 0; t < 4; ++t) CHECK(told[call].of(b, t) == contexts[b] * 6 + t + 1);

    model.crossbatch(tape, {previous, current, table, {3, 1}});  // at wanted positions of the last layer
    CHECK(last_told(told, 0, 0) == 3 * 6 + 3 + 1);
    CHECK(last_told(told, 0, 1) == 3 * 6 + 1 + 1);
    CHECK(last_told(told, 1, 1) == 1 + 1);

    const ContextTable packed{3, {{}, {0}, {1, 0}}, {0, 1, 1}};
    model.forward(tape, current, PackedContexts<double>(packed, 4));
    for (Index b = 0; b < 3; ++b)
        for (Index t = 0; t < 4; ++t) CHECK(last_told(told, b, t) == b * 4 + t + 1);
}

TEST_CASE("a scoring is told how many keys a query sees in reading: the memory's size, and the local ones") {
    Told told;
    const Transformer<double> model = growing_model({1}, &told);
    MemoryState<double> state(model.config(), 2), limited(model.config(), 2, Storage::full, 4);
    for (MemoryState<double>* each : {&state, &limited}) {
        read_window(model, random_tokens(2, 3, 11, 6), *each);
        CHECK(last_told(told, 1, 2) == 3);
        each->clear(1);
        read_window(model, random_tokens(2, 4, 11, 7), *each);
        CHECK(last_told(told, 0, 0) == 3 + 1);
        CHECK(last_told(told, 1, 0) == 1);
        read_window(model, random_tokens(2, 2, 11, 8), *each, {.top_k = 1});  // what is there counts, not what is retrieved
        const Index size = each == &limited ? 4 : 7;
        CHECK(last_told(told, 0, 1) == size + 2);
        CHECK(last_told(told, 1, 1) == 4 + 2);
    }
}

TEST_CASE("with scores that depend on the number of keys, crossbatch and a memory agree") {
    const Transformer<double> model = growing_model({1});
    const Tokens first = random_tokens(2, 5, 11, 9), second = random_tokens(2, 5, 11, 10), current = random_tokens(2, 4, 11, 11);
    MemoryState<double> state(model.config(), 2);
    read_window(model, first, state, {.top_k = 0});
    read_window(model, second, state, {.top_k = 0});
    Tape tape(Tape::inference);
    CHECK(largest_difference(read_window(model, current, state, {.top_k = 0}),
                             model.crossbatch(tape, {concatenate<0>(second, first), current, previous_contexts(2, 2, 0)}).value()) <
          1e-12);
}

TEST_CASE("a scoring's own parameter is listed with its layer, has the gradient of finite differences, and is trained") {
    Transformer<double> model = growing_model({1}, nullptr, 2);
    const CrossbatchInput input{random_tokens(2, 2, 11, 12), random_tokens(2, 3, 11, 13), previous_contexts(2, 1, 1)};
    const auto loss = [&](Tape& on) { return weighted_logits(on, model.crossbatch(on, input)); };
    std::vector<std::string> names;
    for (const auto& each : model.parameters()) names.push_back(each.name);
    CHECK(std::count(names.begin(), names.end(), "layers.1.slope") == 1);
    CHECK(std::count(names.begin(), names.end(), "layers.1.log_inverse_temperature") == 1);
    CHECK(std::count(names.begin(), names.end(), "layers.0.slope") == 0);
    parameter_gradient_error(model.parameters(), loss);

    const Variable<double, 1>& slope = dynamic_cast<GrowingScoring&>(*model.layer(1).scoring).slope;
    const Tensor<double, 1> before = slope.value();
    Muon<double> optimizer(model.parameters());
    zero_gradients(model.parameters());
    Tape tape;
    tape.backward(loss(tape));
    optimizer.step(1);
    CHECK(largest_difference(slope.value(), before) > 1e-6);
}

TEST_CASE("an inverse temperature that is 0 or infinite in the type of the model is refused") {
    for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e300, 1e-50})
        CHECK_THROWS_AS(UnitScoring<float>(2, bad, 1e-6), ConfigError);
    CHECK_NOTHROW(UnitScoring<double>(2, 1e300, 1e-6));
}
