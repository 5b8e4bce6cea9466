/// How far beyond its training length does a model use its own document?   (claims C5, C6 and C15)
///
/// Models of the same shape, data, steps and optimiser are trained on local contexts of 128 bytes with one or two previous ones.
/// Then they read long held-out documents with a memory of the document so far, up to many times the length of training. The
/// windows to be predicted lie so deep in their document that every memory size can be filled.
///
///     crossbatch_<d>[_w2]     w = 1 (or 2) previous contexts of each of d documents, the query's own included   (C5)
///     crossbatch_1_detached   as crossbatch_1, but keys and values of the previous context are constants: a
///                             Memorizing Transformer whose memory is the previous context                       (C6)
///     mt_merged               the Memorizing Transformer with the memory that it fills as it reads              (C15)
///
/// Why it may work: the memory layer has no positions, so nothing in it depends on the length of the text.
///
/// Source: paper section 5.4, Figure 9 and Table 11 (C5); appendix C.1, Table 8 (C6, C15). Bits per byte here.
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text).
/// Time:    about eight minutes on two cores; --quick: seconds; --full: three seeds, twice the places measured.
/// Command: build/release/examples/context_extrapolation
/// Expect:  with a memory, w = 2 is below w = 1, and mt_merged and crossbatch_1_detached are above crossbatch_1. With a long memory
///          (16384 bytes) d = 2 is below d = 1.
#include "support/long_documents.hpp"

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
    return {{.name = "standard", .kind = LanguageModelKind::standard},
            crossbatch(1, 1, settings.steps),
            crossbatch(1, 2, settings.steps),
            crossbatch(2, 1, settings.steps),
            crossbatch(2, 2, settings.steps),
            crossbatch(1, settings.contexts, settings.steps),
            {.name = "crossbatch_1_detached", .kind = LanguageModelKind::crossbatch, .differentiable = false},
            {.name = "mt_merged", .kind = LanguageModelKind::memorizing, .walk_windows = settings.walk_windows}};
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "How far beyond its training length does a model use its own document?");
    TextSettings settings;
    MemorySettings memory{.smallest = 128};
    add_text_options(example, settings, {12, 600, 600}, {4, 32, 32});
    add_comparison_options(example, settings);
    add_walk_option(example, settings);
    add_memory_options(example, memory, {2048, 16384, 16384}, {8192, 65536, 65536});
    example.parse();

    const std::vector<LanguageModelRecipe> plans = chosen_plans(example, memory, settings, recipes(settings));
    const MemoryCurves curves = long_document_curves(
        example, settings, memory, plans, [&](const auto& plan, const std::vector<TokenDocument>& training, std::uint64_t seed) {
            return trained_text_model(example, settings, plan, training, seed);
        });
    const Reading own = own_document(memory);
    const std::string many = message("crossbatch_", settings.contexts);
    compare_models(example, curves, memory_sizes(memory),
                   {{"crossbatch_2", "crossbatch_1", own},
                    {"crossbatch_1_w2", "crossbatch_1", own},
                    {"crossbatch_2_w2", "crossbatch_1_w2", own},
                    {"crossbatch_2_w2", "crossbatch_2", own},
                    {many, "crossbatch_1", own},
                    {many, "crossbatch_2", own},
                    {"crossbatch_1", "crossbatch_1_detached", own},
                    {"crossbatch_1", "mt_merged", own}});
    return example.finish();
} catch (...) {
    return report_failure();
}
