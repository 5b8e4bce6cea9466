#include "fot/memory/filter_trials.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace fot;

namespace {

/// Which of so many blocks of 100 keys are filtered ('f'), if a block takes as long as these functions say.
template <class Filtered, class Without>
std::string ways(FilterTrials& trials, Index blocks, Filtered&& filtered, Without&& without) {
    std::string result;
    for (Index block = 0; block < blocks; ++block) {
        const bool due = trials.due(100);
        trials.took(due, due ? filtered(block) : without(block));
        result += due ? 'f' : '.';
    }
    return result;
}

/// The same where each way always takes as long.
std::string steady_ways(FilterTrials& trials, Index blocks, double filtered, double without) {
    return ways(
        trials, blocks, [=](Index) { return filtered; }, [=](Index) { return without; });
}

}  // namespace

TEST_CASE("a search tries both ways with two blocks each and takes the faster one until as many keys have come again") {
    FilterTrials faster(1000);
    CHECK(steady_ways(faster, 10, 1, 2) == "..........");
    CHECK(steady_ways(faster, 12, 1, 2) == "..ffffffffff");
    CHECK(steady_ways(faster, 24, 1, 2) == "..ffffffffffffffffffffff");
    CHECK(steady_ways(faster, 5, 1, 2) == "..fff");
    FilterTrials slower(1000);
    CHECK(steady_ways(slower, 10, 2, 1) == "..........");
    CHECK(steady_ways(slower, 12, 2, 1) == "..ff........");
    CHECK(steady_ways(slower, 24, 1, 2) == "..ffffffffffffffffffffff");  // the data have changed
    FilterTrials equal(1000);
    CHECK(steady_ways(equal, 16, 1, 1) == "............ff..");
}

TEST_CASE("the times of the first blocks, of which none is filtered, do not count") {
    FilterTrials trials(1000);
    CHECK(steady_ways(trials, 10, 2, 0.1) == "..........");
    CHECK(steady_ways(trials, 8, 2, 3) == "..ffffff");
}

TEST_CASE("one interrupted block of a trial does not decide") {
    for (const Index interrupted : {0, 1, 2, 3}) {
        FilterTrials trials(1000);
        steady_ways(trials, 10, 1, 1);
        const auto takes = [=](double usually) { return [=](Index block) { return block == interrupted ? 50 : usually; }; };
        CHECK(ways(trials, 6, takes(1), takes(2)) == "..ffff");
        FilterTrials others(1000);
        steady_ways(others, 10, 1, 1);
        CHECK(ways(others, 6, takes(2), takes(1)) == "..ff..");
    }
}

TEST_CASE("a block that could not be filtered counts as one without the filter") {
    FilterTrials trials(1000);
    steady_ways(trials, 10, 1, 1);
    for (Index block = 0; block < 4; ++block) {
        CHECK(trials.due(100) == (block >= 2));
        trials.took(false, 1);
    }
    CHECK(!trials.due(100));
}

TEST_CASE("a block that is longer than the time between trials does not keep them from ending") {
    FilterTrials trials(0);
    for (const bool filtered : {false, false, true, true, false, false, true, true}) {
        CHECK(trials.due(1 << 20) == filtered);
        trials.took(filtered, 1);
    }
}

TEST_CASE("in long searches trials come every 65536 keys") {
    FilterTrials trials(12288);
    Index filtered = 0, blocks = 0;
    for (Index seen = 0; seen < (1 << 22); seen += 256, ++blocks) {
        const bool due = trials.due(256);
        filtered += due;
        trials.took(due, due ? 2 : 1);
    }
    CHECK(filtered == 2 * (3 + 63));  // three while periods grow, 63 in the rest of 4 million keys
    CHECK(static_cast<double>(filtered) < 0.01 * static_cast<double>(blocks));
}

TEST_CASE("blocks of different sizes are compared by the time of a key") {
    FilterTrials trials(10000);
    CHECK(!trials.due(10000));
    trials.took(false, 1);
    for (const Index keys : {100, 10, 1000, 1}) {
        const bool due = trials.due(keys);
        trials.took(due, (due ? 0.99 : 1) * static_cast<double>(keys));
    }
    CHECK(trials.due(100));
}
