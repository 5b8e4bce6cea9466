/// What `passkey` and `few_shot` share: a small LLaMA, and its training on a task of which easy forms come first.
///
/// A model learns to look something up when the place to look is near: short windows, few things to tell apart. Once it does,
/// longer windows take only a few steps each. So a training goes through stages, each left when the task's accuracy is high enough.
///
/// Read first: support/training.hpp.   Read next: passkey.cpp, few_shot.cpp.
#pragma once

#include "fot/data/documents.hpp"
#include "fot/measure/intervals.hpp"
#include "fot/model/long_llama_config.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/muon.hpp"
#include "training.hpp"

namespace fot::examples {

/// A byte-level LLaMA of a million parameters that reads windows of `window` bytes.
inline LongLlamaConfig small_llama(Index window) {
    return {.model = as_llama(
                {.vocabulary = byte_vocabulary, .width = 128, .layers = 4, .memory_layers = {3}, .heads = 2, .feed_forward = 352}),
            .window = window,
            .last_context = 64};
}

/// One training. `windows` of a document: the last is trained on, the others are its previous contexts, seen by crossbatch.
struct StagedTraining {
    std::string name;  ///< in the progress line and, with the steps, in the checkpoint's name
    Index windows = 1;
    std::vector<LengthAndBatch> stages;     ///< the last one stays
    Index curriculum_steps = 0, steps = 0;  ///< the most that the stages before the last take of the steps; all steps
    Index steps_before = 0;                 ///< of the training that this one continues; in the checkpoint's name too
    double rate = 0.4;                      ///< factor on the optimiser's learning rates
    Metadata settings = {};                 ///< a checkpoint of other settings is refused
};

/// Documents for a batch, one an entry. If there are contexts, the table says who sees which: previous windows or, where there are
/// none, other entries. A token with loss mask 1 is asked for; the others count less.
struct StagedBatch {
    std::vector<TokenDocument> documents = {};
    ContextTable table = {};
};

/// The share of a batch's asked tokens that were predicted.
inline double share_predicted(const ContextBatch<float>& batch, const Tensor<float, 3>& logits) {
    const Tensor<std::uint8_t, 2> correct = correct_predictions(logits, batch.targets);
    Proportion right;
    for (Index i = 0; i < length_of(correct); ++i)
        if (batch.mask.data()[i] == 1.0f) right.add(correct.data()[i] != 0);
    return right.trials > 0 ? right.value() : 0;
}

/// Trains on from the weights as they are, `draw(stage, length and batch, random)` giving each batch. A stage is left once the
/// running share of predicted tokens reaches `accuracy`. What is kept in --output is not trained again.
/// Errors: ConfigError for fewer than two stages, or if what is kept was trained otherwise; Interrupted after Ctrl-C; as Trainer.
template <class Draw>
void train_in_stages(Example& example, const StagedTraining& training, double accuracy, std::uint64_t seed,
                     Transformer<float>& model, Draw draw) {
    const Index before_last = length_of(training.stages) - 1;
    require<ConfigError>(before_last >= 1 && training.curriculum_steps >= before_last, "train_in_stages: ", before_last + 1,
                         " stages, all but the last within ", training.curriculum_steps,
                         " steps: expected two stages or more, and a step for each");
    std::vector<Stage<LengthAndBatch>> stages;
    for (const LengthAndBatch& each : training.stages) {  // at the latest they end one step after another
        const Index left = before_last - 1 - length_of(stages);
        stages.push_back(left >= 0 ? Stage<LengthAndBatch>{each, training.curriculum_steps - left, accuracy}
                                   : Stage<LengthAndBatch>{each});
    }
    LengthSchedule lengths = LengthSchedule::stages(stages);
    Random random(seed + 1000);
    Muon<float> optimizer(model.parameters(), {});
    const LearningRate rate = LearningRate::linear_decay(training.rate, 40, training.steps);
    std::string stage_text;
    for (const LengthAndBatch& each : training.stages) stage_text += message(each.batch, " x ", each.length, ", ");
    Metadata metadata = training.settings;
    metadata.insert(
        {{"program", example.name()},
         {"model", training.name},
         {"seed", message(seed)},
         {"stages", message(stage_text, training.curriculum_steps, " of ", training.steps, " steps, accuracy ", accuracy)}});
    const std::string after = training.steps_before > 0 ? message("_after_", training.steps_before) : "";
    const std::string file = message(training.name, "_", training.steps, "steps", after, "_seed", seed, ".safetensors");
    Progress bar(message("train ", training.name, ", seed ", seed), training.steps);
    Trainer<float> trainer(optimizer, {.steps = training.steps,
                                       .learning_rate = [&](Index step) { return rate.at(step); },
                                       .checkpoint = example.output() / file,
                                       .checkpoint_every_seconds = 60,
                                       .metadata = metadata,
                                       .progress =
                                           [&](const TrainingProgress& at) {
                                               bar.update(at.steps_done,
                                                          message("windows of ", lengths.current().length, ", loss ",
                                                                  fixed(at.loss), ", predicted ", fixed(*at.accuracy, 2)));
                                           }});
    trainer.keep("batches", random);
    trainer.keep("lengths", lengths);
    resume(trainer);
    trainer.run([&](Index step) {
        const LengthAndBatch at = lengths.next(step, random);
        const StagedBatch drawn = draw(lengths.state.stage, at, random);
        const ContextBatch<float> batch = document_contexts<float>(
            drawn.documents, {.entries = length_of(drawn.documents), .positives = training.windows - 1, .length = at.length});
        Tape tape;
        const Variable<float, 3> logits =
            training.windows > 1        ? model.crossbatch(tape, {batch.previous, batch.current, drawn.table})
            : drawn.table.entries() > 0 ? model.forward(tape, batch.current, PackedContexts<float>(drawn.table, at.length))
                                        : model.local(tape, batch.current);
        const Variable<float, 1> loss = cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::row_mean);
        tape.backward(loss);
        const double predicted = share_predicted(batch, logits.value());
        lengths.observe(predicted);
        return StepResult{.loss = loss.value()(0), .accuracy = predicted, .tokens = at.batch * at.length};
    });
    stop_if_interrupted(training_is_kept);
}

}  // namespace fot::examples
