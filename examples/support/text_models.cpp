#include "text_models.hpp"

#include "fot/data/corpus.hpp"
#include "fot/train/muon.hpp"

namespace fot::examples {

TransformerConfig text_model_config(const TextSettings& settings, Integration integration) {
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

Transformer<float> new_text_model(const TextSettings& settings, Random& random, Integration integration) {
    return Transformer<float>(text_model_config(settings, integration), random);
}

Transformer<float> stored_text_model(const std::filesystem::path& path, TextSettings& settings) {
    Transformer<float> model = load_model<float>(path);
    const Metadata metadata = read_metadata(path);
    const auto unfinished = metadata.find("unfinished");
    require<FileError>(unfinished == metadata.end(), path.string(), ": the training was stopped after ",
                       unfinished == metadata.end() ? "" : unfinished->second, "; the command that began it finishes it");
    const TransformerConfig& config = model.config();
    settings.width = config.width;
    settings.layers = config.layers;
    settings.heads = config.heads;
    settings.memory_heads = config.memory_heads;
    settings.unnormalized_heads = !config.normalized_heads;
    settings.length = metadata_number(path, metadata, "length");
    return model;
}

TextModelFile::TextModelFile(const Example& example, const TextSettings& settings, const TransformerConfig& config,
                             std::uint64_t seed, const std::filesystem::path& from)
    : seed_(seed),
      folder_(example.models_folder(settings.models)),
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
    metadata_["before.file"] = fingerprint({{read_text(from), {}}});  // another model under the same name is another beginning
    for (const auto& [entry, value] : read_metadata(from))
        if (entry.ends_with("corpus") || entry.ends_with("split_from") || entry.ends_with("text") ||
            entry.ends_with("trained_documents"))
            metadata_["before." + entry] = value;
}

void TextModelFile::add_training(const LanguageModelRecipe& recipe, const ScheduledSteps& part,
                                 const std::vector<TokenDocument>& documents) {
    name_ += message(name_.empty() ? "" : "_then_", recipe.name, "_", part.steps, "steps");
    std::string& training = metadata_["training"];
    training += message(training.empty() ? "" : "; ", recipe.text(part.steps));
    if (part.scheduled != part.steps) {
        name_ += message("_of_", part.scheduled);
        training += message(", from step ", part.first, " of ", part.scheduled);
    }
    metadata_["text"] = fingerprint(documents);
    std::string& each = metadata_["trained_documents"];  // of all trainings
    for (const std::string& one : fingerprints(documents))
        if (each.find(one) == std::string::npos) each += message(each.empty() ? "" : " ", one);
}

double train_text_model(const TextSettings& settings, const LanguageModelRecipe& recipe, const ScheduledSteps& part,
                        const std::vector<TokenDocument>& documents, TextModelFile& file, Transformer<float>& model,
                        Optimizer<float>& optimizer, const LearningRate& rate) {
    file.add_training(recipe, part, documents);
    LanguageModelTraining<float> training(model, recipe, documents, {.entries = settings.batch, .length = settings.length},
                                          file.seed() + 1000);
    return run_text_training(settings, recipe.name, part, file, training, optimizer, rate);
}

void train_text_model(const TextSettings& settings, const LanguageModelRecipe& recipe, const ScheduledSteps& part,
                      const std::vector<TokenDocument>& documents, TextModelFile& file, Transformer<float>& model) {
    Muon<float> optimizer(model.parameters(), {});
    train_text_model(settings, recipe, part, documents, file, model, optimizer, LearningRate::linear_decay(1, 40, part.scheduled));
}

void require_trainable(const TextSettings& settings, const std::vector<LanguageModelRecipe>& recipes,
                       const std::vector<TokenDocument>& documents) {
    Random random(0);
    for (const LanguageModelRecipe& recipe : recipes) {
        Transformer<float> model = new_text_model(settings, random, recipe.integration);
        LanguageModelTraining<float>(model, recipe, documents, {settings.batch, settings.length}, 0);
    }
}

Transformer<float> trained_text_model(const Example& example, const TextSettings& settings, const LanguageModelRecipe& recipe,
                                      const std::vector<TokenDocument>& documents, std::uint64_t seed) {
    Random random(seed);
    Transformer<float> model = new_text_model(settings, random, recipe.integration);
    TextModelFile file(example, settings, model.config(), seed);
    train_text_model(settings, recipe, {settings.steps}, documents, file, model);
    return model;
}

}  // namespace fot::examples
