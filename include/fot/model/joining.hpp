/// How a memory layer joins its local attention with attention to further keys.
///
///     one softmax   both compete for the same mass: the Focused Transformer
///     gate          a learned number per head divides it: the Memorizing Transformer
///
/// Whoever wants another way derives from Joining, with parameters of its own if it needs them.
///
/// Read first: attention/joining.hpp, model/source.hpp.   Read next: model/memory_layer.hpp.
#pragma once

#include <string>
#include <vector>

#include "fot/attention/joining.hpp"
#include "fot/core/parameter.hpp"
#include "fot/model/source.hpp"

namespace fot {

/// A way to join two attentions of the same queries.
template <class Real>
class Joining {
   public:
    virtual ~Joining() = default;
    /// The heads' outputs (B,T,H,D). `further` has a log-sum-exp of -infinity where a query saw no further key.
    virtual Variable<Real, 4> join(Tape& tape, const LayerView<Real>& at, const Attention<Real>& local,
                                   const Attention<Real>& further) const = 0;
    /// Adds what is trained, names after the prefix.
    virtual void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) {
        static_cast<void>(prefix), static_cast<void>(list);
    }
};

/// Softmax over local and further keys together.
template <class Real>
class OneSoftmax : public Joining<Real> {
   public:
    Variable<Real, 4> join(Tape& tape, const LayerView<Real>&, const Attention<Real>& local,
                           const Attention<Real>& further) const override {
        return merge(tape, further, local).o;
    }
};

/// A gate sigmoid(bias_h) per head, half open at the start.
template <class Real>
class HeadGate : public Joining<Real> {
   public:
    explicit HeadGate(Index heads) : bias(zeros<Real, 1>({heads}), true) {}

    Variable<Real, 4> join(Tape& tape, const LayerView<Real>& at, const Attention<Real>& local,
                           const Attention<Real>& further) const override {
        const Tensor<Real, 4>& q = at.q.value();
        return gate(tape, further, local.o, logits_of_heads(tape, bias, extent(q, 0), extent(q, 1)));
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        list.push_back(parameter(prefix + "gate_bias", Role::gate, bias));
    }

    Variable<Real, 1> bias;  ///< (H)
};

}  // namespace fot
