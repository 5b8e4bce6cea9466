#include "fot/attention/gate.hpp"

#include <doctest/doctest.h>

#include <array>

#include "fot/attention/causal_attention.hpp"
#include "support/attention_check.hpp"
#include "support/tape_check.hpp"

using namespace fot;
using testing::AttentionInputs;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class Real>
AttentionResult<Real> random_part(const Shape<4>& shape, std::uint64_t seed) {
    Random random(seed);
    return {normal_tensor<Real, 4>(shape, 1, random), normal_tensor<Real, 3>({shape[0], shape[2], shape[1]}, 1, random)};
}

template <class Real>
AttentionResult<Real> merge(const AttentionResult<Real>& a, const AttentionResult<Real>& b) {
    return fot::merge(a.o, a.log_sum_exp, b.o, b.log_sum_exp);
}

}  // namespace

TEST_CASE("the sigmoid has its limits exactly and does not overflow") {
    CHECK(sigmoid(0.0) == 0.5);
    CHECK(sigmoid(std::log(3.0)) == doctest::Approx(0.75));
    CHECK(sigmoid(-std::log(3.0)) == doctest::Approx(0.25));
    CHECK(sigmoid(infinity) == 1);
    CHECK(sigmoid(-infinity) == 0);
    CHECK(sigmoid(1e4f) == 1);
    CHECK(sigmoid(-1e4f) == 0);
    CHECK(std::isnan(sigmoid(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("two parts with one and three shares of the mass: hand numbers") {
    const AttentionResult<double> a{full<double, 4>({1, 1, 1, 1}, 8.0), full<double, 3>({1, 1, 1}, 0.0)};
    const AttentionResult<double> b{full<double, 4>({1, 1, 1, 1}, 4.0), full<double, 3>({1, 1, 1}, std::log(3.0))};
    CHECK(merge(a, b).o(0, 0, 0, 0) == doctest::Approx(5));
    CHECK(merge(a, b).log_sum_exp(0, 0, 0) == doctest::Approx(std::log(4.0)));
}

TEST_CASE("contexts alone merged with local attention is crossbatch attention") {
    const AttentionInputs<double> in({3, 4, 4, 2, 1, 3, 2, 3, 5}, 1);
    const ContextTable table{3, {{2, 0}, {}, {1, 2, 0}}, {1, 0, 2}};
    Tape tape(Tape::inference);
    const Variable<double, 4> q(in.q), k(in.k), v(in.v), ck(in.context_k), cv(in.context_v);
    const Attention<double> merged = merge(tape, context_attention(tape, q, ck, cv, table), causal_attention(tape, q, k, v));
    const AttentionResult<double> together = in.attend(table);
    CHECK(testing::largest_difference(merged.o.value(), together.o) < 1e-14);
    CHECK(testing::largest_difference(merged.log_sum_exp.value(), together.log_sum_exp) < 1e-14);
}

TEST_CASE("merging is symmetric and associative") {
    const AttentionResult<double> a = random_part<double>({2, 3, 2, 4}, 1), b = random_part<double>({2, 3, 2, 4}, 2),
                                  c = random_part<double>({2, 3, 2, 4}, 3);
    CHECK(testing::largest_difference(merge(a, b).o, merge(b, a).o) < 1e-14);
    CHECK(testing::largest_difference(merge(a, b).log_sum_exp, merge(b, a).log_sum_exp) < 1e-14);
    CHECK(testing::largest_difference(merge(merge(a, b), c).o, merge(a, merge(b, c)).o) < 1e-14);
}

TEST_CASE("a part without keys changes nothing, bitwise; two of them stay empty") {
    const AttentionResult<float> part = random_part<float>({1, 3, 2, 4}, 1);
    const AttentionResult<float> none{zeros<float, 4>({1, 3, 2, 4}),
                                      full<float, 3>({1, 2, 3}, -std::numeric_limits<float>::infinity())};
    for (const AttentionResult<float>& whole : {merge(part, none), merge(none, part)}) {
        CHECK(whole.o.storage() == part.o.storage());
        CHECK(whole.log_sum_exp.storage() == part.log_sum_exp.storage());
    }
    CHECK(merge(none, none).o.storage() == none.o.storage());
    CHECK(merge(none, none).log_sum_exp.storage() == none.log_sum_exp.storage());
}

TEST_CASE("parts whose masses lie far apart merge without overflow") {
    AttentionResult<float> high = random_part<float>({1, 1, 1, 2}, 1), low = random_part<float>({1, 1, 1, 2}, 2);
    high.log_sum_exp(0, 0, 0) = 1e4f;
    low.log_sum_exp(0, 0, 0) = -1e4f;
    CHECK(merge(low, high).o.storage() == high.o.storage());
    CHECK(merge(low, high).log_sum_exp(0, 0, 0) == 1e4f);
}

TEST_CASE("the gradients of merge are those of finite differences") {
    AttentionResult<double> a = random_part<double>({2, 3, 2, 2}, 1), b = random_part<double>({2, 3, 2, 2}, 2);
    const AttentionResult<double> weight = random_part<double>({2, 3, 2, 2}, 3);
    AttentionResult<double> d_a{full(shape_of(a.o), 0.5), full(shape_of(a.log_sum_exp), 0.5)}, d_b = d_a;
    merge_vjp(a.o, a.log_sum_exp, b.o, b.log_sum_exp, weight.o, &weight.log_sum_exp, &d_a.o, &d_a.log_sum_exp, &d_b.o,
              &d_b.log_sum_exp);
    const auto loss = [&] {
        const AttentionResult<double> whole = merge(a, b);
        return testing::weighted_sum(whole.o, weight.o) + testing::weighted_sum(whole.log_sum_exp, weight.log_sum_exp);
    };
    const auto check = [&](auto& x, auto& d_x) {
        for (double& number : d_x.storage()) number -= 0.5;
        CHECK(testing::gradient_error(x, d_x, loss) < 1e-6);
    };
    check(a.o, d_a.o);
    check(a.log_sum_exp, d_a.log_sum_exp);
    check(b.o, d_b.o);
    check(b.log_sum_exp, d_b.log_sum_exp);
}

TEST_CASE("a part that is not a number shows in the whole, whichever it is") {
    const AttentionResult<double> good = random_part<double>({1, 1, 1, 2}, 1),
                                  bad{good.o, full<double, 3>({1, 1, 1}, std::numeric_limits<double>::quiet_NaN())},
                                  none{zeros<double, 4>({1, 1, 1, 2}), full<double, 3>({1, 1, 1}, -infinity)};
    for (const auto* other : {&good, &bad, &none})
        for (const AttentionResult<double>& whole : {merge(bad, *other), merge(*other, bad)}) {
            CHECK(std::isnan(whole.log_sum_exp(0, 0, 0)));
            CHECK(std::isnan(whole.o(0, 0, 0, 1)));
        }
}

TEST_CASE("constant parts get no gradient, and the others the same as if there were none") {
    const AttentionResult<double> a = random_part<double>({1, 2, 2, 3}, 1), b = random_part<double>({1, 2, 2, 3}, 2);
    const auto part = [](const AttentionResult<double>& x, bool trained) {
        return Attention<double>{Variable<double, 4>(x.o, trained), Variable<double, 3>(x.log_sum_exp, trained)};
    };
    const Tensor<double, 4> d_o = random_part<double>({1, 2, 2, 3}, 3).o;
    const auto merged = [&](bool first, bool second) {
        const std::array parts{part(a, first), part(b, second)};
        Tape tape;
        testing::replay(tape, merge(tape, parts[0], parts[1]).o, d_o);
        return parts;
    };
    const auto gated = [&](bool first, bool second) {
        const std::array parts{part(a, first), part(b, second)};
        Tape tape;
        testing::replay(tape, gate(tape, parts[0], parts[1], Variable<double, 1>(Tensor<double, 1>{0.5, -1.0})), d_o);
        return parts;
    };
    for (const std::size_t trained : {0u, 1u}) {
        const auto all = merged(true, true), one = merged(trained == 0, trained == 1), all_gated = gated(true, true),
                   one_gated = gated(trained == 0, trained == 1);
        CHECK(one[trained].o.gradient() == all[trained].o.gradient());
        CHECK(one[trained].log_sum_exp.gradient() == all[trained].log_sum_exp.gradient());
        CHECK_FALSE((one[1 - trained].o.has_gradient() || one[1 - trained].log_sum_exp.has_gradient()));
        CHECK(one_gated[trained].o.gradient() == all_gated[trained].o.gradient());
        CHECK_FALSE(one_gated[1 - trained].o.has_gradient());
    }
}

TEST_CASE("an empty part gets no gradient that is not a number") {
    const AttentionResult<double> part = random_part<double>({1, 1, 1, 2}, 1);
    const AttentionResult<double> none{zeros<double, 4>({1, 1, 1, 2}), full<double, 3>({1, 1, 1}, -infinity)};
    for (const bool both : {false, true}) {
        const AttentionResult<double>& other = both ? none : part;
        AttentionResult<double> d_a{zeros_like(part.o), zeros_like(part.log_sum_exp)}, d_b = d_a;
        merge_vjp(none.o, none.log_sum_exp, other.o, other.log_sum_exp, part.o, &part.log_sum_exp, &d_a.o, &d_a.log_sum_exp, &d_b.o,
                  &d_b.log_sum_exp);
        CHECK(std::isfinite(d_a.log_sum_exp(0, 0, 0)));
        CHECK(std::isfinite(d_b.log_sum_exp(0, 0, 0)));
        CHECK(std::isfinite(d_a.o(0, 0, 0, 1)));
        if (!both) CHECK(d_b.o.storage() == part.o.storage());
    }
}

TEST_CASE("on the tape merge has the gradients of finite differences, also for a loss on the log-sum-exp alone") {
    Random random(4);
    Variable<double, 4> q = testing::normal_variable<4>({2, 2, 2, 2}, random),
                        k = testing::normal_variable<4>({2, 2, 1, 2}, random),
                        v = testing::normal_variable<4>({2, 2, 1, 2}, random),
                        ck = testing::normal_variable<4>({2, 2, 1, 2}, random),
                        cv = testing::normal_variable<4>({2, 2, 1, 2}, random);
    const ContextTable table = previous_contexts(2, 1, 1);
    const auto merged = [&](Tape& on) { return merge(on, context_attention(on, q, ck, cv, table), causal_attention(on, q, k, v)); };
    CHECK(testing::tape_gradient_error([&](Tape& on) { return merged(on).o; }, q, k, v, ck, cv) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return merged(on).log_sum_exp; }, q, k, ck) < 1e-6);
    Tape inference(Tape::inference);
    CHECK_FALSE(merged(inference).o.needs_gradient());
    CHECK(inference.size() == 0);
}

TEST_CASE("the learned gate: hand numbers, one gate a head") {
    const Tensor<double, 4> memory = full<double, 4>({1, 1, 3, 1}, 8.0), local = full<double, 4>({1, 1, 3, 1}, 4.0);
    const Tensor<double, 4> o = gate(memory, local, Tensor<double, 1>{0.0, std::log(3.0), -1e4});
    CHECK(o(0, 0, 0, 0) == 6);
    CHECK(o(0, 0, 1, 0) == doctest::Approx(7));
    CHECK(o(0, 0, 2, 0) == 4);
}

TEST_CASE("the gradients of the gate are those of finite differences") {
    Random random(5);
    Variable<double, 4> memory = testing::normal_variable<4>({2, 3, 2, 2}, random),
                        local = testing::normal_variable<4>({2, 3, 2, 2}, random);
    Variable<double, 1> bias = testing::normal_variable<1>({2}, random);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return gate(on, memory, local, bias); }, memory, local, bias) < 1e-6);
}

TEST_CASE("parts and biases that do not fit are refused") {
    const AttentionResult<float> a = random_part<float>({1, 2, 3, 4}, 1), b = random_part<float>({1, 2, 3, 5}, 2),
                                 c = random_part<float>({1, 3, 3, 4}, 3);
    CHECK_THROWS_WITH_AS(merge(a, b), "merge: second o has shape (1, 2, 3, 5), expected (1, 2, 3, 4)", ShapeError);
    CHECK_THROWS_WITH_AS(fot::merge(a.o, c.log_sum_exp, a.o, a.log_sum_exp),
                         "merge: first log_sum_exp has shape (1, 3, 3), expected (1, 3, 2)", ShapeError);
    CHECK_THROWS_WITH_AS(fot::merge(a.o, a.log_sum_exp, a.o, c.log_sum_exp),
                         "merge: second log_sum_exp has shape (1, 3, 3), expected (1, 3, 2)", ShapeError);
    CHECK_THROWS_WITH_AS(gate(a.o, b.o, zeros<float, 1>({3})), "gate: local has shape (1, 2, 3, 5), expected (1, 2, 3, 4)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gate(a.o, a.o, zeros<float, 1>({4})), "gate: bias has shape (4), expected (3)", ShapeError);
}
