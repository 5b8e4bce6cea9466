/// The training loop: loss and gradients, clipping, a step of the optimiser, and checkpoints on the way.
///
///     InterruptGuard guard;
///     Trainer<float> trainer(model, optimizer, {.steps = 5000,
///                                               .learning_rate = LearningRate::linear_decay(1, 40, 5000),
///                                               .checkpoint = "run.safetensors"});
///     trainer.keep("batches", random);              // what a step draws from is part of the checkpoint
///     trainer.keep("contexts", context_schedule);   // and so is a schedule that it asks
///     trainer.resume();                             // goes on if the file is there
///     const TrainingOutcome outcome = trainer.run([&](Index step) {
///         const Index d = context_schedule.next(step, random);
///         const ContextBatch<float> batch = sample_contexts<float>(documents, shape, random);
///         Tape tape;
///         const auto logits = model.crossbatch(tape, {batch.previous, batch.current, previous_contexts(16, 1, d - 1)});
///         const Variable<float, 1> loss = cross_entropy(tape, logits, batch.targets, batch.mask);
///         tape.backward(loss);
///         return StepResult{.loss = loss.value()(0)};
///     });
///
/// What happens within a step is up to the program. The trainer knows a model's parameters, gradients and configuration, and
/// nothing about the data. A loss or gradient that is not finite stops it with an error, before any weight changes.
///
/// Read first: train/optimizer.hpp, train/learning_rate.hpp, train/curriculum.hpp, train/checkpoint.hpp, train/interrupt.hpp.
/// Read next: examples/distraction_issue.cpp.
#pragma once

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "fot/train/checkpoint.hpp"
#include "fot/train/curriculum.hpp"
#include "fot/train/gradient_clipping.hpp"
#include "fot/train/interrupt.hpp"
#include "fot/train/learning_rate.hpp"
#include "fot/train/optimizer.hpp"

namespace fot {

/// What a step of training found before the weights change.
struct StepResult {
    double loss;                          ///< of this batch
    std::optional<double> accuracy = {};  ///< share of right answers, where there are any
    Index tokens = 0;                     ///< how many it trained on, for the tokens per second
    bool done = false;                    ///< the training has reached its aim: this step is the last
};

/// What the progress callback is told after each step.
struct TrainingProgress {
    Index steps_done;                ///< of the whole run
    Index steps;                     ///< of the whole run, in the end
    double loss;                     ///< of the step's batch
    std::optional<double> accuracy;  ///< of the step's batch
    double learning_rate;            ///< the factor of the step
    double gradient_norm;            ///< before its limit
    double seconds;                  ///< since `run` was called
    double tokens_per_second;        ///< mean since `run` was called
};

/// How a run ended: all steps done (or the aim reached), or stopped by Ctrl-C with a checkpoint left.
enum class TrainingOutcome { finished, interrupted };

/// How long a Trainer runs, and what it does beside training.
struct TrainerOptions {
    Index steps;                                 ///< of the whole run, those before a resume included
    std::function<double(Index)> learning_rate;  ///< of step 0, 1, ...: a factor on the optimiser's rates, as of a LearningRate
    double largest_gradient_norm = std::numeric_limits<double>::infinity();  ///< longer gradients are shortened to it
    std::filesystem::path checkpoint = {};                       ///< written at the end and when interrupted; empty: never
    double checkpoint_every_seconds = 0;                         ///< and after so long; 0: not
    bool writes_checkpoint = true;                               ///< false: only resumes; another process of the run writes it
    std::function<bool()> stop = interrupted;                    ///< asked before each step: end here, with a checkpoint?
    Metadata metadata = {};                                      ///< kept in the checkpoint; `resume` wants the same
    std::function<void(const TrainingProgress&)> progress = {};  ///< called after each step
};

/// Runs the steps of a training of the optimiser's parameters. The optimiser must live as long as the trainer.
///
/// Errors: ConfigError if an option is out of its range; NumericError if a loss or gradient is not finite; FileError if a
///         checkpoint cannot be written or read. A step that fails, even when memory runs out, leaves weights, optimiser and step
///         count as they were.
/// A checkpoint of a run with steps left has the metadata "unfinished": whoever takes it for a model can tell.
/// Same as: n steps, a checkpoint, new objects, `resume` and m steps end bitwise like n + m steps.
template <class Real>
class Trainer {
   public:
    /// Trains the parameters that the optimiser was constructed from.
    Trainer(Optimizer<Real>& optimizer, TrainerOptions options)
        : optimizer_(optimizer), options_(std::move(options)), state_{optimizer.parameters(), optimizer.state()} {
        const auto require_option = [](bool good, const char* name, auto value, const char* what) {
            require<ConfigError>(good, "Trainer: ", name, " ", value, " is ", what);
        };
        const auto& [steps, rate, largest_norm, checkpoint, every_seconds, writes, stop, metadata, progress] = options_;
        require<ConfigError>(rate != nullptr, "Trainer: there is no learning rate");
        require<ConfigError>(stop != nullptr, "Trainer: there is nothing to ask whether to stop");
        require_option(steps >= 0, "steps", steps, "below 0");
        require_option(largest_norm > 0, "largest_gradient_norm", largest_norm, "not positive");
        require_option(every_seconds >= 0, "checkpoint_every_seconds", every_seconds, "below 0");
        keep("step", step_);
        keep("aim_reached", aim_reached_);
    }
    /// Trains a model by an optimiser of its parameters; include train/model_file.hpp as well. Its configuration is kept in the
    /// checkpoints, and `resume` refuses one of a different configuration.
    template <class Model>
    Trainer(const Model& model, Optimizer<Real>& optimizer, TrainerOptions options) : Trainer(optimizer, std::move(options)) {
        add_config(options_.metadata, model.config());
    }
    Trainer(const Trainer&) = delete;  // the state points at step_
    Trainer& operator=(const Trainer&) = delete;

