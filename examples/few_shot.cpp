/// Do more demonstrations help, beyond the length a model was trained on?   (claim C11)
///
/// A byte-level LLaMA learns to classify in context: its windows hold demonstrations of an episode, whose labels are new
/// (support/few_shot_task.hpp). The classes are made-up words or, with --corpus, documents: which one is a word from? (In training
/// each episode has a cipher for its words: else the model learns by heart which words a document has.) Then the model is
/// continued by crossbatch, with the previous window of a query's own episode beside windows of other episodes. It is asked after
/// more and more demonstrations:
///
///     base         sees the last of them, as many as its window holds beside the question
///     base_memory  the same model, never trained with a memory; it sees the last 64 bytes, all others are in its last layer's
///                  memory
///     fot          the continued model, with the same memory
///
/// First the memory holds only the question's own episode. Then, with four windows of its demonstrations, it also holds more and
/// more windows of other episodes.
///
/// `known` is the share of questions that the demonstrations answer: those that showed the class of a made-up word, or the very
/// word of a document. It is the accuracy of a reader that forgets nothing and never guesses. With documents a guess may be right
/// more often than by chance, since words of a document resemble each other.
///
/// Source: paper section 4.4, Table 1 (TREC); the tasks are ours, because TREC needs a model that knows English.
/// Data:    made-up words; with --corpus its documents, those for training and those for testing.
/// Time:    20 minutes with --corpus, on one core that other work shared; --quick: seconds; --full: three seeds, to 128 windows.
/// Command: build/release/examples/few_shot
///          build/release/examples/few_shot --corpus libstdcxx --classes 8 --output results/few_shot_libstdcxx
/// Expect:  base ends at the share that its window answers, fot rises with the number of demonstrations, near `known`. base_memory
///          rises, too, on some seeds; among other episodes it loses more than fot.
#include <set>

#include "fot/model/generation.hpp"
#include "support/accuracy_curves.hpp"
#include "support/few_shot_task.hpp"
#include "support/held_out_text.hpp"
#include "support/sizes.hpp"
#include "support/staged_training.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// Bytes of the local context, entries of a batch in the last stages, questions asked of an episode.
constexpr Index length = 256, batch_size = 16, questions = 20;
/// Bytes of each other episode in the memory.
constexpr Index other_episode = 1024;

struct FewShotSettings {
    std::string corpus;
    EpisodeSize episode{.classes = 50, .words = 8};
    Index contexts = 8, top_k = 32;
    Index steps = 0, further_steps = 0, draws = 0, most_windows = 0, most_others = 0;
};

/// The tasks of the training, of the questions, and of the other episodes in the memory.
struct FewShotTasks {
    FewShotTask training, asked, others;
    std::string text = {};  ///< fingerprint of the documents for training

    explicit FewShotTasks(const std::string& corpus) : training(made_up_words()), asked(training), others(training) {
        if (corpus.empty()) return;
        const CorpusSplit split = load_split({.corpus = corpus});
        training = words_of_documents(split.train, Spelling::ciphered);
        others = words_of_documents(split.train);
        asked = words_of_documents(split.test);
        text = fingerprint(byte_documents(split.train));
    }
    /// Draws an episode of each task: too many classes are refused before anything is trained.
    void require_episode(const EpisodeSize& size) const {
        Random trial(0);
        for (const FewShotTask* task : {&training, &asked, &others}) task->episode(size, trial).draw(trial);
    }
    /// Demonstrations that a window of training holds at least.
    Index window() const { return length / asked.most_bytes; }
};

