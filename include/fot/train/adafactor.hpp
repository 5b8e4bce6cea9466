/// Adafactor (Shazeer and Stern 2018): the mean of squared gradients of a matrix is kept as one number a row and one a column.
///
/// The paper trains its small models this way (analysis and appendix: decay 0.8, momentum 0.9, update scaled by the parameter's
/// norm). Adam remembers a squared gradient for every number; Adafactor remembers the means R over each row and S over each
/// column, and takes R_i S_j / mean(R) for the mean square of element (i, j): exact when the squares have rank one. The
/// learning rate is relative: an update has about that share of the parameter's own root mean square (rms).
///
/// The order of the parts below is that of the optax library, with which the released training code works; it matters, for
/// instance: the weight decay is not multiplied by the learning rate.
///
/// Read first: train/optimizer.hpp.   Read next: train/muon.hpp.
#pragma once

#include <numeric>
#include <optional>

#include "fot/core/parallel.hpp"
#include "fot/train/optimizer.hpp"

namespace fot {

/// Settings of Adafactor; the defaults are those of optax.
struct AdafactorOptions {
    Index min_dim_size_to_factor = 128;             ///< both factored axes must be at least this long
    double decay_rate = 0.8;                        ///< step t keeps the share 1 - t^-decay_rate of the means of squares
    bool multiply_by_parameter_scale = true;        ///< times max(rms of the parameter, 1e-3)
    std::optional<double> clipping_threshold = 1;   ///< largest rms of an update before the learning rate; none: no limit
    std::optional<double> momentum = std::nullopt;  ///< share kept of the mean of updates (not corrected for its start at 0)
    std::optional<double> weight_decay_rate = std::nullopt;  ///< not multiplied by the learning rate
    double epsilon = 1e-30;                                  ///< added to squared gradients
    bool factored = true;                                    ///< false: a mean of squares for every number
    LearningRateFactors learning_rate_factors{};             ///< by role

    /// The options of the paper's small models.
    static AdafactorOptions paper() {
        AdafactorOptions options;
        options.momentum = 0.9;
        return options;
    }
};

namespace detail {

/// A shape as (outer, rows, middle, columns, inner), where rows and columns are the two longest axes, the later ones of equals.
/// A matrix has outer = middle = inner = 1.
struct FactoredShape {
    Index outer = 1, rows = 1, middle = 1, columns = 1, inner = 1;
    std::size_t row_axis = 0, column_axis = 0;

    Index row_place(Index o, Index i, Index m, Index k) const { return ((o * rows + i) * middle + m) * inner + k; }
    Index column_place(Index o, Index m, Index j, Index k) const { return ((o * middle + m) * columns + j) * inner + k; }

