#include "fot/train/curriculum.hpp"

#include <doctest/doctest.h>

using namespace fot;
using doctest::Approx;

TEST_CASE("a constant number of contexts stays and never finishes") {
    Random random(1);
    ContextSchedule schedule = ContextSchedule::constant(8);
    for (Index step = 0; step < 100; ++step) {
        CHECK(schedule.next(step, random) == 8);
        schedule.observe(1.0);
    }
    CHECK_FALSE(schedule.finished());
}

TEST_CASE("the paper's 2 contexts, then 64 for the last tenth; random numbers are not touched") {
    Random random(1);
    const Random::State before = random.state;
    ContextSchedule schedule = ContextSchedule::at_steps({{0, 2}, {90, 64}});
    for (Index step = 0; step < 100; ++step) CHECK(schedule.next(step, random) == (step < 90 ? 2 : 64));
    CHECK(random.state == before);
    ContextSchedule late = ContextSchedule::at_steps({{0, 1}, {10, 2}, {20, 4}, {30, 16}});
    CHECK(late.next(25, random) == 4);  // steps may be left out
    CHECK(late.next(1000, random) == 16);
}

TEST_CASE("contexts are doubled between three and five tenths of the training") {
    Random random(1);
    ContextSchedule schedule = doubled_contexts(8, 100);
    std::vector<Index> seen;
    for (Index step = 0; step < 100; ++step) seen.push_back(schedule.next(step, random));
    CHECK(seen[29] == 1);
    CHECK(seen[30] == 2);
    CHECK(seen[39] == 2);
    CHECK(seen[40] == 4);
    CHECK(seen[49] == 4);
    CHECK(seen[50] == 8);
    CHECK(doubled_contexts(1, 10).next(9, random) == 1);
    ContextSchedule hurried = doubled_contexts(16, 3);  // fewer steps than stages
    CHECK(hurried.next(0, random) >= 1);
    CHECK(hurried.next(2, random) == 16);
    CHECK_THROWS_AS(doubled_contexts(std::numeric_limits<Index>::max(), 100), ConfigError);
    CHECK_THROWS_WITH_AS(doubled_contexts(6, 100), "doubled_contexts: 6 contexts, expected a power of two", ConfigError);
}

TEST_CASE("a stage ends when the running accuracy passes its threshold, and the next starts from 0") {
    Random random(1);
    ContextSchedule schedule = ContextSchedule::stages({{1, Stage<Index>::no_step, 0.5}, {128}});
    Index steps = 0;
    double running = 0;
    while (schedule.next(steps, random) == 1) {
        CHECK(running < 0.5);
        schedule.observe(0.8);
        running = 0.9 * running + 0.1 * 0.8;
        ++steps;
        REQUIRE(steps < 100);
    }
    CHECK(running >= 0.5);
    CHECK(steps == 10);  // 0.8 (1 - 0.9^10) = 0.521
    CHECK(schedule.state == ContextSchedule::State{1, 0.0});
}

TEST_CASE("the length curriculum of the dictionary task goes through its stages and finishes") {
    Random random(1);
    using S = Stage<LengthAndBatch>;
    LengthSchedule schedule = LengthSchedule::stages(
        {S{{20, 64}, S::no_step, 0.9}, S{{60, 32}, S::no_step, 0.9}, S{{130, 16}, S::no_step, 0.9}, S{{256, 8}, S::no_step, 0.98}},
        0.0);
    CHECK(schedule.next(0, random) == LengthAndBatch{20, 64});
    schedule.observe(0.89);
    CHECK(schedule.next(1, random).length == 20);
    schedule.observe(0.9);
    CHECK(schedule.next(2, random) == LengthAndBatch{60, 32});
    schedule.observe(0.95);
    schedule.observe(0.95);
    CHECK(schedule.next(3, random) == LengthAndBatch{256, 8});
    schedule.observe(0.95);
    CHECK_FALSE(schedule.finished());
    schedule.observe(0.99);
    CHECK(schedule.finished());
    CHECK(schedule.next(4, random) == LengthAndBatch{256, 8});
    schedule.observe(0.1);
    CHECK(schedule.finished());
}

TEST_CASE("a stage with both ends is left by whichever comes first") {
    Random random(1);
    const auto ramp = [] { return ContextSchedule::stages({{1, 100, 0.2}, {4, 200, 0.2}, {16}}, 0.0); };
    ContextSchedule by_step = ramp(), by_gain = ramp();
    CHECK(by_step.next(99, random) == 1);
    CHECK(by_step.next(100, random) == 4);
    CHECK(by_step.next(200, random) == 16);
    by_gain.observe(-0.3);
    CHECK(by_gain.next(10, random) == 1);
    by_gain.observe(0.25);
    CHECK(by_gain.next(11, random) == 4);
    CHECK(by_gain.next(150, random) == 4);
}

