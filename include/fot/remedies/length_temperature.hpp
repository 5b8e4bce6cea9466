/// Scores that grow with the logarithm of the number of keys, so that a memory may grow without diluting its best key.
///
///     learned         score = a_h log(n) cos(q, k)                          SSMax: also in training; a_h is a number per head
///     inference only  score = max(1, log n / log n_trained) score_trained   LogN: any model, as it was trained
///
/// If one of n keys has the cosine c with the query and all others 0, that key has the weight e^s / (e^s + n - 1), where s is its
/// score. At a fixed temperature s = c / tau, and the weight falls below one half once log n > c / tau: with a fixed temperature a
/// memory can only grow to a certain size. With s = a c log n the weight is n^(a c) / (n^(a c) + n - 1), which tends to one if a c
/// exceeds 1, and to zero if a c is below 1. So the logarithm cures *dilution* by unrelated keys, provided that the key that the
/// query looks for stands out. (Random cosines in place of 0 limit that: paper_notes.md, "Remedies for distraction".) It does not
/// cure *overlap*: where other documents' keys have the same cosine, all of their scores grow alike.
///
/// The number n of keys is what a query sees: local keys up to its own and all of the source's, even if only the best are read.
///
/// Source: Nakanishi 2025, arXiv 2501.19399 (SSMax); Su 2021 and the Qwen models (LogN). The paper of the Focused Transformer has a
/// learned temperature that does not depend on n. Departures from SSMax: scores are cosines, so that a_h replaces 1 / tau_h.
/// Cost:   a pass over the queries. Parameters: a_h in place of 1 / tau_h; LogN has none.
///
/// Read first: model/scoring.hpp.   Read next: remedies/adaptive_temperature.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fot/model/scoring.hpp"
#include "fot/nn/scaled_heads.hpp"

namespace fot {

/// SSMax on unit vectors: `model.layer(i).scoring = std::make_unique<ScalableSoftmax<float>>(heads, scale, epsilon)`.
template <class Real>
class ScalableSoftmax : public UnitScoring<Real> {
   public:
    /// a_h at the start. With 1 / (tau log n) scores begin as those of temperature tau among n keys.
    /// Errors: ConfigError unless it is finite and above 0.
    ScalableSoftmax(Index heads, double scale, double epsilon) : UnitScoring<Real>(heads, scale, epsilon) {}

    Variable<Real, 4> queries(Tape& tape, const Variable<Real, 4>& projected, const KeysSeen& seen) const override {
        const Tensor<Real, 3> log_keys = log_keys_seen<Real>(seen, extent(projected.value(), 2));
        return scaled_heads(tape, UnitScoring<Real>::queries(tape, projected, seen), Variable<Real, 3>(log_keys));
    }
    /// log a_h has a name of its own: weights of another rule are refused.
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        list.push_back(parameter(prefix + "log_length_scale", Role::temperature, this->log_inverse_temperature));
    }
};

/// LogN: the scores of another rule, made larger where a query sees more keys than in training. Its parameters are the rule's.
template <class Real>
class LogLength : public Scoring<Real> {
   public:
    /// The rule that a model was trained with, and how many keys its queries saw then.
    /// Errors: ConfigError if there is no rule, or fewer than 2 keys.
    LogLength(std::unique_ptr<Scoring<Real>> trained, Index trained_keys)
        : trained_(std::move(trained)), log_trained_keys_(std::log(static_cast<Real>(trained_keys))) {
        require<ConfigError>(trained_ != nullptr, "LogLength: no scoring, expected the one of training");
        require<ConfigError>(trained_keys >= 2, "LogLength: ", trained_keys, " keys in training, expected 2 or more");
    }

    Variable<Real, 4> queries(Tape& tape, const Variable<Real, 4>& projected, const KeysSeen& seen) const override {
        const Variable<Real, 4> q = trained_->queries(tape, projected, seen);
        Tensor<Real, 3> factors = log_keys_seen<Real>(seen, extent(q.value(), 2));
        for (Real& factor : factors.storage()) factor = std::max(Real(1), factor / log_trained_keys_);
        return scaled_heads(tape, q, Variable<Real, 3>(factors));
    }
    Variable<Real, 4> keys(Tape& tape, const Variable<Real, 4>& projected) const override {
        return trained_->keys(tape, projected);
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        trained_->add_parameters(prefix, list);
    }

   private:
    std::unique_ptr<Scoring<Real>> trained_;
    Real log_trained_keys_;
};

}  // namespace fot
