/// Models that learn to look up definitions, the paper's task, on 512 tokens.
///
/// Read first: fot/data/dictionary.hpp, support/two_phases.hpp.   Read next: dictionary_lookup.cpp.
#pragma once

#include "fot/data/dictionary.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/recomputed_contexts.hpp"
#include "two_phases.hpp"

namespace fot::examples {

/// Documents with questions in a batch, B.
inline constexpr Index dictionary_batch_size = 16;

/// A model, and how it is trained: phase 1 is a curriculum on the query's own context alone, phase 2 what is said here.
struct DictionaryTraining {
    std::string name = {};
    Index steps = 0;              ///< of phase 2
    Index contexts = 0;           ///< contexts that each document sees, its own included
    Index symbols = 0;            ///< each batch spells with so many of the 61 symbols; 0: all of them
    bool standard = false;        ///< whole documents in one local context, no previous one
    bool memorizing = false;      ///< as the Memorizing Transformer: a gate, and contexts whose keys and values are constants;
                                  ///< phase 1 as a standard transformer, where keys are learned
    bool unnormalized = false;    ///< scores <q, k> / sqrt(D), without QK-norm and temperature
    Index together = 0;           ///< contexts whose activations are held at a time; 0: all, which is faster
    Index memory_heads = 2;       ///< of the memory layer
    Index key_heads = 0;          ///< that they share; 0: each its own
    bool without_memory = false;  ///< no memory layer, so positions in every layer
    Index curriculum_steps = 0;   ///< the most that phase 1 takes; 0: 2000 (40 with --quick)
};

/// The one of that name, or those of the scale.
inline std::vector<DictionaryTraining> dictionary_trainings(const Example& example, const std::string& only) {
    const auto at = [&](Index quick, Index standard, Index full) {
        return Scaled<Index>{quick, standard, full}.at(example.scale());
    };
    std::vector<DictionaryTraining> list{{"uniform", at(2, 200, 200), at(16, 128, 512), 0}, {"hard", at(2, 200, 400), 16, 8}};
    if (example.scale() == Scale::full || only == "one_context") list.push_back({"one_context", 600, 1, 0});
    if (example.scale() == Scale::full || only == "standard") list.push_back({"standard", 600, 0, 0, true});
    if (!only.empty()) std::erase_if(list, [&](const DictionaryTraining& training) { return training.name != only; });
    return list;
}

/// A new model: its last layer is the memory layer, if it has one. Without one it has fewer heads and a large rotary base, with
/// which it learns faster.
inline Transformer<float> new_dictionary_model(const DictionaryTraining& training, Random& random) {
    return Transformer<float>({.vocabulary = 64,
                               .width = 128,
                               .layers = 3,
                               .memory_layers = training.without_memory ? std::vector<Index>{} : std::vector<Index>{2},
                               .heads = training.without_memory ? 2 : 4,
                               .memory_heads = training.memory_heads,
                               .key_heads = training.key_heads,
                               .feed_forward = 256,
                               .integration = training.memorizing ? Integration::gated : Integration::merged,
                               .rotary_base = training.without_memory ? 1e6 : 100,
                               .normalized_heads = !training.unnormalized},
                              random);
}

/// Loss and gradients of a batch, whose entries see the contexts of a table. Only the answers, at some positions, are computed:
/// nothing else has a loss.
inline StepResult dictionary_step_on(Transformer<float>& model, const DictionaryTraining& training,
                                     const DictionaryBatch<float>& batch, const ContextTable& table,
                                     const std::vector<Index>& answers) {
    const Tokens targets = take_positions(batch.targets, answers);
    Tape tape, constant(Tape::inference);
    const Contexts<float> contexts(training.together > 0
                                       ? recomputed_keys_and_values(tape, model, batch.previous, training.together)
                                       : model.keys_and_values(training.memorizing ? constant : tape, batch.previous),
                                   table);
    const Variable<float, 3> logits = model.forward(tape, batch.current, contexts, answers);
    const Variable<float, 1> loss =
        cross_entropy(tape, logits, targets, full<float, 2>(shape_of(targets), 1.0f), Reduction::token_mean);
    Proportion right;
    const Tensor<std::uint8_t, 2> correct = correct_predictions(logits.value(), targets);
    for (const auto each : correct.storage()) right.add(each != 0);
    tape.backward(loss);
    return {
        .loss = loss.value()(0), .accuracy = right.value(), .tokens = element_count(batch.current) + element_count(batch.previous)};
}

/// One training step on a fresh batch, with random negatives.
inline StepResult dictionary_step(Transformer<float>& model, const DictionaryTraining& training, const LengthAndBatch& at,
                                  Index contexts, Random& random) {
    const DictionaryTask task{.half_length = at.length};
    DictionaryBatch<float> batch = dictionary_batch<float>(task, at.batch, std::max(at.batch, contexts), random, training.symbols);
    std::vector<Index> answers = answer_positions(task);
    ContextTable table = no_contexts(at.batch);
    if (training.standard) {
        batch = whole_documents(batch);
        for (Index& position : answers) position += at.length;
    } else {
        table = previous_contexts(at.batch, 1, contexts - 1, extent(batch.previous, 0));
    }
    return dictionary_step_on(model, training, batch, table, answers);
}

/// What phase 2 does in a step: steps count from 0.
using DictionaryStep = std::function<StepResult(Transformer<float>& model, Index step, Random& random)>;

/// A trained model, which is kept in a folder that is made if missing.
///
/// It is trained in one run of two phases: a curriculum of lengths, until the model has learned to look definitions up, or the
/// curriculum has taken all its steps, which is said; then the contexts and data of the training. (The paper, too, raises the
/// number of contexts at an accuracy of 98 %.) The optimiser goes on from phase to phase. Phase 2 may have a step of its own.
inline Transformer<float> trained_dictionary_model(Example& example, const std::filesystem::path& folder,
                                                   const DictionaryTraining& training, std::uint64_t seed,
                                                   const DictionaryStep& special_step = {}) {
    make_folder(folder);
    Random weights(seed), random(seed + 1000);
    Transformer<float> model = new_dictionary_model(training, weights);
    const bool quick = example.scale() == Scale::quick;
    const double accuracy = quick ? 0.01 : 0.9;
    const Index usual_curriculum = quick ? 40 : 2000,
                curriculum = training.curriculum_steps > 0 ? training.curriculum_steps : usual_curriculum;
    const auto stage = [](Index length, Index batch, double until) {
        return Stage<LengthAndBatch>{{length, batch}, Stage<LengthAndBatch>::no_step, until};
    };
    LengthSchedule lengths = LengthSchedule::stages(
        {stage(20, 64, accuracy), stage(60, 32, accuracy), stage(130, 16, accuracy), stage(256, 8, accuracy + 0.08)});

    MuonOptions options;
    options.adam.learning_rate_factors.temperature = 60;  // sharp attention matters more here than anywhere else
    Muon<float> optimizer(model.parameters(), options);
    const DictionaryTraining usual;
    const bool usual_heads = training.memory_heads == usual.memory_heads && training.key_heads == usual.key_heads;
    const std::string heads = usual_heads ? "" : message("_", training.memory_heads, "heads_", training.key_heads, "keyheads");
    const std::string file = message(training.name, "_", training.contexts, "contexts_", training.steps, "steps", heads, "_seed",
                                     seed, quick ? "_quick" : "", ".safetensors");
    const Index learned_in = train_in_two_phases(
        {.name = message(training.name, ", seed ", seed),
         .curriculum_steps = curriculum,
         .steps = training.steps,
         .checkpoint = folder / file,
         .metadata = {{"task", "dictionary lookup"}, {"curriculum_steps", message(curriculum)}}},
        optimizer, lengths, random,
        [&](Index step, Index learned) {
            if (step >= learned)
                return special_step ? special_step(model, step - learned, random)
                                    : dictionary_step(model, training, {256, dictionary_batch_size}, training.contexts, random);
            DictionaryTraining one_context = training;
            one_context.symbols = 0;
            one_context.standard = training.standard || training.memorizing;
            const StepResult result = dictionary_step(model, one_context, lengths.next(step, random), 1, random);
            lengths.observe(*result.accuracy);
            return result;
        },
        [](const TrainingProgress& at) { return message("accuracy ", fixed(*at.accuracy), ", loss ", fixed(at.loss, 4)); });
    if (learned_in == curriculum)
        example.out() << training.name << ", seed " << seed << ": not learned in the " << curriculum
                      << " steps of the curriculum\n";
    return model;
}

}  // namespace fot::examples
