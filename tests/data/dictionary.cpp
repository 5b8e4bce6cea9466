/// Dictionary lookup: the form of a document, who asks about whom, distinct keys.
#include "fot/data/dictionary.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "support/dictionary_records.hpp"

using namespace fot;
using testing::records_of;
using testing::Word;

TEST_CASE("the paper's task has 64 symbols, records of 10 tokens and 25 of them in 256") {
    const DictionaryTask task;
    CHECK(task.ordinary_symbols() == 61);
    CHECK(task.key_mark() == 61);
    CHECK(task.value_mark() == 62);
    CHECK(task.question_mark() == 63);
    CHECK(task.record_length() == 10);
    const std::pair<Index, Index> expected[] = {{20, 2}, {60, 6}, {130, 13}, {256, 25}};
    for (const auto& [half, records] : expected) CHECK(DictionaryTask{64, 4, 4, half}.records() == records);
    CHECK(word_count(61, 4) == 13845841);
}

TEST_CASE("answers are predicted from <v>, v1, v2 and v3 of each question") {
    CHECK(answer_positions(DictionaryTask{64, 4, 4, 20}) == std::vector<Index>{5, 6, 7, 8, 15, 16, 17, 18});
    CHECK(answer_positions(DictionaryTask{64, 1, 2, 6}) == std::vector<Index>{2, 3});
}

TEST_CASE("the questions of an entry are the definitions of the same entry in another order") {
    for (const Index half : {20, 60, 130, 256}) {
        const DictionaryTask task{64, 4, 4, half};
        Random random(7);
        const DictionaryBatch<double> batch = dictionary_batch<double>(task, 3, 5, random);
        CHECK(shape_of(batch.previous) == Shape<2>{5, half});
        CHECK(shape_of(batch.current) == Shape<2>{3, half});
        bool reordered = false;
        for (Index b = 0; b < 5; ++b) {
            auto definitions = records_of(task, batch.previous, b, 61);
            for (const auto& [key, value] : definitions)
                for (std::size_t i = 0; i < 4; ++i) CHECK((key[i] >= 0 && key[i] < 61 && value[i] >= 0 && value[i] < 61));
            if (b >= 3) continue;
            auto questions = records_of(task, batch.current, b, 63);
            reordered = reordered || questions != definitions;
            std::sort(definitions.begin(), definitions.end());
            std::sort(questions.begin(), questions.end());
            CHECK(definitions == questions);
        }
        CHECK((reordered || half == 20));
    }
}

TEST_CASE("targets are the next tokens, and exactly the answers count") {
    const DictionaryTask task;
    Random random(1);
    const DictionaryBatch<float> batch = dictionary_batch<float>(task, 2, 2, random);
    for (Index b = 0; b < 2; ++b) {
        Index counted = 0;
        for (Index t = 0; t < 256; ++t) {
            CHECK(batch.targets(b, t) == (t + 1 < 256 ? batch.current(b, t + 1) : task.filler()));
            const Index within = t % 10;
            CHECK(batch.mask(b, t) == (t < 250 && within >= 5 && within <= 8 ? 1.f : 0.f));
            if (batch.mask(b, t) != 0) {
                ++counted;
                CHECK(batch.targets(b, t) < 61);
            }
        }
        CHECK(counted == 100);
    }
}

TEST_CASE("the same seed draws the same batch") {
    Random first(3), second(3), other(4);
    const DictionaryTask task;
    const DictionaryBatch<float> a = dictionary_batch<float>(task, 2, 4, first, 8),
                                 b = dictionary_batch<float>(task, 2, 4, second, 8),
                                 c = dictionary_batch<float>(task, 2, 4, other, 8);
    CHECK(a.previous == b.previous);
    CHECK(a.current == b.current);
    CHECK_FALSE(a.previous == c.previous);
    CHECK(first.state == second.state);
}

TEST_CASE("a batch from a subset spells with that many symbols, drawn anew, and repeats no key") {
    const DictionaryTask task;
    Random random(11);
    std::set<std::int32_t> all;
    for (int step = 0; step < 20; ++step) {
        const DictionaryBatch<float> batch = dictionary_batch<float>(task, 16, 16, random, 8);
        std::set<std::int32_t> symbols;
        std::set<Word> keys;
        for (Index b = 0; b < 16; ++b)
            for (const auto& [key, value] : records_of(task, batch.previous, b, 61)) {
                symbols.insert(key.begin(), key.end());
                symbols.insert(value.begin(), value.end());
                CHECK(keys.insert(key).second);
            }
        CHECK(symbols.size() == 8);
        all.insert(symbols.begin(), symbols.end());
    }
    CHECK(all.size() > 40);
}

TEST_CASE("where keys run out they repeat between documents, never within one") {
    const DictionaryTask task{64, 2, 2, 60};  // 10 records of 6 tokens; 4 symbols: 16 keys
    Random random(5);
    const DictionaryBatch<float> batch = dictionary_batch<float>(task, 4, 4, random, 4);
    std::set<Word> all;
    for (Index b = 0; b < 4; ++b) {
        std::set<Word> keys;
        for (const auto& [key, value] : records_of(task, batch.previous, b, 61)) CHECK(keys.insert(key).second);
        all.insert(keys.begin(), keys.end());
    }
    CHECK(all.size() <= 16);
}

