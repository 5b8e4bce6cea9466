/// The byte-level models of the text programs: made new, saved in a file, or trained further.
///
/// Read first: support/held_out_text.hpp, support/training.hpp, fot/train/language_model.hpp.   Read next: distraction_issue.cpp.
#pragma once

#include "fot/train/language_model.hpp"
#include "fot/train/model_file.hpp"
#include "fot/train/muon.hpp"
#include "held_out_text.hpp"
#include "training.hpp"

namespace fot::examples {

/// A model's configuration: the last layer is the memory layer.
inline TransformerConfig text_model_config(const TextSettings& settings, Integration integration = Integration::merged) {
    return {.vocabulary = byte_vocabulary,
            .width = settings.width,
            .layers = settings.layers,
            .memory_layers = {settings.layers - 1},
            .heads = settings.heads,
            .memory_heads = settings.memory_heads,
            .feed_forward = 4 * settings.width,
            .integration = integration,
            .normalized_heads = !settings.unnormalized_heads};
}

/// A new model.
inline Transformer<float> new_text_model(const TextSettings& settings, Random& random,
                                         Integration integration = Integration::merged) {
    return Transformer<float>(text_model_config(settings, integration), random);
}

/// A model that one of these programs trained and kept. The shape and length in `settings` become those of the file.
/// Errors: FileError if the file is malformed or holds no model of these programs.
inline Transformer<float> stored_text_model(const std::filesystem::path& path, TextSettings& settings) {
    Transformer<float> model = load_model<float>(path);
    const TransformerConfig& config = model.config();
    settings.width = config.width;
    settings.layers = config.layers;
    settings.heads = config.heads;
    settings.memory_heads = config.memory_heads;
    settings.unnormalized_heads = !config.normalized_heads;
    settings.length = metadata_number(path, read_metadata(path), "length");
    return model;
}

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
                  const std::filesystem::path& from = {})
        : seed_(seed),
          folder_(settings.models.empty() ? example.output() : std::filesystem::path(settings.models)),
          name_(from.stem().string()),
          metadata_(config_metadata(config)) {
        make_folder(folder_);
        metadata_.merge(Metadata{{"seed", message(seed)},
                                 {"corpus", settings.corpus},
                                 {"split_from", message(settings.split_from)},
                                 {"batch", message(settings.batch)},
                                 {"learning_rate", message(settings.learning_rate)},
                                 {"length", message(settings.length)}});
        if (from.empty()) return;
        metadata_["training"] = "from " + from.string();
        for (const auto& [entry, value] : read_metadata(from))
            if (entry.ends_with("corpus") || entry.ends_with("split_from") || entry.ends_with("text"))
                metadata_["before." + entry] = value;
    }

    /// One more training of the model.
    void add_training(const LanguageModelRecipe& recipe, const ScheduledSteps& part, const std::vector<TokenDocument>& documents) {
        name_ += message(name_.empty() ? "" : "_then_", recipe.name, "_", part.steps, "steps");
        std::string& training = metadata_["training"];
        training += message(training.empty() ? "" : "; ", recipe.text(part.steps));
        if (part.scheduled != part.steps) {
            name_ += message("_of_", part.scheduled);
            training += message(", from step ", part.first, " of ", part.scheduled);
        }
        metadata_["text"] = fingerprint(documents);
    }

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
inline double train_text_model(const TextSettings& settings, const LanguageModelRecipe& recipe, const ScheduledSteps& part,
                               const std::vector<TokenDocument>& documents, TextModelFile& file, Transformer<float>& model,
                               Optimizer<float>& optimizer, const LearningRate& rate) {
    file.add_training(recipe, part, documents);
    LanguageModelTraining<float> training(model, recipe, documents, {.entries = settings.batch, .length = settings.length},
                                          file.seed() + 1000);
    return run_text_training(settings, recipe.name, part, file, training, optimizer, rate);
}

/// The same with an optimiser of its own, Muon, its learning rates falling linearly.
inline void train_text_model(const TextSettings& settings, const LanguageModelRecipe& recipe, const ScheduledSteps& part,
                             const std::vector<TokenDocument>& documents, TextModelFile& file, Transformer<float>& model) {
    Muon<float> optimizer(model.parameters(), {});
    train_text_model(settings, recipe, part, documents, file, model, optimizer, LearningRate::linear_decay(1, 40, part.scheduled));
}

/// A new model trained by one recipe.   Errors: as train_text_model.
inline Transformer<float> trained_text_model(const Example& example, const TextSettings& settings,
                                             const LanguageModelRecipe& recipe, const std::vector<TokenDocument>& documents,
                                             std::uint64_t seed) {
    Random random(seed);
    Transformer<float> model = new_text_model(settings, random, recipe.integration);
    TextModelFile file(example, settings, model.config(), seed);
    train_text_model(settings, recipe, {settings.steps}, documents, file, model);
    return model;
}

}  // namespace fot::examples
