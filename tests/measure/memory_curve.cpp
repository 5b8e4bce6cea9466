#include "fot/measure/memory_curve.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/model/inference.hpp"
#include "support/difference.hpp"
#include "support/random_tokens.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using testing::random_documents;

namespace {

TransformerConfig small_config() {
    return {.vocabulary = 11,
            .width = 8,
            .layers = 3,
            .memory_layers = {1},  // one layer below, one above
            .heads = 2,
            .memory_heads = 2,
            .feed_forward = 12};
}

Tokens window_of(const TokenDocument& document, Index first, Index count) {
    Tokens tokens = empty<std::int32_t, 2>({1, count});
    std::copy_n(document.tokens.data() + first, count, tokens.data());
    return tokens;
}

/// The same by reading the whole stream once per condition with a memory of that capacity.
PerplexityMeter one_by_one(Transformer<double>& model, const std::vector<TokenDocument>& documents,
                           const std::vector<TokenDocument>& before, const MemoryCondition& condition, Index window, Index count) {
    MemoryState<double> state(model.config(), 1, Storage::full, std::max<Index>(condition.tokens, 1));
    PerplexityMeter meter;
    const auto read = [&](const TokenDocument& document, Index number) {
        if (condition.scope == MemoryScope::single_document) state.clear();
        const std::vector<Index> scored = scored_windows(document.length(), window, count);
        for (Index first = 0; first < document.length(); first += window) {
            const Index length = std::min(window, document.length() - first);
            if (condition.tokens == 0) state.clear();
            const Tensor<double, 3> logits =
                read_window(model, window_of(document, first, length), state, {.top_k = condition.top_k});
            if (number < 0 || !std::binary_search(scored.begin(), scored.end(), first / window)) continue;
            const Tensor<double, 2> nats = token_nats(logits, window_of(document, first + 1, length));
            meter.add(number, std::accumulate(nats.data(), nats.data() + nats.size(), 0.0), length);
        }
    };
    for (const TokenDocument& document : before) read(document, -1);
    for (std::size_t i = 0; i < documents.size(); ++i) read(documents[i], static_cast<Index>(i));
    return meter;
}

}  // namespace

TEST_CASE("one pass over the stream gives what a pass per memory size gives") {
    for (const Integration integration : {Integration::merged, Integration::gated})
        for (const Index key_heads : {0, 1}) {
            TransformerConfig config = small_config();
            config.integration = integration;
            config.key_heads = key_heads;
            Random random(1);
            Transformer<double> model(config, random);
            const auto documents = random_documents({23, 4, 95, 40}, 2), before = random_documents({30, 17}, 3);
            MemoryCurveOptions options{.conditions = {}, .window = 5, .scored_windows = 4};
            for (const MemoryScope scope : {MemoryScope::single_document, MemoryScope::multi_document})
                for (const Index tokens : {0, 3, 20, 60, 1000})
                    for (const Index top_k : {0, 2, 7}) options.conditions.push_back({scope, tokens, top_k});
            const auto curve = memory_curve(model, documents, before, options);
            CHECK(curve.size() == options.conditions.size());
            for (const MemoryCondition& condition : options.conditions) {
                CAPTURE(condition.tokens);
                CAPTURE(condition.top_k);
                const PerplexityMeter expected = one_by_one(model, documents, before, condition, 5, 4);
                const PerplexityMeter& got = curve.at(condition);
                REQUIRE(got.documents() == 3);  // the second one has no whole window
                REQUIRE(expected.documents() == 3);
                for (const auto& [document, loss] : expected.losses()) {
                    CHECK(got.losses().at(document).tokens == loss.tokens);
                    CHECK(got.losses().at(document).nats == doctest::Approx(loss.nats).epsilon(1e-10));
                }
            }
        }
}

