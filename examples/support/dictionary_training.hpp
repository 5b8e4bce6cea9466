/// Models that learn to look up definitions, the paper's task, on 512 tokens.
///
/// Read first: fot/data/dictionary.hpp, support/two_phases.hpp.   Read next: dictionary_lookup.cpp.
#pragma once

#include "fot/data/dictionary.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/remedies/length_temperature.hpp"
#include "fot/train/model_file.hpp"
#include "fot/train/partly_trained_contexts.hpp"
#include "two_phases.hpp"

namespace fot::examples {

/// Documents with questions in a batch, B.
inline constexpr Index dictionary_batch_size = 16;

/// What a model of dictionaries has that is unusual.
struct DictionaryModelShape {
    bool unnormalized = false;    ///< scores <q, k> / sqrt(D), without QK-norm and temperature
    bool without_memory = false;  ///< no memory layer, so positions in every layer
    Index memory_heads = 2;       ///< of the memory layer
    Index key_heads = 0;          ///< that they share; 0: each its own
};

/// A model, and how it is trained: phase 1 is a curriculum on the query's own context alone, phase 2 what is said here.
struct DictionaryTraining {
    std::string name = {};
    Index steps = 0;             ///< of phase 2
    Index contexts = 0;          ///< contexts that each document sees, its own included
    Index symbols = 0;           ///< each batch spells with so many of the 61 symbols; 0: all of them
    bool standard = false;       ///< whole documents in one local context, no previous one
    bool memorizing = false;     ///< as the Memorizing Transformer: a gate, and contexts whose keys and values are constants;
                                 ///< phase 1 as a standard transformer, where keys are learned
    Index trained = 0;           ///< contexts whose keys and values have gradients, the batch's own first; 0: all
    Index pool = 0;              ///< negatives are the hardest of so many documents (support/mined_training.hpp); 0: at random
    Index curriculum_steps = 0;  ///< the most that phase 1 takes; 0: 2000 (40 with --quick)
    DictionaryModelShape shape = {};
    /// Further keys, given the contexts; none: the contexts as they are.
    std::function<std::unique_ptr<Source<float>>(const Contexts<float>&)> source = {};
};

/// The one of that name, or those of the scale.
inline std::vector<DictionaryTraining> dictionary_trainings(const Example& example, const std::string& only) {
    const auto at = [&](Index quick, Index standard, Index full) {
        return Scaled<Index>{quick, standard, full}.at(example.scale());
    };
    std::vector<DictionaryTraining> list{{.name = "uniform", .steps = at(2, 200, 200), .contexts = at(16, 128, 512)},
                                         {.name = "hard", .steps = at(2, 200, 400), .contexts = 16, .symbols = 8}};
    const auto also = [&](const char* name) { return example.scale() == Scale::full || only == name; };
    if (also("one_context")) list.push_back({.name = "one_context", .steps = 600, .contexts = 1});
    if (also("standard")) list.push_back({.name = "standard", .steps = 600, .standard = true});
    if (!only.empty()) std::erase_if(list, [&](const DictionaryTraining& training) { return training.name != only; });
    return list;
}

/// Keys that a query sees in training: half a document in each context, and on average half of its own half.
inline Index keys_in_training(const DictionaryTraining& training) {
    return 256 * std::max<Index>(training.contexts, 1) + 128;  // standard: as many, all of them local
}

/// A new model: its last layer is the memory layer, if it has one. Without one it has fewer heads and a large rotary base, with
/// which it learns faster.
inline Transformer<float> new_dictionary_model(const DictionaryTraining& training, Random& random) {
    TransformerConfig config{.vocabulary = 64,
                             .width = 128,
                             .layers = 3,
                             .memory_layers = {2},
                             .heads = 4,
                             .memory_heads = training.shape.memory_heads,
                             .key_heads = training.shape.key_heads,
                             .feed_forward = 256,
                             .integration = training.memorizing ? Integration::gated : Integration::merged,
                             .rotary_base = 100,
                             .normalized_heads = !training.shape.unnormalized};
    if (training.shape.without_memory) {
        config.memory_layers = {};
        config.heads = 2;
        config.rotary_base = 1e6;
    }
    return Transformer<float>(config, random);
}

/// From now on the scores of the model's memory grow with the logarithm of the number of keys beyond that of training (LogN).
inline void score_by_log_length(Transformer<float>& model, const DictionaryTraining& training) {
    std::unique_ptr<Scoring<float>>& scoring = model.layer(model.config().last_memory_layer()).scoring;
    scoring = std::make_unique<LogLength<float>>(std::move(scoring), keys_in_training(training));
}

/// What the questions of a batch see: its contexts, of which all, some or none have gradients.
inline std::unique_ptr<Source<float>> visible_contexts(Tape& tape, const Transformer<float>& model,
                                                       const DictionaryTraining& training, const Tokens& previous,
                                                       const ContextTable& table) {
    Tape constant(Tape::inference);
    if (training.memorizing) return std::make_unique<Contexts<float>>(model.keys_and_values(constant, previous), table);
    if (training.trained > 0 && training.trained < table.available)
        return std::make_unique<PartlyTrainedContexts<float>>(tape, model, previous, table, training.trained);
    const Contexts<float> seen(model.keys_and_values(tape, previous), table);
    return training.source ? training.source(seen) : std::make_unique<Contexts<float>>(seen);
}

/// Loss and gradients of a batch, whose entries see the contexts of a table. Only the answers, at some positions, are computed:
/// nothing else has a loss.
inline StepResult dictionary_step_on(Transformer<float>& model, const DictionaryTraining& training,
                                     const DictionaryBatch<float>& batch, const ContextTable& table,
                                     const std::vector<Index>& answers) {
    const Tokens targets = take_positions(batch.targets, answers);
    Tape tape;
    const std::unique_ptr<Source<float>> contexts = visible_contexts(tape, model, training, batch.previous, table);
    const Variable<float, 3> logits = model.forward(tape, batch.current, *contexts, answers);
    const Variable<float, 1> loss =
        cross_entropy(tape, logits, targets, full<float, 2>(shape_of(targets), 1.0f), Reduction::token_mean);
    Proportion right;
    right.add_each(correct_predictions(logits.value(), targets));
    tape.backward(loss);
    return {
        .loss = loss.value()(0), .accuracy = right.value(), .tokens = element_count(batch.current) + element_count(batch.previous)};
}

/// One training step on a fresh batch, with random negatives.
inline StepResult dictionary_step(Transformer<float>& model, const DictionaryTraining& training, const LengthAndBatch& at,
                                  Random& random) {
    const DictionaryTask task{.half_length = at.length};
    DictionaryBatch<float> batch =
        dictionary_batch<float>(task, at.batch, std::max(at.batch, training.contexts), random, training.symbols);
    std::vector<Index> answers = answer_positions(task);
    ContextTable table = no_contexts(at.batch);
    if (training.standard) {
        batch = whole_documents(batch);
        for (Index& position : answers) position += at.length;
    } else {
        table = previous_contexts(at.batch, 1, training.contexts - 1, extent(batch.previous, 0));
    }
    return dictionary_step_on(model, training, batch, table, answers);
}

/// A step of phase 2.
inline StepResult dictionary_step(Transformer<float>& model, const DictionaryTraining& training, Random& random) {
    return dictionary_step(model, training, {256, dictionary_batch_size}, random);
}

/// The settings of the optimiser, Muon.
inline MuonOptions dictionary_optimizer() {
    MuonOptions options;
    options.adam.learning_rate_factors.temperature = 60;  // sharp attention matters more here than anywhere else
    return options;
}

/// What phase 2 does in a step: steps count from 0.
using DictionaryStep = std::function<StepResult(Transformer<float>& model, Index step, Random& random)>;

/// The name of a model's file.
inline std::string dictionary_file(const Example& example, const DictionaryTraining& training, std::uint64_t seed) {
    std::string name = message(training.name, "_", training.contexts, "contexts_", training.steps, "steps");
    const auto add_if = [&](bool unusual, const auto&... parts) {
        if (unusual) name += message("_", parts...);
    };
    const DictionaryModelShape& shape = training.shape;
    const DictionaryModelShape usual;
    add_if(training.trained > 0, training.trained, "trained");
    add_if(training.pool > 0, "of", training.pool);
    add_if(shape.memory_heads != usual.memory_heads || shape.key_heads != usual.key_heads, shape.memory_heads, "heads_",
           shape.key_heads, "keyheads");
    return message(name, "_seed", seed, example.scale() == Scale::quick ? "_quick" : "", ".safetensors");
}

/// Trains a new model, which is kept in a folder that is made if missing.
///
/// It is trained in one run of two phases: a curriculum of lengths, until the model has learned to look definitions up, or the
/// curriculum has taken all its steps; then the contexts and data of the training. (The paper, too, raises the number of contexts
/// at an accuracy of 98 %.) The optimiser goes on from phase to phase. Phase 2 may have a step of its own, and must if its
/// negatives come from a pool.
inline Curriculum train_dictionary_model(Example& example, const std::filesystem::path& folder, const DictionaryTraining& training,
                                         std::uint64_t seed, Transformer<float>& model, const DictionaryStep& special_step = {}) {
    require<ConfigError>(training.pool == 0 || special_step, training.name, ": negatives from a pool need a step that finds them");
    require<ConfigError>(
        !training.source || (!training.memorizing && training.trained == 0), training.name,
        ": a source of its own for contexts of which all have gradients, not for memorizing or partly trained ones");
    make_folder(folder);
    Random random(seed + 1000);
    const bool quick = example.scale() == Scale::quick;
    const double accuracy = quick ? 0.01 : 0.9;
    const Index usual_curriculum = quick ? 40 : 2000,
                curriculum = training.curriculum_steps > 0 ? training.curriculum_steps : usual_curriculum;
    const auto stage = [](Index length, Index batch, double until) {
        return Stage<LengthAndBatch>{{length, batch}, Stage<LengthAndBatch>::no_step, until};
    };
    LengthSchedule lengths = LengthSchedule::stages(
        {stage(20, 64, accuracy), stage(60, 32, accuracy), stage(130, 16, accuracy), stage(256, 8, accuracy + 0.08)});

    Metadata metadata{{"task", "dictionary lookup"}, {"curriculum_steps", message(curriculum)}};
    add_config(metadata, model.config());  // so that load_model reads the file
    Muon<float> optimizer(model.parameters(), dictionary_optimizer());
    return train_in_two_phases(
        {.name = message(training.name, ", seed ", seed),
         .out = example.out(),
         .curriculum_steps = curriculum,
         .steps = training.steps,
         .checkpoint = folder / dictionary_file(example, training, seed),
         .metadata = metadata},
        optimizer, lengths, random,
        [&](Index step, Index curriculum_steps) {
            if (step >= curriculum_steps)
                return special_step ? special_step(model, step - curriculum_steps, random)
                                    : dictionary_step(model, training, random);
            DictionaryTraining one_context = training;
            one_context.contexts = 1;
            one_context.symbols = one_context.trained = 0;
            one_context.standard = training.standard || training.memorizing;
            const StepResult result = dictionary_step(model, one_context, lengths.next(step, random), random);
            lengths.observe(*result.accuracy);
            return result;
        },
        [](const TrainingProgress& at) { return message("accuracy ", fixed(*at.accuracy), ", loss ", fixed(at.loss, 4)); });
}

/// The model of such a training.
inline Transformer<float> trained_dictionary_model(Example& example, const std::filesystem::path& folder,
                                                   const DictionaryTraining& training, std::uint64_t seed,
                                                   const DictionaryStep& special_step = {}) {
    Random weights(seed);
    Transformer<float> model = new_dictionary_model(training, weights);
    train_dictionary_model(example, folder, training, seed, model, special_step);
    return model;
}

}  // namespace fot::examples
