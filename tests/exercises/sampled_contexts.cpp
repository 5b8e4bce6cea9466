/// Exercise 3: negatives drawn at random.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <sampled_contexts.hpp>  // the file beside this one, or the answer: as the include path says
#include <vector>

using namespace exercises;

namespace {

/// How often something is true of the tables of many draws: 4 entries, 2 negatives of a pool of 6.
template <class Event>
double frequency(Event event) {
    Random random(1);
    constexpr int draws = 20000;
    int count = 0;
    for (int i = 0; i < draws; ++i) count += event(sampled_contexts(4, 2, 6, random)) ? 1 : 0;
    return static_cast<double>(count) / draws;
}

bool sees(const ContextTable& table, Index entry, Index document) {
    const std::vector<Index>& list = element(table.contexts, entry);
    return std::find(list.begin() + 1, list.end(), document) != list.end();
}

}  // namespace

TEST_CASE("3: each entry sees its own context first, and others once") {
    Random random(3);
    for (const Index negatives : {0, 1, 5, 9})
        for (int draw = 0; draw < 50; ++draw) {
            const ContextTable table = sampled_contexts(7, negatives, 10, random);
            REQUIRE_NOTHROW(require_valid(table, 7));  // distinct contexts of the pool
            CHECK(table.available == 10);
            for (Index entry = 0; entry < 7; ++entry) {
                CHECK(element(table.positives, entry) == 1);
                REQUIRE(length_of(element(table.contexts, entry)) == 1 + negatives);
                CHECK(element(table.contexts, entry)[0] == entry);
            }
        }
}

TEST_CASE("3: every other document is as likely as the next, and so is every pair") {
    // Of 20000 draws a frequency deviates by .0035 at most (one standard deviation): .02 is more than five of them.
    for (const Index document : {1, 2, 3, 4, 5})  // two of five
        CHECK(std::abs(frequency([&](const ContextTable& table) { return sees(table, 0, document); }) - 0.4) < 0.02);
    for (const Index second : {2, 3, 4, 5})  // two of five, then one of four
        CHECK(std::abs(frequency([&](const ContextTable& table) { return sees(table, 0, 1) && sees(table, 0, second); }) - 0.1) <
              0.02);
}

TEST_CASE("3: each entry draws for itself") {
    const double both = frequency([](const ContextTable& table) { return sees(table, 0, 5) && sees(table, 1, 5); });
    CHECK(std::abs(both - 0.4 * 0.4) < 0.02);
}

TEST_CASE("3: the same seed gives the same tables, and the next draw another") {
    Random first(4), second(4);
    const ContextTable table = sampled_contexts(8, 4, 64, first);
    CHECK(table.contexts == sampled_contexts(8, 4, 64, second).contexts);
    CHECK(table.contexts != sampled_contexts(8, 4, 64, first).contexts);
}

TEST_CASE("3: what cannot be drawn is refused") {
    Random random(5);
    CHECK_THROWS_AS(sampled_contexts(4, 6, 6, random), ConfigError);
    CHECK_THROWS_AS(sampled_contexts(4, -1, 6, random), ConfigError);
    CHECK_THROWS_AS(sampled_contexts(7, 2, 6, random), ConfigError);
    CHECK_THROWS_AS(sampled_contexts(0, 2, 6, random), ConfigError);
}
