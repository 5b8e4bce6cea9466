/// Models of text with a remedy for distraction. Everything else is as in the other text programs: a model without a remedy is bit
/// for bit the one that they train, and is kept in the same file.
///
/// Read first: support/remedies.hpp, support/text_models.hpp.
/// Read next: support/stream_reading.hpp, distraction_remedies.cpp.
#pragma once

#include <limits>

#include "remedies.hpp"
#include "text_models.hpp"

namespace fot::examples {

/// A remedy in training with or without crossbatch.
struct RemedyPlan {
    std::string name = {};
    LanguageModelRecipe recipe = {};  ///< its name is that of the file
    Remedy remedy = {};
};

/// Loss and gradients of a model's steps: as LanguageModelTraining, but with the sources and the losses of a remedy.
class RemedyTraining {
   public:
    /// All must outlive the training.   Errors: DataError if there are too few documents for any step to come.
    RemedyTraining(const TextSettings& settings, const RemedyPlan& plan, const RemedyView& at,
                   const std::vector<TokenDocument>& documents, Transformer<float>& model)
        : settings_(settings),
          remedy_(plan.remedy.inference_only ? no_remedy() : plan.remedy),
          recipe_(plan.recipe),
          at_(at),
          documents_(documents),
          model_(model) {
        Random trial(0);
        draw(std::max(settings_.batch, settings_.contexts), trial);
    }

    StepResult operator()(Index step) {
        const bool crossbatch = recipe_.kind == LanguageModelKind::crossbatch, contrast = remedy_.loss_weights != nullptr;
        const Index d = recipe_.contexts.next(step, random_), pool = std::max(settings_.batch, contrast ? settings_.contexts : d);
        const ContextBatch<float> batch = draw(pool, random_);
        Tape tape;
        const Contexts<float> seen(model_.keys_and_values(tape, crossbatch || contrast ? batch.previous : Tokens{}),
                                   previous_contexts(settings_.batch, 1, d - 1, pool));
        const Remedy::MadeSource source = crossbatch ? remedy_.contexts(at_, seen) : std::make_unique<NoSource<float>>();
        std::vector<LayerView<float>> asked;  // what the memory layer asks
        const Variable<float, 3> logits = model_.forward(tape, batch.current, ObservedSource<float>(*source, asked));
        Variable<float, 1> loss = cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
        if (contrast)  // over all contexts from the first step on
            loss = with_infonce(tape, loss, asked[0], seen, settings_.contexts, remedy_.loss_weights(step, settings_.steps));
        tape.backward(loss);
        return {.loss = loss.value()(0), .tokens = settings_.batch * settings_.length};
    }

    /// Makes all that the next step depends on part of the trainer's checkpoints.
    void keep(Trainer<float>& trainer) {
        trainer.keep("batches", random_);
        trainer.keep("contexts", recipe_.contexts);
    }

   private:
    ContextBatch<float> draw(Index pool, Random& random) const {
        return sample_contexts<float>(documents_, {.entries = settings_.batch, .pool = pool, .length = settings_.length}, random);
    }

    const TextSettings& settings_;
    const Remedy remedy_;
    LanguageModelRecipe recipe_;
    const RemedyView& at_;
    const std::vector<TokenDocument>& documents_;
    Transformer<float>& model_;
    Random random_{at_.seed + 1000};
};

/// A model with its remedy, trained, or read from its file if it is there.
struct RemediedModel {
    const RemedyPlan& plan;
    Transformer<float> model;
    RemedyView at;
    double seconds_per_step = NAN;

