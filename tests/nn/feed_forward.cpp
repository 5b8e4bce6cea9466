#include "fot/nn/feed_forward.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

namespace {

constexpr Activation all_kinds[] = {Activation::relu, Activation::squared_relu, Activation::swiglu};

}  // namespace

TEST_CASE("the activations: hand numbers") {
    const Tensor<double, 1> x{-2, 0, 3};
    const Tensor<double, 1> up{10, 10, 10};
    CHECK(activation(x, Activation::relu) == Tensor<double, 1>{0, 0, 3});
    CHECK(activation(x, Activation::squared_relu) == Tensor<double, 1>{0, 0, 9});
    const Tensor<double, 1> a = swiglu(x, up);
    CHECK(a(0) == doctest::Approx(-20 / (1 + std::exp(2.0))));
    CHECK(a(1) == 0);
    CHECK(a(2) == doctest::Approx(30 / (1 + std::exp(-3.0))));
}

TEST_CASE("the activations keep what is not a number, and silu is finite at both ends") {
    const float nan = std::nanf("");
    CHECK(std::isnan(activation(Tensor<float, 1>{nan}, Activation::relu)(0)));
    CHECK(std::isnan(activation(Tensor<float, 1>{nan}, Activation::squared_relu)(0)));
    const Tensor<float, 1> gate{-1000, 1000, nan}, ones{1, 1, 1}, a = swiglu(gate, ones);
    CHECK(std::abs(a(0)) < 1e-30f);
    CHECK(a(1) == 1000);
    CHECK(std::isnan(a(2)));
}

TEST_CASE("the activations of rows longer than a vector, and their slopes, number by number") {
    const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
    for (const Activation kind : {Activation::relu, Activation::squared_relu}) {
        const bool squared = kind == Activation::squared_relu;
        Tensor<float, 1> numbers = empty<float, 1>({75}), d = full<float, 1>({75}, 3.0f);
        for (Index i = 0; i < 75; ++i) numbers(i) = static_cast<float>(i % 3 - 1) * static_cast<float>(i);
        numbers(16) = nan;
        d(3) = infinity;  // at -3
        Tape tape;
        const Variable<float, 1> x(numbers, true), a = activation(tape, x, kind);
        a.gradient() = d;
        tape.replay();
        for (Index i = 0; i < 75; ++i) {
            CAPTURE(i);
            const float positive = numbers(i) > 0 ? numbers(i) : 0;
            if (i != 16) REQUIRE(a.value()(i) == (squared ? positive * positive : positive));
            REQUIRE(x.gradient()(i) == (numbers(i) > 0 ? 3 * (squared ? 2 * numbers(i) : 1) : 0));
        }
        CHECK(std::isnan(a.value()(16)));
    }
}

TEST_CASE("the feed-forward layer equals plain loops") {
    Random random(1);
    const Index B = 2, T = 3, E = 4, F = 5;
    const Tensor<double, 3> x = normal_tensor<double, 3>({B, T, E}, 1, random);
    const Tensor<double, 2> up = normal_tensor<double, 2>({F, E}, 1, random), gate = normal_tensor<double, 2>({F, E}, 1, random),
                            down = normal_tensor<double, 2>({E, F}, 1, random);
    for (const Activation kind : all_kinds) {
        Tape tape(Tape::inference);
        using Matrix = Variable<double, 2>;
        const Tensor<double, 3> y = feed_forward(tape, Variable<double, 3>(x), Matrix(up), Matrix(down), kind,
                                                 kind == Activation::swiglu ? Matrix(gate) : Matrix())
                                        .value();
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

TEST_CASE("the gradients of the activations are those of finite differences") {
    Random random(2);
    Variable<double, 3> x = normal_variable<3>({2, 3, 5}, random), gate = normal_variable<3>({2, 3, 5}, random);
    for (const Activation kind : {Activation::relu, Activation::squared_relu})
        CHECK(gradient_error([&](Tape& tape) { return activation(tape, x, kind); }, x) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return swiglu(tape, gate, x); }, gate, x) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return swiglu(tape, x, x); }, x) < 1e-6);
}

TEST_CASE("a constant beside the gate of swiglu gets no gradient, nor does a constant gate") {
    Random random(5);
    const Variable<double, 2> x = normal_variable<2>({2, 3}, random), constant(full<double, 2>({2, 3}, 2.0));
    for (const bool first : {true, false}) {
        Tape tape;
        testing::replay(tape, swiglu(tape, first ? x : constant, first ? constant : x), full<double, 2>({2, 3}, 1.0));
        CHECK_FALSE(constant.has_gradient());
        CHECK(x.has_gradient());
    }
}

TEST_CASE("the slope of an activation is 0 at 0") {
    for (const Activation kind : {Activation::relu, Activation::squared_relu}) {
        const Variable<float, 1> x(Tensor<float, 1>{0, -0.f}, true);
        Tape tape;
        testing::replay(tape, activation(tape, x, kind), Tensor<float, 1>{5, 5});
        CHECK(x.gradient() == Tensor<float, 1>{0, 0});
    }
}

TEST_CASE("the gradients of the feed-forward layer are those of finite differences") {
    Random random(3);
    Variable<double, 3> x = normal_variable<3>({2, 2, 3}, random);
    Variable<double, 2> up = normal_variable<2>({4, 3}, random), down = normal_variable<2>({3, 4}, random),
                        gate = normal_variable<2>({4, 3}, random);
    CHECK(gradient_error([&](Tape& tape) { return feed_forward(tape, x, up, down, Activation::swiglu, gate); }, x, up, down, gate) <
          1e-6);
    for (const Activation kind : {Activation::relu, Activation::squared_relu})
        CHECK(gradient_error([&](Tape& tape) { return feed_forward(tape, x, up, down, kind); }, x, up, down) < 1e-6);
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

TEST_CASE("the feed-forward layer refuses weights that do not fit") {
    const Variable<float, 3> x(zeros<float, 3>({1, 2, 3}));
    const Variable<float, 2> up(zeros<float, 2>({4, 3})), down(zeros<float, 2>({3, 4})), wrong(zeros<float, 2>({4, 2}));
    Tape tape;
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, wrong, down, Activation::relu),
                         "linear: weight has shape (4, 2), expected (-1, 3) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, up, wrong, Activation::relu),
                         "linear: weight has shape (4, 2), expected (-1, 4) (-1: any)", ShapeError);
    CHECK_THROWS_AS(feed_forward(tape, x, up, down, Activation::swiglu, wrong), ShapeError);
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, up, down, Activation::swiglu, Variable<float, 2>(zeros<float, 2>({5, 3}))),
                         "swiglu: gate has shape (1, 2, 5), expected (1, 2, 4)", ShapeError);
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, up, down, Activation::swiglu), "feed_forward: swiglu needs a gate weight",
                         ConfigError);
    CHECK_THROWS_WITH_AS(feed_forward(tape, x, up, down, Activation::relu, up),
                         "feed_forward: a gate weight is given, but only swiglu has one", ConfigError);
    CHECK_THROWS_WITH_AS(activation(x.value(), Activation::swiglu),
                         "activation: swiglu is a function of two tensors, call swiglu(gate, up)", ConfigError);
    CHECK_THROWS_WITH_AS(swiglu(zeros<float, 1>({2}), zeros<float, 1>({3})), "swiglu: gate has shape (2), expected (3)",
                         ShapeError);
}
