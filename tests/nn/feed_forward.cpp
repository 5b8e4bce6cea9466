#include "fot/nn/feed_forward.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

namespace {

/// max(x, 0) or its square.
Variable<double, 3> relu_power(Tape& tape, const Variable<double, 3>& x, Activation kind) {
    Tensor<double, 3> a = x.value();
    for (double& number : a.storage()) number = std::pow(std::max(number, 0.0), kind == Activation::relu ? 1 : 2);
    return tape.record(
        std::move(a),
        [x, kind](const Tensor<double, 3>& d_a) {
            for (Index i = 0; i < element_count(d_a); ++i) {
                const double number = std::max(x.value().data()[i], 0.0), slope = kind == Activation::relu ? 1 : 2 * number;
                if (number > 0) x.gradient().data()[i] += slope * d_a.data()[i];
            }
        },
        x);
}

/// silu(gate) up.
Variable<double, 3> gated(Tape& tape, const Variable<double, 3>& gate, const Variable<double, 3>& up) {
    const auto open = [gate](Index i) { return 1 / (1 + std::exp(-gate.value().data()[i])); };
    Tensor<double, 3> a = up.value();
    for (Index i = 0; i < element_count(a); ++i) a.data()[i] *= gate.value().data()[i] * open(i);
    return tape.record(
        std::move(a),
        [=](const Tensor<double, 3>& d_a) {
            for (Index i = 0; i < element_count(d_a); ++i) {
                const double g = gate.value().data()[i], s = open(i), d = d_a.data()[i];
                gate.gradient().data()[i] += d * up.value().data()[i] * (s + g * s * (1 - s));
                up.gradient().data()[i] += d * g * s;
            }
        },
        gate, up);
}

/// The layer put together from its parts: a linear map, the bend, a linear map.
Variable<double, 3> composed(Tape& tape, const Variable<double, 3>& x, const Variable<double, 2>& up,
                             const Variable<double, 2>& down, Activation kind, const Variable<double, 2>& gate) {
    const Variable<double, 3> hidden = linear(tape, x, up);
    return linear(tape, kind == Activation::swiglu ? gated(tape, linear(tape, x, gate), hidden) : relu_power(tape, hidden, kind),
                  down);
}

/// The layer with maps that change nothing: the bend alone.
template <class Real>
Tensor<Real, 1> bent(const Tensor<Real, 1>& x, Activation kind) {
    const Tensor<Real, 2> one{{Real(1)}};
    FeedForwardHidden<Real> hidden;
    return reshaped<1>(feed_forward(reshaped<3>(x, {1, extent(x, 0), 1}), {&one, &one, nullptr}, kind, hidden), shape_of(x));
}

constexpr Activation all_kinds[] = {Activation::relu, Activation::squared_relu, Activation::swiglu};

}  // namespace

TEST_CASE("the bends: hand numbers") {
    const Tensor<double, 1> x{-2, 0, 3};
    const Tensor<double, 1> up{10, 10, 10};
    CHECK(bent(x, Activation::relu) == Tensor<double, 1>{0, 0, 3});
    CHECK(bent(x, Activation::squared_relu) == Tensor<double, 1>{0, 0, 9});
    const Tensor<double, 1> a = swiglu(x, up);
    CHECK(a(0) == doctest::Approx(-20 / (1 + std::exp(2.0))));
    CHECK(a(1) == 0);
    CHECK(a(2) == doctest::Approx(30 / (1 + std::exp(-3.0))));
}

TEST_CASE("the bends keep what is not a number, and silu is finite at both ends") {
    const float nan = std::nanf("");
    CHECK(std::isnan(bent(Tensor<float, 1>{nan}, Activation::relu)(0)));
    CHECK(std::isnan(bent(Tensor<float, 1>{nan}, Activation::squared_relu)(0)));
    const Tensor<float, 1> gate{-1000, 1000, nan}, ones{1, 1, 1}, a = swiglu(gate, ones);
    CHECK(std::abs(a(0)) < 1e-30f);
    CHECK(a(1) == 1000);
    CHECK(std::isnan(a(2)));
}

