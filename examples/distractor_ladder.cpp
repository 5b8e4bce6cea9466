/// How near may other keys be, and how many, before the key that is asked for is lost?
///
/// A memory full of random definitions is an easy test: two random keys of four symbols seldom share more than one. Here it also
/// holds distractors: definitions whose keys differ from the key that is asked for in 1, 2 or 3 of the four symbols, up to 10000 of
/// them for each question. There are 240 keys at distance 1, so if more distractors are asked for, these keys come again, with
/// other values. The key that is asked for is defined once.
///
/// A key can be lost for two reasons, which the ladder keeps apart. As the memory grows, more random keys dilute attention. As
/// distractors are added, the layer must tell a key from more near neighbours. Models:
///
///     standard         a plain transformer on whole documents, given the memory afterwards
///     mt               the Memorizing Transformer: a learned gate, no gradient in the keys of the memory
///     crossbatch_<d>   crossbatch on d contexts; the negatives are random
///     hard_16          crossbatch on 16 contexts that spell with 8 of the 61 symbols: their keys are near     (--full)
///
/// How it is computed: definitions are read in windows, 25 of them in each, and no window sees another. So a question's distractors
/// are read apart from the other definitions, and its attention to both is the merge of its attention to each
/// (attention/joining.hpp). That is exact where the whole memory is read. With --top-k K it is read as two memories, each by its K
/// best entries.
///
/// An answer is right if all four symbols are. half_accuracy_memory is the size of the memory, in tokens, at which half of the
/// answers are right, among 100 distractors (--at).
///
/// Data:    made here.
/// Time:    2 minutes of one core to ask the five models; the time of their training was not measured separately; --quick: seconds;
///          --full: three seeds and 10000 distractors, not run.
/// Memory:  0.6 GiB for a million tokens, in bfloat16; 1 GiB to train with 128 contexts.
/// Command: build/release/examples/distractor_ladder
/// Expect:  crossbatch_1 fails among a hundred keys at distance 1 at every memory size, and at a million tokens even without
///          distractors. Models trained on more contexts withstand more of both: crossbatch_128 finds most keys among a hundred at
///          distance 1 in a million tokens.
#include "fot/data/near_words.hpp"
#include "support/accuracy_curves.hpp"
#include "support/dictionary_evaluation.hpp"
#include "support/dictionary_models.hpp"
#include "support/memory_snapshot.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct LadderSettings {
    std::vector<Index> distances{1, 2, 3}, distractors = {};
    Index largest = 0, questions = 100, top_k = 0, at = 100;
};

/// Attention of the questions to a part of a memory, a window of questions each.
using PartAttention = std::vector<AttentionResult<float>>;

AttentionResult<float> attention_to(const KeyValueMemory<float>& memory, const Tensor<float, 4>& q, Index top_k) {
    Tape tape(Tape::inference);
    const Attention<float> found = memory_attention(tape, Variable<float, 4>(q), {&memory}, top_k);
    return {found.o.value(), found.log_sum_exp.value()};
}

/// Questions about the first records of a dictionary, and what they find. (Any records will do: a memory has no positions.)
class Ladder {
   public:
    /// Model and dictionary must outlive the ladder.
    Ladder(const Transformer<float>& model, const EvaluationDictionary& dictionary, const LadderSettings& settings)
        : dictionary_(dictionary),
          settings_(settings),
          snapshot_{
              .model = model, .wanted = answer_positions(dictionary.task()), .state = {model.config(), 1, Storage::bfloat16}} {
        for (Index first = 0; first < settings.questions; first += task_.records()) {
            const DictionaryBatch<float> batch = dictionary.questions<float>(consecutive(first, task_.records()));
            snapshot_.ask(batch.current, take_positions(batch.targets, snapshot_.wanted), 0);
        }
    }

    /// Reads on until the memory holds so many tokens of definitions.
    void read_to(Index tokens) {
        for (Index first = snapshot_.memory().size() / task_.half_length, last = tokens / task_.half_length; first < last;) {
            stop_if_interrupted("trained models are kept; the same command asks again");
            const Index windows = std::min<Index>(16, last - first);
            snapshot_.remember(dictionary_.windows(first, windows), 0);
            first += windows;
        }
    }

