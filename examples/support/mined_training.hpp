/// Trainings whose negatives are found by search in a memory of keys: of the dictionary, and of text.
///
/// A memory serves for some steps. Then it is made anew from fresh contexts, with the keys that the model computes by then.
///
/// Read first: fot/train/mined_contexts.hpp, support/dictionary_training.hpp, support/text_models.hpp.
/// Read next: more_negatives.cpp.
#pragma once

#include "dictionary_training.hpp"
#include "fot/data/index_permutation.hpp"
#include "fot/train/mined_contexts.hpp"
#include "text_models.hpp"

namespace fot::examples {

/// A memory of keys serves so many steps.
inline constexpr Index refresh_steps = 25;
/// Keys that are found for each query.
inline constexpr Index searched_keys = 32;
/// Documents of a batch, B.
inline constexpr Index entries = dictionary_batch_size;

/// The exact search of a head.
inline std::unique_ptr<KeySearch<float>> exact_key_search(Index width) { return std::make_unique<ExactKeySearch<float>>(width); }

/// Keys of contexts (P,S) in the memory layer, computed a few contexts at a time.
inline ContextKeys<float> keys_of_contexts(const Transformer<float>& model, const Tokens& contexts) {
    const Index layer = model.config().last_memory_layer(), together = 16;
    ContextKeys<float> keys(model.config().key_heads_of(layer), model.config().head_width_of(layer), extent(contexts, 1),
                            exact_key_search);
    for (Index first = 0; first < extent(contexts, 0); first += together) {
        Tape tape(Tape::inference);
        const Tokens part = slice<0>(contexts, first, std::min(together, extent(contexts, 0) - first));
        keys.add(element(model.keys_and_values(tape, part), layer).k.value());
    }
    return keys;
}

/// What the memory layer asks at some positions of windows (B,T); empty: at all.
inline Tensor<float, 4> queries_of_windows(const Transformer<float>& model, const Tokens& windows,
                                           const std::vector<Index>& wanted) {
    const Index layer = model.config().last_memory_layer();
    const NoSource<float> no_source;
    Tape tape(Tape::inference);
    const Variable<float, 3> x = model.layers(tape, model.embed(tape, windows), 0, layer, no_source);
    return model.layer(layer).view(tape, x, no_source, wanted).q.value();
}

/// Rows of tokens by number.
inline Tokens rows_of(const Tokens& tokens, const std::vector<Index>& numbers) {
    Tokens rows = empty<std::int32_t, 2>({length_of(numbers), extent(tokens, 1)});
    for (Index i = 0; i < length_of(numbers); ++i) std::copy_n(row(tokens, element(numbers, i)), extent(tokens, 1), row(rows, i));
    return rows;
}

/// Mean seconds of the steps that it runs.
class StepClock {
   public:
    /// Runs a step.
    template <class Step>
    StepResult time(Step&& step) {
        const auto start = std::chrono::steady_clock::now();
        const StepResult result = step();
        seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        ++steps_;
        return result;
    }
    /// NaN if no step ran, since the training was read from its file.
    double per_step() const { return seconds_ / static_cast<double>(steps_); }

   private:
    double seconds_ = 0;
    Index steps_ = 0;
};

// ---- The dictionary ----

/// Steps of phase 2 whose negatives are mined among the documents of a pool, with a memory of their keys. The memory is made anew
/// from time to time, and where a training goes on after Ctrl-C: what comes then is not what would have come without that.
class MinedDictionarySteps {
   public:
    explicit MinedDictionarySteps(DictionaryTraining training) : training_(std::move(training)) {}