TEST_CASE("the feed-forward layer equals plain loops") {
    Random random(1);
    const Index B = 2, T = 3, E = 4, F = 5;
    const Tensor<double, 3> x = normal_tensor<double, 3>({B, T, E}, 1, random);
    const Tensor<double, 2> up = normal_tensor<double, 2>({F, E}, 1, random), gate = normal_tensor<double, 2>({F, E}, 1, random),
                            down = normal_tensor<double, 2>({E, F}, 1, random);
    for (const Activation kind : all_kinds) {
        FeedForwardHidden<double> hidden;
        const Tensor<double, 3> y = feed_forward(x, {&up, &down, kind == Activation::swiglu ? &gate : nullptr}, kind, hidden);
        double worst = 0;
        for (Index b = 0; b < B; ++b)
            for (Index t = 0; t < T; ++t)
                for (Index i = 0; i < E; ++i) {
                    double sum = 0;
                    for (Index f = 0; f < F; ++f) {
                        double u = 0, g = 0;
                        for (Index e = 0; e < E; ++e) {
                            u += up(f, e) * x(b, t, e);
                            g += gate(f, e) * x(b, t, e);
                        }
                        const double rectified = std::max(u, 0.0);
                        sum += down(i, f) * (kind == Activation::relu           ? rectified
                                             : kind == Activation::squared_relu ? rectified * rectified
                                                                                : g / (1 + std::exp(-g)) * u);
                    }
                    worst = testing::worse(worst, std::abs(sum - y(b, t, i)));
                }
        CHECK(worst < 1e-12);
    }
}

TEST_CASE("the fused layer and the one put together from its parts agree, in value and in every gradient") {
    Random random(2);
    const Index B = 3, T = 200, E = 6, F = 10;  // more rows than two slices
    for (const Activation kind : all_kinds) {
        const bool with_gate = kind == Activation::swiglu;
        Variable<double, 3> x = normal_variable<3>({B, T, E}, random);
        Variable<double, 2> up = normal_variable<2>({F, E}, random), down = normal_variable<2>({E, F}, random),
                            gate = with_gate ? normal_variable<2>({F, E}, random) : Variable<double, 2>();
        const Tensor<double, 3> d_y = normal_tensor<double, 3>({B, T, E}, 1, random);
        Tape tape;
        const Variable<double, 3> fused = feed_forward(tape, x, up, down, kind, gate);
        testing::replay(tape, fused, d_y);
        Variable<double, 3> x2(x.value(), true);
        Variable<double, 2> up2(up.value(), true), down2(down.value(), true), gate2;
        if (with_gate) gate2 = Variable<double, 2>(gate.value(), true);
        const Variable<double, 3> parts = composed(tape, x2, up2, down2, kind, gate2);
        testing::replay(tape, parts, d_y);
        CHECK(testing::largest_difference(fused.value(), parts.value()) < 1e-11);
        CHECK(testing::largest_difference(x.gradient(), x2.gradient()) < 1e-10);
        CHECK(testing::largest_difference(up.gradient(), up2.gradient()) < 1e-10);
        CHECK(testing::largest_difference(down.gradient(), down2.gradient()) < 1e-10);
        if (with_gate) CHECK(testing::largest_difference(gate.gradient(), gate2.gradient()) < 1e-10);
    }
}

TEST_CASE("the gradients of the feed-forward layer are those of finite differences") {
    Random random(3);
    Variable<double, 3> x = normal_variable<3>({2, 2, 3}, random);
    Variable<double, 2> up = normal_variable<2>({4, 3}, random), down = normal_variable<2>({3, 4}, random),
                        gate = normal_variable<2>({4, 3}, random);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return feed_forward(tape, x, up, down, Activation::swiglu, gate); }, x, up,
                                       down, gate) < 1e-6);
    for (const Activation kind : {Activation::relu, Activation::squared_relu})
        CHECK(testing::tape_gradient_error([&](Tape& tape) { return feed_forward(tape, x, up, down, kind); }, x, up, down) < 1e-6);
}

