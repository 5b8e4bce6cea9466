/// What the experiments on real text share: corpus, model, loss, and what is measured on held-out documents.
///
/// Read first: support/options.hpp.   Read next: distraction_issue.cpp.
#pragma once

#include <charconv>

#include "fot/data/documents.hpp"
#include "fot/data/named_corpus.hpp"
#include "fot/data/split.hpp"
#include "fot/measure/intervals.hpp"
#include "fot/measure/positive_mass.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/language_model.hpp"
#include "fot/train/muon.hpp"
#include "options.hpp"

namespace fot::examples {

/// What the text experiments have in common.
struct TextSettings {
    std::string corpus = "libstdcxx";
    std::string models = {};  // folder of trained models; empty: --output
    Index steps = 0, seeds = 0, batch = 16, length = 128, contexts = 0, width = 128, layers = 3, heads = 4, memory_heads = 1;
    Index queries = 0;       // places of each held-out document that are measured
    Index walk_windows = 4;  // of a document that mt and xl read in order in training
    double learning_rate = 1;
};

/// Declares the options of TextSettings on the example; `steps` differ from program to program.
inline void add_text_options(Example& example, TextSettings& settings, const Scaled<Index>& steps, const Scaled<Index>& contexts) {
    example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB], one file one document");
    example.option("--models", settings.models, "folder of trained models, which programs can share; empty: --output");
    example.option("--steps", settings.steps, steps, "training steps of each model", 1);
    example.option("--seeds", settings.seeds, Scaled<Index>{1, 1, 3}, "seeds, beginning with --seed", 1);
    example.option("--contexts", settings.contexts, contexts, "contexts at the end of crossbatch training", 1);
    example.option("--batch", settings.batch, "documents in a batch", 1);
    example.option("--length", settings.length, "local context, bytes", 1);
    example.option("--width", settings.width, "model width", 1);
    example.option("--layers", settings.layers, "layers; the last one is the memory layer", 1);
    example.option("--memory-heads", settings.memory_heads, "heads of the memory layer", 1);
    example.option("--queries", settings.queries, Scaled<Index>{1, 16, 32}, "places measured in each test document", 1);
    example.option("--walk-windows", settings.walk_windows, "windows that mt and xl read of a document before they go elsewhere",
                   1);
    example.option("--learning-rate", settings.learning_rate, "factor on the learning rates of the optimiser");
}

/// Bytes of the shortest document that is trained or measured on.
inline constexpr Index shortest_document = 20000;

/// The corpus, split by document; the split is the same for every seed.
inline CorpusSplit load_split(const TextSettings& settings) {
    return split_documents(load_corpus(settings.corpus), shortest_document, 0.15, 0.15, 7);
}

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
                               .integration = integration},
                              random);
}

/// What a stored model is made of, beside its weights.
inline Metadata shape_of_model(const TextSettings& settings, Integration integration) {
    return {{"width", message(settings.width)},   {"layers", message(settings.layers)},
            {"heads", message(settings.heads)},   {"memory_heads", message(settings.memory_heads)},
            {"length", message(settings.length)}, {"integration", integration == Integration::gated ? "gated" : "merged"}};
}

