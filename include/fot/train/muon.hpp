/// Muon (Keller Jordan 2024): momentum, made orthogonal, for hidden matrices; Adam for everything else.
///
/// The update of a weight matrix is usually of low rank: a few directions hold nearly all of it. Muon gives every direction the
/// same length: it replaces the momentum U S V^T by about U V^T, without a singular value decomposition, by a few matrix products
/// (Newton-Schulz iteration). Embedding and output keep Adam, because each of their rows belongs to one token. So do norm scales,
/// temperatures and the gates of heads, which are vectors or have one row per head.
///
/// Muon is not in the paper, whose small models use Adafactor. After as many steps with the paper's whole recipe r_64 is similar,
/// but bits per byte are worse by .18 to .22 (one memory layer; examples/measurements.md, C1).
///
/// Read first: train/adamw.hpp, core/blas.hpp.   Read next: train/learning_rate.hpp.
#pragma once

#include "fot/core/blas.hpp"
#include "fot/train/adamw.hpp"

namespace fot {

/// Settings of Muon.
struct MuonOptions {
    double learning_rate = 0.02;    ///< of hidden matrices, times sqrt(max(1, rows / columns))
    double momentum = 0.95;         ///< share kept of the sum of gradients
    Index newton_schulz_steps = 5;  ///< singular values end up between about 0.7 and 1.2
    double weight_decay = 0;        ///< of hidden matrices, times their learning rate
    /// Of all others. Temperatures learn five times as fast; the factors by role are Muon's too.
    AdamWOptions adam{.learning_rate = 3e-3, .beta2 = 0.98, .learning_rate_factors = {.temperature = 5}};
};

/// Moves all singular values of a matrix close to 1 and keeps its singular vectors.
///
///     X_0 = G / (|G| + 1e-7)                                |G| the Frobenius norm
///     X <- a X + b (X X^T) X + c (X X^T)^2 X                (a, b, c) = (3.4445, -4.7750, 2.0315)
///
/// An odd polynomial of X acts on its singular values alone. This one is steep at 0 and does not settle at 1: after five steps
/// singular values above 0.005 of the norm lie between about 0.7 and 1.2, which is good enough for an update.
///
/// Shapes: (rows, columns) -> the same.   Errors: ConfigError for fewer steps than 1.
/// Cost:   steps * (2 short^2 long + short^3) multiply-adds, where short and long are the two extents in order.
template <class Real>
Tensor<Real, 2> orthogonalised(const Tensor<Real, 2>& g, Index steps = 5) {
    require<ConfigError>(steps >= 1, "orthogonalised: ", steps, " steps, expected 1 or more");
    constexpr Real a = Real(3.4445), b = Real(-4.7750), c = Real(2.0315);
    const bool tall = extent(g, 0) > extent(g, 1);
    const Index shorter = std::min(extent(g, 0), extent(g, 1));
    double square = 0;
    for (const Real each : g.storage()) square += static_cast<double>(each) * static_cast<double>(each);
    const Real scale = static_cast<Real>(1 / (std::sqrt(square) + 1e-7));
    Tensor<Real, 2> x = scale * g, next, gram = empty<Real, 2>({shorter, shorter}), polynomial;
    for (Index step = 0; step < steps; ++step) {
        const auto view = as_matrix(x), transposed = transpose(view);
        // Of a tall matrix X^T X is the smaller product; the polynomial is then on the right.
        gemm(Real(1), tall ? transposed : view, tall ? view : transposed, Real(0), as_matrix(gram));
        polynomial = gram;
        gemm(c, as_matrix(gram), as_matrix(gram), b, as_matrix(polynomial));  // b A + c A^2
        next = x;
        gemm(Real(1), tall ? view : as_matrix(polynomial), tall ? as_matrix(polynomial) : view, a, as_matrix(next));
        std::swap(x, next);
    }
    return x;
}

/// Muon on parameters of role `hidden_matrix`, Adam on all others:
///
///     M <- momentum M + G
///     X <- X - rate ( sqrt(max(1, rows / columns)) orthogonalised(G + momentum M) + weight_decay X )
///
/// where rate = factor * learning_rate, times the factor of hidden matrices. A weight (out, in) has `out` rows. Slots: `momentum`
/// for hidden matrices; `m` and `v` for the others. The gradient enters in the Nesterov form: the momentum is looked at one step
/// ahead. A step needs room for another copy of the hidden matrices: it finds all directions before it changes anything.
template <class Real>
class Muon : public Optimizer<Real> {
   public:
    /// Errors: ConfigError if an option is out of its range; ShapeError if a hidden matrix has not two axes.
    explicit Muon(std::vector<Parameter<Real>> parameters, const MuonOptions& options = {})
        : Optimizer<Real>("muon", std::move(parameters)), options_(options) {
        check_options<Real>("muon: adam", options.adam);
        detail::require_not_negative("muon", "learning rate", options.learning_rate);
        detail::require_share("muon", "momentum", options.momentum);
        require<ConfigError>(options.newton_schulz_steps >= 1, "muon: ", options.newton_schulz_steps,
                             " Newton-Schulz steps, expected 1 or more");
        detail::require_not_negative("muon", "weight decay", options.weight_decay);
        for (const auto& p : this->parameters()) {
            const bool matrix = p.role == Role::hidden_matrix;
            require<ShapeError>(!matrix || p.shape.size() == 2, "muon: hidden matrix ", p.name, " has shape ", shape_text(p.shape),
                                ", expected two axes");
            first_slots_.push_back(this->add_slot(p.name, matrix ? "momentum" : "m", p.shape));
            if (!matrix) this->add_slot(p.name, "v", p.shape);
        }
    }

