#include "fot/reference/crossbatch.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/gradient_check.hpp"

using namespace fot;

namespace {

using Lists = std::vector<std::vector<Index>>;

/// Two entries, three queries at the end of four local keys, three contexts of two keys; two query heads for one key head.
reference::CrossbatchInput<double> random_input(const Lists& contexts, Random& random) {
    const auto of = [&](const Shape<4>& shape) { return normal_tensor<double, 4>(shape, 1, random); };
    return {of({2, 3, 2, 2}), of({2, 4, 1, 2}), of({2, 4, 1, 3}), of({3, 2, 1, 2}), of({3, 2, 1, 3}), contexts};
}

double difference(const reference::AttentionResult<double>& a, const reference::AttentionResult<double>& b) {
    return std::max(testing::largest_difference(a.o, b.o), testing::largest_difference(a.log_sum_exp, b.log_sum_exp));
}

}  // namespace

TEST_CASE("a local key, a positive and a negative share one softmax: hand numbers") {
    reference::CrossbatchInput<double> in{.q = {{{{1}}}},
                                          .k = {{{{0}}}},
                                          .v = {{{{6}}}},
                                          .context_k = {{{{std::log(2.0)}}}, {{{std::log(3.0)}}}},
                                          .context_v = {{{{3}}}, {{{-1}}}},
                                          .contexts = {{0, 1}}};
    // e to the scores: 1 (local), 2 (context 0), 3 (context 1), together 6.
    const auto both = reference::crossbatch_attention(in);
    CHECK(both.o(0, 0, 0, 0) == doctest::Approx((1 * 6 + 2 * 3 - 3 * 1) / 6.0));
    CHECK(both.log_sum_exp(0, 0, 0) == doctest::Approx(std::log(6.0)));
    in.contexts = {{0}};
    CHECK(reference::crossbatch_attention(in).o(0, 0, 0, 0) == doctest::Approx((1 * 6 + 2 * 3) / 3.0));
}

TEST_CASE("the gradient raises the score of the context that helps and lowers that of the one that distracts: hand numbers") {
    // Equal scores; a positive with value 1, a negative with value -1, a loss of -o. o = 0, p = 1/2 each.
    const reference::CrossbatchInput<double> in{.q = {{{{1}}}},
                                                .k = zeros<double, 4>({1, 0, 1, 1}),
                                                .v = zeros<double, 4>({1, 0, 1, 1}),
                                                .context_k = zeros<double, 4>({2, 1, 1, 1}),
                                                .context_v = {{{{1}}}, {{{-1}}}},
                                                .contexts = {{0, 1}}};
    const auto d = reference::crossbatch_attention_vjp(in, {{{{-1}}}});
    CHECK(d.context_k(0, 0, 0, 0) == doctest::Approx(-0.5));  // p <d_o, v - o> q = 1/2 (-1) (1 - 0)
    CHECK(d.context_k(1, 0, 0, 0) == doctest::Approx(0.5));
    CHECK(d.context_v(0, 0, 0, 0) == doctest::Approx(-0.5));  // p d_o
    CHECK(d.context_v(1, 0, 0, 0) == doctest::Approx(-0.5));
}

TEST_CASE("the weights of a query sum to one: with values of one, so is the result") {
    Random random(1);
    auto in = random_input({{0, 1, 2}, {1}}, random);
    in.v.fill(1);
    in.context_v.fill(1);
    const auto result = reference::crossbatch_attention(in);
    for (const double number : result.o.storage()) CHECK(number == doctest::Approx(1));
}

TEST_CASE("without contexts crossbatch attention is causal attention, with its gradients") {
    Random random(2);
    const auto in = random_input({{}, {}}, random);
    CHECK(difference(reference::crossbatch_attention(in), reference::causal_attention(in.q, in.k, in.v)) == 0);
    const auto d_o = normal_tensor<double, 4>({2, 3, 2, 3}, 1, random);
    const auto d = reference::crossbatch_attention_vjp(in, d_o);
    const auto expected = reference::causal_attention_vjp(in.q, in.k, in.v, d_o);
    CHECK(d.q == expected.q);
    CHECK(d.k == expected.k);
    CHECK(d.v == expected.v);
    CHECK(d.context_k == zeros_like(in.context_k));
    CHECK(d.context_v == zeros_like(in.context_v));
}

