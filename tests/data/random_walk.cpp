#include "fot/data/random_walk.hpp"

#include <doctest/doctest.h>

#include <map>
#include <numeric>
#include <set>

#include "support/allocations.hpp"

using namespace fot;

namespace {

/// Document d holds d * 1000, d * 1000 + 1, ...
std::vector<TokenDocument> documents(const std::vector<Index>& lengths) {
    std::vector<TokenDocument> all;
    for (std::size_t d = 0; d < lengths.size(); ++d) {
        TokenDocument document;
        document.tokens.resize(static_cast<std::size_t>(lengths[d]));
        std::iota(document.tokens.begin(), document.tokens.end(), static_cast<std::int32_t>(d) * 1000);
        all.push_back(document);
    }
    return all;
}

}  // namespace

TEST_CASE("an entry reads on, and when it moves on it says so and holds a document of its own") {
    const std::vector<TokenDocument> text = documents({40, 50, 60, 70, 1});
    Random random(1);
    RandomWalk walk(text, 3, 5, 4, random);
    std::vector<std::int32_t> expected(3, -1);  // first token of the next window, as long as an entry stays
    std::vector<Index> stays(3, 0);
    for (Index step = 0; step < 200; ++step) {
        std::set<Index> moved;
        const ContextBatch<float> batch = walk.next<float>(random, [&](Index b) { moved.insert(b); });
        std::set<Index> held(batch.documents.begin(), batch.documents.end());
        CHECK(held.size() == 3);
        CHECK(held.count(4) == 0);  // one token is nothing to be predicted
        for (Index b = 0; b < 3; ++b) {
            const auto at = static_cast<std::size_t>(b);
            if (moved.count(b)) stays[at] = 0;
            if (step > 0 && !moved.count(b)) CHECK(batch.current(b, 0) == expected[at]);
            CHECK(++stays[at] <= 4);
            CHECK(batch.current(b, 0) / 1000 == batch.documents[at]);
            CHECK(batch.current(b, 0) % 1000 % 5 == 0);
            for (Index t = 0; t < 5; ++t)
                if (batch.mask(b, t) == 1) CHECK(batch.targets(b, t) == batch.current(b, t) + 1);
            CHECK(batch.mask(b, 0) == 1);
            expected[at] = batch.current(b, 0) + 5;
        }
    }
}

TEST_CASE("entries do not move on together: at first each is somewhere in its stay") {
    const std::vector<TokenDocument> text = documents(std::vector<Index>(60, 1000));
    Random random(5);
    RandomWalk walk(text, 60, 5, 4, random);
    std::map<Index, Index> staying;
    for (const Index left : walk.state.left) ++staying[left];
    for (const Index left : {1, 2, 3, 4}) CHECK(std::abs(staying[left] - 15) < 12);  // 3.6 standard deviations
    CHECK(staying.size() == 4);
    walk.next<float>(random, [](Index) {});
    Index moved = 0;
    walk.next<float>(random, [&](Index) { ++moved; });
    CHECK(moved >= staying[1]);  // and those that came to the end of their document
    CHECK(moved < 30);
}

TEST_CASE("documents are drawn in proportion to their length to the power of three quarters") {
    const std::vector<TokenDocument> text = documents({20, 320});
    Random random(2);
    RandomWalk walk(text, 1, 5, 1, random);
    std::map<Index, double> visits;
    for (Index step = 0; step < 9000; ++step) visits[walk.next<float>(random, [](Index) {}).documents[0]] += 1;
    CHECK(visits[1] / visits[0] == doctest::Approx(8).epsilon(0.1));  // 16^0.75
}

TEST_CASE("a kept state goes on where it was; one that fits no document is refused") {
    const std::vector<TokenDocument> text = documents({40, 50, 60});
    Random random(3);
    RandomWalk walk(text, 2, 5, 4, random);
    for (Index step = 0; step < 7; ++step) walk.next<float>(random, [](Index) {});
    const RandomWalk::State kept = walk.state;
    Random copy = random;
    const ContextBatch<float> next = walk.next<float>(random, [](Index) {});
    RandomWalk other(text, 2, 5, 4, random);
    other.state = kept;
    other.require_state();
    CHECK(other.next<float>(copy, [](Index) {}).current.storage() == next.current.storage());
    const auto refused = [&](const char* why) { CHECK_THROWS_WITH_AS(other.require_state(), doctest::Contains(why), DataError); };
    other.state.document[1] = 3;
    refused("RandomWalk: entry 1 reads ");
    refused(" more windows of document 3 of 3 from token ");
    CHECK_THROWS_WITH_AS(other.next<float>(copy, [](Index) {}), doctest::Contains("document 3 of 3"), DataError);
    other.state.document[1] = 1;
    other.state.start[0] = std::numeric_limits<Index>::max();
    refused("of 3 from token 9223372036854775807 on");
    other.state.start[0] = 0;
    other.state.left[0] = -1;
    refused("RandomWalk: entry 0 reads -1 more windows of document ");
    for (std::vector<Index> RandomWalk::State::*list :
         {&RandomWalk::State::document, &RandomWalk::State::start, &RandomWalk::State::left}) {
        other.state = kept;
        (other.state.*list).pop_back();
        refused("RandomWalk: a state of 1 entries, expected 2");
    }
}

TEST_CASE("walks that make no sense are refused") {
    std::vector<TokenDocument> text = documents({40, 1, 60});
    Random random(4);
    CHECK_THROWS_WITH_AS(RandomWalk(text, 3, 5, 4, random), "RandomWalk: 2 of 3 documents have two tokens, expected 3 or more",
                         DataError);
    CHECK_THROWS_WITH_AS(RandomWalk(text, 2, 5, 0, random), "RandomWalk: stays of 0 windows, expected 1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(RandomWalk(text, 0, 5, 1, random), doctest::Contains("RandomWalk: 0 entries"), ConfigError);
    text[2].loss_mask.assign(59, 1.f);
    CHECK_THROWS_WITH_AS(RandomWalk(text, 2, 5, 4, random), doctest::Contains("its loss mask has 59 numbers for 60 tokens"),
                         DataError);
}

TEST_CASE("a batch that there is no memory for was not drawn: the walk and its generator stand where they stood") {
    const std::vector<TokenDocument> text = documents({40, 50, 60, 70});
    Random random(5), other = random;
    RandomWalk walk(text, 2, 5, 3, random), expected(text, 2, 5, 3, other);
    for (Index step = 0; step < 10; ++step) {
        const RandomWalk::State before = walk.state;
        const Random::State drawn = random.state;
        ContextBatch<float> batch;
        const auto unchanged = [&] {
            REQUIRE(walk.state.document == before.document);
            REQUIRE(walk.state.start == before.start);
            REQUIRE(walk.state.left == before.left);
            REQUIRE(random.state == drawn);
        };
        CHECK(testing::for_every_failing_allocation([&] { batch = walk.next<float>(random, [](Index) {}); }, unchanged) > 5);
        CHECK(batch.current == expected.next<float>(other, [](Index) {}).current);
        CHECK(random.state == other.state);
    }
}
