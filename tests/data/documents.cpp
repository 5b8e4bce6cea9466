/// Batches in the paper's form: what is current and previous, and where documents end.
#include "fot/data/documents.hpp"

#include <doctest/doctest.h>

#include <set>

#include "support/allocations.hpp"
#include "support/numbered_documents.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("given documents: the current window follows the previous ones, and may end early") {
    const std::vector<TokenDocument> documents = numbered_documents({30, 11, 12});
    const ContextBatch<float> batch = document_contexts<float>(documents, {.entries = 2, .pool = 3, .positives = 2, .length = 4});
    CHECK(row_of(batch.previous, 0) == Row{1004, 1005, 1006, 1007});
    CHECK(row_of(batch.previous, 3 + 1) == Row{2000, 2001, 2002, 2003});
    CHECK(row_of(batch.previous, 2) == Row{3004, 3005, 3006, 3007});
    CHECK(row_of(batch.current, 0) == Row{1008, 1009, 1010, 1011});
    CHECK(row_of(batch.targets, 0) == Row{1009, 1010, 1011, 1012});
    CHECK(row_of(batch.mask, 0) == Mask{1, 1, 1, 1});
    CHECK(row_of(batch.current, 1) == Row{2008, 2009, 2010, 0});
    CHECK(row_of(batch.targets, 1) == Row{2009, 2010, 0, 0});
    CHECK(row_of(batch.mask, 1) == Mask{1, 1, 0, 0});
    CHECK(batch.documents == std::vector<Index>{0, 1, 2});

    CHECK_THROWS_WITH_AS(document_contexts<float>(documents, {.entries = 2, .positives = 2, .length = 4}),
                         "document_contexts: 3 documents, expected 2", DataError);
    CHECK_THROWS_WITH_AS(document_contexts<float>(documents, {.entries = 3, .positives = 2, .length = 5}),
                         "document_contexts: document 1 has 11 tokens, expected 12 or more", DataError);
    CHECK_THROWS_AS(document_contexts<float>(documents, {.entries = 3, .positives = -1, .length = 5}), ConfigError);
}

TEST_CASE("random pieces: the previous windows lie just before the current one, in the same document") {
    const std::vector<TokenDocument> documents = numbered_documents({60, 40, 25, 100, 13, 200});
    const WindowShape shape{2, 4, 3, 6};
    Random random(1);
    std::set<Index> drawn;
    for (int step = 0; step < 200; ++step) {
        const ContextBatch<float> batch = sample_contexts<float>(documents, shape, random);
        CHECK(shape_of(batch.previous) == Shape<2>{12, 6});
        CHECK(shape_of(batch.current) == Shape<2>{2, 6});
        CHECK(std::set<Index>(batch.documents.begin(), batch.documents.end()).size() == 4);
        for (Index j = 0; j < 4; ++j) {
            drawn.insert(batch.documents[static_cast<std::size_t>(j)]);
            const Index length = documents[static_cast<std::size_t>(batch.documents[static_cast<std::size_t>(j)])].length();
            const std::int32_t first_token = static_cast<std::int32_t>(1000 * (batch.documents[static_cast<std::size_t>(j)] + 1));
            const std::int32_t begin = batch.previous(2 * 4 + j, 0);  // the window farthest back
            CHECK((begin >= first_token && begin + 24 < first_token + length));
            for (Index window = 0; window < 3; ++window)
                for (Index t = 0; t < 6; ++t) CHECK(batch.previous(window * 4 + j, t) == begin + (2 - window) * 6 + t);
            for (Index t = 0; t < 6 && j < 2; ++t) {
                CHECK(batch.current(j, t) == begin + 18 + t);
                CHECK(batch.targets(j, t) == begin + 19 + t);
                CHECK(batch.mask(j, t) == 1.f);
            }
        }
    }
    CHECK(drawn == std::set<Index>{0, 1, 2, 3, 5});  // the fifth document is too short: 13 < 25
}

TEST_CASE(
    "contexts that overlap end that many tokens after the beginning of the current window; while they slide it shrinks to 0") {
    const std::vector<TokenDocument> documents = numbered_documents({60, 40});
    Random random(1);
    for (const Index overlap : {0, 1, 4, 6}) {
        const ContextBatch<float> batch =
            sample_contexts<float>(documents, {.entries = 2, .positives = 2, .length = 6, .overlap = overlap}, random);
        for (Index j = 0; j < 2; ++j)
            for (Index t = 0; t < 6; ++t) {
                CHECK(batch.previous(j, t) == batch.current(j, 0) - 6 + overlap + t);
                CHECK(batch.previous(2 + j, t) == batch.current(j, 0) - 12 + overlap + t);
            }
    }
    CHECK_THROWS_WITH_AS(sample_contexts<float>(documents, {.length = 6, .overlap = 7}, random),
                         "sample_contexts: an overlap of 7 tokens of windows of 6, expected 0 ... 6", ConfigError);
    CHECK_THROWS_AS(document_contexts<float>(documents, {.entries = 2, .length = 6, .overlap = 1}), ConfigError);
    CHECK(sliding_overlap(0, 3, 6) == 6);
    CHECK(sliding_overlap(1, 3, 6) == 4);
    CHECK(sliding_overlap(2, 3, 6) == 2);
    CHECK(sliding_overlap(3, 3, 6) == 0);
    CHECK(sliding_overlap(0, 0, 6) == 0);
}

TEST_CASE("random pieces begin anywhere in a document") {
    const std::vector<TokenDocument> documents = numbered_documents({12});
    Random random(2);
    std::set<std::int32_t> first_tokens;
    for (int step = 0; step < 100; ++step)
        first_tokens.insert(sample_contexts<float>(documents, {1, 0, 1, 4}, random).previous(0, 0));
    CHECK(first_tokens == std::set<std::int32_t>{1000, 1001, 1002, 1003});
}

