#include "fot/data/document_walk.hpp"

#include <doctest/doctest.h>

#include <set>

#include "support/numbered_documents.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("a walk goes through a document window by window and then to the next one") {
    const std::vector<TokenDocument> documents = numbered_documents({7, 4, 1, 3});  // the third one has nothing to predict
    DocumentWalk walk(documents, {2, 0, 1, 3}, false);
    auto batch = walk.next<float>();
    REQUIRE(batch);
    CHECK(batch->documents == std::vector<Index>{0, 1});
    CHECK(row_of(batch->current, 0) == Row{1000, 1001, 1002});
    CHECK(row_of(batch->targets, 0) == Row{1001, 1002, 1003});
    CHECK(row_of(batch->current, 1) == Row{2000, 2001, 2002});
    CHECK(row_of(batch->mask, 1) == Mask{1, 1, 1});
    CHECK_FALSE(batch->has_previous(0));
    CHECK_FALSE(batch->has_previous(1));
    CHECK(row_of(batch->previous, 0) == Row{0, 0, 0});

    batch = walk.next<float>();  // document 1 has no target left: index 1 goes on to document 3
    REQUIRE(batch);
    CHECK(batch->documents == std::vector<Index>{0, 3});
    CHECK(row_of(batch->previous, 0) == Row{1000, 1001, 1002});
    CHECK(row_of(batch->current, 0) == Row{1003, 1004, 1005});
    CHECK(batch->has_previous(0));
    CHECK(row_of(batch->current, 1) == Row{4000, 4001, 4002});
    CHECK(row_of(batch->targets, 1) == Row{4001, 4002, 0});
    CHECK(row_of(batch->mask, 1) == Mask{1, 1, 0});
    CHECK_FALSE(batch->has_previous(1));
    CHECK(row_of(batch->previous, 1) == Row{0, 0, 0});

    CHECK_FALSE(walk.next<float>());  // 1006 was the last target of document 0
}

TEST_CASE("every token but the first of its document is a target exactly once") {
    for (const Index length : {1, 3, 4, 16}) {
        const std::vector<TokenDocument> documents = numbered_documents({7, 4, 1, 33, 2, 16, 17, 0, 5});
        DocumentWalk walk(documents, {3, 0, 2, length}, false);
        std::multiset<std::int32_t> targets;
        while (auto batch = walk.next<float>())
            for (Index b = 0; b < 3; ++b)
                for (Index t = 0; t < length; ++t) {
                    if (batch->mask(b, t) == 0) continue;
                    CHECK(batch->targets(b, t) == batch->current(b, t) + 1);
                    targets.insert(batch->targets(b, t));
                }
        std::multiset<std::int32_t> expected;
        for (const TokenDocument& document : documents)
            if (!document.tokens.empty()) expected.insert(document.tokens.begin() + 1, document.tokens.end());
        CHECK(targets == expected);
    }
}

TEST_CASE("a walk remembers as many previous windows as there are") {
    const std::vector<TokenDocument> documents = numbered_documents({20, 9});
    DocumentWalk walk(documents, {2, 0, 2, 4}, false);
    for (Index step = 0; step < 5; ++step) {
        const auto batch = walk.next<float>();
        REQUIRE(batch);
        CHECK(batch->previous_windows[0] == std::min<Index>(step, 2));
        for (Index window = 0; window < 2; ++window) {
            const auto expected = static_cast<std::int32_t>(window < step ? 1000 + 4 * (step - 1 - window) : 0);
            CHECK(batch->previous(window * 2, 0) == expected);
        }
        CHECK(batch->documents[1] == (step < 2 ? 1 : -1));  // document 1 has 8 targets; then nothing is left for index 1
        if (step >= 2) CHECK(row_of(batch->mask, 1) == Mask{0, 0, 0, 0});
    }
    CHECK_FALSE(walk.next<float>());
}

TEST_CASE("a cyclic walk never holds a document twice, and goes on from a saved state") {
    const std::vector<TokenDocument> documents = numbered_documents({50, 5, 9, 7});
    DocumentWalk walk(documents, {3, 0, 1, 4});
    DocumentWalk::State saved;
    std::vector<Tokens> after;
    std::set<Index> seen;
    for (int step = 0; step < 60; ++step) {
        if (step == 50) saved = walk.state;
        const auto batch = walk.next<float>();
        REQUIRE(batch);
        CHECK(std::set<Index>(batch->documents.begin(), batch->documents.end()).size() == 3);
        seen.insert(batch->documents.begin(), batch->documents.end());
        if (step >= 50) after.push_back(batch->current);
    }
    CHECK(seen == std::set<Index>{0, 1, 2, 3});
    DocumentWalk resumed(documents, {3, 0, 1, 4});
    resumed.state = saved;
    for (const Tokens& expected : after) CHECK(resumed.next<float>()->current == expected);
}

TEST_CASE("walks that make no sense are refused") {
    std::vector<TokenDocument> documents = numbered_documents({60, 40, 8});
    CHECK_THROWS_WITH_AS(DocumentWalk(documents, {2, 3, 1, 4}), "DocumentWalk: a pool of 3 documents, expected the 2 entries",
                         ConfigError);
    CHECK_THROWS_WITH_AS(DocumentWalk(documents, {4, 0, 1, 4}),
                         "DocumentWalk: 3 of 3 documents have two tokens, expected 4 or more", DataError);
    documents[1].loss_mask = {1, 1};
    CHECK_THROWS_WITH_AS(DocumentWalk(documents, {2, 0, 1, 4}), doctest::Contains("its loss mask has 2 numbers for 40 tokens"),
                         DataError);
}

TEST_CASE("a walk refuses a state that is no place in its documents") {
    const std::vector<TokenDocument> documents = numbered_documents({60, 40});
    const auto refused = [&](auto&& change, const char* why) {
        DocumentWalk walk(documents, {2, 0, 1, 4});
        walk.next<float>();
        walk.require_state();
        change(walk.state);
        CHECK_THROWS_WITH_AS(walk.next<float>(), why, DataError);
    };
    refused([](auto& state) { state.document[1] = 5000000; }, "DocumentWalk: entry 1 reads document 5000000 of 2");
    refused([](auto& state) { state.document[0] = -2; }, "DocumentWalk: entry 0 reads document -2 of 2");
    refused([](auto& state) { state.start[1] = -4; }, "DocumentWalk: entry 1 reads on from token -4");
    refused([](auto& state) { state.start.pop_back(); }, "DocumentWalk: a state of 2 documents and 1 places in them, expected 2");
    refused([](auto& state) { state.next = -1; }, "DocumentWalk: document -1 is to come next, expected 0 or more");
}
