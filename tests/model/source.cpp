#include "fot/model/source.hpp"

#include <doctest/doctest.h>

#include "fot/model/inference.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

Transformer<double> model_of(const TransformerConfig& config) {
    Random random(1);
    return Transformer<double>(config, random);
}

/// Keys and values given by hand, the same for every batch entry and memory layer.
struct HandKeys : Source<double> {
    Variable<double, 4> k, v;  // (1,S,H,D)
    HandKeys(Variable<double, 4> keys, Variable<double, 4> values) : k(std::move(keys)), v(std::move(values)) {}

    Attention<double> attend(Tape& tape, const LayerView<double>& at) const override {
        const Index entries = extent(at.q.value(), 0);
        return context_attention(tape, at.q, k, v,
                                 {1, std::vector<std::vector<Index>>(static_cast<std::size_t>(entries), {0}),
                                  std::vector<Index>(static_cast<std::size_t>(entries), 1)});
    }
    Index key_count(Index, Index) const override { return extent(k.value(), 1); }
};

/// A result given by hand, that is no attention to anything.
struct HandResult : Source<double> {
    double head, log_sum_exp;
    HandResult(double every_number, double log_sum) : head(every_number), log_sum_exp(log_sum) {}

    Attention<double> attend(Tape&, const LayerView<double>& at) const override {
        const auto [entries, length, heads, width] = shape_of(at.q.value());
        return {Variable<double, 4>(full<double, 4>({entries, length, heads, width}, head)),
                Variable<double, 3>(full<double, 3>({entries, heads, length}, log_sum_exp))};
    }
    Index key_count(Index, Index) const override { return 1; }
};

const Tokens tokens = random_tokens(2, 4, 11, 2), previous = random_tokens(1, 3, 11, 3);

}  // namespace

TEST_CASE("keys given by hand are read as those of a context are, and have gradients") {
    for (const Integration integration : {Integration::merged, Integration::gated}) {
        TransformerConfig config = small_model_config({1});
        config.integration = integration;
        const Transformer<double> model = model_of(config);
        Tape tape(Tape::inference);
        const KeysAndValues<double> given = model.keys_and_values(tape, previous)[1];
        Variable<double, 4> k(given.k.value(), true), v(given.v.value(), true);
        const HandKeys source(k, v);
        const ContextTable table{1, {{0}, {0}}, {1, 0}};
        CHECK(model.forward(tape, tokens, source).value().storage() ==
              model.crossbatch(tape, {previous, tokens, table}).value().storage());
        CHECK(gradient_error([&](Tape& on) { return model.forward(on, tokens, source); }, k, v) < 1e-6);
    }
}

TEST_CASE("what a source gives is joined by its log-sum-exp: all, half, or nothing of it") {
    const Transformer<double> model = model_of(small_model_config({1}));
    Tape tape(Tape::inference);
    Random random(4);
    const Variable<double, 3> x(normal_tensor<double, 3>({2, 4, 8}, 1, random));
    const TransformerLayer<double>& layer = model.layer(1);
    const LayerView<double> at = layer.view(tape, x, NoSource<double>());
    const Attention<double> local = causal_attention(tape, at.q, at.local_k, at.v);
    const auto with = [&](double log_sum_exp) { return layer.forward(tape, x, HandResult(0.5, log_sum_exp)).value(); };
    const auto finished = [&](double share) {
        Tensor<double, 4> heads = local.o.value();
        for (double& number : heads.storage()) number = share * 0.5 + (1 - share) * number;
        return layer.finish(tape, x, Variable<double, 4>(heads)).value();
    };
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK(with(-infinity).storage() == layer.forward(tape, x, NoSource<double>()).value().storage());
    CHECK(largest_difference(with(1000), finished(1)) < 1e-13);
    // The first query sees its own key alone: a source as heavy as that has half of the attention.
    const Tensor<double, 3> half = with(local.log_sum_exp.value()(1, 0, 0));
    Tensor<double, 4> heads = local.o.value();
    for (Index d = 0; d < 4; ++d) heads(1, 0, 0, d) = (0.5 + heads(1, 0, 0, d)) / 2;
    const double second_share = 1 / (1 + std::exp(local.log_sum_exp.value()(1, 1, 0) - local.log_sum_exp.value()(1, 0, 0)));
    for (Index d = 0; d < 4; ++d) heads(1, 0, 1, d) = second_share * 0.5 + (1 - second_share) * heads(1, 0, 1, d);
    const Tensor<double, 3> expected = layer.finish(tape, x, Variable<double, 4>(heads)).value();
    for (Index e = 0; e < 8; ++e) CHECK(half(1, 0, e) == doctest::Approx(expected(1, 0, e)).epsilon(1e-12));
}

TEST_CASE("memory layers ask the source, once each and in order; other layers do not") {
    for (const std::vector<Index>& memory_layers : {std::vector<Index>{0, 2}, {-1, 0}, {1}, {}}) {
        const TransformerConfig config = small_model_config(memory_layers);
        const Transformer<double> model = model_of(config);
        const HandResult source(1, 0);
        std::vector<LayerView<double>> views;
        Tape tape(Tape::inference);
        const ObservedSource<double> observed(source, views);
        const Tensor<double, 3> logits = model.forward(tape, tokens, observed).value();
        CHECK(logits.storage() == model.forward(tape, tokens, source).value().storage());
        std::vector<Index> asked, expected;
        for (const LayerView<double>& view : views) asked.push_back(view.layer);
        for (Index layer = 0; layer < 3; ++layer)
            if (config.is_memory_layer(layer)) expected.push_back(layer);
        CHECK(asked == expected);
        CHECK(observed.key_count(0, 1) == 1);
    }
}

TEST_CASE("no source has no keys and gives no attention") {
    const NoSource<double> none;
    Tape tape(Tape::inference);
    CHECK_FALSE(static_cast<bool>(none.attend(tape, {}).o));
    CHECK(none.key_count(3, 7) == 0);
}
