/// Which trainings make a model recall any of 4096 values by any of 4095 keys, among thousands of other documents?
///
/// A document is 4 to 64 pairs of tokens and, in a later context, a question about each key: multi-query associative recall, MQAR
/// (data/associative_recall.hpp). The memory is the only way to the pairs. It holds the pairs of one document, the one that is
/// asked about, or those of up to 4096 documents.
///
/// No other document defines a key that is asked for. So every question has one right answer, and what is lost as the memory fills
/// is lost to other keys. Of these there are 4095 at most: where documents have more pairs, keys come again with other values. The
/// memory then gets fuller without new kinds of distraction. Chance is 1/4096; a model that finds its document but not the key
/// reaches 1/pairs.
///
/// The models, by how they are trained (support/recall_training.hpp):
///
///     standard         whole documents, pairs and questions in one local context; the memory is given to it only afterwards
///     mt               the same, then at every other step as the Memorizing Transformer: a gate, and a memory without gradient
///     mt_merged        mt with one softmax in place of the gate
///     crossbatch_1     the document's own pairs as previous context
///     crossbatch_<d>   the same, then the pairs of d documents
///     at_once_16       the pairs of 16 documents from the first step
///     untied_1         as crossbatch_1, with an output matrix of its own instead of the embedding
///
/// A training begins with 4 pairs; the pairs are doubled each time 9 of 10 answers are right. For some hundred steps hardly any is,
/// then within some dozens nearly all are. `escaped` is the share of seeds that have left this plateau and learned 64 pairs within
/// the steps of the curriculum.
///
/// Source: Arora et al. 2023 (Zoology). They train on documents of 64 to 512 tokens, 64 epochs of 100000, with several learning
/// rates. We train for 1700 steps or less of 256 questions each, on documents with 4 tokens for each pair. Documents that are
/// measured have 16, as most of theirs have.
/// Data:    made here.
/// Time:    12 minutes of one core without AVX-512; --quick: seconds; --full, three seeds: 25 minutes of a shared core with
///          AVX-512, 11 of them computing; 300 MiB.
/// Command: build/release/examples/associative_recall
/// Expect:  standard, mt_merged and all crossbatch models recall their only document (.97 and above) and differ once it is one of
///          many: in a memory of 4096 documents of 64 pairs crossbatch_1 has about .05, crossbatch_16 .5, crossbatch_128 .9, the
///          others less than crossbatch_1. at_once_16 and untied_1 stay on the plateau.
#include "support/accuracy_curves.hpp"
#include "support/memory_snapshot.hpp"
#include "support/recall_training.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What is asked.
struct RecallQuestions {
    std::vector<Index> pairs{4, 8, 16, 32, 64}, documents = {};
    Index questions = 0, top_k = 0;
};

/// Throws ConfigError unless documents of so many pairs can be asked about.
void require_valid(const RecallQuestions& asked, Index pairs, Index vocabulary) {
    require<ConfigError>(pairs <= asked.questions && asked.questions + pairs < vocabulary / 2, "--pairs ", pairs, ", --questions ",
                         asked.questions, ", --vocabulary ", vocabulary,
                         ": expected as many questions as pairs or more, and with the pairs fewer than half the vocabulary");
}

/// Answers about documents of 16 tokens a pair that share one memory, which holds the pairs of so many documents. Few documents
/// are too few questions: then there are several memories.
Proportion recalled(const Transformer<float>& model, const RecallQuestions& asked, Index pairs, Index documents, Random& random) {
    const AssociativeRecallTask task{model.config().vocabulary, pairs, 16 * pairs};
    const Index entries = std::min(documents, asked.questions / pairs), group = 256;
    Proportion right;
    while (right.trials < asked.questions) {
        const AssociativeRecallBatch batch = associative_recall_batch(task, entries, documents, random);
        MemorySnapshot snapshot{.model = model, .wanted = batch.places, .state = {model.config(), 1, Storage::bfloat16}};
        for (Index first = 0; first < documents; first += group)
            snapshot.remember(slice<0>(batch.previous, first, std::min(group, documents - first)), 0);
        for (Index i = 0; i < entries; ++i) snapshot.ask(slice<0>(batch.current, i, 1), slice<0>(batch.values, i, 1), i);
        right += right_answers(snapshot, MemorySource<float>(snapshot.state, asked.top_k));
    }
    return right;
}

