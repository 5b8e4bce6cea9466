/// How queries and keys become a score. A score is <q, k>; a rule says what q and k are.
///
///     unit length, temperature     q / |q| / tau_h,  k / |k|       tau_h learned, one per head: the paper's small models
///     scaled                       q / sqrt(D),      k             LLaMA
///
/// With unit lengths a score is a cosine over a temperature: no key can win by being long, and the temperature alone says how far
/// the best key must stand out among the others. If one of n keys has a cosine larger by c than the others, softmax gives it more
/// than half of the attention while log n < c / tau; so tau is learned (paper_notes.md, QK-norm).
///
/// A rule may depend on how many keys a query sees, as remedies against the dilution of a growing memory do. For another rule,
/// derive from one of these and give it parameters of its own if it needs them: optimisers and checkpoints see them.
///
/// Source: paper appendix B.1 (unit length, temperature) and A.2 (LongLLaMA has neither).
///
/// Read first: nn/unit_heads.hpp.   Read next: model/joining.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "fot/core/parameter.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/rms_norm.hpp"
#include "fot/nn/slices.hpp"
#include "fot/nn/unit_heads.hpp"

namespace fot {

/// How many keys a query sees: those of the source, and the local ones up to its own position.
struct KeysSeen {
    std::vector<Index> further;    ///< (B) keys that each batch entry finds in the source
    std::vector<Index> positions;  ///< (T) places of the queries in the local context

    /// Of query t of batch entry b.
    Index of(Index b, Index t) const { return element(further, b) + element(positions, t) + 1; }
};

/// The logarithm of how many keys each query sees, (B,T,H): alike in all heads.
template <class Real>
Tensor<Real, 3> log_keys_seen(const KeysSeen& seen, Index heads) {
    Tensor<Real, 3> log_keys = empty<Real, 3>({length_of(seen.further), length_of(seen.positions), heads});
    for (Index b = 0; b < extent(log_keys, 0); ++b)
        for (Index t = 0; t < extent(log_keys, 1); ++t)
            std::fill_n(row(log_keys, b, t), heads, std::log(static_cast<Real>(seen.of(b, t))));
    return log_keys;
}

/// A rule that makes scores.
template <class Real>
class Scoring {
   public:
    virtual ~Scoring() = default;
    /// What a key is multiplied with: (B,T,H,D) -> (B,T,H,D).
    virtual Variable<Real, 4> queries(Tape& tape, const Variable<Real, 4>& projected, const KeysSeen& seen) const = 0;
    /// Keys: (B,T,G,D) -> (B,T,G,D).
    virtual Variable<Real, 4> keys(Tape& tape, const Variable<Real, 4>& projected) const = 0;
    /// Adds what is trained, names after the prefix.
    virtual void add_parameters(const std::string& /*prefix*/, std::vector<Parameter<Real>>& /*list*/) {}
};

/// Queries and keys of length one, and a learned temperature per head.
template <class Real>
class UnitScoring : public Scoring<Real> {
   public:
    /// 1 / temperature at the start; epsilon is added to squared lengths.
    /// Errors: ConfigError unless the former, as a Real, is finite and above 0.
    UnitScoring(Index heads, double inverse_temperature, double epsilon)
        : log_inverse_temperature(full<Real, 1>({heads}, static_cast<Real>(std::log(inverse_temperature))), true),
          epsilon_(epsilon) {
        const Real as_real = static_cast<Real>(inverse_temperature);
        require<ConfigError>(as_real > 0 && std::isfinite(as_real), "UnitScoring: inverse temperature ", inverse_temperature,
                             ", expected a number that is finite and above 0 in the type of the model");
    }

    Variable<Real, 4> queries(Tape& tape, const Variable<Real, 4>& projected, const KeysSeen&) const override {
        return normalize_heads(tape, projected, log_inverse_temperature, epsilon_);
    }
    Variable<Real, 4> keys(Tape& tape, const Variable<Real, 4>& projected) const override {
        return normalize_heads(tape, projected, epsilon_);
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        list.push_back(parameter(prefix + "log_inverse_temperature", Role::temperature, log_inverse_temperature));
    }

    Variable<Real, 1> log_inverse_temperature;  ///< (H)

   private:
    double epsilon_;
};

/// <q, k> / sqrt(D).
template <class Real>
class ScaledScoring : public Scoring<Real> {
   public:
    Variable<Real, 4> queries(Tape& tape, const Variable<Real, 4>& projected, const KeysSeen&) const override {
        return multiply(tape, projected, 1 / std::sqrt(static_cast<Real>(extent(projected.value(), 3))));
    }
    Variable<Real, 4> keys(Tape&, const Variable<Real, 4>& projected) const override { return projected; }
};

}  // namespace fot
