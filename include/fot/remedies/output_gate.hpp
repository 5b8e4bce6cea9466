/// A gate on what attention found: a head may give nothing.
///
///     o_h = sigmoid(<w_h, x>) A_h        x: the layer's normalised input (`at.h`), A_h: softmax attention of head h to all keys
///
/// Why: the weights of a softmax sum to one, so that a head always adds something to the residual stream, even if it is only a mean
/// of distractors. The gate depends on the token and not on the scores: it can shut a head before the memory is large enough to do
/// harm. In the language models of its source the first token's share of attention falls (.467 to .073), and long texts are read
/// better without further training.
///
/// A gate acts on all keys of a query alike. It does not move attention from distractors to the key that the query looks for.
///
/// Source: Qiu et al. 2025, arXiv 2505.06708 (gate after attention, one number per head). No departures.
/// Cost:   H E multiply-adds per token. Parameters: W (H,E), zeros at the start, so that gates begin half open.
///
/// Read first: model/joining.hpp.   Read next: remedies/differential_attention.hpp.
#pragma once

#include "fot/model/joining.hpp"
#include "fot/nn/linear.hpp"
#include "fot/nn/scaled_heads.hpp"

namespace fot {

/// One softmax over all keys, then the gate: `model.layer(i).joining = std::make_unique<OutputGate<float>>(heads, width)`.
template <class Real>
class OutputGate : public OneSoftmax<Real> {
   public:
    /// For H heads of a layer of width E.
    OutputGate(Index heads, Index width) : map(zeros<Real, 2>({heads, width}), true) {}

    Variable<Real, 4> join_both(Tape& tape, const LayerView<Real>& at, const Attention<Real>& local,
                                const Attention<Real>& further) const override {
        return alone(tape, at, merge(tape, further, local));
    }
    /// sigmoid(W x) A
    Variable<Real, 4> alone(Tape& tape, const LayerView<Real>& at, const Attention<Real>& whole) const override {
        return scaled_heads(tape, whole.o, sigmoid(tape, linear(tape, at.h, map)));
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        list.push_back(parameter(prefix + "output_gate", Role::gate, map));
    }

    Variable<Real, 2> map;  ///< (H,E) W
};

}  // namespace fot
