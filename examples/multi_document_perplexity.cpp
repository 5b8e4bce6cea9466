/// What happens to a language model when its memory fills with other documents?   (claims C3 and C7)
///
/// Models of the same shape, data, steps and optimiser read a stream of held-out documents into one memory, the oldest entries
/// leave first, and predict some windows of each document with the last 0 ... 524288 tokens of the stream. The own document comes
/// first, then more and more of others, which can only distract. A model that keeps its attention on its own document loses little.
///
///     standard         local context alone in training; with memory 0 it is the model without memory to be beaten
///     crossbatch_<n>   trained with n contexts in the end: crossbatch_1 never met another document
///     mt               the Memorizing Transformer. With a memory that is cleared at each document it is the soft bound: nothing
///     can
///                      distract it
///
/// Data:    the libstdc++ headers that come with g++ (--corpus DIR[:GLOB] for other text, one file one document).
/// Time:    about 18 minutes on two cores, about two gigabytes; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/multi_document_perplexity
/// Expect:  below the model without memory at first; crossbatch_1 turns up as the memory grows, more contexts turn up later and
/// less.
#include "support/memory_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

std::vector<LanguageModelRecipe> recipes(const TextSettings& settings) {
    using enum LanguageModelKind;
    std::vector<LanguageModelRecipe> list{{.name = "standard", .kind = standard},
                                          {.name = "mt", .kind = memorizing, .integration = Integration::gated}};
    for (const Index contexts : {1, 2, 8})
        list.push_back(
            {.name = message("crossbatch_", contexts), .kind = crossbatch, .contexts = doubled_contexts(contexts, settings.steps)});
    // The paper's schedule: 2 contexts, and many for the last tenth of the training.
    if (settings.contexts > 8)
        list.push_back({.name = message("crossbatch_", settings.contexts),
                        .kind = crossbatch,
                        .contexts = ContextSchedule::at_steps(
                            {{0, 1}, {3 * settings.steps / 10, 2}, {9 * settings.steps / 10, settings.contexts}})});
    return list;
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(
        argc, argv, "What happens to a language model when its memory fills with other documents?", [](Example& example) {
            TextSettings settings;
            Index smallest = 512, largest = 0, top_k = 128;
            add_text_options(example, settings, {12, 800, 3000}, {16, 32, 32});
            example.option("--smallest", smallest, "smallest memory, tokens; each further one is four times as large");
            example.option("--largest", largest, Scaled<Index>{8192, 524288, 524288}, "largest memory, tokens");
            example.option("--top-k", top_k, "retrieved entries per query and head; 0: the whole memory");
            example.parse();

            const CorpusSplit split = load_split(settings);
            const std::vector<TokenDocument> before = byte_documents(split.validation);
            Index held = 0;
            for (const TokenDocument& document : before) held += document.length();
            const std::vector<Index> sizes = memory_ladder(smallest, largest);
            example.out() << split.train.size() << " documents for training, " << split.test.size()
                          << " for testing after a stream of " << count_text(held) << " tokens of " << before.size()
                          << " others\n\n";
            require<DataError>(held >= largest, "multi_document_perplexity: the validation documents have ", held,
                               " tokens, expected the largest memory, ", largest, ", or more (--largest N makes it smaller)");

            const auto multi = [&](Index tokens) { return MemoryCondition{MemoryScope::multi_document, tokens, top_k}; };
            const auto single = [&](Index tokens) { return MemoryCondition{MemoryScope::single_document, tokens, top_k}; };
            MemoryCurveOptions options{.conditions = {}, .window = settings.length, .scored_windows = settings.queries};
            for (const Index size : sizes)
                for (const MemoryCondition& at : {multi(size), single(size)}) options.conditions.push_back(at);

            const std::vector<LanguageModelRecipe> models = recipes(settings);
            const MemoryCurves curves = train_and_measure(example, settings, models, split, before, options);

            Plot plot{.name = "bits_per_byte",
                      .title = "A memory that fills with other documents",
                      .x_label = "memory tokens",
                      .y_label = "bits per byte",
                      .log_x = true};
            Table bits({"model", "memory", "memory tokens", "bits/byte", "against no memory"});
            const auto add_curve = [&](const std::string& model, const auto& condition, const std::string& name) {
                for (const Index size : sizes)
                    bits.add(model, condition(size).scope == MemoryScope::multi_document ? "stream" : "own document",
                             count_text(size), estimate_text(curves.bits_per_byte(model, condition(size))),
                             estimate_text(curves.difference(model, condition(size), "standard", multi(0))));
                plot.series.push_back(curve_series(curves, model, name, sizes, condition));
            };
            for (const LanguageModelRecipe& recipe : models) add_curve(recipe.name, multi, recipe.name);
            add_curve("mt", single, "mt, own document only");
            Series none{.name = "standard, no memory", .x = {}, .y = {}, .style = Style::guide};
            for (const Index size : sizes)
                if (size > 0) none.add(static_cast<double>(size), curves.bits_per_byte("standard", multi(0)).value);
            plot.series.push_back(none);
            example.out() << "\nBits per byte on test documents, " << intervals_over(settings) << "\n\n" << bits;

            const std::string most = models.back().name;
            Table differences({"memory tokens", "crossbatch_8 - crossbatch_1", message(most, " - crossbatch_1"),
                               message(most, " - mt, own document")});
            for (const LanguageModelRecipe& recipe : models)
                for (const Index size : sizes)
                    example.report().result(message("bits_per_byte.", recipe.name, ".", size),
                                            curves.bits_per_byte(recipe.name, multi(size)).value);
            for (const Index size : sizes) {
                const Estimate eight = curves.difference("crossbatch_8", multi(size), "crossbatch_1", multi(size)),
                               many = curves.difference(most, multi(size), "crossbatch_1", multi(size)),
                               bound = curves.difference(most, multi(size), "mt", single(size));
                differences.add(count_text(size), estimate_text(eight), estimate_text(many), estimate_text(bound));
                report_difference(example.report(), "crossbatch_8", "crossbatch_1", size, eight);
                if (most != "crossbatch_8") report_difference(example.report(), most, "crossbatch_1", size, many);
                report_difference(example.report(), most, "mt_single", size, bound);
            }
            example.out() << "\nDifferences on the same documents, bits per byte (below 0: the first is better), "
                          << intervals_over(settings) << "\n\n"
                          << differences;
            example.report().csv("bits_per_byte_by_seed", curves.csv(example.seed()));
            example.report().plot(plot);
        });
}
