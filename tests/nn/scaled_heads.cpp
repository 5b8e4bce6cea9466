#include "fot/nn/scaled_heads.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("every head of every token is multiplied by its own factor, and both have the gradient of finite differences") {
    Random random(1);
    Variable<double, 4> x = normal_variable<4>({2, 3, 2, 5}, random);
    Variable<double, 3> factors = normal_variable<3>({2, 3, 2}, random);
    const Tensor<double, 4> y = scaled_heads(x.value(), factors.value());
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t)
            for (Index h = 0; h < 2; ++h)
                for (Index d = 0; d < 5; ++d) CHECK(y(b, t, h, d) == factors.value()(b, t, h) * x.value()(b, t, h, d));
    CHECK(gradient_error([&](Tape& tape) { return scaled_heads(tape, x, factors); }, x, factors) < 1e-6);
}

TEST_CASE("factors of other heads are refused") {
    CHECK_THROWS_AS(scaled_heads(zeros<float, 4>({2, 3, 2, 5}), zeros<float, 3>({2, 3, 4})), ShapeError);
}
