/// The models that the paper compares as language models: one way to train for each, on the same parameters and the same text.
///
///     standard         the local context alone
///     transformer_xl   and, in every layer, the states of the window before; documents are read in order
///     memorizing       and, in the memory layer, a memory that the training fills as it reads; nothing learns through it
///     crossbatch       and, in the memory layer, previous contexts of the own and of other documents, differentiably
///
/// standard and crossbatch can have a contrastive loss on the memory layer's queries and keys beside the next-token loss.
///
/// A model of one kind can be continued as any other: no kind has parameters of its own (the gate of `Integration::gated`
/// excepted).
///
/// Source: the paper's analysis of small models, and appendix A.
/// Read first: data/random_walk.hpp, model/transformer.hpp, model/transformer_xl.hpp, model/inference.hpp.   Read next: an example.
#pragma once

#include <bit>

#include "fot/data/random_walk.hpp"
#include "fot/loss/contrastive_loss.hpp"
#include "fot/model/inference.hpp"
#include "fot/model/transformer_xl.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/trainer.hpp"

namespace fot {

/// How a language model sees what came before its local context, in training.
enum class LanguageModelKind { standard, transformer_xl, memorizing, crossbatch };

/// One of the models to be compared.
struct LanguageModelRecipe {
    std::string name;                                      ///< in tables and results
    LanguageModelKind kind = LanguageModelKind::standard;  ///< what it trains as
    Integration integration = Integration::merged;         ///< of the memory layer: part of the model's configuration

    // crossbatch
    Index positives = 1;                                      ///< w, previous contexts of the own document
    ContextSchedule contexts = ContextSchedule::constant(1);  ///< d of each step: w positives and d - 1 negatives
    bool differentiable = true;                               ///< false: keys and values of previous contexts are constants
    Index local_entries = 0;  ///< so many entries of a batch see no context: the model must stay good without a memory

    // standard and crossbatch
    double contrastive_weight = 0;  ///< of InfoNCE over the contexts of a step, both losses in nats; 0: none
    Index hardest_negatives = 0;    ///< only against so many negative keys of each query; 0: all

    // memorizing
    Index memory_tokens = 2048;  ///< the oldest leave first; 0: none leaves
    Index top_k = 32;            ///< retrieved per query and head

    // transformer_xl and memorizing
    Index walk_windows = 32;  ///< an entry reads so many windows of a document, then goes on elsewhere without what it kept
};

/// d = 1 until 3/10 of the training, then doubled step by step, so that half of the training is left for the largest number. A
/// model that meets many contexts before it has learned to use its own learns to ignore them all. Errors: ConfigError unless
/// contexts is a power of two.
inline ContextSchedule doubled_contexts(Index contexts, Index steps) {
    require<ConfigError>(contexts >= 1 && std::has_single_bit(static_cast<std::size_t>(contexts)), "doubled_contexts: ", contexts,
                         " contexts, expected a power of two");
    const Index doublings = std::countr_zero(static_cast<std::size_t>(contexts));
    std::vector<std::pair<Index, Index>> switches{{0, 1}};
    const Index begin = 3 * steps / 10, end = steps / 2;
    for (Index i = 1; i <= doublings; ++i) {
        const Index step = begin + (doublings > 1 ? (end - begin) * (i - 1) / (doublings - 1) : 0);
        if (step <= switches.back().first) switches.pop_back();  // a very short training skips some
        switches.emplace_back(step, Index(1) << i);
    }
    return ContextSchedule::at_steps(switches);
}

/// How much text a step sees.
struct LanguageModelBatch {
    Index entries = 16;  ///< documents
    Index length = 128;  ///< tokens of the local context
};

/// Loss and gradients of one step after another, for a Trainer.
///
/// standard and crossbatch draw random pieces of random documents in each step. transformer_xl and memorizing need the text just
/// before: they draw a place in the same way, read on from there for `walk_windows` windows, and then draw another. All see
/// entries * length tokens a step.
/// Errors: ConfigError if the model's integration is not that of the recipe, or the recipe makes no sense; DataError if there are
///         too few documents for any step to come.
template <class Real>
class LanguageModelTraining {
   public:
    /// Model and documents must outlive the training.
    LanguageModelTraining(Transformer<Real>& model, LanguageModelRecipe recipe, const std::vector<TokenDocument>& documents,
                          LanguageModelBatch batch, std::uint64_t seed)
        : model_(model),
          recipe_(std::move(recipe)),
          documents_(documents),
          batch_(batch),
          random_(seed),
          memory_(model.config(), batch.entries, Storage::full, recipe_.memory_tokens) {
        require<ConfigError>(model.config().integration == recipe_.integration, "LanguageModelTraining: the model is ",
                             model.config().integration == Integration::gated ? "gated" : "merged", ", the recipe '", recipe_.name,
                             "' is not");
        const bool contrast = recipe_.contrastive_weight != 0;
        require<ConfigError>(recipe_.positives >= 0 && recipe_.hardest_negatives >= 0 && recipe_.contrastive_weight >= 0 &&
                                 std::isfinite(recipe_.contrastive_weight) && !(contrast && walks()),
                             "LanguageModelTraining: recipe '", recipe_.name, "' has ", recipe_.positives, " positives, ",
                             recipe_.hardest_negatives, " hardest negatives, contrastive weight ", recipe_.contrastive_weight,
                             ": expected numbers of 0 or more, and a contrastive loss in standard and crossbatch training only");
        require<ConfigError>(!model.config().memory_layers.empty() || (!contrast && recipe_.kind != LanguageModelKind::crossbatch &&
                                                                       recipe_.kind != LanguageModelKind::memorizing),
                             "LanguageModelTraining: recipe '", recipe_.name, "' is of no use to a model without memory layers");
        require<ConfigError>(recipe_.local_entries >= 0 && recipe_.local_entries < batch.entries &&
                                 (recipe_.local_entries == 0 || recipe_.contrastive_weight == 0),
                             "LanguageModelTraining: recipe '", recipe_.name, "' has ", recipe_.local_entries, " of ",
                             batch.entries, " entries without contexts, which a contrastive loss cannot do without");
        if (walks()) {
            walk_.emplace(documents, batch.entries, batch.length, recipe_.walk_windows, random_);
            return;
        }
        const std::vector<Index> contexts = recipe_.contexts.values();
        const Index most = std::max(batch.entries, *std::max_element(contexts.begin(), contexts.end())),
                    least_tokens = (recipe_.positives + 1) * batch.length + 1;
        const auto usable = std::count_if(documents.begin(), documents.end(),
                                          [&](const TokenDocument& document) { return document.length() >= least_tokens; });
        require<DataError>(usable >= most, "LanguageModelTraining: recipe '", recipe_.name, "' needs ", most, " documents of ",
                           least_tokens, " tokens or more at a time, there are ", usable);
    }

