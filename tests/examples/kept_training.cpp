#include "../../examples/support/kept_training.hpp"

#include <doctest/doctest.h>

#include <csignal>

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
    Index begun = -1, shown = 0;  // the first step that was run, and how often the bar was updated

    /// Interrupted within step `interrupt_at`.
    Run(const TemporaryFolder& folder, const std::string& contexts, Index interrupt_at = -1) {
        const InterruptGuard guard;
        AdamW<float> optimizer(model.parameters());
        Random random(3);
        const KeptTraining training{.what = "train",
                                    .steps = 4,
                                    .learning_rate = [](Index) { return 0.1; },
                                    .checkpoint = folder / "tiny.safetensors",
                                    .metadata = {{"contexts", contexts}},
                                    .show = [&](Progress&, const TrainingProgress&) { ++shown; },
                                    .folder_option = "--models"};
        const auto keep = [&](Trainer<float>& trainer) { trainer.keep("batches", random); };
        train_and_keep(training, model.parameters(), optimizer, keep, [&](Index step) {
            if (begun < 0) begun = step;
            if (step == interrupt_at) std::raise(SIGINT);
            return StepResult{.loss = model.loss(random)};
        });
    }
};

}  // namespace

TEST_CASE("an interrupted training is kept, and goes on to the same weights; a finished one is left as it is") {
    const TemporaryFolder folder, other;
    CHECK_THROWS_WITH_AS(
        Run(folder, "1", 1),
        message("training is kept in ", (folder / "tiny.safetensors").string(), "; the same command goes on from there").c_str(),
        Interrupted);
    Run resumed(folder, "1"), through(other, "1");
    CHECK(resumed.begun == 2);
    CHECK(resumed.shown == 2);
    CHECK(through.shown == 4);
    CHECK(resumed.model.numbers() == through.model.numbers());
    Run again(folder, "1");
    CHECK(again.shown == 0);
    CHECK(again.model.numbers() == through.model.numbers());
}

TEST_CASE("a training of other settings is refused, with the option that keeps both") {
    const TemporaryFolder folder;
    const Run first(folder, "1");
    CHECK_THROWS_WITH_AS(Run(folder, "2"),
                         doctest::Contains("metadata 'contexts' is '1', expected '2' (another --models keeps both)"), ConfigError);
}
