/// The language models that the paper compares: one way to train each, on the same parameters and the same text.
///
///     standard         each query sees only the local context
///     transformer_xl   every layer also sees its states in the window before; read on from a random place
///     memorizing       the memory layer also sees a memory that training fills as it reads; no gradient passes through it
///     crossbatch       the memory layer also sees previous contexts of the query's own and of other documents, differentiably
///
/// standard and crossbatch can have a contrastive loss on the memory layer's queries and keys beside the next-token loss.
///
/// A model of one kind can be continued as any other, since no kind has parameters of its own (except the gate of
/// `Integration::gated`). A comparison of two kinds therefore compares nothing but their training.
///
/// Source: paper sections 5.2 to 5.4, appendices B.5, C and E.
/// Read first: data/random_walk.hpp, model/transformer.hpp, model/transformer_xl.hpp, model/inference.hpp.
/// Read next: examples/multi_document_perplexity.cpp.
#pragma once

#include "fot/data/random_walk.hpp"
#include "fot/loss/contrastive_loss.hpp"
#include "fot/model/shared_memory_source.hpp"
#include "fot/model/transformer_xl.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/kept_states.hpp"
#include "fot/train/muon.hpp"
#include "fot/train/trainer.hpp"

namespace fot {

/// How a language model sees what came before its local context, in training.
enum class LanguageModelKind { standard, transformer_xl, memorizing, crossbatch };

/// One of the models to be compared.
struct LanguageModelRecipe {
    std::string name = {};                                 ///< in tables and results
    LanguageModelKind kind = LanguageModelKind::standard;  ///< what it trains as
    Integration integration = Integration::merged;         ///< of the memory layer: part of the model's configuration

    // standard
    Index local_windows = 1;  ///< windows of text that a local context holds; more: training on long contexts, without a memory

    // crossbatch
    Index positives = 1;                                      ///< w, previous contexts of the query's own document
    ContextSchedule contexts = ContextSchedule::constant(1);  ///< d of each step: w positives and (d - 1) w negatives
    bool differentiable = true;                               ///< false: keys and values of previous contexts are constants
    Index local_entries = 0;  ///< entries of a batch that see no context, so that the model stays good without a memory
    Index sliding_steps = 0;  ///< first steps, in which contexts slide from the current window to their places (sliding_overlap)
    Index packing = 0;        ///< the released code's form: windows of a document in a batch, d the range; 0: the paper's form

    // standard and crossbatch
    double contrastive_weight = 0;  ///< of InfoNCE over the contexts of a step, both losses in nats; 0: none

    // memorizing
    Index memory_tokens = 2048;  ///< the oldest leave first; 0: none leaves
    Index sharers = 1;           ///< documents that share a memory, which then is not cleared between documents
    Index top_k = 32;            ///< retrieved per query and head

    // transformer_xl and memorizing
    Index walk_windows = 32;  ///< windows that an entry reads of a document before it moves on and drops what it kept

    /// Whether it reads documents in order.
    bool walks() const { return kind == LanguageModelKind::transformer_xl || kind == LanguageModelKind::memorizing; }

