// A joining of one's own: one softmax over memory and local context, with a learned prior of each head for the memory.
//
//     g = sigmoid(L_memory - L_local + b_h)       b = 0: the single softmax of the Focused Transformer
#include <cstdio>
#include <fot/fot.hpp>

using namespace fot;

struct MemoryPrior : Joining<double> {
    Variable<double, 1> prior;  // (H)
    explicit MemoryPrior(Index heads) : prior(zeros<double, 1>({heads}), true) {}
    Variable<double, 3> logits(Tape& tape, const LayerView<double>& at, const Attention<double>& local,
                               const Attention<double>& further) const override {
        const Tensor<double, 4>& q = at.q.value();
        return add(tape, log_mass_difference(tape, further, local), logits_of_heads(tape, prior, extent(q, 0), extent(q, 1)));
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<double>>& list) override {
        list.push_back(parameter(prefix + "memory_prior", Role::gate, prior));
    }
};

int main() {
    Random random(1);
    const auto heads = [&] { return Variable<double, 4>(normal_tensor<double, 4>({3, 5, 2, 4}, 1, random), true); };
    const Variable<double, 4> q = heads(), k = heads(), v = heads(), context_k = heads(), context_v = heads();
    const ContextTable table = previous_contexts(3, 1, 1);
    MemoryPrior joining(2);
    const auto joined = [&](Tape& tape) {
        return joining.join(tape, {.q = q}, causal_attention(tape, q, k, v),
                            context_attention(tape, q, context_k, context_v, table));
    };
    Tape tape(Tape::inference);
    const Tensor<double, 4> softmax = crossbatch_attention(tape, q, k, v, context_k, context_v, table).o.value();
    const Tensor<double, 4> difference = joined(tape).value() - softmax;
    double apart = 0;
    for (const double each : difference) apart += std::abs(each);
    const double wrong = gradient_error(joined, joining.prior);
    std::printf("%.1e from one softmax; relative error of the prior's gradient %.1e\n", apart, wrong);
    return apart < 1e-13 && wrong < 1e-6 ? 0 : 1;
}
