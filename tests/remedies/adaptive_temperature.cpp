#include "fot/remedies/adaptive_temperature.hpp"

#include <doctest/doctest.h>

#include <functional>

#include "fot/model/contexts_source.hpp"
#include "fot/remedies/learned_sink.hpp"
#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// The heads' outputs (B,T,H,D) by the definition: entropy from the probabilities of all keys, then softmax of larger scores. Of
/// the further keys the `top_k` best count.
Tensor<double, 4> by_definition(const LayerView<double>& at, const KeysAndValues<double>& contexts, const ContextTable& table,
                                Index top_k) {
    const Tensor<double, 4>&q = at.q.value(), &local_k = at.local_k.value(), &local_v = at.v.value();
    Tensor<double, 4> o = zeros_like(q);
    const Index width = extent(q, 3), group = extent(q, 2) / extent(local_k, 2);
    detail::for_each_query(o, [&](Index b, Index t, Index h) {
        std::vector<std::pair<double, const double*>> keys;  // scores, and the values
        const auto add = [&](const Tensor<double, 4>& k, const Tensor<double, 4>& v, Index i, Index s) {
            keys.emplace_back(inner_product(row(q, b, t, h), row(k, i, s, h / group), width), row(v, i, s, h / group));
        };
        for (const Index c : element(table.contexts, b))
            for (Index s = 0; s < extent(contexts.k.value(), 1); ++s) add(contexts.k.value(), contexts.v.value(), c, s);
        std::ranges::sort(keys, std::greater<>());
        keys.resize(std::min(keys.size(), static_cast<std::size_t>(top_k)));
        for (Index s = 0; s <= t; ++s) add(local_k, local_v, b, s);
        const auto probabilities = [&](double factor) {
            std::vector<double> p;
            double total = 0;
            for (const auto& [score, value] : keys) total += p.emplace_back(std::exp(factor * score));
            for (double& each : p) each /= total;
            return p;
        };
        double entropy = 0;
        for (const double p : probabilities(1)) entropy -= p * std::log(p);
        const std::vector<double> p = probabilities(adaptive_factor(entropy));
        for (std::size_t j = 0; j < p.size(); ++j)
            for (Index d = 0; d < width; ++d) o(b, t, h, d) += p[j] * keys[j].second[d];
    });
    return o;
}

/// Attention that was found elsewhere.
class ConstantSource : public Source<double> {
   public:
    Attention<double> attend(Tape&, const LayerView<double>& at) const override {
        const auto [entries, length, heads, width] = shape_of(at.q.value());
        return as_constant(AttentionResult<double>{zeros_like(at.q.value()), zeros<double, 3>({entries, heads, length})});
    }
    Index key_count(Index, Index) const override { return 1; }
};

template <class Inner, class... Given>
AdaptiveTemperature<double> adaptive(const Transformer<double>& model, Given&&... given) {
    return {std::make_unique<Inner>(std::forward<Given>(given)...), *model.layer(1).joining};
}

}  // namespace

TEST_CASE("attention that is sharper than .85 nats, or flatter than 5.94, is left as it is; between them scores grow") {
    for (const double entropy : {0.0, 0.5, 0.84, 5.95, 13.0}) CHECK(adaptive_factor(entropy) == 1);
    for (const double entropy : {0.86, 5.93}) CHECK(adaptive_factor(entropy) > 1);
    CHECK(adaptive_factor(1) == doctest::Approx(1.27));
    CHECK(adaptive_factor(2) == doctest::Approx(2.099));
    CHECK(adaptive_factor(4.41) == doctest::Approx(2.4214).epsilon(1e-4));
}

