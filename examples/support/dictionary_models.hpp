/// The models whose memories of definitions are compared, all trained for the same number of steps after a curriculum:
///
///     standard         whole documents in one local context, no memory
///     mt               the same, then as the Memorizing Transformer: a learned gate, no gradient in the keys of the memory
///     crossbatch_<d>   crossbatch on d contexts; the negatives are random
///     hard_16          crossbatch on 16 contexts that spell with 8 of the 61 symbols, so that their keys are near one another
///
/// Programs can share the files of these models.
///
/// Read first: support/dictionary_training.hpp.   Read next: distractor_ladder.cpp.
#pragma once

#include "dictionary_training.hpp"

namespace fot::examples {

/// One of them.
struct DictionaryModelPlan {
    std::string name;
    DictionaryTraining training;
};

/// Which are compared, and where they are kept.
struct DictionaryModelSettings {
    std::vector<std::string> only = {};
    std::string folder = {};
};

/// All of them.
inline std::vector<DictionaryModelPlan> dictionary_model_plans(Scale scale) {
    const Index steps = Scaled<Index>{2, 200, 200}.at(scale);
    std::vector<DictionaryModelPlan> plans{{"standard", {.name = "standard", .steps = steps, .standard = true}},
                                           {"mt", {.name = "mt", .steps = steps, .contexts = 1, .memorizing = true}}};
    for (const Index contexts : {1, 16, 128})
        plans.push_back({message("crossbatch_", contexts), {.name = "uniform", .steps = steps, .contexts = contexts}});
    plans.push_back({"hard_16", {.name = "hard", .steps = steps, .contexts = 16, .symbols = 8}});
    return plans;
}

/// Declares the options; without --only a program compares the models of its scale.
inline void add_dictionary_model_options(Example& example, DictionaryModelSettings& settings,
                                         const Scaled<std::vector<std::string>>& compared) {
    std::vector<std::string> names;
    for (const DictionaryModelPlan& plan : dictionary_model_plans(example.scale())) names.push_back(plan.name);
    example.option("--only", settings.only, compared, "models that are compared").one_of(names);
    example.option("--models", settings.folder, "folder of trained models, which programs can share; empty: --output");
}

/// Those that are compared.
inline std::vector<DictionaryModelPlan> chosen_plans(const Example& example, const DictionaryModelSettings& settings) {
    std::vector<DictionaryModelPlan> plans = dictionary_model_plans(example.scale());
    std::erase_if(plans, [&](const auto& plan) { return std::ranges::count(settings.only, plan.name) == 0; });
    return plans;
}

/// A model of the comparison, trained, or read from its file if it is there.
inline Transformer<float> trained_dictionary_model(Example& example, const DictionaryModelSettings& settings,
                                                   const DictionaryModelPlan& plan, std::uint64_t seed) {
    return trained_dictionary_model(example, example.models_folder(settings.folder), plan.training, seed);
}

}  // namespace fot::examples