    /// Calls f(element, place of its row, place of its column).
    template <class F>
    void for_each(F&& f) const {
        Index element = 0;
        for (Index o = 0; o < outer; ++o)
            for (Index i = 0; i < rows; ++i)
                for (Index m = 0; m < middle; ++m)
                    for (Index j = 0; j < columns; ++j)
                        for (Index k = 0; k < inner; ++k) f(element++, row_place(o, i, m, k), column_place(o, m, j, k));
    }
};

/// Which axes are factored; none if the second longest is too short.
inline std::optional<FactoredShape> factored_shape(const std::vector<Index>& shape, const AdafactorOptions& options) {
    if (!options.factored || shape.size() < 2) return std::nullopt;
    std::vector<std::size_t> axes(shape.size());
    std::iota(axes.begin(), axes.end(), std::size_t{0});
    std::stable_sort(axes.begin(), axes.end(), [&](std::size_t a, std::size_t b) { return shape[a] < shape[b]; });
    const std::size_t longest = axes[axes.size() - 1], second = axes[axes.size() - 2];
    if (shape[second] < options.min_dim_size_to_factor) return std::nullopt;
    FactoredShape view;
    view.row_axis = std::min(longest, second);
    view.column_axis = std::max(longest, second);
    view.rows = shape[view.row_axis];
    view.columns = shape[view.column_axis];
    for (std::size_t axis = 0; axis < shape.size(); ++axis)
        if (axis != view.row_axis && axis != view.column_axis)
            (axis < view.row_axis ? view.outer : axis < view.column_axis ? view.middle : view.inner) *= shape[axis];
    return view;
}

/// Root mean square of `count` numbers; 0 of none.
template <class Real>
double root_mean_square(const Real* x, Index count) {
    double sum = 0;
    for (Index i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return count == 0 ? 0 : std::sqrt(sum / static_cast<double>(count));
}

}  // namespace detail

/// Adafactor on every parameter, step t = 1, 2, ...:
///
///     keep = 1 - t^-decay_rate
///     R_i <- keep R_i + (1 - keep) mean_j(g_ij^2 + epsilon)      S_j <- keep S_j + (1 - keep) mean_i(g_ij^2 + epsilon)
///     u_ij = g_ij / sqrt(R_i S_j / mean(R))                      (not factored: v <- keep v + ..., u = g / sqrt(v))
///     u <- u / max(1, rms(u) / clipping_threshold)
///     u <- u * learning_rate * max(rms(x), 1e-3)
///     u <- M <- momentum M + (1 - momentum) u
///     x <- x - (u + weight_decay_rate x)
///
/// Slots: `v_row` and `v_column` (the shape without the other axis) or `v`; `momentum` if there is one.
/// More than two axes: the two longest are factored, each slice along the others by itself; the limit and the scale are common.
/// Errors: ConfigError if an option is out of its range.
template <class Real>
class Adafactor : public Optimizer<Real> {
   public:
    /// Errors: ConfigError if an option is out of its range.
    explicit Adafactor(const std::vector<Parameter<Real>>& parameters, const AdafactorOptions& options = {})
        : Optimizer<Real>("adafactor", parameters), options_(options) {
        require<ConfigError>(options.min_dim_size_to_factor >= 1, "adafactor: min_dim_size_to_factor ",
                             options.min_dim_size_to_factor, " is below 1");
        require<ConfigError>(options.decay_rate > 0, "adafactor: decay rate ", options.decay_rate, " is not positive");
        require<ConfigError>(options.epsilon > 0, "adafactor: epsilon ", options.epsilon, " is not positive");
        require<ConfigError>(options.clipping_threshold.value_or(1) > 0, "adafactor: clipping threshold ",
                             options.clipping_threshold.value_or(1), " is not positive");
        require<ConfigError>(options.momentum.value_or(0) >= 0 && options.momentum.value_or(0) < 1, "adafactor: momentum ",
                             options.momentum.value_or(0), ", expected 0 <= momentum < 1");
        require<ConfigError>(options.weight_decay_rate.value_or(0) >= 0 && std::isfinite(options.weight_decay_rate.value_or(0)),
                             "adafactor: weight decay rate ", options.weight_decay_rate.value_or(0),
                             ", expected a finite number of 0 or more");
        options.learning_rate_factors.check("adafactor");
        for (const auto& p : parameters) {
            Places places{detail::factored_shape(p.shape, options), 0, 0, 0};
            if (places.factored) {
                places.row = this->add_slot(p.name, "v_row", without(p.shape, places.factored->column_axis));
                places.column = this->add_slot(p.name, "v_column", without(p.shape, places.factored->row_axis));
            } else {
                places.row = this->add_slot(p.name, "v", p.shape);
            }
            if (options.momentum) places.momentum = this->add_slot(p.name, "momentum", p.shape);
            places_.push_back(places);
        }
    }

   private:
    /// Where a parameter's state lies; `row` is also the place of `v`.
    struct Places {
        std::optional<detail::FactoredShape> factored;
        std::size_t row, column, momentum;
    };

    static std::vector<Index> without(std::vector<Index> shape, std::size_t axis) {
        shape.erase(shape.begin() + static_cast<Index>(axis));
        return shape;
    }

    void update(const std::vector<Parameter<Real>>& parameters, double learning_rate) override {
        const double keep = 1 - std::pow(static_cast<double>(this->step_count()), -options_.decay_rate);
        parallel_for(static_cast<Index>(parameters.size()), [&](Index i) {
            const auto& parameter = parameters[static_cast<std::size_t>(i)];
            const Places& places = places_[static_cast<std::size_t>(i)];
            Tensor<Real, 1> u = empty<Real, 1>({length_of(parameter.value())});
            if (places.factored)
                factored_direction(*places.factored, parameter, this->slot(places.row), this->slot(places.column), keep, u.data());
            else
                direction(parameter, this->slot(places.row), keep, u.data());
            apply(parameter, u.data(), learning_rate, options_.momentum ? this->slot(places.momentum) : nullptr);
        });
    }

