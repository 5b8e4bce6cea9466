/// Exercise 5: scores that grow with the number of keys.
///
/// The more keys a query sees, the flatter its softmax: a key whose score exceeds the others' by a constant loses its weight as a
/// memory grows. Log-n scaling (Qwen technical report, 2023) makes up for it: beyond the number of keys that training has shown,
/// scores are multiplied by log n / log n_trained, n being the keys that this query sees.
///
///     score = max(1, log n / log n_trained) <q, k> / sqrt(D)
///
/// Write LogScaledScoring::queries. It now gives the scores of a LLaMA, without the first factor.
///
/// Paper:  section 3.3, attention diluted by a large memory; the remedy is not the paper's.
/// Read:   model/scoring.hpp, `product` in nn/arithmetic.hpp, examples/extend/ssmax.cpp.
/// Try:    cmake --build --preset release --target exercises
#pragma once

#include "fot/model/scoring.hpp"

namespace exercises {

using namespace fot;

/// <q, k> / sqrt(D), times log n / log n_trained for a query that sees more keys than were seen in training.
class LogScaledScoring : public ScaledScoring<double> {
   public:
    /// `trained_keys`: n_trained.   Errors: ConfigError if it is below 2, whose logarithm is not above 0.
    explicit LogScaledScoring(Index trained_keys) : trained_keys_(trained_keys) {
        require<ConfigError>(trained_keys >= 2, "LogScaledScoring: ", trained_keys, " keys in training, expected 2 or more");
    }

    /// (B,T,H,D) -> (B,T,H,D): what a key is multiplied with. The factor is a constant for the gradient.
    Variable<double, 4> queries(Tape& tape, const Variable<double, 4>& projected, const KeysSeen& seen) const override {
        return ScaledScoring::queries(tape, projected, seen);
    }

    /// n_trained
    Index trained_keys() const { return trained_keys_; }

   private:
    Index trained_keys_;
};

}  // namespace exercises
