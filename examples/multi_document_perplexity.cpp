/// What happens to a language model when its memory fills with other documents?   (claims C3 and C7)
///
/// Models of the same shape, data, steps and optimiser read a stream of held-out documents into one memory, the oldest entries
/// leave first, and predict some windows of each document with the last 0 ... 524288 tokens of the stream. The own document comes
/// first, then more and more of others, which can only distract. A model that keeps its attention on its own document loses little.
///
///     standard              local context alone in training; with memory 0 it is the model without memory to be beaten
///     crossbatch_<n>        trained with n contexts in the end, 1, 2, 4, ... before: crossbatch_1 never met another document
///     crossbatch_<n>_late   2 contexts, and n for the last tenth of the training alone, as the paper's 2 -> 64
///     mt                    the Memorizing Transformer. With a memory that is cleared at each document it is the soft bound:
///                           nothing can distract it there
///
/// Data:    the libstdc++ headers that come with g++ (--corpus DIR[:GLOB] for other text, one file one document). 64 contexts take
///          64 documents at a time; libstdc++ has 49 for training, so the default is 32.
/// Time:    about 12 minutes on two cores; --quick: seconds; --full: three seeds, twice the places measured. Of memory the stream
///          takes 0.5 GiB: 512K keys and values of 128 numbers, a kilobyte a token.
/// Command: build/release/examples/multi_document_perplexity
/// Expect:  below the model without memory at first; crossbatch_1 turns up as the memory grows, more contexts later and less.
#include <set>

#include "support/memory_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

std::vector<LanguageModelRecipe> recipes(const TextSettings& settings) {
    using enum LanguageModelKind;
    const auto crossbatch_with = [&](Index contexts, const char* suffix, ContextSchedule schedule) {
        return LanguageModelRecipe{
            .name = message("crossbatch_", contexts, suffix), .kind = crossbatch, .contexts = std::move(schedule)};
    };
    std::vector<LanguageModelRecipe> list{
        {.name = "standard", .kind = standard},
        {.name = "mt", .kind = memorizing, .integration = Integration::gated, .walk_windows = settings.walk_windows}};
    for (const Index contexts : std::set<Index>{1, 2, 8, settings.contexts})
        list.push_back(crossbatch_with(contexts, "", doubled_contexts(contexts, settings.steps)));
    list.push_back(crossbatch_with(
        settings.contexts, "_late",
        ContextSchedule::at_steps({{0, 1}, {3 * settings.steps / 10, 2}, {9 * settings.steps / 10, settings.contexts}})));
    return list;
}