TEST_CASE("scores that depend on the number of keys: one pass gives what a pass per memory size gives, and sizes matter") {
    struct GrowingScoring : UnitScoring<double> {  // the temperature falls with the number of keys
        using UnitScoring::UnitScoring;
        Variable<double, 4> queries(Tape& tape, const Variable<double, 4>& projected, const KeysSeen& seen) const override {
            Tensor<double, 4> q = UnitScoring::queries(tape, projected, seen).value();
            for (Index b = 0; b < extent(q, 0); ++b)
                for (Index t = 0; t < extent(q, 1); ++t)
                    for (Index i = 0; i < extent(q, 2) * extent(q, 3); ++i)
                        row(q, b, t)[i] *= std::log(1 + static_cast<double>(seen.of(b, t)));
            return Variable<double, 4>(std::move(q));
        }
    };
    Random random(20);
    Transformer<double> model(small_config(), random);
    model.layer(1).scoring = std::make_unique<GrowingScoring>(2, 4, 1e-6);
    const auto documents = random_documents({23, 95, 40}, 21), before = random_documents({30, 17}, 22);
    MemoryCurveOptions options{.conditions = {}, .window = 5, .scored_windows = 4};
    for (const MemoryScope scope : {MemoryScope::single_document, MemoryScope::multi_document})
        for (const Index tokens : {0, 3, 20, 1000})
            for (const Index top_k : {0, 2}) options.conditions.push_back({scope, tokens, top_k});
    const auto curve = memory_curve(model, documents, before, options);
    for (const MemoryCondition& condition : options.conditions) {
        CAPTURE(condition.tokens);
        CAPTURE(condition.top_k);
        const PerplexityMeter expected = one_by_one(model, documents, before, condition, 5, 4);
        for (const auto& [document, loss] : expected.losses())
            CHECK(curve.at(condition).losses().at(document).nats == doctest::Approx(loss.nats).epsilon(1e-10));
    }
}

TEST_CASE("what a nested memory gives for one size does not depend on the others, equal keys or not") {
    Random random(23);
    const Variable<double, 4> q(normal_tensor<double, 4>({3, 4, 2, 4}, 1, random));
    const auto of_first_entry = [&](Index entries) {  // all entries of a nested memory ask the same
        Tensor<double, 4> same = empty<double, 4>({entries, 4, 2, 4});
        for (Index b = 0; b < entries; ++b) std::copy_n(row(q.value(), 0), 32, row(same, b));
        return Variable<double, 4>(std::move(same));
    };
    for (const bool ties : {false, true}) {
        Tensor<double, 3> keys = normal_tensor<double, 3>({6, 2, 4}, 1, random);
        const Tensor<double, 3> values = normal_tensor<double, 3>({6, 2, 4}, 1, random);
        for (Index m = 1; ties && m < 6; ++m) std::copy_n(row(keys, 0), 8, row(keys, m));
        KeyValueMemory<double> memory(2, 4);
        memory.append(keys, values, 0);
        Tape tape(Tape::inference);
        const auto attention_of = [&](const std::vector<MemoryReading>& readings) {
            const Variable<double, 4> queries = of_first_entry(length_of(readings));
            return NestedMemory<double>(memory, readings).attend(tape, {.q = queries, .k = queries, .v = queries});
        };
        for (const Index top_k : {0, 1, 2, 4}) {
            CAPTURE(ties);
            CAPTURE(top_k);
            const Attention<double> all = attention_of({{1, top_k}, {2, top_k}, {3, top_k}, {6, top_k}});
            const Index sizes[] = {1, 2, 3, 6};
            for (Index i = 0; i < 4; ++i) {
                CAPTURE(sizes[i]);
                const Attention<double> alone = attention_of({{sizes[i], top_k}});
                CHECK(testing::largest_difference(slice<0>(all.o.value(), i, 1), alone.o.value()) < 1e-13);
                CHECK(testing::largest_difference(slice<0>(all.log_sum_exp.value(), i, 1), alone.log_sum_exp.value()) < 1e-13);
                // As a memory of that size gives it.
                KeyValueMemory<double> limited(2, 4, Storage::full, sizes[i]);
                limited.append(keys, values, 0);
                const Attention<double> expected = memory_attention(tape, of_first_entry(1), {&limited}, top_k);
                CHECK(testing::largest_difference(alone.o.value(), expected.o.value()) < 1e-13);
                CHECK(testing::largest_difference(alone.log_sum_exp.value(), expected.log_sum_exp.value()) < 1e-13);
            }
        }
    }
}

TEST_CASE("nothing is learned through a nested memory, and each entry has a reading") {
    Random random(24);
    KeyValueMemory<double> memory(2, 4);
    memory.append(normal_tensor<double, 3>({6, 2, 4}, 1, random), normal_tensor<double, 3>({6, 2, 4}, 1, random), 0);
    const Variable<double, 4> q(normal_tensor<double, 4>({3, 4, 2, 4}, 1, random));
    Tape training, tape(Tape::inference);
    const LayerView<double> at{.q = q, .k = q, .v = q};
    CHECK_THROWS_AS(NestedMemory<double>(memory, {{6, 2}, {5, 2}, {4, 2}}).attend(training, at), ConfigError);
    CHECK_THROWS_WITH_AS(NestedMemory<double>(memory, {{6, 2}, {5, 2}}).attend(tape, at),
                         "NestedMemory: 3 batch entries, expected 2, one for each reading", ShapeError);
}

