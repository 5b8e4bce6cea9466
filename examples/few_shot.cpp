/// Do more demonstrations help, beyond the length a model was trained on?   (claim C11)
///
/// A byte-level LLaMA learns to classify in context: its windows hold demonstrations of an episode, whose classes and labels are
/// new (support/few_shot_task.hpp). Then it is continued by crossbatch, the previous window of the own episode beside windows of
/// others, and asked after ever more demonstrations:
///
///     base         sees the last of them, as many as its window holds
///     base_memory  the same model, which was never told of a memory, with the earlier ones in the memory of its last layer
///     fot          the continued model, with the same memory
///
/// The memory holds the own episode alone, and then, with four windows of demonstrations, ever more of other episodes beside it.
///
/// A label cannot be known before its class was shown. `known` is the share of questions where it was: what a perfect reader gets.
///
/// Data:    made-up words (--task words), or glosses of WordNet (--task glosses; the error of a missing folder says how to get it).
/// Time:    not timed alone at default size; --quick: seconds; --full: three seeds, to 128 windows of demonstrations.
/// Command: build/release/examples/few_shot
/// Expect:  base stays at what its window holds, fot rises with the number of demonstrations, near `known`; among other episodes
///          base_memory falls first. On glosses nothing is learned but to answer with one of the labels (paper_notes.md).
#include "fot/model/generation.hpp"
#include "support/accuracy_curves.hpp"
#include "support/few_shot_sizes.hpp"
#include "support/few_shot_task.hpp"
#include "support/fingerprint.hpp"
#include "support/sizes.hpp"
#include "support/staged_training.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct FewShotSettings {
    std::string task = "words", wordnet = "data/wn/usr/share/wordnet";
    Index classes = 0, length = 256, batch = 16, contexts = 8, longest_gloss = 40, top_k = 32;
    Index steps = 0, further_steps = 0, draws = 0, questions = 20, most_windows = 0, most_others = 0;
    double accuracy = 0.9;
};

/// Where episodes come from.
class FewShotTask {
   public:
    explicit FewShotTask(const FewShotSettings& settings) : longest_gloss_(settings.longest_gloss) {
        if (settings.task == "words") return;
        require<FileError>(std::filesystem::is_directory(settings.wordnet), "--wordnet '", settings.wordnet,
                           "': no such folder; get it with: mkdir -p data && (cd data && apt-get download wordnet-base && ",
                           "dpkg-deb -x wordnet-base_*.deb wn)");
        // Of each class every fifth gloss is for questions and demonstrations of tests, the others are for training.
        const std::vector<std::vector<std::string>> glosses = read_glosses(settings.wordnet);
        train_.resize(glosses.size());
        test_.resize(glosses.size());
        for (std::size_t kind = 0; kind < glosses.size(); ++kind)
            for (std::size_t i = 0; i < glosses[kind].size(); ++i) (i % 5 == 0 ? test_ : train_)[kind].push_back(glosses[kind][i]);
    }

    FewShotEpisode episode(Index classes, bool testing, Random& random) const {
        return train_.empty() ? word_episode(classes, random)
                              : gloss_episode(testing ? test_ : train_, classes, longest_gloss_, random);
    }

    /// The glosses that are trained on, one document a class; none for words.
    std::vector<TokenDocument> glosses() const {
        std::vector<TokenDocument> documents;
        for (const auto& of_class : train_) {
            std::string text;
            for (const std::string& gloss : of_class) text += gloss + "\n";
            documents.push_back({"", byte_tokens(text)});
        }
        return documents;
    }

    /// Bytes of the longest demonstration: input, label, end of line.
    Index longest_demonstration() const { return (train_.empty() ? 4 : longest_gloss_ + 1) + 3; }

    /// Bytes of a demonstration, on average.
    double demonstration_bytes(Index classes) const {
        Random random(5);
        double bytes = 0;
        for (Index i = 0; i < 1000; ++i) bytes += static_cast<double>(episode(classes, false, random).draw(random).text().size());
        return bytes / 1000;
    }

   private:
    Index longest_gloss_;
    std::vector<std::vector<std::string>> train_, test_;
};

