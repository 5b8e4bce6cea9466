// Another way to put a memory beside the local context: one softmax over both, with a learned prior of each head for the memory.
//
//     o = g o_memory + (1 - g) o_local,   g = sigmoid(L_memory - L_local + b_h)       b = 0: the merged softmax
#include <cstdio>
#include <fot/fot.hpp>

using namespace fot;

/// The same attention, counted e^b_h times as much when it is merged with another. bias (H).
Attention<double> with_prior(Tape& tape, const Attention<double>& attention, const Variable<double, 1>& bias) {
    Tensor<double, 3> shifted = attention.log_sum_exp.value();  // (B,H,T)
    const Index heads = extent(shifted, 1), length = extent(shifted, 2);
    for (Index i = 0; i < element_count(shifted); ++i) shifted.data()[i] += bias.value()(i / length % heads);
    const auto backward = [=](const Tensor<double, 3>& d) {
        for (Index i = 0; i < element_count(d); ++i) {
            if (bias.needs_gradient()) bias.gradient()(i / length % heads) += d.data()[i];
            if (attention.log_sum_exp.needs_gradient()) attention.log_sum_exp.gradient().data()[i] += d.data()[i];
        }
    };
    return {attention.o, tape.record(std::move(shifted), backward, attention.log_sum_exp, bias)};
}

int main() {
    Random random(1);
    const auto heads = [&](Index entries) {
        return Variable<double, 4>(normal_tensor<double, 4>({entries, 5, 2, 4}, 1, random), true);
    };
    const Variable<double, 4> q = heads(3), k = heads(3), v = heads(3), context_k = heads(3), context_v = heads(3);
    Variable<double, 1> bias(zeros<double, 1>({2}), true);
    const ContextTable table = previous_contexts(3, 1, 1);
    const Tensor<double, 4> weights = normal_tensor<double, 4>({3, 5, 2, 4}, 1, random);
    const auto result = [&](Tape& tape) {
        return merge(tape, with_prior(tape, context_attention(tape, q, context_k, context_v, table), bias),
                     causal_attention(tape, q, k, v))
            .o;
    };
    const auto loss = [&] {
        Tape tape(Tape::inference);
        const Tensor<double, 4> o = result(tape).value();
        return std::inner_product(o.data(), o.data() + o.size(), weights.data(), 0.0);
    };
    Tape tape;
    const Variable<double, 4> o = result(tape);
    const Tensor<double, 4> merged = crossbatch_attention(tape, q, k, v, context_k, context_v, table).o.value();
    double apart = 0;
    for (Index i = 0; i < element_count(merged); ++i) apart += std::abs(merged.data()[i] - o.value().data()[i]);  // keeps a NaN
    o.gradient() = weights;
    tape.replay();
    const double at = bias.gradient()(1);
    const auto with = [&](double value) { return bias.value()(1) = value, loss(); };
    const double numeric = (with(1e-5) - with(-1e-5)) / 2e-5;
    std::printf("%.1e from the merged softmax; gradient of the prior %.8f, by differences %.8f\n", apart, at, numeric);
    return apart < 1e-13 && std::abs(at - numeric) < 1e-8 ? 0 : 1;
}
