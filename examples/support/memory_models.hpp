/// The models whose memories are compared: four trainings, each with queries and keys of length one and with queries and keys of
/// any length.
///
///     standard        only the local context in training
///     crossbatch_1    the previous context of the query's own document
///     crossbatch_<n>  the same, and in the end previous contexts of n - 1 other documents
///     mt              the Memorizing Transformer
///     ..._unnormalized  the same with scores <q, k> / sqrt(D), without QK-norm and temperature
///
/// Read first: support/text_models.hpp.   Read next: support/memory_snapshot.hpp.
#pragma once

#include "text_models.hpp"

namespace fot::examples {

/// One of the models: a training, and whether queries and keys keep their lengths.
struct MemoryModelPlan {
    std::string name = {};
    LanguageModelRecipe recipe = {};
    bool unnormalized = false;
};

/// All of them.
inline std::vector<MemoryModelPlan> memory_model_plans(const TextSettings& settings) {
    using enum LanguageModelKind;
    std::vector<MemoryModelPlan> plans;
    for (const bool unnormalized : {false, true}) {
        const auto add = [&](LanguageModelRecipe recipe) {
            recipe.name += unnormalized ? "_unnormalized" : "";
            plans.push_back({recipe.name, recipe, unnormalized});
        };
        add({.name = "standard", .kind = standard});
        add({.name = "crossbatch_1", .kind = crossbatch});
        add({.name = message("crossbatch_", settings.contexts),
             .kind = crossbatch,
             .contexts = doubled_contexts(settings.contexts, settings.steps)});
        add({.name = "mt", .kind = memorizing, .integration = Integration::gated, .walk_windows = settings.walk_windows});
    }
    return plans;
}

/// A model of the comparison, trained, or read from its file if it is there.
inline Transformer<float> trained_memory_model(const Example& example, TextSettings settings, const MemoryModelPlan& plan,
                                               const std::vector<TokenDocument>& documents, std::uint64_t seed) {
    require<ConfigError>(!settings.unnormalized_heads, "--unnormalized-heads: name models instead, --only standard_unnormalized");
    settings.unnormalized_heads = plan.unnormalized;
    return trained_text_model(example, settings, plan.recipe, documents, seed);
}

}  // namespace fot::examples
