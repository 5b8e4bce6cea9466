/// Is it better to train on a memory, or by crossbatch and then briefly on a memory?   (claims C8 and C9)
///
/// A Memorizing Transformer fills a memory as it reads and attends to it from the start, but no gradient passes through the memory:
/// it takes keys and values as it finds them. FoT trains without any memory. It can be tuned on one at the end, because it has the
/// parameters of a plain model. With the same number of steps in total, under one schedule of the learning rate:
///
///     mt, mt_merged              the memory throughout; joined to the local context by a learned gate, or by one softmax
///     crossbatch_<n>             only crossbatch, one softmax
///     crossbatch_<n>_tuned       the last twentieth of the steps on a memory, one softmax, as mt_merged              (C8)
///     crossbatch_<n>_gated_tuned the same with a gate                                                                (C9)
///
/// C9 says that one softmax and a gate give the same curve. It is reproduced if the interval of their difference lies within 0.02
/// bits per byte on either side (the rule of verdicts, paper_notes.md).
///
/// Source: paper appendix C.3, Figure 7 (C8); appendix B.2, Figure 4 (C9). Bits per byte here.
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text).
/// Time:    about six minutes on two cores; --quick: seconds; --full: three seeds, twice the places measured.
/// Command: build/release/examples/memorizing_transformer          (--memory-heads 4: a gate per head can specialise)
/// Expect:  the tuned models below mt and mt_merged; mt_merged below mt with a small memory; with a large memory and a single
///          memory head the difference is not resolved (C9); after crossbatch one softmax better than a gate at this size.
#include "support/long_documents.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// A model of the comparison: one training, or a tuning on a memory after it, under one schedule of the learning rate.
struct Plan {
    std::string name;
    LanguageModelRecipe first = {};
    std::optional<LanguageModelRecipe> tuning = {};
};

std::vector<LanguageModelRecipe> trainings_of(const Plan& plan) {
    return plan.tuning ? std::vector{plan.first, *plan.tuning} : std::vector{plan.first};
}

/// The last twentieth of the steps: short, as 1k steps of 500k are in the paper, but long enough to be a training at this size.
Index tuning_steps(const TextSettings& settings) { return std::max<Index>(1, settings.steps / 20); }

std::vector<Plan> all_plans(const TextSettings& settings) {
    const auto memory = [&](const char* name, Integration integration) {
        return LanguageModelRecipe{
            .name = name, .kind = LanguageModelKind::memorizing, .integration = integration, .walk_windows = settings.walk_windows};
    };
    const std::string crossbatch_name = message("crossbatch_", settings.contexts);
    const auto crossbatch = [&](const char* suffix, Integration integration, Index steps) {
        return LanguageModelRecipe{.name = crossbatch_name + suffix,
                                   .kind = LanguageModelKind::crossbatch,
                                   .integration = integration,
                                   .contexts = doubled_contexts(settings.contexts, steps)};
    };
    const auto gated = Integration::gated, merged = Integration::merged;
    const Index before = settings.steps - tuning_steps(settings);
    return {{"mt", memory("mt", gated)},
            {"mt_merged", memory("mt_merged", merged)},
            {crossbatch_name, crossbatch("", merged, settings.steps)},
            {crossbatch_name + "_tuned", crossbatch("", merged, before), memory("mt_merged", merged)},
            {crossbatch_name + "_gated_tuned", crossbatch("_gated", gated, before), memory("mt", gated)}};
}

Transformer<float> trained_model(const Example& example, const TextSettings& settings, const Plan& plan,
                                 const std::vector<TokenDocument>& training, std::uint64_t seed) {
    if (!plan.tuning) return trained_text_model(example, settings, plan.first, training, seed);
    Random random(seed);
    Transformer<float> model = new_text_model(settings, random, plan.first.integration);
    TextModelFile file(example, settings, model.config(), seed);
    const Index all = settings.steps, tuning = tuning_steps(settings);
    train_text_model(settings, plan.first, {all - tuning, 0, all}, training, file, model);
    train_text_model(settings, *plan.tuning, {tuning, all - tuning, all}, training, file, model);
    return model;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Is it better to train on a memory, or by crossbatch and then briefly on a memory?");
    TextSettings settings;
    MemorySettings memory{.smallest = 128};
    add_text_options(example, settings, {12, 600, 600}, {2, 8, 8});
    add_comparison_options(example, settings);
    add_walk_option(example, settings);
    add_memory_options(example, memory, {2048, 16384, 16384}, {8192, 65536, 65536});
    example.parse();

    const std::vector<Plan> plans = chosen_plans(example, memory, settings, all_plans(settings));
    const MemoryCurves curves = long_document_curves(
        example, settings, memory, plans, [&](const Plan& plan, const std::vector<TokenDocument>& training, std::uint64_t seed) {
            return trained_model(example, settings, plan, training, seed);
        });
    const Reading own = own_document(memory);
    const std::string trained = message("crossbatch_", settings.contexts), tuned = trained + "_tuned",
                      gated = trained + "_gated_tuned";
    compare_models(
        example, curves, memory_sizes(memory),
        {{tuned, "mt_merged", own}, {gated, "mt", own}, {tuned, trained, own}, {"mt_merged", "mt", own}, {tuned, gated, own}});
    return example.finish();
} catch (...) {
    return report_failure();
}
