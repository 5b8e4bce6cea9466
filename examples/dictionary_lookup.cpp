/// Can a model trained on 512 tokens find one definition among millions?   (claims C2 and C13)
///
/// A document defines words of four symbols in its first half and asks for them in the second. By crossbatch the model is trained
/// on 256 + 256 tokens, with the definitions of other documents as negatives; then its memory is filled with up to 16 million
/// tokens of definitions and it is asked for 400 of them. Every memory key is computed and searched exactly, none is kept.
///
/// Trainings, always named: `uniform` draws all symbols (the paper's data), `hard` lets each batch spell with 8 of the 61 symbols,
/// so that keys differ in few places. --full adds `one_context` (uniform, no negatives) and `standard` (a plain transformer on
/// whole 512-token documents, given the same memory afterwards).
///
/// Data:    made here.
/// Time:    about four minutes on two cores; --quick: seconds; --full: three seeds to 16M tokens (hours).
/// Memory:  below 1 GiB whatever the number of memory tokens; 3.3 GiB to train with the 512 contexts of --full.
/// Command: build/release/examples/dictionary_lookup          --memory-tokens 16777216 --training hard   for one point of it
/// Expect:  accuracy near 1 up to a million tokens for `uniform` and `hard`; paper_notes.md has the figures.
#include <unordered_map>

#include "fot/attention/memory_attention.hpp"
#include "fot/data/evaluation_dictionary.hpp"
#include "fot/measure/intervals.hpp"
#include "fot/measure/retrieval.hpp"
#include "fot/memory/exact_search.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/muon.hpp"
#include "support/accuracy_curves.hpp"
#include "support/sizes.hpp"
#include "support/training.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// How a model is trained once it has learned the task on one context (phase 2).
struct Training {
    std::string name;
    Index steps;      ///< of phase 2
    Index documents;  ///< with questions in a batch, B
    Index contexts;   ///< contexts that each of them sees, the own one included
    Index symbols;    ///< each batch spells with so many of the 61 symbols; 0: all of them
    bool standard = false;
};

struct Settings {
    std::string only;
    Index steps = 0, documents = 0, contexts = 0;  // 0: the training's own
    Index memory_tokens = 0, largest = 0, k = 32, questions = 400;
    Index curriculum_steps = 0;
    double curriculum_accuracy = 0;
    Index usual_largest = 0;  // where --largest is 0
    bool repeat_keys = false;
};

std::vector<Training> trainings(Scale scale, const Settings& settings) {
    const auto at = [&](Index quick, Index standard, Index full) { return Scaled<Index>{quick, standard, full}.at(scale); };
    std::vector<Training> list{{"uniform", at(2, 200, 200), 16, at(16, 128, 512), 0}, {"hard", at(2, 200, 400), 16, 16, 8}};
    const bool full = scale == Scale::full;
    if (full || settings.only == "one_context") list.push_back({"one_context", 600, 16, 1, 0});
    if (full || settings.only == "standard") list.push_back({"standard", 600, 16, 0, 0, true});
    if (!settings.only.empty()) std::erase_if(list, [&](const Training& training) { return training.name != settings.only; });
    for (Training& training : list) {
        if (settings.steps > 0) training.steps = settings.steps;
        if (settings.documents > 0) training.documents = settings.documents;
        if (settings.contexts > 0 && !training.standard) training.contexts = settings.contexts;
    }
    return list;
}

Transformer<float> new_model(Random& random) {
    return Transformer<float>(
        {.vocabulary = 64, .width = 128, .layers = 3, .memory_layers = {2}, .heads = 4, .memory_heads = 2, .feed_forward = 256},
        random);
}