    /// One step: adds to the gradients of the model. Steps count from 0 and come in order.
    StepResult operator()(Index step) {
        Tape tape;
        const Variable<Real, 1> loss = walks() ? loss_of_walk(tape) : loss_of_pieces(tape, step);
        tape.backward(loss);
        return {.loss = static_cast<double>(loss.value()(0)), .tokens = batch_.entries * batch_.length};
    }

    /// Makes all that the next step depends on part of the trainer's checkpoints.
    void keep(Trainer<Real>& trainer) {
        trainer.keep("batches", random_);
        trainer.keep("contexts", recipe_.contexts);
        if (!walks()) return;
        trainer.keep("walk.document", walk_->state.document);
        trainer.keep("walk.start", walk_->state.start);
        trainer.keep("walk.left", walk_->state.left);
        trainer.keep("states.sizes", kept_sizes_);
        trainer.keep("states", kept_);
        const bool memorizing = recipe_.kind == LanguageModelKind::memorizing;
        trainer.around_checkpoints([this, memorizing] { memorizing ? write_memory() : write_states(); },
                                   [this, memorizing] {
                                       walk_->require_state();
                                       memorizing ? read_memory() : read_states();
                                   });
    }

   private:
    bool walks() const {
        return recipe_.kind == LanguageModelKind::transformer_xl || recipe_.kind == LanguageModelKind::memorizing;
    }

    /// Mean loss of a batch in nats. An entry's current window is at a random place, its previous ones lie before it.
    Variable<Real, 1> loss_of_pieces(Tape& tape, Index step) {
        const bool standard = recipe_.kind == LanguageModelKind::standard;
        const Index contexts = recipe_.contexts.next(step, random_);
        const bool contrast = recipe_.contrastive_weight > 0 && contexts > 1;
        // All models draw places with room for w previous windows, the standard one too: it must not see easier text.
        const WindowShape shape{.entries = batch_.entries,
                                .pool = std::max(batch_.entries, contexts),
                                .positives = recipe_.positives,
                                .length = batch_.length};
        const ContextBatch<Real> batch = sample_contexts<Real>(documents_, shape, random_);
        const auto loss_of = [&](const Variable<Real, 3>& logits) {
            return cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
        };
        if (standard && !contrast) return loss_of(model_.local(tape, batch.current));

        ContextTable table =
            previous_contexts(batch_.entries, recipe_.positives, (contexts - 1) * recipe_.positives, shape.documents());
        for (Index b = 0; b < recipe_.local_entries; ++b) {
            table.contexts[static_cast<std::size_t>(b)].clear();
            table.positives[static_cast<std::size_t>(b)] = 0;
        }
        std::vector<MemoryLayerView<Real>> seen;
        const Variable<Real, 3> logits = model_.crossbatch(tape,
                                                           {.previous = batch.previous,
                                                            .current = batch.current,
                                                            .table = table,
                                                            .differentiable_previous = recipe_.differentiable},
                                                           &seen);
        Variable<Real, 1> loss = loss_of(standard ? model_.local(tape, batch.current) : logits);
        if (contrast)
            for (const MemoryLayerView<Real>& layer : seen)
                loss = add(tape, loss,
                           contrastive_loss(tape, layer.q, layer.context_k, table, recipe_.hardest_negatives, Real(1),
                                            static_cast<Real>(recipe_.contrastive_weight)));
        return loss;
    }

