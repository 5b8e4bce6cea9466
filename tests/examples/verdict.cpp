#include "../../examples/support/verdict.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace fot;
using namespace fot::examples;

TEST_CASE("a claim is reproduced if the interval over three seeds lies wholly within its range") {
    CHECK(verdict({-0.5, -0.1}, lower_than_zero, 3) == "reproduced");
    CHECK(verdict({-0.5, 0.1}, lower_than_zero, 3) == "not resolved");
    CHECK(verdict({0.1, 0.5}, lower_than_zero, 3) == "not reproduced");
    CHECK(verdict({0.1, 0.5}, higher_than_zero, 4) == "reproduced");
}

TEST_CASE("equality needs an interval within the margin: one that covers 0 does not show it") {
    CHECK(verdict({-0.019, 0.015}, equal_bits, 3) == "reproduced");
    CHECK(verdict({-0.032, 0.038}, equal_bits, 3) == "not resolved");
    CHECK(verdict({0.025, 0.075}, equal_bits, 3) == "not reproduced");
}

TEST_CASE("one or two seeds never reproduce a claim") {
    CHECK(verdict({-0.5, -0.1}, lower_than_zero, 1) == "agrees");
    CHECK(verdict({-0.5, 0.1}, lower_than_zero, 2) == "not resolved");
    CHECK(verdict({0.1, 0.5}, lower_than_zero, 2) == "disagrees");
}

TEST_CASE("without an interval there is no verdict") {
    constexpr double nothing = std::numeric_limits<double>::quiet_NaN();
    CHECK(verdict({nothing, nothing}, lower_than_zero, 3) == "no interval");
    CHECK(verdict({0.1, nothing}, lower_than_zero, 3) == "no interval");
}

TEST_CASE("a difference of two intervals lies above 0 exactly if the first lies above the second") {
    CHECK(difference_of({3, 4}, {1, 2}).low == 1);
    CHECK(difference_of({3, 4}, {1, 2}).high == 3);
    CHECK(difference_of({2, 4}, {1, 3}).low == -1);
}