    StepResult operator()(Transformer<float>& model, Index step, Random& random) {
        const DictionaryTask task;
        if (!keys_ || step % refresh_steps == 0) {
            documents_ = dictionary_batch<float>(task, training_.pool, training_.pool, random, training_.symbols);
            keys_ = keys_of_contexts(model, documents_.previous);
        }
        // The documents of this step, then those of the pool that draw most attention away from their questions. A question looks
        // its definition up where its answer begins.
        std::vector<Index> numbers, first_answers;
        for (Index b = 0; b < entries; ++b) numbers.push_back(step % refresh_steps * entries + b);
        const std::vector<Index> answers = answer_positions(task);
        for (Index i = 0; i < length_of(answers); i += task.value_length) first_answers.push_back(element(answers, i));
        const Tokens questions = rows_of(documents_.current, numbers);
        const auto of_others = [&](Index, Index context) { return context < numbers.front() || context > numbers.back(); };
        const Tensor<double, 2> mass = keys_->attention_mass(queries_of_windows(model, questions, first_answers), searched_keys);
        std::vector<Index> seen = numbers;
        for (const Index context : hardest_contexts(mass, of_others, training_.contexts - entries)) seen.push_back(context);
        const DictionaryBatch<float> batch{rows_of(documents_.previous, seen), questions, rows_of(documents_.targets, numbers)};
        return dictionary_step_on(model, training_, batch,
                                  previous_contexts(entries, 1, training_.contexts - 1, training_.contexts), answers);
    }

   private:
    DictionaryTraining training_;
    DictionaryBatch<float> documents_;
    std::optional<ContextKeys<float>> keys_;
};

/// The steps of phase 2 of a training: their negatives are random, or mined if it has a pool.
inline DictionaryStep phase_two_step(const DictionaryTraining& training) {
    if (training.pool == 0)
        return [training](Transformer<float>& model, Index, Random& random) { return dictionary_step(model, training, random); };
    const auto mined = std::make_shared<MinedDictionarySteps>(training);
    return [mined](Transformer<float>& model, Index step, Random& random) { return (*mined)(model, step, random); };
}

// ---- Text ----

/// Windows of training documents, of which negatives are taken.
struct WindowPool {
    Tokens windows = {};
    std::vector<Index> documents = {};

    WindowPool(const std::vector<TokenDocument>& training, Index count, Index together, Index length, Random& random)
        : windows(empty<std::int32_t, 2>({count, length})) {
        for (Index first = 0; first < count; first += together) {
            const ContextBatch<float> batch = sample_contexts<float>(training, {.entries = together, .length = length}, random);
            for (Index i = 0; i < std::min(together, count - first); ++i) {
                std::copy_n(row(batch.previous, i), length, row(windows, first + i));
                documents.push_back(element(batch.documents, i));
            }
        }
    }
};

/// Who sees whom: every entry its own previous context, then all contexts that are of other documents.
inline ContextTable own_and_others(const std::vector<Index>& of_entries, const std::vector<Index>& of_contexts) {
    ContextTable table{.available = length_of(of_contexts), .contexts = {}, .positives = {}};
    for (Index b = 0; b < length_of(of_entries); ++b) {
        std::vector<Index>& seen = table.contexts.emplace_back(std::vector<Index>{b});
        for (Index c = 0; c < length_of(of_contexts); ++c)
            if (element(of_contexts, c) != element(of_entries, b)) seen.push_back(c);
        table.positives.push_back(1);
    }
    return table;
}

/// Steps of crossbatch on text, with d contexts in the end: the previous ones of the batch, and beyond them windows of a pool, at
/// random or the hardest. The pool is made anew from time to time, and where a training goes on after Ctrl-C: what comes then is
/// not what would have come without the interruption. Settings and documents must outlive it.
class PooledTextSteps {
   public:
    PooledTextSteps(Transformer<float>& model, const TextSettings& settings, const std::vector<TokenDocument>& training,
                    const ContextSchedule& schedule, bool mined, Index pool, std::uint64_t seed)
        : model_(model),
          settings_(settings),
          training_(training),
          schedule_(schedule),
          mined_(mined),
          pool_(pool),
          random_(seed + 1000) {}