/// One training step: loss and gradients of a fresh batch. Only the answers are computed: nothing else has a loss.
StepResult train_step(Transformer<float>& model, const Training& training, Index half_length, Index documents, Index contexts,
                      Random& random) {
    const DictionaryTask task{.half_length = half_length};
    DictionaryBatch<float> batch =
        dictionary_batch<float>(task, documents, std::max(documents, contexts), random, training.symbols);
    std::vector<Index> answers = answer_positions(task);
    ContextTable table = no_contexts(documents);
    if (training.standard) {
        batch = whole_documents(batch);
        for (Index& position : answers) position += half_length;
    } else {
        table = previous_contexts(documents, 1, contexts - 1, extent(batch.previous, 0));
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
    return {.loss = loss.value()(0), .accuracy = right.value(), .tokens = 2 * documents * half_length};
}

/// What a trained model was made for: a file of another training is refused, not continued.
Metadata made_for(const Settings& settings, const Training& training, std::uint64_t seed) {
    return {{"program", "dictionary_lookup"},
            {"training", training.name},
            {"seed", message(seed)},
            {"steps", message(training.steps)},
            {"documents", message(training.documents)},
            {"contexts", message(training.contexts)},
            {"curriculum_accuracy", message(settings.curriculum_accuracy)},
            {"curriculum_steps", message(settings.curriculum_steps)}};
}

/// A trained model, which --output keeps.
///
/// It is trained in one run of two phases: a curriculum of lengths with the own context alone, until the model has learned to look
/// definitions up; then the contexts and data of the training. (The paper raises the number of contexts at an accuracy of 98 %
/// as well.) The optimiser goes on from phase to phase.
Transformer<float> trained_model(Example& example, const Settings& settings, const Training& training, std::uint64_t seed) {
    Random weights(seed), random(seed + 1000);
    Transformer<float> model = new_model(weights);
    const auto stage = [&](Index length, Index batch, double accuracy) {
        return Stage<LengthAndBatch>{{length, batch}, Stage<LengthAndBatch>::no_step, accuracy};
    };
    const double accuracy = settings.curriculum_accuracy;
    LengthSchedule lengths = LengthSchedule::stages({stage(20, 64, accuracy), stage(60, 32, accuracy), stage(130, 16, accuracy),
                                                     stage(256, 8, std::min(0.98, accuracy + 0.08))});
    Index curriculum = settings.curriculum_steps;  // steps of phase 1, fewer once it has ended earlier
    const LearningRate constant = LearningRate::constant(1, 50), decaying = LearningRate::linear_decay(1, 0, training.steps, 1.0);

    MuonOptions options;
    options.adam.learning_rate_factors.temperature = 60;  // sharp attention matters more here than anywhere else
    Muon<float> optimizer(model.parameters(), options);
    const std::string file =
        message(training.name, "_", training.contexts, "contexts_", training.steps, "steps_seed", seed, ".safetensors");
    const Index most_steps = settings.curriculum_steps + training.steps;
    Progress bar(message(training.name, ", seed ", seed), most_steps);
    Trainer<float> trainer(
        optimizer,
        {.steps = most_steps,
         .learning_rate = [&](Index step) { return step < curriculum ? constant.at(step) : decaying.at(step - curriculum); },
         .checkpoint = example.output() / file,
         .checkpoint_every_seconds = 60,
         .metadata = made_for(settings, training, seed),
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
            Training one_context = training;
            one_context.symbols = 0;
            const LengthAndBatch at = lengths.next(step, random);
            result = train_step(model, one_context, at.length, at.batch, 1, random);
            lengths.observe(*result.accuracy);
            if (lengths.finished()) curriculum = step + 1;
        } else {
            result = train_step(model, training, 256, training.documents, training.contexts, random);
        }
        result.done = step + 1 == curriculum + training.steps;
        return result;
    });
    stop_if_interrupted(training_is_kept);
    return model;
}

/// The queries of the answers to one set of questions, and what the rest of the layer needs.
struct Questions {
    DictionaryBatch<float> batch;
    Variable<float, 3> x;        ///< (W, T, E) input of the memory layer
    Variable<float, 4> q;        ///< (W, answers, H, D) its queries at the answers, with the temperature in them
    std::vector<Index> records;  ///< asked for, in order
};

/// Attention that was found beforehand, as further keys of the memory layer: the search ran while the memory was made.
class FoundBefore : public Source<float> {
   public:
    FoundBefore(Attention<float> found, Index keys) : found_(std::move(found)), keys_(keys) {}
    Attention<float> attend(Tape&, const LayerView<float>&) const override { return found_; }
    Index keys(Index, Index) const override { return keys_; }