    /// A training of `steps` steps in words: all that matters to its kind except the integration, which is the model's.
    std::string text(Index steps) const {
        const char* kinds[] = {"standard", "transformer_xl", "memorizing", "crossbatch"};
        std::string words = message(name, ": ", kinds[static_cast<int>(kind)], ", ", steps, " steps");
        // Where a window is drawn, and among how many documents, depends on these in standard training, too.
        if (kind == LanguageModelKind::crossbatch || contrastive_weight > 0 ||
            (!walks() && (positives != 1 || contexts.text() != ContextSchedule::constant(1).text())))
            words +=
                message(", ", positives, " positives, contexts ", contexts.text(), differentiable ? "" : ", not differentiable");
        if (local_windows != 1) words += message(", local contexts of ", local_windows, " windows");
        if (packing > 0) words += message(", packed by ", packing);
        if (sliding_steps > 0) words += message(", contexts slide for ", sliding_steps, " steps");
        if (local_entries > 0) words += message(", ", local_entries, " entries local");
        if (contrastive_weight > 0) words += message(", InfoNCE ", contrastive_weight);
        if (kind == LanguageModelKind::memorizing) words += message(", memory ", memory_tokens, ", top ", top_k);
        if (kind == LanguageModelKind::memorizing && sharers != 1) words += message(", shared by ", sharers);
        if (walks()) words += message(", walks of ", walk_windows);
        return words;
    }
};

/// How much text a step sees.
struct LanguageModelBatch {
    Index entries = 16;  ///< documents
    Index length = 128;  ///< tokens of the local context
};

/// Loss and gradients of one step after another, for a Trainer.
///
/// standard and crossbatch draw random pieces of random documents in each step. transformer_xl and memorizing need the text just
/// before: they draw a place in the same way, read on from there for `walk_windows` windows, and then draw another. All see
/// entries * length tokens per step, times the windows of a local context.
/// Errors: ConfigError if the model's integration is not that of the recipe, or the recipe has impossible sizes; DataError if there
///         are too few documents for any step to come.
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
          memory_(model.config(), batch.entries, recipe_.sharers, recipe_.memory_tokens) {
        require_trainable();
        if (recipe_.walks()) walk_.emplace(documents, batch.entries, batch.length, recipe_.walk_windows, random_);
    }

    LanguageModelTraining(Transformer<Real>&, LanguageModelRecipe, std::vector<TokenDocument>&&, LanguageModelBatch,
                          std::uint64_t) = delete;  // would not outlive the training

    /// One step: adds to the gradients of the model. Steps count from 0 and come in order.
    StepResult operator()(Index step) {
        Tape tape;
        const Variable<Real, 1> loss = recipe_.walks() ? loss_of_walk(tape) : loss_of_pieces(tape, step);
        tape.backward(loss);
        return {.loss = static_cast<double>(loss.value()(0)), .tokens = batch_.entries * batch_.length * recipe_.local_windows};
    }

    /// Makes all that the next step depends on part of the trainer's checkpoints.
    void keep(Trainer<Real>& trainer) {
        trainer.keep("batches", random_);
        trainer.keep("contexts", recipe_.contexts);
        if (!recipe_.walks()) return;
        trainer.keep("walk.document", walk_->state.document);
        trainer.keep("walk.start", walk_->state.start);
        trainer.keep("walk.left", walk_->state.left);
        trainer.keep("states.sizes", kept_.sizes);
        trainer.keep("states", kept_.numbers);
        const auto before_save = [this] {
            memorizing() ? write_memory(model_.config(), memory_.of_groups(), kept_) : write_states(recurrent_, kept_);
        };
        const auto after_load = [this] {
            walk_->require_state();
            memorizing() ? read_memory(kept_, model_.config(), memory_.of_groups())
                         : read_states(kept_, model_.config(), batch_.entries, recurrent_);
        };
        trainer.around_checkpoints(before_save, after_load);
    }