/// A model that one of these programs trained and kept. The shape and length in `settings` become those of the file.
/// Errors: FileError if the file is malformed or holds no model of these programs.
inline Transformer<float> stored_text_model(const std::filesystem::path& path, TextSettings& settings) {
    const Metadata metadata = read_metadata(path);
    const auto entry = [&](const char* name) {
        const auto found = metadata.find(name);
        require<FileError>(found != metadata.end(), "'", path.string(), "' does not say its ", name,
                           "; expected a model that a program of examples/ trained on text");
        return found->second;
    };
    const auto number = [&](const char* name) {
        const std::string text = entry(name);
        Index value = 0;
        const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
        require<FileError>(failure == std::errc() && end == text.data() + text.size(), "'", path.string(), "': its ", name, " is '",
                           text, "', expected a number");
        return value;
    };
    settings.width = number("width");
    settings.layers = number("layers");
    settings.heads = number("heads");
    settings.memory_heads = number("memory_heads");
    settings.length = number("length");
    Random random(0);
    Transformer<float> model =
        new_text_model(settings, random, entry("integration") == "gated" ? Integration::gated : Integration::merged);
    load_weights(path, model.parameters());
    return model;
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

/// All that a phase depends on beside the settings, in words: what a file must say before it is used in place of a training.
inline std::string description(const TrainingPlan::Phase& phase) {
    const LanguageModelRecipe& recipe = phase.recipe;
    const char* kinds[] = {"standard", "transformer_xl", "memorizing", "crossbatch"};
    std::string text = message(recipe.name, ": ", kinds[static_cast<int>(recipe.kind)], ", ", phase.steps, " steps");
    const bool walks = recipe.kind == LanguageModelKind::memorizing || recipe.kind == LanguageModelKind::transformer_xl;
    if (recipe.kind == LanguageModelKind::crossbatch || recipe.contrastive_weight > 0)
        text += message(", ", recipe.positives, " positives, contexts ", recipe.contexts.text(),
                        recipe.differentiable ? "" : ", not differentiable");
    if (recipe.local_entries > 0) text += message(", ", recipe.local_entries, " entries local");
    if (recipe.contrastive_weight > 0)
        text += message(", InfoNCE ", recipe.contrastive_weight, ", hardest ", recipe.hardest_negatives);
    if (recipe.kind == LanguageModelKind::memorizing) text += message(", memory ", recipe.memory_tokens, ", top ", recipe.top_k);
    if (walks) text += message(", walks of ", recipe.walk_windows);
    return text;
}

/// A model trained as the plan says. Every phase is kept in a file of --models: an interrupted run goes on where it stopped, and
/// plans that begin with the same phases share what is kept of them.
/// Errors: ConfigError if a file of that name was made with other settings.
inline Transformer<float> trained_text_model(Example& example, TextSettings& settings, const TrainingPlan& plan,
                                             const std::vector<TokenDocument>& documents, std::uint64_t seed) {
    Random random(seed);
    Transformer<float> model = plan.from.empty() ? new_text_model(settings, random, plan.phases.at(0).recipe.integration)
                                                 : stored_text_model(plan.from, settings);
    Metadata metadata = shape_of_model(settings, model.config().integration);
    metadata.merge(Metadata{{"seed", message(seed)},
                            {"corpus", settings.corpus},
                            {"batch", message(settings.batch)},
                            {"learning_rate", message(settings.learning_rate)}});
    if (!plan.from.empty()) metadata["training"] = "from " + plan.from;
    const std::filesystem::path folder = settings.models.empty() ? example.output() : std::filesystem::path(settings.models);
    make_folder(folder);
    std::string name = plan.from.empty() ? "" : std::filesystem::path(plan.from).stem().string();  // the phases up to this one
    Index all_steps = 0, before = 0;
    for (const TrainingPlan::Phase& phase : plan.phases) all_steps += phase.steps;
    for (const TrainingPlan::Phase& phase : plan.phases) {
        const Index steps = phase.steps, scheduled = plan.one_schedule ? all_steps : steps;
        name += message(name.empty() ? "" : "_then_", phase.recipe.name, "_", steps, "steps");
        metadata["training"] += message(metadata["training"].empty() ? "" : "; ", description(phase));
        if (scheduled != steps) {
            name += message("_of_", scheduled);
            metadata["training"] += message(", from step ", before, " of ", scheduled);
        }
        const std::filesystem::path checkpoint = folder / message(name, "_seed", seed, ".safetensors");

        Muon<float> optimizer(model.parameters(), {});
        const LearningRate schedule = LearningRate::linear_decay(settings.learning_rate, 40, scheduled);
        const Index first = plan.one_schedule ? before : 0;
        examples::Progress bar(message("train ", plan.name, ", seed ", seed), steps);
        LanguageModelTraining<float> training(model, phase.recipe, phase.documents ? *phase.documents : documents,
                                              {.entries = settings.batch, .length = settings.length}, seed + 1000);
        Trainer<float> trainer(model.parameters(), optimizer,
                               {.steps = steps,
                                .learning_rate = [&](Index step) { return schedule.at(first + step); },
                                .checkpoint = checkpoint,
                                .checkpoint_every_seconds = 60,
                                .metadata = metadata,
                                .progress =
                                    [&](const fot::Progress& at) {
                                        bar.update(at.steps_done, message("loss ", fixed(at.loss), " nats, ",
                                                                          static_cast<Index>(at.tokens_per_second), " tokens/s"));
                                    }});
        training.keep(trainer);
        trainer.resume();
        if (trainer.run(training) == TrainingOutcome::interrupted)
            throw Interrupted(
                message("training of ", name, " is kept in ", checkpoint.string(), "; the same command goes on from there"));
        before += steps;
    }
    return model;
}

/// r_d on held-out text. Queries come from test documents; the other contexts are random windows of all other held-out documents,
/// which come again where those are fewer than 63: another window each time.
inline PositiveMass measure_positive_mass(const TextSettings& settings, const CorpusSplit& split, Transformer<float>& model) {
    const std::vector<TokenDocument> test = byte_documents(split.test);
    std::vector<TokenDocument> held_out = test;
    for (TokenDocument& document : byte_documents(split.validation)) held_out.push_back(std::move(document));
    require<DataError>(held_out.size() >= 2, "text experiment: ", held_out.size(), " held-out documents, expected 2 or more");

    const Index most = 64, length = settings.length;
    const ContextTable table = previous_contexts(1, 1, most - 1, most);
    PositiveMass mass({1, 2, 4, 8, 16, 32, 64});
    Random random(2024);  // the same places for every model and seed
    const auto copy_window = [&](const TokenDocument& document, Index start, std::int32_t* target) {
        std::copy_n(document.tokens.data() + start, length, target);
    };
    for (std::size_t d = 0; d < test.size(); ++d) {
        // All places of a document are averaged before intervals are drawn: the document is the unit.
        Tensor<float, 4> of_document = empty<float, 4>({1, settings.queries * length, settings.memory_heads, most});
        for (Index place = 0; place < settings.queries; ++place) {
            Tokens contexts = empty<std::int32_t, 2>({most, length}), current = empty<std::int32_t, 2>({1, length});
            const Index start = random.below(test[d].length() - 2 * length + 1);
            copy_window(test[d], start, row(contexts, 0));
            copy_window(test[d], start + length, row(current, 0));
            for (Index i = 1; i < most; ++i) {
                std::size_t other = d;
                while (other == d) other = static_cast<std::size_t>(random.below(static_cast<Index>(held_out.size())));
                copy_window(held_out[other], random.below(held_out[other].length() - length + 1), row(contexts, i));
            }
            Tape tape(Tape::inference);
            std::vector<MemoryLayerView<float>> seen;
            model.crossbatch(tape, {contexts, current, table}, &seen);
            const Tensor<float, 4> log_mass = context_log_mass(seen[0].q.value(), seen[0].context_k.value(), table);
            std::copy_n(log_mass.data(), log_mass.size(), row(of_document, Index(0), place * length));
        }
        mass.add(of_document);
    }
    return mass;
}

/// How well the next byte is predicted.
struct Prediction {
    double bits_per_byte = 0, accuracy = 0;
};

/// Prediction on test documents with and without the previous context: a model that gains nothing from it ignores it.
inline std::pair<Prediction, Prediction> predictions(const TextSettings& settings, const CorpusSplit& split,
                                                     Transformer<float>& model) {
    const std::vector<TokenDocument> test = byte_documents(split.test);
    const auto entries = static_cast<Index>(test.size());
    Random random(2025);
    Prediction with, without;
    for (Index batch = 0; batch < settings.queries; ++batch) {
        const ContextBatch<float> drawn =
            sample_contexts<float>(test, {.entries = entries, .positives = 1, .length = settings.length}, random);
        Tape tape(Tape::inference);
        const ContextTable own = previous_contexts(entries, 1, 0);
        const auto add = [&](Prediction& prediction, const Variable<float, 3>& logits) {
            const double batches = static_cast<double>(settings.queries);
            const Tensor<std::uint8_t, 2> correct = correct_predictions(logits.value(), drawn.targets);
            const auto right = static_cast<double>(std::ranges::count_if(correct.storage(), [](auto each) { return each != 0; }));
            prediction.bits_per_byte +=
                cross_entropy(logits.value(), drawn.targets, drawn.mask, Reduction::token_mean) / (batches * std::log(2.0));
            prediction.accuracy += right / (batches * static_cast<double>(correct.size()));
        };
        add(with, model.crossbatch(tape, {drawn.previous, drawn.current, own}));
        add(without, model.local(tape, drawn.current));
    }
    return {with, without};
}

}  // namespace fot::examples
