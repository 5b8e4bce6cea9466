/// Curricula: which number of contexts, or which length and batch, comes at which step of training.
///
/// A model that starts with many contexts learns to ignore its previous window, because most of what it sees beyond its local
/// context is noise. So the number of contexts d begins small and rises once the window is used. A `StageSchedule` goes through
/// stages that end at a step, or when a signal such as the training accuracy is high enough; or it draws one of its values for
/// every step. Its state is two numbers, which a checkpoint keeps. A `ContextSchedule` is a `StageSchedule` of the number of
/// contexts.
///
/// The paper has four schedules of d: constant; 2, then 64 for the last tenth; drawn from {2, 128}; 1, then 128 once the accuracy
/// reaches 98 %. Each is one line:
///
///     ContextSchedule::constant(64)
///     ContextSchedule::at_steps({{0, 2}, {steps * 9 / 10, 64}})
///     ContextSchedule::drawn({2, 128})
///     ContextSchedule::stages({{.value = 1, .until_signal = 0.98}, {.value = 128}})
///
/// Source: paper section 3.2 (start with a small d), appendix E.1. `doubled_contexts` is ours.
/// Read first: core/random.hpp.   Read next: train/trainer.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "fot/core/random.hpp"

namespace fot {

/// Local tokens T and batch entries B of a stage of a length curriculum.
struct LengthAndBatch {
    Index length;                                            ///< T
    Index batch;                                             ///< B
    bool operator==(const LengthAndBatch&) const = default;  ///< length and batch
};

/// A value of a StageSchedule and when to leave it: at step `until_step` (the first that belongs to the next stage), or once
/// the running signal reaches `until_signal`, whichever comes first. Neither: it stays.
template <class Value>
struct Stage {
    static constexpr Index no_step = std::numeric_limits<Index>::max();           ///< never, by steps
    static constexpr double no_signal = std::numeric_limits<double>::infinity();  ///< never, by the signal

    Value value;                      ///< that holds in this stage
    Index until_step = no_step;       ///< the first step of the next stage
    double until_signal = no_signal;  ///< of the running mean
};

/// Which value holds at each step of training. Every step:
///
///     Index contexts = schedule.next(step, random);      // moves on at a step, or draws
///     ...                                                // train with it
///     schedule.observe(accuracy);                        // moves on by the signal, for the next step
///
/// The signal is any number that grows as the stage is learned: the training accuracy, or the memory gain (loss without the
/// previous window minus loss with it). It need not be observed at every step. Its running mean starts at 0 in every stage:
///
///     running <- smoothing running + (1 - smoothing) signal
///
/// so for signals of at most 1 a stage lasts at least log(1 - until_signal) / log(smoothing) observations: 22 for accuracy 0.9 and
/// smoothing 0.9.
template <class Value>
class StageSchedule {
   public:
    /// What a checkpoint keeps. `stage` equals the number of stages when the last one has ended too.
    struct State {
        Index stage = 0;                                ///< its number
        double running = 0;                             ///< mean of the signal in this stage
        bool operator==(const State&) const = default;  ///< both
    };

    /// One value throughout.
    static StageSchedule constant(Value value) { return stages({{value}}); }

    /// (step, value): the value from that step on. The first step is 0.
    static StageSchedule at_steps(const std::vector<std::pair<Index, Value>>& switches) {
        require<ConfigError>(!switches.empty() && switches.front().first == 0,
                             "StageSchedule::at_steps: the first switch must be at step 0");
        std::vector<Stage<Value>> list;
        for (const auto& [step, value] : switches) {
            if (!list.empty()) list.back().until_step = step;
            list.push_back({value});
        }
        return stages(std::move(list));
    }

    /// Stages one after another, each with its own end.
    ///
    /// Errors: ConfigError if there is none, if their steps do not rise, if one before the last has no end, or for a signal that is
    ///         not a number and a smoothing outside 0 <= smoothing < 1.
    static StageSchedule stages(std::vector<Stage<Value>> list, double smoothing = 0.9) {
        require<ConfigError>(smoothing >= 0 && smoothing < 1, "StageSchedule: smoothing ", smoothing,
                             ", expected 0 <= smoothing < 1");
        Index before = 0;
        for (std::size_t i = 0; i < list.size(); ++i) {
            const auto [value, until_step, until_signal] = list[i];
            const bool by_step = until_step != Stage<Value>::no_step, by_signal = until_signal < Stage<Value>::no_signal;
            require<ConfigError>(!std::isnan(until_signal), "StageSchedule: stage ", i, " ends at signal nan");
            require<ConfigError>(until_step > before, "StageSchedule: stage ", i, " ends at step ", until_step,
                                 ", expected more than ", before);
            require<ConfigError>(by_step || by_signal || i + 1 == list.size(), "StageSchedule: stage ", i,
                                 " never ends, but is followed by others");
            if (by_step) before = until_step;
        }
        return StageSchedule(std::move(list), smoothing, false);
    }

