#include "fot/attention/joining.hpp"

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
    return fot::merge<Real>(a, b);
}

/// A part as a handle on the tape.
template <class Real>
Attention<Real> variables(const AttentionResult<Real>& part, bool trained = false) {
    return {Variable<Real, 4>(part.o, trained), Variable<Real, 3>(part.log_sum_exp, trained)};
}

/// The gradients of a gate on the tape with respect to memory, local and logits.
template <class Real>
auto gate_gradients(const AttentionResult<Real>& memory, const Tensor<Real, 4>& local, const Tensor<Real, 3>& logits,
                    const Tensor<Real, 4>& d_o) {
    const Attention<Real> of_memory = variables(memory, true);
    const Variable<Real, 4> of_local(local, true);
    const Variable<Real, 3> of_logits(logits, true);
    Tape tape;
    testing::replay(tape, gate(tape, of_memory, of_local, of_logits), d_o);
    return std::tuple(of_memory.o.gradient(), of_local.gradient(), of_logits.gradient());
}

}  // namespace

TEST_CASE("the sigmoid has its limits exactly and does not overflow") {
    CHECK(detail::logistic(0.0) == 0.5);
    CHECK(detail::logistic(std::log(3.0)) == doctest::Approx(0.75));
    CHECK(detail::logistic(-std::log(3.0)) == doctest::Approx(0.25));
    CHECK(detail::logistic(infinity) == 1);
    CHECK(detail::logistic(-infinity) == 0);
    CHECK(detail::logistic(1e4f) == 1);
    CHECK(detail::logistic(-1e4f) == 0);
    CHECK(std::isnan(detail::logistic(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("two parts with one and three shares of the mass: hand numbers") {
    const AttentionResult<double> a{full<double, 4>({1, 1, 1, 1}, 8.0), full<double, 3>({1, 1, 1}, 0.0)};
    const AttentionResult<double> b{full<double, 4>({1, 1, 1, 1}, 4.0), full<double, 3>({1, 1, 1}, std::log(3.0))};
    CHECK(merge(a, b).o(0, 0, 0, 0) == doctest::Approx(5));
    CHECK(merge(a, b).log_sum_exp(0, 0, 0) == doctest::Approx(std::log(4.0)));
}

TEST_CASE("parts that follow one another are merged as one after the other; a part that saw nothing changes nothing") {
    AttentionResult<double> parts = random_part<double>({6, 3, 2, 4}, 3);
    for (Index i = 0; i < 2 * 3; ++i) row(parts.log_sum_exp, 1)[i] = -infinity;
    for (Index i = 0; i < 3 * 2 * 4; ++i) row(parts.o, 1)[i] = 0;
    const AttentionResult<double> whole = merge_parts(parts, 3), alone = merge_parts(parts, 1);
    CHECK(alone.o == parts.o);
    for (Index b = 0; b < 2; ++b) {
        const auto part = [&](Index p) {
            return AttentionResult<double>{slice<0>(parts.o, 3 * b + p, 1), slice<0>(parts.log_sum_exp, 3 * b + p, 1)};
        };
        const AttentionResult<double> expected = merge(merge(part(0), part(1)), part(2));
        CHECK(testing::largest_difference(slice<0>(whole.o, b, 1), expected.o) < 1e-15);
        CHECK(testing::largest_difference(slice<0>(whole.log_sum_exp, b, 1), expected.log_sum_exp) < 1e-15);
    }
    for (double& number : parts.log_sum_exp.storage()) number = -infinity;
    for (double& number : parts.o.storage()) number = 0;
    const AttentionResult<double> nothing = merge_parts(parts, 3);
    for (const double number : nothing.o.storage()) CHECK(number == 0);
    CHECK(nothing.log_sum_exp(1, 1, 2) == -infinity);
    parts.log_sum_exp(4, 0, 1) = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(merge_parts(parts, 3).o(1, 1, 0, 3)));
}

TEST_CASE("contexts alone merged with local attention is one softmax over both") {
    const AttentionInputs<double> in({3, 4, 4, 2, 1, 3, 2, 3, 5}, 1);
    const ContextTable table{3, {{2, 0}, {}, {1, 2, 0}}, {1, 0, 2}};
    const AttentionResult<double> further = context_attention(in.contexts(), table), local = causal_attention(in.local()),
                                  together = testing::attention_oracle(in, table);
    CHECK(testing::largest_difference(merge(further, local).o, together.o) < 1e-14);
    CHECK(testing::largest_difference(merge(further, local).log_sum_exp, together.log_sum_exp) < 1e-14);
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
    merge_vjp<double>(a, b, {weight.o, &weight.log_sum_exp}, {&d_a.o, &d_a.log_sum_exp}, {&d_b.o, &d_b.log_sum_exp});
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
    const Tensor<double, 4> d_o = random_part<double>({1, 2, 2, 3}, 3).o;
    const Tensor<double, 3> logits = random_part<double>({1, 2, 2, 3}, 4).log_sum_exp;
    const auto merged = [&](bool first, bool second) {
        const std::array parts{variables(a, first), variables(b, second)};
        Tape tape;
        testing::replay(tape, merge(tape, parts[0], parts[1]).o, d_o);
        return parts;
    };
    const auto gated = [&](bool first, bool second) {
        const std::array parts{variables(a, first), variables(b, second)};
        Tape tape;
        testing::replay(tape, gate(tape, parts[0], parts[1].o, Variable<double, 3>(logits)), d_o);
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
        merge_vjp<double>(none, other, {part.o, &part.log_sum_exp}, {&d_a.o, &d_a.log_sum_exp}, {&d_b.o, &d_b.log_sum_exp});
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

TEST_CASE("a gradient of merge that is left out is not needed, and the others are bitwise the same") {
    const AttentionResult<double> a = random_part<double>({2, 3, 2, 2}, 1), b = random_part<double>({2, 3, 2, 2}, 2),
                                  weight = random_part<double>({2, 3, 2, 2}, 3);
    const AttentionResult<double> nothing{zeros_like(a.o), zeros_like(a.log_sum_exp)};
    AttentionResult<double> d_a = nothing, d_b = nothing;
    merge_vjp<double>(a, b, {weight.o, &weight.log_sum_exp}, {&d_a.o, &d_a.log_sum_exp}, {&d_b.o, &d_b.log_sum_exp});
    AttentionResult<double> heads = nothing, masses = nothing;
    merge_vjp<double>(a, b, {weight.o, &weight.log_sum_exp}, {.o = &heads.o}, {.log_sum_exp = &masses.log_sum_exp});
    CHECK(heads.o == d_a.o);
    CHECK(masses.log_sum_exp == d_b.log_sum_exp);
    heads = masses = nothing;
    merge_vjp<double>(a, b, {weight.o, &weight.log_sum_exp}, {.log_sum_exp = &masses.log_sum_exp}, {.o = &heads.o});
    CHECK(masses.log_sum_exp == d_a.log_sum_exp);
    CHECK(heads.o == d_b.o);
    // No gradient of the log-sum-exp is one of zeros.
    AttentionResult<double> left_out = nothing, of_zeros = nothing;
    merge_vjp<double>(a, b, {weight.o}, {&left_out.o, &left_out.log_sum_exp}, {});
    merge_vjp<double>(a, b, {weight.o, &nothing.log_sum_exp}, {&of_zeros.o, &of_zeros.log_sum_exp}, {});
    CHECK(left_out.o == of_zeros.o);
    CHECK(left_out.log_sum_exp == of_zeros.log_sum_exp);
    CHECK_FALSE(left_out.log_sum_exp == d_a.log_sum_exp);
}

TEST_CASE("the learned gate: hand numbers, one gate for each query and head") {
    const AttentionResult<double> memory{full<double, 4>({1, 2, 3, 1}, 8.0), zeros<double, 3>({1, 3, 2})};
    const Tensor<double, 4> local = full<double, 4>({1, 2, 3, 1}, 4.0);
    const Tensor<double, 4> o = gate<double>(memory, local, {{{0.0, std::log(3.0), -1e4}, {1e4, 0.0, -std::log(3.0)}}});
    CHECK(o(0, 0, 0, 0) == 6);
    CHECK(o(0, 0, 1, 0) == doctest::Approx(7));
    CHECK(o(0, 0, 2, 0) == 4);
    CHECK(o(0, 1, 0, 0) == 8);
    CHECK(o(0, 1, 1, 0) == 6);
    CHECK(o(0, 1, 2, 0) == doctest::Approx(5));
}

TEST_CASE("differences of the log-sum-exp are the logits with which the gate is one softmax, with its gradients, too") {
    Random random(7);
    const Shape<4> shape{2, 3, 2, 2};
    const Shape<3> of_queries{2, 2, 3};
    Variable<double, 4> memory = testing::normal_variable<4>(shape, random), local = testing::normal_variable<4>(shape, random);
    Variable<double, 3> of_memory = testing::normal_variable<3>(of_queries, random),
                        of_local = testing::normal_variable<3>(of_queries, random);
    const auto gated = [&](Tape& on) {
        const Attention<double> a{memory, of_memory}, b{local, of_local};
        return gate(on, a, local, log_mass_difference(on, a, b));
    };
    const auto merged = [&](Tape& on) { return merge(on, Attention<double>{memory, of_memory}, {local, of_local}).o; };
    const auto difference = [&](Tape& on) {
        return log_mass_difference(on, Attention<double>{memory, of_memory}, {local, of_local});
    };
    Tape inference(Tape::inference);
    CHECK(testing::largest_difference(gated(inference).value(), merged(inference).value()) < 1e-14);
    CHECK(difference(inference).value()(1, 2, 0) == of_memory.value()(1, 0, 2) - of_local.value()(1, 0, 2));
    CHECK(testing::tape_gradient_error(difference, of_memory, of_local) < 1e-6);
    CHECK(testing::tape_gradient_error(gated, memory, local, of_memory, of_local) < 1e-6);
}

TEST_CASE("differences of the log-sum-exp are infinite where one attention saw no key, and no number where neither did") {
    const Tensor<double, 4> o = zeros<double, 4>({1, 4, 1, 1});
    const auto part = [&](const Tensor<double, 3>& masses, bool trained) {
        return variables(AttentionResult<double>{o, masses}, trained);
    };
    const Attention<double> a = part({{{-infinity, 2.0, -infinity, 3.0}}}, true),
                            b = part({{{1.0, -infinity, -infinity, 1.0}}}, false);
    Tape tape;
    const Variable<double, 3> logits = log_mass_difference(tape, a, b);
    CHECK(logits.value()(0, 0, 0) == -infinity);
    CHECK(logits.value()(0, 1, 0) == infinity);
    CHECK(std::isnan(logits.value()(0, 2, 0)));
    CHECK(logits.value()(0, 3, 0) == 2);
    CHECK(gate(tape, a, b.o, logits).value() == o);
    testing::replay(tape, logits, Tensor<double, 3>{{{1.0}, {2.0}, {3.0}, {4.0}}});
    CHECK(a.log_sum_exp.gradient() == Tensor<double, 3>{{{1.0, 2.0, 3.0, 4.0}}});
    CHECK_FALSE(b.log_sum_exp.has_gradient());
    CHECK_THROWS_WITH_AS(log_mass_difference(tape, a, variables(random_part<double>({1, 3, 1, 1}, 1))),
                         "difference: b has shape (1, 1, 3), expected (1, 1, 4)", ShapeError);
}

TEST_CASE("the gradients of the gate are those of finite differences") {
    Random random(5);
    const Variable<double, 3> masses = testing::normal_variable<3>({2, 2, 3}, random);
    Variable<double, 4> memory = testing::normal_variable<4>({2, 3, 2, 2}, random),
                        local = testing::normal_variable<4>({2, 3, 2, 2}, random);
    Variable<double, 3> logits = testing::normal_variable<3>({2, 3, 2}, random);
    const auto gated = [&](Tape& on) { return gate(on, {memory, masses}, local, logits); };
    CHECK(testing::tape_gradient_error(gated, memory, local, logits) < 1e-6);
    CHECK_FALSE(masses.has_gradient());  // how much the memory weighs is not asked
    Tape inference(Tape::inference);
    CHECK_FALSE(gated(inference).needs_gradient());
    CHECK(inference.size() == 0);
}

TEST_CASE("a query that remembers nothing keeps its local attention, and gives no gradient to its logit") {
    AttentionResult<double> memory = random_part<double>({2, 3, 2, 2}, 1);
    memory.log_sum_exp(1, 0, 2) = -infinity;
    const Tensor<double, 4> local = random_part<double>({2, 3, 2, 2}, 2).o, d_o = random_part<double>({2, 3, 2, 2}, 3).o;
    Random random(4);
    const Tensor<double, 3> logits = normal_tensor<double, 3>({2, 3, 2}, 1, random);
    const Tensor<double, 4> o = gate<double>(memory, local, logits);
    const auto [d_memory, d_local, d_logits] = gate_gradients(memory, local, logits, d_o);
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t)
            for (Index h = 0; h < 2; ++h) {
                const bool nothing = b == 1 && t == 2 && h == 0;
                CHECK((d_logits(b, t, h) == 0) == nothing);
                for (Index e = 0; e < 2; ++e) {
                    CHECK((o(b, t, h, e) == local(b, t, h, e)) == nothing);
                    CHECK((d_memory(b, t, h, e) == 0) == nothing);
                    CHECK((d_local(b, t, h, e) == d_o(b, t, h, e)) == nothing);
                }
            }
}

TEST_CASE("a number per head is the logit of all its queries, and its gradient is the sum over them") {
    Variable<double, 1> bias(Tensor<double, 1>{1.0, -2.0, 3.0}, true);
    const auto spread = [&](Tape& on) { return logits_of_heads(on, bias, 2, 4); };
    Tape tape;
    const Variable<double, 3> logits = spread(tape);
    REQUIRE(shape_of(logits.value()) == Shape<3>{2, 4, 3});
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 4; ++t)
            for (Index h = 0; h < 3; ++h) CHECK(logits.value()(b, t, h) == bias.value()(h));
    testing::replay(tape, logits, full<double, 3>({2, 4, 3}, 0.5));
    CHECK(bias.gradient() == full<double, 1>({3}, 4.0));
    CHECK(testing::tape_gradient_error(spread, bias) < 1e-6);
    const Variable<double, 1> constant(bias.value());
    CHECK_FALSE(logits_of_heads(tape, constant, 2, 4).needs_gradient());
}

TEST_CASE("the gradients of a gate with one number per head are those of finite differences") {
    Random random(6);
    const Variable<double, 3> masses = testing::normal_variable<3>({2, 2, 3}, random);
    Variable<double, 4> memory = testing::normal_variable<4>({2, 3, 2, 2}, random),
                        local = testing::normal_variable<4>({2, 3, 2, 2}, random);
    Variable<double, 1> bias = testing::normal_variable<1>({2}, random);
    const auto gated = [&](Tape& on) { return gate(on, {memory, masses}, local, logits_of_heads(on, bias, 2, 3)); };
    CHECK(testing::tape_gradient_error(gated, memory, local, bias) < 1e-6);
}

TEST_CASE("merge and gate are bitwise the same for one thread and for several") {
    const AttentionResult<float> a = random_part<float>({2, 5, 3, 4}, 1), b = random_part<float>({2, 5, 3, 4}, 2),
                                 weight = random_part<float>({2, 5, 3, 4}, 3);
    const Tensor<float, 3> logits = random_part<float>({2, 3, 5, 4}, 4).log_sum_exp;
    const auto run = [&] {
        AttentionResult<float> d_a{zeros_like(a.o), zeros_like(a.log_sum_exp)}, d_b = d_a;
        merge_vjp<float>(a, b, {weight.o, &weight.log_sum_exp}, {&d_a.o, &d_a.log_sum_exp}, {&d_b.o, &d_b.log_sum_exp});
        const AttentionResult<float> whole = merge(a, b);
        return std::tuple(whole.o, whole.log_sum_exp, gate<float>(a, b.o, logits), d_a.o, d_a.log_sum_exp, d_b.o, d_b.log_sum_exp,
                          gate_gradients(a, b.o, logits, weight.o));
    };
    const testing::WithThreads scope(1);
    const auto one = run();
    for (const Index count : {2, 3, 40}) {
        set_threads(count);
        CHECK((run() == one));
    }
}

TEST_CASE("parts and logits that do not fit are refused") {
    const AttentionResult<float> a = random_part<float>({1, 2, 3, 4}, 1), b = random_part<float>({1, 2, 3, 5}, 2),
                                 c = random_part<float>({1, 3, 3, 4}, 3);
    const AttentionOutput<float> mixed(a.o, c.log_sum_exp);
    const Tensor<float, 3> logits = zeros<float, 3>({1, 2, 3});
    CHECK_THROWS_WITH_AS(merge(a, b), "merge: second o has shape (1, 2, 3, 5), expected (1, 2, 3, 4)", ShapeError);
    CHECK_THROWS_WITH_AS(fot::merge<float>(mixed, a), "merge: first log_sum_exp has shape (1, 3, 3), expected (1, 3, 2)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(fot::merge<float>(a, mixed), "merge: second log_sum_exp has shape (1, 3, 3), expected (1, 3, 2)",
                         ShapeError);
    CHECK_NOTHROW(gate<float>(a, a.o, logits));
    CHECK_THROWS_WITH_AS(gate<float>(a, b.o, logits), "gate: local has shape (1, 2, 3, 5), expected (1, 2, 3, 4)", ShapeError);
    CHECK_THROWS_WITH_AS(gate<float>(mixed, a.o, logits), "gate: memory log_sum_exp has shape (1, 3, 3), expected (1, 3, 2)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gate<float>(a, a.o, zeros<float, 3>({1, 3, 2})), "gate: logits has shape (1, 3, 2), expected (1, 2, 3)",
                         ShapeError);
}
