/// Models that read long documents, each with a memory of the document itself and of nothing else.
///
/// Read first: support/memory_reports.hpp, support/text_models.hpp.
/// Read next: context_extrapolation.cpp, memorizing_transformer.cpp.
#pragma once

#include "memory_reports.hpp"
#include "text_models.hpp"

namespace fot::examples {

/// The trainings that a plan consists of: here one.
inline std::vector<LanguageModelRecipe> trainings_of(const LanguageModelRecipe& plan) { return {plan}; }

/// How such a document is read.
inline Reading own_document(const MemorySettings& memory) { return {MemoryScope::single_document, memory.top_k}; }

/// Trains a model of each plan for each seed by `train(plan, training documents, seed)`, or takes that of --checkpoint; measures it
/// at each size of the memory, and reports curves and changes. All sizes predict the same bytes, from the largest size on. Errors:
/// as split_of, require_trainable and require_measurable, before anything is trained; those of `train`.
template <class Plan, class Train>
MemoryCurves long_document_curves(Example& example, TextSettings& settings, const MemorySettings& memory,
                                  const std::vector<Plan>& plans, const Train& train) {
    const CorpusSplit split = split_of(settings, memory, 0);
    const std::vector<TokenDocument> training = byte_documents(split.train), test = measured_documents(split, memory);
    const std::vector<Index> sizes = memory_sizes(memory);
    const Reading own = own_document(memory);
    const MemoryCurveOptions options = curve_options(settings, sizes, {own}, memory.largest);
    require_measurable(settings.corpus, test, options);
    if (memory.checkpoint.empty())
        for (const Plan& plan : plans) require_trainable(settings, trainings_of(plan), training);
    example.out() << training.size() << " documents for training, " << test.size() << " for testing where they are longer than "
                  << count_text(memory.largest) << " bytes\n\n";

    MemoryCurves curves;
    for (const std::uint64_t seed : example.seeds())
        for (const Plan& plan : plans) {
            Transformer<float> model =
                memory.checkpoint.empty() ? train(plan, training, seed) : stored_text_model(memory.checkpoint, settings);
            curves.add(plan.name, measured_curve(model, test, {}, options, message(plan.name, ", seed ", seed)));
        }
    report_curves(example, curves, sizes, own, message("Bits per byte from byte ", memory.largest, " of a document on"));
    report_changes(example, curves, own, memory.smallest, memory.largest);
    return curves;
}

}  // namespace fot::examples