TEST_CASE("a condition that is asked for twice is measured once") {
    Random random(18);
    Transformer<double> model(small_config(), random);
    const auto documents = random_documents({50, 30}, 19);
    const MemoryCondition none{.tokens = 0, .top_k = 4}, some{.tokens = 20, .top_k = 4};
    const auto once = memory_curve(model, documents, {}, {.conditions = {none, some}, .window = 5}),
               twice = memory_curve(model, documents, {}, {.conditions = {some, none, some}, .window = 5});
    CHECK(twice.size() == 2);
    for (const MemoryCondition& condition : {none, some}) {
        CHECK(twice.at(condition).nats() == once.at(condition).nats());
        CHECK(twice.at(condition).tokens() == once.at(condition).tokens());
    }
}

TEST_CASE("other documents matter to the multi-document memory alone") {
    Random random(4);
    Transformer<double> model(small_config(), random);
    const auto documents = random_documents({50}, 5);
    const MemoryCondition single{MemoryScope::single_document, 100, 4}, multi{MemoryScope::multi_document, 100, 4};
    const MemoryCurveOptions options{.conditions = {single, multi}, .window = 5};
    auto one = memory_curve(model, documents, random_documents({60}, 6), options),
         other = memory_curve(model, documents, random_documents({60}, 7), options);
    CHECK(one.at(single).nats() == other.at(single).nats());
    CHECK(one.at(multi).nats() != other.at(multi).nats());
}

TEST_CASE("the numbers do not depend on the number of threads") {
    Random random(8);
    TransformerConfig config = small_config();
    config.memory_heads = 1;
    Transformer<float> model(config, random);
    const auto documents = random_documents({300}, 9), before = random_documents({500}, 10);
    const MemoryCurveOptions options{.conditions = {{MemoryScope::multi_document, 400, 8}, {MemoryScope::multi_document, 400, 0}},
                                     .window = 40};
    const testing::WithThreads scope(1);
    const auto alone = memory_curve(model, documents, before, options);
    set_threads(2);
    const auto shared = memory_curve(model, documents, before, options);
    for (const MemoryCondition& condition : options.conditions) {
        CHECK(alone.at(condition).nats()[0] == doctest::Approx(shared.at(condition).nats()[0]).epsilon(1e-5));
    }
}

TEST_CASE("progress counts the tokens read") {
    Random random(11);
    Transformer<double> model(small_config(), random);
    std::vector<std::pair<Index, Index>> calls;
    memory_curve(model, random_documents({20, 10}, 12), random_documents({7}, 13),
                 {.conditions = {{MemoryScope::multi_document, 8, 2}}, .window = 5, .progress = [&](Index done, Index all) {
                      calls.emplace_back(done, all);
                  }});
    CHECK(calls == std::vector<std::pair<Index, Index>>{{7, 37}, {27, 37}, {37, 37}});
}

TEST_CASE("a memory curve names what is wrong") {
    Random random(14);
    TransformerConfig two = small_config();
    two.memory_layers = {1, 2};
    Transformer<double> model(small_config(), random), deeper(two, random);
    const auto documents = random_documents({20}, 15);
    const MemoryCurveOptions good{.conditions = {{MemoryScope::multi_document, 8, 2}}, .window = 5};
    CHECK_THROWS_WITH_AS(memory_curve(deeper, documents, {}, good), "memory_curve: the model has 2 memory layers, expected 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(memory_curve(model, documents, {}, {.conditions = {}, .window = 5}),
                         "memory_curve: 0 conditions, 8 windows of 5 tokens a document, expected 1 or more of each", ConfigError);
    CHECK_THROWS_WITH_AS(memory_curve(model, documents, {}, {.conditions = {{MemoryScope::multi_document, -1, 2}}, .window = 5}),
                         "memory_curve: a memory of -1 tokens with top_k 2, expected 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(memory_curve(model, random_documents({5, 2}, 16), {}, good),
                         "memory_curve: none of the 2 documents has a whole window of 5 tokens and one more, from token 0 on",
                         DataError);
    auto foreign = random_documents({20}, 17);
    foreign[0].tokens[3] = 11;
    CHECK_THROWS_AS(memory_curve(model, foreign, {}, good), DataError);
}

TEST_CASE("a weight that is NaN is an error of the curve") {
    Random random(31);
    Transformer<float> model(small_config(), random);
    model.parameters().back().value()[0] = std::numeric_limits<float>::quiet_NaN();
    const MemoryCurveOptions options{.conditions = {{MemoryScope::multi_document, 8, 2}}, .window = 8};
    CHECK_THROWS_AS(memory_curve(model, random_documents({40}, 32), {}, options), NumericError);
}