   private:
    /// Mean loss of a batch in nats. An entry's current window is at a random place, its previous ones lie before it.
    Variable<Real, 1> loss_of_pieces(Tape& tape, Index step) {
        const bool standard = recipe_.kind == LanguageModelKind::standard;
        const Index contexts = recipe_.contexts.next(step, random_);
        const bool contrast = recipe_.contrastive_weight > 0 && contexts > 1;
        // All models draw places with room for w previous windows, the standard one too: it must not see easier text. Where the
        // local context is longer, it holds some of these.
        const WindowShape shape{.entries = batch_.entries,
                                .pool = std::max(batch_.entries, contexts),
                                .positives = std::max<Index>(recipe_.positives + 1 - recipe_.local_windows, 0),
                                .length = batch_.length * recipe_.local_windows,
                                .overlap = sliding_overlap(step, recipe_.sliding_steps, batch_.length)};
        const bool packed = recipe_.packing > 0;  // then all windows of a document are trained on
        const ContextBatch<Real> batch =
            packed ? sample_packed<Real>(documents_, {batch_.entries, recipe_.packing, batch_.length}, random_)
                   : sample_contexts<Real>(documents_, shape, random_);
        const auto loss_of = [&](const Variable<Real, 3>& logits) {
            return cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
        };
        if (standard && !contrast) return loss_of(model_.local(tape, batch.current));
        if (packed)
            return loss_of(model_.forward(
                tape, batch.current,
                PackedContexts<Real>(packed_contexts(batch_.entries, contexts, recipe_.packing, true), batch_.length)));

        ContextTable table =
            previous_contexts(batch_.entries, recipe_.positives, (contexts - 1) * recipe_.positives, shape.documents());
        for (Index b = 0; b < recipe_.local_entries; ++b) {
            element(table.contexts, b).clear();
            element(table.positives, b) = 0;
        }
        if (!contrast)
            return loss_of(model_.crossbatch(tape, {.previous = batch.previous,
                                                    .current = batch.current,
                                                    .table = table,
                                                    .differentiable_previous = recipe_.differentiable}));
        // A contrastive loss needs what the memory layers ask; a standard model asks, but is given no contexts.
        Tape constant(Tape::inference);
        const Contexts<Real> contexts_seen(model_.keys_and_values(recipe_.differentiable ? tape : constant, batch.previous), table);
        const NoSource<Real> none;
        std::vector<LayerView<Real>> views;
        const ObservedSource<Real> source(standard ? static_cast<const Source<Real>&>(none) : contexts_seen, views);
        Variable<Real, 1> loss = loss_of(model_.forward(tape, batch.current, source));
        for (const LayerView<Real>& at : views)
            loss = add(tape, loss,
                       contrastive_loss(tape, at.q, contexts_seen.of_layer(at.layer).k, table,
                                        static_cast<Real>(recipe_.contrastive_weight)));
        return loss;
    }

    /// The same for the next window of each batch index, with what is kept of the windows before.
    Variable<Real, 1> loss_of_walk(Tape& tape) {
        const ContextBatch<Real> batch = walk_->template next<Real>(random_, [this](Index b) {
            if (recipe_.sharers == 1) memory_.of_groups().clear(b);
            recurrent_.clear(b);
        });
        const Variable<Real, 3> logits = memorizing()
                                             ? window_with_memory(tape, model_, batch.current, memory_, {.top_k = recipe_.top_k})
                                             : window_with_recurrence(tape, model_, batch.current, recurrent_);
        return cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
    }

    bool memorizing() const { return recipe_.kind == LanguageModelKind::memorizing; }