    /// Attention to what was read.
    PartAttention to_memory() const {
        PartAttention parts;
        for (const SnapshotWindow& window : snapshot_.windows)
            parts.push_back(attention_to(snapshot_.memory(), window.q.value(), settings_.top_k));
        return parts;
    }

    /// Attention of each question to its own distractors; nothing if there are none.
    PartAttention to_distractors(Index distance, Index count) const {
        stop_if_interrupted("trained models are kept; the same command asks again");
        const Index an_answer = task_.value_length;
        PartAttention parts = to_nothing();
        if (count == 0) return parts;
        parallel_for(settings_.questions, [&](Index i) {
            Random random(static_cast<std::uint64_t>(i * 4 + distance));
            const Tokens windows =
                definition_windows(task_, near_definitions(task_, dictionary_.numbered(i), distance, count, random));
            MemorySnapshot own{.model = snapshot_.model};
            for (Index first = 0; first < extent(windows, 0); first += 16)
                own.remember(slice<0>(windows, first, std::min<Index>(16, extent(windows, 0) - first)), 0);
            AttentionResult<float>& of_window = element(parts, i / task_.records());
            const Tensor<float, 4>& q = element(snapshot_.windows, i / task_.records()).q.value();
            const Index place = i % task_.records() * an_answer;
            const AttentionResult<float> found = attention_to(own.memory(), slice<1>(q, place, an_answer), settings_.top_k);
            std::copy_n(found.o.data(), found.o.size(), row(of_window.o, Index(0), place));
            for (Index h = 0; h < extent(q, 2); ++h)
                std::copy_n(row(found.log_sum_exp, Index(0), h), an_answer, row(of_window.log_sum_exp, Index(0), h) + place);
        });
        return parts;
    }

    /// The share of answers that are right where a memory has these two parts.
    Proportion right(const PartAttention& memory, const PartAttention& distractors) const {
        Proportion all;
        for (Index w = 0; w < length_of(snapshot_.windows); ++w) {
            const FoundBefore source(as_constant(merge(AttentionOutput<float>(element(memory, w)), element(distractors, w))),
                                     snapshot_.memory().size());
            const SnapshotWindow& window = element(snapshot_.windows, w);
            all += right_values(correct_predictions(snapshot_.logits(window, source), window.targets), task_.value_length);
        }
        return all;
    }

   private:
    PartAttention to_nothing() const {
        PartAttention parts;
        const KeyValueMemory<float> empty(snapshot_.memory().heads(), snapshot_.memory().width());
        for (const SnapshotWindow& window : snapshot_.windows) parts.push_back(attention_to(empty, window.q.value(), 0));
        return parts;
    }

    const EvaluationDictionary& dictionary_;
    const LadderSettings& settings_;
    const DictionaryTask task_ = dictionary_.task();
    MemorySnapshot snapshot_;
};

/// Distractors of a question: the distance of their keys, and how many there are.
using Distractors = std::pair<Index, Index>;

/// The share of right answers over memory sizes, by distractors.
std::map<Distractors, AccuracyCurve> climbed(const Transformer<float>& model, const std::vector<Index>& sizes,
                                             const LadderSettings& settings, std::uint64_t seed) {
    const EvaluationDictionary dictionary({}, seed + 5000);
    Ladder ladder(model, dictionary, settings);
    std::map<Distractors, PartAttention> near;
    for (const Index distance : settings.distances)
        for (const Index count : settings.distractors) near[{distance, count}] = ladder.to_distractors(distance, count);
    std::map<Distractors, AccuracyCurve> curves;
    for (const Index size : sizes) {
        ladder.read_to(size);
        const PartAttention far = ladder.to_memory();
        for (const auto& [distractors, part] : near) curves[distractors][size] = estimate_of(ladder.right(far, part));
    }
    return curves;
}

