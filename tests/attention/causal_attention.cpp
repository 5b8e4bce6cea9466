#include "fot/attention/causal_attention.hpp"

#include <doctest/doctest.h>

#include "support/attention_check.hpp"
#include "support/tape_check.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using testing::AttentionInputs;
using testing::AttentionSizes;

TEST_CASE("a query sees itself and what came before: hand numbers") {
    const Tensor<double, 4> q = full<double, 4>({1, 2, 1, 1}, 1.0);
    Tensor<double, 4> k = zeros<double, 4>({1, 2, 1, 1}), v = zeros<double, 4>({1, 2, 1, 1});
    k(0, 1, 0, 0) = std::log(3.0);
    v(0, 0, 0, 0) = 4;
    v(0, 1, 0, 0) = 8;
    const AttentionResult<double> result = causal_attention<double>({q, k, v});
    CHECK(result.o(0, 0, 0, 0) == 4);
    CHECK(result.o(0, 1, 0, 0) == doctest::Approx(7));
    CHECK(result.log_sum_exp(0, 0, 0) == 0);
    CHECK(result.log_sum_exp(0, 0, 1) == doctest::Approx(std::log(4.0)));
}

namespace {

/// Of value and gradients from the definition; a gradient relative to the largest number expected in it, or to 1.
template <class Real>
double oracle_difference(const AttentionSizes& sizes, const LocalOptions<Real>& options = {}) {
    const AttentionInputs<Real> in(sizes, 1);
    const ContextTable none = no_contexts(sizes.entries);
    const AttentionResult<double> expected = testing::attention_oracle(in, none, options);
    Random random(2);
    const Tensor<Real, 4> d_o = normal_tensor<Real, 4>(shape_of(expected.o), 1, random);
    const Tensor<Real, 3> d_log_sum_exp = normal_tensor<Real, 3>(shape_of(expected.log_sum_exp), 1, random);
    const reference::CrossbatchGradients<double> d = testing::attention_oracle_vjp(in, none, options, d_o, d_log_sum_exp);
    const AttentionResult<Real> got = causal_attention(in.local(), options);
    Tensor<Real, 4> d_q = zeros_like(in.q), d_k = zeros_like(in.k), d_v = zeros_like(in.v);
    causal_attention_vjp(in.local(), options, got, {d_o, &d_log_sum_exp}, {&d_q, &d_k, &d_v});
    double worst = testing::worse(testing::largest_difference(got.o, expected.o),
                                  testing::largest_difference(got.log_sum_exp, expected.log_sum_exp));
    const auto compare = [&](const Tensor<Real, 4>& d_got, const Tensor<double, 4>& d_expected) {
        worst = testing::worse(worst, testing::gradient_difference(d_got, d_expected));
    };
    compare(d_q, d.q);
    compare(d_k, d.k);
    compare(d_v, d.v);
    return worst;
}

}  // namespace

TEST_CASE_TEMPLATE("causal attention is that of the definition, value and gradients", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    for (const AttentionSizes& sizes : {AttentionSizes{}, AttentionSizes{2, 1, 1, 2, 2, 3, 3}, AttentionSizes{2, 5, 5, 4, 2, 6, 3},
                                        AttentionSizes{1, 3, 9, 2, 1, 4, 4}, AttentionSizes{1, 130, 130, 2, 2, 8, 8},
                                        AttentionSizes{1, 70, 330, 1, 1, 4, 4}, AttentionSizes{2, 0, 3, 1, 1, 4, 4}})
        CHECK(oracle_difference<Real>(sizes) < tolerance);
    Random random(3);
    CHECK(oracle_difference<Real>({2, 3, 5, 4, 2, 6, 3}, {.query_positions = {4, 0, 2}}) < tolerance);
    CHECK(oracle_difference<Real>({2, 7, 5, 2, 2, 4, 3}, {.query_positions = std::vector<Index>(7, 4)}) < tolerance);
    CHECK(oracle_difference<Real>({2, 3, 5, 4, 2, 6, 3}, {.bias = normal_tensor<Real, 3>({2, 3, 5}, 1, random)}) < tolerance);
    CHECK(oracle_difference<Real>({1, 66, 300, 1, 1, 4, 4}, {.bias = normal_tensor<Real, 3>({1, 66, 300}, 1, random)}) < tolerance);
}

