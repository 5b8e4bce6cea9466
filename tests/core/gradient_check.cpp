#include "fot/core/gradient_check.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace fot;

namespace {

using Matrix = Variable<double, 2>;

/// y[i] = factor x[i]^3, with `derivative(x)` as its gradient.
template <class Derivative>
auto cube(const Matrix& x, Derivative derivative) {
    return [x, derivative](Tape& tape) {
        Tensor<double, 2> y = x.value();
        for (double& each : y.storage()) each = each * each * each;
        const auto backward = [x, derivative](const Tensor<double, 2>& d_y) {
            for (Index i = 0; i < element_count(d_y); ++i)
                x.gradient().data()[i] += d_y.data()[i] * derivative(x.value().data()[i]);
        };
        return tape.record(std::move(y), backward, x);
    };
}

Matrix numbers() { return Matrix(Tensor<double, 2>{{1, -2, 0.5}, {3, 0.25, -1}}, true); }

}  // namespace

TEST_CASE("a right gradient has a tiny error, a wrong one a large error") {
    Matrix x = numbers();
    CHECK(gradient_error(cube(x, [](double at) { return 3 * at * at; }), x) < 1e-9);
    CHECK(gradient_error(cube(x, [](double at) { return 2 * at * at; }), x) > 0.1);
    CHECK(gradient_error(cube(x, [](double) { return 0.0; }), x) > 0.1);
    const auto one_wrong = [](double at) { return at == 0.5 ? 0.76 : 3 * at * at; };  // 0.75 would be right
    CHECK(gradient_error(cube(x, one_wrong), x) > 1e-5);
}

TEST_CASE("a small number of a gradient is checked at its own scale, and one that is 0 is no error") {
    Tensor<double, 1> x{2, 3, 5};
    const auto loss = [&] { return 1e6 * x(0) * x(0) + 1e-3 * x(1) * x(1) + 7; };
    const Tensor<double, 1> right{4e6, 6e-3, 0};
    CHECK(gradient_error(x, right, loss) < 1e-6);
    for (const auto& [place, wrong] : {std::pair{1, 0.0}, std::pair{1, 3e-3}, std::pair{1, -6e-3}, std::pair{2, 1e-3}}) {
        Tensor<double, 1> d_x = right;
        d_x(place) = wrong;  // a billionth of the largest
        CHECK(gradient_error(x, d_x, loss) > 0.4);
    }
}

TEST_CASE("a loss that is not finite beside x is an error") {
    Tensor<double, 1> x{1e-3};
    CHECK_FALSE(gradient_error(x, Tensor<double, 1>{2e-3}, [&] { return x(0) > 2e-3 ? std::log(0.0) : x(0) * x(0); }) < 1);
}

TEST_CASE("a NaN in a gradient is an error, wherever it stands") {
    Matrix x = numbers();
    for (const double place : {1.0, 0.5, -1.0})
        CHECK(std::isnan(gradient_error(
            cube(x, [=](double at) { return at == place ? std::numeric_limits<double>::quiet_NaN() : 3 * at * at; }), x)));
}

TEST_CASE("an operation that overwrites the gradient instead of adding to it is found out") {
    Matrix x = numbers();
    const auto overwriting = [&](Tape& tape) {
        return tape.record(
            Tensor<double, 2>(x.value()), [x](const Tensor<double, 2>& d_y) { x.gradient() = d_y; }, x);
    };
    CHECK(gradient_error(overwriting, x) > 0.1);
}

TEST_CASE("afterwards the inputs are what they were, and their gradients those of the operation") {
    Matrix x = numbers(), y = numbers();
    const auto difference = [&](Tape& tape) {
        Tensor<double, 2> z = x.value();
        for (Index i = 0; i < element_count(z); ++i) z.data()[i] -= y.value().data()[i];
        const auto backward = [x, y](const Tensor<double, 2>& d_z) {
            x.gradient() += d_z;
            y.gradient() -= d_z;
        };
        return tape.record(std::move(z), backward, x, y);
    };
    const Index before = threads();
    CHECK(gradient_error(difference, x, y) < 1e-9);
    CHECK(threads() == before);
    CHECK(x.value() == numbers().value());
    for (Index i = 0; i < 6; ++i) CHECK(x.gradient().data()[i] == doctest::Approx(-y.gradient().data()[i]));
}

TEST_CASE("a kernel is checked with a loss of one's own") {
    Tensor<double, 1> x{1, 2, 3};
    const auto loss = [&] { return x(0) * x(1) + x(2) * x(2); };
    CHECK(gradient_error(x, Tensor<double, 1>{2, 1, 6}, loss) < 1e-9);
    CHECK(gradient_error(x, Tensor<double, 1>{1, 2, 6}, loss) == doctest::Approx(0.5));
    CHECK(x == Tensor<double, 1>{1, 2, 3});
    CHECK_THROWS_WITH_AS(gradient_error(x, Tensor<double, 1>{1, 2}, loss), "gradient_error: x has 3 numbers, its gradient 2",
                         ShapeError);
}