   private:
    void update(Index t, double factor) override {
        const std::vector<Parameter<Real>>& parameters = this->parameters();
        std::vector<Tensor<Real, 2>> directions(parameters.size());
        parallel_for(length_of(parameters), [&](Index i) {
            const Parameter<Real>& p = element(parameters, i);
            if (p.role == Role::hidden_matrix) element(directions, i) = direction_of(p, this->slot(element(first_slots_, i)));
        });
        const double rate = factor * options_.learning_rate * options_.adam.learning_rate_factors.of(Role::hidden_matrix);
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            const Parameter<Real>& p = parameters[i];
            if (p.role == Role::hidden_matrix)
                move(p, this->slot(first_slots_[i]), directions[i], rate);
            else
                adamw_update(p, this->slot(first_slots_[i]), this->slot(first_slots_[i] + 1), t, factor, options_.adam);
        }
    }

    /// orthogonalised(G + momentum M) of the M to come.
    Tensor<Real, 2> direction_of(const Parameter<Real>& parameter, std::span<Real> momentum) const {
        const Shape<2> shape{parameter.shape[0], parameter.shape[1]};
        if (momentum.empty()) return empty<Real, 2>(shape);
        const Real kept = static_cast<Real>(options_.momentum);
        const auto g = viewed(parameter.gradient(), shape), m = viewed(momentum, shape);
        return orthogonalised(Tensor<Real, 2>(g + kept * (kept * m + g)), options_.newton_schulz_steps);
    }

    /// Moves a matrix, and its momentum.
    void move(const Parameter<Real>& parameter, std::span<Real> momentum, const Tensor<Real, 2>& direction, double rate) const {
        const double rows = static_cast<double>(parameter.shape[0]), columns = static_cast<double>(parameter.shape[1]);
        const Real kept = static_cast<Real>(options_.momentum),
                   step_size = static_cast<Real>(rate * std::sqrt(std::max(1.0, rows / columns))),
                   shrink = static_cast<Real>(1 - rate * options_.weight_decay);
        const std::span<Real> x = parameter.value(), g = parameter.gradient();
        parallel_slices(length_of(x), 1 << 14, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) {
                element(momentum, i) = kept * element(momentum, i) + element(g, i);
                element(x, i) = shrink * element(x, i) - step_size * direction.data()[i];
            }
        });
    }

    MuonOptions options_;
    std::vector<std::size_t> first_slots_;  // of each parameter
};

}  // namespace fot
