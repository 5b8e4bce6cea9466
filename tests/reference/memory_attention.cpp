#include "fot/reference/memory_attention.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/difference.hpp"

using namespace fot;

namespace {

/// Two entries with memories of six pairs; four query heads for two key heads.
struct Inputs {
    Tensor<double, 4> q, k, v, memory_k, memory_v;
    explicit Inputs(Random& random) {
        const auto of = [&](const Shape<4>& shape) { return normal_tensor<double, 4>(shape, 1, random); };
        q = of({2, 3, 4, 2}), k = of({2, 3, 2, 2}), v = of({2, 3, 2, 3}), memory_k = of({2, 6, 2, 2}), memory_v = of({2, 6, 2, 3});
    }
    reference::AttentionResult<double> attend(Index top_k) const {
        return reference::memory_attention(q, k, v, memory_k, memory_v, top_k);
    }
};

double difference(const reference::AttentionResult<double>& a, const reference::AttentionResult<double>& b) {
    return std::max(testing::largest_difference(a.o, b.o), testing::largest_difference(a.log_sum_exp, b.log_sum_exp));
}

}  // namespace

TEST_CASE("the best of three entries and the local key share one softmax: hand numbers") {
    // e to the scores: the local key 1; the memory 2, 3, 1/2.
    const Tensor<double, 4> q{{{{1}}}}, k{{{{0}}}}, v{{{{4}}}},
        memory_k{{{{std::log(2.0)}}, {{std::log(3.0)}}, {{-std::log(2.0)}}}}, memory_v{{{{10}}, {{8}}, {{100}}}};
    const auto best = reference::memory_attention(q, k, v, memory_k, memory_v, 1);
    CHECK(best.o(0, 0, 0, 0) == doctest::Approx((1 * 4 + 3 * 8) / 4.0));
    CHECK(best.log_sum_exp(0, 0, 0) == doctest::Approx(std::log(4.0)));
    const auto two = reference::memory_attention(q, k, v, memory_k, memory_v, 2);
    CHECK(two.o(0, 0, 0, 0) == doctest::Approx((1 * 4 + 3 * 8 + 2 * 10) / 6.0));
}

TEST_CASE("with the whole memory retrieved it is crossbatch attention to the memory as a context") {
    Random random(1);
    const Inputs in(random);
    const auto whole = reference::crossbatch_attention<double>({in.q, in.k, in.v, in.memory_k, in.memory_v, {{0}, {1}}});
    CHECK(difference(in.attend(6), whole) < 1e-14);
    CHECK(difference(in.attend(100), whole) < 1e-14);
    CHECK(difference(in.attend(5), whole) > 1e-3);
}

TEST_CASE("without local keys it is attention to the memory alone") {
    Random random(6);
    Inputs in(random);
    in.k = zeros<double, 4>({2, 0, 2, 2});
    in.v = zeros<double, 4>({2, 0, 2, 3});
    const auto whole = reference::crossbatch_attention<double>({in.q, in.k, in.v, in.memory_k, in.memory_v, {{0}, {1}}});
    CHECK(difference(in.attend(6), whole) < 1e-14);
    // The best entry alone: its value is the result, its score the log-sum-exp.
    const auto one = in.attend(1);
    double best = -std::numeric_limits<double>::infinity();
    for (Index m = 0; m < 6; ++m)
        best = std::max(best, in.q(1, 2, 3, 0) * in.memory_k(1, m, 1, 0) + in.q(1, 2, 3, 1) * in.memory_k(1, m, 1, 1));
    CHECK(one.log_sum_exp(1, 3, 2) == doctest::Approx(best));
}

TEST_CASE("with nothing retrieved, or nothing remembered, it is causal attention") {
    Random random(2);
    Inputs in(random);
    const auto local = reference::causal_attention(in.q, in.k, in.v);
    CHECK(difference(in.attend(0), local) == 0);
    in.memory_k = zeros<double, 4>({2, 0, 2, 2});
    in.memory_v = zeros<double, 4>({2, 0, 2, 3});
    CHECK(difference(in.attend(3), local) == 0);
}

TEST_CASE("the weights of a query sum to one: with values of one, so is the result") {
    Random random(3);
    Inputs in(random);
    in.v.fill(1);
    in.memory_v.fill(1);
    const auto result = in.attend(2);
    for (const double number : result.o.storage()) CHECK(number == doctest::Approx(1));
}

TEST_CASE("more entries retrieved, more mass: the log-sum-exp grows with top_k, by less each time") {
    Random random(4);
    const Inputs in(random);
    double before = -std::numeric_limits<double>::infinity(), gain = std::numeric_limits<double>::infinity();
    for (Index top_k = 0; top_k <= 6; ++top_k) {
        const double mass = std::exp(in.attend(top_k).log_sum_exp(1, 2, 0));
        if (top_k > 0) {
            CHECK(mass > before);
            CHECK(mass - before <= gain);
            gain = mass - before;
        }
        before = mass;
    }
}

TEST_CASE("a memory that does not fit and a negative top_k are refused") {
    Random random(5);
    Inputs in(random);
    CHECK_THROWS_WITH_AS(in.attend(-1), "reference::memory_attention: top_k is -1, expected 0 or more", ConfigError);
    in.memory_v = zeros<double, 4>({2, 5, 2, 3});
    CHECK_THROWS_AS(in.attend(1), ShapeError);
    in.memory_k = zeros<double, 4>({1, 5, 2, 2});
    CHECK_THROWS_WITH_AS(in.attend(1),
                         "reference::memory_attention: memory_k has shape (1, 5, 2, 2), expected (2, -1, -1, -1) (-1: any)",
                         ShapeError);
}
