#include "fot/nn/rms_norm.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

TEST_CASE("the root mean square of a row becomes the scale: hand numbers") {
    const Tensor<double, 2> x{{3, 4}, {0, 0}};
    const Tensor<double, 1> scale{1, 2};
    const Tensor<double, 2> y = rms_norm(x, scale, 1e-12);
    CHECK(y(0, 0) == doctest::Approx(3 / std::sqrt(12.5)));
    CHECK(y(0, 1) == doctest::Approx(8 / std::sqrt(12.5)));
    CHECK(y(1, 0) == 0);
    CHECK(y(1, 1) == 0);
    CHECK(rms_norm(x, scale, 3.5)(0, 1) ==
          doctest::Approx(2));  // epsilon is added to the mean of the squares: 8 / sqrt(12.5 + 3.5)
}

TEST_CASE("rms_norm equals plain loops in any rank, with more rows than a slice") {
    Random random(1);
    const Index rows = 150, width = 37;
    const Tensor<float, 2> x = normal_tensor<float, 2>({rows, width}, 3, random);
    const Tensor<float, 1> scale = normal_tensor<float, 1>({width}, 1, random);
    const Tensor<float, 2> y = rms_norm(x, scale);
    double worst = 0;
    for (Index i = 0; i < rows; ++i) {
        double square = 0;
        for (Index e = 0; e < width; ++e) square += static_cast<double>(x(i, e)) * static_cast<double>(x(i, e));
        for (Index e = 0; e < width; ++e)
            worst = testing::worse(
                worst, std::abs(static_cast<double>(y(i, e)) -
                                static_cast<double>(x(i, e) * scale(e)) / std::sqrt(square / static_cast<double>(width) + 1e-6)));
    }
    CHECK(worst < 1e-5);
    const Tensor<float, 4> x4 = reshaped<4>(x, {3, 5, 10, width});
    CHECK(rms_norm(x4, scale).storage() == y.storage());
}

TEST_CASE("the gradients are those of finite differences") {
    Random random(3);
    Variable<double, 3> x = normal_variable<3>({2, 40, 3}, random);
    Variable<double, 1> scale = normal_variable<1>({3}, random);
    CHECK(gradient_error([&](Tape& tape) { return rms_norm(tape, x, scale); }, x, scale) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return rms_norm(tape, x, scale, 0.5); }, x, scale) < 1e-6);
}

TEST_CASE("a constant scale gets no gradient") {
    Random random(5);
    Variable<double, 2> x = normal_variable<2>({2, 3}, random);
    const Variable<double, 1> scale(full<double, 1>({3}, 1.0));
    Tape tape;
    testing::replay(tape, rms_norm(tape, x, scale), full<double, 2>({2, 3}, 1.0));
    CHECK_FALSE(scale.has_gradient());
    CHECK(x.has_gradient());
}

TEST_CASE("the gradient of the scale is bitwise the same with one thread and with several") {
    Random random(6);
    const Tensor<float, 2> x = normal_tensor<float, 2>({500, 16}, 1, random), d_y = normal_tensor<float, 2>({500, 16}, 1, random);
    const Tensor<float, 1> scale = full<float, 1>({16}, 1.0f);
    Tensor<float, 1> one = zeros<float, 1>({16}), several = one;
    const testing::WithThreads scope(1);
    rms_norm_vjp(d_y, x, scale, 1e-6, nullptr, &one);
    set_threads(3);
    rms_norm_vjp(d_y, x, scale, 1e-6, nullptr, &several);
    CHECK(one.storage() == several.storage());
}

TEST_CASE("a scale or an epsilon that does not fit is refused") {
    const Tensor<float, 3> x = zeros<float, 3>({1, 2, 3});
    const Tensor<float, 1> two = zeros<float, 1>({2}), three = zeros<float, 1>({3});
    CHECK_THROWS_WITH_AS(rms_norm(x, two), "rms_norm: scale has shape (2), expected (3)", ShapeError);
    // As floats, 1e-60 is 0 and 1e300 is infinite.
    CHECK_THROWS_WITH_AS(rms_norm(x, three, 1e-60), "rms_norm: epsilon is 1e-60, expected a finite number of more than 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(rms_norm(x, three, 1e300), "rms_norm: epsilon is 1e+300, expected a finite number of more than 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(rms_norm(x, three, 0), "rms_norm: epsilon is 0, expected a finite number of more than 0", ConfigError);
}

TEST_CASE("a row whose squares are too large for its type becomes NaN, which a loss refuses, and not zeros") {
    Tensor<float, 2> x = full<float, 2>({2, 4}, 1.0f);
    x(1, 2) = 1e20f;
    const Tensor<float, 2> y = rms_norm(x, full<float, 1>({4}, 1.0f));
    for (Index e = 0; e < 4; ++e) {
        CHECK(y(0, e) == doctest::Approx(1));
        CHECK(std::isnan(y(1, e)));
    }
    Tensor<float, 2> d_x = zeros<float, 2>({2, 4});
    rms_norm_vjp(full<float, 2>({2, 4}, 1.0f), x, full<float, 1>({4}, 1.0f), 1e-6, &d_x, nullptr);
    CHECK(std::isnan(d_x(1, 0)));
}