TEST_CASE("contexts and a memory are read with one temperature for local and further keys, that of the query's entropy") {
    const Transformer<double> model = remedied_model([](auto&) {});
    const Tokens first = random_tokens(2, 5, 11, 6), second = random_tokens(2, 5, 11, 7), current = random_tokens(2, 4, 11, 8);
    MemoryState<double> state(model.config(), 2);
    for (const Tokens& each : {first, second}) read_window(model, each, state);
    state.clear(1);  // batch entry 1 sees no further key
    Tape tape(Tape::inference);
    const ContextTable table{4, {previous_contexts(2, 2, 0).contexts[0], {}}, {2, 0}};
    const std::vector<KeysAndValues<double>> seen = model.keys_and_values(tape, concatenate<0>(second, first));
    const auto contexts = adaptive<Contexts<double>>(model, seen, table);
    const auto memory = adaptive<MemorySource<double>>(model, state, 10);  // the ten entries that there are

    const Variable<double, 3> x = model.layers(tape, model.embed(tape, current), 0, 1, NoSource<double>());
    const LayerView<double> at = model.layer(1).view(tape, x, contexts);
    const Tensor<double, 4> expected = by_definition(at, seen[1], table, 10);
    CHECK(largest_difference(contexts.attend(tape, at).o.value(), expected) < 1e-12);
    CHECK(largest_difference(memory.attend(tape, at).o.value(), expected) < 1e-12);
    CHECK(largest_difference(adaptive<MemorySource<double>>(model, state, 3).attend(tape, at).o.value(),
                             by_definition(at, seen[1], table, 3)) < 1e-12);
    const Attention<double> local = causal_attention(tape, at.q, at.local_k, at.v);
    CHECK(model.layer(1).joining->join(tape, at, local, contexts.attend(tape, at)).value() == contexts.attend(tape, at).o.value());

    const Tensor<double, 3> read = model.forward(tape, current, memory).value();
    CHECK(largest_difference(read, model.forward(tape, current, contexts).value()) < 1e-12);
    CHECK(largest_difference(read, model.forward(tape, current, MemorySource<double>(state, 10)).value()) > 1e-4);
    CHECK(largest_difference(model.forward(tape, current, memory, {3, 1}).value(), take_positions(read, {3, 1})) <
          1e-13);  // BLAS: last bits by number of rows
    CHECK(memory.key_count(1, 0) == 10);
    const auto nothing = adaptive<NoSource<double>>(model);
    CHECK(largest_difference(slice<0>(read, 1, 1), slice<0>(model.forward(tape, current, nothing).value(), 1, 1)) < 1e-12);
    CHECK(model.forward(tape, random_tokens(1, 1, 11, 9), nothing).value() ==
          model.local(tape, random_tokens(1, 1, 11, 9)).value());  // one key: the entropy is 0
}

TEST_CASE("training, no source, another joining, and a source without gradients are refused") {
    const Transformer<double> model = remedied_model([](auto&) {});
    CHECK_THROWS_AS(AdaptiveTemperature<double>(nullptr, *model.layer(1).joining), ConfigError);
    CHECK_THROWS_AS(AdaptiveTemperature<double>(std::make_unique<NoSource<double>>(), HeadGate<double>(2)), ConfigError);
    CHECK_THROWS_AS(AdaptiveTemperature<double>(std::make_unique<NoSource<double>>(), LearnedSink<double>(2)), ConfigError);
    const auto nothing = adaptive<NoSource<double>>(model);
    Tape training, tape(Tape::inference);
    CHECK_THROWS_AS(model.forward(training, random_tokens(1, 3, 11, 1), nothing), ConfigError);
    MemoryState<double> state(model.config(), 1);
    read_window(model, random_tokens(1, 3, 11, 1), state);
    CHECK_THROWS_AS(model.forward(tape, random_tokens(1, 3, 11, 1), adaptive<MemorySource<double>>(model, state, 0)), ConfigError);
    CHECK_THROWS_WITH_AS(model.forward(tape, random_tokens(1, 3, 11, 1), adaptive<ConstantSource>(model)),
                         "AdaptiveTemperature: the source passes no gradient to the queries, which the entropy needs", ConfigError);
}
