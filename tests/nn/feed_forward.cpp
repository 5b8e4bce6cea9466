#include "fot/nn/feed_forward.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

namespace {

/// The layer put together from its parts: a linear map, the bend, a linear map.
template <class Real>
Variable<Real, 3> composed(Tape& tape, const Variable<Real, 3>& x, const Variable<Real, 2>& up, const Variable<Real, 2>& down,
                           Activation kind, const Variable<Real, 2>& gate) {
    const Variable<Real, 3> hidden = linear(tape, x, up);
    return linear(tape, kind == Activation::swiglu ? swiglu(tape, linear(tape, x, gate), hidden) : activation(tape, hidden, kind),
                  down);
}

constexpr Activation all_kinds[] = {Activation::relu, Activation::squared_relu, Activation::swiglu};

}  // namespace

TEST_CASE("the bends: hand numbers") {
    const Tensor<double, 1> x{-2, 0, 3};
    const Tensor<double, 1> up{10, 10, 10};
    CHECK(activation(x, Activation::relu) == Tensor<double, 1>{0, 0, 3});
    CHECK(activation(x, Activation::squared_relu) == Tensor<double, 1>{0, 0, 9});
    const Tensor<double, 1> a = swiglu(x, up);
    CHECK(a(0) == doctest::Approx(-20 / (1 + std::exp(2.0))));
    CHECK(a(1) == 0);
    CHECK(a(2) == doctest::Approx(30 / (1 + std::exp(-3.0))));
}

TEST_CASE("the bends keep what is not a number, and silu is finite at both ends") {
    const float nan = std::nanf("");
    CHECK(std::isnan(activation(Tensor<float, 1>{nan}, Activation::relu)(0)));
    CHECK(std::isnan(activation(Tensor<float, 1>{nan}, Activation::squared_relu)(0)));
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
                    worst = std::max(worst, std::abs(sum - y(b, t, i)));
                }
        CHECK(worst < 1e-12);
    }
}

TEST_CASE("the fused layer and the one put together from its parts agree, in value and in every gradient") {
    Random random(2);
    const Index B = 3, T = 200, E = 6, F = 10;  // more rows than two slices
    for (const Activation kind : all_kinds) {
        const bool gated = kind == Activation::swiglu;
        Variable<double, 3> x = normal_variable<3>({B, T, E}, random);
        Variable<double, 2> up = normal_variable<2>({F, E}, random), down = normal_variable<2>({E, F}, random),
                            gate = gated ? normal_variable<2>({F, E}, random) : Variable<double, 2>();
        const Tensor<double, 3> d_y = normal_tensor<double, 3>({B, T, E}, 1, random);
        Tape tape;
        const Variable<double, 3> fused = feed_forward(tape, x, up, down, kind, gate);
        testing::replay(tape, fused, d_y);
        Variable<double, 3> x2(x.value(), true);
        Variable<double, 2> up2(up.value(), true), down2(down.value(), true), gate2;
        if (gated) gate2 = Variable<double, 2>(gate.value(), true);
        const Variable<double, 3> parts = composed(tape, x2, up2, down2, kind, gate2);
        testing::replay(tape, parts, d_y);
        CHECK(testing::largest_difference(fused.value(), parts.value()) < 1e-11);
        CHECK(testing::largest_difference(x.gradient(), x2.gradient()) < 1e-10);
        CHECK(testing::largest_difference(up.gradient(), up2.gradient()) < 1e-10);
        CHECK(testing::largest_difference(down.gradient(), down2.gradient()) < 1e-10);
        if (gated) CHECK(testing::largest_difference(gate.gradient(), gate2.gradient()) < 1e-10);
    }
}

TEST_CASE("the gradients of the feed-forward layer and of the bends are those of finite differences") {
    Random random(3);
    Variable<double, 3> x = normal_variable<3>({2, 2, 3}, random), z = normal_variable<3>({2, 2, 3}, random);
    Variable<double, 2> up = normal_variable<2>({4, 3}, random), down = normal_variable<2>({3, 4}, random),
                        gate = normal_variable<2>({4, 3}, random);
    for (auto& element : z.value().storage()) element += element > 0 ? 0.1 : -0.1;  // away from the kink
    for (const Activation kind : {Activation::relu, Activation::squared_relu})
        CHECK(testing::tape_gradient_error([&](Tape& tape) { return activation(tape, z, kind); }, z) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return swiglu(tape, x, z); }, x, z) < 1e-6);
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
    const Index before = threads();
    set_threads(1);
    const Tensor<float, 3> one = feed_forward(x, {&up, &down, nullptr}, Activation::relu, hidden);
    set_threads(3);
    const Tensor<float, 3> several = feed_forward(x, {&up, &down, nullptr}, Activation::relu, hidden);
    set_threads(before);
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
    CHECK_THROWS_AS(feed_forward_vjp(x.value(), x.value(), {&up.value(), &down.value(), nullptr}, Activation::swiglu, no_gate,
                                     static_cast<Tensor<float, 3>*>(nullptr), {}),
                    ConfigError);
    CHECK_THROWS_WITH_AS(activation(tape, x, Activation::swiglu), doctest::Contains("swiglu takes a gate beside its input"),
                         ConfigError);
    CHECK_THROWS_WITH_AS(swiglu(zeros<float, 1>({2}), zeros<float, 1>({3})), "swiglu: gate has shape (2), expected (3)",
                         ShapeError);
}
