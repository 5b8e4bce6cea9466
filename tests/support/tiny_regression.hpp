/// The smallest training there is: y = x w + b with a squared loss on random batches, gradients by hand.
#pragma once

#include "fot/core/parameter.hpp"
#include "fot/core/random.hpp"

namespace fot::testing {

template <class Real>
struct TinyRegression {
    Variable<Real, 2> weight{zeros<Real, 2>({3, 2}), true};
    Variable<Real, 1> bias{zeros<Real, 1>({2}), true};

    std::vector<Parameter<Real>> parameters() {
        return {parameter("weight", Role::hidden_matrix, weight), parameter("bias", Role::gate, bias)};
    }

    /// The mean squared error on `batch` fresh points of y_j = sum_i (i - j) x_i + 1, with its gradients.
    double loss(Random& random, Index batch = 8) {
        const Real scale = Real(1) / static_cast<Real>(batch);
        double sum = 0;
        for (Index n = 0; n < batch; ++n) {
            const Tensor<Real, 1> x = normal_tensor<Real, 1>({3}, 1.0, random);
            for (Index j = 0; j < 2; ++j) {
                Real difference = bias.value()(j) - 1;
                for (Index i = 0; i < 3; ++i) difference += x(i) * (weight.value()(i, j) - static_cast<Real>(i - j));
                sum += 0.5 * static_cast<double>(difference * difference * scale);
                for (Index i = 0; i < 3; ++i) weight.gradient()(i, j) += scale * difference * x(i);
                bias.gradient()(j) += scale * difference;
            }
        }
        return sum;
    }

    /// All numbers of the model.
    std::vector<Real> numbers() {
        std::vector<Real> all;
        for (const auto& p : parameters()) all.insert(all.end(), p.value().begin(), p.value().end());
        return all;
    }
};

}  // namespace fot::testing