TEST_CASE("the input of a feed-forward layer may be a constant, and so may its weights") {
    Random random(4);
    Variable<float, 3> x(normal_tensor<float, 3>({1, 2, 3}, 1, random));
    Variable<float, 2> up(normal_tensor<float, 2>({4, 3}, 1, random), true), down(normal_tensor<float, 2>({3, 4}, 1, random));
    Tape tape;
    const Variable<float, 3> y = feed_forward(tape, x, up, down, Activation::relu);
    testing::replay(tape, y, full<float, 3>({1, 2, 3}, 1.0f));
    CHECK_FALSE(x.has_gradient());
    CHECK_FALSE(down.has_gradient());
    CHECK(up.has_gradient());
}

TEST_CASE("one thread or several: the feed-forward layer gives bitwise the same") {
    Random random(5);
    const Tensor<float, 3> x = normal_tensor<float, 3>({4, 200, 8}, 1, random);
    const Tensor<float, 2> up = normal_tensor<float, 2>({16, 8}, 1, random), down = normal_tensor<float, 2>({8, 16}, 1, random);
    FeedForwardHidden<float> hidden;
    const testing::WithThreads scope(1);
    const Tensor<float, 3> one = feed_forward(x, {&up, &down, nullptr}, Activation::relu, hidden);
    set_threads(3);
    const Tensor<float, 3> several = feed_forward(x, {&up, &down, nullptr}, Activation::relu, hidden);
    CHECK(one.storage() == several.storage());
}

TEST_CASE("the feed-forward layer refuses weights that do not fit") {
    const Variable<float, 3> x(zeros<float, 3>({1, 2, 3}));
    const Variable<float, 2> up(zeros<float, 2>({4, 3})), down(zeros<float, 2>({3, 4})), wrong(zeros<float, 2>({4, 2}));
    Tape tape;
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, wrong, down, Activation::relu),
                         doctest::Contains("feed_forward: up has shape (4, 2)"), ShapeError);
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, up, wrong, Activation::relu), "feed_forward: down has shape (4, 2), expected (3, 4)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, up, down, Activation::swiglu, wrong),
                         "feed_forward: gate has shape (4, 2), expected (4, 3)", ShapeError);
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, up, down, Activation::swiglu), "feed_forward: swiglu needs a gate weight",
                         ConfigError);
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, up, down, Activation::relu, up),
                         "feed_forward: a gate weight is given, but only swiglu has one", ConfigError);
    const FeedForwardHidden<float> no_gate{zeros<float, 2>({2, 4}), {}};
    CHECK_THROWS_WITH_AS(feed_forward_vjp(x.value(), x.value(), {&up.value(), &down.value(), &up.value()}, Activation::swiglu,
                                          no_gate, static_cast<Tensor<float, 3>*>(nullptr), {}),
                         doctest::Contains("feed_forward vjp: hidden.gate has shape"), ShapeError);
    CHECK_THROWS_WITH_AS(feed_forward_vjp(x.value(), x.value(), {&up.value(), &down.value(), nullptr}, Activation::swiglu, no_gate,
                                          static_cast<Tensor<float, 3>*>(nullptr), {}),
                         "feed_forward: swiglu needs a gate weight", ConfigError);
    const FeedForwardHidden<float> hidden{zeros<float, 2>({2, 4}), zeros<float, 2>({2, 4})};
    Tensor<float, 2> d_gate = zeros<float, 2>({4, 2});
    CHECK_THROWS_WITH_AS(feed_forward_vjp(x.value(), x.value(), {&up.value(), &down.value(), &up.value()}, Activation::swiglu,
                                          hidden, static_cast<Tensor<float, 3>*>(nullptr), {nullptr, nullptr, &d_gate}),
                         "feed_forward vjp: d_weights.gate has shape (4, 2), expected (4, 3)", ShapeError);
    CHECK_THROWS_WITH_AS(swiglu(zeros<float, 1>({2}), zeros<float, 1>({3})), "swiglu: gate has shape (2), expected (3)",
                         ShapeError);
}
