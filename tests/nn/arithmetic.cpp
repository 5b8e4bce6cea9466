#include "fot/nn/arithmetic.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

namespace {

const Tensor<float, 2> a{{1, 2}, {3, 4}}, b{{10, 20}, {-30, 0.5f}};

}  // namespace

TEST_CASE("sum, difference and product are taken number by number: hand numbers") {
    CHECK(add(a, b) == Tensor<float, 2>{{11, 22}, {-27, 4.5f}});
    CHECK(difference(a, b) == Tensor<float, 2>{{-9, -18}, {33, 3.5f}});
    CHECK(product(a, b) == Tensor<float, 2>{{10, 40}, {-90, 2}});
    CHECK(multiply(a, 0.5) == Tensor<float, 2>{{0.5f, 1}, {1.5f, 2}});  // a double constant for a float tensor
    Tape tape;
    CHECK(multiply(tape, Variable<float, 2>(a), 0.5).value() == multiply(a, 0.5));
    CHECK(sum(tape, Variable<float, 2>(b)).value() == Tensor<float, 1>{0.5f});
}

TEST_CASE("the sigmoid is one half at 0, goes to 0 and 1, and stays NaN at NaN") {
    const Tensor<float, 1> y = sigmoid(Tensor<float, 1>{0, 1, -1, 60, -60, NAN});
    CHECK(y(0) == 0.5f);
    CHECK(y(1) == doctest::Approx(1 / (1 + std::exp(-1.0))));
    CHECK(y(2) == doctest::Approx(1 - y(1)));
    CHECK(y(3) == 1);
    CHECK((y(4) >= 0 && y(4) < 1e-25f));
    CHECK(std::isnan(y(5)));
}

TEST_CASE("a sum of floats is added up in double") {
    Tape tape;
    CHECK(sum(tape, Variable<float, 1>(full<float, 1>({20000000}, 1.f))).value()(0) == 2e7f);  // floats alone end at 16777216
}

TEST_CASE("tensors of more than one slice are worked through to the end") {
    Random random(8);
    const Tensor<double, 2> x = normal_tensor<double, 2>({3, 33333}, 1, random),
                            y = normal_tensor<double, 2>({3, 33333}, 1, random);
    const Tensor<double, 2> z = product(x, y);
    bool right = true;
    for (Index i = 0; i < element_count(x); ++i) right = right && z.data()[i] == x.data()[i] * y.data()[i];
    CHECK(right);
    Tape tape;
    CHECK(sum(tape, Variable<double, 2>(difference(add(x, y), y))).value()(0) ==
          doctest::Approx(sum(tape, Variable<double, 2>(x)).value()(0)));
}

TEST_CASE("the gradients are those of finite differences") {
    Random random(3);
    Variable<double, 3> x = normal_variable<3>({3, 4, 2}, random), y = normal_variable<3>({3, 4, 2}, random);
    CHECK(gradient_error([&](Tape& tape) { return add(tape, x, y); }, x, y) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return add(tape, x, x); }, x) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return difference(tape, x, y); }, x, y) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return product(tape, x, y); }, x, y) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return product(tape, x, x); }, x) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return multiply(tape, x, -0.25); }, x) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return sigmoid(tape, x); }, x) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return sum(tape, x); }, x) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return sum(tape, product(tape, sigmoid(tape, x), difference(tape, x, y))); }, x, y) <
          1e-6);
}

TEST_CASE("a constant beside a variable gets no gradient") {
    Random random(4);
    Variable<double, 2> x = normal_variable<2>({2, 3}, random), constant(full<double, 2>({2, 3}, 2.0));
    for (const bool first : {true, false}) {
        x.gradient() = zeros<double, 2>({2, 3});
        Tape tape;
        const auto& left = first ? x : constant;
        const auto& right = first ? constant : x;
        testing::replay(tape, add(tape, product(tape, left, right), add(tape, left, difference(tape, left, right))),
                        full<double, 2>({2, 3}, 1.0));
        CHECK_FALSE(constant.has_gradient());
        CHECK(x.gradient() == full<double, 2>({2, 3}, first ? 4.0 : 1.0));
    }
}

TEST_CASE("tensors of different shapes are refused") {
    const Tensor<float, 2> row_of_two = zeros<float, 2>({1, 2});
    CHECK_THROWS_WITH_AS(add(a, row_of_two), "add: b has shape (1, 2), expected (2, 2)", ShapeError);
    CHECK_THROWS_WITH_AS(difference(a, row_of_two), "difference: b has shape (1, 2), expected (2, 2)", ShapeError);
    CHECK_THROWS_WITH_AS(product(a, row_of_two), "product: b has shape (1, 2), expected (2, 2)", ShapeError);
}
