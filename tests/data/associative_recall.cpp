/// Pairs and questions: every question has one answer, whoever else is in the memory, and stands where the law puts it.
#include "fot/data/associative_recall.hpp"

#include <doctest/doctest.h>

#include <map>

using namespace fot;

namespace {

/// Documents of a batch as key -> value. Keys must differ and be keys, values likewise.
std::vector<std::map<Index, Index>> documents_of(const AssociativeRecallTask& task, const AssociativeRecallBatch& batch) {
    std::vector<std::map<Index, Index>> documents;
    for (Index context = 0; context < extent(batch.previous, 0); ++context) {
        std::map<Index, Index>& document = documents.emplace_back();
        std::set<Index> values;
        for (Index i = 0; i < task.pairs; ++i) {
            const Index key = batch.previous(context, 2 * i), value = batch.previous(context, 2 * i + 1);
            CHECK((key >= 1 && key < task.vocabulary / 2));
            CHECK((value >= task.vocabulary / 2 && value < task.vocabulary));
            document[key] = value;
            values.insert(value);
        }
        CHECK(length_of(document) == task.pairs);
        CHECK(length_of(values) == task.pairs);
    }
    return documents;
}

}  // namespace

TEST_CASE("every key of a document is asked for once, at places of a law, and its value is the answer") {
    const AssociativeRecallTask task{.vocabulary = 64, .pairs = 5, .length = 40};
    Random random(1);
    const AssociativeRecallBatch batch = associative_recall_batch(task, 6, 6, random);
    const auto documents = documents_of(task, batch);
    REQUIRE(shape_of(batch.current) == Shape<2>{6, 30});
    REQUIRE(shape_of(batch.values) == Shape<2>{6, 5});
    REQUIRE(batch.places.size() == 5);
    bool same_order = true;
    for (Index entry = 0; entry < 6; ++entry) {
        std::set<Index> asked;
        for (Index i = 0; i < 5; ++i) {
            const Index place = element(batch.places, i), key = batch.current(entry, place);
            CHECK(place % 2 == 0);
            CHECK((place >= 0 && place < 30));
            asked.insert(key);
            CHECK(batch.values(entry, i) == element(documents, entry).at(key));
            same_order = same_order && key == batch.previous(entry, 2 * i);
        }
        CHECK(length_of(asked) == 5);
    }
    CHECK(std::ranges::is_sorted(batch.places));
    CHECK_FALSE(same_order);
}

TEST_CASE("filler is any token but a key of its own document") {
    const AssociativeRecallTask task{.vocabulary = 12, .pairs = 3, .length = 200};
    Random random(2);
    const AssociativeRecallBatch batch = associative_recall_batch(task, 1, 1, random);
    const auto document = documents_of(task, batch)[0];
    std::map<Index, Index> seen;
    for (Index t = 0; t < task.question_tokens(); ++t)
        if (std::ranges::count(batch.places, t) == 0) ++seen[batch.current(0, t)];
    for (Index any = 0; any < 12; ++any) CHECK((seen[any] > 0) == !document.contains(any));
}

TEST_CASE("a key that is asked for is defined once in a memory of many documents, the others as seldom as they can be") {
    const AssociativeRecallTask task{.vocabulary = 64, .pairs = 4, .length = 16};  // 31 keys: 8 are asked for, 23 are not
    Random random(3);
    const AssociativeRecallBatch batch = associative_recall_batch(task, 2, 100, random);
    const auto documents = documents_of(task, batch);
    std::map<Index, Index> times, values;
    for (const auto& document : documents)
        for (const auto& [key, value] : document) {
            ++times[key];
            values[key] = value;
        }
    CHECK(times.size() == 31);
    Index differing = 0;
    for (Index context = 0; context < 100; ++context)
        for (const auto& [key, value] : element(documents, context)) {
            if (context < 2) CHECK(times[key] == 1);
            if (context >= 2) CHECK((times[key] == 392 / 23 || times[key] == 392 / 23 + 1));
            differing += value != values[key] ? 1 : 0;
        }
    CHECK(differing > 300);  // of 392
}

