/// What every optimiser has in common: a step, and a state that a checkpoint can keep.
///
/// An optimiser is constructed from the parameters that it changes. It lays out its state (moments, momenta) there and then, one
/// named slot of numbers each, all zero. So the slots exist before the first step. To continue from a checkpoint, construct the
/// optimiser from the same parameters and copy the stored numbers into its slots:
///
///     AdamW<float> optimizer(parameters, options);
///     OptimizerState<float> state = optimizer.state();     // views: slots and step count are written in place
///     ...                                                  // copy into state.slots[i].data, set *state.step_count
///     optimizer.step(factor);                              // bitwise the step that the interrupted run would have taken
///
/// The learning rates are among the options of an optimiser, because their sizes are specific to it: 0.02 for Muon's matrices,
/// 0.001 for AdamW. What changes in the course of training is a factor on all of them, the argument of `step`. It means the same
/// for every optimiser: a factor of 1 leaves the rates as configured. Schedules (train/learning_rate.hpp) give that factor.
///
/// Read first: core/parameter.hpp.   Read next: train/adamw.hpp, adafactor.hpp, muon.hpp; train/learning_rate.hpp.
#pragma once

#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "fot/core/finite.hpp"
#include "fot/core/parameter.hpp"
#include "fot/core/simd.hpp"

namespace fot {

/// By how much the learning rate of a parameter differs from that of the others, by its role. 0 keeps parameters of a role fixed.
struct LearningRateFactors {
    double embedding = 1;      ///< of parameters of this role
    double hidden_matrix = 1;  ///< likewise, and so on
    double output = 1;         ///< likewise
    double norm_scale = 1;     ///< likewise
    double temperature = 1;    ///< likewise
    double gate = 1;           ///< likewise

    /// The factor of a role.
    double of(Role role) const {
        const double factors[] = {embedding, hidden_matrix, output, norm_scale, temperature, gate};  // in the order of Role
        return factors[static_cast<int>(role)];
    }

    /// Throws ConfigError unless all are finite and 0 or more; `who` opens the message.
    void check(const std::string& who) const {
        for (const double factor : {embedding, hidden_matrix, output, norm_scale, temperature, gate})
            require<ConfigError>(std::isfinite(factor) && factor >= 0, who, ": a learning rate factor is ", factor,
                                 ", expected a finite number of 0 or more");
    }
};

namespace detail {

inline void require_not_negative(const std::string& who, const char* what, double value) {
    require<ConfigError>(value >= 0 && std::isfinite(value), who, ": ", what, " ", value,
                         ", expected a finite number of 0 or more");
}

/// A share that is kept of a running mean.
inline void require_share(const std::string& who, const char* what, double share) {
    require<ConfigError>(share >= 0 && share < 1, who, ": ", what, " ", share, ", expected 0 <= ", what, " < 1");
}

/// What an epsilon must be where it is used: 1e-50 is above 0 as a double, but 0 as a float.
template <class Real>
void require_epsilon(const std::string& who, double epsilon) {
    require<ConfigError>(static_cast<Real>(epsilon) > 0 && std::isfinite(static_cast<Real>(epsilon)), who, ": epsilon ", epsilon,
                         ", expected a number that is finite and above 0 in the type of the parameters");
}

}  // namespace detail

/// View of one array of an optimiser's state, row-major.
template <class Real>
struct StateSlot {
    std::string name;          ///< optimiser, parameter, part: "adamw.layers.0.q.m"
    std::vector<Index> shape;  ///< extents
    Real* data;                ///< the numbers
    Index count;               ///< how many
};

/// View of all that an optimiser remembers. Valid while the optimiser lives and is not moved.
template <class Real>
struct OptimizerState {
    std::vector<StateSlot<Real>> slots;  ///< one array of numbers each
    Index* step_count;                   ///< steps taken
};

/// Base of the optimisers.
template <class Real>
class Optimizer {
   public:
    virtual ~Optimizer() = default;
    Optimizer(const Optimizer&) = delete;
    Optimizer& operator=(const Optimizer&) = delete;

    /// Reads the gradients and changes the values; the gradients stay as they are. The learning rates are those of the options,
    /// times `factor`. If memory runs out, or in case of an error, neither values nor state have changed.
    /// Errors: ConfigError if the factor is negative or not finite; NumericError, which names the parameter, if a gradient is not
    ///         finite, or the sum of its squares is not.
    void step(double factor = 1) {
        detail::require_not_negative(name_, "a factor on the learning rates of", factor);
        for (const Parameter<Real>& p : parameters_) {
            const std::span<const Real> gradient = p.gradient();
            require<NumericError>(all_finite(gradient.data(), length_of(gradient)), name_, ": the gradient of ", p.name,
                                  " is not finite");
            const Real squares = inner_product(gradient.data(), gradient.data(), length_of(gradient));
            require<NumericError>(std::isfinite(squares), name_, ": the gradient of ", p.name, " is too large to be squared");
        }
        update(step_count_ + 1, factor);
        ++step_count_;
    }

    /// What it changes.
    const std::vector<Parameter<Real>>& parameters() const { return parameters_; }

    /// The slots in a fixed order, and the number of steps taken.
    OptimizerState<Real> state() { return {slots_, &step_count_}; }

    /// Steps taken so far.
    Index step_count() const { return step_count_; }

    /// "adamw", "adafactor" or "muon".
    const std::string& name() const { return name_; }

   protected:
    /// `name` opens messages and the names of slots.   Errors: ConfigError if two parameters share a name, or their numbers.
    Optimizer(std::string name, std::vector<Parameter<Real>> parameters)
        : name_(std::move(name)), parameters_(std::move(parameters)) {
        std::set<std::string> names;
        std::map<const Real*, std::string> numbers;
        for (const auto& p : parameters_) {
            require<ConfigError>(names.insert(p.name).second, name_, ": two parameters are named ", p.name);
            if (p.value().empty()) continue;
            const auto [known, is_new] = numbers.emplace(p.value().data(), p.name);
            require<ConfigError>(is_new, name_, ": ", known->second, " and ", p.name, " are one parameter under two names");
        }
    }

    /// Lays out a slot of zeros; returns its place for `slot()`.
    std::size_t add_slot(const std::string& parameter, const char* part, const std::vector<Index>& shape) {
        Index count = 1;
        for (const Index each : shape) count *= each;
        numbers_.push_back(zeros<Real, 1>({count}));
        slots_.push_back({name_ + "." + parameter + "." + part, shape, numbers_.back().data(), count});
        return slots_.size() - 1;
    }

    /// The numbers of a slot.
    std::span<Real> slot(std::size_t place) { return numbers_[place].storage(); }

   private:
    /// Step number t, from 1. If it throws, it has changed nothing.
    virtual void update(Index t, double factor) = 0;

    std::string name_;
    std::vector<Parameter<Real>> parameters_;
    std::deque<Tensor<Real, 1>> numbers_;  // which stay where they are
    std::vector<StateSlot<Real>> slots_;   // views of them
    Index step_count_ = 0;
};

}  // namespace fot
