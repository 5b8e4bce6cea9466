/// Models of the dictionary with a remedy for distraction. Everything else is as in dictionary_lookup: its curriculum, here with
/// the remedy but without InfoNCE, since a curriculum shows no negatives, and then steps on so many contexts.
///
/// Read first: support/remedies.hpp, support/dictionary_training.hpp.   Read next: dictionary_remedies.cpp,
/// dilution_or_overlap.cpp.
#pragma once

#include "dictionary_training.hpp"
#include "remedies.hpp"

namespace fot::examples {

/// A model with a remedy, trained on so many contexts, or read from its file if it is there.
class RemediedDictionaryModel {
   public:
    /// InfoNCE, if the remedy has it, is over these contexts, whatever attention sees.
    static constexpr Index contrasted_contexts = dictionary_batch_size;

    /// `top_k`: entries of a memory that a query reads.   Errors: as train_dictionary_model.
    RemediedDictionaryModel(Example& example, const std::filesystem::path& folder, const Remedy& remedy, Index contexts,
                            Index top_k, std::uint64_t seed)
        : remedy_(remedy),
          training_{.name = remedy.inference_only ? "uniform" : remedy.name,  // a file that other programs have as well
                    .steps = Scaled<Index>{2, 200, 200}.at(example.scale()),
                    .contexts = contexts},
          model_(new_model(training_, seed)),
          at_{.layer = model_.layer(model_.config().last_memory_layer()),
              .config = model_.config(),
              .window = DictionaryTask{}.half_length,
              .keys = keys_in_training(training_),
              .top_k = top_k,
              .seed = seed} {
        DictionaryStep step;  // none: the usual one
        if (!remedy.inference_only) {
            remedy_.change(at_);
            training_.source = [this](const Contexts<float>& seen) { return remedy_.contexts(at_, seen); };
            if (remedy.loss_weights)
                step = [this](auto&, Index number, Random& random) { return contrastive_step(number, random); };
        }
        curriculum_ = train_dictionary_model(example, folder, training_, seed, model_, step);
        if (remedy.inference_only) remedy_.change(at_);
    }

    RemediedDictionaryModel(const RemediedDictionaryModel&) = delete;  // the view refers to the model
    RemediedDictionaryModel& operator=(const RemediedDictionaryModel&) = delete;

    const Transformer<float>& model() const { return model_; }
    const Curriculum& curriculum() const { return curriculum_; }

    /// What the model reads a memory with.
    Remedy::MadeSource memory(const MemoryState<float>& state) const { return remedy_.memory(at_, state); }

   private:
    static Transformer<float> new_model(const DictionaryTraining& training, std::uint64_t seed) {
        Random weights(seed);
        return new_dictionary_model(training, weights);
    }

    /// A step after the curriculum, with InfoNCE in the queries of the answers.
    StepResult contrastive_step(Index step, Random& random) {
        const DictionaryTask task;
        const std::vector<Index> answers = answer_positions(task);
        const DictionaryBatch<float> batch =
            dictionary_batch<float>(task, dictionary_batch_size, contrasted_contexts, random, training_.symbols);
        const Tokens targets = take_positions(batch.targets, answers);
        Tape tape;
        const Contexts<float> seen(model_.keys_and_values(tape, batch.previous),
                                   previous_contexts(dictionary_batch_size, 1, training_.contexts - 1, contrasted_contexts));
        const Remedy::MadeSource source = remedy_.contexts(at_, seen);
        std::vector<LayerView<float>> asked;  // what the memory layer asks
        const Variable<float, 3> logits = model_.forward(tape, batch.current, ObservedSource<float>(*source, asked), answers);
        const Variable<float, 1> next_token =
            cross_entropy(tape, logits, targets, full<float, 2>(shape_of(targets), 1.0f), Reduction::token_mean);
        const Variable<float, 1> loss =
            with_infonce(tape, next_token, asked[0], seen, contrasted_contexts, remedy_.loss_weights(step, training_.steps));
        tape.backward(loss);
        Proportion right;
        right.add_each(correct_predictions(logits.value(), targets));
        return {.loss = loss.value()(0),
                .accuracy = right.value(),
                .tokens = element_count(batch.current) + element_count(batch.previous)};
    }

    Remedy remedy_;
    DictionaryTraining training_;
    Transformer<float> model_;
    RemedyView at_;
    Curriculum curriculum_ = {};
};

}  // namespace fot::examples
