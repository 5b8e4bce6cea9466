/// What the trainings of these programs share: each is kept in a file, continued by the same command after Ctrl-C, and not run
/// again once it is done.
///
///     Progress bar("train standard, seed 1", steps);
///     Trainer<float> trainer(optimizer,
///                            {.steps = steps,
///                             .learning_rate = [&](Index step) { return rate.at(step); },
///                             .checkpoint = file,
///                             .checkpoint_every_seconds = 60,
///                             .metadata = metadata,
///                             .progress = [&](const TrainingProgress& at) { bar.update(at.steps_done, training_note(at)); }});
///     trainer.keep("batches", random);
///     resume(trainer);
///     trainer.run([&](Index step) { ... });
///     stop_if_interrupted(training_is_kept);
///
/// Read first: support/example.hpp, fot/train/trainer.hpp.   Read next: support/text_models.hpp, support/staged_training.hpp.
#pragma once

#include "example.hpp"
#include "fot/train/trainer.hpp"

namespace fot::examples {

/// How to go on after Ctrl-C.
inline constexpr const char* training_is_kept = "the training is kept; the same command goes on from there";

/// "loss 4.985 nats, 26183 tokens/s"
inline std::string training_note(const TrainingProgress& at) {
    return message("loss ", fixed(at.loss), " nats, ", static_cast<Index>(at.tokens_per_second), " tokens/s");
}

/// Goes on from the checkpoint if there is one.   Errors: as Trainer::resume; ConfigError says what keeps both trainings.
inline void resume(Trainer<float>& trainer) {
    try {
        trainer.resume();
    } catch (const ConfigError& error) {
        throw ConfigError(message(error.what(), " (another --output, or --models, keeps both)"));
    }
}

}  // namespace fot::examples
