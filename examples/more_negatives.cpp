/// Do more negatives help, or harder ones?   (the paper's open questions: larger d, hard negatives)
///
/// Crossbatch shows a query d contexts, of which d - 1 are of other documents. The paper stops at d = 128, because more did not fit
/// its machine, and names hard negatives as future work. Here both are tried. More: d goes up to 4096. Of these contexts 128 are
/// trained on; the others are constants that compete for attention, so they need neither activations nor a backward pass. Harder: a
/// search in a memory of the training set's own keys finds the contexts that would draw most attention from the batch; this memory
/// is made anew every 25 steps.
///
///     the dictionary   uniform   negatives at random
///                      mined     the hardest of a pool of documents
///                      further_  either of them in some last steps, after a training with 128 contexts at random (--further-steps)
///                      ..._log_length  any of them; in inference its scores grow with the memory (LogN, --log-length)
///     text             random    the previous contexts of the batch, and windows of a pool at random
///                      mined     the same, and the hardest windows of the pool
///
/// A step shows as many contexts with mined negatives as with random ones. The search and the making of its memory come on top and
/// are in the time of a step.
///
/// Data:    the dictionary, made here, and the libstdc++ headers that come with g++ (--corpus for other text).
/// Time:    15 minutes on two cores; --quick: seconds; --full: further steps with up to 4096 contexts, three seeds (hours;
///          200 steps with 512 contexts take some twenty minutes of one core).
/// Command: build/release/examples/more_negatives
/// Expect:  .99 of the answers are right at 1M tokens with 64 contexts, random or mined. From 4M on (--largest) more contexts
///          leave fewer answers wrong; of 128, mined ones fewer than random ones.
#include "support/accuracy_curves.hpp"
#include "support/dictionary_evaluation.hpp"
#include "support/mined_training.hpp"
#include "support/positive_masses.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What is trained, and how large the memories of definitions are that it is tested with.
struct NegativesSettings {
    std::vector<Index> uniform = {}, mined = {}, text = {};  // numbers of contexts
    Index first_contexts = 0, trained = 0, pool = 0, dictionary_steps = 0, further_steps = 0, largest = 0, questions = 400;
    bool log_length = false;

    /// Throws ConfigError unless there are negatives to choose: more contexts than documents in a batch, and a pool that has them.
    void check(Index batch_of_text) const {
        const auto require_negatives = [&](const char* option, const std::vector<Index>& list, Index batch) {
            for (const Index contexts : list)
                require<ConfigError>(contexts > batch && contexts <= pool, option, ": ", contexts, ", expected ", batch + 1,
                                     " ... ", pool, " (--pool)");
        };
        require_negatives("--mined", mined, entries);
        require_negatives("--text-contexts", text, batch_of_text);
    }
};

/// The trainings that are compared.
std::vector<DictionaryTraining> dictionary_comparisons(const NegativesSettings& settings) {
    const bool further = settings.further_steps > 0;
    std::vector<DictionaryTraining> list;
    const auto add = [&](const char* kind, const std::vector<Index>& numbers, Index pool) {
        for (const Index contexts : numbers)
            list.push_back({.name = message(further ? "further_" : "", kind),
                            .steps = further ? settings.further_steps : settings.dictionary_steps,
                            .contexts = contexts,
                            .trained = settings.trained,
                            .pool = pool});
    };
    add("uniform", settings.uniform, 0);
    add("mined", settings.mined, settings.pool);
    return list;
}

/// A model that has been trained with random negatives, and then some steps further as `training` says: a warm restart at a quarter
/// of the learning rate, which falls to 0 again.
Transformer<float> trained_further(Example& example, const NegativesSettings& settings, const std::filesystem::path& folder,
                                   const DictionaryTraining& training, std::uint64_t seed, const DictionaryStep& step) {
    const DictionaryTraining first{.name = "uniform", .steps = settings.dictionary_steps, .contexts = settings.first_contexts};
    Transformer<float> model = trained_dictionary_model(example, folder, first, seed);
    const LearningRate rate = LearningRate::linear_decay(0.25, 0, training.steps, 1);
    Random random(seed + 7000);
    Muon<float> optimizer(model.parameters(), dictionary_optimizer());
    Progress bar(message(training.name, "_", training.contexts, ", seed ", seed), training.steps);
    Trainer<float> trainer(model, optimizer,
                           {.steps = training.steps,
                            .learning_rate = rate,
                            .checkpoint = folder / dictionary_file(example, training, seed),
                            .checkpoint_every_seconds = 60,
                            .metadata = {{"first", dictionary_file(example, first, seed)}},
                            .progress = [&](const TrainingProgress& at) { bar.update(at.steps_done, training_note(at)); }});
    trainer.keep("batches", random);
    resume(trainer);
    trainer.run([&](Index at) { return step(model, at, random); });
    stop_if_interrupted(training_is_kept);
    return model;
}

