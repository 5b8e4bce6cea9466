/// A learned sink: attention that may stay away from all keys.
///
///     p_j = e^(s_j) / (e^(b_h) + sum_i e^(s_i))              b_h: one number per head
///     o   = sum_j p_j v_j  =  sigmoid(L - b_h) A             A, L: softmax attention to all keys, and its log-sum-exp
///
/// Softmax must place a weight of one somewhere, even where no key is worth reading. Models learn to put it on the first token,
/// whose value they make small. A memory has no first token: the weight goes to whatever keys are there. The sink is a key of score
/// b_h and value 0. Because local keys and the memory share it, it is computed once, from the joined result.
///
/// A sink does not make scores sharper. As unrelated keys are added, L grows, and the sink takes less of the attention, not more.
///
/// Source: gpt-oss, OpenAI 2025 (a learned bias in the softmax's denominator); attention sinks: Xiao et al. 2023. No departures.
/// Cost:   a pass over the heads. Parameters: b_h.
///
/// Read first: model/joining.hpp.   Read next: remedies/output_gate.hpp.
#pragma once

#include "fot/model/joining.hpp"
#include "fot/nn/scaled_heads.hpp"

namespace fot {

/// One softmax over local keys, further keys and a sink: `model.layer(i).joining = std::make_unique<LearnedSink<float>>(heads)`.
template <class Real>
class LearnedSink : public OneSoftmax<Real> {
   public:
    /// b_h at the start: a sink as heavy as one key of that score.
    explicit LearnedSink(Index heads, double first = 0) : score(full<Real, 1>({heads}, static_cast<Real>(first)), true) {}

    Variable<Real, 4> join_both(Tape& tape, const LayerView<Real>& at, const Attention<Real>& local,
                                const Attention<Real>& further) const override {
        return alone(tape, at, merge(tape, further, local));
    }
    /// sigmoid(L - b_h) A
    Variable<Real, 4> alone(Tape& tape, const LayerView<Real>&, const Attention<Real>& whole) const override {
        const Index entries = extent(whole.o.value(), 0), length = extent(whole.o.value(), 1);
        const Variable<Real, 3> log_mass = permuted(tape, whole.log_sum_exp, {0, 2, 1}),
                                log_sink = logits_of_heads(tape, score, entries, length);
        return scaled_heads(tape, whole.o, sigmoid(tape, difference(tape, log_mass, log_sink)));
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        list.push_back(parameter(prefix + "sink", Role::gate, score));
    }

    Variable<Real, 1> score;  ///< (H) b_h
};

}  // namespace fot
