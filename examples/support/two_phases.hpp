/// A training in two phases: a curriculum at learning rates that stay, then the training proper at rates that fall.
///
/// A curriculum ends when its last stage is learned, which some seeds take much longer for than others. The second phase begins
/// there, with the optimiser as it is. So the length of a run is not known beforehand, only the most that it may take.
///
/// Read first: support/training.hpp, fot/train/curriculum.hpp.
/// Read next: support/dictionary_training.hpp, support/lookup_training.hpp, support/recall_training.hpp.
#pragma once

#include "fot/train/curriculum.hpp"
#include "fot/train/muon.hpp"
#include "training.hpp"

namespace fot::examples {

/// How long a training is, and where it is kept.
struct TwoPhases {
    std::string name;                  ///< in the progress line
    std::ostream& out;                 ///< what is told if the curriculum was not learned
    Index curriculum_steps, steps;     ///< the most that the curriculum takes, and those after it
    std::filesystem::path checkpoint;  ///< the training goes on from it, or is over if it was
    Metadata metadata;                 ///< a checkpoint with others is refused
};

/// How a curriculum went.
struct Curriculum {
    Index steps;   ///< that it took: all that it may, if it was not learned
    bool learned;  ///< to its last stage
};

/// Runs both phases, and returns how the first one went. A model that has not learned its curriculum is trained all the same.
///
/// `train(step, curriculum)` gives the StepResult of a step, which belongs to the curriculum if `step < curriculum`; it asks
/// `stages` for what to train on and lets them observe how well that went. `note(progress)` is shown beside the progress bar.
/// Errors: ConfigError if what is kept was trained otherwise; Interrupted after Ctrl-C; as Trainer.
template <class Value, class Train, class Note>
Curriculum train_in_two_phases(const TwoPhases& phases, Optimizer<float>& optimizer, StageSchedule<Value>& stages, Random& random,
                               const Train& train, const Note& note) {
    Index curriculum = phases.curriculum_steps;  // fewer once it has ended earlier
    const LearningRate constant = LearningRate::constant(1, 50), decaying = LearningRate::linear_decay(1, 0, phases.steps, 1.0);
    Progress bar(phases.name, curriculum + phases.steps);
    Trainer<float> trainer(
        optimizer,
        {.steps = curriculum + phases.steps,
         .learning_rate = [&](Index step) { return step < curriculum ? constant.at(step) : decaying.at(step - curriculum); },
         .checkpoint = phases.checkpoint,
         .checkpoint_every_seconds = 60,
         .metadata = phases.metadata,
         .progress =
             [&](const TrainingProgress& at) {
                 bar.expect(curriculum + phases.steps);
                 bar.update(at.steps_done, note(at));
             }});
    trainer.keep("batches", random);
    trainer.keep("lengths", stages);
    trainer.keep("curriculum", curriculum);
    resume(trainer);
    trainer.run([&](Index step) {
        StepResult result = train(step, curriculum);
        if (step < curriculum && stages.finished()) curriculum = step + 1;
        result.done = step + 1 == curriculum + phases.steps;
        return result;
    });
    stop_if_interrupted(training_is_kept);
    if (!stages.finished())
        phases.out << phases.name << ": not learned in the " << curriculum << " steps of the curriculum" << std::endl;
    return {curriculum, stages.finished()};
}

}  // namespace fot::examples
