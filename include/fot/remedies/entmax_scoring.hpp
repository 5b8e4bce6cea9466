/// A learned length scale for entmax: scores that grow with the number of keys, as fast as training finds right.
///
///     score = (1 + e^(a_h) (log n)^(c_h)) cos(q, k) / tau_h          n: keys that the query sees
///
/// Unrelated keys are random, and the largest of n random scores grows with n, however slowly. Entmax cuts off what lies 2 below
/// the best; where the noise comes nearer than that, scores must grow with n as well. How fast depends on how the scores of
/// unrelated keys are spread, so the power of the logarithm is learned: 1/2 keeps up with the largest of n normal numbers, 1 with
/// the dilution of a softmax.
///
/// Source: ASEntmax, Vasylenko et al. 2025, arXiv 2506.16640. Departures: a and c are numbers of a head, not projections of the
///         token, since a scoring rule sees only queries; scores are cosines over a temperature.
/// Cost:   a pass over the queries. Parameters: a_h, c_h.
///
/// Read first: model/scoring.hpp, remedies/entmax.hpp.   Read next: train/optimizer.hpp.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "fot/model/scoring.hpp"
#include "fot/nn/scaled_heads.hpp"

namespace fot {

/// The factors f = 1 + e^a l^c of logarithms l (B,T,H) above 0; a and c (H). Gradients are summed in double:
///
///     d_a = sum d_f e^a l^c,   d_c = sum d_f e^a l^c log l
template <class Real>
Variable<Real, 3> length_factors(Tape& tape, const Tensor<Real, 3>& logarithms, const Variable<Real, 1>& a,
                                 const Variable<Real, 1>& c) {
    const Index heads = extent(logarithms, 2);
    const auto grown = [=](Index i) {
        return std::exp(a.value()(i % heads)) * std::pow(logarithms.data()[i], c.value()(i % heads));
    };
    Tensor<Real, 3> factors = empty_like(logarithms);
    for (Index i = 0; i < element_count(factors); ++i) factors.data()[i] = 1 + grown(i);
    const auto backward = [=](const Tensor<Real, 3>& d_f) {
        Tensor<double, 1> d_a = zeros<double, 1>({heads}), d_c = zeros<double, 1>({heads});
        for (Index i = 0; i < element_count(d_f); ++i) {
            const double d = static_cast<double>(d_f.data()[i] * grown(i));
            d_a(i % heads) += d;
            d_c(i % heads) += d * std::log(static_cast<double>(logarithms.data()[i]));
        }
        for (Index h = 0; h < heads; ++h) {
            a.gradient()(h) += static_cast<Real>(d_a(h));
            c.gradient()(h) += static_cast<Real>(d_c(h));
        }
    };
    return tape.record(std::move(factors), backward, a, c);
}

/// Unit scores with the length scale: `model.layer(i).scoring = std::make_unique<EntmaxScoring<float>>(heads, 8, 1e-6)`.
template <class Real>
class EntmaxScoring : public UnitScoring<Real> {
   public:
    /// As UnitScoring. Training begins at a = -2 and c = 1: a quarter more for about 8 keys, twice as much for 1600.
    EntmaxScoring(Index heads, double inverse_temperature, double epsilon)
        : UnitScoring<Real>(heads, inverse_temperature, epsilon),
          log_weight(full<Real, 1>({heads}, Real(-2)), true),
          power(full<Real, 1>({heads}, Real(1)), true) {}

    Variable<Real, 4> queries(Tape& tape, const Variable<Real, 4>& projected, const KeysSeen& seen) const override {
        Tensor<Real, 3> logarithms = log_keys_seen<Real>(seen, extent(projected.value(), 2));
        for (Real& each : logarithms.storage()) each = std::max(each, std::log(Real(2)));  // one key alone: as two
        return scaled_heads(tape, UnitScoring<Real>::queries(tape, projected, seen),
                            length_factors(tape, logarithms, log_weight, power));
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        UnitScoring<Real>::add_parameters(prefix, list);
        list.push_back(parameter(prefix + "log_length_weight", Role::temperature, log_weight));
        list.push_back(parameter(prefix + "length_power", Role::temperature, power));
    }

    Variable<Real, 1> log_weight;  ///< (H) a
    Variable<Real, 1> power;       ///< (H) c
};

}  // namespace fot
