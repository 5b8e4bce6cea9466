/// Attention in two levels whose first is learned: which context, then which key in it.
///
///     o = sum_c softmax_c(u_c) A(q; c)       A(q; c): softmax attention to the keys of context c alone
///     tied      u_c = L_c = log sum_s e^<q, k_cs>                    this IS softmax over the keys of all contexts
///     untied    u_c = log S + <W q, mean_s k_cs>                     W learned, S the number of keys of a context
///
/// So ordinary attention already chooses a context first, and r_d is the weight of that choice. But the choice is tied to the sums
/// of the scores: many keys of small score outvote one good key, and a longer memory has more of them. Untied, a context is chosen
/// by what it is about. With W = I, where training begins, u_c is the lower bound that Jensen's inequality gives for L_c, and
/// equals it if all keys of the context are alike.
///
/// The result joins local attention in one softmax, with log sum_c e^(u_c) as its log-sum-exp. W is a parameter of the joining.
///
/// Source: the first levels of Grouped Cross-Attention (GCA, Hu et al. 2024) and Hierarchical Sparse Attention (HSA, Hu et al.
///         2025). Departures: contexts are windows, their summary is the mean key, all of them are read.
/// Cost:   as context_attention, and T H C D multiply-adds; C results of attention are kept. Parameters: W (D,D).
///
/// Read first: model/contexts_source.hpp, attention/joining.hpp.   Read next: remedies/untied_memory.hpp.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "fot/model/contexts_source.hpp"
#include "fot/model/joining.hpp"
#include "fot/nn/linear.hpp"

namespace fot {

/// One softmax, and the projection that sources of the first level read:
/// `model.layer(i).joining = std::make_unique<FirstLevel<float>>(head_width)`.
template <class Real>
class FirstLevel : public OneSoftmax<Real> {
   public:
    /// The identity of D numbers.
    explicit FirstLevel(Index head_width) : map(zeros<Real, 2>({head_width, head_width}), true) {
        for (Index d = 0; d < head_width; ++d) map.value()(d, d) = 1;
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<Real>>& list) override {
        list.push_back(parameter(prefix + "first_level", Role::hidden_matrix, map));
    }

    Variable<Real, 2> map;  ///< (D,D) W
};

/// The mean of the keys of each context: (P,S,G,D) -> (P,1,G,D).
template <class Real>
Variable<Real, 4> mean_keys(Tape& tape, const Variable<Real, 4>& k) {
    const auto [contexts, length, heads, width] = shape_of(k.value());
    const Variable<Real, 2> mean(full<Real, 2>({1, length}, 1 / static_cast<Real>(length)));
    return permuted(tape, linear(tape, permuted(tape, k, {0, 2, 3, 1}), mean), {0, 3, 1, 2});
}

/// Previous contexts of a batch with an untied first level: in training.
template <class Real>
class UntiedContexts : public Source<Real> {
   public:
    /// As Contexts, and the projection of the layer's FirstLevel.
    UntiedContexts(Contexts<Real> contexts, Variable<Real, 2> map) : contexts_(std::move(contexts)), map_(std::move(map)) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        const auto& [k, v] = contexts_.of_layer(at.layer);
        Attention<Real> whole;
        if (contexts_.table().most_contexts() == 0) return whole;
        const Variable<Real, 4> asks = linear(tape, at.q, map_), means = mean_keys(tape, k);
        const Variable<Real, 3> log_length(full(Shape<3>{extent(asks.value(), 0), extent(asks.value(), 2), extent(asks.value(), 1)},
                                                std::log(static_cast<Real>(extent(k.value(), 1)))));
        for (Index place = 0; place < contexts_.table().most_contexts(); ++place) {
            const ContextTable only = at_place(place);
            Attention<Real> part = context_attention(tape, at.q, k, v, only);
            // attention to one key: its log-sum-exp is the score, -infinity for an entry that has no context at this place
            part.log_sum_exp = add(tape, context_attention(tape, asks, means, means, only).log_sum_exp, log_length);
            whole = whole.o ? merge(tape, whole, part) : part;
        }
        return whole;
    }
    Index key_count(Index layer, Index b) const override { return contexts_.key_count(layer, b); }

   private:
    /// The table with the context at one place of each list.
    ContextTable at_place(Index place) const {
        ContextTable only = no_contexts(contexts_.table().entries());
        only.available = contexts_.table().available;
        for (Index b = 0; b < only.entries(); ++b)
            if (const auto& list = element(contexts_.table().contexts, b); place < length_of(list))
                element(only.contexts, b) = {element(list, place)};
        return only;
    }

    Contexts<Real> contexts_;
    Variable<Real, 2> map_;
};

}  // namespace fot