TEST_CASE("questions come early by the power law, and anywhere alike for a power of 1") {
    const Index draws = 4000;
    for (const double power : {0.01, 1.0}) {
        const AssociativeRecallTask task{.vocabulary = 8, .pairs = 1, .length = 10, .power = power};  // four places
        Random random(4);
        std::map<Index, Index> times;
        for (Index i = 0; i < draws; ++i) ++times[associative_recall_batch(task, 1, 1, random).places[0]];
        CHECK(times.size() == 4);
        double all = 0;
        for (Index i = 1; i <= 4; ++i) all += std::pow(i, power - 1);
        for (Index i = 1; i <= 4; ++i) {
            const double share = std::pow(i, power - 1) / all, seen = static_cast<double>(times[2 * i - 2]) / draws;
            CHECK(std::abs(seen - share) < 4 * std::sqrt(share * (1 - share) / draws));
        }
    }
}

TEST_CASE("questions fill all places when there is room for no more") {
    Random random(5);
    const AssociativeRecallBatch batch = associative_recall_batch({.vocabulary = 64, .pairs = 4, .length = 16}, 1, 1, random);
    CHECK(batch.places == std::vector<Index>{0, 2, 4, 6});
}

TEST_CASE("a whole document is its pairs and then its questions, which ask for the same") {
    const AssociativeRecallTask task{.vocabulary = 64, .pairs = 3, .length = 20};
    Random random(6);
    const AssociativeRecallBatch batch = associative_recall_batch(task, 2, 5, random), whole = whole_documents(batch);
    CHECK(shape_of(whole.previous) == Shape<2>{0, 6});
    REQUIRE(shape_of(whole.current) == Shape<2>{2, 20});
    CHECK(whole.values == batch.values);
    for (Index b = 0; b < 2; ++b) {
        for (Index t = 0; t < 20; ++t) CHECK(whole.current(b, t) == (t < 6 ? batch.previous(b, t) : batch.current(b, t - 6)));
        for (Index i = 0; i < 3; ++i)
            CHECK(whole.current(b, element(whole.places, i)) == batch.current(b, element(batch.places, i)));
    }
}

TEST_CASE("documents that cannot be written, or asked about, are refused with the numbers") {
    Random random(7);
    const auto drawn = [&](const AssociativeRecallTask& task, Index entries, Index contexts) {
        return associative_recall_batch(task, entries, contexts, random);
    };
    const AssociativeRecallTask task{.vocabulary = 64, .pairs = 4, .length = 16};
    CHECK_NOTHROW(drawn(task, 7, 7));
    CHECK_NOTHROW(drawn(task, 6, 100));
    CHECK_THROWS_WITH_AS(
        drawn(task, 7, 8),
        "associative_recall_batch: 31 keys for 7 entries of 4 pairs and 1 other contexts: expected a key of its own "
        "for each pair of the entries, and as many as pairs beside",
        ConfigError);
    CHECK_THROWS_AS(drawn(task, 8, 8), ConfigError);
    CHECK_THROWS_WITH_AS(drawn(task, 2, 1),
                         "associative_recall_batch: 2 entries among 1 contexts, expected 1 <= entries <= contexts", ConfigError);
    CHECK_THROWS_AS(drawn(task, 0, 1), ConfigError);
    CHECK_THROWS_WITH_AS(
        drawn({.vocabulary = 8, .pairs = 4, .length = 16}, 1, 1),
        "associative recall: 4 pairs of a vocabulary of 8 tokens with 3 keys, expected 1 or more, no more than keys, "
        "and tokens of 32 bits",
        ConfigError);
    CHECK_THROWS_AS(drawn({.vocabulary = Index{1} << 33, .pairs = 4, .length = 16}, 1, 1), ConfigError);
    CHECK_THROWS_AS(drawn({.vocabulary = 64, .pairs = 0, .length = 16}, 1, 1), ConfigError);
    CHECK_THROWS_WITH_AS(drawn({.vocabulary = 64, .pairs = 4, .length = 15}, 1, 1),
                         "associative recall: 4 pairs in 15 tokens, expected 4 tokens a pair or more", ConfigError);
    for (const double power : {0.0, -1.0, HUGE_VAL, std::nan("")})
        CHECK_THROWS_AS(drawn({.vocabulary = 64, .pairs = 4, .length = 16, .power = power}, 1, 1), ConfigError);
}