/// One dictionary training after another, and its rows of the table: accuracy at each size.
void run_dictionary(Example& example, const NegativesSettings& settings, const std::filesystem::path& folder) {
    Table table({"negatives", "contexts", "seed", "memory tokens", "token accuracy"}),
        cost({"negatives", "contexts", "seconds a step"}),
        csv({"training", "contexts", "seed", "memory_tokens", "token_accuracy", "low", "high"});
    Plot plot{.name = "accuracy",
              .title = "Dictionary lookup, trained on 512 tokens and so many contexts",
              .x_label = "memory tokens",
              .y_label = "accuracy of answer tokens"};
    Measurements<AccuracyCurve> accuracies;
    Measurements<double> seconds;
    for (const DictionaryTraining& training : dictionary_comparisons(settings)) {
        const std::string training_name = message(training.name, settings.log_length ? "_log_length" : ""),
                          name = message(training_name, ".", training.contexts);
        for (const std::uint64_t seed : example.seeds()) {
            StepClock clock;
            const DictionaryStep step = phase_two_step(training), timed = [&](auto&model, Index at, Random&random) {
                return clock.time([&] { return step(model, at, random); });
            };
            Transformer<float> model = settings.further_steps > 0
                                           ? trained_further(example, settings, folder, training, seed, timed)
                                           : trained_dictionary_model(example, folder, training, seed, timed);
            if (settings.log_length) score_by_log_length(model, training);
            const EvaluationDictionary dictionary({}, seed + 5000);
            DictionaryEvaluation evaluation(model, dictionary,
                                            memory_ladder(std::min<Index>(65536, settings.largest), settings.largest),
                                            settings.questions, 32, seed + 6000);
            AccuracyCurve accuracy;
            for (const Lookup& lookup : evaluation.run(message("evaluate ", name, ", seed ", seed))) {
                const Estimate tokens = estimate_of(lookup.tokens, dictionary.task().value_length);
                accuracy[lookup.memory_tokens] = tokens;
                table.add(training_name, training.contexts, seed, count_text(lookup.memory_tokens), estimate_text(tokens, 4));
                csv.add(training_name, training.contexts, seed, lookup.memory_tokens, tokens);
            }
            accuracies.add(name, accuracy);
            seconds.add(name, clock.per_step());
        }
        report_accuracy(example, "accuracy", accuracies, name, plot);
        cost.add(training_name, training.contexts, report_seconds(example, seconds, name));
    }
    if (plot.series.empty()) return;
    example.show("The dictionary: more negatives, and mined ones", table);
    example.show("The dictionary: seconds a step, median over seeds", cost);
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
}

/// Text: the share of attention that falls on the query's own document.
void run_text(Example& example, TextSettings text, const NegativesSettings& settings, const CorpusSplit& split) {
    if (settings.text.empty()) return;
    const std::vector<TokenDocument> training = byte_documents(split.train);
    PositiveMasses masses;
    Measurements<double> seconds;
    for (const std::uint64_t seed : example.seeds())
        for (const Index contexts : settings.text)
            for (const bool mined : {false, true}) {
                const std::string name = message(mined ? "mined" : "random", "_", contexts);
                Random weights(seed);
                Transformer<float> model = new_text_model(text, weights);
                seconds.add(name, train_on_pool(example, text, name, contexts, mined, settings.pool, training, seed, model));
                masses.add(name, measure_positive_mass(text, split, model));
            }
    report_positive_mass(example, masses, "Attention that stays with its own document");
    Table cost({"model", "seconds a step"});
    for (const std::string& model : seconds.models()) cost.add(model, report_seconds(example, seconds, model));
    example.show("Text: seconds a step with all contexts, median over seeds", cost);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Do more negatives help, or harder ones?");
    TextSettings text;
    NegativesSettings settings;
    add_text_options(example, text, {12, 400, 600}, {32, 64, 64});
    add_comparison_options(example, text);
    example.option("--uniform", settings.uniform, {{20}, {64}, {128, 512, 1024, 4096}},
                   "contexts of dictionary trainings with random negatives; 0: none");
    example.option("--mined", settings.mined, {{20}, {64}, {128, 512}},
                   "contexts of dictionary trainings with mined negatives; 0: none");
    example.option("--text-contexts", settings.text, {{32}, {32}, {64, 128}},
                   "contexts of trainings on text, random and mined, powers of two; 0: none");
    example.option("--further-steps", settings.further_steps, {0, 0, 25},
                   "the trainings go on for so many steps from one with --first contexts at random; 0: they begin anew");
    example.option("--first", settings.first_contexts, {20, 32, 128}, "contexts of the training from which they go on", entries);
    example.option("--trained", settings.trained, {16, 128, 128},
                   "contexts of a step on the dictionary whose keys have gradients, the batch's own first, then the hardest",
                   entries);
    example.option("--pool", settings.pool, {448, 1024, 4096}, "documents, or windows of text, of which negatives are taken",
                   refresh_steps * entries);
    example.option("--dictionary-steps", settings.dictionary_steps, {2, 200, 200}, "steps with negatives, after the curriculum", 1);
    example.option("--largest", settings.largest, {4096, 1048576, 16777216}, "largest memory of definitions", 256);
    example.option("--questions", settings.questions, "questions at each size", 1);
    example.flag("--log-length", settings.log_length, "trained models answer with scores that grow with the memory (LogN)");
    example.parse();
    for (std::vector<Index>* list : {&settings.uniform, &settings.mined, &settings.text}) std::erase(*list, 0);
    example.require_not_given({"--contexts"}, "--uniform, --mined and --text-contexts say how many there are");
    if (settings.further_steps == 0) example.require_not_given({"--first"}, "there are no --further-steps");
    settings.check(text.batch);
    const EvaluationDictionary any({}, 0);
    if (!settings.uniform.empty() || !settings.mined.empty()) any.windows_for(settings.largest);  // before training, not after
    CorpusSplit split;
    if (!settings.text.empty()) {
        split = load_split(text);
        require_trainable(text, {{.name = "text", .kind = LanguageModelKind::crossbatch}}, byte_documents(split.train));
        for (const Index contexts : settings.text) doubled_contexts(contexts, text.steps);  // a power of two?
    }

    run_dictionary(example, settings, example.models_folder(text.models));
    run_text(example, text, settings, split);
    return example.finish();
} catch (...) {
    return report_failure();
}