/// How many entries are retrieved at the largest memory: a table, and the differences to the usual number.
void report_top_ks(Example& example, const MemoryCurves& curves, const std::vector<TrainingPlan>& models,
                   const MemorySettings& memory) {
    const auto at = [&](Index k) { return MemoryCondition{MemoryScope::multi_document, memory.largest, k}; };
    std::vector<std::string> head{"model", message("k = ", memory.top_k)};
    for (const Index k : memory.other_top_ks) head.push_back(k == 0 ? "all" : message("k = ", k));
    Table table(head);
    for (const TrainingPlan& plan : models) {
        std::vector<std::string> cells{plan.name, fixed(curves.bits_per_byte(plan.name, at(memory.top_k)).value)};
        for (const Index k : memory.other_top_ks) {
            const Estimate difference = curves.difference(plan.name, at(k), plan.name, at(memory.top_k));
            cells.push_back(message(fixed(curves.bits_per_byte(plan.name, at(k)).value), ", ", estimate_text(difference)));
            report_interval(
                example.report(),
                message("difference.", plan.name, k == 0 ? "_all" : message("_top", k), "-", plan.name, ".", memory.largest),
                difference);
        }
        table.add_row(cells);
    }
    example.out() << "\nHow many of " << count_text(memory.largest)
                  << " entries are retrieved: bits per byte, and the difference to k = " << memory.top_k << "\n\n"
                  << table;
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(
        argc, argv, "What happens to a language model when its memory fills with other documents?", [](Example& example) {
            TextSettings settings;
            MemorySettings memory;
            add_text_options(example, settings, {12, 600, 600}, {16, 32, 32});
            add_comparison_options(example, settings);
            add_walk_option(example, settings);
            add_memory_options(example, memory, {8192, 524288, 524288}, {8192, 32768, 32768});
            memory.other_top_ks = {32, 0};
            example.option("--other-top-k", memory.other_top_ks, "measured as well at the largest memory; 0: the whole of it");
            example.parse();
            std::erase(memory.other_top_ks, memory.top_k);  // measured anyway

            const std::vector<TrainingPlan> models = chosen_plans(memory, settings, plans_of(recipes(settings), settings.steps));
            const CorpusSplit split = held_out(settings, memory, memory.largest);
            const std::vector<TokenDocument> before = documents_before(split, memory), test = measured_documents(split, memory);
            const std::vector<Index> sizes = memory_sizes(memory);
            example.out() << split.train.size() << " documents for training, " << test.size() << " for testing after a stream of "
                          << before.size() << " others\n\n";

            const ConditionOf multi = reading(MemoryScope::multi_document, memory.top_k),
                              single = reading(MemoryScope::single_document, memory.top_k), bare = without_memory(multi);
            MemoryCurveOptions options = curve_options(settings, sizes, {multi, single});
            for (const Index k : memory.other_top_ks)
                options.conditions.push_back({MemoryScope::multi_document, memory.largest, k});
            const MemoryCurves curves = train_and_measure(example, settings, memory, models, split, before, options);

            const std::string first = models.front().name;  // without memory: to be beaten
            Plot plot{.name = "bits_per_byte",
                      .title = "A memory that fills with other documents",
                      .x_label = "memory tokens",
                      .y_label = "bits per byte",
                      .log_x = true};
            Table bits({"model", "memory", "memory tokens", "of the own document", "bits/byte", "against no memory"});
            const auto add_curve = [&](const std::string& model, const ConditionOf& condition, const std::string& name) {
                const bool stream = condition(1).scope == MemoryScope::multi_document;
                for (const Index size : sizes) {
                    const Estimate estimate = curves.bits_per_byte(model, condition(size));
                    bits.add(model, stream ? "stream" : "own document", count_text(size),
                             size == 0 || !stream ? "-" : fixed(own_share(test, options, size), 2), estimate_text(estimate),
                             estimate_text(curves.difference(model, condition(size), first, bare(size))));
                    example.report().result(message("bits_per_byte.", model, stream ? "." : "_single.", size), estimate.value);
                }
                plot.series.push_back(curve_series(curves, model, name, sizes, condition));
            };
            for (const TrainingPlan& plan : models) add_curve(plan.name, multi, plan.name);
            const std::string bound = curves.has("mt") ? "mt" : first;
            add_curve(bound, single, bound + ", own document only");
            Series none{.name = message(first, ", no memory"), .x = {}, .y = {}, .style = Style::guide};
            for (const Index size : sizes)
                if (size > 0) none.add(static_cast<double>(size), curves.bits_per_byte(first, bare(size)).value);
            plot.series.push_back(none);
            example.out() << "\nBits per byte on test documents, " << intervals_over(settings) << "\n\n" << bits;

            report_top_ks(example, curves, models, memory);
            report_changes(example, settings, curves, models, multi, memory.smallest, memory.largest);
            if (memory.checkpoint.empty()) {
                const std::string many = message("crossbatch_", settings.contexts);
                compare_models(example, settings, curves, sizes,
                               {{"crossbatch_2", multi, "crossbatch_1", multi},
                                {"crossbatch_8", multi, "crossbatch_1", multi},
                                {many, multi, "crossbatch_1", multi},
                                {"crossbatch_8", multi, "crossbatch_2", multi},
                                {many, multi, "crossbatch_8", multi},
                                {many + "_late", multi, "crossbatch_2", multi},
                                {"crossbatch_8", multi, "mt", single},
                                {many, multi, "mt", single},
                                {"crossbatch_8", multi, first, bare},
                                {many, multi, first, bare}});
            }
            example.report().csv("bits_per_byte_by_seed", curves.csv(example.seed()));
            example.report().plot(plot);
        });
}
