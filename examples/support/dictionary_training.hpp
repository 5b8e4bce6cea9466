/// How a model learns to look definitions up in a dictionary: the trainings that the dictionary programs have in common.
///
/// Read first: fot/data/dictionary.hpp, support/training.hpp.   Read next: dictionary_lookup.cpp, sharded_dictionary.cpp.
#pragma once

#include "example.hpp"
#include "fot/data/dictionary.hpp"
#include "fot/measure/intervals.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/muon.hpp"
#include "training.hpp"

namespace fot::examples {

/// How a model is trained once it has learned the task on one context (phase 2).
struct DictionaryTraining {
    std::string name;
    Index steps;     ///< of phase 2
    Index contexts;  ///< contexts that each document sees, the own one included
    Index symbols;   ///< each batch spells with so many of the 61 symbols; 0: all of them
    bool standard = false;
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

/// The model: three layers, the last of which has the memory.
inline TransformerConfig dictionary_model() {
    return {.vocabulary = 64, .width = 128, .layers = 3, .memory_layers = {2}, .heads = 4, .memory_heads = 2, .feed_forward = 256};
}

/// One training step: loss and gradients of a fresh batch. Only the answers are computed: nothing else has a loss.
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
    const Tokens targets = take_positions(batch.targets, answers);
    Tape tape;
    const Variable<float, 3> logits = model.crossbatch(tape, {batch.previous, batch.current, table, answers});
    const Variable<float, 1> loss =
        cross_entropy(tape, logits, targets, full<float, 2>(shape_of(targets), 1.0f), Reduction::token_mean);
    Proportion right;
    const Tensor<std::uint8_t, 2> correct = correct_predictions(logits.value(), targets);
    for (const auto each : correct.storage()) right.add(each != 0);
    tape.backward(loss);
    return {.loss = loss.value()(0), .accuracy = right.value(), .tokens = 2 * at.batch * at.length};
}

/// A trained model, which --output keeps.
///
/// It is trained in one run of two phases: a curriculum of lengths with the own context alone, until the model has learned to look
/// definitions up; then the contexts and data of the training. (The paper raises the number of contexts at an accuracy of 98 %
/// as well.) The optimiser goes on from phase to phase.
inline Transformer<float> trained_dictionary_model(Example& example, const DictionaryTraining& training, std::uint64_t seed,
                                                   const TransformerConfig& config = dictionary_model()) {
    constexpr Index documents = 16;  // with questions in a batch of phase 2, B
    Random weights(seed), random(seed + 1000);
    Transformer<float> model(config, weights);
    const bool quick = example.scale() == Scale::quick;
    const double accuracy = quick ? 0.01 : 0.9;
    Index curriculum = quick ? 40 : 2000;  // steps of phase 1, fewer once it has ended earlier
    const auto stage = [](Index length, Index batch, double until) {
        return Stage<LengthAndBatch>{{length, batch}, Stage<LengthAndBatch>::no_step, until};
    };
    LengthSchedule lengths = LengthSchedule::stages(
        {stage(20, 64, accuracy), stage(60, 32, accuracy), stage(130, 16, accuracy), stage(256, 8, accuracy + 0.08)});
    const Index most_steps = curriculum + training.steps;
    const LearningRate constant = LearningRate::constant(1, 50), decaying = LearningRate::linear_decay(1, 0, training.steps, 1.0);

    MuonOptions options;
    options.adam.learning_rate_factors.temperature = 60;  // sharp attention matters more here than anywhere else
    Muon<float> optimizer(model.parameters(), options);
    const std::string shape =
        config == dictionary_model() ? "" : message("_", config.memory_heads, "heads_", config.key_heads, "keyheads");
    const std::string file =
        message(training.name, "_", training.contexts, "contexts_", training.steps, "steps", shape, "_seed", seed, ".safetensors");
    Progress bar(message(training.name, ", seed ", seed), most_steps);
    Trainer<float> trainer(
        optimizer,
        {.steps = most_steps,
         .learning_rate = [&](Index step) { return step < curriculum ? constant.at(step) : decaying.at(step - curriculum); },
         .checkpoint = example.output() / file,
         .checkpoint_every_seconds = 60,
         .metadata = {{"program", example.name()}, {"curriculum_steps", message(curriculum)}},
         .progress =
             [&](const TrainingProgress& at) {
                 bar.expect(curriculum + training.steps);
                 bar.update(at.steps_done, message("accuracy ", fixed(*at.accuracy), ", loss ", fixed(at.loss, 4)));
             }});
    trainer.keep("batches", random);
    trainer.keep("lengths", lengths);
    trainer.keep("curriculum", curriculum);
    resume(trainer);
    trainer.run([&](Index step) {
        StepResult result;
        if (step < curriculum) {
            DictionaryTraining one_context = training;
            one_context.symbols = 0;
            result = dictionary_step(model, one_context, lengths.next(step, random), 1, random);
            lengths.observe(*result.accuracy);
            if (lengths.finished()) curriculum = step + 1;
        } else {
            result = dictionary_step(model, training, {256, documents}, training.contexts, random);
        }
        result.done = step + 1 == curriculum + training.steps;
        return result;
    });
    stop_if_interrupted(training_is_kept);
    return model;
}

}  // namespace fot::examples
