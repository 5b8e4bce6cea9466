/// What the experiments on real text share: the corpus and what of it a model has not seen, the model, and its training.
///
/// Read first: support/options.hpp.   Read next: support/positive_mass_experiment.hpp, support/memory_experiment.hpp.
#pragma once

#include <charconv>
#include <optional>

#include "fingerprint.hpp"
#include "fot/data/documents.hpp"
#include "fot/data/split.hpp"
#include "fot/model/transformer.hpp"
#include "fot/train/language_model.hpp"
#include "fot/train/muon.hpp"
#include "kept_training.hpp"
#include "named_corpus.hpp"

namespace fot::examples {

/// Bytes of the shortest document that the text programs train or measure on.
inline constexpr Index shortest_document = 20000;

/// What the text experiments have in common.
struct TextSettings {
    std::string corpus = "libstdcxx";
    Index split_from = shortest_document;  // bytes of the shortest document that is split: other documents, another split
    std::string models = {};               // folder of trained models; empty: --output
    Index steps = 0, seeds = 1, batch = 16, length = 128, contexts = 0, width = 128, layers = 3, heads = 4, memory_heads = 1;
    Index queries = 0;       // places of each held-out document that are measured
    Index walk_windows = 4;  // of a document that mt and xl read in order in training
    double learning_rate = 1;
    bool unnormalized_heads = false;  // scores <q, k> / sqrt(D), as in LLaMA, in place of cosines over a temperature
};

/// Declares the options of every program that trains on text; `steps` differ from program to program.
inline void add_text_options(Example& example, TextSettings& settings, const Scaled<Index>& steps, const Scaled<Index>& contexts) {
    example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB], one file one document");
    example.option("--models", settings.models, "folder of trained models, which programs can share; empty: --output");
    example.option("--steps", settings.steps, steps, "training steps of each model", 1);
    example.option("--contexts", settings.contexts, contexts, "contexts at the end of crossbatch training", 1);
    example.option("--batch", settings.batch, "documents in a batch", 1);
    example.option("--length", settings.length, "local context, bytes", 1);
    example.option("--width", settings.width, "model width", 1);
    example.option("--layers", settings.layers, "layers; the last one is the memory layer", 1);
    example.option("--memory-heads", settings.memory_heads, "heads of the memory layer", 1);
    example.option("--learning-rate", settings.learning_rate, "factor on the learning rates of the optimiser");
    example.flag("--unnormalized-heads", settings.unnormalized_heads, "queries and keys of any length, without a temperature");
}

/// Those of programs that compare models.
inline void add_comparison_options(Example& example, TextSettings& settings) {
    example.option("--seeds", settings.seeds, Scaled<Index>{1, 1, 3}, "seeds, beginning with --seed", 1);
    example.option("--queries", settings.queries, Scaled<Index>{1, 16, 32}, "places measured in each test document", 1);
}

/// That of programs with models that read documents in order.
inline void add_walk_option(Example& example, TextSettings& settings) {
    example.option("--walk-windows", settings.walk_windows, "windows that mt and xl read of a document before they go elsewhere",
                   1);
}

/// What the intervals of a comparison are over.
inline const char* intervals_over(const TextSettings& settings) {
    return settings.seeds >= 3 ? "median and 95 % interval over seeds" : "95 % interval over documents";
}

/// The corpus, split by document; the split is the same for every seed. Documents below `split_from` bytes are in no part.
inline CorpusSplit split_corpus(const TextSettings& settings) {
    return split_documents(load_corpus(settings.corpus), settings.split_from, 0.15, 0.15, 7);
}

/// The same without what is too short to be trained or measured on.   Errors: DataError if no test document is left.
inline CorpusSplit without_short_documents(CorpusSplit split) {
    for (std::vector<Document>* part : {&split.train, &split.validation, &split.test})
        std::erase_if(*part, [](const Document& each) { return static_cast<Index>(each.text.size()) < shortest_document; });
    require<DataError>(!split.test.empty(), "none of the test documents has ", shortest_document, " bytes or more");
    return split;
}

/// What the text programs train and measure on.
inline CorpusSplit load_split(const TextSettings& settings) { return without_short_documents(split_corpus(settings)); }

/// The byte-level model: the last layer is the memory layer.
inline Transformer<float> new_text_model(const TextSettings& settings, Random& random,
                                         Integration integration = Integration::merged) {
    return Transformer<float>({.vocabulary = byte_vocabulary,
                               .width = settings.width,
                               .layers = settings.layers,
                               .memory_layers = {settings.layers - 1},
                               .heads = settings.heads,
                               .memory_heads = settings.memory_heads,
                               .feed_forward = 4 * settings.width,
                               .integration = integration,
                               .normalized_heads = !settings.unnormalized_heads},
                              random);
}