    /// One of the values at random for every step, all equally likely; a value may be listed more than once.
    static StageSchedule drawn(const std::vector<Value>& values) {
        std::vector<Stage<Value>> list;
        for (const Value& value : values) list.push_back({value});
        return StageSchedule(std::move(list), 0, true);
    }

    /// The value for this step. Steps are asked for in rising order; `random` is used by `drawn` only.
    const Value& next(Index step, Random& random) {
        if (drawn_) state.stage = random.below(count());
        while (!drawn_ && !finished() && step >= element(stages_, state.stage).until_step) advance();
        return current();
    }

    /// Takes in one measurement of the signal.
    /// Errors: NumericError if it is not finite.
    void observe(double signal) {
        require<NumericError>(std::isfinite(signal), "StageSchedule::observe: the signal is not finite");
        if (drawn_ || finished()) return;
        state.running = smoothing_ * state.running + (1 - smoothing_) * signal;
        if (state.running >= element(stages_, state.stage).until_signal) advance();
    }

    /// The value of the stage that now holds; the last one when all have ended.
    const Value& current() const { return element(stages_, std::min(state.stage, count() - 1)).value; }

    /// The last stage has come to its end: time to stop.
    bool finished() const { return state.stage >= count(); }

    /// The values it can take, in order.
    std::vector<Value> values() const {
        std::vector<Value> list;
        for (const Stage<Value>& stage : stages_) list.push_back(stage.value);
        return list;
    }

    /// In words: "1 until step 240, 2 until signal 0.15, 16", or "one of 2, 128 a step".
    std::string text() const {
        std::string words;
        for (const auto& [value, until_step, until_signal] : stages_) {
            words += message(words.empty() ? (drawn_ ? "one of " : "") : ", ", value);
            if (until_step != Stage<Value>::no_step) words += message(" until step ", until_step);
            if (until_signal < Stage<Value>::no_signal) words += message(" until signal ", until_signal);
        }
        return words + (drawn_ ? " a step" : "");
    }

    /// Number of stages.
    Index count() const { return length_of(stages_); }

    /// Throws ConfigError unless the state, perhaps from a checkpoint, is one of this schedule.
    void require_state() const {
        require<ConfigError>(state.stage >= 0 && state.stage <= count() && std::isfinite(state.running), "StageSchedule: stage ",
                             state.stage, " of ", count(), " with running signal ", state.running);
    }

    State state{};  ///< where it stands

   private:
    StageSchedule(std::vector<Stage<Value>> list, double smoothing, bool drawn)
        : stages_(std::move(list)), smoothing_(smoothing), drawn_(drawn) {
        require<ConfigError>(!stages_.empty(), "StageSchedule: no stages");
        for (const Stage<Value>& stage : stages_) {
            if constexpr (std::is_same_v<Value, LengthAndBatch>)
                require<ConfigError>(std::min(stage.value.length, stage.value.batch) >= 1, "StageSchedule: length ",
                                     stage.value.length, " and batch ", stage.value.batch, ", expected 1 or more");
            else
                require<ConfigError>(stage.value >= 1, "StageSchedule: ", stage.value, " contexts, expected 1 or more");
        }
    }

    void advance() { state = {state.stage + 1, 0}; }

    std::vector<Stage<Value>> stages_;
    double smoothing_;
    bool drawn_;
};

/// The number d of documents whose contexts a query sees, for each step: with w windows of each these are d w contexts.
using ContextSchedule = StageSchedule<Index>;

/// Local context and batch of each step.
using LengthSchedule = StageSchedule<LengthAndBatch>;

/// A recipe of ours, for the toy models of the examples: d = 1 until 3/10 of the training, then doubled step by step, so that half
/// of the training is left for the largest number. It belongs to no model of the paper, whose schedules are those above.
///
/// Errors: ConfigError unless contexts is a power of two.
inline ContextSchedule doubled_contexts(Index contexts, Index steps) {
    require<ConfigError>(contexts >= 1 && std::has_single_bit(static_cast<std::size_t>(contexts)), "doubled_contexts: ", contexts,
                         " contexts, expected a power of two");
    const Index doublings = std::countr_zero(static_cast<std::size_t>(contexts));
    std::vector<std::pair<Index, Index>> switches{{0, 1}};
    const Index begin = 3 * steps / 10, end = steps / 2;
    for (Index i = 1; i <= doublings; ++i) {
        const Index step = begin + (doublings > 1 ? (end - begin) * (i - 1) / (doublings - 1) : 0);
        if (step <= switches.back().first) switches.pop_back();  // a very short run skips some
        switches.emplace_back(step, Index(1) << i);
    }
    return ContextSchedule::at_steps(switches);
}

}  // namespace fot