    /// What belongs to the training's checkpoint.
    void keep(Trainer<float>& trainer) {
        trainer.keep("batches", random_);
        trainer.keep("contexts", schedule_);
    }

    StepResult operator()(Index step) {
        const Index d = schedule_.next(step, random_);
        return d < schedule_.values().back() ? step_with(step, d) : clock_.time([&] { return step_with(step, d); });
    }

    /// Seconds of a step with all d contexts; NaN if no such step ran.
    double seconds_per_step() const { return clock_.per_step(); }

   private:
    StepResult step_with(Index step, Index d) {
        const ContextBatch<float> batch =
            sample_contexts<float>(training_, {.entries = settings_.batch, .length = settings_.length}, random_);
        Tokens previous = batch.previous;
        ContextTable table = previous_contexts(settings_.batch, 1, std::min(d, settings_.batch) - 1);
        if (d > settings_.batch) {
            if (!windows_ || step % refresh_steps == 0) refresh();
            const std::vector<Index> chosen = mined_ ? hardest(batch, d - settings_.batch) : drawn(d - settings_.batch);
            previous = concatenate<0>(batch.previous, rows_of(windows_->windows, chosen));
            std::vector<Index> of_contexts = batch.documents;
            for (const Index c : chosen) of_contexts.push_back(element(windows_->documents, c));
            table = own_and_others(batch.documents, of_contexts);
        }
        Tape tape;
        const Variable<float, 3> logits = model_.crossbatch(tape, {.previous = previous, .current = batch.current, .table = table});
        const Variable<float, 1> loss = cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
        tape.backward(loss);
        return {.loss = loss.value()(0), .tokens = settings_.batch * settings_.length};
    }

    void refresh() {
        windows_.emplace(training_, pool_, settings_.batch, settings_.length, random_);
        if (mined_) keys_.emplace(keys_of_contexts(model_, windows_->windows));
    }

    /// Windows of other documents that would draw most attention from a batch, by number in the pool.
    std::vector<Index> hardest(const ContextBatch<float>& batch, Index count) const {
        const Tensor<double, 2> mass = keys_->attention_mass(queries_of_windows(model_, batch.current, {}), searched_keys);
        const auto of_others = [&](Index b, Index c) { return element(windows_->documents, c) != element(batch.documents, b); };
        return hardest_contexts(mass, of_others, count);
    }

    /// Windows at random, each once.
    std::vector<Index> drawn(Index count) {
        const IndexPermutation order(pool_, random_.bits());
        std::vector<Index> chosen;
        for (Index i = 0; i < count; ++i) chosen.push_back(order(i));
        return chosen;
    }

    Transformer<float>& model_;
    const TextSettings& settings_;
    const std::vector<TokenDocument>& training_;
    ContextSchedule schedule_;
    bool mined_;
    Index pool_;
    Random random_;
    StepClock clock_ = {};
    std::optional<WindowPool> windows_ = {};
    std::optional<ContextKeys<float>> keys_ = {};
};

/// Trains on text with d contexts in the end. Returns the seconds of a step with all of them, NaN if the training was read from a
/// file.
inline double train_on_pool(const Example& example, const TextSettings& settings, const std::string& name, Index contexts,
                            bool mined, Index pool, const std::vector<TokenDocument>& training, std::uint64_t seed,
                            Transformer<float>& model) {
    const ContextSchedule schedule = doubled_contexts(contexts, settings.steps);
    PooledTextSteps steps(model, settings, training, schedule, mined, pool, seed);
    Muon<float> optimizer(model.parameters(), {});
    TextModelFile file(example, settings, model.config(), seed);
    file.add_training({.name = message(name, "_of", pool), .kind = LanguageModelKind::crossbatch, .contexts = schedule},
                      {settings.steps}, training);
    run_text_training(settings, name, {settings.steps}, file, steps, optimizer, LearningRate::linear_decay(1, 40, settings.steps));
    return steps.seconds_per_step();
}

}  // namespace fot::examples