   private:
    Attention<float> found_;
    Index keys_;
};

/// What one memory size gives.
struct Lookup {
    Index memory_tokens;
    Proportion tokens = {}, values = {};
    double knn_score = 0, focus_score = 0;  ///< of the best key of an answer token, mean over the head that decides more
};

/// Evaluates nested memory sizes in one pass over the largest: the windows of the dictionary go through the lower layers, their
/// keys are offered to all questions whose memory they belong to, and only what the top k need is kept.
class Evaluation {
   public:
    Evaluation(Transformer<float>& model, const EvaluationDictionary& dictionary, std::vector<Index> sizes, Index asked, Index k,
               std::uint64_t seed)
        : model_(model), dictionary_(dictionary), sizes_(std::move(sizes)), answers_(answer_positions(dictionary.task())) {
        Random random(seed);
        for (const Index size : sizes_) questions_.push_back(ask(dictionary_.sample_questions(size, asked, random)));
        per_size_ = extent(questions_[0].q.value(), 0) * length_of(answers_);
        heads_ = extent(questions_[0].q.value(), 2);
        width_ = extent(questions_[0].q.value(), 3);
        for (Index s = 0; s < length_of(sizes_); ++s)
            for (Index h = 0; h < heads_; ++h) searches_.emplace_back(rows_of(element(questions_, s).q.value(), h), k);
        kept_.resize(static_cast<std::size_t>(heads_));
        next_clearing_.assign(static_cast<std::size_t>(heads_), Index(1) << 18);
    }

    std::vector<Lookup> run(const std::string& what) {
        const Index length = dictionary_.task().half_length, all = sizes_.back() / length;
        const Index block = 8, group = 4 * threads();  // windows of one pass through the layers, and passes side by side
        Progress bar(what, all);
        for (Index first = 0; first < all;) {
            stop_if_interrupted("the trained model is kept; the same command evaluates again");
            // Up to the next size at which some questions stop seeing more.
            Index seen_by = 0;
            while (element(sizes_, seen_by) / length <= first) ++seen_by;
            const Index last = std::min(first + block * group, element(sizes_, seen_by) / length);
            std::vector<KeysAndValues<float>> heads(static_cast<std::size_t>((last - first + block - 1) / block));
            parallel_for(length_of(heads), [&](Index i) {
                const Index begin = first + i * block;
                element(heads, i) = keys_and_values(dictionary_.windows(begin, std::min(block, last - begin)));
            });
            const Index open = length_of(sizes_) - seen_by;  // sizes whose questions see these windows
            parallel_for(open * heads_, [&](Index i) {
                StreamingSearch<float>& search = search_of(seen_by + i / heads_, i % heads_);
                for (Index pass = 0; pass < length_of(heads); ++pass)
                    search.add(rows_of(element(heads, pass).k.value(), i % heads_), (first + pass * block) * length);
            });
            parallel_for(heads_, [&](Index h) { keep_values(h, seen_by, heads, first * length, block * length); });
            first = last;
            bar.update(first, "");
        }
        for (Index s = 0; s < length_of(sizes_); ++s)
            for (Index h = 0; h < heads_; ++h) found_.push_back(search_of(s, h).result());
        std::vector<Lookup> lookups;
        for (Index s = 0; s < length_of(sizes_); ++s) lookups.push_back(answer(s));
        return lookups;
    }

    /// Whom the tokens of the first questions attend to, as the paper's table: retrieved keys with their scores. Call it after run.
    Table retrieved_keys(Index questions) const {
        Table table({"question", "input token", "head", "retrieved from", "its record", "kNN score", "Focus score"});
        const Index value_length = dictionary_.task().value_length;
        for (Index n = 0; n < questions * value_length; ++n) {
            const Index asked = element(questions_.back().records, n / value_length);
            for (Index h = 0; h < heads_; ++h) {
                const auto [knn, focus] = scores_of_best(length_of(sizes_) - 1, h, n);
                const Index position = found_in(length_of(sizes_) - 1, h).indices(n, 0), record = dictionary_.record_at(position);
                table.add(message(asked == record ? "right " : "WRONG ", text(asked)),
                          n % value_length == 0 ? "<v>" : message("v", n % value_length), h, message("token ", position),
                          record < 0 ? "filler" : text(record), fixed(knn), fixed(focus));
            }
        }
        return table;
    }

