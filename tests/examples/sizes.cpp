#include "../../examples/support/sizes.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace fot;
using namespace fot::examples;

TEST_CASE("a count is told in units of 1024 where it is a whole number of them") {
    CHECK(count_text(0) == "0");
    CHECK(count_text(256) == "256");
    CHECK(count_text(1536) == "1536");
    CHECK(count_text(65536) == "64K");
    CHECK(count_text(16777216) == "16M");
    CHECK(count_text(Index(1) << 31) == "2G");
}

TEST_CASE("memory sizes are four times as large each, and end with the largest") {
    CHECK(memory_ladder(2, 33) == std::vector<Index>{2, 8, 32, 33});
    CHECK(memory_ladder(2, 32) == std::vector<Index>{2, 8, 32});
    CHECK(memory_ladder(2, 2) == std::vector<Index>{2});
    constexpr Index most = std::numeric_limits<Index>::max();
    CHECK(memory_ladder(most / 2, most) == std::vector<Index>{most / 2, most});
    CHECK_THROWS_WITH_AS(memory_ladder(4, 2), "memory sizes from 4 to 2: expected 1 or more, in rising order", ConfigError);
}
