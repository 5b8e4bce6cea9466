/// Models that learn to recall values by keys: thousands of both, so that nothing but copying serves.
///
/// On three things it seems to depend whether a model leaves the plateau on which no answer is right (associative_recall measures
/// the last, and the first two together):
///
///     a tied output        The embedding is the output matrix as well, so a model that copies some values copies all of them. With
///                          an output matrix of its own every value has to be learned by itself.
///     small first logits   Tied rows are as long as an embedding's, and the loss would begin at tens of nats. So the last norm
///                          begins small.
///     few keys at first    A training begins with 4 pairs of its own document. Other documents come once 64 pairs are recalled.
///
/// Read first: fot/data/associative_recall.hpp, support/two_phases.hpp.
/// Read next: associative_recall.cpp.
#pragma once

#include "fot/data/associative_recall.hpp"
#include "fot/measure/intervals.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "two_phases.hpp"

namespace fot::examples {

/// How a model is trained.
struct RecallTraining {
    std::string name = {};
    Index contexts = 1;       ///< that each document sees once the curriculum is over, its own included
    bool standard = false;    ///< whole documents in one local context
    bool memorizing = false;  ///< contexts are constants. In the curriculum, and at every other step after it, whole documents: of
                              ///< these the layer learns its keys and values
    bool gated = false;       ///< contexts are joined by a gate
    bool at_once = false;     ///< all contexts from the first step
    bool untied = false;      ///< the output matrix is a weight of its own
};

/// All of them.
inline std::vector<RecallTraining> recall_trainings() {
    return {{.name = "standard", .standard = true},
            {.name = "mt", .memorizing = true, .gated = true},
            {.name = "mt_merged", .memorizing = true},
            {.name = "crossbatch_1"},
            {.name = "crossbatch_16", .contexts = 16},
            {.name = "crossbatch_128", .contexts = 128},
            {.name = "at_once_16", .contexts = 16, .at_once = true},
            {.name = "untied_1", .untied = true}};
}

/// How long, and on how many tokens.
struct RecallSettings {
    Index vocabulary = 8192;
    Index curriculum_steps = 0;  ///< the most that the curriculum takes
    Index steps = 0;             ///< after it
};

/// A new model: its last layer is the memory layer.
inline Transformer<float> new_recall_model(const RecallSettings& settings, const RecallTraining& training, Random& random) {
    Transformer<float> model({.vocabulary = settings.vocabulary,
                              .width = 64,
                              .layers = 3,
                              .heads = 4,
                              .memory_heads = 2,
                              .feed_forward = 256,
                              .integration = training.gated ? Integration::gated : Integration::merged,
                              .tied_output = !training.untied},
                             random);
    for (const Parameter<float>& parameter : model.parameters())
        if (parameter.name == "final_norm" && !training.untied) std::ranges::fill(parameter.value(), 0.1f);
    return model;
}

/// Loss and gradients of 256 questions about documents of 4 tokens a pair, which see so many contexts; or of whole documents.
inline StepResult recall_step(const Transformer<float>& model, const RecallTraining& training, const AssociativeRecallTask& task,
                              Index contexts, bool whole, Random& random) {
    const Index entries = 256 / task.pairs;
    AssociativeRecallBatch batch = associative_recall_batch(task, entries, std::max(entries, contexts), random);
    ContextTable table = no_contexts(entries);
    if (whole)
        batch = whole_documents(batch);
    else
        table = previous_contexts(entries, 1, contexts - 1, extent(batch.previous, 0));
    Tape tape;
    const Variable<float, 3> logits =
        model.crossbatch(tape, {batch.previous, batch.current, table, batch.places, !training.memorizing});
    const Variable<float, 1> loss =
        cross_entropy(tape, logits, batch.values, full<float, 2>(shape_of(batch.values), 1.0f), Reduction::token_mean);
    tape.backward(loss);
    Proportion right;
    right.add_each(correct_predictions(logits.value(), batch.values));
    return {.loss = loss.value()(0), .accuracy = right.value(), .tokens = entries * task.length};
}

/// A trained model, which is kept in --output, and its curriculum.
///
/// Two phases in one run: a curriculum of 4, 8, ... 64 pairs, each until 9 of 10 answers are right; then the contexts of the
/// training, with one of these numbers of pairs, drawn for each step.
inline std::pair<Transformer<float>, Curriculum> trained_recall_model(Example& example, const RecallSettings& settings,
                                                                      const RecallTraining& training, std::uint64_t seed) {
    Random weights(seed), random(seed + 1000);
    Transformer<float> model = new_recall_model(settings, training, weights);
    const std::vector<Index> pairs{4, 8, 16, 32, 64};
    std::vector<Stage<Index>> stages;
    for (const Index each : pairs) stages.push_back({.value = each, .until_signal = 0.9});
    StageSchedule<Index> learned = StageSchedule<Index>::stages(stages), drawn = StageSchedule<Index>::drawn(pairs);

    Muon<float> optimizer(model.parameters(), {});
    const Curriculum curriculum = train_in_two_phases(
        {.name = message("train ", training.name, ", seed ", seed),
         .out = example.out(),
         .curriculum_steps = settings.curriculum_steps,
         .steps = settings.steps,
         .checkpoint = example.output() / message(training.name, "_", settings.steps, "steps_seed", seed, ".safetensors"),
         .metadata = {{"task", "associative recall"},
                      {"vocabulary", message(settings.vocabulary)},
                      {"curriculum_steps", message(settings.curriculum_steps)}}},
        optimizer, learned, random,
        [&](Index step, Index curriculum_steps) {
            const bool learning = step < curriculum_steps,
                       whole = training.standard || (training.memorizing && (learning || step % 2 == 0));
            const Index count = (learning ? learned : drawn).next(step, random);
            const StepResult result = recall_step(model, training, {settings.vocabulary, count, 4 * count},
                                                  learning && !training.at_once ? 1 : training.contexts, whole, random);
            if (learning) learned.observe(*result.accuracy);
            return result;
        },
        [&](const TrainingProgress& at) {
            return message(learned.current(), " pairs, loss ", fixed(at.loss), ", right ", fixed(*at.accuracy, 2));
        });
    return {std::move(model), curriculum};
}

}  // namespace fot::examples