   private:
    /// The rows (W T, D) of one head of x (W,T,H,D), in place.
    MatrixView<const float> rows_of(const Tensor<float, 4>& x, Index h) const {
        return matrix(row(x, Index(0), Index(0), h), extent(x, 0) * extent(x, 1), width_, heads_ * width_);
    }

    StreamingSearch<float>& search_of(Index s, Index h) { return element(searches_, s * heads_ + h); }
    const SearchResult<float>& found_in(Index s, Index h) const { return element(found_, s * heads_ + h); }

    /// Copies the values of the keys from `begin` on that are among the best of any question in head h, and forgets from time to
    /// time those that are no longer. `passes` has the latest windows, `rows` keys each.
    void keep_values(Index h, Index first_size, const std::vector<KeysAndValues<float>>& passes, Index begin, Index rows) {
        auto& kept = element(kept_, h);
        const auto each_candidate = [&](Index from_size, auto visit) {
            for (Index s = from_size; s < length_of(sizes_); ++s)
                for (Index n = 0; n < per_size_; ++n)
                    for (const auto& candidate : search_of(s, h).best(n).candidates()) visit(candidate.index);
        };
        each_candidate(first_size, [&](Index key) {
            if (key < begin || kept.contains(key)) return;
            const MatrixView<const float> values = rows_of(element(passes, (key - begin) / rows).v.value(), h);
            const float* value = values.row((key - begin) % rows);
            kept[key].assign(value, value + width_);
        });
        if (length_of(kept) < element(next_clearing_, h)) return;
        std::unordered_map<Index, std::vector<float>> needed;
        each_candidate(0, [&](Index key) { needed[key] = kept.at(key); });
        kept = std::move(needed);
        element(next_clearing_, h) = std::max(element(next_clearing_, h), 2 * length_of(kept));
    }

    std::string text(Index record) const {
        const DictionaryRecord entry = dictionary_.record(record);
        std::string words;
        for (const auto symbol : entry.key) words += message(symbol, " ");
        words += "->";
        for (const auto symbol : entry.value) words += message(" ", symbol);
        return words;
    }

    KeysAndValues<float> keys_and_values(const Tokens& tokens) const {
        Tape tape(Tape::inference);
        return element(model_.keys_and_values(tape, tokens), memory_layer_);
    }

    Questions ask(const std::vector<Index>& records) const {
        Tape tape(Tape::inference);
        Questions questions;
        questions.records = records;
        questions.batch = dictionary_.questions<float>(records);
        const NoSource<float> none;
        questions.x = model_.layers(tape, model_.embed(tape, questions.batch.current), 0, memory_layer_, none);
        questions.q = model_.layer(memory_layer_).view(tape, questions.x, none, answers_).q;
        return questions;
    }

    /// The memory layer with what was found of its k best keys, and the rest of the model.
    Lookup answer(Index s) const {
        const Questions& questions = element(questions_, s);
        const Shape<4> shape = shape_of(questions.q.value());
        const Index kept = extent(found_in(s, 0).scores, 1);
        Tensor<float, 2> values = empty<float, 2>({kept, width_});
        Tensor<float, 4> o = empty<float, 4>(shape);
        Tensor<float, 3> log_mass = empty<float, 3>({shape[0], shape[2], shape[1]});
        for (Index n = 0; n < per_size_; ++n)
            for (Index h = 0; h < heads_; ++h) {
                const SearchResult<float>& found = found_in(s, h);
                for (Index j = 0; j < kept; ++j)
                    std::copy_n(element(kept_, h).at(found.indices(n, j)).data(), width_, row(values, j));
                log_mass(n / shape[1], h, n % shape[1]) =
                    found_attention(row(found.scores, n), values.data(), kept, width_, row(o, n / shape[1], n % shape[1], h));
            }
        const FoundBefore memory({Variable<float, 4>(std::move(o)), Variable<float, 3>(std::move(log_mass))}, element(sizes_, s));
        Tape tape(Tape::inference);
        const Variable<float, 3> logits =
            model_.head(tape, model_.layers(tape, questions.x, memory_layer_, model_.config().layers, memory, answers_));

        Lookup lookup{.memory_tokens = element(sizes_, s)};
        const Tensor<std::uint8_t, 2> right =
            correct_predictions(logits.value(), take_positions(questions.batch.targets, answers_));
        const Index value_length = dictionary_.task().value_length;
        for (Index n = 0; n < per_size_; n += value_length) {
            bool whole = true;
            for (Index i = 0; i < value_length; ++i) {
                lookup.tokens.add(right.data()[n + i] != 0);
                whole = whole && right.data()[n + i] != 0;
            }
            lookup.values.add(whole);
        }
        const Index sampled = std::min<Index>(per_size_, 100);
        for (Index h = 0; h < heads_; ++h) {
            double knn = 0, focus = 0;
            for (Index n = 0; n < sampled; ++n) {
                const auto [knn_n, focus_n] = scores_of_best(s, h, n);
                knn += knn_n / static_cast<double>(sampled);
                focus += focus_n / static_cast<double>(sampled);
            }
            if (knn > lookup.knn_score) {
                lookup.knn_score = knn;
                lookup.focus_score = focus;
            }
        }
        return lookup;
    }

