/// A small model, and the gradient check of a whole one.
#pragma once

#include <doctest/doctest.h>

#include "fot/core/parameter.hpp"
#include "fot/model/config.hpp"
#include "support/tape_check.hpp"

namespace fot::testing {

/// A model of a few hundred numbers, smooth everywhere, of 11 tokens.
inline TransformerConfig small_model_config(std::vector<Index> memory_layers) {
    return {.vocabulary = 11,
            .width = 8,
            .layers = 3,
            .memory_layers = std::move(memory_layers),
            .heads = 2,
            .memory_heads = 2,
            .feed_forward = 6,
            .activation = Activation::swiglu,
            .initial_inverse_temperature = 2,
            .norm_epsilon = 1e-3};
}

/// Largest relative error of the gradient of any parameter of `loss(tape)`.
template <class Loss>
double parameter_gradient_error(std::vector<Parameter<double>> parameters, Loss&& loss) {
    zero_gradients(parameters);
    Tape tape;
    tape.backward(loss(tape));
    const auto value = [&] {
        Tape inference(Tape::inference);
        return loss(inference).value()(0);
    };
    double worst = 0;
    for (const auto& p : parameters) {
        const std::vector<double> gradient(p.gradient().begin(), p.gradient().end());
        const double error = gradient_error(p.value(), gradient, value);
        INFO(p.name);
        CHECK(error < 1e-6);
        worst = worse(worst, error);
    }
    return worst;
}

/// The loss sum of weight * logits, as a variable.
inline Variable<double, 1> weighted_logits(Tape& tape, const Variable<double, 3>& y) {
    Random random(6);
    const Tensor<double, 3> weight = normal_tensor<double, 3>(shape_of(y.value()), 1, random);
    return tape.record(
        Tensor<double, 1>{weighted_sum(y.value(), weight)},
        [=](const Tensor<double, 1>& d) {
            for (std::size_t i = 0; i < weight.size(); ++i) y.gradient().data()[i] += d(0) * weight.data()[i];
        },
        y);
}

}  // namespace fot::testing
