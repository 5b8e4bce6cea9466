/// Models that learn to look up facts hidden in windows of text: the curriculum and the training loop, for any kind of fact.
///
/// To find a fact, its keys and the query must carry the same name, the one that the fact is about. So the layers below the memory
/// layer have to copy this name to two places: to the bytes of the fact that are the answer, and to those of the question that ask
/// for it. In windows full of text a model has no hint what to copy, and learned nothing in some hundred steps. So windows that
/// hold one fact and hardly any text come first. Longer windows, which hold several facts among text, then take a few steps each.
/// Other windows, whose facts and text are negatives, come last.
///
/// Only answers have a loss: the model learns to look up and not to write text. The text only distracts: the model must not take it
/// for a fact.
///
/// Read first: support/dictionary_training.hpp.   Read next: support/named_passkey_training.hpp, support/story_training.hpp.
#pragma once

#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "held_out_text.hpp"
#include "two_phases.hpp"

namespace fot::examples {

/// The trainings of one run.
struct LookupTraining {
    std::string corpus = "libstdcxx";
    Index curriculum_steps = 0;  ///< the most in which a question sees its own windows alone
    Index steps = 0;             ///< after these, with other windows: a quarter of `windows` in the first third, then all
    Index length = 256;          ///< bytes of the longest windows
    Index windows = 64;          ///< that a question sees in the end
};

/// Windows, questions that each end with all but the last byte of their answer, and who sees which windows.
struct LookupBatch {
    CrossbatchInput input;  ///< wanted are the bytes before those of an answer
    Tokens targets;         ///< (B,A) the answers
    bool awaited = true;    ///< the curriculum goes on when such questions are answered; false: it does not look at them
};

/// Trains a model, which is kept in --output under its name. The first windows have `shortest` bytes.
///
/// `make_batch(windows, late, random)` gives the batch of a step: so many windows of such a length; late: with negatives.
/// Errors: ConfigError if what is kept was trained otherwise; Interrupted after Ctrl-C; as Trainer.
template <class MakeBatch>
Curriculum train_lookup(Example& example, const LookupTraining& settings, const std::string& name, Transformer<float>& model,
                        const std::vector<TokenDocument>& text, Index shortest, std::uint64_t seed, const MakeBatch& make_batch) {
    Random random(seed + 1000);
    const auto stage = [](Index length, Index windows) {
        return Stage<LengthAndBatch>{{length, windows}, Stage<LengthAndBatch>::no_step, 0.95};
    };
    const LengthAndBatch few{settings.length, std::max<Index>(settings.windows / 4, 1)}, all{settings.length, settings.windows};
    LengthSchedule lengths =
        LengthSchedule::stages({stage(shortest, 64), stage(80, 32), stage(160, 16), stage(few.length, few.batch)});

    MuonOptions options;
    options.adam.learning_rate_factors.temperature = 60;  // as for the dictionary: attention must become sharp
    Muon<float> optimizer(model.parameters(), options);
    return train_in_two_phases(
        {.name = message("train ", name, ", seed ", seed),
         .out = example.out(),
         .curriculum_steps = settings.curriculum_steps,
         .steps = settings.steps,
         .checkpoint = example.output() / message(name, "_", settings.steps, "steps_seed", seed, ".safetensors"),
         .metadata = {{"program", example.name()},
                      {"corpus", settings.corpus},
                      {"text", fingerprint(text)},
                      {"windows", message(settings.windows, " x ", settings.length)},
                      {"curriculum_steps", message(settings.curriculum_steps)}}},
        optimizer, lengths, random,
        [&](Index step, Index curriculum) {
            const bool late = step >= curriculum;
            const LengthAndBatch windows = !late                                      ? lengths.next(step, random)
                                           : 3 * (step - curriculum) < settings.steps ? few
                                                                                      : all;
            const LookupBatch batch = make_batch(windows, late, random);
            Tape tape;
            const Variable<float, 3> logits = model.crossbatch(tape, batch.input);
            const Variable<float, 1> loss =
                cross_entropy(tape, logits, batch.targets, full<float, 2>(shape_of(batch.targets), 1.0f), Reduction::token_mean);
            tape.backward(loss);
            Proportion right;
            right.add_each(correct_predictions(logits.value(), batch.targets));
            if (!late && batch.awaited) lengths.observe(right.value());
            return StepResult{.loss = loss.value()(0), .accuracy = right.value(), .tokens = element_count(batch.input.current)};
        },
        [&](const TrainingProgress& at) {
            return message("stage ", lengths.state.stage + 1, ", loss ", fixed(at.loss), ", predicted ", fixed(*at.accuracy, 2));
        });
}

}  // namespace fot::examples
