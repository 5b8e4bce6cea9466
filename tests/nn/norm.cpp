#include "fot/nn/norm.hpp"

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

TEST_CASE("a normalised head is a unit vector, and the temperature only changes its length") {
    Random random(2);
    const Tensor<double, 4> x = normal_tensor<double, 4>({2, 3, 2, 5}, 4, random);
    const Tensor<double, 1> log_inverse_temperature{0.0, std::log(8.0)};
    const Tensor<double, 4> plain = normalize_heads(x), sharp = normalize_heads(x, &log_inverse_temperature);
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t)
            for (Index h = 0; h < 2; ++h) {
                double square = 0, length = 0;
                for (Index j = 0; j < 5; ++j) length += x(b, t, h, j) * x(b, t, h, j);
                for (Index j = 0; j < 5; ++j) {
                    square += plain(b, t, h, j) * plain(b, t, h, j);
                    CHECK(plain(b, t, h, j) == doctest::Approx(x(b, t, h, j) / std::sqrt(length + 1e-6)));
                    CHECK(sharp(b, t, h, j) == doctest::Approx(plain(b, t, h, j) * (h == 0 ? 1 : 8)));
                }
                CHECK(square == doctest::Approx(1).epsilon(1e-5));
            }
}

TEST_CASE("a head of zeros stays zero and gives a finite gradient") {
    const Tensor<float, 4> x = zeros<float, 4>({1, 1, 1, 4}), d_y = full<float, 4>({1, 1, 1, 4}, 1.0f);
    Tensor<float, 4> d_x = zeros_like(x);
    normalize_heads_vjp<float>(d_y, x, nullptr, 1e-6, &d_x, nullptr);
    for (Index j = 0; j < 4; ++j) {
        CHECK(normalize_heads(x)(0, 0, 0, j) == 0);
        CHECK(d_x(0, 0, 0, j) == doctest::Approx(1000));
    }
}

TEST_CASE("the gradients of the norms are those of finite differences") {
    Random random(3);
    Variable<double, 3> x = normal_variable<3>({2, 40, 3}, random);
    Variable<double, 1> scale = normal_variable<1>({3}, random), temperature = normal_variable<1>({2}, random);
    Variable<double, 4> q = normal_variable<4>({2, 35, 2, 3}, random), single = normal_variable<4>({1, 1, 1, 1}, random);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return rms_norm(tape, x, scale); }, x, scale) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return rms_norm(tape, x, scale, 0.5); }, x, scale) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return normalize_heads(tape, q, 0.1); }, q) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return normalize_heads(tape, q, temperature, 0.1); }, q, temperature) <
          1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return normalize_heads(tape, single, 0.3); }, single) < 1e-6);
}

TEST_CASE("normalising by head with temperatures of 1 is normalising without them") {
    Random random(4);
    Variable<double, 4> q = normal_variable<4>({1, 2, 3, 4}, random);
    Variable<double, 1> temperature(zeros<double, 1>({3}));
    Tape tape;
    CHECK(normalize_heads(tape, q, temperature).value().storage() == normalize_heads(tape, q).value().storage());
}

TEST_CASE("constant inputs of the norms get no gradient") {
    Random random(5);
    Variable<double, 4> q(normal_tensor<double, 4>({1, 2, 3, 4}, 1, random));
    Variable<double, 1> temperature = normal_variable<1>({3}, random);
    Tape tape;
    const Variable<double, 4> y = normalize_heads(tape, q, temperature);
    testing::replay(tape, y, full<double, 4>({1, 2, 3, 4}, 1.0));
    CHECK_FALSE(q.has_gradient());
    CHECK(temperature.has_gradient());
    Variable<double, 2> x = normal_variable<2>({2, 3}, random);
    Variable<double, 1> scale(full<double, 1>({3}, 1.0));
    const Variable<double, 2> normed = rms_norm(tape, x, scale);
    testing::replay(tape, normed, full<double, 2>({2, 3}, 1.0));
    CHECK_FALSE(scale.has_gradient());
    CHECK(x.has_gradient());
}

TEST_CASE("the gradient of the scale is bitwise the same with one thread and with several") {
    Random random(6);
    const Tensor<float, 2> x = normal_tensor<float, 2>({500, 16}, 1, random), d_y = normal_tensor<float, 2>({500, 16}, 1, random);
    const Tensor<float, 1> scale = full<float, 1>({16}, 1.0f);
    Tensor<float, 1> one = zeros<float, 1>({16}), several = one;
    Tensor<float, 2>* const no_d_x = nullptr;
    const testing::WithThreads scope(1);
    rms_norm_vjp(d_y, x, scale, 1e-6, no_d_x, &one);
    set_threads(3);
    rms_norm_vjp(d_y, x, scale, 1e-6, no_d_x, &several);
    CHECK(one.storage() == several.storage());
}

TEST_CASE("norms refuse a scale, a temperature or an epsilon that does not fit") {
    const Tensor<float, 3> x = zeros<float, 3>({1, 2, 3});
    const Tensor<float, 4> q = zeros<float, 4>({1, 2, 3, 4});
    const Tensor<float, 1> two = zeros<float, 1>({2}), three = zeros<float, 1>({3});
    CHECK_THROWS_WITH_AS(rms_norm(x, two), "rms_norm: scale has shape (2), expected (3)", ShapeError);
    // As floats, 1e-60 is 0 and 1e300 is infinite.
    CHECK_THROWS_WITH_AS(rms_norm(x, three, 1e-60), "rms_norm: epsilon is 1e-60, expected a finite number of more than 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(rms_norm(x, three, 1e300), "rms_norm: epsilon is 1e+300, expected a finite number of more than 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(normalize_heads(q, &three, 1e300),
                         "normalize_heads: epsilon is 1e+300, expected a finite number of 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(rms_norm(x, three, 0), "rms_norm: epsilon is 0, expected a finite number of more than 0", ConfigError);
    CHECK_THROWS_WITH_AS(normalize_heads(q, &two), "normalize_heads: log_inverse_temperature has shape (2), expected (3)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(normalize_heads(q, &three, -1), "normalize_heads: epsilon is -1, expected a finite number of 0 or more",
                         ConfigError);
}
