#include "fot/memory/filter_trials.hpp"

#include <doctest/doctest.h>

using namespace fot;

namespace {

/// Blocks of 100 keys until the filter is due.
Index blocks_in_float(FilterTrials& trials, double seconds) {
    Index blocks = 0;
    for (; !trials.due(100); ++blocks) trials.took(false, seconds);
    return blocks;
}

}  // namespace

TEST_CASE("a filter is used from its first trial on as long as it is faster than the fastest block before") {
    FilterTrials trials(1000);
    for (Index block = 1; block < 10; ++block) {
        CHECK(!trials.due(100));
        trials.took(false, block == 5 ? 1 : 2);
    }
    for (Index block = 10; block < 30; ++block) {
        CHECK(trials.due(100));
        trials.took(true, block % 2 == 0 ? 1 : 7);  // every other one was interrupted
    }
    CHECK(trials.due(100));
    trials.took(false, 0.1);  // one that could not be filtered, as blocks with NaN
    CHECK(trials.due(100));
    trials.took(true, 1);
}

TEST_CASE("after two slower blocks in turn a search does without its filter for half as many keys as came, at most 32768") {
    FilterTrials trials(1000);
    CHECK(blocks_in_float(trials, 1) == 9);
    for (const Index blocks : {5, 8, 13, 21}) {  // after 1100 keys the next trial is due at 1650, after 1800 at 2700, ...
        trials.took(true, 1.01);
        CHECK(trials.due(100));
        trials.took(true, 1.01);
        CHECK(blocks_in_float(trials, 1) == blocks);
    }
    for (Index trial = 0; trial < 20; ++trial) {
        trials.took(true, 2);
        REQUIRE(trials.due(100));
        trials.took(true, 2);
        const Index blocks = blocks_in_float(trials, 1);
        CHECK(blocks <= 327);
        if (trial > 10) CHECK(blocks == 327);
    }
    trials.took(true, 1);  // now it is no slower
    for (Index block = 0; block < 50; ++block) {
        CHECK(trials.due(100));
        trials.took(true, 0.5);
    }
}

TEST_CASE("blocks of different sizes are compared by the time of a key") {
    FilterTrials trials(1000);
    CHECK(!trials.due(900));
    trials.took(false, 9);
    for (const Index keys : {100, 10, 1000, 1}) {
        CHECK(trials.due(keys));
        trials.took(true, 0.0099 * static_cast<double>(keys));
    }
    CHECK(trials.due(10));
    trials.took(true, 0.11);
    CHECK(trials.due(10));
    trials.took(true, 0.11);
    CHECK(!trials.due(10));
}
