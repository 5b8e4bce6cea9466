/// What happens to a language model when its memory fills with other documents?   (claims C3, C7 and C16)
///
/// Models of the same shape, data, steps and optimiser read a stream of held-out documents into one memory, whose oldest entries
/// leave first. They predict some windows of each document with the last 0 ... 524288 tokens of the stream. First the memory holds
/// their own document, then more and more of others, which can only distract. A model whose queries attend to their own document
/// loses little.
///
///     standard              only local context in training; with no memory it is the model that the others must beat
///     crossbatch_<n>        trained with n contexts in the end, 1, 2, 4, ... before; crossbatch_1 never met another document
///     crossbatch_<n>_late   2 contexts, and n only in the last tenth of the training, as in the paper's 2 -> 64
///     mt                    the Memorizing Transformer. Nothing can distract it with a memory that is cleared at each document;
///                           even so, crossbatch_8 with a memory of many documents is better up to 128K tokens
///     mt_8                  the same, but eight documents share a memory: it meets other documents in training, as crossbatch_8
///                           does, and gets no gradient for their keys (C16). Like mt it reads on, so it sees less varied text
///     crossbatch_8_detached crossbatch_8 without that gradient, on the same text: what the gradient alone is worth
///
/// Source: paper section 5.3, Figure 8 (C3); appendix C.2, Figure 6 (C7); appendix, Figure 5 (C16). Bits per byte here.
/// Data:    the libstdc++ headers that come with g++ (--corpus DIR[:GLOB] for other text, one file one document). 64 contexts need
///          64 documents at a time; libstdc++ has 49 for training, so the default is 32.
/// Time:    about 12 minutes on two cores without mt_8 and crossbatch_8_detached, which were not timed; --quick: seconds; --full:
///          three seeds, twice the places measured.
/// Memory:  0.5 GiB for the stream: 512K keys and values of 128 numbers, a kilobyte per token.
/// Command: build/release/examples/multi_document_perplexity
/// Expect:  the crossbatch models are below the model without memory at first; crossbatch_1 rises again as the memory grows, the
///          others later and less.
#include <set>

#include "support/memory_reports.hpp"

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
        {.name = "mt", .kind = memorizing, .integration = Integration::gated, .walk_windows = settings.walk_windows},
        {.name = "mt_8",
         .kind = memorizing,
         .integration = Integration::gated,
         .memory_tokens = 4096,
         .sharers = 8,
         .walk_windows = settings.walk_windows},
        {.name = "crossbatch_8_detached",
         .kind = crossbatch,
         .contexts = doubled_contexts(8, settings.steps),
         .differentiable = false}};
    for (const Index contexts : std::set<Index>{1, 2, 8, settings.contexts})
        list.push_back(crossbatch_with(contexts, "", doubled_contexts(contexts, settings.steps)));
    list.push_back(crossbatch_with(
        settings.contexts, "_late",
        ContextSchedule::at_steps({{0, 1}, {3 * settings.steps / 10, 2}, {9 * settings.steps / 10, settings.contexts}})));
    return list;
}

