#include "fot/attention/visiting_rounds.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace fot;

TEST_CASE("within a round no entry and no context occurs twice, and the rounds cover every visit once") {
    const ContextTable by_hand{4, {{3, 0}, {3}, {}, {3, 1, 2, 0}}, {1, 0, 0, 2}};
    for (const ContextTable& table : {previous_contexts(5, 1, 4), previous_contexts(4, 3, 5), previous_contexts(3, 2, 4, 7),
                                      packed_contexts(12, 7, 4, true), by_hand}) {
        std::set<std::pair<Index, Index>> seen;
        for (const std::vector<Visit>& round : visiting_rounds(table)) {
            CHECK_FALSE(round.empty());
            std::set<Index> entries, contexts;
            for (const Visit& visit : round) {
                CHECK(entries.insert(visit.entry).second);
                CHECK(contexts.insert(visit.context).second);
                CHECK(seen.insert({visit.entry, visit.place}).second);
                CHECK(table.contexts[static_cast<std::size_t>(visit.entry)][static_cast<std::size_t>(visit.place)] ==
                      visit.context);
            }
        }
        std::size_t visits = 0;
        for (const auto& list : table.contexts) visits += list.size();
        CHECK(seen.size() == visits);
    }
}

TEST_CASE("in the paper's form round r is: entry i visits document i + r") {
    const auto rounds = visiting_rounds(previous_contexts(4, 1, 3));
    REQUIRE(rounds.size() == 4);
    for (std::size_t r = 0; r < 4; ++r)
        for (const Visit& visit : rounds[r]) {
            CHECK(visit.context == (visit.entry + static_cast<Index>(r)) % 4);
            CHECK(visit.place == static_cast<Index>(r));
        }
}

TEST_CASE("no contexts need no round, and a table that makes no sense is refused") {
    CHECK(visiting_rounds(no_contexts(3)).empty());
    CHECK_THROWS_WITH_AS(visiting_rounds({2, {{0, 5000000}}, {1}}),
                         "context table: entry 0 lists context 5000000, expected 0 ... 1", ConfigError);
}
