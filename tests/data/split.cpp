/// Splits by document: every document in one part, near-copies of training documents in none.
#include "fot/data/split.hpp"

#include <doctest/doctest.h>

#include <array>
#include <set>

#include "support/text_files.hpp"

using namespace fot;
using testing::names;

namespace {

/// A text of that many distinct long lines, the first ones taken from `start` on.
std::string lines(Index start, Index count) {
    std::string text;
    for (Index i = start; i < start + count; ++i)
        text += message("  this is line number ", i, " of a text, long enough to be compared\n");
    return text;
}

}  // namespace

TEST_CASE("a split puts each document into one part, the same for the same seed") {
    std::vector<Document> documents;
    for (Index i = 0; i < 20; ++i) documents.push_back({message("d", i), lines(1000 * i, i == 3 ? 1 : 10)});
    const CorpusSplit split = split_documents(documents, 100, 0.2, 0.1, 5), again = split_documents(documents, 100, 0.2, 0.1, 5),
                      other = split_documents(documents, 100, 0.2, 0.1, 6);
    CHECK(split.train.size() == 13);
    CHECK(split.validation.size() == 4);
    CHECK(split.test.size() == 2);
    CHECK(split.dropped.empty());
    std::set<std::string> seen;
    for (const auto* part : {&split.train, &split.validation, &split.test})
        for (const Document& document : *part) CHECK(seen.insert(document.name).second);
    CHECK(seen.size() == 19);
    CHECK(seen.count("d3") == 0);  // too short
    CHECK(names(split.train) == names(again.train));
    CHECK(names(split.test) == names(again.test));
    CHECK(names(split.train) != names(other.train));
}

TEST_CASE("a held-out document is dropped if most of its long lines stand in one training document") {
    Index dropped_copies = 0, dropped_others = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        // "copy" has 6 of its 10 lines from "original", "half" has 5 of 10 from "basis": not more than half.
        std::vector<Document> documents = {{"original", lines(0, 10)},
                                           {"copy", lines(0, 6) + lines(100, 4)},
                                           {"basis", lines(200, 10)},
                                           {"half", lines(200, 5) + lines(300, 5)}};
        for (Index i = 1; i <= 8; ++i) documents.push_back({message("own ", i), lines(1000 * i, 10)});
        const CorpusSplit split = split_documents(documents, 0, 0.25, 0.25, seed);
        CHECK(split.train.size() == 6);
        for (const std::string& name : split.dropped) (name == "copy" || name == "original" ? dropped_copies : dropped_others) += 1;
        const auto has = [](const std::vector<Document>& part, const std::string& name) {
            const std::vector<std::string> all = names(part);
            return std::find(all.begin(), all.end(), name) != all.end();
        };
        for (const auto& [one, two] : {std::pair{"copy", "original"}, std::pair{"original", "copy"}})
            CHECK_FALSE((has(split.train, one) && (has(split.validation, two) || has(split.test, two))));
        CHECK_FALSE((has(split.validation, "original") && has(split.test, "copy")));
    }
    CHECK(dropped_copies > 0);
    CHECK(dropped_others == 0);
}

TEST_CASE("two documents of one part may be alike, of training, validation or test") {
    std::array<Index, 3> together{};  // in training, validation, test
    Index apart = 0;
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
        std::vector<Document> documents = {{"one", lines(0, 10)}, {"two", lines(0, 10)}};
        for (Index i = 1; i <= 10; ++i) documents.push_back({message("own ", i), lines(1000 * i, 10)});
        const CorpusSplit split = split_documents(documents, 0, 0.33, 0.33, seed);
        const std::array<const std::vector<Document>*, 3> parts{&split.train, &split.validation, &split.test};
        for (std::size_t i = 0; i < 3; ++i) {
            const std::vector<std::string> all = names(*parts[i]);
            if (std::count(all.begin(), all.end(), "one") + std::count(all.begin(), all.end(), "two") == 2) ++together[i];
        }
        apart += length_of(split.dropped);  // the later one
    }
    for (const Index times : together) CHECK(times > 0);
    CHECK(together[0] + together[1] + together[2] + apart == 40);
    CHECK(apart > 0);
}

TEST_CASE("of documents of short lines exact copies are not measured on") {
    std::vector<Document> documents;
    for (Index i = 0; i < 20; ++i) documents.push_back({message(i), i % 2 == 0 ? "one\ntwo\n" : message("number ", i, "\n")});
    const CorpusSplit split = split_documents(documents, 0, 0.2, 0.2, 1);
    const auto is_copy = [](const Document& document) { return document.text == "one\ntwo\n"; };
    CHECK(std::ranges::any_of(split.train, is_copy));
    CHECK(std::ranges::none_of(split.validation, is_copy));
    CHECK(std::ranges::none_of(split.test, is_copy));
    CHECK(split.dropped.size() >= 1);
    CHECK(split.train.size() == 12);
}

TEST_CASE("impossible splits are refused") {
    const std::vector<Document> documents = {{"a", lines(0, 10)}, {"b", lines(0, 10)}};
    CHECK_THROWS_WITH_AS(split_documents(documents, 0, 0.5, 0.5, 1),
                         "split_documents: shares 0.5 and 0.5, expected 0 or more and below 1 together", ConfigError);
    CHECK_THROWS_WITH_AS(
        split_documents(documents, 0, 0.1, 0.1, 1),
        "split_documents: 2 of 2 documents have 0 bytes or more, too few for training beside 1 for validation and 1 for test",
        DataError);
    CHECK_THROWS_WITH_AS(split_documents(documents, 1000000, 0, 0.1, 1), doctest::Contains("0 of 2 documents have 1000000 bytes"),
                         DataError);
    CHECK_THROWS_WITH_AS(split_documents(documents, 0, 0, 0.1, 1), doctest::Contains("are near-copies of training documents"),
                         DataError);
    CHECK(split_documents(documents, 0, 0, 0, 1).train.size() == 2);
}
