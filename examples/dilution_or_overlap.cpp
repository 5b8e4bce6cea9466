/// Does a memory lose a definition because other keys are many, or because they look alike?   (beyond the paper)
///
/// A key that a query needs can lose its weight in two ways. Keys with smaller scores dilute it: each has less weight, but there
/// are many. Or keys of other definitions overlap with it: one of them has a larger score. Scores that grow with the logarithm of
/// the number of keys cure dilution. In inference alone (LogN) they cannot cure overlap, since all scores of a query grow alike and
/// their order stays.
///
/// The two are told apart by how much of the memory is read. If each head of a query reads its best entry alone, beside the local
/// context, no other entry dilutes it: what is then wrong is overlap, but for answers that several entries together would get
/// right. What is lost beyond that is weight that goes to entries with smaller scores, to the next 31 or to all of them.
///
///     crossbatch_1    trained on its own context alone: no negatives
///     crossbatch_16   trained on 16 contexts
///     ..._log_length  the same model; in inference its scores grow with the logarithm of the number of keys (LogN)
///     ..._ssmax       trained with scores that do so (SSMax)
///
///     best            a head of a query reads its best entry
///     best_32         its 32 best, as in dictionary_lookup
///     whole           all of them
///
/// Data:    the dictionary, made here.
/// Time:    not measured as a whole; three seeds of one number of contexts took a quarter of an hour of a shared core, most of
///          it for training with SSMax; --quick: seconds; --full: three seeds.
/// Memory:  1 GiB for each million tokens.
/// Command: build/release/examples/dilution_or_overlap
/// Expect:  without negatives most answers are lost at a million tokens, about half of them to dilution and half to overlap.
///          Crossbatch shrinks both. LogN, which needs no training, gives back what was lost to dilution.
#include "fot/model/memory_source.hpp"
#include "support/accuracy_curves.hpp"
#include "support/dictionary_remedy_models.hpp"
#include "support/memory_snapshot.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What is measured.
struct DilutionSettings {
    std::vector<Index> contexts = {}, memories = {};
    Index questions = 400;
    std::string folder = {};
};

/// A model: contexts in training, and what is done to its scores.
struct DilutionPlan {
    Index contexts = 0;
    Remedy remedy = {};

    bool is_plain() const { return remedy.name == no_remedy().name; }
    std::string name() const { return message("crossbatch_", contexts, is_plain() ? "" : "_" + remedy.name); }
};

std::vector<DilutionPlan> all_plans(const DilutionSettings& settings) {
    std::vector<DilutionPlan> plans;
    for (const Index contexts : settings.contexts) {
        plans.push_back({contexts, no_remedy()});
        for (const Remedy& remedy : remedies())
            if (remedy.name == "log_length" || remedy.name == "ssmax") plans.push_back({contexts, remedy});
    }
    return plans;
}

/// Right answers at each size of the memory, by what a query reads.
std::map<std::string, AccuracyCurve> right_at_each_size(const Transformer<float>& model, const DilutionSettings& settings,
                                                        std::uint64_t seed) {
    const EvaluationDictionary dictionary({}, seed + 5000);
    std::map<std::string, AccuracyCurve> right;
    for (const Index tokens : settings.memories) {
        const MemorySnapshot snapshot = dictionary_snapshot(model, dictionary, tokens, settings.questions, seed + 6000);
        for (const auto& [name, top_k] : {std::pair{"best", Index(1)}, {"best_32", Index(32)}, {"whole", Index(0)}})
            right[name][tokens] =
                estimate_of(right_answers(snapshot, MemorySource<float>(snapshot.state, top_k)), dictionary.task().value_length);
    }
    return right;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does a memory lose a definition because other keys are many, or because they look alike?");
    DilutionSettings settings;
    example.add_seeds_option();
    example.option("--contexts", settings.contexts, {{1}, {1, 16}, {1, 16}}, "contexts that the models are trained with", 1);
    example.option("--memories", settings.memories, {{4096}, {4096, 65536, 1048576}, {4096, 65536, 1048576}},
                   "tokens of the memories of definitions", 256);
    example.option("--questions", settings.questions, "questions at each size", 1);
    example.option("--models", settings.folder, "folder of trained models, which programs can share; empty: --output");
    example.parse();
    const EvaluationDictionary any({}, 0);
    for (const Index tokens : settings.memories) any.windows_for(tokens);  // refused before training, not after

    Table table({"model", "seed", "memory tokens", "best entry", "32 best", "whole memory"}),
        csv({"model", "reads", "seed", "memory_tokens", "token_accuracy", "low", "high"});
    Plot plot{.name = "accuracy",
              .title = "Dictionary lookup: what dilution and overlap cost",
              .x_label = "memory tokens",
              .y_label = "accuracy of answer tokens"};
    Measurements<AccuracyCurve> curves;
    Plot not_drawn;  // the picture has what is lost to both, and what is lost to overlap alone
    for (const DilutionPlan& plan : all_plans(settings)) {
        for (const std::uint64_t seed : example.seeds()) {
            const RemediedDictionaryModel model(example, example.models_folder(settings.folder), plan.remedy, plan.contexts, 0,
                                                seed);
            example.out() << "measure " << plan.name() << ", seed " << seed << std::endl;
            const std::map<std::string, AccuracyCurve> right = right_at_each_size(model.model(), settings, seed);
            for (const auto& [reads, curve] : right) {
                curves.add(message(plan.name(), ".", reads), curve);
                for (const auto& [tokens, accuracy] : curve) csv.add(plan.name(), reads, seed, tokens, accuracy);
            }
            const auto of = [&](const char* reads, Index tokens) { return fixed(right.at(reads).at(tokens).value, 4); };
            for (const Index tokens : settings.memories)
                table.add(plan.name(), seed, count_text(tokens), of("best", tokens), of("best_32", tokens), of("whole", tokens));
        }
        for (const std::string reads : {"best", "best_32", "whole"}) {
            const bool drawn = reads == "whole" || (reads == "best" && plan.is_plain());
            report_accuracy(example, "accuracy", curves, message(plan.name(), ".", reads), drawn ? plot : not_drawn);
        }
    }
    example.show("Right answer tokens, by what a query reads", table);
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
    return example.finish();
} catch (...) {
    return report_failure();
}