/// What a stored model is made of, beside its weights.
inline Metadata shape_of_model(const TextSettings& settings, Integration integration) {
    Metadata shape{{"width", message(settings.width)},   {"layers", message(settings.layers)},
                   {"heads", message(settings.heads)},   {"memory_heads", message(settings.memory_heads)},
                   {"length", message(settings.length)}, {"integration", integration == Integration::gated ? "gated" : "merged"}};
    if (settings.unnormalized_heads) shape["heads_are"] = "unnormalized";
    return shape;
}

/// What a file says of itself under this name.   Errors: FileError if it does not.
inline const std::string& metadata_entry(const std::filesystem::path& path, const Metadata& metadata, const std::string& name) {
    const auto found = metadata.find(name);
    require<FileError>(found != metadata.end(), "'", path.string(), "' does not say its ", name,
                       "; expected a model that a program of examples/ trained on text");
    return found->second;
}

/// The same as a number.   Errors: FileError also if it is none.
inline Index metadata_number(const std::filesystem::path& path, const Metadata& metadata, const std::string& name) {
    const std::string& text = metadata_entry(path, metadata, name);
    Index value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    require<FileError>(failure == std::errc() && end == text.data() + text.size(), "'", path.string(), "': its ", name, " is '",
                       text, "', expected a number");
    return value;
}

/// A model that one of these programs trained and kept. The shape and length in `settings` become those of the file.
/// Errors: FileError if the file is malformed or holds no model of these programs.
inline Transformer<float> stored_text_model(const std::filesystem::path& path, TextSettings& settings) {
    const Metadata metadata = read_metadata(path);
    const auto number = [&](const char* name) { return metadata_number(path, metadata, name); };
    settings.width = number("width");
    settings.layers = number("layers");
    settings.heads = number("heads");
    settings.memory_heads = number("memory_heads");
    settings.length = number("length");
    settings.unnormalized_heads = metadata.contains("heads_are");
    const bool gated = metadata_entry(path, metadata, "integration") == "gated";
    Random random(0);
    Transformer<float> model = new_text_model(settings, random, gated ? Integration::gated : Integration::merged);
    load_weights(path, model.parameters());
    return model;
}

/// Text that a stored model has been trained on.
struct TrainedOn {
    std::string corpus;
    Index split_from = shortest_document;
    std::string text = {};  ///< fingerprint of the documents of its last training; empty: the file does not say
};

/// All that a stored model has been trained on: that of its file, and behind it, in the same file under names that begin with
/// "before.", that of the model that it was continued from, and so on.   Errors: FileError if the file is malformed.
inline std::vector<TrainedOn> trained_on(const std::filesystem::path& path) {
    Metadata metadata = read_metadata(path);
    std::vector<TrainedOn> list;
    for (std::string before; metadata.contains(before + "corpus"); before += "before.") {
        list.push_back({.corpus = metadata[before + "corpus"], .text = metadata[before + "text"]});
        if (metadata.contains(before + "split_from"))
            list.back().split_from = metadata_number(path, metadata, before + "split_from");
    }
    return list;
}

/// Makes sure that a stored model has seen no validation or test document of this split, which is that of the settings.
/// Errors: ConfigError if it was trained on the same corpus split otherwise, or with other documents in it.
inline void require_unseen(const std::filesystem::path& path, const TextSettings& settings, const CorpusSplit& split) {
    for (const TrainedOn& before : trained_on(path)) {
        if (before.corpus != settings.corpus) continue;
        require<ConfigError>(before.split_from == settings.split_from, path.string(), ": was trained on ", before.corpus,
                             " split from documents of ", before.split_from, " bytes on, here it is split from those of ",
                             settings.split_from,
                             " on: some of what it has seen would be measured. Take another --corpus, or a model of this program");
        std::vector<Document> brief, deep;  // programs train on either
        for (const Document& document : split.train)
            (static_cast<Index>(document.text.size()) < shortest_document ? brief : deep).push_back(document);
        require<ConfigError>(before.text.empty() || before.text == fingerprint(byte_documents(deep)) ||
                                 before.text == fingerprint(byte_documents(brief)),
                             path.string(), ": was trained on other text than the ", before.corpus,
                             " that is here now: some of what it has seen could be measured. Take the text that it was trained on, "
                             "or another --corpus");
    }
}

