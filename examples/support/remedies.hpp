/// Remedies for distraction as entries of a table. An entry says what the remedy changes in a model, where the model's further keys
/// come from, and with which loss it is trained. It does not say on what: text (support/remedy_models.hpp) or definitions
/// (dictionary_remedies.cpp).
///
/// Read first: fot/model/memory_layer.hpp, fot/remedies/length_temperature.hpp.
/// Read next: support/remedy_models.hpp, distraction_remedies.cpp.
#pragma once

#include "fot/loss/contrastive_loss.hpp"
#include "fot/model/contexts_source.hpp"
#include "fot/model/memory_source.hpp"
#include "fot/model/transformer.hpp"
#include "fot/remedies/adaptive_temperature.hpp"
#include "fot/remedies/annealed_contrast.hpp"
#include "fot/remedies/differential_attention.hpp"
#include "fot/remedies/entmax_scoring.hpp"
#include "fot/remedies/entmax_sources.hpp"
#include "fot/remedies/learned_sink.hpp"
#include "fot/remedies/length_temperature.hpp"
#include "fot/remedies/output_gate.hpp"
#include "fot/remedies/untied_contexts.hpp"
#include "fot/remedies/untied_memory.hpp"

namespace fot::examples {

/// What a remedy is told: the layer that it changes, and how its model is trained and read.
struct RemedyView {
    TransformerLayer<float>& layer;   ///< the memory layer, the last one
    const TransformerConfig& config;  ///< of the model
    Index window;                     ///< tokens of the local context, and of each further context
    Index keys;                       ///< that a query sees at the end of training: its contexts, and half a window
    Index top_k;                      ///< entries of a memory that a query reads; 0: all
    std::uint64_t seed;               ///< for first weights of its own

    Index heads() const { return config.heads_of(config.last_memory_layer()); }
};

/// A remedy: what is not given is as without a remedy. Files of trained models know its name alone, so a changed entry needs a new
/// name, or a new folder.
struct Remedy {
    using MadeSource = std::unique_ptr<Source<float>>;

    std::string name = {};
    bool inference_only = false;  ///< the model is trained without the remedy and changed afterwards
    std::function<void(const RemedyView&)> change = [](const auto&) {};  ///< of the memory layer; none: only reading differs
    /// Weights of the next-token loss and of InfoNCE in a step; none: no InfoNCE.
    std::function<LossWeights(Index step, Index steps)> loss_weights = {};
    /// Further keys where contexts are attended to, given what crossbatch would attend to: in training unless the remedy is of
    /// inference only, and where r_64 is measured.
    std::function<MadeSource(const RemedyView&, const Contexts<float>&)> contexts = [](const auto&, const auto& seen) {
        return std::make_unique<Contexts<float>>(seen);
    };
    /// Further keys in reading with a memory.
    std::function<MadeSource(const RemedyView&, const MemoryState<float>&)> memory = [](const auto& at, const auto& state) {
        return std::make_unique<MemorySource<float>>(state, at.top_k);
    };
};

/// The next-token loss, and beside it InfoNCE for each query of a memory layer: its entry's own context against those of the
/// `contexts` - 1 next documents of the batch, whatever the query attends to.
inline Variable<float, 1> with_infonce(Tape& tape, const Variable<float, 1>& language, const LayerView<float>& asked,
                                       const Contexts<float>& seen, Index contexts, const LossWeights& weights) {
    const Variable<float, 4>& k = seen.of_layer(asked.layer).k;
    const ContextTable all = previous_contexts(extent(asked.q.value(), 0), 1, contexts - 1, extent(k.value(), 0));
    return weighted_losses(tape, language, contrastive_loss(tape, asked.q, k, all), weights);
}

/// A model that stays as it is trained without a remedy.
inline Remedy no_remedy() { return {.name = "none", .inference_only = true}; }

/// The remedies: what each changes in the memory layer and, if need be, its loss and where its keys come from.
inline std::vector<Remedy> remedies() {
    using At = const RemedyView&;
    const auto adaptive = [](At at, std::unique_ptr<Source<float>> source) {
        return std::make_unique<AdaptiveTemperature<float>>(std::move(source), *at.layer.joining);
    };
    const auto first_level = [](At at) { return dynamic_cast<const FirstLevel<float>&>(*at.layer.joining).map; };
    return {
        {.name = "infonce", .loss_weights = [](Index, Index) { return LossWeights{.language = 1, .contrast = 0.1}; }},
        {.name = "whole_memory",
         .inference_only = true,
         .memory = [](At, const auto& state) { return std::make_unique<MemorySource<float>>(state, 0); }},
        {.name = "ssmax",
         .change =
             [](At at) {  // scores begin as those of the plain model among so many keys
                 const double scale = at.config.initial_inverse_temperature / std::log(static_cast<double>(at.keys));
                 at.layer.scoring = std::make_unique<ScalableSoftmax<float>>(at.heads(), scale, at.config.norm_epsilon);
             }},
        {.name = "log_length",
         .inference_only = true,
         .change = [](At at) { at.layer.scoring = std::make_unique<LogLength<float>>(std::move(at.layer.scoring), at.keys); }},
        {.name = "adaptive_temperature",
         .inference_only = true,
         .contexts = [=](At at, const auto& seen) { return adaptive(at, std::make_unique<Contexts<float>>(seen)); },
         .memory = [=](At at, const auto& state) { return adaptive(at, std::make_unique<MemorySource<float>>(state, at.top_k)); }},
        {.name = "sink", .change = [](At at) { at.layer.joining = std::make_unique<LearnedSink<float>>(at.heads()); }},
        {.name = "output_gate",
         .change = [](At at) { at.layer.joining = std::make_unique<OutputGate<float>>(at.heads(), at.config.width); }},
        {.name = "differential",
         .change =
             [](At at) {
                 Random random(at.seed + 2000);
                 make_differential(at.layer, at.config, at.config.last_memory_layer(), random);
             }},
        {.name = "annealed_infonce",
         .loss_weights = [](Index step, Index steps) { return AnnealedContrast{.leading_steps = steps / 5}.at(step); }},
        {.name = "entmax",
         .change =
             [](At at) {
                 at.layer.scoring = std::make_unique<EntmaxScoring<float>>(at.heads(), at.config.initial_inverse_temperature,
                                                                           at.config.norm_epsilon);
                 at.layer.joining = std::make_unique<HeadGate<float>>(at.heads());
             },
         .contexts = [](At, const auto& seen) { return std::make_unique<EntmaxContexts<float>>(seen); },
         .memory = [](At at, const auto& state) { return std::make_unique<EntmaxMemory<float>>(state, at.top_k); }},
        {.name = "untied",
         .change =
             [](At at) {
                 at.layer.joining = std::make_unique<FirstLevel<float>>(at.config.head_width_of(at.config.last_memory_layer()));
             },
         .contexts = [=](At at, const auto& seen) { return std::make_unique<UntiedContexts<float>>(seen, first_level(at)); },
         .memory = [=](At at,
                       const auto& state) { return std::make_unique<UntiedMemory<float>>(state, first_level(at), at.window); }}};
}

}  // namespace fot::examples
