/// The byte-level models of the text programs: made new, saved in a file, or trained further.
///
/// Read first: support/held_out_text.hpp, support/training.hpp, fot/train/language_model.hpp.   Read next: distraction_issue.cpp.
#pragma once

#include "fot/train/language_model.hpp"
#include "fot/train/model_file.hpp"
#include "held_out_text.hpp"
#include "training.hpp"

namespace fot::examples {

/// A model's configuration: the last layer is the memory layer.
TransformerConfig text_model_config(const TextSettings& settings, Integration integration = Integration::merged);

/// A new model.
Transformer<float> new_text_model(const TextSettings& settings, Random& random, Integration integration = Integration::merged);

/// A model that one of these programs trained and kept. The shape and length in `settings` become those of the file.
/// Errors: FileError if the file is malformed, holds no model of these programs, or one whose training was stopped.
Transformer<float> stored_text_model(const std::filesystem::path& path, TextSettings& settings);

/// Steps of a training, and where they lie in a schedule of the learning rate that several trainings may share.
struct ScheduledSteps {
    Index steps, first = 0, scheduled = steps;
};

/// The file in which a model is kept. Name and metadata tell its trainings, one after another: what was trained in the same way on
/// the same text is the same file, whichever program trained it.
class TextModelFile {
   public:
    /// Of a new model that is to be trained, or of one that goes on `from` a file.   Errors: FileError.
    TextModelFile(const Example& example, const TextSettings& settings, const TransformerConfig& config, std::uint64_t seed,
                  const std::filesystem::path& from = {});

    /// One more training of the model.
    void add_training(const LanguageModelRecipe& recipe, const ScheduledSteps& part, const std::vector<TokenDocument>& documents);

    /// Something else that a training depends on.
    void add(const std::string& name, const std::string& value) { metadata_[name] = value; }

    std::uint64_t seed() const { return seed_; }
    std::filesystem::path path() const { return folder_ / message(name_, "_seed", seed_, ".safetensors"); }
    const Metadata& metadata() const { return metadata_; }

   private:
    std::uint64_t seed_;
    std::filesystem::path folder_;
    std::string name_;
    Metadata metadata_;
};

/// Runs a training of which the file tells, from the weights as they are: `training(step)` gives a StepResult, and
/// `training.keep(trainer)` makes all that it draws from part of the checkpoints. Returns the seconds that a step took: NaN if none
/// was left.
/// Errors: ConfigError if the file is of another training; Interrupted after Ctrl-C.
template <class Training>
double run_text_training(const TextSettings& settings, const std::string& name, const ScheduledSteps& part,
                         const TextModelFile& file, Training& training, Optimizer<float>& optimizer, const LearningRate& rate) {
    double seconds_per_step = NAN;
    Progress bar(message("train ", name, ", seed ", file.seed()), part.steps);
    Trainer<float> trainer(optimizer,
                           {.steps = part.steps,
                            .learning_rate = [&](Index step) { return settings.learning_rate * rate.at(part.first + step); },
                            .checkpoint = file.path(),
                            .checkpoint_every_seconds = 60,
                            .metadata = file.metadata(),
                            .progress =
                                [&](const TrainingProgress& at) {
                                    seconds_per_step = static_cast<double>(settings.batch * settings.length) / at.tokens_per_second;
                                    bar.update(at.steps_done, training_note(at));
                                }});
    training.keep(trainer);
    resume(trainer);
    trainer.run(training);
    stop_if_interrupted(training_is_kept);
    return seconds_per_step;
}

/// Trains a model by a recipe, and adds that to what its file tells. Once it is done, the same training reads the file. Returns and
/// errors: as run_text_training.
double train_text_model(const TextSettings& settings, const LanguageModelRecipe& recipe, const ScheduledSteps& part,
                        const std::vector<TokenDocument>& documents, TextModelFile& file, Transformer<float>& model,
                        Optimizer<float>& optimizer, const LearningRate& rate);

/// The same with an optimiser of its own, Muon, its learning rates falling linearly.
void train_text_model(const TextSettings& settings, const LanguageModelRecipe& recipe, const ScheduledSteps& part,
                      const std::vector<TokenDocument>& documents, TextModelFile& file, Transformer<float>& model);

/// Makes sure before the first of several trainings that each of them is possible.   Errors: as LanguageModelTraining.
void require_trainable(const TextSettings& settings, const std::vector<LanguageModelRecipe>& recipes,
                       const std::vector<TokenDocument>& documents);

/// A new model trained by one recipe.   Errors: as train_text_model.
Transformer<float> trained_text_model(const Example& example, const TextSettings& settings, const LanguageModelRecipe& recipe,
                                      const std::vector<TokenDocument>& documents, std::uint64_t seed);

}  // namespace fot::examples
