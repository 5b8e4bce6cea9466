/// A program that includes xtensor's views, random numbers and linear algebra before fot. The other order: xtensor_last.cpp.
// clang-format off
#include "support/all_of_xtensor.hpp"
#include "fot/fot.hpp"
// clang-format on
#include <doctest/doctest.h>

#include "support/beside_xtensor.hpp"

using namespace fot;

TEST_CASE("xtensor's views and reductions work on tensors of fot, and fot on tensors that they make: xtensor included first") {
    testing::check_beside_xtensor();
}