void train(Example& example, const FewShotSettings& settings, const FewShotTasks& tasks, bool crossbatch, std::uint64_t seed,
           Transformer<float>& model) {
    const Index steps = crossbatch ? settings.further_steps : settings.steps;
    StagedTraining training{
        .name = crossbatch ? "fot" : "base",
        .windows = crossbatch ? 2 : 1,
        .stages = {{length / 4, 2 * batch_size},
                   {3 * length / 8, 2 * batch_size},
                   {length / 2, 2 * batch_size},
                   {length, batch_size},
                   {length, batch_size}},
        .curriculum_steps = 3 * steps / 4,
        .steps = steps,
        .steps_before = crossbatch ? settings.steps : 0,
        .settings = {{"classes", message(settings.episode.classes)}, {"contexts", message(crossbatch ? settings.contexts : 0)}}};
    training.settings["corpus"] = settings.corpus.empty() ? "made-up words" : settings.corpus;
    if (!settings.corpus.empty()) {
        training.settings["text"] = tasks.text;
        training.settings["words"] = message(settings.episode.words);
    }
    train_in_stages(example, training, 0.9, seed, model, [&](Index stage, const LengthAndBatch& at, Random& random) {
        const EpisodeSize size = element(episodes_of_stages(settings.episode), stage);
        // A first stage without other episodes: the model must first learn that its own previous window is worth attention.
        StagedBatch batch;
        if (crossbatch) batch.table = previous_contexts(at.batch, 1, stage == 0 ? 0 : settings.contexts - 1);
        for (Index b = 0; b < at.batch; ++b)
            batch.documents.push_back(
                demonstrations(tasks.training.episode(size, random), training.windows * at.length + 1, random));
        return batch;
    });
}

/// What is asked: `shown` demonstrations, and in the memory, before them, `others` bytes of other episodes.
struct Setting {
    Index shown, others = 0;
};

/// Of each episode: the share of questions that were answered correctly, and the share that could be known.
struct EpisodeScores {
    std::vector<double> right, known;
};