TEST_CASE("drawn contexts are all equally likely and come from the random numbers given") {
    Random random(5), same(5);
    ContextSchedule schedule = ContextSchedule::drawn({2, 128}), again = ContextSchedule::drawn({2, 128});
    Index many = 0;
    for (Index step = 0; step < 2000; ++step) {
        const Index contexts = schedule.next(step, random);
        CHECK((contexts == 2 || contexts == 128));
        CHECK(schedule.current() == contexts);
        CHECK(again.next(step, same) == contexts);
        many += contexts == 128;
    }
    CHECK(std::abs(static_cast<double>(many) - 1000) < 100);  // 4.5 standard deviations
    schedule.observe(1e9);
    CHECK_FALSE(schedule.finished());
}

TEST_CASE("a schedule restored from its state goes on as before") {
    Random random(1);
    const auto make = [] { return ContextSchedule::stages({{1, 50, 0.7}, {2, 90, 0.7}, {4, Stage<Index>::no_step, 0.9}}); };
    ContextSchedule straight = make();
    const auto train = [&](ContextSchedule& schedule, Index step) {
        const Index contexts = schedule.next(step, random);
        schedule.observe(1 - 1 / static_cast<double>(step + 1));
        return contexts;
    };
    for (Index step = 0; step < 17; ++step) train(straight, step);
    ContextSchedule resumed = make();
    resumed.state = straight.state;
    resumed.require_state();
    for (Index step = 17; step < 120; ++step) {
        CHECK(train(straight, step) == train(resumed, step));
        CHECK(straight.state == resumed.state);
        CHECK(straight.finished() == resumed.finished());
    }
    CHECK(straight.finished());
    resumed.state = straight.state;
    resumed.require_state();
    CHECK(resumed.finished());
}

TEST_CASE("stages that make no sense are refused") {
    constexpr Index never = Stage<Index>::no_step;
    CHECK_THROWS_WITH_AS(ContextSchedule::stages({}), "StageSchedule: no stages", ConfigError);
    CHECK_THROWS_WITH_AS(ContextSchedule::constant(0), "StageSchedule: 0 contexts, expected 1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(LengthSchedule::constant({16, 0}), "StageSchedule: length 16 and batch 0, expected 1 or more",
                         ConfigError);
    CHECK_THROWS_WITH_AS(ContextSchedule::stages({{1}}, 1.0), "StageSchedule: smoothing 1, expected 0 <= smoothing < 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(ContextSchedule::stages({{1, 10}, {2, 10}, {4}}),
                         "StageSchedule: stage 1 ends at step 10, expected more than 10", ConfigError);
    CHECK_THROWS_WITH_AS(ContextSchedule::stages({{1}, {2}}), "StageSchedule: stage 0 never ends, but is followed by others",
                         ConfigError);
    CHECK_THROWS_WITH_AS(ContextSchedule::stages({{1, never, std::nan("")}}), "StageSchedule: stage 0 ends at signal nan",
                         ConfigError);
    CHECK_THROWS_WITH_AS(ContextSchedule::at_steps({{5, 2}}), "StageSchedule::at_steps: the first switch must be at step 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(ContextSchedule::at_steps({{0, 2}, {0, 4}}), "StageSchedule: stage 0 ends at step 0, expected more than 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(ContextSchedule::drawn({}), "StageSchedule: no stages", ConfigError);
    ContextSchedule schedule = ContextSchedule::constant(1);
    CHECK_THROWS_WITH_AS(schedule.observe(std::nan("")), "StageSchedule::observe: the signal is not finite", NumericError);
    schedule.state = {2, 0.0};
    CHECK_THROWS_WITH_AS(schedule.require_state(), "StageSchedule: stage 2 of 1 with running signal 0", ConfigError);
    schedule.state = {0, std::nan("")};  // of a damaged checkpoint: the stage would never end
    CHECK_THROWS_WITH_AS(schedule.require_state(), "StageSchedule: stage 0 of 1 with running signal nan", ConfigError);
    schedule.state = {0, -std::numeric_limits<double>::infinity()};
    CHECK_THROWS_AS(schedule.require_state(), ConfigError);
}

TEST_CASE("a schedule in words") {
    CHECK(ContextSchedule::constant(3).text() == "3");
    CHECK(ContextSchedule::at_steps({{0, 1}, {240, 2}, {320, 8}}).text() == "1 until step 240, 2 until step 320, 8");
    CHECK(ContextSchedule::stages({{1, 10, 0.15}, {4}}).text() == "1 until step 10 until signal 0.15, 4");
    CHECK(ContextSchedule::drawn({2, 128}).text() == "one of 2, 128 a step");
    CHECK(ContextSchedule::drawn({2, 128}).values() == std::vector<Index>{2, 128});
}
