/// How a memory layer joins its local attention with attention to further keys.
///
///     one softmax   both compete for the same mass: the Focused Transformer
///     gate          a learned number per head divides it: the Memorizing Transformer
///
/// One softmax needs no parameter, so an existing model can be continued without a change of shape. The paper found both equally
/// good. Here each is better in some settings (examples/measurements.md, C9).
///
/// To join in another way, derive from Joining and compute the gate, with parameters of its own if it needs them.
///
/// Source: paper appendix B.2 and C.3, Figure 4.
/// Read first: attention/joining.hpp, model/source.hpp.   Read next: model/memory_layer.hpp.
#pragma once

#include <string>
#include <vector>

#include "fot/attention/joining.hpp"
#include "fot/core/parameter.hpp"
#include "fot/model/source.hpp"

namespace fot {

/// A way to join two attentions of the same queries: o = g further + (1 - g) local with a gate g = sigmoid(logits).
template <class Real>
class Joining {
   public:
    virtual ~Joining() = default;

    /// The heads' outputs (B,T,H,D): those of both attentions, or of the local one if the source had no keys (empty handles).
    Variable<Real, 4> join(Tape& tape, const LayerView<Real>& at, const Attention<Real>& local,
                           const Attention<Real>& further) const {
        return further.o ? join_both(tape, at, local, further) : alone(tape, at, local);
    }

    /// The gate's logits (B,T,H).
    virtual Variable<Real, 3> logits(Tape& tape, const LayerView<Real>& at, const Attention<Real>& local,
                                     const Attention<Real>& further) const = 0;

    /// What `join` gives with further keys. A query that saw none of them, whose log-sum-exp there is -infinity, keeps its local
    /// attention.
    virtual Variable<Real, 4> join_both(Tape& tape, const LayerView<Real>& at, const Attention<Real>& local,
                                        const Attention<Real>& further) const {
        return gate(tape, further, local.o, logits(tape, at, local, further));
    }

    /// What `join` gives without: the same as `join_both` if no query saw a further key.
    virtual Variable<Real, 4> alone(Tape&, const LayerView<Real>&, const Attention<Real>& local) const { return local.o; }

    /// Adds what is trained, names after the prefix. What is not added is neither trained nor kept in a checkpoint.
    virtual void add_parameters(const std::string& /*prefix*/, std::vector<Parameter<Real>>& /*list*/) {}
};

/// Softmax over local and further keys together: the gate is the share of the further keys in it.
template <class Real>
class OneSoftmax : public Joining<Real> {
   public:
    Variable<Real, 3> logits(Tape& tape, const LayerView<Real>&, const Attention<Real>& local,
                             const Attention<Real>& further) const override {
        return log_mass_difference(tape, further, local);
    }
    Variable<Real, 4> join_both(Tape& tape, const LayerView<Real>&, const Attention<Real>& local,
                                const Attention<Real>& further) const override {
        return merge(tape, further, local).o;  // the same in one pass
    }
};

/// A gate sigmoid(bias_h) per head, half open at the start.
template <class Real>
class HeadGate : public Joining<Real> {
   public:
    /// A bias of 0 for each head.
    explicit HeadGate(Index heads) : bias(zeros<Real, 1>({heads}), true) {}

    Variable<Real, 3> logits(Tape& tape, const LayerView<Real>& at, const Attention<Real>&, const Attention<Real>&) const override {
        return logits_of_heads(tape, bias, extent(at.q.value(), 0), extent(at.q.value(), 1));
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        list.push_back(parameter(prefix + "gate_bias", Role::gate, bias));
    }

    Variable<Real, 1> bias;  ///< (H)
};

}  // namespace fot
