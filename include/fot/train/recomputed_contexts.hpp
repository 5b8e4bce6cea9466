/// Crossbatch with thousands of contexts in bounded memory: their keys and values are computed twice, a few contexts at a time.
///
///     forward    keys and values of all previous contexts, of which nothing else is kept
///     backward   once their gradients are known, the contexts go through the layers below again, a few at a time and on a tape
///
/// Plain training keeps all activations of all contexts until the backward pass. Here the activations of a few contexts are kept at
/// a time (the argument `together` says of how many); of all other contexts only keys, values and their gradients: 4 H D numbers
/// per token. The price is one forward pass more over the contexts, about a third of their cost. Gradients are the same up to
/// rounding. (The idea is gradient caching: Gao et al. 2021.)
///
/// Read first: model/contexts_source.hpp, model/transformer.hpp.   Read next: train/partly_trained_contexts.hpp.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "fot/model/transformer.hpp"

namespace fot {

/// Keys and values of previous contexts (P,S) by layer, as Transformer::keys_and_values gives them, `together` contexts at a time.
///
/// The tape records a step for the keys and one for the values of each memory layer; the last of them to be replayed runs the
/// layers below again and adds to the gradients of the model's parameters. The model must outlive the backward pass, and its
/// weights must not change before.
///
/// Shapes: (P,S) -> k, v (P,S,G,D) of each memory layer.
/// Errors: ConfigError if together < 1; DataError for a token outside the vocabulary.
/// Same as: Transformer::keys_and_values.
template <class Real>
std::vector<KeysAndValues<Real>> recomputed_keys_and_values(Tape& tape, const Transformer<Real>& model, const Tokens& previous,
                                                            Index together) {
    require<ConfigError>(together >= 1, "recomputed_keys_and_values: ", together, " contexts at a time, expected 1 or more");
    const Index contexts = extent(previous, 0);
    const auto for_each_part = [=](const auto& visit) {
        for (Index first = 0; first < contexts; first += together) visit(first, std::min(together, contexts - first));
    };
    // Nothing but keys and values is kept.
    std::vector<Tensor<Real, 4>> k(static_cast<std::size_t>(model.config().layers)), v = k;
    for_each_part([&](Index first, Index count) {
        Tape constant(Tape::inference);
        const std::vector<KeysAndValues<Real>> part = model.keys_and_values(constant, slice<0>(previous, first, count));
        for (Index layer = 0; layer < length_of(part); ++layer) {
            if (!element(part, layer).k) continue;
            for (const auto& [all, of_part] :
                 {std::pair{&element(k, layer), &element(part, layer).k}, {&element(v, layer), &element(part, layer).v}}) {
                if (first == 0) {
                    Shape<4> shape = shape_of(of_part->value());
                    shape[0] = contexts;
                    *all = empty<Real, 4>(shape);
                }
                std::copy_n(of_part->value().data(), of_part->value().size(), row(*all, first));
            }
        }
    });

    const auto result = std::make_shared<std::vector<KeysAndValues<Real>>>(k.size());
    const auto run_again = [&model, previous, for_each_part, result](const Tensor<Real, 4>&) {
        for_each_part([&](Index first, Index count) {
            Tape again;
            const std::vector<KeysAndValues<Real>> part = model.keys_and_values(again, slice<0>(previous, first, count));
            for (Index layer = 0; layer < length_of(part); ++layer) {
                if (!element(part, layer).k) continue;
                const KeysAndValues<Real>&few = element(part, layer), &all = element(*result, layer);
                few.k.gradient() += slice<0>(all.k.gradient(), first, count);
                few.v.gradient() += slice<0>(all.v.gradient(), first, count);
            }
            again.replay();
        });
    };
    // Steps are replayed in reverse: the first one recorded comes when all gradients are known. The others see to it that it comes.
    const Variable<Real, 1> trained(zeros<Real, 1>({1}), true);  // on behalf of the weights, of which some may be frozen
    Variable<Real, 4> first;
    for (Index layer = 0; layer < length_of(k); ++layer) {
        if (!model.config().is_memory_layer(layer) || contexts == 0) continue;
        const auto record = [&](Tensor<Real, 4> numbers) {
            if (first)
                return tape.record(
                    std::move(numbers), [first](const Tensor<Real, 4>&) { first.gradient(); }, trained);
            return first = tape.record(std::move(numbers), run_again, trained);
        };
        element(*result, layer).k = record(std::move(element(k, layer)));
        element(*result, layer).v = record(std::move(element(v, layer)));
    }
    return *result;
}

}  // namespace fot
