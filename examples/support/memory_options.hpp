/// What is measured of memories, and on how much text: memory sizes, test documents, and the documents that fill a memory first.
///
/// Read first: support/held_out_text.hpp, support/sizes.hpp, fot/measure/memory_curve.hpp.   Read next: support/memory_curves.hpp.
#pragma once

#include "fot/measure/memory_curve.hpp"
#include "sizes.hpp"
#include "text_models.hpp"

namespace fot::examples {

/// The options of programs that measure models with memories.
struct MemorySettings {
    Index smallest = 512, largest = 0, top_k = 128;
    std::vector<Index> other_top_ks = {};
    Index documents = 0, longest = 0;  ///< most test documents, and most bytes of each; 0: all
    std::string checkpoint = {};
    std::vector<std::string> only = {};  ///< models, by name; empty: all
};

/// Declares them on the example.
void add_memory_options(Example& example, MemorySettings& settings, const Scaled<Index>& largest, const Scaled<Index>& longest);

/// The memory sizes that are measured: 0, and those of the ladder.
std::vector<Index> memory_sizes(const MemorySettings& settings);

/// The plans (recipes, or anything with a name) of a comparison: all, those of --only, or with --checkpoint that one model,
/// measured once, and its shape in the settings.
/// Errors: ConfigError if two plans have the same name, or --only has one that no plan has, or an option of training is given
///         beside --checkpoint.
template <class Plan>
std::vector<Plan> chosen_plans(Example& example, const MemorySettings& memory, TextSettings& settings, std::vector<Plan> plans) {
    if (!memory.checkpoint.empty()) {
        example.require_not_given(training_options(), "--checkpoint names a model that is trained");
        example.require_not_given({"--only", "--seeds"}, "--checkpoint names one model");
        stored_text_model(memory.checkpoint, settings);
        example.use_one_seed();
        return {{.name = "checkpoint"}};
    }
    std::string names;
    for (const Plan& plan : plans) {
        require<ConfigError>(std::ranges::count(plans, plan.name, &Plan::name) == 1, "--contexts ", settings.contexts,
                             " makes two models called ", plan.name, ": expected another number");
        names += " " + plan.name;
    }
    for (const std::string& name : memory.only)
        require<ConfigError>(std::ranges::count(plans, name, &Plan::name) > 0, "--only ", name, ": expected one of", names);
    if (!memory.only.empty())
        std::erase_if(plans, [&](const Plan& plan) { return std::ranges::count(memory.only, plan.name) == 0; });
    return plans;
}

/// The split of the corpus into what is trained on and what is measured. (Call it after chosen_plans.) With a --checkpoint it is
/// that of the model's own training. If that was on another corpus nothing has been seen before, and all documents of two windows
/// or more are measured, but for the first `stream_tokens` (at least), which become the validation part.
/// Errors: those of split_of_training; DataError if no document is left to be measured.
CorpusSplit split_of(const TextSettings& settings, const MemorySettings& memory, Index stream_tokens);

/// As many of the documents as are to be measured, and as much of each.
std::vector<TokenDocument> at_most(std::vector<TokenDocument> documents, const MemorySettings& settings);

/// The test documents of a split that are measured.
std::vector<TokenDocument> measured_documents(const CorpusSplit& split, const MemorySettings& settings);

/// Documents that fill the largest memory before the first test document: the last validation documents.
/// Errors: DataError if they are too few.
std::vector<TokenDocument> documents_before(const CorpusSplit& split, const MemorySettings& settings);

/// Makes sure before anything is trained that some document is long enough to be measured.
/// Errors: DataError if no document has a window that is predicted.
void require_measurable(const std::string& name, const std::vector<TokenDocument>& documents, const MemoryCurveOptions& options);

}  // namespace fot::examples