TEST_CASE("crossbatch attention is causal attention to contexts and local keys, one after another") {
    Random random(3);
    const auto in = random_input({{2, 0}, {1, 2}}, random);
    Tensor<double, 4> k = empty<double, 4>({2, 2 * 2 + 4, 1, 2}), v = empty<double, 4>({2, 2 * 2 + 4, 1, 3});
    for (Index b = 0; b < 2; ++b) {
        for (Index i = 0; i < 2; ++i) {
            const Index c = element(element(in.contexts, b), i);
            std::copy_n(row(in.context_k, c), 2 * 2, row(k, b, 2 * i));
            std::copy_n(row(in.context_v, c), 2 * 3, row(v, b, 2 * i));
        }
        std::copy_n(row(in.k, b), 4 * 2, row(k, b, 4));
        std::copy_n(row(in.v, b), 4 * 3, row(v, b, 4));
    }
    CHECK(difference(reference::crossbatch_attention(in), reference::causal_attention(in.q, k, v)) < 1e-14);
}

TEST_CASE("the order of the contexts does not matter, and a context that is in no list does not either") {
    Random random(4);
    auto in = random_input({{0, 1}, {1, 0}}, random);
    const auto before = reference::crossbatch_attention(in);
    in.contexts = {{1, 0}, {0, 1}};
    std::fill_n(row(in.context_k, 2), 2 * 2, 9.0);
    std::fill_n(row(in.context_v, 2), 2 * 3, 9.0);
    CHECK(difference(reference::crossbatch_attention(in), before) < 1e-14);
}

TEST_CASE("an edit to the future leaves the past bitwise equal; one to a context changes all queries of those that see it") {
    Random random(5);
    auto in = random_input({{0, 1}, {1}}, random);
    const auto before = reference::crossbatch_attention(in);
    const auto same = [&](const reference::AttentionResult<double>& after, Index b, Index t) {
        return std::equal(row(before.o, b, t), row(before.o, b, t) + 2 * 3, row(after.o, b, t));
    };
    in.k(0, 3, 0, 0) += 1;  // entry 0's last local key
    const auto later = reference::crossbatch_attention(in);
    in.k(0, 3, 0, 0) -= 1;
    in.context_k(0, 1, 0, 0) += 1;  // only entry 0 sees context 0
    const auto context = reference::crossbatch_attention(in);
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t) {
            CHECK(same(later, b, t) == (b == 1 || t < 2));
            CHECK(same(context, b, t) == (b == 1));
        }
}

TEST_CASE("without local keys it is attention to contexts alone; a query that sees nothing gets zeros") {
    Random random(6);
    auto in = random_input({{0}, {}}, random);
    in.k = zeros<double, 4>({2, 0, 1, 2});
    in.v = zeros<double, 4>({2, 0, 1, 3});
    const auto [o, L] = reference::crossbatch_attention(in);
    double sum = 0;  // the two keys of context 0, for query (0,2,1)
    for (Index s = 0; s < 2; ++s)
        sum += std::exp(in.q(0, 2, 1, 0) * in.context_k(0, s, 0, 0) + in.q(0, 2, 1, 1) * in.context_k(0, s, 0, 1));
    CHECK(L(0, 1, 2) == doctest::Approx(std::log(sum)));
    CHECK(L(1, 1, 2) == -std::numeric_limits<double>::infinity());
    for (Index t = 0; t < 3; ++t)
        for (Index h = 0; h < 2; ++h)
            for (Index e = 0; e < 3; ++e) CHECK(o(1, t, h, e) == 0);
}

