/// Models that learn to look up keys that have names: windows of text in which keys are hidden, and questions about them.
///
///     fot           crossbatch: a question sees the window that holds its key, in the end other windows too
///     one_context   the same without the other windows: no negatives
///     base          window and question are one local context; it never meets a memory
///
/// A key is found if the states at its digits carry its name, and those at the question carry it, too: the layers below the memory
/// layer copy the name there. In windows full of text a model has no hint what to copy: it learned nothing in some hundred steps.
/// So windows that hold one key and no text come first. Longer windows, which hold several keys among text, then take a few steps
/// each. Other windows, whose keys and text are negatives, come last.
///
/// Only answers have a loss: the model learns to look up and not to write text. Text is among what it must not take for a key.
///
/// Read first: fot/data/named_passkeys.hpp, support/dictionary_training.hpp.   Read next: passkey_in_text.cpp.
#pragma once

#include "fot/data/named_passkeys.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/curriculum.hpp"
#include "fot/train/muon.hpp"
#include "held_out_text.hpp"
#include "passkey_documents.hpp"
#include "training.hpp"

namespace fot::examples {

/// The trainings of one run.
struct NamedPasskeyTraining {
    std::string corpus = "libstdcxx";
    Index curriculum_steps = 0;  ///< the most in which a question sees its own window alone
    Index steps = 0;             ///< after these, with other windows: a quarter of `windows` in the first third, then all
    Index length = 256;          ///< bytes of the longest windows
    Index windows = 64;          ///< that a question sees in the end
};

/// A new model: its last layer is the memory layer.
inline Transformer<float> new_named_passkey_model(Random& random) {
    return Transformer<float>(
        {.vocabulary = byte_vocabulary, .width = 128, .layers = 4, .heads = 4, .memory_heads = 2, .feed_forward = 352}, random);
}

/// Windows, questions that each end with all but the last byte of their answer, and who sees which windows.
struct NamedKeyBatch {
    CrossbatchInput input;  ///< wanted are the bytes before those of an answer
    Tokens targets;         ///< (B,7) the answers
};

/// A piece of text for each window, in which as many keys are hidden as in the others: one, or as many as fit, or between. About
/// `questions` are asked; each sees `contexts` windows, the one with its key first. `hard`: names are spelled with as few letters
/// as suffice, but six or more; other keys are then hard negatives by construction.
inline NamedKeyBatch named_key_batch(const std::vector<TokenDocument>& text, const LengthAndBatch& windows, Index questions,
                                     Index contexts, bool hard, Random& random) {
    const Index keys = 1 + random.below(windows.length / named_key_bytes()),
                asked = std::clamp<Index>(questions / windows.batch, 1, keys);
    Index letters = hard ? 6 : 26;
    while (letters * letters * letters < windows.batch * keys) ++letters;
    std::vector<NamedKey> hidden = named_keys(windows.batch * keys, random, letters);

    const Index question = length_of(hidden[0].question()), answer = length_of(hidden[0].answer());
    NamedKeyBatch batch{{.previous = empty<std::int32_t, 2>({windows.batch, windows.length}),
                         .current = empty<std::int32_t, 2>({windows.batch * asked, question + answer - 1}),
                         .table = {windows.batch, {}, {}}},
                        empty<std::int32_t, 2>({windows.batch * asked, answer})};
    for (Index i = 0; i < answer; ++i) batch.input.wanted.push_back(question - 1 + i);
    const ContextTable seen = previous_contexts(windows.batch, 1, contexts - 1);
    for (Index window = 0; window < windows.batch; ++window) {
        std::span<NamedKey> of_window(&element(hidden, window * keys), static_cast<std::size_t>(keys));
        std::string bytes = text_of(piece_of_text(text, windows.length, random).tokens);
        hide_keys(of_window, bytes, random);
        std::ranges::copy(byte_tokens(bytes), row(batch.input.previous, window));
        random.shuffle(of_window);
        for (Index i = 0; i < asked; ++i) {
            const NamedKey& key = element(of_window, i);
            const std::vector<std::int32_t> tokens = byte_tokens(key.question() + key.answer());
            std::copy_n(tokens.begin(), question + answer - 1, row(batch.input.current, window * asked + i));
            std::copy_n(tokens.begin() + question, answer, row(batch.targets, window * asked + i));
            batch.input.table.contexts.push_back(element(seen.contexts, window));
            batch.input.table.positives.push_back(1);
        }
    }
    return batch;
}

/// The same as local contexts: each question after the window with its key.
inline NamedKeyBatch in_one_piece(const NamedKeyBatch& batch) {
    const auto& [previous, current, table, wanted, differentiable] = batch.input;
    const Index entries = extent(current, 0), before = extent(previous, 1);
    NamedKeyBatch whole{{.previous = empty<std::int32_t, 2>({0, before}),
                         .current = empty<std::int32_t, 2>({entries, before + extent(current, 1)}),
                         .table = no_contexts(entries),
                         .wanted = wanted},
                        batch.targets};
    for (Index& position : whole.input.wanted) position += before;
    for (Index i = 0; i < entries; ++i) {
        std::copy_n(row(previous, element(table.contexts, i)[0]), before, row(whole.input.current, i));
        std::copy_n(row(current, i), extent(current, 1), row(whole.input.current, i) + before);
    }
    return whole;
}

/// A model trained under one of the names above. It is kept in --output.
/// Errors: ConfigError if what is kept was trained otherwise; Interrupted after Ctrl-C; as Trainer.
inline Transformer<float> trained_named_passkey_model(Example& example, const NamedPasskeyTraining& settings,
                                                      const std::string& name, const std::vector<TokenDocument>& text,
                                                      std::uint64_t seed) {
    Random weights(seed), random(seed + 1000);
    Transformer<float> model = new_named_passkey_model(weights);
    const auto stage = [](Index length, Index windows) {
        return Stage<LengthAndBatch>{{length, windows}, Stage<LengthAndBatch>::no_step, 0.95};
    };
    const LengthAndBatch few{settings.length, std::max<Index>(settings.windows / 4, 1)}, all{settings.length, settings.windows};
    LengthSchedule lengths = LengthSchedule::stages({stage(40, 64), stage(80, 32), stage(160, 16), stage(few.length, few.batch)});
    Index curriculum = settings.curriculum_steps;  // fewer once it has ended earlier
    const Index most_steps = curriculum + settings.steps;
    const LearningRate constant = LearningRate::constant(1, 50), decaying = LearningRate::linear_decay(1, 0, settings.steps, 1.0);

    MuonOptions options;
    options.adam.learning_rate_factors.temperature = 60;  // as for the dictionary: attention must become sharp
    Muon<float> optimizer(model.parameters(), options);
    Progress bar(message("train ", name, ", seed ", seed), most_steps);
    Trainer<float> trainer(
        optimizer,
        {.steps = most_steps,
         .learning_rate = [&](Index step) { return step < curriculum ? constant.at(step) : decaying.at(step - curriculum); },
         .checkpoint = example.output() / message(name, "_", settings.steps, "steps_seed", seed, ".safetensors"),
         .checkpoint_every_seconds = 60,
         .metadata = {{"program", example.name()},
                      {"corpus", settings.corpus},
                      {"text", fingerprint(text)},
                      {"windows", message(settings.windows, " x ", settings.length)},
                      {"curriculum_steps", message(curriculum)}},
         .progress =
             [&](const TrainingProgress& at) {
                 bar.expect(curriculum + settings.steps);
                 bar.update(at.steps_done, message("stage ", lengths.state.stage + 1, ", loss ", fixed(at.loss), ", predicted ",
                                                   fixed(*at.accuracy, 2)));
             }});
    trainer.keep("batches", random);
    trainer.keep("lengths", lengths);
    trainer.keep("curriculum", curriculum);
    resume(trainer);
    trainer.run([&](Index step) {
        const bool late = step >= curriculum, hard = late && random.below(2) == 0;
        const LengthAndBatch windows = !late ? lengths.next(step, random) : 3 * (step - curriculum) < settings.steps ? few : all;
        const Index questions = name == "base" ? 32 : 64,  // then steps cost about the same
            contexts = late && name == "fot" ? windows.batch : 1;
        NamedKeyBatch batch = named_key_batch(text, windows, questions, contexts, hard, random);
        if (name == "base") batch = in_one_piece(batch);
        Tape tape;
        const Variable<float, 3> logits = model.crossbatch(tape, batch.input);
        const Variable<float, 1> loss =
            cross_entropy(tape, logits, batch.targets, full<float, 2>(shape_of(batch.targets), 1.0f), Reduction::token_mean);
        tape.backward(loss);
        Proportion right;
        const Tensor<std::uint8_t, 2> correct = correct_predictions(logits.value(), batch.targets);
        for (const auto each : correct.storage()) right.add(each != 0);
        if (!late) lengths.observe(right.value());
        if (!late && lengths.finished()) curriculum = step + 1;
        return StepResult{.loss = loss.value()(0),
                          .accuracy = right.value(),
                          .tokens = element_count(batch.input.current),
                          .done = step + 1 == curriculum + settings.steps};
    });
    stop_if_interrupted(training_is_kept);
    return model;
}

}  // namespace fot::examples
