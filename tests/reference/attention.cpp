#include "fot/reference/attention.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/gradient_check.hpp"

using namespace fot;

namespace {

/// Queries at the end of more keys, two query heads for each key head, values of another width than keys.
struct Inputs {
    Tensor<double, 4> q, k, v;
    explicit Inputs(Random& random)
        : q(normal_tensor<double, 4>({2, 3, 4, 2}, 1, random)),
          k(normal_tensor<double, 4>({2, 5, 2, 2}, 1, random)),
          v(normal_tensor<double, 4>({2, 5, 2, 3}, 1, random)) {}
};

}  // namespace

TEST_CASE("two keys with scores 0 and log 3 get weights 1/4 and 3/4") {
    const Tensor<double, 4> q{{{{1}}, {{1}}}}, k{{{{0}}, {{std::log(3.0)}}}}, v{{{{4}}, {{8}}}};
    const auto [o, log_sum_exp] = reference::causal_attention(q, k, v);
    CHECK(o(0, 0, 0, 0) == 4);                                      // the first query sees the first key alone
    CHECK(log_sum_exp(0, 0, 0) == 0);                               // log e^0
    CHECK(o(0, 1, 0, 0) == doctest::Approx(7));                     // 1/4 4 + 3/4 8
    CHECK(log_sum_exp(0, 0, 1) == doctest::Approx(std::log(4.0)));  // log(e^0 + e^(log 3))
}

TEST_CASE("the gradient of two keys by hand") {
    const Tensor<double, 4> q{{{{1}}}}, k{{{{0}}, {{std::log(3.0)}}}}, v{{{{4}}, {{8}}}}, d_o{{{{1}}}};
    // o = 7. d_score = p (v - o): 1/4 (4 - 7) = -3/4 and 3/4 (8 - 7) = 3/4.
    const auto d = reference::causal_attention_vjp(q, k, v, d_o);
    CHECK(d.v(0, 0, 0, 0) == doctest::Approx(0.25));
    CHECK(d.v(0, 1, 0, 0) == doctest::Approx(0.75));
    CHECK(d.k(0, 0, 0, 0) == doctest::Approx(-0.75));
    CHECK(d.k(0, 1, 0, 0) == doctest::Approx(0.75));
    CHECK(d.q(0, 0, 0, 0) == doctest::Approx(0.75 * std::log(3.0)));
    // With a gradient of 2 with respect to L, whose derivative is p, d_score grows by 2 p: to -1/4 and 9/4.
    const auto with_L = reference::causal_attention_vjp(q, k, v, d_o, {{{2}}});
    CHECK(with_L.k(0, 0, 0, 0) == doctest::Approx(-0.25));
    CHECK(with_L.k(0, 1, 0, 0) == doctest::Approx(2.25));
    CHECK(with_L.v == d.v);
}

TEST_CASE("the log-sum-exp of scores that would overflow, and of none") {
    CHECK(reference::log_sum_exp(Tensor<double, 1>{5000, 5000}) == doctest::Approx(5000 + std::log(2.0)));
    CHECK(reference::log_sum_exp(Tensor<double, 2>{{0}, {std::log(3.0)}}) == doctest::Approx(std::log(4.0)));
    CHECK(reference::log_sum_exp(Tensor<double, 1>::from_shape({0})) == -std::numeric_limits<double>::infinity());
}

TEST_CASE("the weights of a query sum to one: with values of one, so is the result") {
    Random random(1);
    const Inputs in(random);
    const Tensor<double, 4> o = reference::causal_attention(in.q, in.k, full(shape_of(in.v), 1.0)).o;
    for (const double number : o.storage()) CHECK(number == doctest::Approx(1));
}

