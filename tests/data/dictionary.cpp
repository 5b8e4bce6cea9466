/// Dictionary lookup: the form of a document, who asks about whom, distinct keys, and an evaluation dictionary of any size.
#include "fot/data/dictionary.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

using namespace fot;

namespace {

using Word = std::vector<std::int32_t>;

/// The records of one row as (key, value), with their marks checked.
std::vector<std::pair<Word, Word>> records_of(const DictionaryTask& task, const Tokens& tokens, Index b, std::int32_t mark) {
    std::vector<std::pair<Word, Word>> records;
    const std::int32_t* at = row(tokens, b);
    for (Index r = 0; r < task.records(); ++r, at += task.record_length()) {
        CHECK(at[0] == mark);
        CHECK(at[1 + task.key_length] == task.value_mark());
        const std::int32_t* value = at + task.key_length + 2;
        records.emplace_back(Word(at + 1, at + 1 + task.key_length), Word(value, value + task.value_length));
    }
    for (; at < row(tokens, b) + task.half_length; ++at) CHECK(*at == task.filler());
    return records;
}

}  // namespace

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
    const DictionaryBatch<float> a = dictionary_batch<float>(task, 2, 4, first, {8}),
                                 b = dictionary_batch<float>(task, 2, 4, second, {8}),
                                 c = dictionary_batch<float>(task, 2, 4, other, {8});
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
        const DictionaryBatch<float> batch = dictionary_batch<float>(task, 16, 16, random, {8});
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
    const DictionaryBatch<float> batch = dictionary_batch<float>(task, 4, 4, random, {4});
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
    DictionaryBatch<float> torn = broken;
    torn.targets = zeros<std::int32_t, 2>({2, 3});
    CHECK_THROWS_WITH_AS(whole_documents(torn), "whole_documents: targets has shape (2, 3), expected (2, 20)", ShapeError);
    CHECK_THROWS_WITH_AS(whole_documents(broken), "whole_documents: previous has shape (1, 20), expected (2 or more, 20)",
                         ShapeError);
}

TEST_CASE("windows of an evaluation dictionary hold its records at their places") {
    const DictionaryTask task;
    const EvaluationDictionary dictionary(task, 9);
    const Tokens windows = dictionary.windows(3, 2);
    for (Index w = 0; w < 2; ++w) {
        const auto records = records_of(task, windows, w, 61);
        for (Index i = 0; i < 25; ++i) {
            const Index r = (3 + w) * 25 + i;
            const DictionaryRecord record = dictionary.record(r);
            CHECK(records[static_cast<std::size_t>(i)] == std::pair(record.key, record.value));
            CHECK(dictionary.memory_position(r) == (3 + w) * 256 + 10 * i);
            CHECK(dictionary.record_at(dictionary.memory_position(r)) == r);
            CHECK(dictionary.record_at(dictionary.memory_position(r) + 9) == r);
        }
    }
    CHECK(dictionary.record_at(255) == -1);
    CHECK(EvaluationDictionary(task, 9).windows(4, 1) == dictionary.windows(4, 1));
    CHECK_FALSE(EvaluationDictionary(task, 10).windows(4, 1) == dictionary.windows(4, 1));
}

TEST_CASE("keys of an evaluation dictionary are distinct, or have the ceiling that is stated") {
    const DictionaryTask task;
    const EvaluationDictionary distinct(task, 1), repeated(task, 1, true);
    std::set<Word> keys, repeated_keys;
    const Index records = distinct.records_for(65536);
    CHECK(records == 6400);
    for (Index r = 0; r < records; ++r) {
        keys.insert(distinct.record(r).key);
        repeated_keys.insert(repeated.record(r).key);
    }
    CHECK(static_cast<Index>(keys.size()) == records);
    CHECK(distinct.accuracy_ceiling(65536) == 1);
    CHECK(repeated.accuracy_ceiling(65536) == doctest::Approx((3 + static_cast<double>(repeated_keys.size()) / 6400) / 4));
    CHECK(repeated.accuracy_ceiling(1048576) == doctest::Approx(0.9991).epsilon(1e-4));
    CHECK(repeated.accuracy_ceiling(16777216) == doctest::Approx(0.9858).epsilon(2e-4));

    const DictionaryTask tiny{5, 2, 2, 12};  // 2 symbols: 4 keys, 2 records a window
    const EvaluationDictionary all(tiny, 3);
    std::set<Word> four;
    for (Index r = 0; r < all.records_for(24); ++r) four.insert(all.record(r).key);
    CHECK(four.size() == 4);
}

TEST_CASE("an evaluation dictionary goes up to 67 million tokens") {
    const EvaluationDictionary dictionary(DictionaryTask{}, 1);
    CHECK(dictionary.windows_for(67108864) == 262144);
    const Index last = dictionary.records_for(67108864) - 1;
    CHECK(last == 6553599);
    CHECK(dictionary.windows(262143, 1)(0, 241) == dictionary.record(last).key[0]);
}