TEST_CASE("symbols are drawn uniformly") {
    const DictionaryTask task;
    Random random(2);
    std::map<std::int32_t, Index> of_keys, of_values;
    for (int step = 0; step < 40; ++step) {
        const DictionaryBatch<float> batch = dictionary_batch<float>(task, 1, 16, random);
        for (Index b = 0; b < 16; ++b)
            for (const auto& [key, value] : records_of(task, batch.previous, b, 61))
                for (std::size_t i = 0; i < 4; ++i) {
                    ++of_keys[key[i]];
                    ++of_values[value[i]];
                }
    }
    for (const auto& counts : {of_keys, of_values}) {  // 64000 symbols, 1049 +- 32 of each
        CHECK(counts.size() == 61);
        for (const auto& [symbol, count] : counts) CHECK(std::abs(count - 1049) < 5 * 32);
    }
}

TEST_CASE("whole documents are definitions followed by questions") {
    const DictionaryTask task{64, 4, 4, 20};
    Random random(1);
    const DictionaryBatch<float> batch = dictionary_batch<float>(task, 2, 3, random), whole = whole_documents(batch);
    CHECK(shape_of(whole.current) == Shape<2>{2, 40});
    CHECK(extent(whole.previous, 0) == 0);
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 40; ++t) {
            CHECK(whole.current(b, t) == (t < 20 ? batch.previous(b, t) : batch.current(b, t - 20)));
            CHECK(whole.targets(b, t) == (t < 39 ? whole.current(b, t + 1) : task.filler()));
            CHECK(whole.mask(b, t) == (t < 20 ? 0.f : batch.mask(b, t - 20)));
        }
    DictionaryBatch<float> broken = batch;
    broken.previous = zeros<std::int32_t, 2>({1, 20});
    CHECK_THROWS_WITH_AS(whole_documents(broken), "whole_documents: previous has shape (1, 20), expected (2 or more, 20)",
                         ShapeError);
}

TEST_CASE("impossible dictionaries are refused with the numbers") {
    Random random(1);
    const DictionaryTask task;
    CHECK_THROWS_WITH_AS(require_valid(DictionaryTask{3}), doctest::Contains("dictionary: 3 symbols, expected 4 or more"),
                         ConfigError);
    CHECK_THROWS_WITH_AS(require_valid(DictionaryTask{64, 0, 4}),
                         "dictionary: keys of 0 and values of 4 symbols, expected 1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(require_valid(DictionaryTask{64, 4, 4, 9}),
                         "dictionary: half_length 9 does not hold one record of 10 tokens", ConfigError);
    CHECK_THROWS_WITH_AS(word_count(61, 40), "word_count: 61^40 words are too many", ConfigError);
    CHECK_THROWS_WITH_AS(dictionary_batch<float>(task, 3, 2, random),
                         "dictionary_batch: 3 documents with questions among 2 contexts, expected 1 <= questions <= contexts",
                         ConfigError);
    CHECK_THROWS_WITH_AS(dictionary_batch<float>(task, 1, 1, random, 62),
                         "dictionary_batch: a subset of 62 symbols, expected 0 (all) ... 61", ConfigError);
    CHECK_THROWS_WITH_AS(dictionary_batch<float>(task, 1, 1, random, 2),
                         "dictionary_batch: 2 symbols spell 16 keys, a document defines 25", ConfigError);
    CHECK_THROWS_WITH_AS(answer_positions({.key_length = -2, .value_length = 0}), doctest::Contains("keys of -2"), ConfigError);
    CHECK_THROWS_WITH_AS(require_valid(DictionaryTask{.symbols = Index(1) << 33}), doctest::Contains("8589934592 symbols"),
                         ConfigError);
}

TEST_CASE("given records become definitions and questions in their order") {
    const DictionaryTask task{64, 2, 2, 20};  // 3 records of 6 tokens in a window
    const std::vector<NumberedRecord> records{{0, 61}, {62, 1}, {61 * 61 - 1, 0}};
    const Tokens definitions = definition_windows(task, {records[0], records[1], records[2], records[1]});
    CHECK(shape_of(definitions) == Shape<2>{2, 20});
    const std::vector<std::pair<Word, Word>> words{{{0, 0}, {1, 0}}, {{1, 1}, {0, 1}}, {{60, 60}, {0, 0}}};
    CHECK(records_of(task, definitions, 0, 61) == words);
    CHECK(definitions(1, 1) == 1);
    for (Index t = 6; t < 20; ++t) CHECK(definitions(1, t) == task.filler());

    const DictionaryBatch<float> asked = dictionary_questions<float>(task, records);
    CHECK(extent(asked.previous, 0) == 0);
    CHECK(records_of(task, asked.current, 0, 63) == words);
    for (Index t = 0; t < 20; ++t) CHECK(asked.mask(0, t) == (t < 18 && (t % 6 == 3 || t % 6 == 4) ? 1.f : 0.f));
    CHECK_THROWS_WITH_AS(dictionary_questions<float>(task, {}), "dictionary_questions: 0 questions do not fill whole windows of 3",
                         ConfigError);
}
