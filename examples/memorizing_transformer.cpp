/// Is it better to train on a memory, or by crossbatch and then shortly on a memory? And does it need a gate?   (claims C8 and C9)
///
/// The Memorizing Transformer (mt) trains on a memory that it fills as it reads; nothing learns through what lies there. A model
/// trained by crossbatch has learned keys that tell documents apart, but never saw a memory. Here it is trained so for most of the
/// steps and for the last twentieth on the memory of mt. All models see the same number of tokens.
///
///     mt, mt_merged                              on the memory throughout, memory and local attention gated or merged in a softmax
///     crossbatch_<n>                             by crossbatch throughout
///     crossbatch_<n>_tuned, crossbatch_<n>_gated_tuned   by crossbatch, then shortly on the memory, merged or gated
///
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text).
/// Time:    not timed yet at default size; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/memorizing_transformer
/// Expect:  the tuned models below mt at every memory size, and merged models beside gated ones.
#include "support/memory_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// The last twentieth of the steps: short, as 1k steps of 500k are in the paper, but long enough to be a training at this size.
std::vector<TrainingPlan> plans(const TextSettings& settings) {
    const Index tuning = std::max<Index>(1, settings.steps / 20), before = settings.steps - tuning;
    const auto memory = [](const char* name, Integration integration) {
        return LanguageModelRecipe{.name = name, .kind = LanguageModelKind::memorizing, .integration = integration};
    };
    const auto crossbatch = [&](const char* suffix, Integration integration, Index steps) {
        return LanguageModelRecipe{.name = message("crossbatch_", settings.contexts, suffix),
                                   .kind = LanguageModelKind::crossbatch,
                                   .integration = integration,
                                   .contexts = doubled_contexts(settings.contexts, steps)};
    };
    const auto gated = Integration::gated, merged = Integration::merged;
    const LanguageModelRecipe plain = crossbatch("", merged, settings.steps);
    return {{"mt", {{memory("mt", gated), settings.steps}}},
            {"mt_merged", {{memory("mt_merged", merged), settings.steps}}},
            {plain.name, {{plain, settings.steps}}},
            {message(plain.name, "_tuned"), {{crossbatch("", merged, before), before}, {memory("mt_merged", merged), tuning}}},
            {message(plain.name, "_gated_tuned"), {{crossbatch("_gated", gated, before), before}, {memory("mt", gated), tuning}}}};
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(argc, argv, "Is it better to train on a memory, or by crossbatch and then shortly on a memory?",
                       [](Example& example) {
                           TextSettings settings;
                           MemorySettings memory{.smallest = 128};
                           add_text_options(example, settings, {12, 800, 3000}, {2, 8, 8});
                           add_memory_options(example, memory, {2048, 16384, 16384});
                           example.parse();

                           const CorpusSplit split = load_split(settings);
                           const std::vector<Index> sizes = memory_ladder(memory.smallest, memory.largest);
                           const ConditionOf own = reading(MemoryScope::single_document, memory);
                           const MemoryCurveOptions options = curve_options(settings, sizes, {own}, memory.largest);
                           const std::vector<TrainingPlan> models = unless_checkpoint(memory, settings, plans(settings));
                           const MemoryCurves curves = train_and_measure(example, settings, memory, models, split, {}, options);

                           report_curves(example, settings, curves, models, sizes, own, "Bits per byte of the own document");
                           if (memory.checkpoint.empty()) {
                               const std::string trained = models[2].name, tuned = models[3].name, gated = models[4].name;
                               compare_models(example, settings, curves, sizes,
                                              {{tuned, own, "mt_merged", own},
                                               {gated, own, "mt", own},
                                               {tuned, own, trained, own},
                                               {"mt_merged", own, "mt", own},
                                               {tuned, own, gated, own}});
                           }
                       });
}
