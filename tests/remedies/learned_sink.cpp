#include "fot/remedies/learned_sink.hpp"

#include <doctest/doctest.h>

#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("a sink is a key of its score and value zero, beside all local and further keys") {
    Random random(1);
    std::vector<Variable<double, 4>> x;
    for (int i = 0; i < 5; ++i) x.push_back(Variable<double, 4>(normal_tensor<double, 4>({2, 3, 2, 4}, 1, random)));
    const auto &q = x[0], &k = x[1], &v = x[2], &further_k = x[3], &further_v = x[4];
    const ContextTable table = previous_contexts(2, 1, 1);
    LearnedSink<double> joining(2);
    joining.score.value()(1) = 1.5;
    Tape tape(Tape::inference);
    const Attention<double> local = causal_attention(tape, q, k, v),
                            further = context_attention(tape, q, further_k, further_v, table);
    const Tensor<double, 4> joined = joining.join(tape, {.q = q}, local, further).value();
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t)
            for (Index h = 0; h < 2; ++h) {
                Tensor<double, 1> o = zeros<double, 1>({4});
                double sum = std::exp(joining.score.value()(h));
                const auto visit = [&](const Tensor<double, 4>& keys, const Tensor<double, 4>& values, Index row_of, Index s) {
                    const double e = std::exp(inner_product(row(q.value(), b, t, h), row(keys, row_of, s, h), 4));
                    sum += e;
                    for (Index d = 0; d < 4; ++d) o(d) += e * values(row_of, s, h, d);
                };
                for (Index s = 0; s <= t; ++s) visit(k.value(), v.value(), b, s);
                for (const Index context : element(table.contexts, b))
                    for (Index s = 0; s < 3; ++s) visit(further_k.value(), further_v.value(), context, s);
                for (Index d = 0; d < 4; ++d) CHECK(joined(b, t, h, d) == doctest::Approx(o(d) / sum).epsilon(1e-12));
            }
}

TEST_CASE("without a sink worth the name it is one softmax, and a heavy sink leaves nothing for the keys") {
    Random random(2);
    const Variable<double, 4> x(normal_tensor<double, 4>({1, 3, 2, 4}, 1, random));
    Tape tape(Tape::inference);
    const Attention<double> local = causal_attention(tape, x, x, x);
    const auto alone = [&](double score) { return LearnedSink<double>(2, score).alone(tape, {.q = x}, local).value(); };
    CHECK(largest_difference(alone(-60), local.o.value()) < 1e-13);
    CHECK(largest_difference(alone(60), zeros_like(local.o.value())) < 1e-13);
}

TEST_CASE("a model with a sink has its gradient, and crossbatch and a memory agree") {
    check_remedy([](auto& model) { model.layer(1).joining = std::make_unique<LearnedSink<double>>(2); }, "layers.1.sink");
}