/// What a stored model may be measured on, of a corpus that it was trained on: the split of that training. Empty for other
/// corpora: all of them may.   Errors: as split_corpus and require_unseen.
inline std::optional<CorpusSplit> split_of_training(const std::filesystem::path& path, TextSettings settings) {
    for (const TrainedOn& before : trained_on(path))
        if (before.corpus == settings.corpus) {
            settings.split_from = before.split_from;
            CorpusSplit split = split_corpus(settings);
            require_unseen(path, settings, split);
            return without_short_documents(std::move(split));
        }
    return std::nullopt;
}

/// Trainings of one model, one after another: each begins with the weights of the one before, and an optimiser of its own.
struct TrainingPlan {
    struct Phase {
        LanguageModelRecipe recipe;
        Index steps;
        const std::vector<TokenDocument>* documents = nullptr;  ///< other text than the experiment's; the recipe's name says so
    };
    std::string name;
    std::vector<Phase> phases;
    bool one_schedule = false;  ///< one learning rate schedule over all phases; otherwise each has its own
    std::string from = {};      ///< file of a model to begin with; empty: a new one
};

/// One plan of a single phase for each recipe.
inline std::vector<TrainingPlan> plans_of(const std::vector<LanguageModelRecipe>& recipes, Index steps) {
    std::vector<TrainingPlan> plans;
    for (const LanguageModelRecipe& recipe : recipes) plans.push_back({.name = recipe.name, .phases = {{recipe, steps}}});
    return plans;
}

/// A model trained as the plan says. Every phase is kept in a file of --models: an interrupted run goes on where it stopped, and
/// plans that begin with the same phases share what is kept of them.
/// Errors: ConfigError if a file of that name was made with other settings or of other text.
inline Transformer<float> trained_text_model(Example& example, TextSettings& settings, const TrainingPlan& plan,
                                             const std::vector<TokenDocument>& documents, std::uint64_t seed) {
    Random random(seed);
    Transformer<float> model = plan.from.empty() ? new_text_model(settings, random, plan.phases.at(0).recipe.integration)
                                                 : stored_text_model(plan.from, settings);
    Metadata metadata = shape_of_model(settings, model.config().integration);
    metadata.merge(Metadata{{"seed", message(seed)},
                            {"corpus", settings.corpus},
                            {"split_from", message(settings.split_from)},
                            {"batch", message(settings.batch)},
                            {"learning_rate", message(settings.learning_rate)}});
    if (!plan.from.empty()) {
        metadata["training"] = "from " + plan.from;
        for (const auto& [entry, value] : read_metadata(plan.from))
            if (entry.ends_with("corpus") || entry.ends_with("split_from") || entry.ends_with("text"))
                metadata["before." + entry] = value;
    }
    const std::filesystem::path folder = settings.models.empty() ? example.output() : std::filesystem::path(settings.models);
    make_folder(folder);
    std::string name = plan.from.empty() ? "" : std::filesystem::path(plan.from).stem().string();  // the phases up to this one
    Index all_steps = 0, before = 0;
    for (const TrainingPlan::Phase& phase : plan.phases) all_steps += phase.steps;
    for (const TrainingPlan::Phase& phase : plan.phases) {
        const Index steps = phase.steps, scheduled = plan.one_schedule ? all_steps : steps;
        name += message(name.empty() ? "" : "_then_", phase.recipe.name, "_", steps, "steps");
        metadata["training"] += message(metadata["training"].empty() ? "" : "; ", phase.recipe.text(steps));
        if (scheduled != steps) {
            name += message("_of_", scheduled);
            metadata["training"] += message(", from step ", before, " of ", scheduled);
        }
        const std::vector<TokenDocument>& text = phase.documents ? *phase.documents : documents;
        metadata["text"] = fingerprint(text);

        Muon<float> optimizer(model.parameters(), {});
        const LearningRate schedule = LearningRate::linear_decay(settings.learning_rate, 40, scheduled);
        const Index first = plan.one_schedule ? before : 0;
        LanguageModelTraining<float> training(model, phase.recipe, text, {.entries = settings.batch, .length = settings.length},
                                              seed + 1000);
        train_and_keep(
            {.what = message("train ", plan.name, ", seed ", seed),
             .steps = steps,
             .learning_rate = [&](Index step) { return schedule.at(first + step); },
             .checkpoint = folder / message(name, "_seed", seed, ".safetensors"),
             .metadata = metadata,
             .show =
                 [](Progress& bar, const TrainingProgress& at) {
                     bar.update(at.steps_done,
                                message("loss ", fixed(at.loss), " nats, ", static_cast<Index>(at.tokens_per_second), " tokens/s"));
                 },
             .folder_option = settings.models.empty() ? "--output" : "--models"},
            model.parameters(), optimizer, [&](Trainer<float>& trainer) { training.keep(trainer); }, training);
        before += steps;
    }
    return model;
}

}  // namespace fot::examples