/// How many entries are retrieved at the largest memory: a table, and the differences to the usual number.
void report_top_ks(Example& example, const MemoryCurves& curves, const MemorySettings& memory) {
    const auto at = [&](Index k) { return MemoryCondition{MemoryScope::multi_document, memory.largest, k}; };
    std::vector<std::string> head{"model", message("k = ", memory.top_k)};
    for (const Index k : memory.other_top_ks) head.push_back(k == 0 ? "all" : message("k = ", k));
    Table table(head);
    for (const std::string& model : curves.models()) {
        std::vector<std::string> cells{model, fixed(curves.bits_per_byte(model, at(memory.top_k)).value)};
        for (const Index k : memory.other_top_ks) {
            const Estimate difference = curves.difference(model, at(k), model, at(memory.top_k));
            cells.push_back(message(fixed(curves.bits_per_byte(model, at(k)).value), ", ", estimate_text(difference)));
            const std::string suffix = k == 0 ? "_all" : message("_top", k);
            example.result(message("difference.", model, suffix, "-", model, ".", memory.largest), difference);
        }
        table.add_row(cells);
    }
    example.show(message("How many of ", count_text(memory.largest),
                         " entries are retrieved: bits per byte, and the difference to k = ", memory.top_k),
                 table);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "What happens to a language model when its memory fills with other documents?");
    TextSettings settings;
    MemorySettings memory{.other_top_ks = {32, 0}};
    add_text_options(example, settings, {12, 600, 600}, {16, 32, 32});
    add_comparison_options(example, settings);
    add_walk_option(example, settings);
    add_memory_options(example, memory, {8192, 524288, 524288}, {8192, 32768, 32768});
    example.option("--other-top-k", memory.other_top_ks, "measured as well at the largest memory; 0: the whole of it");
    example.parse();
    std::erase(memory.other_top_ks, memory.top_k);  // measured anyway

    const std::vector<LanguageModelRecipe> plans = chosen_plans(example, memory, settings, recipes(settings));
    const CorpusSplit split = split_of(settings, memory, memory.largest);
    const std::vector<TokenDocument> training = byte_documents(split.train), before = documents_before(split, memory),
                                     test = measured_documents(split, memory);
    example.out() << training.size() << " documents for training, " << test.size() << " for testing after a stream of "
                  << before.size() << " others\n\n";

    const std::vector<Index> sizes = memory_sizes(memory);
    const Reading stream{MemoryScope::multi_document, memory.top_k}, own{MemoryScope::single_document, memory.top_k},
        bare{MemoryScope::multi_document, memory.top_k, true};
    MemoryCurveOptions options = curve_options(settings, sizes, {stream, own});
    for (const Index k : memory.other_top_ks) options.conditions.push_back({MemoryScope::multi_document, memory.largest, k});
    require_measurable(settings.corpus, test, options);
    if (memory.checkpoint.empty()) require_trainable(settings, plans, training);
    MemoryCurves curves;
    for (const std::uint64_t seed : example.seeds())
        for (const LanguageModelRecipe& plan : plans) {
            Transformer<float> model = memory.checkpoint.empty() ? trained_text_model(example, settings, plan, training, seed)
                                                                 : stored_text_model(memory.checkpoint, settings);
            curves.add(plan.name, measured_curve(model, test, before, options, message(plan.name, ", seed ", seed)));
        }

    const std::string first = plans.front().name, bound = curves.has("mt") ? "mt" : first;
    Series alone{bound + ": own document only"}, none{first + ": no memory"};  // the soft bound, and what is to be beaten
    for (const Index size : sizes) {
        const Estimate estimate = curves.bits_per_byte(bound, own.with(size));
        example.result(message("bits_per_byte.", bound, "_single.", size), estimate.value);
        if (size == 0) continue;
        alone.add(size, estimate);
        none.add(size, curves.bits_per_byte(first, bare.with(size)).value);
    }
    report_curves(example, curves, sizes, stream, "A memory that fills with other documents: bits per byte", {alone, none});
    report_top_ks(example, curves, memory);
    report_changes(example, curves, stream, memory.smallest, memory.largest);
    const std::string many = message("crossbatch_", settings.contexts);
    compare_models(example, curves, sizes,
                   {{"crossbatch_2", "crossbatch_1", stream},
                    {"crossbatch_8", "crossbatch_1", stream},
                    {many, "crossbatch_1", stream},
                    {"crossbatch_8", "crossbatch_2", stream},
                    {many, "crossbatch_8", stream},
                    {many + "_late", "crossbatch_2", stream},
                    {"crossbatch_8", "mt_8", stream},
                    {"crossbatch_8", "crossbatch_8_detached", stream},
                    {"crossbatch_8", "mt", stream, own},
                    {many, "mt", stream, own},
                    {"crossbatch_8", first, stream, bare},
                    {many, first, stream, bare}});
    return example.finish();
} catch (...) {
    return report_failure();
}
