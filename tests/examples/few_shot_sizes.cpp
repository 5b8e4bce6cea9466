#include "../../examples/support/few_shot_sizes.hpp"

#include <doctest/doctest.h>

using namespace fot;
using namespace fot::examples;

TEST_CASE("a stage never has fewer classes than the one before, and the last has all") {
    CHECK(classes_of_stages(50) == std::vector<Index>{3, 6, 12, 25, 50});
    CHECK(classes_of_stages(5) == std::vector<Index>{3, 5, 5, 5, 5});
    for (Index classes = 1; classes <= 256; ++classes) {
        const std::vector<Index> stages = classes_of_stages(classes);
        CHECK(stages.size() == 5);
        CHECK(std::is_sorted(stages.begin(), stages.end()));
        CHECK(stages.back() == classes);
    }
}

TEST_CASE("a window holds four demonstrations, and any question behind the last context") {
    CHECK(demonstrations_in(256, 7, 7, 64) == 36);
    CHECK(demonstrations_in(128, 32, 64, 64) == 4);
    CHECK_THROWS_WITH_AS(demonstrations_in(128, 33, 44, 64), "--length 128: a window holds 3 demonstrations, expected 4 or more",
                         ConfigError);
    CHECK_THROWS_WITH_AS(demonstrations_in(128, 20, 65, 64),
                         "--length 128: a demonstration may have 65 bytes, expected at most 64, so that it fits behind 64 others",
                         ConfigError);
}