/// The name of a model's curve.
std::string curve_name(const std::string& model, Index pairs) { return message(model, ".", pairs); }

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Which trainings make a model recall thousands of values, among thousands of documents?");
    RecallSettings settings;
    RecallQuestions asked;
    std::vector<std::string> names;
    for (const RecallTraining& training : recall_trainings()) names.push_back(training.name);
    std::vector<std::string> only;
    example.option("--only", only, {{"standard", "mt", "crossbatch_16"}, names, names}, "models that are compared").one_of(names);
    example.add_seeds_option();
    example.option("--vocabulary", settings.vocabulary, "tokens, one half keys, the other half values", 1024);
    example.option("--curriculum-steps", settings.curriculum_steps, {20, 1500, 1500}, "most steps until 64 pairs are recalled", 1);
    example.option("--steps", settings.steps, {4, 200, 200}, "training steps after that", 1);
    example.option("--pairs", asked.pairs, "pairs of a document", 1);
    example.option("--documents", asked.documents, {{1, 16}, {1, 16, 256, 4096}, {1, 16, 256, 4096}},
                   "documents whose pairs are in one memory", 1);
    example.option("--questions", asked.questions, {64, 1024, 1024}, "questions for each number of pairs and documents", 1);
    example.option("--top-k", asked.top_k, "entries of the memory that are read; 0: all");
    example.parse();
    for (const Index pairs : asked.pairs) require_valid(asked, pairs, settings.vocabulary);  // before training, not after

    Measurements<AccuracyCurve> curves;
    Measurements<Curriculum> curricula;
    Table csv({"model", "seed", "curriculum_steps", "pairs", "documents", "accuracy", "low", "high"});
    for (const std::uint64_t seed : example.seeds())
        for (const RecallTraining& training : recall_trainings()) {
            if (std::ranges::count(only, training.name) == 0) continue;
            const auto [model, curriculum] = trained_recall_model(example, settings, training, seed);
            curricula.add(training.name, curriculum);
            Random random(seed + 6000);
            for (const Index pairs : asked.pairs) {
                AccuracyCurve curve;
                for (const Index documents : asked.documents) {
                    curve[documents] = estimate_of(recalled(model, asked, pairs, documents, random));
                    csv.add(training.name, seed, curriculum.steps, pairs, documents, curve[documents]);
                }
                curves.add(curve_name(training.name, pairs), curve);
            }
            example.out() << training.name << ", seed " << seed << ": measured" << std::endl;
        }

    std::vector<std::string> header{"model", "escaped", "curriculum steps", "pairs"};
    for (const Index documents : asked.documents) header.push_back(message("documents: ", documents));
    Table table(header);
    HeatMaps maps{.name = "accuracy",
                  .title = "Right answers by the pairs of a document and the documents in the memory",
                  .x_label = "documents in the memory",
                  .y_label = "pairs of a document",
                  .columns = std::min<Index>(length_of(curricula.models()), 4)};
    for (const std::string& model : curricula.models()) {
        const std::vector<double> steps =
            curricula.each(model, [](const Curriculum& each) { return static_cast<double>(each.steps); });
        Proportion escaped;
        for (const Curriculum& each : curricula.of_seeds(model)) escaped.add(each.learned);
        example.result(message("escaped.", model), estimate_of(escaped));
        std::vector<MapPoint> points;
        for (const Index pairs : asked.pairs) {
            std::vector<std::string> cells{model, fixed(escaped.value(), 2), fixed(median(steps), 0), message(pairs)};
            for (const auto& [documents, accuracy] : shares_over_seeds(curves, curve_name(model, pairs))) {
                example.result(message("accuracy.", curve_name(model, pairs), ".", documents), accuracy);
                cells.push_back(fixed(accuracy.value));
                points.push_back({documents, pairs, accuracy.value});
            }
            table.add_row(cells);
        }
        maps.maps.emplace_back(model, std::move(points));
    }
    example.show(message("Right answers, of ", asked.questions, " in each cell"), table);
    example.csv("accuracy_by_seed", csv);
    example.plot(maps);
    return example.finish();
} catch (...) {
    return report_failure();
}
