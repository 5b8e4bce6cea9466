#include "fot/nn/unit_heads.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

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
    normalize_heads_vjp(d_y, x, nullptr, 1e-6, &d_x, nullptr);
    for (Index j = 0; j < 4; ++j) {
        CHECK(normalize_heads(x)(0, 0, 0, j) == 0);
        CHECK(d_x(0, 0, 0, j) == doctest::Approx(1000));
    }
}

TEST_CASE("the gradients are those of finite differences") {
    Random random(3);
    Variable<double, 1> temperature = normal_variable<1>({2}, random);
    Variable<double, 4> q = normal_variable<4>({2, 35, 2, 3}, random), single = normal_variable<4>({1, 1, 1, 1}, random);
    CHECK(gradient_error([&](Tape& tape) { return normalize_heads(tape, q, 0.1); }, q) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return normalize_heads(tape, q, temperature, 0.1); }, q, temperature) < 1e-6);
    CHECK(gradient_error([&](Tape& tape) { return normalize_heads(tape, single, 0.3); }, single) < 1e-6);
}

TEST_CASE("normalising by head with temperatures of 1 is normalising without them") {
    Random random(4);
    Variable<double, 4> q = normal_variable<4>({1, 2, 3, 4}, random);
    Variable<double, 1> temperature(zeros<double, 1>({3}));
    Tape tape;
    CHECK(normalize_heads(tape, q, temperature).value().storage() == normalize_heads(tape, q).value().storage());
}

TEST_CASE("constant queries get no gradient") {
    Random random(5);
    const Variable<double, 4> q(normal_tensor<double, 4>({1, 2, 3, 4}, 1, random));
    Variable<double, 1> temperature = normal_variable<1>({3}, random);
    Tape tape;
    testing::replay(tape, normalize_heads(tape, q, temperature), full<double, 4>({1, 2, 3, 4}, 1.0));
    CHECK_FALSE(q.has_gradient());
    CHECK(temperature.has_gradient());
}

TEST_CASE("a temperature or an epsilon that does not fit is refused") {
    const Tensor<float, 4> q = zeros<float, 4>({1, 2, 3, 4});
    const Tensor<float, 1> two = zeros<float, 1>({2}), three = zeros<float, 1>({3});
    CHECK_THROWS_WITH_AS(
        normalize_heads(q, &three, 1e300),  // as a float it is infinite
        "normalize_heads: epsilon is 1e+300, expected 0, or a number that is finite and above 0 in the type of the heads",
        ConfigError);
    CHECK_THROWS_WITH_AS(normalize_heads(q, &two), "normalize_heads: log_inverse_temperature has shape (2), expected (3)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(
        normalize_heads(q, &three, -1),
        "normalize_heads: epsilon is -1, expected 0, or a number that is finite and above 0 in the type of the heads", ConfigError);
}

TEST_CASE("an epsilon that is 0 in the type of the heads is refused, since it would not keep a zero vector from becoming NaN") {
    CHECK_THROWS_AS(normalize_heads(zeros<float, 4>({1, 1, 1, 2}), nullptr, 1e-50), ConfigError);
    CHECK_NOTHROW(normalize_heads(zeros<double, 4>({1, 1, 1, 2}), nullptr, 1e-50));
    CHECK_THROWS_AS(normalize_heads(zeros<double, 4>({1, 1, 1, 2}), nullptr, std::nan("")), ConfigError);
}

TEST_CASE("a head whose squares are too large for its type, or of zeros without an epsilon, becomes NaN and not zeros") {
    Tensor<float, 4> x = full<float, 4>({1, 2, 1, 3}, 1e20f);
    for (Index j = 0; j < 3; ++j) x(0, 1, 0, j) = 0;
    const Tensor<float, 4> y = normalize_heads(x, nullptr, 0);
    for (const float each : y.storage()) CHECK(std::isnan(each));
}