StagedTraining training_of(bool crossbatch, const FewShotSettings& settings, const FewShotTask& task) {
    const Index batch = settings.batch, length = settings.length, steps = crossbatch ? settings.further_steps : settings.steps;
    StagedTraining training{
        .name = crossbatch ? "fot" : "base",
        .windows = crossbatch ? 2 : 1,
        .stages = {{length / 4, 2 * batch}, {3 * length / 8, 2 * batch}, {length / 2, 2 * batch}, {length, batch}, {length, batch}},
        .curriculum_steps = 3 * steps / 4,
        .steps = steps,
        .settings = {{"task", settings.task}, {"classes", message(settings.classes)}}};
    if (settings.task == "glosses")
        training.settings.insert({{"longest gloss", message(settings.longest_gloss)}, {"text", fingerprint(task.glosses())}});
    if (!crossbatch) return training;
    training.steps_before = settings.steps;
    training.settings.insert({{"contexts", message(settings.contexts)}, {"steps before", message(settings.steps)}});
    return training;
}

/// Demonstrations of an episode, from any byte of the first one on. Labels of classes that were shown before are asked for.
TokenDocument demonstrations(const FewShotEpisode& episode, Index bytes, Random& random) {
    TokenDocument document{"episode", {}};
    std::vector<bool> shown(episode.labels.size());
    while (document.length() < bytes) {
        const Demonstration next = episode.draw(random);
        const bool first = document.length() == 0;
        const std::string text = next.text();
        const Index cut = first ? random.below(length_of(text)) : 0;
        const std::vector<std::int32_t> tokens = byte_tokens({text.begin() + cut, text.end()});
        document.tokens.insert(document.tokens.end(), tokens.begin(), tokens.end());
        document.loss_mask.resize(document.tokens.size(), 0.1f);
        if (first) continue;
        if (element(shown, next.kind)) std::fill_n(document.loss_mask.rbegin() + 1, next.label.size(), 1.0f);
        element(shown, next.kind) = true;
    }
    document.tokens.resize(static_cast<std::size_t>(bytes));
    document.loss_mask.resize(static_cast<std::size_t>(bytes));
    return document;
}

void train(Example& example, const FewShotSettings& settings, const FewShotTask& task, bool crossbatch, std::uint64_t seed,
           Transformer<float>& model) {
    const StagedTraining training = training_of(crossbatch, settings, task);
    train_in_stages(example, training, settings.accuracy, seed, model, [&](Index stage, const LengthAndBatch& at, Random& random) {
        const Index classes = element(classes_of_stages(settings.classes), stage);
        // A first stage without other episodes: first the own previous window must be found worth a look.
        StagedBatch batch;
        if (crossbatch) batch.table = previous_contexts(at.batch, 1, stage == 0 ? 0 : settings.contexts - 1);
        for (Index b = 0; b < at.batch; ++b)
            batch.documents.push_back(
                demonstrations(task.episode(classes, false, random), training.windows * at.length + 1, random));
        return batch;
    });
}

/// Bytes of each other episode in the memory.
constexpr Index other_episode = 1024;

/// Of each episode the share of questions answered right after `shown` demonstrations, and the share that could be known.
struct EpisodeScores {
    std::vector<double> right, known;
};

/// What is asked: `shown` demonstrations, and in the memory, before them, `others` bytes of other episodes.
struct Setting {
    Index shown, others = 0;
};