    /// Throws ConfigError or DataError as the class says.
    void require_trainable() const {
        const std::string recipe = "LanguageModelTraining: recipe '" + recipe_.name + "' ";
        const Index positives = recipe_.positives, local = recipe_.local_entries, entries = batch_.entries;
        const double weight = recipe_.contrastive_weight;
        const bool gated = model_.config().integration == Integration::gated,
                   remembers = weight != 0 || memorizing() || recipe_.kind == LanguageModelKind::crossbatch;
        require<ConfigError>(gated == (recipe_.integration == Integration::gated), recipe, "is not for a model that is ",
                             gated ? "gated" : "merged");
        require<ConfigError>(positives >= 0 && weight >= 0 && std::isfinite(weight) && (weight == 0 || !recipe_.walks()), recipe,
                             "has ", positives, " positives, contrastive weight ", weight,
                             ": expected numbers of 0 or more, and a contrastive loss in standard and crossbatch training only");
        require<ConfigError>(positives >= 1 || (recipe_.kind == LanguageModelKind::standard && weight == 0) || recipe_.walks(),
                             recipe, "has no positives, expected 1 or more where contexts are attended to or contrasted");
        require<ConfigError>(weight == 0 || std::ranges::max(recipe_.contexts.values()) > 1, recipe,
                             "has a contrastive loss of weight ", weight,
                             " and never more than one document: there is nothing to contrast");
        const Index windows = recipe_.local_windows;
        require<ConfigError>(windows == 1 || (windows > 1 && recipe_.kind == LanguageModelKind::standard && weight == 0), recipe,
                             "has local contexts of ", windows,
                             " windows, expected 1, or more in standard training without a contrastive loss");
        require<ConfigError>(!remembers || !model_.config().memory_layers.empty(), recipe,
                             "is of no use to a model without memory layers");
        require<ConfigError>(local >= 0 && local < entries && (local == 0 || weight == 0), recipe, "has ", local, " of ", entries,
                             " entries without contexts, which a contrastive loss cannot do without");
        require<ConfigError>(recipe_.packing == 0 || (recipe_.packing > 0 && recipe_.kind == LanguageModelKind::crossbatch &&
                                                      weight == 0 && local == 0 && recipe_.differentiable),
                             recipe, "packs ", recipe_.packing, " windows, expected 0 or more, in plain crossbatch training");
        require<ConfigError>(recipe_.packing == 0 || std::ranges::max(recipe_.contexts.values()) <= entries, recipe, "sees up to ",
                             std::ranges::max(recipe_.contexts.values()), " windows before its own, of a batch of ", entries);
        require<ConfigError>(recipe_.sliding_steps == 0 || (recipe_.sliding_steps > 0 && recipe_.packing == 0 &&
                                                            recipe_.kind == LanguageModelKind::crossbatch),
                             recipe, "has contexts that slide for ", recipe_.sliding_steps,
                             " steps, expected 0 or more, in crossbatch that is not packed");
        if (recipe_.packing > 0) {  // a trial: too few documents are refused now, not at the first step
            Random trial(0);
            sample_packed<Real>(documents_, {entries, recipe_.packing, batch_.length}, trial);
        }
        if (recipe_.walks() || recipe_.packing > 0) return;
        const Index most = std::max(entries, std::ranges::max(recipe_.contexts.values())),
                    least_tokens = (std::max<Index>(positives + 1 - windows, 0) + 1) * windows * batch_.length + 1;
        const auto usable = std::ranges::count_if(documents_, [&](const auto& each) { return each.length() >= least_tokens; });
        require<DataError>(usable >= most, recipe, "needs ", most, " documents of ", least_tokens,
                           " tokens or more at a time, there are ", usable);
    }

    Transformer<Real>& model_;
    LanguageModelRecipe recipe_;
    const std::vector<TokenDocument>& documents_;
    LanguageModelBatch batch_;
    Random random_;
    std::optional<RandomWalk> walk_;
    SharedMemoryState<Real> memory_;
    RecurrentState<Real> recurrent_;
    KeptStates<Real> kept_;  // memory_ or recurrent_ as a checkpoint holds them
};

/// Trains for a number of steps with Muon: 40 steps of warm-up, and over the second half learning rates that fall linearly to 2 %.
/// For experiments that keep no checkpoints; those that do write the loop with a Trainer.
/// Errors: as LanguageModelTraining.
template <class Real>
void train_language_model(Transformer<Real>& model, const LanguageModelRecipe& recipe, const std::vector<TokenDocument>& documents,
                          const LanguageModelBatch& batch, Index steps, std::uint64_t seed = 1) {
    require<ConfigError>(recipe.sliding_steps == 0 || recipe.sliding_steps < steps, "train_language_model: contexts slide for ",
                         recipe.sliding_steps, " steps, expected fewer than ", steps);
    LanguageModelTraining<Real> training(model, recipe, documents, batch, seed);
    Muon<Real> optimizer(model.parameters());
    const LearningRate rate = LearningRate::linear_decay(1, std::min<Index>(40, steps / 2), steps);
    for (Index step = 0; step < steps; ++step) {
        zero_gradients(optimizer.parameters());
        training(step);
        optimizer.step(rate.at(step));
    }
}

}  // namespace fot
