/// How far beyond its training length does a model use its own document?   (claims C5 and C6)
///
/// Models of the same shape, data, steps and optimiser are trained on local contexts of 128 bytes with one or two previous ones,
/// and then read long held-out documents with a memory of the document so far, up to many times the length of training. What is
/// predicted lies so deep in its document that every memory size can be filled.
///
///     crossbatch_<d>[_w2]   w = 1 (or 2) previous contexts of the own document and of d - 1 others          (C5)
///     mt_merged             the previous context as crossbatch_1 has it, but nothing learns through its keys and values: a
///                           Memorizing Transformer with a memory of one context                             (C6)
///
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text).
/// Time:    about fifteen minutes on two cores, about a gigabyte; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/context_extrapolation
/// Expect:  d = 2 below d = 1, w = 2 below w = 1, and mt_merged above crossbatch_1, the more the longer the memory.
#include "support/memory_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// A crossbatch model of w previous contexts of d documents in the end; the first part of the training has one document.
LanguageModelRecipe crossbatch(Index w, Index d, Index steps) {
    return {.name = message("crossbatch_", d, w > 1 ? message("_w", w) : ""),
            .kind = LanguageModelKind::crossbatch,
            .positives = w,
            .contexts = doubled_contexts(d, steps)};
}

std::vector<LanguageModelRecipe> recipes(const TextSettings& settings) {
    std::vector<LanguageModelRecipe> list{{.name = "standard", .kind = LanguageModelKind::standard}};
    for (const Index w : {1, 2})
        for (const Index d : {Index(1), Index(2), settings.contexts})
            if (d <= 2 || w == 1) list.push_back(crossbatch(w, d, settings.steps));
    list.push_back({.name = "mt_merged", .kind = LanguageModelKind::crossbatch, .differentiable = false});
    return list;
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(argc, argv, "How far beyond its training length does a model use its own document?", [](Example& example) {
        TextSettings settings;
        Index smallest = 128, largest = 0, top_k = 128;
        add_text_options(example, settings, {12, 800, 3000}, {4, 16, 32});
        example.option("--smallest", smallest, "smallest memory, tokens; each further one is four times as large");
        example.option("--largest", largest, Scaled<Index>{2048, 16384, 16384}, "largest memory, tokens");
        example.option("--top-k", top_k, "retrieved entries per query and head; 0: the whole memory");
        example.parse();

        const CorpusSplit split = load_split(settings);
        const std::vector<Index> sizes = memory_ladder(smallest, largest);
        const auto own = [&](Index tokens) { return MemoryCondition{MemoryScope::single_document, tokens, top_k}; };
        MemoryCurveOptions options{
            .conditions = {}, .window = settings.length, .scored_windows = settings.queries, .score_from = largest};
        for (const Index size : sizes) options.conditions.push_back(own(size));
        const std::vector<LanguageModelRecipe> models = recipes(settings);
        const MemoryCurves curves = train_and_measure(example, settings, models, split, {}, options);

        Plot plot{.name = "bits_per_byte",
                  .title = "A memory of the own document, far beyond the training length",
                  .x_label = "memory tokens",
                  .y_label = "bits per byte",
                  .log_x = true};
        std::vector<std::string> head{"memory tokens"};
        for (const LanguageModelRecipe& recipe : models) head.push_back(recipe.name);
        Table bits(head);
        for (const Index size : sizes) {
            std::vector<std::string> cells{count_text(size)};
            for (const LanguageModelRecipe& recipe : models) {
                const Estimate estimate = curves.bits_per_byte(recipe.name, own(size));
                cells.push_back(fixed(estimate.value));
                example.report().result(message("bits_per_byte.", recipe.name, ".", size), estimate.value);
            }
            bits.add_row(cells);
        }
        for (const LanguageModelRecipe& recipe : models)
            plot.series.push_back(curve_series(curves, recipe.name, recipe.name, sizes, own));

        const std::vector<std::pair<std::string, std::string>> pairs{{"crossbatch_2", "crossbatch_1"},
                                                                     {"crossbatch_1_w2", "crossbatch_1"},
                                                                     {"crossbatch_2_w2", "crossbatch_2"},
                                                                     {message("crossbatch_", settings.contexts), "crossbatch_1"},
                                                                     {"crossbatch_1", "mt_merged"}};
        head.resize(1);
        for (const auto& [a, b] : pairs) head.push_back(message(a, " - ", b));
        Table differences(head);
        for (const Index size : sizes) {
            std::vector<std::string> cells{count_text(size)};
            for (const auto& [a, b] : pairs) {
                const Estimate difference = curves.difference(a, own(size), b, own(size));
                cells.push_back(estimate_text(difference));
                report_difference(example.report(), a, b, size, difference);
            }
            differences.add_row(cells);
        }
        example.out() << "\nBits per byte on test documents from their byte " << largest << " on\n\n"
                      << bits << "\nDifferences on the same documents (below 0: the first is better), " << intervals_over(settings)
                      << "\n\n"
                      << differences;
        example.report().csv("bits_per_byte_by_seed", curves.csv(example.seed()));
        example.report().plot(plot);
    });
}
