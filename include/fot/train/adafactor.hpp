/// Adafactor (Shazeer and Stern 2018): the mean of squared gradients of a matrix is kept as one number per row and one per column.
///
/// The paper trains its small models this way (appendix E, Table 9: momentum 0.9). Adam remembers a squared gradient for every
/// number; Adafactor remembers the means R over each row and S over each column, and takes R_i S_j / mean(R) for the mean square of
/// element (i, j): exact when the squares have rank one. The learning rate is relative: the root mean square (rms) of an update is
/// about the learning rate times that of the parameter.
///
/// The parts below are in the order of the optax library, which the released training code uses. The order matters: for instance,
/// the weight decay is not multiplied by the learning rate. The decay of 0.8 and the scaling by the parameter's rms are optax's
/// defaults.
///
/// No program here needs it but paper_recipe: toys learn faster with train/muon.hpp.
///
/// Read first: train/optimizer.hpp.   Read next: train/muon.hpp.
#pragma once

#include <optional>

#include "fot/core/parallel.hpp"
#include "fot/train/optimizer.hpp"

namespace fot {

/// Settings of Adafactor; the defaults are those of optax, the learning rate aside, for which optax has none. The paper's small
/// models have a momentum of 0.9.
struct AdafactorOptions {
    double learning_rate = 0.01;                    ///< relative: of a parameter's rms in a step
    Index min_dim_size_to_factor = 128;             ///< both axes of a matrix must be at least this long, else it is not factored
    double decay_rate = 0.8;                        ///< step t keeps the share 1 - t^-decay_rate of the means of squares
    bool multiply_by_parameter_scale = true;        ///< times max(rms of the parameter, 1e-3)
    std::optional<double> clipping_threshold = 1;   ///< largest rms of an update before the learning rate; none: no limit
    std::optional<double> momentum = std::nullopt;  ///< share kept of the mean of updates (not corrected for its start at 0)
    std::optional<double> weight_decay_rate = std::nullopt;  ///< not multiplied by the learning rate
    double epsilon = 1e-30;                                  ///< added to squared gradients
    LearningRateFactors learning_rate_factors{};             ///< by role
};

/// Adafactor on every parameter, step t = 1, 2, ...:
///
///     keep = 1 - t^-decay_rate
///     R_i <- keep R_i + (1 - keep) mean_j(g_ij^2 + epsilon)      S_j <- keep S_j + (1 - keep) mean_i(g_ij^2 + epsilon)
///     u_ij = g_ij / sqrt(R_i S_j / mean(R))                      (not factored: v <- keep v + ..., u = g / sqrt(v))
///     u <- u / max(1, rms(u) / clipping_threshold)
///     u <- u * factor * learning_rate * max(rms(x), 1e-3)
///     u <- M <- momentum M + (1 - momentum) u
///     x <- x - (u + weight_decay_rate x)
///
/// Slots: `v_row` and `v_column` of a factored matrix, else `v`; `momentum` if there is one.
template <class Real>
class Adafactor : public Optimizer<Real> {
   public:
    /// Errors: ConfigError if an option is out of its range; ShapeError if a parameter has more than two axes.
    explicit Adafactor(std::vector<Parameter<Real>> parameters, const AdafactorOptions& options = {})
        : Optimizer<Real>("adafactor", std::move(parameters)), options_(options) {
        check_options();
        for (const auto& p : this->parameters()) {
            require<ShapeError>(p.shape.size() == 1 || p.shape.size() == 2, "adafactor: ", p.name, " has shape ",
                                shape_text(p.shape), ", expected one or two axes");
            Slots at{.factored = p.shape.size() == 2 && std::min(p.shape[0], p.shape[1]) >= options.min_dim_size_to_factor};
            at.v = at.factored ? this->add_slot(p.name, "v_row", {p.shape[0]}) : this->add_slot(p.name, "v", p.shape);
            if (at.factored) at.v_column = this->add_slot(p.name, "v_column", {p.shape[1]});
            if (options.momentum) at.momentum = this->add_slot(p.name, "momentum", p.shape);
            slots_.push_back(at);
        }
    }

   private:
    /// Where a parameter's state lies.
    struct Slots {
        bool factored;
        std::size_t v = 0, v_column = 0, momentum = 0;  // v: that of the rows if factored
    };

    /// What a parameter and its state become.
    struct Update {
        Tensor<Real, 2> x, v, v_column, momentum;
    };

