#include "fot/remedies/differential_attention.hpp"

#include <doctest/doctest.h>

#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// Attention of 2 H = 4 queries to the keys and values of 2 heads.
struct Pairs {
    Variable<double, 4> q, k, v;
    Variable<double, 3> h;
    explicit Pairs(std::uint64_t seed) {
        Random random(seed);
        q = normal_variable<4>({2, 3, 4, 4}, random);
        for (Variable<double, 4>* each : {&k, &v}) *each = normal_variable<4>({2, 3, 2, 4}, random);
        h = normal_variable<3>({2, 3, 8}, random);
    }
    Attention<double> local(Tape& tape) const { return causal_attention(tape, q, k, v); }
    Attention<double> further(Tape& tape) const { return context_attention(tape, q, k, v, previous_contexts(2, 1, 1)); }
};

/// The queries 2h + which of every pair, (B,T,H,D).
Tensor<double, 4> of_pairs(const Tensor<double, 4>& x, Index which) {
    Tensor<double, 4> y = empty<double, 4>({2, 3, 2, 4});
    for (Index i = 0; i < 12; ++i) std::copy_n(x.data() + (2 * i + which) * 4, 4, y.data() + i * 4);
    return y;
}

}  // namespace

TEST_CASE("a head is attention of its first query minus a share of that of its second, over the same keys") {
    const Pairs of(1);
    DifferentialAttention<double> joining(2, 8);
    Tape tape(Tape::inference);
    for (double& number : joining.map.value().storage()) number = 0.2;
    const auto attention_of = [&](Index which) {
        const Variable<double, 4> q(of_pairs(of.q.value(), which));
        return crossbatch_attention(tape, q, of.k, of.v, of.k, of.v, previous_contexts(2, 1, 1)).o.value();
    };
    const Tensor<double, 4> first = attention_of(0), second = attention_of(1),
                            joined = joining.join(tape, {.h = of.h, .q = of.q}, of.local(tape), of.further(tape)).value();
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t) {
            double logit = 0;
            for (Index e = 0; e < 8; ++e) logit += 0.2 * of.h.value()(b, t, e);
            for (Index h = 0; h < 2; ++h)
                for (Index d = 0; d < 4; ++d)
                    CHECK(joined(b, t, h, d) ==
                          doctest::Approx(first(b, t, h, d) - second(b, t, h, d) / (1 + std::exp(-logit))).epsilon(1e-12));
        }
}

TEST_CASE("what both queries of a pair find alike is taken away: equal queries leave 1 - sigmoid of ordinary attention") {
    Pairs of(2);
    const Tensor<double, 4> before = of_pairs(of.q.value(), 0);
    for (Index i = 0; i < 12; ++i)
        for (Index which = 0; which < 2; ++which) std::copy_n(before.data() + i * 4, 4, of.q.value().data() + (2 * i + which) * 4);
    Tape tape(Tape::inference);
    const DifferentialAttention<double> joining(2, 8);  // sigmoid(0)
    const Tensor<double, 4> ordinary = causal_attention(tape, Variable<double, 4>(before), of.k, of.v).o.value();
    CHECK(largest_difference(joining.alone(tape, {.h = of.h, .q = of.q}, of.local(tape)).value(), multiply(ordinary, 0.5)) < 1e-13);
}

TEST_CASE("a model with differential attention has its gradient, and crossbatch and a memory agree") {
    const auto change = [](auto& model) {
        Random random(5);
        make_differential(model.layer(1), model.config(), 1, random);
    };
    check_remedy(change, "layers.1.differential");
    const Transformer<double> model = remedied_model(change), ordinary = remedied_model([](auto&) {});
    CHECK(parameter_named(model, "layers.1.q").value().size() == 2 * parameter_named(ordinary, "layers.1.q").value().size());
    CHECK(parameter_named(model, "layers.1.o").value().size() == parameter_named(ordinary, "layers.1.o").value().size());
    CHECK(parameter_named(model, "layers.1.log_inverse_temperature").value().size() == 4);
}
