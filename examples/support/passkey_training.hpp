/// How the models of `passkey` are trained.
///
///     base   prompts that fit its window, the short ones first; then such prompts among text
///     fot    continues base by crossbatch in the memory layer: two previous windows of the query's own document beside windows of
///            others
///     long   continues base on local contexts of twice the length, in as many steps of the same cost as fot
///
/// Read first: support/staged_training.hpp.   Read next: passkey.cpp.
#pragma once

#include "held_out_text.hpp"
#include "passkey_documents.hpp"
#include "staged_training.hpp"

namespace fot::examples {

/// The trainings of one run.
struct PasskeyTraining {
    std::string corpus = "libstdcxx";
    Index length = 256, batch = 16, contexts = 4;
    Index curriculum_steps = 0, steps = 0, further_curriculum_steps = 0, further_steps = 0;
    double accuracy = 0.99;
    bool packed = false;
};

/// Windows of a document that `fot` is trained on at a time: the last ones of three see two before them.
inline constexpr Index fot_windows = 3;

/// Declares the options of training.
inline void add_passkey_options(Example& example, PasskeyTraining& settings) {
    example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB]");
    example.option("--steps", settings.steps, {12, 600, 600}, "steps of pre-training", 1);
    example.option("--curriculum-steps", settings.curriculum_steps, {8, 1000, 1000}, "most steps on prompts alone, before that", 3);
    example.option("--further-curriculum-steps", settings.further_curriculum_steps, {8, 600, 600},
                   "most steps of each continuation in shorter windows, before that", 3);
    example.option("--further-steps", settings.further_steps, {8, 700, 700}, "steps of each continuation", 1);
    example.option("--accuracy", settings.accuracy, "share of predicted answer bytes that ends a stage of a curriculum");
    example.add_seeds_option();
    example.option("--length", settings.length, "local context of training, bytes", 1);
    example.option("--batch", settings.batch, "documents in a batch", 1);
}

/// The stages of a training, by name.
inline StagedTraining passkey_training(const PasskeyTraining& settings, const std::string& name,
                                       const std::vector<TokenDocument>& text) {
    const Index length = settings.length, batch = settings.batch;
    StagedTraining training{.name = name,
                            .stages = {{112, 2 * batch}, {150, 3 * batch / 2}, {200, 5 * batch / 4}, {length, batch}},
                            .curriculum_steps = settings.curriculum_steps,
                            .steps = settings.curriculum_steps + settings.steps,
                            .rate = 0.5,
                            .settings = {{"corpus", settings.corpus}, {"text", fingerprint(text)}}};
    if (name == "base") return training;
    training.steps_before = training.steps;
    training.settings["steps before"] = message(training.curriculum_steps, " + ", settings.steps);
    training.curriculum_steps = settings.further_curriculum_steps;
    training.steps = settings.further_curriculum_steps + settings.further_steps;
    training.rate = 0.4;
    if (name == "fot") {
        if (settings.packed)
            training.name += "_packed";
        else
            training.windows = fot_windows;
        training.settings["contexts"] = message(settings.contexts);
        training.stages = {{96, 2 * batch}, {128, 2 * batch}, {192, batch}, {length, batch}};
    } else {
        // A step costs what one of fot's does: that reads two previous windows through three of four layers, and a current one.
        training.stages = {
            {192, 5 * batch / 2}, {256, 5 * batch / 2}, {3 * length / 2, 5 * batch / 4}, {2 * length, 5 * batch / 4}};
    }
    return training;
}

/// Trains a model from its first weights: base, and from there on `fot` or `long` if that is its name.   Errors: as
/// train_in_stages.
inline void train_on_passkeys(Example& example, const PasskeyTraining& settings, const std::string& name,
                              const std::vector<TokenDocument>& text, std::uint64_t seed, Transformer<float>& model) {
    std::vector<std::string> parts{"base"};
    if (name == "fot" || name == "long") parts.push_back(name);
    for (const std::string& part : parts) {
        const StagedTraining training = passkey_training(settings, part, text);
        const Index mixture = part == "base" ? length_of(training.stages) - 1 : 0;  // the first stage that is one
        const Index windows = part == "fot" ? fot_windows : 1;
        const auto draw = [&](Index stage, const LengthAndBatch& at, Random& random) {
            StagedBatch batch{passkey_documents(text, at.batch, at.length, windows, stage < mixture, random)};
            if (windows == 1) return batch;
            if (!settings.packed) return StagedBatch{batch.documents, passkey_contexts(at.batch, windows - 1, settings.contexts)};
            return StagedBatch{windows_of(batch.documents, at.length),
                               packed_contexts(windows * at.batch, settings.contexts, windows, /*stepping=*/true)};
        };
        train_in_stages(example, training, settings.accuracy, seed, model, draw);
    }
}

}  // namespace fot::examples
