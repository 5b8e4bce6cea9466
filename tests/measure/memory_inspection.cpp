#include "fot/measure/memory_inspection.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"

using namespace fot;

namespace {

Transformer<double> small_model(Integration integration = Integration::merged, Index key_heads = 0) {
    Random random(1);
    return Transformer<double>({.vocabulary = 11,
                                .width = 8,
                                .layers = 3,
                                .memory_layers = {1},
                                .heads = 2,
                                .memory_heads = 2,
                                .key_heads = key_heads,
                                .feed_forward = 12,
                                .integration = integration},
                               random);
}

Tokens tokens_of(std::uint64_t seed, Index count) {
    Random random(seed);
    Tokens tokens = empty<std::int32_t, 2>({1, count});
    for (auto& token : tokens.storage()) token = static_cast<std::int32_t>(random.below(11));
    return tokens;
}

}  // namespace

TEST_CASE("an inspected window finds what a search with its queries finds, and the memory stays as it was") {
    for (const Index key_heads : {0, 1}) {
        Transformer<double> model = small_model(Integration::merged, key_heads);
        MemoryState<double> state(model.config(), 1);
        read_window(model, tokens_of(2, 9), state, {.document = 4});
        read_window(model, tokens_of(3, 7), state, {.document = 5});
        const Tokens window = tokens_of(4, 5);
        const auto inspected = inspect_window(model, 1, window, state, 3);
        CHECK(state.size() == 16);
        REQUIRE(inspected.size() == 5);

        Tape tape(Tape::inference);
        const NoSource<double> none;
        const LayerView<double> view =
            model.layer(1).view(tape, model.layer(0).forward(tape, model.embed(tape, window), none), none);
        const Variable<double, 4> q = view.q, k = view.k;
        const auto found = state.memory(1, 0).search(reshaped<3>(q.value(), {5, 2, 4}), 16);
        for (Index t = 0; t < 5; ++t)
            for (Index head = 0; head < 2; ++head) {
                const InspectedQuery& query = inspected[static_cast<std::size_t>(t)][static_cast<std::size_t>(head)];
                REQUIRE(query.found.size() == 3);
                // Shares of the memory among the three best and the local keys up to t.
                double memory = 0, local = 0, sum = 0;
                for (Index j = 0; j < 3; ++j) memory += std::exp(found.scores(t, head, j));
                for (Index s = 0; s <= t; ++s) {
                    double score = 0;
                    const Index g = key_heads == 1 ? 0 : head;
                    for (Index d = 0; d < 4; ++d) score += q.value()(0, t, head, d) * k.value()(0, s, g, d);
                    local += std::exp(score);
                }
                CHECK(query.memory_mass == doctest::Approx(memory / (memory + local)).epsilon(1e-10));
                for (std::size_t j = 0; j < 3; ++j) {
                    const InspectedEntry& entry = query.found[j];
                    CHECK(entry.entry == found.indices(t, head, static_cast<Index>(j)));
                    CHECK(entry.document == (entry.entry < 9 ? 4 : 5));
                    CHECK(entry.tokens_ago == 16 - entry.entry + t);
                    sum += entry.knn_score;
                }
                CHECK(sum == doctest::Approx(1));
                // Sixteen entries are fewer than the neighbours of a key: the Focus score is the share among all of them.
                double all = 0;
                for (Index j = 0; j < 16; ++j) all += std::exp(found.scores(t, head, j));
                CHECK(query.focus_score == doctest::Approx(std::exp(found.scores(t, head, 0)) / all).epsilon(1e-10));
            }
    }
}

TEST_CASE("a gated layer weighs the memory by its gate") {
    Transformer<double> model = small_model(Integration::gated);
    for (double& bias : dynamic_cast<HeadGate<double>&>(*model.layer(1).joining).bias.value().storage()) bias = 0.7;
    MemoryState<double> state(model.config(), 1);
    read_window(model, tokens_of(2, 9), state);
    for (const auto& heads : inspect_window(model, 1, tokens_of(3, 4), state))
        for (const InspectedQuery& query : heads) CHECK(query.memory_mass == doctest::Approx(1 / (1 + std::exp(-0.7))));
}

TEST_CASE("with nothing remembered nothing is found") {
    Transformer<double> model = small_model();
    MemoryState<double> state(model.config(), 1);
    for (const auto& heads : inspect_window(model, 1, tokens_of(3, 4), state))
        for (const InspectedQuery& query : heads) {
            CHECK(query.found.empty());
            CHECK(query.memory_mass == 0);
        }
}

TEST_CASE("a layer without memory, and a top_k of zero, are refused") {
    Transformer<double> model = small_model();
    MemoryState<double> state(model.config(), 1);
    CHECK_THROWS_WITH_AS(inspect_window(model, 0, tokens_of(3, 4), state), "inspect_window: layer 0 of 3 is not a memory layer",
                         ConfigError);
    CHECK_THROWS_WITH_AS(inspect_window(model, 3, tokens_of(3, 4), state), "inspect_window: layer 3 of 3 is not a memory layer",
                         ConfigError);
    CHECK_THROWS_WITH_AS(inspect_window(model, 1, tokens_of(3, 4), state, 0), "inspect_window: top_k 0, expected 1 or more",
                         ConfigError);
    CHECK_THROWS_WITH_AS(inspect_window(model, 1, zeros<std::int32_t, 2>({2, 4}), state),
                         "inspect_window: 2 batch entries, expected 1", ShapeError);
}

TEST_CASE("entry by entry the shares, and the Focus score in a memory larger than its neighbourhood, above another memory layer") {
    Random random(1);
    const Transformer<double> model(
        {.vocabulary = 11, .width = 8, .layers = 3, .memory_layers = {0, 2}, .heads = 2, .memory_heads = 2, .feed_forward = 12},
        random);
    MemoryState<double> state(model.config(), 1);
    read_document(model, tokens_of(2, 140), 20, state);
    const Tokens window = tokens_of(4, 5);
    const auto inspected = inspect_window(model, 2, window, state, 3);
    Tape tape(Tape::inference);
    std::vector<LayerView<double>> views;
    const MemorySource<double> source(state, 3);
    model.forward(tape, window, ObservedSource<double>(source, views));
    const Tensor<double, 4> q = views[1].q.value();
    const FoundEntries<double> found = state.memory(2, 0).search(q, 0, 3);
    for (Index h = 0; h < 2; ++h) {
        Tensor<double, 2> keys = empty<double, 2>({140, 4});
        for (Index i = 0; i < 140; ++i) state.memory(2, 0).copy_key(i, h, row(keys, i));
        for (Index t = 0; t < 5; ++t) {
            const InspectedQuery& query = element(element(inspected, t), h);
            double sum = 0;
            for (Index j = 0; j < 3; ++j) sum += std::exp(found.scores(t, h, j));
            for (Index j = 0; j < 3; ++j) {
                CHECK(element(query.found, j).entry == found.indices(t, h, j));
                CHECK(element(query.found, j).knn_score == doctest::Approx(std::exp(found.scores(t, h, j)) / sum).epsilon(1e-10));
            }
            CHECK(query.focus_score ==
                  doctest::Approx(focus_score(std::span<const double>(row(q, Index(0), t, h), 4), keys, found.indices(t, h, 0)))
                      .epsilon(1e-10));
        }
    }
}