    /// The same for the next window of each batch index, with what is kept of the windows before.
    Variable<Real, 1> loss_of_walk(Tape& tape) {
        const ContextBatch<Real> batch = walk_->template next<Real>(random_, [this](Index b) {
            memory_.clear(b);
            recurrent_.clear(b);
        });
        const Variable<Real, 3> logits = recipe_.kind == LanguageModelKind::memorizing
                                             ? window_with_memory(tape, model_, batch.current, memory_, {.top_k = recipe_.top_k})
                                             : window_with_recurrence(tape, model_, batch.current, recurrent_);
        return cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
    }

    /// Transformer-XL's states as one row of numbers, and back.
    void write_states() {
        kept_.clear();
        kept_sizes_.clear();
        for (const bool seen : recurrent_.seen) kept_sizes_.push_back(seen);
        for (const Tensor<Real, 3>& input : recurrent_.inputs) kept_.insert(kept_.end(), input.data(), input.data() + input.size());
    }
    void read_states() {
        const Index numbers = static_cast<Index>(kept_.size()), layers = model_.config().layers, width = model_.config().width;
        const Index length = numbers / (layers * batch_.entries * width);
        require<DataError>(numbers == layers * batch_.entries * length * width &&
                               (numbers == 0 || static_cast<Index>(kept_sizes_.size()) == batch_.entries),
                           "LanguageModelTraining: ", numbers, " kept states of ", kept_sizes_.size(), " entries, expected ",
                           batch_.entries, " entries in ", layers, " layers of width ", width);
        recurrent_ = {};
        recurrent_.seen.assign(kept_sizes_.begin(), kept_sizes_.end());
        for (Index layer = 0; numbers > 0 && layer < layers; ++layer) {
            recurrent_.inputs.push_back(empty<Real, 3>({batch_.entries, length, width}));
            Tensor<Real, 3>& input = recurrent_.inputs.back();
            std::copy_n(kept_.data() + layer * element_count(input), input.size(), input.data());
        }
    }

    /// What the memories hold as one row of numbers, and back: per memory the number of entries, then keys and values by head.
    void write_memory() {
        kept_.clear();
        kept_sizes_.clear();
        for (const Index layer : model_.config().memory_layers)
            for (Index b = 0; b < batch_.entries; ++b) {
                const KeyValueMemory<Real>& memory = memory_.memory(layer, b);
                kept_sizes_.push_back(memory.size());
                for (Index h = 0; h < memory.heads(); ++h)
                    memory.for_each_block(h, [&](const auto& keys, const auto& values, Index) {
                        for (Index i = 0; i < keys.rows; ++i)
                            for (const auto& part : {keys, values})
                                kept_.insert(kept_.end(), part.data + i * part.leading,
                                             part.data + i * part.leading + part.columns);
                    });
            }
    }
    void read_memory() {
        const auto& layers = model_.config().memory_layers;
        require<DataError>(kept_sizes_.size() == layers.size() * static_cast<std::size_t>(batch_.entries),
                           "LanguageModelTraining: ", kept_sizes_.size(), " kept memories, expected ",
                           static_cast<Index>(layers.size()) * batch_.entries);
        std::size_t next = 0, place = 0;
        for (const Index layer : layers)
            for (Index b = 0; b < batch_.entries; ++b) {
                KeyValueMemory<Real>& memory = memory_.memory(layer, b);
                const Index size = kept_sizes_[next++], numbers_of_entry = 2 * memory.heads() * memory.width();
                const Index room = static_cast<Index>(kept_.size() - place) / numbers_of_entry,
                            most = recipe_.memory_tokens > 0 ? std::min(recipe_.memory_tokens, room) : room;
                require<DataError>(size >= 0 && size <= most, "LanguageModelTraining: a kept memory of ", size,
                                   " entries, expected at most ", most, " with their keys and values");
                Tensor<Real, 3> keys = empty<Real, 3>({size, memory.heads(), memory.width()}), values = empty_like(keys);
                for (Index h = 0; h < memory.heads(); ++h)
                    for (Index i = 0; i < size; ++i)
                        for (Tensor<Real, 3>* part : {&keys, &values}) {
                            std::copy_n(kept_.data() + place, memory.width(), row(*part, i, h));
                            place += static_cast<std::size_t>(memory.width());
                        }
                memory.clear();
                memory.append(keys, values, 0);
            }
    }

    Transformer<Real>& model_;
    LanguageModelRecipe recipe_;
    const std::vector<TokenDocument>& documents_;
    LanguageModelBatch batch_;
    Random random_;
    std::optional<RandomWalk> walk_;
    MemoryState<Real> memory_;
    RecurrentState<Real> recurrent_;
    std::vector<Real> kept_;  // the states as a checkpoint holds them
    std::vector<Index> kept_sizes_;
};

}  // namespace fot
