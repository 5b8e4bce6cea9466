#include "fot/train/gradient_clipping.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "fot/core/random.hpp"

using namespace fot;

TEST_CASE("hand numbers: gradients (3, 0) and (4) have norm 5 and are shortened together") {
    Variable<double, 1> x(zeros<double, 1>({2}), true), y(zeros<double, 1>({1}), true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::output, x), parameter("y", Role::gate, y)};
    x.gradient()(0) = 3;
    y.gradient()(0) = 4;
    CHECK(global_norm(parameters) == 5.0);
    CHECK(clip_by_global_norm(parameters, 6.0) == 5.0);
    CHECK(x.gradient()(0) == 3.0);
    CHECK(clip_by_global_norm(parameters, 1.0) == 5.0);
    CHECK(x.gradient()(0) == doctest::Approx(0.6));
    CHECK(y.gradient()(0) == doctest::Approx(0.8));
    CHECK(x.gradient()(1) == 0.0);
    CHECK(global_norm(parameters) == doctest::Approx(1.0));
}

TEST_CASE("the norm of 2e7 ones in float is not stuck at 4096") {
    Variable<float, 1> x(zeros<float, 1>({20000000}), true);
    x.gradient().fill(1.0f);
    CHECK(global_norm<float>({parameter("x", Role::output, x)}) == doctest::Approx(std::sqrt(2e7)).epsilon(1e-12));
}

TEST_CASE("no parameters and zero gradients have norm 0 and are not clipped") {
    CHECK(global_norm<float>({}) == 0.0);
    Variable<float, 1> x(zeros<float, 1>({4}), true);
    CHECK(clip_by_global_norm<float>({parameter("x", Role::output, x)}, 1e-6) == 0.0);
    CHECK(x.gradient()(0) == 0.0f);
}

TEST_CASE("a gradient that is not finite is reported with the first parameter's name and left as it was") {
    Variable<float, 1> x(zeros<float, 1>({3}), true), y(zeros<float, 1>({3}), true), z(zeros<float, 1>({3}), true);
    const std::vector<Parameter<float>> parameters{parameter("x", Role::output, x),
                                                   parameter("layers.1.up", Role::hidden_matrix, y), parameter("z", Role::gate, z)};
    x.gradient()(0) = 100;
    y.gradient()(2) = -std::numeric_limits<float>::infinity();
    z.gradient()(1) = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH_AS(clip_by_global_norm(parameters, 1.0),
                         "global_norm: the gradient of layers.1.up is not finite: its squares add up to inf", NumericError);
    CHECK(x.gradient()(0) == 100.0f);
    y.gradient()(2) = 0;
    CHECK_THROWS_WITH_AS(global_norm(parameters), "global_norm: the gradient of z is not finite: its squares add up to nan",
                         NumericError);
}

TEST_CASE("a limit that is not positive is refused") {
    CHECK_THROWS_WITH_AS(clip_by_global_norm<float>({}, 0.0), "clip_by_global_norm: largest norm 0 is not positive", ConfigError);
    CHECK_THROWS_AS(clip_by_global_norm<float>({}, std::numeric_limits<double>::quiet_NaN()), ConfigError);
}

TEST_CASE("gradients of which each has a norm but all together have none are refused and left as they were") {
    Variable<double, 1> x(zeros<double, 1>({1}), true), y(zeros<double, 1>({1}), true);
    x.gradient()(0) = y.gradient()(0) = 1.2e154;
    const std::vector<Parameter<double>> both{parameter("x", Role::output, x), parameter("y", Role::output, y)};
    CHECK_THROWS_WITH_AS(clip_by_global_norm(both, 1.0),
                         "global_norm: the squares of all gradients add up to more than a double holds", NumericError);
    CHECK(x.gradient()(0) == 1.2e154);
}
