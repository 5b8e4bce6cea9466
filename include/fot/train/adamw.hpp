/// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019).
///
/// Each number of a parameter gets a step of about the learning rate, whatever the size of its gradient: a running mean of the
/// gradient is divided by the root of a running mean of its square. Both means start at 0 and are corrected for it. The decay acts
/// on the parameter directly, not through the gradient, so that its strength does not depend on the gradient's size.
///
/// LongLLaMA is fine-tuned with OpenLLaMA's optimiser (AdamW in the released code): a constant learning rate of 2e-5 and a decay of
/// 0.01 (paper appendix A.2). The released training code has other defaults: beta 0.9 and 0.95, decay 0.1, norm clipped to 1, a
/// cosine schedule.
///
/// Read first: train/optimizer.hpp.   Read next: train/muon.hpp, which uses it for all that is not a hidden matrix.
#pragma once

#include "fot/core/parallel.hpp"
#include "fot/train/optimizer.hpp"

namespace fot {

/// Settings of AdamW.
struct AdamWOptions {
    double learning_rate = 1e-3;                  ///< about the change of each number in a step
    double beta1 = 0.9;                           ///< share kept of the mean of gradients
    double beta2 = 0.999;                         ///< share kept of the mean of squares
    double epsilon = 1e-8;                        ///< added to the root, outside of it
    double weight_decay = 0;                      ///< times the learning rate; 0: plain Adam
    LearningRateFactors learning_rate_factors{};  ///< by role, decay included
};

/// Throws ConfigError unless the options are in their ranges, for parameters of this type; `who` opens the message.
template <class Real>
void check_options(const std::string& who, const AdamWOptions& options) {
    detail::require_not_negative(who, "learning rate", options.learning_rate);
    detail::require_share(who, "beta", options.beta1);
    detail::require_share(who, "beta", options.beta2);
    detail::require_epsilon<Real>(who, options.epsilon);
    detail::require_not_negative(who, "weight decay", options.weight_decay);
    options.learning_rate_factors.check(who);
}

/// Step number t (from 1) of one parameter, with its mean of gradients m and of squares v.
///
///     m <- beta1 m + (1 - beta1) g            v <- beta2 v + (1 - beta2) g^2
///     x <- x - rate ( (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) + weight_decay x )
///
/// where rate = factor * learning_rate, times the factor of the parameter's role.
/// Shapes: m, v as the parameter.   Cost: one pass over four arrays.
template <class Real>
void adamw_update(const Parameter<Real>& parameter, std::span<Real> m, std::span<Real> v, Index t, double factor,
                  const AdamWOptions& options) {
    const double rate = factor * options.learning_rate * options.learning_rate_factors.of(parameter.role),
                 steps = static_cast<double>(t);
    const Real beta1 = static_cast<Real>(options.beta1), new1 = static_cast<Real>(1 - options.beta1);
    const Real beta2 = static_cast<Real>(options.beta2), new2 = static_cast<Real>(1 - options.beta2);
    const Real correction1 = static_cast<Real>(1 / (1 - std::pow(options.beta1, steps)));
    const Real correction2 = static_cast<Real>(1 / (1 - std::pow(options.beta2, steps)));
    const Real epsilon = static_cast<Real>(options.epsilon), decay = static_cast<Real>(options.weight_decay);
    const Real step_size = static_cast<Real>(rate);
    constexpr Index grain = 1 << 14;
    const std::span<Real> x = parameter.value(), g = parameter.gradient();
    parallel_slices(length_of(x), grain, [&, x = x.data(), g = g.data(), m = m.data(), v = v.data()](Index first, Index last) {
        for (Index i = first; i < last; ++i) {
            m[i] = beta1 * m[i] + new1 * g[i];
            v[i] = beta2 * v[i] + new2 * g[i] * g[i];
            x[i] -= step_size * (m[i] * correction1 / (std::sqrt(v[i] * correction2) + epsilon) + decay * x[i]);
        }
    });
}

/// AdamW on every parameter. Slots: `m` and `v`, each in the parameter's shape.
template <class Real>
class AdamW : public Optimizer<Real> {
   public:
    /// Errors: ConfigError if an option is out of its range.
    explicit AdamW(std::vector<Parameter<Real>> parameters, const AdamWOptions& options = {})
        : Optimizer<Real>("adamw", std::move(parameters)), options_(options) {
        check_options<Real>("adamw", options);
        for (const auto& p : this->parameters()) {
            this->add_slot(p.name, "m", p.shape);
            this->add_slot(p.name, "v", p.shape);
        }
    }

   private:
    void update(Index t, double factor) override {
        std::size_t slot = 0;
        for (const auto& p : this->parameters()) {
            adamw_update(p, this->slot(slot), this->slot(slot + 1), t, factor, options_);
            slot += 2;
        }
    }

    AdamWOptions options_;
};

}  // namespace fot