TEST_CASE("an edit to the future leaves the past bitwise equal") {
    Random random(2);
    Inputs in(random);
    const auto before = reference::causal_attention(in.q, in.k, in.v);
    for (Index b = 0; b < 2; ++b) {
        std::fill_n(row(in.k, b, 4), 2 * 2, 9.0);  // the last of five keys, which the last of three queries sees alone
        std::fill_n(row(in.v, b, 4), 2 * 3, 9.0);
    }
    const auto after = reference::causal_attention(in.q, in.k, in.v);
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t) {
            const bool same = std::equal(row(before.o, b, t), row(before.o, b, t) + 4 * 3, row(after.o, b, t));
            CHECK(same == (t < 2));
        }
}

TEST_CASE("query heads of a group share a key head: as if that head were there twice") {
    Random random(3);
    const Inputs in(random);
    Tensor<double, 4> k = empty<double, 4>({2, 5, 4, 2}), v = empty<double, 4>({2, 5, 4, 3});
    for (Index b = 0; b < 2; ++b)
        for (Index s = 0; s < 5; ++s)
            for (Index h = 0; h < 4; ++h) {
                std::copy_n(row(in.k, b, s, h / 2), 2, row(k, b, s, h));
                std::copy_n(row(in.v, b, s, h / 2), 3, row(v, b, s, h));
            }
    const auto grouped = reference::causal_attention(in.q, in.k, in.v), each = reference::causal_attention(in.q, k, v);
    CHECK(grouped.o == each.o);
    CHECK(grouped.log_sum_exp == each.log_sum_exp);
}

TEST_CASE("a scale of the scores is a scale of the queries") {
    Random random(4);
    Inputs in(random);
    const Tensor<double, 4> half_q = 0.5 * in.q, half_k = 0.5 * in.k;
    const auto of_keys = reference::causal_attention(in.q, half_k, in.v);
    const auto of_queries = reference::causal_attention(half_q, in.k, in.v);
    CHECK(of_keys.o == of_queries.o);
}

TEST_CASE("the gradients are those of finite differences, of o and of the log-sum-exp") {
    Random random(5);
    Inputs in(random);
    const auto d_o = normal_tensor<double, 4>({2, 3, 4, 3}, 1, random);
    const auto d_L = normal_tensor<double, 3>({2, 4, 3}, 1, random);
    const auto d = reference::causal_attention_vjp(in.q, in.k, in.v, d_o, d_L);
    const auto loss = [&] {
        const auto [o, L] = reference::causal_attention(in.q, in.k, in.v);
        return testing::weighted_sum(o, d_o) + testing::weighted_sum(L, d_L);
    };
    CHECK(testing::gradient_error(in.q, d.q, loss) < 1e-8);
    CHECK(testing::gradient_error(in.k, d.k, loss) < 1e-8);
    CHECK(testing::gradient_error(in.v, d.v, loss) < 1e-8);
}

TEST_CASE("inputs that do not fit are refused by name") {
    const Tensor<float, 4> two = zeros<float, 4>({1, 2, 2, 4}), three = zeros<float, 4>({1, 3, 2, 4}),
                           wide = zeros<float, 4>({1, 2, 2, 5}), heads = zeros<float, 4>({1, 2, 3, 4});
    CHECK_THROWS_WITH_AS(reference::causal_attention(two, wide, two),
                         "reference::causal_attention: k has shape (1, 2, 2, 5), expected (1, -1, -1, 4) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(reference::causal_attention(two, two, three),
                         "reference::causal_attention: v has shape (1, 3, 2, 4), expected (1, 2, 2, -1) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(
        reference::causal_attention(three, two, two),
        "reference::causal_attention: 3 queries of 2 heads for 2 keys of 2 heads, expected T <= U and H a multiple "
        "of G",
        ShapeError);
    CHECK_THROWS_AS(reference::causal_attention(two, heads, heads), ShapeError);
    CHECK_THROWS_AS(reference::causal_attention_vjp(two, two, two, three), ShapeError);
    CHECK_THROWS_AS(reference::causal_attention_vjp(two, two, two, two, zeros<float, 3>({1, 2, 3})), ShapeError);
}