/// The name of a model's curve.
std::string curve_name(const std::string& model, const Distractors& distractors) {
    return message(model, ".", distractors.first, ".", distractors.second);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "How near may other keys come, and how many, until the one that is asked for is lost?");
    LadderSettings settings;
    DictionaryModelSettings models;
    add_dictionary_model_options(example, models,
                                 {{"crossbatch_1", "crossbatch_16"},
                                  {"standard", "mt", "crossbatch_1", "crossbatch_16", "crossbatch_128"},
                                  {"standard", "mt", "crossbatch_1", "crossbatch_16", "crossbatch_128", "hard_16"}});
    example.add_seeds_option();
    example.option("--distances", settings.distances, "symbols in which distractors' keys differ from the asked one")
        .within(1, DictionaryTask{}.key_length);
    example.option("--distractors", settings.distractors, {{0, 10, 100}, {0, 10, 100, 1000}, {0, 10, 100, 1000, 10000}},
                   "distractors of each question");
    example.option("--at", settings.at, "distractors at which the half-accuracy memory is reported");
    example.option("--largest", settings.largest, {4096, 1048576, 1048576}, "largest memory, tokens", 1024);
    example.option("--questions", settings.questions, "questions, whole windows of 25").within(25, 100);
    example.option("--top-k", settings.top_k, "entries that are read of memory and of distractors; 0: all");
    example.parse();
    require<ConfigError>(settings.questions % DictionaryTask{}.records() == 0, "--questions ", settings.questions,
                         ": expected whole windows of ", DictionaryTask{}.records());
    require<ConfigError>(std::ranges::count(settings.distractors, settings.at) > 0, "--at ", settings.at,
                         " is not among --distractors");

    const std::vector<Index> sizes = memory_ladder(1024, settings.largest);
    const EvaluationDictionary any({}, 0);
    for (const Index size : sizes) any.windows_for(size);  // before training, not after
    const std::vector<DictionaryModelPlan> plans = chosen_plans(example, models);
    Measurements<AccuracyCurve> curves;
    Table csv({"model", "seed", "distance", "distractors", "memory_tokens", "accuracy", "low", "high"});
    for (const std::uint64_t seed : example.seeds())
        for (const DictionaryModelPlan& plan : plans) {
            const Transformer<float> model = trained_dictionary_model(example, models, plan, seed);
            for (const auto& [distractors, curve] : climbed(model, sizes, settings, seed)) {
                curves.add(curve_name(plan.name, distractors), curve);
                for (const auto& [size, share] : curve)
                    csv.add(plan.name, seed, distractors.first, distractors.second, size, share);
            }
            example.out() << plan.name << ", seed " << seed << ": measured" << std::endl;
        }

    Table halves({"model", "distance", "distractors", "right at 1K", message("right at ", count_text(sizes.back())),
                  "memory at which half are right"});
    HeatMaps maps{.name = "accuracy",
                  .title = "Right answers among distractors, by the symbols in which these differ from the asked key",
                  .x_label = "memory, tokens",
                  .y_label = "distractors",
                  .columns = length_of(plans)};
    for (const Index distance : settings.distances)
        for (const DictionaryModelPlan& plan : plans) {
            std::vector<MapPoint> points;
            for (const Index count : settings.distractors) {
                const AccuracyCurve curve = shares_over_seeds(curves, curve_name(plan.name, {distance, count}));
                const Estimate half = half_accuracy_size(curve);
                halves.add(plan.name, distance, count, fixed(curve.begin()->second.value), fixed(curve.rbegin()->second.value),
                           estimate_text(half, 0));
                for (const auto& [size, share] : curve) points.push_back({size, count, share.value});
                if (count == settings.at) example.result(message("half_accuracy_memory.", plan.name, ".", distance), half);
            }
            maps.maps.emplace_back(message(plan.name, " at distance ", distance), std::move(points));
        }
    example.show(message("All four symbols right, ", settings.questions,
                         " questions; an interval from 0 or to inf: half is passed outside the memories that were read"),
                 halves);
    example.csv("accuracy_by_seed", csv);
    example.plot(maps);
    return example.finish();
} catch (...) {
    return report_failure();
}