TEST_CASE("documents are drawn in proportion to length to the power of three quarters") {
    const std::vector<TokenDocument> documents = numbered_documents({16, 256});  // 16^0.75 = 8, 256^0.75 = 64
    Random random(3);
    Index longer = 0;
    for (int step = 0; step < 9000; ++step) longer += sample_contexts<float>(documents, {1, 0, 0, 4}, random).documents[0];
    CHECK(std::abs(longer - 8000) < 5 * 30);  // 9000 draws with probability 8/9
}

TEST_CASE("a batch depends on the state of the generator alone") {
    const std::vector<TokenDocument> documents = numbered_documents({60, 40, 50});
    Random one(1), two(1);
    sample_contexts<float>(documents, {2, 0, 1, 8}, one);
    two.state = one.state;
    CHECK(sample_contexts<float>(documents, {2, 0, 1, 8}, one).current ==
          sample_contexts<float>(documents, {2, 0, 1, 8}, two).current);
}

TEST_CASE("a mask of the document is the mask of its targets") {
    std::vector<TokenDocument> documents = numbered_documents({5});
    documents[0].loss_mask = {0, 0, 1, 0.5f, 1};
    Random random(1);
    const ContextBatch<double> batch = sample_contexts<double>(documents, {1, 0, 0, 4}, random);
    CHECK(row_of(batch.mask, 0) == std::vector<double>{0, 1, 0.5, 1});
    CHECK(extent(batch.previous, 0) == 0);
}

TEST_CASE("packed pieces: consecutive windows of a document lie in consecutive rows, each pack in a document of its own") {
    const std::vector<TokenDocument> documents = numbered_documents({60, 40, 18, 100, 19, 200});
    Random random(4);
    std::set<Index> drawn, begins;
    for (int step = 0; step < 200; ++step) {
        const ContextBatch<float> batch = sample_packed<float>(documents, {.entries = 6, .packing = 3, .length = 6}, random);
        CHECK(shape_of(batch.previous) == Shape<2>{0, 6});
        CHECK(shape_of(batch.current) == Shape<2>{6, 6});
        CHECK(batch.documents[0] != batch.documents[3]);
        for (Index entry = 0; entry < 6; ++entry) {
            const Index document = element(batch.documents, entry), pack = entry - entry % 3;
            drawn.insert(document);
            CHECK(document == element(batch.documents, pack));
            const std::int32_t begin = batch.current(pack, 0), first_token = static_cast<std::int32_t>(1000 * (document + 1));
            if (document == 4) begins.insert(begin - first_token);
            CHECK((begin >= first_token && begin + 18 < first_token + element(documents, document).length()));
            for (Index t = 0; t < 6; ++t) {
                CHECK(batch.current(entry, t) == begin + 6 * (entry - pack) + t);
                CHECK(batch.targets(entry, t) == batch.current(entry, t) + 1);
                CHECK(batch.mask(entry, t) == 1.f);
            }
        }
    }
    CHECK(drawn == std::set<Index>{0, 1, 3, 4, 5});  // the third document is too short: 18 < 19
    CHECK(begins == std::set<Index>{0});
    CHECK_THROWS_WITH_AS(sample_packed<float>(documents, {.entries = 6, .packing = 4, .length = 6}, random),
                         "sample_packed: 6 entries of 6 tokens with packing 4, expected 1 or more of each, and whole packs",
                         ConfigError);
    CHECK_THROWS_WITH_AS(sample_packed<float>(documents, {.entries = 6, .packing = 1, .length = 50}, random),
                         "sample_packed: 3 of 6 documents have the 51 tokens needed, expected 6 or more", DataError);
}

TEST_CASE("impossible batches are refused with the numbers") {
    const std::vector<TokenDocument> documents = numbered_documents({60, 40, 8});
    Random random(1);
    CHECK_THROWS_WITH_AS(
        sample_contexts<float>(documents, {0, 0, 1, 4}, random),
        "sample_contexts: 0 entries of 4 tokens with 1 previous windows, expected 1 or more of the first two and 0 or more of "
        "the last",
        ConfigError);
    CHECK_THROWS_WITH_AS(sample_contexts<float>(documents, {2, 1, 1, 4}, random),
                         "sample_contexts: a pool of 1 documents is smaller than the 2 entries", ConfigError);
    CHECK_THROWS_WITH_AS(sample_contexts<float>(documents, {3, 0, 1, 4}, random),
                         "sample_contexts: 2 of 3 documents have the 9 tokens needed, expected 3 or more", DataError);
}

TEST_CASE("a batch that there is no memory for was not drawn: the next one is the one it would have been") {
    const std::vector<TokenDocument> documents = numbered_documents({30, 40, 50});
    Random random(5), other = random;
    const auto unchanged = [&] { REQUIRE(random.state == other.state); };
    ContextBatch<float> batch;
    CHECK(testing::for_every_failing_allocation(
              [&] { batch = sample_contexts<float>(documents, {.entries = 2, .pool = 3, .length = 5}, random); }, unchanged) > 5);
    CHECK(batch.previous == sample_contexts<float>(documents, {.entries = 2, .pool = 3, .length = 5}, other).previous);
    CHECK(testing::for_every_failing_allocation(
              [&] { batch = sample_packed<float>(documents, {.entries = 4, .packing = 2, .length = 5}, random); }, unchanged) > 5);
    CHECK(batch.current == sample_packed<float>(documents, {.entries = 4, .packing = 2, .length = 5}, other).current);
    CHECK(random.state == other.state);
}