    /// kNN and Focus score of the best key of query `at`: the windows around it are computed once more.
    std::pair<double, double> scores_of_best(Index s, Index h, Index n) const {
        const SearchResult<float>& found = found_in(s, h);
        const Index length = dictionary_.task().half_length, position = found.indices(n, 0);
        const Index all = sizes_.back() / length, begin = std::max<Index>(position / length - 1, 0),
                    end = std::min(position / length + 2, all);
        const KeysAndValues<float> around = keys_and_values(dictionary_.windows(begin, end - begin));
        Tensor<float, 2> keys = empty<float, 2>({(end - begin) * length, width_});
        for (Index i = 0; i < extent(keys, 0); ++i)
            std::copy_n(row(around.k.value(), i / length, i % length, h), width_, row(keys, i));
        const std::span query(rows_of(element(questions_, s).q.value(), h).row(n), static_cast<std::size_t>(width_)),
            scores(row(found.scores, n), static_cast<std::size_t>(extent(found.scores, 1)));
        return {knn_scores(scores)[0], focus_score(query, keys, position - begin * length)};
    }

    Transformer<float>& model_;
    const EvaluationDictionary& dictionary_;
    std::vector<Index> sizes_;
    Index memory_layer_ = 2;
    std::vector<Index> answers_;
    std::vector<Questions> questions_;
    std::vector<StreamingSearch<float>> searches_;                     // of each size and head
    std::vector<SearchResult<float>> found_;                           // by them
    std::vector<std::unordered_map<Index, std::vector<float>>> kept_;  // of each head: values by key
    std::vector<Index> next_clearing_;
    Index per_size_ = 0, heads_ = 0, width_ = 0;
};

