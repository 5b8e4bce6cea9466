#include "../../examples/support/training.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <sstream>

#include "fot/train/adamw.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_regression.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::TemporaryFolder;

namespace {

/// A model and its training, as a program started anew each time.
struct Run {
    testing::TinyRegression<float> model;
    Index begun = -1;  // the first step that was run
    std::ostringstream bars;

    /// Interrupted within step `interrupt_at`.
    Run(const TemporaryFolder& folder, const std::string& contexts, Index interrupt_at = -1) {
        const InterruptGuard guard;
        AdamW<float> optimizer(model.parameters());
        Random random(3);
        Progress bar("train", 4, bars, false, [] { return 0.0; });
        Trainer<float> trainer(optimizer,
                               {.steps = 4,
                                .learning_rate = [](Index) { return 0.1; },
                                .checkpoint = folder / "tiny.safetensors",
                                .metadata = {{"contexts", contexts}},
                                .progress = [&](const TrainingProgress& at) { bar.update(at.steps_done, training_note(at)); }});
        trainer.keep("batches", random);
        resume(trainer);
        trainer.run([&](Index step) {
            if (begun < 0) begun = step;
            if (step == interrupt_at) std::raise(SIGINT);
            return StepResult{.loss = model.loss(random)};
        });
        stop_if_interrupted("the training is kept");
    }
};

}  // namespace

TEST_CASE("an interrupted training is kept, and goes on to the same weights; a finished one is left as it is") {
    const TemporaryFolder folder, other;
    CHECK_THROWS_WITH_AS(Run(folder, "1", 1), "the training is kept", Interrupted);
    Run resumed(folder, "1"), through(other, "1");
    CHECK(resumed.begun == 2);
    CHECK(resumed.bars.str().starts_with("train  100 %  4/4  0:00  loss "));
    CHECK(resumed.model.numbers() == through.model.numbers());
    Run again(folder, "1");
    CHECK(again.begun == -1);
    CHECK(again.bars.str().empty());
    CHECK(again.model.numbers() == through.model.numbers());
}

TEST_CASE("a training of other settings is refused, with the options that keep both") {
    const TemporaryFolder folder;
    const Run first(folder, "1");
    CHECK_THROWS_WITH_AS(Run(folder, "2"),
                         doctest::Contains("metadata 'contexts' is '1', expected '2' (another --output, or --models, keeps both)"),
                         ConfigError);
}
