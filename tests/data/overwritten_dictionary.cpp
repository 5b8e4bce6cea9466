/// Keys that are defined several times: where, with which values, and the law of a memory without positions.
#include "fot/data/overwritten_dictionary.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "fot/model/memory_source.hpp"
#include "fot/model/transformer.hpp"

using namespace fot;

namespace {

/// 21 symbols spell keys and values of two; 3 records of 6 tokens in a window.
const DictionaryTask small_task{24, 2, 2, 20};

/// The symbols that a model answers to questions, with what it computes of these windows in its memory, in this order.
std::vector<Index> answers(const Transformer<float>& model, const Tokens& windows, const std::vector<Index>& order,
                           const std::vector<NumberedRecord>& asked) {
    Tape tape(Tape::inference);
    const Index layer = model.config().last_memory_layer();
    const KeysAndValues<float> seen = element(model.keys_and_values(tape, windows), layer);
    MemoryState<float> state(model.config(), 1);
    for (const Index window : order) state.memory(layer, 0).append(seen.k.value(), seen.v.value(), window, 0);
    const DictionaryBatch<float> batch = dictionary_questions<float>(small_task, asked);
    const Tensor<float, 3> logits =
        model.forward(tape, batch.current, MemorySource<float>(state, 8), answer_positions(small_task)).value();
    std::vector<Index> symbols;
    for (Index i = 0; i < length_of(asked); ++i) {
        const float* of_first = row(logits, Index(0), i * small_task.value_length);
        symbols.push_back(std::max_element(of_first, of_first + small_task.symbols) - of_first);
    }
    return symbols;
}

}  // namespace

TEST_CASE("every asked key is defined once in each stretch, with values of different first symbols, and nowhere else") {
    const EvaluationDictionary dictionary(small_task, 3);
    Random random(1);
    const OverwrittenDictionary overwritten = overwritten_dictionary(dictionary, 20 * 20, 5, 4, random);
    REQUIRE(overwritten.definitions.size() == 60);
    REQUIRE(overwritten.asked.size() == 5);
    std::map<Index, std::vector<Index>> places;
    for (Index i = 0; i < 60; ++i) places[element(overwritten.definitions, i).key].push_back(i);
    for (const std::vector<NumberedRecord>& of_key : overwritten.asked) {
        REQUIRE(of_key.size() == 4);
        const std::vector<Index>& at = places.at(of_key[0].key);
        REQUIRE(at.size() == 4);
        std::set<Index> first_symbols;
        for (Index time = 0; time < 4; ++time) {
            CHECK(element(at, time) / 15 == time);
            CHECK(element(of_key, time).key == of_key[0].key);
            CHECK(element(overwritten.definitions, element(at, time)).value == element(of_key, time).value);
            first_symbols.insert(element(of_key, time).value / 21);
        }
        CHECK(first_symbols.size() == 4);
    }
    Index others = 0;
    for (const auto& [key, at] : places) others += at.size() == 1 ? 1 : 0;
    CHECK(others == 60 - 5 * 4);
}

TEST_CASE("a memory without positions gives the last of m values in at most 1/m of the orders, whatever the model") {
    const EvaluationDictionary dictionary(small_task, 3);
    Index defined = 0;
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
        Random random(seed);
        const Transformer<float> model(
            {.vocabulary = 24, .width = 16, .layers = 2, .memory_layers = {1}, .heads = 2, .memory_heads = 2, .feed_forward = 16},
            random);
        const OverwrittenDictionary overwritten = overwritten_dictionary(dictionary, 3 * 20, 3, 3, random);  // a window each time
        const Tokens windows = definition_windows(small_task, overwritten.definitions);
        const std::vector<NumberedRecord> asked{overwritten.asked[0][0], overwritten.asked[1][0], overwritten.asked[2][0]};
        std::vector<Index> order{0, 1, 2};
        const std::vector<Index> first_answers = answers(model, windows, order, asked);
        std::vector<Index> last_given(3);
        do {
            CHECK(answers(model, windows, order, asked) == first_answers);
            for (Index i = 0; i < 3; ++i)
                if (element(first_answers, i) == element(element(overwritten.asked, i), order[2]).value / 21)
                    ++element(last_given, i);
        } while (std::next_permutation(order.begin(), order.end()));
        for (Index i = 0; i < 3; ++i) {
            const auto& of_key = element(overwritten.asked, i);
            const bool any =
                std::ranges::any_of(of_key, [&](const auto& each) { return each.value / 21 == element(first_answers, i); });
            CHECK(element(last_given, i) == (any ? 2 : 0));  // of six orders
            defined += any ? 1 : 0;
        }
    }
    CHECK(defined > 0);  // of nine
}

TEST_CASE("keys that cannot be overwritten so often are refused with the numbers") {
    const EvaluationDictionary dictionary(small_task, 3);
    Random random(1);
    CHECK_THROWS_WITH_AS(
        overwritten_dictionary(dictionary, 60, 4, 3, random),
        "overwritten_dictionary: 4 keys, each defined 3 times, in 3 windows of 3 records of 21 symbols: expected a "
        "window for each time, as many records, and no more times than symbols",
        ConfigError);
    CHECK_THROWS_AS(overwritten_dictionary(dictionary, 60, 1, 4, random), ConfigError);
    CHECK_THROWS_AS(overwritten_dictionary(dictionary, 60, 1, 0, random), ConfigError);
    CHECK_THROWS_AS(overwritten_dictionary(dictionary, 60, 0, 1, random), ConfigError);
    CHECK_THROWS_AS(overwritten_dictionary(dictionary, 22 * 20, 1, 22, random), ConfigError);
    CHECK_THROWS_AS(overwritten_dictionary(dictionary, 50, 1, 1, random), ConfigError);
    CHECK_THROWS_WITH_AS(overwritten_dictionary(EvaluationDictionary(small_task, 3, true), 60, 1, 1, random),
                         doctest::Contains("the dictionary draws its keys independently"), ConfigError);
}
