#include "fot/train/learning_rate.hpp"

#include <doctest/doctest.h>

using namespace fot;
using doctest::Approx;

TEST_CASE("a constant rate is reached by equal parts and kept") {
    const LearningRate plain = LearningRate::constant(0.5), warm = LearningRate::constant(1.0, 4);
    CHECK(plain.at(0) == 0.5);
    CHECK(plain.at(1000000) == 0.5);
    CHECK(warm.at(0) == 0.25);
    CHECK(warm.at(2) == 0.75);
    CHECK(warm.at(3) == 1.0);
    CHECK(warm.at(4) == 1.0);
}

TEST_CASE("the paper's rate falls with the inverse square root after the warm-up, without a jump") {
    const LearningRate schedule = LearningRate::inverse_square_root(2.0, 1000);
    CHECK(schedule.at(0) == Approx(0.002));
    CHECK(schedule.at(499) == Approx(1.0));
    CHECK(schedule.at(999) == Approx(2.0));
    CHECK(schedule.at(3999) == Approx(1.0));
    CHECK(schedule.at(99999) == Approx(0.2));
    CHECK(LearningRate::inverse_square_root(1.0, 0).at(0) == 1.0);
    CHECK(LearningRate::inverse_square_root(1.0, 0).at(3) == 0.5);
}

TEST_CASE("the linear decay begins at its share of the steps and ends at the final share") {
    const LearningRate schedule = LearningRate::linear_decay(1.0, 10, 100);
    CHECK(schedule.at(4) == 0.5);
    CHECK(schedule.at(30) == 1.0);
    CHECK(schedule.at(50) == Approx(1.0));
    CHECK(schedule.at(75) == Approx(0.51));
    CHECK(schedule.at(100) == Approx(0.02));
    CHECK(schedule.at(500) == Approx(0.02));
    const LearningRate whole = LearningRate::linear_decay(2.0, 0, 10, 1.0, 0.0);
    CHECK(whole.at(0) == Approx(2.0));
    CHECK(whole.at(5) == Approx(1.0));
    CHECK(whole.at(10) == 0.0);
    CHECK(LearningRate::linear_decay(1.0, 0, 1).at(0) == Approx(1.0));
}

TEST_CASE("learning rates that make no sense are refused") {
    CHECK_THROWS_WITH_AS(LearningRate::constant(-1), "LearningRate: rate -1, expected a finite number of 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(LearningRate::constant(1, -2), "LearningRate: -2 warm-up steps, expected 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(LearningRate::linear_decay(1, 0, 0), "LearningRate::linear_decay: 0 steps in total, expected 1 or more",
                         ConfigError);
    CHECK_THROWS_WITH_AS(LearningRate::linear_decay(1, 0, 10, 0),
                         doctest::Contains("decayed share 0, final share 0.02, expected shares of at most 1, the first above 0"),
                         ConfigError);
    CHECK_THROWS_WITH_AS(LearningRate::linear_decay(1, 0, 10, 0.5, 2),
                         doctest::Contains("decayed share 0.5, final share 2, expected"), ConfigError);
    CHECK_THROWS_WITH_AS(LearningRate::constant(1).at(-1), "LearningRate::at: step -1 is negative", ConfigError);
}

TEST_CASE("a schedule may be handed on as a function of the step") {
    const std::function<double(Index)> factor = LearningRate::linear_decay(2.0, 0, 10, 1.0, 0.0);
    CHECK(factor(0) == Approx(2.0));
    CHECK(factor(5) == Approx(1.0));
}
