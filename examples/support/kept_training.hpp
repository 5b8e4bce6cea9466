/// A training that is kept: written every minute and at the end, shown by a bar, gone on with by the same command after Ctrl-C,
/// and not run again once it is done.
///
/// Read first: support/options.hpp, fot/train/trainer.hpp.   Read next: support/staged_training.hpp, support/text_experiment.hpp.
#pragma once

#include <optional>

#include "fot/train/trainer.hpp"
#include "options.hpp"

namespace fot::examples {

/// How long a training is, where it is kept and how it is shown.
struct KeptTraining {
    std::string what;                                                     ///< in the bar
    Index steps;                                                          ///< of the whole training
    std::function<double(Index)> learning_rate;                           ///< of step 0, 1, ...
    std::filesystem::path checkpoint;                                     ///< the file
    Metadata metadata;                                                    ///< a file of other metadata is refused
    std::function<void(Progress& bar, const TrainingProgress& at)> show;  ///< updates the bar after a step
    std::string folder_option = "--output";                               ///< says where the file is
};

/// Trains, or goes on, or leaves what is finished as it is. `keep(trainer)` names what is kept beside weights and optimiser,
/// `step_loss` is as in Trainer::run.
/// Errors: ConfigError if what is kept was trained otherwise; Interrupted after Ctrl-C; as Trainer.
template <class Keep, class StepLoss>
void train_and_keep(const KeptTraining& training, const std::vector<Parameter<float>>& parameters, Optimizer<float>& optimizer,
                    Keep keep, StepLoss&& step_loss) {
    std::optional<Progress> bar;  // none where no step is left
    Trainer<float> trainer(parameters, optimizer,
                           {.steps = training.steps,
                            .learning_rate = training.learning_rate,
                            .checkpoint = training.checkpoint,
                            .checkpoint_every_seconds = 60,
                            .metadata = training.metadata,
                            .progress = [&](const TrainingProgress& at) { training.show(*bar, at); }});
    keep(trainer);
    try {
        trainer.resume();
    } catch (const ConfigError& error) {
        throw ConfigError(message(error.what(), " (another ", training.folder_option, " keeps both)"));
    }
    const TrainingOutcome outcome = trainer.run([&](Index step) {
        if (!bar) bar.emplace(training.what, training.steps, step);
        return step_loss(step);
    });
    if (outcome == TrainingOutcome::interrupted)
        throw Interrupted(message("training is kept in ", training.checkpoint.string(), "; the same command goes on from there"));
}

}  // namespace fot::examples
