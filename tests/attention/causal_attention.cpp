#include "fot/attention/causal_attention.hpp"

#include <doctest/doctest.h>

#include "support/attention_check.hpp"
#include "support/tape_check.hpp"

using namespace fot;
using testing::AttentionInputs;
using testing::AttentionSizes;

TEST_CASE("a query sees itself and what came before: hand numbers") {
    const Tensor<double, 4> q = full<double, 4>({1, 2, 1, 1}, 1.0);
    Tensor<double, 4> k = zeros<double, 4>({1, 2, 1, 1}), v = zeros<double, 4>({1, 2, 1, 1});
    k(0, 1, 0, 0) = std::log(3.0);
    v(0, 0, 0, 0) = 4;
    v(0, 1, 0, 0) = 8;
    const AttentionResult<double> result = causal_attention(q, k, v);
    CHECK(result.o(0, 0, 0, 0) == 4);
    CHECK(result.o(0, 1, 0, 0) == doctest::Approx(7));
    CHECK(result.log_sum_exp(0, 0, 0) == 0);
    CHECK(result.log_sum_exp(0, 0, 1) == doctest::Approx(std::log(4.0)));
}

TEST_CASE_TEMPLATE("causal attention equals plain loops", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    for (const AttentionSizes& sizes : {AttentionSizes{}, AttentionSizes{2, 1, 1, 2, 2, 3, 3}, AttentionSizes{2, 5, 5, 4, 2, 6, 3},
                                        AttentionSizes{1, 3, 9, 2, 1, 4, 4}, AttentionSizes{1, 130, 130, 2, 2, 8, 8},
                                        AttentionSizes{1, 70, 330, 1, 1, 4, 4}, AttentionSizes{2, 0, 3, 1, 1, 4, 4}}) {
        const AttentionInputs<Real> in(sizes, 1);
        AttentionOptions<Real> options;
        options.scale = Real(0.5);
        const AttentionResult<Real> got = causal_attention(in.q, in.k, in.v, options);
        const AttentionResult<double> expected = testing::attention_oracle(in, no_contexts(sizes.entries), options);
        CHECK(testing::largest_difference(got.o, expected.o) < tolerance);
        CHECK(testing::largest_difference(got.log_sum_exp, expected.log_sum_exp) < tolerance);
    }
}

TEST_CASE("on the tape causal attention gives the same numbers, and the gradients of finite differences") {
    Random random(2);
    Variable<double, 4> q = testing::normal_variable<4>({2, 3, 4, 2}, random),
                        k = testing::normal_variable<4>({2, 5, 2, 2}, random),
                        v = testing::normal_variable<4>({2, 5, 2, 3}, random);
    Tape tape;
    const Attention<double> attention = causal_attention(tape, q, k, v);
    const AttentionResult<double> plain = causal_attention(q.value(), k.value(), v.value());
    CHECK(attention.o.value().storage() == plain.o.storage());
    CHECK(attention.log_sum_exp.value().storage() == plain.log_sum_exp.storage());
    CHECK(testing::tape_gradient_error([&](Tape& on) { return causal_attention(on, q, k, v).o; }, q, k, v) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return causal_attention(on, q, k, v).log_sum_exp; }, q, k) < 1e-6);
}

TEST_CASE("more queries than keys, or keys of another width, are refused") {
    const Tensor<float, 4> two = zeros<float, 4>({1, 2, 1, 4}), three = zeros<float, 4>({1, 3, 1, 4}),
                           wide = zeros<float, 4>({1, 2, 1, 5});
    CHECK_THROWS_WITH_AS(causal_attention(three, two, two), "attention: 3 queries at the end of 2 local keys", ShapeError);
    CHECK_THROWS_WITH_AS(causal_attention(two, wide, wide),
                         "attention: k has shape (1, 2, 1, 5), expected (1, -1, -1, 4) (-1: any)", ShapeError);
}