/// What a model answers to the questions of a setting. Every model gets the same episodes and questions.
EpisodeScores answered(Transformer<float>& model, const FewShotSettings& settings, const FewShotTasks& tasks,
                       const Setting& setting, bool remembers, std::uint64_t seed) {
    EpisodeScores scores;
    for (Index draw = 0; draw < settings.draws; ++draw) {
        stop_if_interrupted("trained models are kept; the same command asks again");
        Random random(seed * 1000003 + static_cast<std::uint64_t>(draw));
        const FewShotEpisode episode = tasks.asked.episode(settings.episode, random);
        std::vector<Demonstration> asked;
        for (Index i = 0; i < questions; ++i) asked.push_back(episode.draw(random));
        std::string text;
        std::set<std::string> known;
        for (Index i = 0; i < setting.shown; ++i) {
            const Demonstration next = episode.draw(random);
            text += next.text();
            known.insert(next.sign);
        }
        // The end of the demonstrations is seen beside each question; what is before it goes to memory, if there is one.
        const Index near =
            std::min(length_of(text), remembers ? small_llama(length).last_context : length - tasks.asked.most_bytes);
        const std::string seen(text.end() - near, text.end());
        MemoryState<float> memory(model.config(), 1);
        const auto read = [&](const std::vector<std::int32_t>& tokens) {
            remember_document(model, token_row(tokens), length, memory);
        };
        for (Index bytes = 0; remembers && bytes < setting.others; bytes += other_episode)
            read(demonstrations(tasks.others.episode(settings.episode, random), other_episode, random).tokens);
        if (remembers && near < length_of(text)) read(byte_tokens({text.begin(), text.end() - near}));
        Proportion right, knowable;
        for (const Demonstration& question : asked) {
            Random unused(0);
            const std::vector<std::int32_t> written =
                generate(model, byte_tokens(seen + question.input), length_of(question.label), length, memory, {.temperature = 0},
                         unused, {.top_k = settings.top_k});
            right.add(std::equal(written.begin(), written.end(), question.label.begin(), question.label.end()));
            knowable.add(known.count(question.sign) > 0);
        }
        scores.right.push_back(right.value());
        scores.known.push_back(knowable.value());
    }
    return scores;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Do more demonstrations help, beyond the length a model was trained on?");
    FewShotSettings settings;
    Index words = 0;
    example.option("--corpus", settings.corpus,
                   "classes are its documents (libstdcxx, boost, books, latex, proofs, or DIR[:GLOB]); none: made-up words");
    example.option("--classes", settings.episode.classes, "classes of an episode", 1);
    example.option("--words", words, "words of a class, with --corpus; 0: 8");
    example.option("--steps", settings.steps, {12, 600, 600}, "steps of pre-training", 6);
    example.option("--further-steps", settings.further_steps, {8, 600, 600}, "steps of crossbatch", 6);
    example.add_seeds_option();
    example.option("--contexts", settings.contexts, "contexts that an entry sees in crossbatch").within(1, batch_size);
    example.option("--draws", settings.draws, {2, 20, 20}, "episodes for each number of demonstrations", 1);
    example.option("--most-windows", settings.most_windows, {4, 32, 128},
                   "most demonstrations, in windows of them: 1, 2, 4, ... up to that", 4);
    example.option("--most-others", settings.most_others, {1024, 65536, 262144},
                   "most bytes of other episodes in the memory: 1024, 4096, ... up to that", 1024);
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.parse();
    require<ConfigError>(words == 0 || !settings.corpus.empty(), "--words ", words, ": made-up words always have 26 in a class");
    if (words > 0) settings.episode.words = words;

    const FewShotTasks tasks(settings.corpus);
    tasks.require_episode(settings.episode);
    const Index window = tasks.window();
    std::vector<Setting> alone{{window / 4}, {window / 2}}, crowded;
    for (Index windows = 1; windows <= settings.most_windows; windows *= 2) alone.push_back({windows * window});
    for (Index others = other_episode; others <= settings.most_others; others *= 4) crowded.push_back({4 * window, others});

    Measurements<AccuracyCurve> accuracies, crowds;  // over demonstrations, and over bytes of other episodes
    Measurements<Estimate> gains;                    // four windows of demonstrations minus one
    Table table({"model", "seed", "demonstrations", "other episodes, bytes", "accuracy", "known"});
    Table csv({"model", "seed", "demonstrations", "others", "accuracy", "low", "high", "known"});
    for (const std::uint64_t seed : example.seeds()) {
        Random random(seed);
        Transformer<float> model(small_llama(length).model, random);
        for (const std::string name : {"base", "base_memory", "fot"}) {
            if (name != "base_memory") train(example, settings, tasks, name == "fot", seed, model);
            const auto ask = [&](const std::vector<Setting>& list, Index Setting::*size, Measurements<AccuracyCurve>& curves) {
                Progress bar(message("ask ", name, ", seed ", seed), length_of(list));
                std::vector<EpisodeScores> scores;
                AccuracyCurve accuracies_of_model, known_to_all;
                for (const Setting& setting : list) {
                    scores.push_back(answered(model, settings, tasks, setting, name != "base", seed));
                    const Estimate accuracy = bootstrap_mean(scores.back().right, seed),
                                   known = bootstrap_mean(scores.back().known, seed);
                    accuracies_of_model[setting.*size] = accuracy;
                    known_to_all[setting.*size] = known;
                    table.add(name, seed, setting.shown, count_text(setting.others), estimate_text(accuracy), fixed(known.value));
                    csv.add(name, seed, setting.shown, setting.others, accuracy, known.value);
                    bar.update(length_of(scores), message("accuracy ", fixed(accuracy.value, 2)));
                }
                curves.add(name, accuracies_of_model);
                if (name == "fot") curves.add("known", known_to_all);
                return scores;
            };
            const std::vector<EpisodeScores> scores = ask(alone, &Setting::shown, accuracies);
            gains.add(name, bootstrap_mean_difference(scores[4].right, scores[2].right, seed));
            if (name != "base") ask(crowded, &Setting::others, crowds);
        }
    }
    example.show(message("Both letters of the label right, ", settings.draws, " episodes of ", questions,
                         " questions, 95 % bootstrap intervals over episodes; a window of training holds ", window,
                         " demonstrations or more"),
                 table);
    Plot plot{.name = "accuracy",
              .title = message(settings.episode.classes, settings.corpus.empty() ? " classes; " : " documents; ", window,
                               " demonstrations in a window of training"),
              .x_label = "demonstrations",
              .y_label = "accuracy"};
    Plot crowd{.name = "accuracy_among_others",
               .title = message(4 * window, " demonstrations, and other episodes in the memory"),
               .x_label = "other episodes, bytes",
               .y_label = "accuracy"};
    for (const std::string name : {"known", "base", "base_memory", "fot"}) {
        report_accuracy(example, "accuracy", accuracies, name, plot);
        if (crowds.has(name)) report_accuracy(example, "accuracy_among_others", crowds, name, crowd);
    }
    for (const std::string& name : gains.models()) {
        const Estimate gain = over_seeds(gains.of_seeds(name));
        example.out() << name << ", four windows of demonstrations minus one: " << estimate_text(gain) << "\n";
        example.result(message("gain.", name), gain);
    }
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
    example.plot(crowd);
    return example.finish();
} catch (...) {
    return report_failure();
}