    /// Makes a generator, counter, running average or list part of the checkpoints, as TrainingState::keep.
    template <class Value>
    void keep(const std::string& name, Value& value) {
        state_.keep(name, value);
    }
    /// The same for a schedule that moves on by what it observes: its stage and its running signal are kept.
    template <class Value>
    void keep(const std::string& name, StageSchedule<Value>& schedule) {
        keep(name + ".stage", schedule.state.stage);
        keep(name + ".running", schedule.state.running);
        around_checkpoints([] {}, [&schedule] { schedule.require_state(); });
    }

    /// For state that is not kept itself: `before_save` writes it into values that are kept, and `after_load` makes it from them
    /// again.
    void around_checkpoints(std::function<void()> before_save, std::function<void()> after_load) {
        around_checkpoints_.push_back({std::move(before_save), std::move(after_load)});
    }

    /// Goes on from the checkpoint if there is one; says whether there was. Call it after `keep`. If it fails, weights, optimiser
    /// and all that is kept are as before.
    ///
    /// Errors: ConfigError if the checkpoint was made under different metadata, by a run with different settings, or of a model
    ///         with a different configuration, or has more steps; FileError if it cannot be read, or counts steps below 0.
    bool resume() {
        if (options_.checkpoint.empty() || !file_exists(options_.checkpoint)) return false;
        require_metadata(options_.checkpoint, options_.metadata);
        load_checkpoint(options_.checkpoint, state_, [&] {
            require<FileError>(step_ >= 0, options_.checkpoint.string(), ": ", step_, " steps are done, expected 0 or more");
            require<ConfigError>(step_ <= options_.steps, options_.checkpoint.string(), ": ", step_,
                                 " steps are done, more than the ", options_.steps, " that are wanted");
            for (const auto& [before_save, after_load] : around_checkpoints_) after_load();
        });
        kept_ = own_file_ = true;
        return true;
    }

    /// Trains from the present step to the last. `step_loss(step)` adds to the gradients, which are zero then, and returns a
    /// StepResult. A resumed run that has no step left writes nothing: it may be kept where one can only read.
    ///
    /// Errors: those above; ConfigError, before the first step, if there is a checkpoint that was not resumed: it would be lost.
    template <class StepLoss>
    TrainingOutcome run(StepLoss&& step_loss) {
        require<ConfigError>(own_file_ || !writes() || !file_exists(options_.checkpoint), "Trainer: ", options_.checkpoint.string(),
                             " is there already and would be overwritten: call resume() to go on from it, or remove it");
        const Clock::time_point begun = saved_ = Clock::now();
        Index tokens = 0;
        bool stopped = false;
        while (steps_are_left() && !(stopped = options_.stop())) {
            zero_gradients(state_.parameters);
            const StepResult result = step_loss(step_);
            const double gradient_norm = checked_norm(result.loss), learning_rate = options_.learning_rate(step_);
            optimizer_.step(learning_rate);
            ++step_;
            kept_ = false;

            tokens += result.tokens;
            if (options_.progress) {
                const double seconds = seconds_since(begun);
                options_.progress({step_, options_.steps, result.loss, result.accuracy, learning_rate, gradient_norm, seconds,
                                   seconds > 0 ? static_cast<double>(tokens) / seconds : 0});
            }
            aim_reached_ = result.done ? 1 : 0;
            if (options_.checkpoint_every_seconds > 0 && seconds_since(saved_) >= options_.checkpoint_every_seconds) save();
        }
        if (!kept_) save();
        return stopped ? TrainingOutcome::interrupted : TrainingOutcome::finished;
    }

    /// Steps done, those before a resume included.
    Index steps_done() const { return step_; }

    /// Writes the checkpoint now, if the options name one and let it.
    void save() {
        if (!writes()) return;
        for (const auto& [before_save, after_load] : around_checkpoints_) before_save();
        Metadata metadata = options_.metadata;
        if (steps_are_left()) metadata["unfinished"] = message(step_, " of ", options_.steps, " steps");
        save_checkpoint(options_.checkpoint, state_, metadata);
        saved_ = Clock::now();
        kept_ = own_file_ = true;
    }

   private:
    using Clock = std::chrono::steady_clock;

    bool writes() const { return options_.writes_checkpoint && !options_.checkpoint.empty(); }
    bool steps_are_left() const { return step_ < options_.steps && aim_reached_ == 0; }

    static double seconds_since(Clock::time_point before) { return std::chrono::duration<double>(Clock::now() - before).count(); }

    /// The norm of the gradients before it is limited. A loss or gradient that is not finite must not reach the weights.
    double checked_norm(double loss) const {
        require<NumericError>(std::isfinite(loss), "Trainer: the loss of step ", step_, " is ", loss, ", expected a finite number");
        try {
            return clip_by_global_norm(state_.parameters, options_.largest_gradient_norm);
        } catch (const NumericError& error) {
            throw NumericError(message("Trainer: step ", step_, ": ", error.what()));
        }
    }

    Optimizer<Real>& optimizer_;
    TrainerOptions options_;
    TrainingState<Real> state_;
    struct AroundCheckpoint {
        std::function<void()> before_save, after_load;
    };
    std::vector<AroundCheckpoint> around_checkpoints_;
    Index step_ = 0;
    Index aim_reached_ = 0;  // 1 after a StepResult that was `done`: a resumed run knows it too
    bool kept_ = false;      // the checkpoint holds the present step
    bool own_file_ = false;  // the checkpoint is this run's: it was resumed, or written
    Clock::time_point saved_{};
};

}  // namespace fot