    /// Finds all updates before it writes the first: a step needs room for another copy of parameters and state.
    void update(Index t, double factor) override {
        std::vector<Update> updates(slots_.size());
        parallel_for(length_of(slots_), [&](Index i) {
            const Parameter<Real>& p = element(this->parameters(), i);
            if (!p.value().empty()) element(updates, i) = update_of(p, element(slots_, i), t, factor * options_.learning_rate);
        });
        parallel_for(length_of(slots_), [&](Index i) {
            const Update& update = element(updates, i);
            const Slots& at = element(slots_, i);
            const auto write = [](const Tensor<Real, 2>& numbers, std::span<Real> to) {
                std::copy_n(numbers.data(), numbers.size(), to.data());
            };
            write(update.x, element(this->parameters(), i).value());
            write(update.v, this->slot(at.v));
            if (at.factored) write(update.v_column, this->slot(at.v_column));
            if (options_.momentum) write(update.momentum, this->slot(at.momentum));
        });
    }

    /// Step t of one parameter, in double whatever its type; a vector is a matrix of one row.
    Update update_of(const Parameter<Real>& p, const Slots& at, Index t, double rate) {
        const Shape<2> shape{p.shape.size() == 1 ? 1 : p.shape[0], p.shape.back()};
        const double keep = 1 - std::pow(static_cast<double>(t), -options_.decay_rate);
        const auto x = viewed(p.value(), shape);
        const Tensor<double, 2> g = viewed(p.gradient(), shape), squares = g * g + options_.epsilon;
        Update update;
        Tensor<double, 2> u;
        if (at.factored) {
            const auto keep_axis = xt::keep_dims | xt::evaluation_strategy::immediate;
            const auto rows = viewed(this->slot(at.v), Shape<2>{shape[0], 1}),
                       columns = viewed(this->slot(at.v_column), Shape<2>{1, shape[1]});
            update.v = keep * rows + (1 - keep) * xt::mean(squares, {1}, keep_axis);
            update.v_column = keep * columns + (1 - keep) * xt::mean(squares, {0}, keep_axis);
            const Tensor<double, 2> of_row = xt::sqrt(xt::mean<double>(update.v)() / update.v),
                                    of_column = 1.0 / xt::sqrt(update.v_column);
            u = g * of_row * of_column;
        } else {
            update.v = keep * viewed(this->slot(at.v), shape) + (1 - keep) * squares;
            u = g / xt::sqrt(update.v);
        }
        if (options_.clipping_threshold) rate /= std::max(1.0, root_mean_square(u) / *options_.clipping_threshold);
        constexpr double smallest_scale = 1e-3;  // a parameter that starts at zero must be able to leave it
        if (options_.multiply_by_parameter_scale) rate *= std::max(smallest_scale, root_mean_square(x));
        u *= rate * options_.learning_rate_factors.of(p.role);
        if (options_.momentum) {
            u = *options_.momentum * viewed(this->slot(at.momentum), shape) + (1 - *options_.momentum) * u;
            update.momentum = u;
        }
        update.x = x - (u + options_.weight_decay_rate.value_or(0) * x);
        return update;
    }

    template <class Numbers>
    static double root_mean_square(const Numbers& x) {
        return std::sqrt(xt::mean<double>(x * x)());
    }

    void check_options() const {
        const AdafactorOptions& o = options_;
        detail::require_not_negative("adafactor", "learning rate", o.learning_rate);
        detail::require_epsilon<Real>("adafactor", o.epsilon);
        o.learning_rate_factors.check("adafactor");
        detail::require_share("adafactor", "momentum", o.momentum.value_or(0));
        detail::require_not_negative("adafactor", "weight decay rate", o.weight_decay_rate.value_or(0));
        require<ConfigError>(o.min_dim_size_to_factor >= 1, "adafactor: min_dim_size_to_factor ", o.min_dim_size_to_factor,
                             ", expected 1 or more");
        require<ConfigError>(o.decay_rate > 0, "adafactor: decay rate ", o.decay_rate, ", expected more than 0");
        require<ConfigError>(o.clipping_threshold.value_or(1) > 0, "adafactor: clipping threshold ",
                             o.clipping_threshold.value_or(1), ", expected more than 0");
    }

    AdafactorOptions options_;
    std::vector<Slots> slots_;
};

}  // namespace fot
