#include "fot/train/trainer.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "fot/train/adafactor.hpp"
#include "fot/train/adamw.hpp"
#include "fot/train/muon.hpp"
#include "support/allocations.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_regression.hpp"
#include "support/with_threads.hpp"

using namespace fot;

namespace {

const testing::TemporaryFolder folder;
const std::filesystem::path path = folder / "run.safetensors";

double learning_rate(Index step) { return LearningRate::inverse_square_root(0.1, 3).at(step); }

/// A model in training whose step draws batches, keeps a running loss and moves a schedule by it.
template <class Real, class Optimizer>
struct Run {
    testing::TinyRegression<Real> model;
    Optimizer optimizer{model.parameters()};
    Random random{3};
    double running = 0;
    Index points = 0;
    ContextSchedule schedule = ContextSchedule::stages({{8, Stage<Index>::no_step, 0.3}, {16}}, 0.8);
    Trainer<Real> trainer;

    explicit Run(TrainerOptions options) : trainer(optimizer, std::move(options)) {
        trainer.keep("batches", random);
        trainer.keep("running", running);
        trainer.keep("points", points);
        trainer.keep("schedule", schedule);
    }
    TrainingOutcome run(Index interrupt_at = -1) {
        return trainer.run([&](Index step) {
            if (step == interrupt_at) ::raise(SIGINT);
            const Index batch = schedule.next(step, random);
            const double loss = model.loss(random, batch);
            running = 0.7 * running + 0.3 * loss;
            points += batch;
            schedule.observe(1 - std::exp(-loss));
            return StepResult{.loss = loss, .tokens = batch};
        });
    }
};

/// The message of the NumericError that a run ends with.
template <class StepLoss>
std::string numeric_error(Trainer<float>& trainer, StepLoss&& step_loss) {
    try {
        trainer.run(step_loss);
    } catch (const NumericError& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE_TEMPLATE("five steps, a checkpoint, new objects and five steps end bitwise like ten steps", Optimizer, AdamW<float>,
                   AdamW<double>, Adafactor<float>, Muon<float>) {
    using Real = std::remove_pointer_t<decltype(std::declval<Optimizer&>().state().slots[0].data)>;
    std::filesystem::remove(path);
    Run<Real, Optimizer> through({.steps = 10, .learning_rate = learning_rate});
    CHECK(through.run() == TrainingOutcome::finished);
    {
        Run<Real, Optimizer> first({.steps = 5, .learning_rate = learning_rate, .checkpoint = path});
        CHECK_FALSE(first.trainer.resume());
        first.run();
    }
    Run<Real, Optimizer> second({.steps = 10, .learning_rate = learning_rate, .checkpoint = path});
    second.random = Random(1234);
    CHECK(second.trainer.resume());
    CHECK(second.trainer.steps_done() == 5);
    second.run();
    CHECK(second.model.numbers() == through.model.numbers());
    CHECK(second.random.state == through.random.state);
    CHECK(second.running == through.running);
    CHECK(second.points == through.points);
    CHECK(second.schedule.state == through.schedule.state);
    CHECK(through.schedule.state.stage == 1);
}

TEST_CASE("an interrupt ends the step, leaves a checkpoint, and the resumed run ends bitwise the same") {
    std::filesystem::remove(path);
    Run<float, AdamW<float>> through({.steps = 10, .learning_rate = learning_rate});
    through.run();
    {
        const InterruptGuard guard;
        Run<float, AdamW<float>> first({.steps = 10, .learning_rate = learning_rate, .checkpoint = path});
        CHECK(first.run(4) == TrainingOutcome::interrupted);
        CHECK(first.trainer.steps_done() == 5);
    }
    Run<float, AdamW<float>> second({.steps = 10, .learning_rate = learning_rate, .checkpoint = path});
    CHECK(second.trainer.resume());
    CHECK(second.run() == TrainingOutcome::finished);
    CHECK(second.model.numbers() == through.model.numbers());
}

TEST_CASE("an interrupt without a checkpoint path writes nothing") {
    const InterruptGuard guard;
    Run<float, AdamW<float>> run({.steps = 10, .learning_rate = learning_rate});
    CHECK(run.run(0) == TrainingOutcome::interrupted);
    CHECK(run.trainer.steps_done() == 1);
    CHECK_FALSE(run.trainer.resume());
}

TEST_CASE("the loop is: gradients, limit of their norm, step of the optimiser with the schedule's rate") {
    testing::TinyRegression<double> by_trainer, by_hand;
    AdamW<double> trainer_optimizer(by_trainer.parameters()), hand_optimizer(by_hand.parameters());
    Random trainer_random(5), hand_random(5);
    Trainer<double> trainer(trainer_optimizer, {.steps = 4, .learning_rate = learning_rate, .largest_gradient_norm = 0.5});
    trainer.run([&](Index) { return StepResult{.loss = by_trainer.loss(trainer_random)}; });
    for (Index step = 0; step < 4; ++step) {
        zero_gradients(by_hand.parameters());
        by_hand.loss(hand_random);
        clip_by_global_norm(by_hand.parameters(), 0.5);
        hand_optimizer.step(learning_rate(step));
    }
    CHECK(by_trainer.numbers() == by_hand.numbers());
}

TEST_CASE("training brings the loss down and the weights to the truth") {
    testing::TinyRegression<float> model;
    AdamW<float> optimizer(model.parameters(), {.learning_rate = 0.1});
    Random random(6);
    std::vector<TrainingProgress> told;
    const LearningRate schedule = LearningRate::linear_decay(1, 5, 200);
    Trainer<float> trainer(optimizer, {.steps = 200, .learning_rate = schedule, .progress = [&](const TrainingProgress& progress) {
                                           told.push_back(progress);
                                       }});
    trainer.run([&](Index) { return StepResult{.loss = model.loss(random), .accuracy = 0.25, .tokens = 8}; });
    REQUIRE(told.size() == 200);
    CHECK(told.back().loss < 1e-3 * told.front().loss);
    CHECK(model.weight.value()(2, 0) == doctest::Approx(2).epsilon(0.01));
    for (std::size_t i = 0; i < told.size(); ++i) {
        CHECK(told[i].steps_done == static_cast<Index>(i) + 1);
        CHECK(told[i].steps == 200);
        CHECK(told[i].learning_rate == schedule.at(static_cast<Index>(i)));
        CHECK(told[i].gradient_norm > 0);
        CHECK(told[i].accuracy == 0.25);
        CHECK(told[i].seconds >= (i ? told[i - 1].seconds : 0));
        CHECK(told[i].tokens_per_second * told[i].seconds == doctest::Approx(8.0 * static_cast<double>(i + 1)));
    }
}

TEST_CASE("a loss or gradient that is not finite ends the run before it reaches the weights") {
    testing::TinyRegression<float> model;
    AdamW<float> optimizer(model.parameters());
    Random random(7);
    Trainer<float> trainer(optimizer, {.steps = 10, .learning_rate = learning_rate});
    std::vector<float> before;
    const auto bad_at = [&](Index bad, double loss, float gradient) {
        return [&, bad, loss, gradient](Index step) {
            const double good = model.loss(random);
            before = model.numbers();
            if (step == bad) model.bias.gradient()(1) += gradient;
            return StepResult{.loss = step == bad ? loss : good};
        };
    };
    const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
    CHECK(numeric_error(trainer, bad_at(2, nan, 0)) == "Trainer: the loss of step 2 is nan, expected a finite number");
    CHECK(numeric_error(trainer, bad_at(2, infinity, 0)) == "Trainer: the loss of step 2 is inf, expected a finite number");
    CHECK(numeric_error(trainer, bad_at(3, 1, static_cast<float>(nan)))
              .starts_with("Trainer: step 3: global_norm: the gradient of bias"));
    CHECK(model.numbers() == before);
    CHECK(trainer.steps_done() == 3);
    CHECK(optimizer.step_count() == 3);
    CHECK(numeric_error(trainer, bad_at(-1, 0, 0)) == "");
    CHECK(trainer.steps_done() == 10);
}

TEST_CASE("checkpoints are written every so many seconds, and at the end") {
    const auto written = [](TrainerOptions options) {
        std::filesystem::remove(path);
        std::vector<Index> steps;
        Index last = -1;
        options.checkpoint = path;
        options.metadata = {{"run", "tiny"}};
        testing::TinyRegression<float> model;
        AdamW<float> optimizer(model.parameters());
        Random random(8);
        const auto look = [&] {
            if (!std::filesystem::exists(path)) return;
            const Index step = SafetensorsFile(path).read<Index>("training/integer/step")[0];
            if (step != last) steps.push_back(step);
            last = step;
        };
        Trainer<float> trainer(optimizer, options);
        trainer.run([&](Index) {
            look();
            return StepResult{.loss = model.loss(random)};
        });
        look();
        CHECK(read_metadata(path) == Metadata{{"run", "tiny"}});
        return steps;
    };
    CHECK(written({.steps = 7, .learning_rate = learning_rate}) == std::vector<Index>{7});
    CHECK(written({.steps = 3, .learning_rate = learning_rate, .checkpoint_every_seconds = 1e-9}) == std::vector<Index>{1, 2, 3});
    CHECK(written({.steps = 3, .learning_rate = learning_rate, .checkpoint_every_seconds = 1e9}) == std::vector<Index>{3});
}

TEST_CASE("a step that says the aim is reached is the last") {
    testing::TinyRegression<float> model;
    AdamW<float> optimizer(model.parameters());
    Random random(9);
    Trainer<float> trainer(optimizer, {.steps = 10, .learning_rate = learning_rate});
    CHECK(trainer.run([&](Index step) { return StepResult{.loss = model.loss(random), .done = step == 3}; }) ==
          TrainingOutcome::finished);
    CHECK(trainer.steps_done() == 4);
    CHECK(optimizer.step_count() == 4);
}

TEST_CASE("a run that has reached its aim stays finished when it is resumed") {
    std::filesystem::remove(path);
    const auto run = [](bool done) {
        testing::TinyRegression<float> model;
        AdamW<float> optimizer(model.parameters());
        Random random(9);
        Trainer<float> trainer(optimizer, {.steps = 5, .learning_rate = learning_rate, .checkpoint = path});
        trainer.resume();
        trainer.run([&](Index step) { return StepResult{.loss = model.loss(random), .done = done && step == 1}; });
        return trainer.steps_done();
    };
    CHECK(run(true) == 2);
    CHECK(run(false) == 2);
    std::filesystem::remove(path);
    CHECK(run(false) == 5);
}

TEST_CASE("a checkpoint of other settings is refused") {
    std::filesystem::remove(path);
    const auto resume = [](Metadata metadata) {
        testing::TinyRegression<float> model;
        AdamW<float> optimizer(model.parameters());
        Trainer<float> trainer(optimizer,
                               {.steps = 1, .learning_rate = learning_rate, .checkpoint = path, .metadata = std::move(metadata)});
        const bool resumed = trainer.resume();
        if (!resumed) trainer.save();
        return resumed;
    };
    CHECK_FALSE(resume({{"contexts", "16"}, {"seed", "1"}}));
    CHECK(resume({{"contexts", "16"}, {"seed", "1"}}));
    CHECK(resume({{"seed", "1"}}));
    CHECK_THROWS_WITH_AS(resume({{"contexts", "8"}}), message(path.string(), ": metadata 'contexts' is '16', expected '8'").c_str(),
                         ConfigError);
    CHECK_THROWS_WITH_AS(resume({{"steps", "8"}}), message(path.string(), ": metadata 'steps' is missing, expected '8'").c_str(),
                         ConfigError);
}

TEST_CASE("a finished run that is resumed has nothing left to do") {
    std::filesystem::remove(path);
    Run<float, AdamW<float>> run({.steps = 3, .learning_rate = learning_rate, .checkpoint = path});
    run.run();
    Run<float, AdamW<float>> again({.steps = 3, .learning_rate = learning_rate, .checkpoint = path});
    again.trainer.resume();
    CHECK(again.run(0) == TrainingOutcome::finished);
    CHECK(again.model.numbers() == run.model.numbers());
}

TEST_CASE("a checkpoint that was not resumed is not overwritten") {
    std::filesystem::remove(path);
    Run<float, AdamW<float>> kept({.steps = 3, .learning_rate = learning_rate, .checkpoint = path});
    kept.run();
    const std::string bytes = testing::file_text(path);
    Run<float, AdamW<float>> other({.steps = 3, .learning_rate = learning_rate, .checkpoint = path, .metadata = {{"seed", "2"}}});
    const auto refused = [&] {
        CHECK_THROWS_WITH_AS(other.run(),
                             doctest::Contains("run.safetensors is there already and would be overwritten: call resume()"),
                             ConfigError);
        CHECK(other.trainer.steps_done() == 0);
        CHECK(testing::file_text(path) == bytes);
    };
    refused();
    CHECK_THROWS_AS(other.trainer.resume(), ConfigError);
    refused();
    Run<float, AdamW<float>> reader(
        {.steps = 3, .learning_rate = learning_rate, .checkpoint = path, .writes_checkpoint = false, .metadata = {{"seed", "2"}}});
    CHECK(reader.run() == TrainingOutcome::finished);
    CHECK(testing::file_text(path) == bytes);
}

TEST_CASE("a checkpoint says that steps are left, until none is") {
    std::filesystem::remove(path);
    const auto unfinished = [](Index interrupt_at, bool done = false) {
        const InterruptGuard guard;
        testing::TinyRegression<float> model;
        AdamW<float> optimizer(model.parameters());
        Random random(3);
        Trainer<float> trainer(optimizer, {.steps = 10, .learning_rate = learning_rate, .checkpoint = path});
        trainer.resume();
        trainer.run([&](Index step) {
            if (step == interrupt_at) ::raise(SIGINT);
            return StepResult{.loss = model.loss(random), .done = done};
        });
        const Metadata metadata = read_metadata(path);
        return metadata.contains("unfinished") ? metadata.at("unfinished") : "finished";
    };
    CHECK(unfinished(3) == "4 of 10 steps");
    CHECK(unfinished(5) == "6 of 10 steps");
    CHECK(unfinished(-1) == "finished");
    std::filesystem::remove(path);
    CHECK(unfinished(-1, true) == "finished");  // its aim was reached in the first step
}

TEST_CASE("a checkpoint that has more steps than are wanted is refused") {
    std::filesystem::remove(path);
    Run<float, AdamW<float>>({.steps = 3, .learning_rate = learning_rate, .checkpoint = path}).run();
    Run<float, AdamW<float>> shorter({.steps = 2, .learning_rate = learning_rate, .checkpoint = path});
    const std::vector<float> before = shorter.model.numbers();
    CHECK_THROWS_WITH_AS(shorter.trainer.resume(), doctest::Contains("3 steps are done, more than the 2 that are wanted"),
                         ConfigError);
    CHECK(shorter.model.numbers() == before);
    CHECK(shorter.trainer.steps_done() == 0);
}

TEST_CASE("what is on disk already is not written again") {
    std::filesystem::remove(path);
    Run<float, AdamW<float>>({.steps = 3, .learning_rate = learning_rate, .checkpoint = path}).run();
    const auto resumed = [](Index steps) {
        Run<float, AdamW<float>> run({.steps = steps, .learning_rate = learning_rate, .checkpoint = path});
        REQUIRE(run.trainer.resume());
        std::filesystem::remove(path);  // a new file would take its place
        const TrainingOutcome outcome = run.run();
        return std::pair(outcome, std::filesystem::exists(path));
    };
    std::filesystem::copy_file(path, folder / "copy", std::filesystem::copy_options::overwrite_existing);
    const auto restore = [] { std::filesystem::copy_file(folder / "copy", path); };
    CHECK(resumed(3) == std::pair(TrainingOutcome::finished, false));
    restore();
    {
        const InterruptGuard guard;
        ::raise(SIGINT);
        CHECK(resumed(4) == std::pair(TrainingOutcome::interrupted, false));
    }
    restore();
    CHECK(resumed(4) == std::pair(TrainingOutcome::finished, true));
}

TEST_CASE("options and names that make no sense are errors") {
    testing::TinyRegression<float> model;
    AdamW<float> optimizer(model.parameters());
    const auto make = [&](TrainerOptions options) { Trainer<float>(optimizer, std::move(options)); };
    CHECK_THROWS_WITH_AS(make({.steps = -1, .learning_rate = learning_rate}), "Trainer: steps -1 is below 0", ConfigError);
    CHECK_THROWS_WITH_AS(make({.steps = 1, .learning_rate = {}}), "Trainer: there is no learning rate", ConfigError);
    CHECK_THROWS_WITH_AS(make({.steps = 1, .learning_rate = learning_rate, .checkpoint_every_seconds = -2}),
                         "Trainer: checkpoint_every_seconds -2 is below 0", ConfigError);
    CHECK_THROWS_WITH_AS(make({.steps = 1, .learning_rate = learning_rate, .largest_gradient_norm = 0}),
                         "Trainer: largest_gradient_norm 0 is not positive", ConfigError);
    Trainer<float> trainer(optimizer, {.steps = 1, .learning_rate = learning_rate});
    Index step = 0;
    CHECK_THROWS_WITH_AS(trainer.keep("step", step), "TrainingState::keep: name 'integer/step' is taken", ConfigError);
    Trainer<float> too_long(optimizer, {.steps = 1, .learning_rate = learning_rate, .checkpoint = std::string(300, 'a')});
    CHECK_THROWS_WITH_AS(too_long.resume(), doctest::Contains("cannot be looked for"), FileError);
}

TEST_CASE("a checkpoint that counts steps below 0 is refused") {
    std::filesystem::remove(path);
    Run<float, AdamW<float>> run({.steps = 3, .learning_rate = learning_rate, .checkpoint = path});
    run.run();
    const SafetensorsFile file(path);
    const std::pair<std::string, const char*> problems[] = {
        {"training/integer/step", ": -1 steps are done, expected 0 or more"},
        {"training/optimizer_step", ": tensor 'training/optimizer_step' is negative, expected a number of steps"}};
    for (const auto& problem : problems) {
        SafetensorsWriter writer;
        std::map<std::string, std::vector<char>> bytes;
        for (const std::string& name : file.names()) {
            Index count = dtype_bytes(file.dtype(name));
            for (const Index each : file.shape(name)) count *= each;
            bytes[name].resize(static_cast<std::size_t>(count));
            file.read_bytes(name, bytes[name].data());
            if (name == problem.first) std::fill(bytes[name].begin(), bytes[name].end(), char(-1));
            writer.add_bytes(name, file.dtype(name), file.shape(name), bytes[name].data());
        }
        const std::filesystem::path other = folder / "negative.safetensors";
        writer.write(other);
        Run<float, AdamW<float>> resumed({.steps = 3, .learning_rate = learning_rate, .checkpoint = other});
        CHECK_THROWS_WITH_AS(resumed.trainer.resume(), doctest::Contains(problem.second), FileError);
    }
}

TEST_CASE("a run that runs out of memory leaves the step undone, and goes on as if nothing had been") {
    const testing::WithThreads one(1);
    Run<double, Muon<double>> through({.steps = 3, .learning_rate = learning_rate});
    through.run();
    Run<double, Muon<double>> run({.steps = 3, .learning_rate = learning_rate});
    // What the step draws from and observes belongs to the program, which brings it back.
    Random random = run.random;
    double running = run.running;
    Index points = run.points;
    ContextSchedule schedule = run.schedule;
    Index steps = 0;
    std::vector<double> numbers = run.model.numbers();
    const auto work = [&] {
        run.trainer.run([&](Index step) {
            std::vector<double> now = run.model.numbers();
            ContextSchedule schedule_now = run.schedule;
            random = run.random;
            running = run.running;
            points = run.points;
            schedule = std::move(schedule_now);
            steps = step;
            numbers = std::move(now);
            const Index batch = run.schedule.next(step, run.random);
            const double loss = run.model.loss(run.random, batch);
            run.points += batch;
            run.schedule.observe(1 - std::exp(-loss));
            return StepResult{.loss = loss};
        });
    };
    const Index failures = testing::for_every_failing_allocation(work, [&] {
        REQUIRE(run.optimizer.step_count() == run.trainer.steps_done());
        if (run.trainer.steps_done() == steps + 1) return;  // the step was done, and the next one not begun
        REQUIRE(run.trainer.steps_done() == steps);
        REQUIRE(run.model.numbers() == numbers);
        run.random = random;
        run.running = running;
        run.points = points;
        run.schedule = schedule;
    });
    CHECK(failures > 20);
    CHECK(run.model.numbers() == through.model.numbers());
}

TEST_CASE("a checkpoint that cannot be resumed leaves model, optimiser and what is kept as they were") {
    std::filesystem::remove(path);
    const TrainerOptions options{.steps = 4, .learning_rate = learning_rate, .checkpoint = path};
    Run<float, AdamW<float>> through(options);
    through.run();
    Run<float, AdamW<float>> run(options);
    const std::vector<float> before = run.model.numbers();
    const Random::State random = run.random.state;
    const auto unchanged = [&] {
        REQUIRE(run.model.numbers() == before);
        REQUIRE(run.optimizer.step_count() == 0);
        REQUIRE(run.trainer.steps_done() == 0);
        REQUIRE(run.random.state == random);
    };
    run.trainer.around_checkpoints([] {},
                                   [count = 0]() mutable {
                                       if (count++ == 0) throw DataError("not at the first time");
                                   });
    CHECK_THROWS_WITH_AS(run.trainer.resume(), "not at the first time", DataError);
    unchanged();
    const Index opening = testing::count_allocations([&] {
        require_metadata(path, {});
        SafetensorsFile file(path);
    });
    CHECK(testing::for_every_failing_allocation([&] { run.trainer.resume(); }, unchanged, opening) > 50);
    CHECK(run.model.numbers() == through.model.numbers());
    CHECK(run.trainer.steps_done() == 4);
}

TEST_CASE("the time to the next checkpoint counts from the last") {
    std::filesystem::remove(path);
    testing::TinyRegression<float> model;
    AdamW<float> optimizer(model.parameters());
    Random random(8);
    std::vector<Index> seen;
    Trainer<float> trainer(optimizer,
                           {.steps = 5, .learning_rate = learning_rate, .checkpoint = path, .checkpoint_every_seconds = 3});
    trainer.run([&](Index step) {
        if (step == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3100));
        if (step > 0) seen.push_back(SafetensorsFile(path).read<Index>("training/integer/step")[0]);
        return StepResult{.loss = model.loss(random)};
    });
    CHECK(seen == std::vector<Index>{1, 1, 1, 1});
}
