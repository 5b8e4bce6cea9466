/// Can a model trained on 512 tokens find one definition among millions?   (claims C2 and C13)
///
/// A document defines words of four symbols in its first half and asks for them in the second. The model is trained by crossbatch
/// on 256 + 256 tokens, with the definitions of other documents as negatives. Then its memory is filled with up to 16 million
/// tokens of definitions (up to 128 million with --memory-tokens), and it is asked for 400 of them. Keys are computed block by
/// block as the search goes on. The search is exact, and no key is kept.
///
/// The heart of a training step, in which a document sees the definitions of d documents (support/dictionary_training.hpp):
///
///     table  = previous_contexts(16, 1, d - 1, pool)
///     logits = model.forward(tape, questions, Contexts(model.keys_and_values(tape, definitions), table), places of the answers)
///
/// The models, by how they are trained; each result names one of them:
///
///     uniform       all symbols are drawn: the paper's data
///     hard          each batch spells with 8 of the 61 symbols, so that keys differ in few places: ours
///     one_context   uniform, no negatives                                                                    (--full)
///     standard      a plain transformer on whole 512-token documents, given the same memory afterwards.
///                   Not the paper's baseline, which reads all tokens as one context                          (--full)
///     ..._log_length  any of them; in inference its scores grow with the memory (LogN)                       (--log-length)
///
/// Source: paper section 5.2, appendix F, Figure 10 (accuracy); appendix B.4, Table 7 (kNN and Focus score).
/// Data:    made here.
/// Time:    about five minutes on two cores; --quick: seconds; --full: three seeds to 16M tokens (hours).
/// Memory:  below 1 GiB whatever the number of memory tokens; 3.3 GiB to train with the 512 contexts of --full.
/// Command: build/release/examples/dictionary_lookup          (a single point: --memory-tokens 16777216 --training hard)
/// Expect:  accuracy near 1 up to a million tokens for `uniform` and `hard`; measurements.md has the figures.
#include "fot/measure/intervals.hpp"
#include "support/accuracy_curves.hpp"
#include "support/dictionary_evaluation.hpp"
#include "support/dictionary_training.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// Which sizes of the memory are evaluated; 0: the usual ones.
struct Sizes {
    Index only = 0, largest = 0;

    /// 256, 1024, ... up to the largest, which is always among them; or the one size that was asked for. Trainings without
    /// negatives have lost the thread long before a million tokens: their row ends there, unless a largest size is given.
    std::vector<Index> of(const DictionaryTraining& training, Scale scale) const {
        if (only > 0) return {only};
        const Index usual = Scaled<Index>{4096, 1048576, training.contexts > 1 ? 16777216 : 1048576}.at(scale);
        return memory_ladder(256, largest > 0 ? largest : usual);
    }
};

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Can a model trained on 512 tokens find one definition among millions?");
    std::string only;
    Sizes asked_sizes;
    Index k = 32, questions = 400;
    bool repeat_keys = false, log_length = false;
    example.option("--training", only, "this one only; empty: uniform and hard, all four with --full")
        .one_of({"uniform", "hard", "one_context", "standard"});
    const Option one_size = example.option("--memory-tokens", asked_sizes.only, "evaluate this one size; 0: a row of sizes");
    one_size.within(0, 134217728);
    example.option("--largest", asked_sizes.largest, "largest size of the row; 0: 1M, 16M with --full").excludes(one_size);
    example.add_seeds_option();
    example.option("--k", k, "retrieved keys per query and head", 1);
    example.option("--questions", questions, "questions at each size, four answer tokens each, rounded up to windows of 25", 1);
    example.flag("--repeat-keys", repeat_keys, "draw evaluation keys independently: some are defined twice");
    example.flag("--log-length", log_length, "trained models answer with scores that grow with the memory (LogN)");
    example.parse();
    const std::vector<DictionaryTraining> list = dictionary_trainings(example, only);
    if (example.scale() == Scale::quick)
        example.out() << "--quick shows that the program runs; its models have learned next to nothing.\n\n";

    const EvaluationDictionary any({}, 0, repeat_keys);
    for (const DictionaryTraining& training : list)  // a size that cannot be is refused before training, not after
        for (const Index size : asked_sizes.of(training, example.scale())) any.windows_for(size);
    Table csv({"training", "seed", "memory_tokens", "token_accuracy", "low", "high", "value_accuracy", "knn_score", "focus_score",
               "ceiling"});
    Plot plot{.name = "accuracy",
              .title = "Dictionary lookup, trained on 512 tokens",
              .x_label = "memory tokens",
              .y_label = "accuracy of answer tokens",
              .y_range = Interval{0, 1.05}};
    Measurements<AccuracyCurve> accuracies;
    for (const DictionaryTraining& training : list) {
        const std::string name = message(training.name, log_length ? "_log_length" : "");
        const std::vector<Index> sizes = asked_sizes.of(training, example.scale());
        std::vector<Estimate> knn_scores, focus_scores;  // at the largest size, of each seed: a mean over answers, without interval
        Table table({"memory tokens", "seed", "token accuracy", "whole values", "kNN score", "Focus score", "ceiling"});
        for (const std::uint64_t seed : example.seeds()) {
            Transformer<float> model = trained_dictionary_model(example, example.output(), training, seed);
            if (log_length) score_by_log_length(model, training);
            const EvaluationDictionary dictionary({}, seed + 5000, repeat_keys);
            DictionaryEvaluation evaluation(model, dictionary, sizes, questions, k, seed + 6000);
            const std::vector<Lookup> lookups = evaluation.run(message("evaluate ", name, ", seed ", seed));
            AccuracyCurve accuracy;
            for (const Lookup& lookup : lookups) {
                const double ceiling = dictionary.accuracy_ceiling(lookup.memory_tokens);
                const Estimate tokens = estimate_of(lookup.tokens, dictionary.task().value_length);
                accuracy[lookup.memory_tokens] = tokens;
                table.add(count_text(lookup.memory_tokens), seed, estimate_text(tokens, 4),
                          estimate_text(estimate_of(lookup.values), 4), fixed(lookup.knn_score), fixed(lookup.focus_score),
                          fixed(ceiling, 4));
                csv.add(name, seed, lookup.memory_tokens, tokens, lookup.values.value(), lookup.knn_score, lookup.focus_score,
                        ceiling);
            }
            accuracies.add(name, accuracy);
            knn_scores.push_back({lookups.back().knn_score, {}});
            focus_scores.push_back({lookups.back().focus_score, {}});
            if (seed == example.seed())
                example.show(message(name, ": what is retrieved at ", count_text(sizes.back()), " memory tokens"),
                             evaluation.retrieved_keys(2));
        }
        example.show(message(name, ": ", training.steps, " steps with ", training.contexts, " contexts"), table);
        report_accuracy(example, "accuracy", accuracies, name, plot);
        for (const auto& [score, of_seeds] : {std::pair{"knn_score.", knn_scores}, std::pair{"focus_score.", focus_scores}}) {
            const std::string result = message(score, name, ".", sizes.back());
            if (of_seeds.size() >= 3)
                example.result(result, share_over_seeds(of_seeds));
            else
                example.result(result, over_seeds(of_seeds).value);
        }
    }
    Series paper{"the paper at 16M: above 0.92"};
    for (const Index size : asked_sizes.of(list.front(), example.scale())) paper.add(size, 0.92);
    plot.series.push_back(paper);
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
    return example.finish();
} catch (...) {
    return report_failure();
}