/// The same episodes and questions for every model.
EpisodeScores answered(Transformer<float>& model, const FewShotSettings& settings, const FewShotTask& task, const Setting& setting,
                       bool remembers, std::uint64_t seed) {
    EpisodeScores scores;
    for (Index draw = 0; draw < settings.draws; ++draw) {
        stop_if_interrupted("trained models are kept; the same command asks again");
        Random random(seed * 1000003 + static_cast<std::uint64_t>(draw));
        const FewShotEpisode episode = task.episode(settings.classes, true, random);
        std::vector<Demonstration> asked;
        for (Index i = 0; i < settings.questions; ++i) asked.push_back(episode.draw(random));
        std::string text;
        std::vector<bool> known(episode.labels.size());
        for (Index i = 0; i < setting.shown; ++i) {
            const Demonstration next = episode.draw(random);
            text += next.text();
            element(known, next.kind) = true;
        }
        const Index size = length_of(text), last_context = small_llama(settings.length).last_context;
        MemoryState<float> memory(model.config(), 1);
        const auto read = [&](const std::vector<std::int32_t>& tokens) {
            remember_document(model, token_row(tokens), settings.length, memory);
        };
        for (Index bytes = 0; remembers && bytes < setting.others; bytes += other_episode)
            read(demonstrations(task.episode(settings.classes, true, random), other_episode, random).tokens);
        if (remembers && size > last_context) read(byte_tokens({text.begin(), text.end() - last_context}));
        Proportion right, knowable;
        for (const Demonstration& question : asked) {
            const Index room = remembers ? last_context : settings.length - length_of(question.text());
            const std::string near(text.end() - std::min(size, room), text.end());
            Random unused(0);
            const std::vector<std::int32_t> written =
                generate(model, byte_tokens(near + question.input), length_of(question.label), settings.length, memory,
                         {.temperature = 0}, unused, {.top_k = settings.top_k});
            right.add(std::equal(written.begin(), written.end(), question.label.begin(), question.label.end()));
            knowable.add(element(known, question.kind));
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
    example.option("--task", settings.task, "what is classified")->check(CLI::IsMember({"words", "glosses"}));
    example.option("--wordnet", settings.wordnet, "folder of WordNet's data.noun and data.verb, for glosses");
    example.option("--classes", settings.classes, "classes of an episode; 0: 50 of words, 5 of glosses");
    example.option("--longest-gloss", settings.longest_gloss, "longer glosses are left out, bytes", 8);
    example.option("--steps", settings.steps, {12, 600, 600}, "steps of pre-training", 6);
    example.option("--further-steps", settings.further_steps, {8, 600, 600}, "steps of crossbatch", 6);
    example.option("--accuracy", settings.accuracy, "share of predicted label bytes that ends a stage of training");
    example.add_seeds_option();
    example.option("--length", settings.length, "local context, bytes", 128);
    example.option("--batch", settings.batch, "episodes in a batch", 1);
    example.option("--contexts", settings.contexts, "contexts that an entry sees in crossbatch", 1);
    example.option("--draws", settings.draws, {2, 20, 20}, "episodes for each number of demonstrations", 1);
    example.option("--questions", settings.questions, "questions in each", 1);
    example.option("--most-windows", settings.most_windows, {4, 32, 128}, "most demonstrations, in windows of them", 4);
    example.option("--most-others", settings.most_others, {1024, 65536, 262144}, "most bytes of other episodes in the memory",
                   1024);
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.parse();
    require<ConfigError>(settings.contexts <= settings.batch, "--contexts ", settings.contexts, ": expected at most --batch, ",
                         settings.batch);
    if (settings.classes == 0) settings.classes = settings.task == "words" ? 50 : 5;

    const FewShotTask task(settings);
    const Index window = demonstrations_in(settings.length, task.demonstration_bytes(settings.classes),
                                           task.longest_demonstration(), small_llama(settings.length).last_context);
    std::vector<Index> shown{window / 4, window / 2};
    for (Index windows = 1; windows <= settings.most_windows; windows *= 2) shown.push_back(windows * window);

    std::vector<Setting> alone, crowded;
    for (const Index demonstrations : shown) alone.push_back({demonstrations});
    for (Index others = other_episode; others <= settings.most_others; others *= 4) crowded.push_back({4 * window, others});

    const std::vector<std::string> names{"base", "base_memory", "fot"};
    Measurements<AccuracyCurve> accuracies, crowds;  // over demonstrations, and over bytes of other episodes
    Measurements<Estimate> gains;                    // four windows of demonstrations minus one
    Table table({"model", "seed", "demonstrations", "other episodes, bytes", "accuracy", "known"});
    Table csv({"model", "seed", "demonstrations", "others", "accuracy", "low", "high", "known"});
    for (const std::uint64_t seed : example.seeds()) {
        Random random(seed);
        Transformer<float> model(small_llama(settings.length).model, random);
        for (const std::string& name : names) {
            if (name != "base_memory") train(example, settings, task, name == "fot", seed, model);
            const auto ask = [&](const std::vector<Setting>& list, Index Setting::*size, Measurements<AccuracyCurve>& curves) {
                Progress bar(message("ask ", name, ", seed ", seed), length_of(list));
                std::vector<EpisodeScores> scores;
                AccuracyCurve accuracies_of_model, known_to_all;
                for (const Setting& setting : list) {
                    scores.push_back(answered(model, settings, task, setting, name != "base", seed));
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
    example.show(
        message("Both letters of the label right, ", settings.draws, " episodes of ", settings.questions,
                " questions, 95 % bootstrap intervals over episodes; a window of training holds ", window, " demonstrations"),
        table);
    Plot plot{.name = "accuracy",
              .title = message(settings.classes, " classes; ", window, " demonstrations in a window of training"),
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
    for (const std::string& name : names) {
        const Estimate gain = over_seeds(gains.of_seeds(name));
        example.out() << name << ", four windows of demonstrations minus one: " << estimate_text(gain) << "\n";
        example.result(message("gain.", name), gain.value);
    }
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
    example.plot(crowd);
    return example.finish();
} catch (...) {
    return report_failure();
}