    /// u = g / sqrt(v)
    void direction(const Parameter<Real>& parameter, Real* v, double keep, Real* u) const {
        const Real epsilon = static_cast<Real>(options_.epsilon), kept = static_cast<Real>(keep),
                   added = static_cast<Real>(1 - keep);
        const Real* g = parameter.gradient().data();
        for (Index i = 0; i < length_of(parameter.value()); ++i) {
            v[i] = kept * v[i] + added * (g[i] * g[i] + epsilon);
            u[i] = g[i] / std::sqrt(v[i]);
        }
    }

    /// u_ij = g_ij / sqrt(R_i / mean(R)) / sqrt(S_j)
    void factored_direction(const detail::FactoredShape& shape, const Parameter<Real>& parameter, Real* v_row, Real* v_column,
                            double keep, Real* u) const {
        using Numbers = std::vector<double>;
        const auto at = [](Index place) { return static_cast<std::size_t>(place); };
        const Index slices = shape.outer * shape.middle * shape.inner;
        Numbers row(at(slices * shape.rows)), column(at(slices * shape.columns)), mean(at(slices));
        const Real* g = parameter.gradient().data();
        shape.for_each([&](Index element, Index i, Index j) {
            const double square = static_cast<double>(g[element]) * static_cast<double>(g[element]) + options_.epsilon;
            row[at(i)] += square;
            column[at(j)] += square;
        });
        const auto blend = [&](Real* v, Numbers& sums, Index summed) {
            for (std::size_t i = 0; i < sums.size(); ++i)
                v[i] = static_cast<Real>(keep * static_cast<double>(v[i]) + (1 - keep) * sums[i] / static_cast<double>(summed));
        };
        blend(v_row, row, shape.columns);
        blend(v_column, column, shape.rows);

        const auto slice_of_row = [&](Index place) {  // the place without its coordinate i
            const Index below = shape.middle * shape.inner;
            return at(place / (below * shape.rows) * below + place % below);
        };
        for (Index i = 0; i < slices * shape.rows; ++i)
            mean[slice_of_row(i)] += static_cast<double>(v_row[i]) / static_cast<double>(shape.rows);
        for (Index i = 0; i < slices * shape.rows; ++i)
            row[at(i)] = std::sqrt(mean[slice_of_row(i)] / static_cast<double>(v_row[i]));
        for (std::size_t j = 0; j < column.size(); ++j) column[j] = 1 / std::sqrt(static_cast<double>(v_column[j]));
        shape.for_each([&](Index element, Index i, Index j) {
            u[element] = static_cast<Real>(static_cast<double>(g[element]) * row[at(i)] * column[at(j)]);
        });
    }

    /// From the direction u to the new parameter.
    void apply(const Parameter<Real>& parameter, Real* u, double learning_rate, Real* momentum) const {
        Real* x = parameter.value().data();
        const Index count = length_of(parameter.value());
        double size = learning_rate * options_.learning_rate_factors.of(parameter.role);
        if (options_.clipping_threshold) size /= std::max(1.0, detail::root_mean_square(u, count) / *options_.clipping_threshold);
        constexpr double smallest_scale = 1e-3;  // a parameter that starts at zero must be able to leave it
        if (options_.multiply_by_parameter_scale) size *= std::max(smallest_scale, detail::root_mean_square(x, count));
        const Real factor = static_cast<Real>(size), kept = static_cast<Real>(options_.momentum.value_or(0)),
                   added = static_cast<Real>(1 - options_.momentum.value_or(0)),
                   decay = static_cast<Real>(options_.weight_decay_rate.value_or(0));
        for (Index i = 0; i < length_of(parameter.value()); ++i) {
            Real change = factor * u[i];
            if (momentum) change = momentum[i] = kept * momentum[i] + added * change;
            x[i] -= change + decay * x[i];
        }
    }

    AdafactorOptions options_;
    std::vector<Places> places_;
};

}  // namespace fot
