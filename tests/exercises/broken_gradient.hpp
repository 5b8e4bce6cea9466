/// Exercise 7: a broken gradient to find.
///
/// The forward pass below is right. Its backward pass has three faults, of a kind that is made easily and lets a model train, only
/// worse. Find and mend them. `gradient_error` says which gradient is wrong; derive that one on paper, then compare the lines. One
/// of them is right in microfot and wrong here: why?
///
/// Paper:  section 3.2, gradients into all keys and values.
/// Read:   core/gradient_check.hpp; paper_notes.md, "The gradient of crossbatch attention"; attention_backward in microfot.cpp.
/// Try:    cmake --build --preset release --target exercises
#pragma once

#include <cmath>
#include <numeric>

#include "fot/core/autograd.hpp"

namespace exercises {

using namespace fot;

/// What the queries of one window attend to: its own keys and values, and those of contexts.
struct OneHead {
    Variable<double, 2> q;              ///< (T,D)
    Variable<double, 2> k;              ///< (T,D)
    Variable<double, 2> v;              ///< (T,D)
    Variable<double, 2> context_k;      ///< (S,D)
    Variable<double, 2> context_v;      ///< (S,D)
    Variable<double, 1> log_sharpness;  ///< (1) sharpness is 1 / temperature
};

/// sum_i x[i] y[i]
inline double inner_product(const double* x, const double* y, Index count) { return std::inner_product(x, x + count, y, 0.0); }

/// Crossbatch attention of one head, in loops, on the tape: (T,D).
///
///     score_tx = sharpness <q_t, k_x>,   p_tx = softmax_x(score_tx),   o_t = sum_x p_tx v_x
///
/// where x runs over the keys 0 ... t of the window, then over all S keys of the contexts. Every variable needs a gradient.
inline Variable<double, 2> one_head_attention(Tape& tape, const OneHead& in) {
    const Index T = extent(in.q.value(), 0), D = extent(in.q.value(), 1), S = extent(in.context_k.value(), 0);
    const double sharpness = std::exp(in.log_sharpness.value()(0));
    Tensor<double, 2> o = zeros<double, 2>({T, D}), p = zeros<double, 2>({T, T + S});
    for (Index t = 0; t < T; ++t) {
        double sum = 0;
        for (Index x = 0; x < T + S; ++x) {
            if (t < x && x < T) continue;  // a later token of the window
            const double* key = x < T ? row(in.k.value(), x) : row(in.context_k.value(), x - T);
            p(t, x) = std::exp(sharpness * inner_product(row(in.q.value(), t), key, D));
            sum += p(t, x);
        }
        for (Index x = 0; x < T + S; ++x) {
            const double* value = x < T ? row(in.v.value(), x) : row(in.context_v.value(), x - T);
            p(t, x) /= sum;
            for (Index i = 0; i < D; ++i) o(t, i) += p(t, x) * value[i];
        }
    }
    const auto backward = [=](const Tensor<double, 2>& d_o) {
        for (Index t = 0; t < T; ++t) {
            const double* q = row(in.q.value(), t);
            const auto value_of = [&](Index x) { return x < T ? row(in.v.value(), x) : row(in.context_v.value(), x - T); };
            double mean_d_p = 0;
            for (Index x = 0; x < T + S; ++x) mean_d_p += inner_product(row(d_o, t), value_of(x), D) / static_cast<double>(T + S);
            for (Index x = 0; x < T + S; ++x) {
                const double* key = x < T ? row(in.k.value(), x) : row(in.context_k.value(), x - T);
                double* d_key = x < T ? row(in.k.gradient(), x) : row(in.context_k.gradient(), x - T);
                double* d_value = x < T ? row(in.v.gradient(), x) : row(in.context_v.gradient(), x - T);
                const double d_score = p(t, x) * (inner_product(row(d_o, t), value_of(x), D) - mean_d_p);
                for (Index i = 0; i < D; ++i) {
                    d_value[i] += p(t, x) * row(d_o, t)[i];
                    row(in.q.gradient(), t)[i] += d_score * sharpness * key[i];
                    d_key[i] += d_score * q[i];
                }
            }
            in.log_sharpness.gradient()(0) += inner_product(q, row(in.q.gradient(), t), D);
        }
    };
    return tape.record(o, backward, in.q, in.k, in.v, in.context_k, in.context_v, in.log_sharpness);
}

}  // namespace exercises
