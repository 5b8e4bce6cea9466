/// The learning rate in the course of training: a function of the step, given as a factor on the rates of the optimiser.
///
///     const LearningRate schedule = LearningRate::linear_decay(1, 40, steps);
///     optimizer.step(schedule(step));                      // step = 0, 1, 2, ...
///
/// A factor of 1 gives the rates of the optimiser's options. All forms begin with a linear warm-up: the first steps follow few
/// gradients, which say little about the mean. Later the rate falls, except in `constant`, so that the noise of single batches
/// averages out. Warm-up step t (from 0) of n uses (t+1)/n, so that the first step is not lost.
///
/// Source: paper appendix E, Table 9 (`inverse_square_root`, 1000 warm-up steps; the paper's lower limit of the rate is left out);
/// `linear_decay` is ours.
/// Read first: train/optimizer.hpp.   Read next: train/curriculum.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "fot/core/check.hpp"
#include "fot/core/index.hpp"

namespace fot {

/// A factor for every step 0, 1, 2, ...; may be handed to a Trainer as it is.
///
/// Errors: ConfigError, from all forms, if a rate is negative or not finite, or a number of steps is out of its range.
class LearningRate {
   public:
    /// `rate` from the end of the warm-up on.
    static LearningRate constant(double rate, Index warmup_steps = 0) {
        require_valid(rate, warmup_steps);
        return LearningRate([=](double t) { return rate * warmed(t, warmup_steps); });
    }

    /// rate * sqrt(w / max(t+1, w)) after a warm-up of w = max(warmup_steps, 1) steps: the paper's small models, w = 1000.
    static LearningRate inverse_square_root(double rate, Index warmup_steps) {
        require_valid(rate, warmup_steps);
        const double w = std::max(static_cast<double>(warmup_steps), 1.0);
        return LearningRate([=](double t) { return rate * warmed(t, warmup_steps) * std::sqrt(w / std::max(t + 1, w)); });
    }

    /// `rate`, and over the last `decayed_share` of `total_steps` linearly down to `final_share` of it, reached at step
    /// `total_steps` and kept. The small models of the examples; decayed_share 1 falls from the first step on.
    static LearningRate linear_decay(double rate, Index warmup_steps, Index total_steps, double decayed_share = 0.5,
                                     double final_share = 0.02) {
        require_valid(rate, warmup_steps);
        require<ConfigError>(total_steps >= 1, "LearningRate::linear_decay: ", total_steps, " steps in total, expected 1 or more");
        require<ConfigError>(decayed_share > 0 && decayed_share <= 1 && final_share >= 0 && final_share <= 1,
                             "LearningRate::linear_decay: decayed share ", decayed_share, ", final share ", final_share,
                             ", expected shares of at most 1, the first above 0");
        const double last = static_cast<double>(total_steps), end = final_share * rate;
        return LearningRate([=](double t) {
            const double left = std::clamp((last - t) / (decayed_share * last), 0.0, 1.0);
            return warmed(t, warmup_steps) * (end + (rate - end) * left);
        });
    }

    /// The factor of step 0, 1, ...   Errors: ConfigError if the step is negative.
    double at(Index step) const {
        require<ConfigError>(step >= 0, "LearningRate::at: step ", step, " is negative");
        return at_(static_cast<double>(step));
    }
    /// The same.
    double operator()(Index step) const { return at(step); }

   private:
    explicit LearningRate(std::function<double(double)> at) : at_(std::move(at)) {}

    static double warmed(double t, Index warmup_steps) {
        const double warmup = static_cast<double>(warmup_steps);
        return t < warmup ? (t + 1) / warmup : 1;
    }
    static void require_valid(double rate, Index warmup_steps) {
        require<ConfigError>(std::isfinite(rate) && rate >= 0, "LearningRate: rate ", rate,
                             ", expected a finite number of 0 or more");
        require<ConfigError>(warmup_steps >= 0, "LearningRate: ", warmup_steps, " warm-up steps, expected 0 or more");
    }

    std::function<double(double)> at_;
};

}  // namespace fot