TEST_CASE("questions ask about the given records and count their answers") {
    const DictionaryTask task;
    const EvaluationDictionary dictionary(task, 4);
    Random random(1);
    const std::vector<Index> sample = dictionary.sample_questions(1048576, 400, random);
    CHECK(sample.size() == 400);
    const DictionaryBatch<double> batch = dictionary.questions<double>(sample);
    CHECK(shape_of(batch.current) == Shape<2>{16, 256});
    double counted = 0;
    for (const double m : batch.mask) counted += m;
    CHECK(counted == 1600);
    for (Index w = 0; w < 16; ++w) {
        const auto questions = records_of(task, batch.current, w, 63);
        for (Index i = 0; i < 25; ++i) {
            const DictionaryRecord record = dictionary.record(sample[static_cast<std::size_t>(w * 25 + i)]);
            CHECK(questions[static_cast<std::size_t>(i)] == std::pair(record.key, record.value));
            for (Index j = 0; j < 4; ++j) CHECK(batch.targets(w, i * 10 + 5 + j) == record.value[static_cast<std::size_t>(j)]);
        }
    }
}

TEST_CASE("a window never asks twice for a record, and questions reach the whole memory") {
    const EvaluationDictionary dictionary(DictionaryTask{}, 4);
    Random random(8);
    for (const Index memory : {256, 512, 65536}) {
        const std::vector<Index> sample = dictionary.sample_questions(memory, 390, random);
        CHECK(sample.size() == 400);
        const Index records = dictionary.records_for(memory);
        double mean = 0;
        for (Index w = 0; w < 16; ++w) {
            const std::set<Index> window(sample.begin() + w * 25, sample.begin() + (w + 1) * 25);
            CHECK(window.size() == 25);
        }
        for (const Index r : sample) {
            CHECK((r >= 0 && r < records));
            mean += static_cast<double>(r) / 400;
        }
        CHECK(mean == doctest::Approx(static_cast<double>(records) / 2).epsilon(0.15));
    }
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
    CHECK_THROWS_WITH_AS(dictionary_batch<float>(task, 1, 1, random, {62}),
                         "dictionary_batch: a subset of 62 symbols, expected 0 (all) ... 61", ConfigError);
    CHECK_THROWS_WITH_AS(dictionary_batch<float>(task, 1, 1, random, {2}),
                         "dictionary_batch: 2 symbols spell 16 keys, a document defines 25", ConfigError);
    const EvaluationDictionary dictionary(task, 1);
    CHECK_THROWS_WITH_AS(dictionary.windows_for(300),
                         "EvaluationDictionary: 300 memory tokens are no positive multiple of the window of 256", ConfigError);
    CHECK_THROWS_WITH_AS(dictionary.windows_for(256 * 600000), doctest::Contains("need 15000000 distinct keys, there are 13845841"),
                         ConfigError);
    CHECK(EvaluationDictionary(task, 1, true).windows_for(256 * 600000) == 600000);
    CHECK_THROWS_WITH_AS(dictionary.questions<float>({1, 2}), "EvaluationDictionary: 2 questions do not fill whole windows of 25",
                         ConfigError);
    CHECK_THROWS_WITH_AS(dictionary.questions<float>(std::vector<Index>(25, -1)), "EvaluationDictionary: record -1 is negative",
                         DataError);
    CHECK_THROWS_WITH_AS(dictionary.sample_questions(256, 0, random), "EvaluationDictionary: 0 questions, expected 1 or more",
                         ConfigError);
    CHECK_THROWS_WITH_AS(EvaluationDictionary(task, 1, true).record(-1), "EvaluationDictionary: record -1 is negative", DataError);
    CHECK_THROWS_WITH_AS(EvaluationDictionary(task, 1, true).windows(-1, 1), "EvaluationDictionary: window -1 is negative",
                         DataError);
    CHECK_THROWS_WITH_AS(dictionary.memory_position(-1), "EvaluationDictionary: record -1 is negative", DataError);
    CHECK_THROWS_WITH_AS(dictionary.record_at(-1), "EvaluationDictionary: position -1 is negative", DataError);
    CHECK_THROWS_WITH_AS(word_count(0, 2), doctest::Contains("words of 2 out of 0 symbols"), ConfigError);
    CHECK_THROWS_WITH_AS(word_count(3, -1), doctest::Contains("words of -1 out of 3 symbols"), ConfigError);
    CHECK_THROWS_WITH_AS(answer_positions({.key_length = -2, .value_length = 0}), doctest::Contains("keys of -2"), ConfigError);
    CHECK_THROWS_WITH_AS(require_valid(DictionaryTask{.symbols = Index(1) << 33}), doctest::Contains("8589934592 symbols"),
                         ConfigError);
    DictionaryBatch<float> unmasked = dictionary_batch<float>(task, 1, 1, random);
    unmasked.mask = {};
    CHECK_THROWS_WITH_AS(whole_documents(unmasked), doctest::Contains("whole_documents: mask has shape"), ShapeError);
}