/// 256, 1024, ... up to the largest, which is always among them; or the one size that was asked for. Trainings without negatives
/// have lost the thread long before a million tokens: their row ends there, unless a largest size is given.
std::vector<Index> memory_sizes(const Settings& settings, const Training& training) {
    if (settings.memory_tokens > 0) return {settings.memory_tokens};
    const Index usual = training.contexts > 1 ? settings.usual_largest : std::min<Index>(settings.usual_largest, 1048576),
                largest = settings.largest > 0 ? settings.largest : usual;
    return memory_ladder(256, largest);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Can a model trained on 512 tokens find one definition among millions?");
    Settings settings;
    example.option("--training", settings.only, "this one only; empty: uniform and hard, all four with --full")
        ->check(CLI::IsMember({"uniform", "hard", "one_context", "standard"}));
    example.option("--memory-tokens", settings.memory_tokens, "evaluate this one size; 0: a row of sizes")
        ->check(CLI::Range(0, 67108864));
    example.option("--largest", settings.largest, "largest size of the row; 0: 1M, 16M with --full");
    example.add_seeds_option();
    example.option("--k", settings.k, "retrieved keys per query and head", 1);
    example.option("--questions", settings.questions,
                   "questions at each size, four answer tokens each, rounded up to windows of 25", 1);
    example.option("--steps", settings.steps, "steps of the second phase; 0: the training's own");
    example.option("--documents", settings.documents, "documents with questions in a batch; 0: the training's own");
    example.option("--contexts", settings.contexts, "contexts each of them sees in the second phase; 0: the training's own");
    example.option("--curriculum-accuracy", settings.curriculum_accuracy, {0.01, 0.9, 0.9},
                   "running accuracy that ends a stage of the first phase");
    example.option("--curriculum-steps", settings.curriculum_steps, {40, 2000, 2000}, "most steps of the first phase", 1);
    example.flag("--repeat-keys", settings.repeat_keys, "draw evaluation keys independently: some are defined twice");
    example.parse();
    settings.usual_largest = Scaled<Index>{4096, 1048576, 16777216}.at(example.scale());
    const std::vector<Training> list = trainings(example.scale(), settings);
    if (example.scale() == Scale::quick)
        example.out() << "--quick shows that the program runs; its models have learned next to nothing.\n\n";

    const EvaluationDictionary any({}, 0, settings.repeat_keys);
    for (const Training& training : list)  // a size that cannot be is refused before training, not after
        for (const Index size : memory_sizes(settings, training)) any.windows_for(size);
    Table csv({"training", "seed", "memory_tokens", "token_accuracy", "low", "high", "value_accuracy", "knn_score", "focus_score",
               "ceiling"});
    Plot plot{.name = "accuracy",
              .title = "Dictionary lookup, trained on 512 tokens",
              .x_label = "memory tokens",
              .y_label = "accuracy of answer tokens",
              .y_range = Interval{0, 1.05}};
    Measurements<AccuracyCurve> accuracies;
    for (const Training& training : list) {
        const std::vector<Index> sizes = memory_sizes(settings, training);
        std::vector<double> knn_scores, focus_scores;  // at the largest size, of each seed
        Table table({"memory tokens", "seed", "token accuracy", "whole values", "kNN score", "Focus score", "ceiling"});
        for (const std::uint64_t seed : example.seeds()) {
            Transformer<float> model = trained_model(example, settings, training, seed);
            const EvaluationDictionary dictionary({}, seed + 5000, settings.repeat_keys);
            Evaluation evaluation(model, dictionary, sizes, settings.questions, settings.k, seed + 6000);
            const std::vector<Lookup> lookups = evaluation.run(message("evaluate ", training.name, ", seed ", seed));
            AccuracyCurve accuracy;
            for (const Lookup& lookup : lookups) {
                const double ceiling = dictionary.accuracy_ceiling(lookup.memory_tokens);
                const Estimate tokens = estimate_of(lookup.tokens);
                accuracy[lookup.memory_tokens] = tokens;
                table.add(count_text(lookup.memory_tokens), seed, estimate_text(tokens, 4),
                          estimate_text(estimate_of(lookup.values), 4), fixed(lookup.knn_score), fixed(lookup.focus_score),
                          fixed(ceiling, 4));
                csv.add(training.name, seed, lookup.memory_tokens, tokens, lookup.values.value(), lookup.knn_score,
                        lookup.focus_score, ceiling);
            }
            accuracies.add(training.name, accuracy);
            knn_scores.push_back(lookups.back().knn_score);
            focus_scores.push_back(lookups.back().focus_score);
            if (seed == example.seed())
                example.show(message(training.name, ": what is retrieved at ", count_text(sizes.back()), " memory tokens"),
                             evaluation.retrieved_keys(2));
        }
        example.show(message(training.name, ": ", training.steps, " steps with ", training.contexts, " contexts"), table);
        report_accuracy(example, "accuracy", accuracies, training.name, plot);
        example.result(message("knn_score.", training.name, ".", sizes.back()), median(knn_scores));
        example.result(message("focus_score.", training.name, ".", sizes.back()), median(focus_scores));
    }
    Series paper{"the paper at 16M: above 0.92"};
    for (const Index size : memory_sizes(settings, list.front())) paper.add(size, 0.92);
    plot.series.push_back(paper);
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
    return example.finish();
} catch (...) {
    return report_failure();
}
