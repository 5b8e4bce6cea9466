/// What happens to a language model when its memory fills with other documents?   (claims C3 and C7)
///
/// Models of the same shape, data, steps and optimiser read a stream of held-out documents into one memory, the oldest entries
/// leave first, and predict some windows of each document with the last 0 ... 524288 tokens of the stream. The own document comes
/// first, then more and more of others, which can only distract. A model that keeps its attention on its own document loses little.
///
///     standard         local context alone in training; with memory 0 it is the model without memory to be beaten
///     crossbatch_<n>   trained with n contexts in the end: crossbatch_1 never met another document
///     mt               the Memorizing Transformer. With a memory that is cleared at each document it is the soft bound: nothing
///                      can distract it there
///
/// Data:    the libstdc++ headers that come with g++ (--corpus DIR[:GLOB] for other text, one file one document).
/// Time:    not timed yet at default size; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/multi_document_perplexity
/// Expect:  below the model without memory at first; crossbatch_1 turns up as the memory grows, more contexts later and less.
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
            MemorySettings memory;
            add_text_options(example, settings, {12, 800, 3000}, {16, 32, 32});
            add_memory_options(example, memory, {8192, 524288, 524288});
            example.parse();

            const CorpusSplit split = load_split(settings);
            const std::vector<TokenDocument> before = documents_before(split, memory);
            const std::vector<Index> sizes = memory_ladder(memory.smallest, memory.largest);
            example.out() << split.train.size() << " documents for training, " << split.test.size()
                          << " for testing after a stream of " << before.size() << " others\n\n";

            const ConditionOf multi = reading(MemoryScope::multi_document, memory),
                              single = reading(MemoryScope::single_document, memory);
            const MemoryCurveOptions options = curve_options(settings, sizes, {multi, single});
            const bool compare = memory.checkpoint.empty();
            const std::vector<TrainingPlan> models =
                unless_checkpoint(memory, settings, plans_of(recipes(settings), settings.steps));
            const std::string bare = models.front().name;  // without memory: to be beaten
            const MemoryCurves curves = train_and_measure(example, settings, memory, models, split, before, options);

            Plot plot{.name = "bits_per_byte",
                      .title = "A memory that fills with other documents",
                      .x_label = "memory tokens",
                      .y_label = "bits per byte",
                      .log_x = true};
            Table bits({"model", "memory", "memory tokens", "bits/byte", "against no memory"});
            const auto add_curve = [&](const std::string& model, const ConditionOf& condition, const std::string& name) {
                for (const Index size : sizes)
                    bits.add(model, condition(size).scope == MemoryScope::multi_document ? "stream" : "own document",
                             count_text(size), estimate_text(curves.bits_per_byte(model, condition(size))),
                             estimate_text(curves.difference(model, condition(size), bare, multi(0))));
                plot.series.push_back(curve_series(curves, model, name, sizes, condition));
            };
            for (const TrainingPlan& plan : models) add_curve(plan.name, multi, plan.name);
            add_curve(compare ? "mt" : bare, single, message(compare ? "mt" : bare, ", own document only"));
            Series none{.name = message(bare, ", no memory"), .x = {}, .y = {}, .style = Style::guide};
            for (const Index size : sizes)
                if (size > 0) none.add(static_cast<double>(size), curves.bits_per_byte(bare, multi(0)).value);
            plot.series.push_back(none);
            example.out() << "\nBits per byte on test documents, " << intervals_over(settings) << "\n\n" << bits;

            for (const TrainingPlan& plan : models)
                for (const Index size : sizes)
                    example.report().result(message("bits_per_byte.", plan.name, ".", size),
                                            curves.bits_per_byte(plan.name, multi(size)).value);
            if (compare) {
                const std::string most = models.back().name;
                compare_models(example, settings, curves, sizes,
                               {{"crossbatch_8", multi, "crossbatch_1", multi},
                                {most, multi, "crossbatch_1", multi},
                                {most, multi, "mt", single}});
            }
            example.report().csv("bits_per_byte_by_seed", curves.csv(example.seed()));
            example.report().plot(plot);
        });
}