TEST_CASE("a list of last visible keys places the queries") {
    Random random(7);
    auto in = random_input({{0, 1}, {}}, random);
    const auto causal = reference::crossbatch_attention(in);
    in.last_visible = {1, 2, 3};
    CHECK(difference(reference::crossbatch_attention(in), causal) == 0);
    in.last_visible = {3, 3, 3};
    const auto all = reference::crossbatch_attention(in);
    CHECK(all.log_sum_exp(0, 0, 2) == causal.log_sum_exp(0, 0, 2));
    CHECK(all.log_sum_exp(0, 0, 0) > causal.log_sum_exp(0, 0, 0));
}

TEST_CASE("the gradients are those of finite differences, of o and of the log-sum-exp, in every key and value that is seen") {
    for (const Lists& contexts : {Lists{{0, 1}, {1, 2}}, Lists{{2}, {}}}) {
        Random random(8);
        auto in = random_input(contexts, random);
        const auto d_o = normal_tensor<double, 4>({2, 3, 2, 3}, 1, random);
        const auto d_L = normal_tensor<double, 3>({2, 2, 3}, 1, random);
        const auto d = reference::crossbatch_attention_vjp(in, d_o, d_L);
        const auto loss = [&] {
            const auto [o, L] = reference::crossbatch_attention(in);
            return testing::weighted_sum(o, d_o) + testing::weighted_sum(L, d_L);
        };
        CHECK(testing::gradient_error(in.q, d.q, loss) < 1e-8);
        CHECK(testing::gradient_error(in.k, d.k, loss) < 1e-8);
        CHECK(testing::gradient_error(in.v, d.v, loss) < 1e-8);
        CHECK(testing::gradient_error(in.context_k, d.context_k, loss) < 1e-8);
        CHECK(testing::gradient_error(in.context_v, d.context_v, loss) < 1e-8);
    }
}

TEST_CASE("inputs of crossbatch attention that do not fit are refused by name") {
    Random random(9);
    const auto good = random_input({{0}, {1}}, random);
    const auto with = [&](auto&& change) {
        auto in = good;
        change(in);
        return reference::crossbatch_attention(in);
    };
    CHECK_THROWS_WITH_AS(with([](auto& in) {
                             in.contexts = {{0}, {3}};
                         }),
                         "reference::crossbatch_attention: context 3, expected 0 ... 2", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& in) { in.contexts = {{0}}; }),
                         "reference::crossbatch_attention: 1 lists of contexts for 2 entries", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& in) {
                             in.last_visible = {0, 1, 4};
                         }),
                         "reference::crossbatch_attention: last visible key 4 of 4 local keys", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& in) {
                             in.last_visible = {0, 1};
                         }),
                         "reference::crossbatch_attention: last_visible for 2 of 3 queries", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& in) {
                             in.context_k = zeros<double, 4>({3, 2, 1, 5});
                         }),
                         "reference::crossbatch_attention: context_k has shape (3, 2, 1, 5), expected (-1, -1, 1, 2) (-1: any)",
                         ShapeError);
    CHECK_THROWS_AS(with([](auto& in) { in.context_v = zeros<double, 4>({3, 1, 1, 3}); }), ShapeError);
    CHECK_THROWS_AS(with([](auto& in) { in.k = zeros<double, 4>({2, 4, 1, 5}); }), ShapeError);
    CHECK_THROWS_AS(with([](auto& in) { in.v = zeros<double, 4>({2, 5, 1, 3}); }), ShapeError);
    CHECK_THROWS_AS(with([](auto& in) {
                        in.k = zeros<double, 4>({2, 4, 3, 2}), in.v = zeros<double, 4>({2, 4, 3, 3});
                    }),
                    ShapeError);
    CHECK_THROWS_AS(reference::crossbatch_attention_vjp(good, zeros<double, 4>({2, 3, 2, 2})), ShapeError);
    CHECK_THROWS_AS(reference::crossbatch_attention_vjp(good, zeros<double, 4>({2, 3, 2, 3}), zeros<double, 3>({2, 3, 2})),
                    ShapeError);
}
