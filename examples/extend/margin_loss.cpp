// A contrastive loss of one's own: attention to a query's own document must exceed the attention to all other documents together by
// a margin.
//
//     loss = mean over queries and heads of max(0, margin - (L_own - L_others))       L: log-sum-exp of scores
#include <cstdio>
#include <fot/fot.hpp>

using namespace fot;

Variable<double, 1> margin_loss(Tape& tape, const Variable<double, 4>& q, const Variable<double, 4>& context_k,
                                const ContextTable& table, double margin) {
    const Tensor<double, 4> mass = context_log_mass(q.value(), context_k.value(), table);  // (B,T,H,C), its own context first
    Tensor<double, 4> d_mass = zeros_like(mass);
    const Index contexts = extent(mass, 3), rows = element_count(mass) / contexts;
    double loss = 0;
    for (Index i = 0; i < rows; ++i) {
        const double* own = mass.data() + i * contexts;
        const double others = log_sum_exp(own + 1, contexts - 1), missing = margin - (own[0] - others);
        if (missing <= 0) continue;
        loss += missing / static_cast<double>(rows);
        double* d_own = d_mass.data() + i * contexts;
        d_own[0] = -1 / static_cast<double>(rows);
        for (Index c = 1; c < contexts; ++c) d_own[c] = std::exp(own[c] - others) / static_cast<double>(rows);
    }
    return tape.record(
        full<double, 1>({1}, loss),
        [=](const Tensor<double, 1>& d_loss) {
            const Tensor<double, 4> d = d_loss(0) * d_mass;
            context_log_mass_vjp(q.value(), context_k.value(), table, mass, d, q.gradient(), context_k.gradient());
        },
        q, context_k);
}

int main() {
    Random random(1);
    const ContextTable table = previous_contexts(6, 1, 5);
    Variable<double, 4> q(normal_tensor<double, 4>({6, 4, 2, 8}, 0.1, random), true),
        k(normal_tensor<double, 4>({6, 4, 2, 8}, 0.1, random), true);
    const auto own_share = [&] {
        PositiveMass mass({6});
        mass.add(context_log_mass(q.value(), k.value(), table));
        return mass.mean(0);
    };
    const double before = own_share();
    for (int step = 0; step < 300; ++step) {
        Tape tape;
        const Variable<double, 1> loss = margin_loss(tape, q, k, table, 3.0);
        for (const auto* x : {&q, &k}) x->gradient() = zeros_like(x->value());
        tape.backward(loss);
        for (auto* x : {&q, &k}) x->value() -= 3 * x->gradient();
    }
    std::printf("share of its own document among six: %.2f before, %.2f after\n", before, own_share());
    return before < 0.3 && own_share() > 0.9 ? 0 : 1;
}
