/// Answer to exercise 5: scores that grow with the number of keys.
#pragma once

#include <algorithm>
#include <cmath>

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
        Tensor<double, 4> factors = empty_like(projected.value());
        const auto [entries, length, heads, width] = shape_of(factors);
        for (Index b = 0; b < entries; ++b)
            for (Index t = 0; t < length; ++t) std::fill_n(row(factors, b, t), heads * width, factor(seen.of(b, t)));
        return product(tape, ScaledScoring::queries(tape, projected, seen), Variable<double, 4>(factors));
    }

    /// n_trained
    Index trained_keys() const { return trained_keys_; }

   private:
    /// max(1, log n / log n_trained)
    double factor(Index n) const {
        return std::max(1.0, std::log(static_cast<double>(n)) / std::log(static_cast<double>(trained_keys_)));
    }

    Index trained_keys_;
};

}  // namespace exercises
