/// Is it better to train on a memory, or by crossbatch and then shortly on a memory?   (claims C8 and C9)
///
/// A Memorizing Transformer fills a memory as it reads and attends to it from the start, but nothing is learned through the
/// memory: it takes keys and values as it finds them. FoT trains without any memory, and can be tuned on one at the end, since it
/// has no parameter more than a plain model. With the same steps in all, under one schedule of the learning rate:
///
///     mt, mt_merged              the memory throughout; joined to the local context by a learned gate, or by one softmax
///     crossbatch_<n>             by crossbatch alone, one softmax
///     crossbatch_<n>_tuned       and the last twentieth of the steps on a memory as mt_merged has it               (C8)
///     crossbatch_<n>_gated_tuned the same with a gate                                                              (C9)
///
/// C9 says that two curves coincide: reproduced if the interval of their difference lies within 0.02 bits per byte on either side.
///
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text).
/// Time:    about six minutes on two cores; --quick: seconds; --full: three seeds, twice the places measured.
/// Command: build/release/examples/memorizing_transformer          --memory-heads 4   where a gate per head can specialise
/// Expect:  the tuned models below mt and mt_merged; mt_merged below mt with a small memory and above it with a large one; after
///          crossbatch one softmax is better than a gate at this size.
#include "support/memory_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// The last twentieth of the steps: short, as 1k steps of 500k are in the paper, but long enough to be a training at this size.
std::vector<TrainingPlan> plans(const TextSettings& settings) {
    const Index tuning = std::max<Index>(1, settings.steps / 20), before = settings.steps - tuning;
    const auto memory = [&](const char* name, Integration integration) {
        return LanguageModelRecipe{
            .name = name, .kind = LanguageModelKind::memorizing, .integration = integration, .walk_windows = settings.walk_windows};
    };
    const auto crossbatch = [&](const char* suffix, Integration integration, Index steps) {
        return LanguageModelRecipe{.name = message("crossbatch_", settings.contexts, suffix),
                                   .kind = LanguageModelKind::crossbatch,
                                   .integration = integration,
                                   .contexts = doubled_contexts(settings.contexts, steps)};
    };
    const auto tuned = [&](const char* suffix, const LanguageModelRecipe& first, const LanguageModelRecipe& then) {
        return TrainingPlan{.name = message("crossbatch_", settings.contexts, suffix),
                            .phases = {{first, before}, {then, tuning}},
                            .one_schedule = true};
    };
    const auto gated = Integration::gated, merged = Integration::merged;
    std::vector<TrainingPlan> list =
        plans_of({memory("mt", gated), memory("mt_merged", merged), crossbatch("", merged, settings.steps)}, settings.steps);
    list.push_back(tuned("_tuned", crossbatch("", merged, before), memory("mt_merged", merged)));
    list.push_back(tuned("_gated_tuned", crossbatch("_gated", gated, before), memory("mt", gated)));
    return list;
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(
        argc, argv, "Is it better to train on a memory, or by crossbatch and then shortly on a memory?", [](Example& example) {
            TextSettings settings;
            MemorySettings memory{.smallest = 128};
            add_text_options(example, settings, {12, 600, 600}, {2, 8, 8});
            add_comparison_options(example, settings);
            add_walk_option(example, settings);
            add_memory_options(example, memory, {2048, 16384, 16384}, {8192, 65536, 65536});
            example.parse();

            const std::vector<TrainingPlan> models = plans(settings);
            const std::string trained = models[2].name, tuned = models[3].name, gated = models[4].name;
            compare_on_own_document(example, settings, memory, models,
                                    {{tuned, "mt_merged"}, {gated, "mt"}, {tuned, trained}, {"mt_merged", "mt"}, {tuned, gated}});
        });
}
