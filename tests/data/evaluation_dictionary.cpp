/// A dictionary of any size for evaluation: places, distinct keys, and the questions about them.
#include "fot/data/evaluation_dictionary.hpp"

#include <doctest/doctest.h>

#include <set>

#include "support/dictionary_records.hpp"

using namespace fot;
using testing::records_of;
using testing::Word;

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
            CHECK(dictionary.record_at((3 + w) * 256 + 10 * i) == r);
            CHECK(dictionary.record_at((3 + w) * 256 + 10 * i + 9) == r);
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

TEST_CASE("an evaluation dictionary goes up to 134 million tokens, which define 95 % of all words") {
    const EvaluationDictionary dictionary(DictionaryTask{}, 1);
    CHECK(dictionary.windows_for(134217728) == 524288);
    const Index last = dictionary.records_for(134217728) - 1;
    CHECK(last == 13107199);
    CHECK(dictionary.windows(524287, 1)(0, 241) == dictionary.record(last).key[0]);
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

TEST_CASE("impossible memories and questions are refused with the numbers") {
    Random random(1);
    const DictionaryTask task;
    const EvaluationDictionary dictionary(task, 1);
    CHECK_THROWS_WITH_AS(dictionary.windows_for(300),
                         "EvaluationDictionary: 300 memory tokens are not a positive multiple of the window of 256", ConfigError);
    CHECK_THROWS_WITH_AS(dictionary.windows_for(256 * 600000), doctest::Contains("need 15000000 distinct keys, there are 13845841"),
                         ConfigError);
    CHECK(EvaluationDictionary(task, 1, true).windows_for(256 * 600000) == 600000);
    CHECK_THROWS_WITH_AS(dictionary.questions<float>({1, 2}), "dictionary_questions: 2 questions do not fill whole windows of 25",
                         ConfigError);
    CHECK_THROWS_WITH_AS(dictionary.questions<float>(std::vector<Index>(25, -1)), "EvaluationDictionary: record -1 is negative",
                         DataError);
    CHECK_THROWS_WITH_AS(dictionary.sample_questions(256, 0, random), "EvaluationDictionary: 0 questions, expected 1 or more",
                         ConfigError);
    CHECK_THROWS_WITH_AS(EvaluationDictionary(task, 1, true).record(-1), "EvaluationDictionary: record -1 is negative", DataError);
    CHECK_THROWS_WITH_AS(EvaluationDictionary(task, 1, true).windows(-1, 1), "EvaluationDictionary: record -25 is negative",
                         DataError);
    CHECK_THROWS_WITH_AS(dictionary.record_at(-1), "EvaluationDictionary: position -1 is negative", DataError);
}