TEST_CASE("many queries, whose heads are cut into parts, attend bitwise as a head in one piece, on any number of threads") {
    const Index queries = 1100, keys = 1200;
    const AttentionInputs<float> in({1, queries, keys, 2, 1, 4, 3}, 11);
    Random random(12);
    const LocalOptions<float> at_the_end;
    LocalOptions<float> anywhere{.bias = normal_tensor<float, 3>({1, queries, keys}, 1, random)};
    for (Index t = 0; t < queries; ++t) anywhere.query_positions.push_back(random.below(keys));
    for (const LocalOptions<float>& options : {at_the_end, anywhere}) {
        const std::vector<Index> last_visible = detail::last_visible_keys(in.local(), options);
        AttentionResult<float> whole = detail::unwritten_result(in.local());
        for (Index h = 0; h < 2; ++h) {
            RunningSoftmax<float> softmax(head(in.q, 0, h), 3);
            softmax.attend(head(in.k, 0, 0), head(in.v, 0, 0), detail::visibility_of_entry(last_visible, options, 0));
            softmax.write(head(whole.o, 0, h), row(whole.log_sum_exp, 0, h));
        }
        for (const Index count : {1, 2, 5}) {
            const testing::WithThreads some(count);
            const AttentionResult<float> got = causal_attention(in.local(), options);
            CHECK(got.o == whole.o);
            CHECK(got.log_sum_exp == whole.log_sum_exp);
        }
    }
}

TEST_CASE("a gradient of causal attention that is left out is not needed, and the others are bitwise the same") {
    const AttentionInputs<float> in({2, 5, 7, 4, 2, 6, 3}, 1);
    const AttentionResult<float> result = causal_attention(in.local());
    Tensor<float, 4> d_q = zeros_like(in.q), d_k = zeros_like(in.k), d_v = zeros_like(in.v), q = d_q, k = d_k, v = d_v;
    causal_attention_vjp(in.local(), {}, result, {result.o}, {&d_q, &d_k, &d_v});
    causal_attention_vjp(in.local(), {}, result, {result.o}, {.q = &q});
    causal_attention_vjp(in.local(), {}, result, {result.o}, {.k = &k});
    causal_attention_vjp(in.local(), {}, result, {result.o}, {.v = &v});
    CHECK(q == d_q);
    CHECK(k == d_k);
    CHECK(v == d_v);
}

TEST_CASE("on the tape causal attention gives the same numbers, and the gradients of finite differences") {
    Random random(2);
    Variable<double, 4> q = testing::normal_variable<4>({2, 3, 4, 2}, random),
                        k = testing::normal_variable<4>({2, 5, 2, 2}, random),
                        v = testing::normal_variable<4>({2, 5, 2, 3}, random);
    Tape tape;
    const Attention<double> attention = causal_attention(tape, q, k, v);
    const AttentionResult<double> plain = causal_attention<double>({q.value(), k.value(), v.value()});
    CHECK(attention.o.value().storage() == plain.o.storage());
    CHECK(attention.log_sum_exp.value().storage() == plain.log_sum_exp.storage());
    CHECK(testing::tape_gradient_error([&](Tape& on) { return causal_attention(on, q, k, v).o; }, q, k, v) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return causal_attention(on, q, k, v).log_sum_exp; }, q, k) < 1e-6);
}

TEST_CASE("inputs and options that do not fit are refused by name") {
    const AttentionInputs<float> good({2, 3, 4, 4, 2, 6, 5}, 1);
    const auto of = [](const Shape<4>& shape) { return zeros<float, 4>(shape); };
    CHECK_NOTHROW(causal_attention(good.local()));
    CHECK_THROWS_WITH_AS(causal_attention<float>({of({2, 5, 4, 6}), good.k, good.v}),
                         "causal_attention: 5 queries at the end of 4 local keys", ShapeError);
    CHECK_THROWS_WITH_AS(causal_attention<float>({good.q, of({2, 4, 2, 7}), good.v}),
                         "causal_attention: k has shape (2, 4, 2, 7), expected (2, -1, -1, 6) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(causal_attention<float>({good.q, of({1, 4, 2, 6}), good.v}),
                         "causal_attention: k has shape (1, 4, 2, 6), expected (2, -1, -1, 6) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(causal_attention<float>({good.q, good.k, of({2, 3, 2, 5})}),
                         "causal_attention: v has shape (2, 3, 2, 5), expected (2, 4, 2, -1) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(causal_attention<float>({good.q, of({2, 4, 3, 6}), of({2, 4, 3, 5})}),
                         "causal_attention: q has 4 heads, expected a multiple of the 3 heads of k (grouped-query attention)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(causal_attention(good.local(), {.query_positions = {0, 1}}),
                         "causal_attention: 2 query positions for 3 queries", ShapeError);
    for (const Index wrong : {-1, 4})
        CHECK_THROWS_WITH_AS(causal_attention(good.local(), {.query_positions = {0, 1, wrong}}),
                             message("causal_attention: query position ", wrong, ", expected 0 ... 3 (local keys)").c_str(),
                             ConfigError);
    CHECK_THROWS_WITH_AS(causal_attention(good.local(), {.bias = zeros<float, 3>({2, 3, 5})}),
                         "causal_attention: bias has shape (2, 3, 5), expected (2, 3, 4)", ShapeError);
}
