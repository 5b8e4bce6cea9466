/// A program that includes fot before xtensor's views, random numbers and linear algebra. The other order: xtensor_first.cpp.
// clang-format off
#include "fot/fot.hpp"
#include "support/all_of_xtensor.hpp"
// clang-format on
#include <doctest/doctest.h>

#include "support/beside_xtensor.hpp"

using namespace fot;

TEST_CASE("xtensor's views and reductions work on tensors of fot, and fot on tensors that they make: xtensor included last") {
    testing::check_beside_xtensor();
}