    /// The plan, settings and documents must outlive the model.   Errors: as run_text_training.
    RemediedModel(const Example& example, const TextSettings& settings, const RemedyPlan& of, Index top_k,
                  const std::vector<TokenDocument>& documents, std::uint64_t seed)
        : plan(of),
          model(first_model(settings, seed)),
          at{.layer = model.layer(model.config().last_memory_layer()),
             .config = model.config(),
             .window = settings.length,
             .keys = keys_seen(settings, of.recipe),
             .top_k = top_k,
             .seed = seed} {
        if (!plan.remedy.inference_only) plan.remedy.change(at);
        TextModelFile file(example, settings, model.config(), seed);
        file.add_training(plan.recipe, {settings.steps}, documents);
        if (plan.remedy.loss_weights) file.add("contrasted_contexts", message(settings.contexts));
        RemedyTraining training(settings, plan, at, documents, model);
        Muon<float> optimizer(model.parameters(), {});
        seconds_per_step = run_text_training(settings, plan.recipe.name, {settings.steps}, file, training, optimizer,
                                             LearningRate::linear_decay(1, 40, settings.steps));
        if (plan.remedy.inference_only) plan.remedy.change(at);
    }

    RemediedModel(const RemediedModel&) = delete;  // the view refers to the model
    RemediedModel& operator=(const RemediedModel&) = delete;

    /// What the model reads a memory with.
    Remedy::MadeSource memory(const MemoryState<float>& state) const { return plan.remedy.memory(at, state); }

   private:
    static Transformer<float> first_model(const TextSettings& settings, std::uint64_t seed) {
        Random weights(seed);
        return new_text_model(settings, weights);
    }
    static Index keys_seen(const TextSettings& settings, const LanguageModelRecipe& recipe) {
        const Index contexts = recipe.kind == LanguageModelKind::crossbatch ? settings.contexts : 0;
        return contexts * settings.length + settings.length / 2;
    }
};

/// log |w_c| of the weight w_c that context c has in what the memory layer makes of contexts, (1,T,H,C), whatever its attention is:
/// all values of context c are set to the unit vector e_c, and w_c is then number c of a head's output. In one softmax this is
/// context_log_mass up to one constant for each query and head.
///
/// The input has one entry, which sees all contexts in order.
inline Tensor<float, 4> log_context_weights(const RemediedModel& of, const CrossbatchInput& input) {
    const Index number = of.model.config().last_memory_layer(), contexts = extent(input.previous, 0);
    Tape tape(Tape::inference);
    std::vector<KeysAndValues<float>> seen = of.model.keys_and_values(tape, input.previous);
    const Variable<float, 3> x = of.model.layers(tape, of.model.embed(tape, input.current), 0, number, NoSource<float>());
    const auto [windows, length, key_heads, width] = shape_of(element(seen, number).v.value());
    Tensor<float, 4> log_weights = empty<float, 4>({1, extent(input.current, 1), of.model.config().memory_heads, contexts});
    for (Index first = 0; first < contexts; first += width) {  // as many as a value has numbers
        Tensor<float, 4> marks = zeros<float, 4>({windows, length, key_heads, width});
        const Index last = std::min(first + width, contexts);
        for (Index c = first; c < last; ++c)
            for (Index s = 0; s < length; ++s)
                for (Index g = 0; g < key_heads; ++g) marks(c, s, g, c - first) = 1;
        element(seen, number).v = Variable<float, 4>(std::move(marks));
        const Remedy::MadeSource source = of.plan.remedy.contexts(of.at, Contexts<float>(seen, input.table));
        LayerView<float> view = of.at.layer.view(tape, x, *source);
        view.v = Variable<float, 4>(zeros_like(view.v.value()));  // for a source that attends to local keys as well
        const Tensor<float, 4> weights = of.at.layer.joining->alone(tape, view, source->attend(tape, view)).value();
        for (Index t = 0; t < extent(weights, 1); ++t)
            for (Index h = 0; h < extent(weights, 2); ++h)
                for (Index c = first; c < last; ++c)  // a weight of 0: far below all others, but a number
                    log_weights(0, t, h, c) =
                        std::log(std::max(std::abs(weights(0, t, h, c - first)), std::numeric_limits<float>::min()));
    }
    return log_weights;
}

}  // namespace fot::examples
