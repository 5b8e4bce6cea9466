#include "fot/nn/linear.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

TEST_CASE("a linear map multiplies each row by the transposed weight: hand numbers") {
    Tensor<float, 2> x{{1, 2, 3}}, weight{{1, 0, 0}, {1, 1, 1}};
    const Tensor<float, 2> y = linear(x, weight);
    CHECK(shape_of(y) == Shape<2>{1, 2});
    CHECK(y(0, 0) == 1);
    CHECK(y(0, 1) == 6);
}

TEST_CASE("the maps into and out of the heads equal plain loops") {
    Random random(1);
    for (const auto& [B, T, E, H, D] : {std::array<Index, 5>{2, 3, 5, 2, 4}, {1, 1, 1, 1, 1}, {3, 1, 4, 4, 1}, {1, 7, 3, 1, 6}}) {
        const Tensor<double, 3> x = normal_tensor<double, 3>({B, T, E}, 1, random);
        const Tensor<double, 2> in = normal_tensor<double, 2>({H * D, E}, 1, random),
                                out = normal_tensor<double, 2>({E, H * D}, 1, random);
        const Tensor<double, 4> heads = project_heads(x, in, H);
        const Tensor<double, 3> merged = merge_heads(heads, out);
        REQUIRE(shape_of(heads) == Shape<4>{B, T, H, D});
        REQUIRE(shape_of(merged) == Shape<3>{B, T, E});
        double worst = 0;
        for (Index b = 0; b < B; ++b)
            for (Index t = 0; t < T; ++t) {
                for (Index h = 0; h < H; ++h)
                    for (Index i = 0; i < D; ++i) {
                        double sum = 0;
                        for (Index j = 0; j < E; ++j) sum += x(b, t, j) * in(h * D + i, j);
                        worst = testing::worse(worst, std::abs(sum - heads(b, t, h, i)));
                    }
                for (Index i = 0; i < E; ++i) {
                    double sum = 0;
                    for (Index h = 0; h < H; ++h)
                        for (Index j = 0; j < D; ++j) sum += heads(b, t, h, j) * out(i, h * D + j);
                    worst = testing::worse(worst, std::abs(sum - merged(b, t, i)));
                }
            }
        CHECK(worst < 1e-12);
    }
}

TEST_CASE("the map into the heads is the linear map with its last axis cut") {
    Random random(2);
    const Tensor<float, 3> x = normal_tensor<float, 3>({2, 5, 8}, 1, random);
    const Tensor<float, 2> weight = normal_tensor<float, 2>({6, 8}, 1, random);
    CHECK(project_heads(x, weight, 3).storage() == linear(x, weight).storage());
}

TEST_CASE("the gradients of the three linear maps are those of finite differences") {
    Random random(3);
    Variable<double, 3> x = normal_variable<3>({2, 3, 4}, random);
    Variable<double, 4> o = normal_variable<4>({2, 3, 2, 3}, random);
    Variable<double, 2> square = normal_variable<2>({5, 4}, random), in = normal_variable<2>({6, 4}, random),
                        out = normal_variable<2>({4, 6}, random);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return linear(tape, x, square); }, x, square) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return project_heads(tape, x, in, 2); }, x, in) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return merge_heads(tape, o, out); }, o, out) < 1e-6);
}

TEST_CASE("a constant input of a linear map gets no gradient") {
    Random random(4);
    Variable<double, 3> x(normal_tensor<double, 3>({1, 2, 3}, 1, random));
    Variable<double, 2> weight = normal_variable<2>({2, 3}, random);
    Tape tape;
    const Variable<double, 3> y = linear(tape, x, weight);
    testing::replay(tape, y, full<double, 3>({1, 2, 2}, 1.0));
    CHECK_FALSE(x.has_gradient());
    CHECK(weight.has_gradient());
}

TEST_CASE("a null pointer stands for a gradient that nobody needs") {
    const Tensor<float, 2> x{{1, 2}}, weight{{3, 4}, {5, 6}, {7, 8}}, d_y{{1, 0, -1}};
    Tensor<float, 2> d_x = zeros_like(x), d_weight = zeros_like(weight);
    linear_vjp(d_y, x, weight, &d_x, nullptr);
    linear_vjp(d_y, x, weight, nullptr, &d_weight);
    CHECK(d_x == Tensor<float, 2>{{-4, -4}});
    CHECK(d_weight == Tensor<float, 2>{{1, 2}, {0, 0}, {-1, -2}});
}

TEST_CASE("no rows in, no rows out") {
    const Tensor<double, 3> x = zeros<double, 3>({0, 4, 3});
    const Tensor<double, 2> weight = zeros<double, 2>({2, 3});
    CHECK(shape_of(linear(x, weight)) == Shape<3>{0, 4, 2});
    Tensor<double, 3> d_x = zeros_like(x);
    Tensor<double, 2> d_weight = full<double, 2>({2, 3}, 1.0);
    linear_vjp(zeros<double, 3>({0, 4, 2}), x, weight, &d_x, &d_weight);
    CHECK(d_weight(1, 2) == 1);
}

TEST_CASE("a sum over no inputs is zero, and has no gradient") {
    const Tensor<double, 2> none = empty<double, 2>({6, 0});
    CHECK(linear(empty<double, 2>({5, 0}), none) == zeros<double, 2>({5, 6}));
    CHECK(project_heads(empty<double, 3>({2, 5, 0}), none, 2) == zeros<double, 4>({2, 5, 2, 3}));
    CHECK(merge_heads(empty<double, 4>({2, 5, 3, 0}), none) == zeros<double, 3>({2, 5, 6}));
    CHECK(shape_of(linear(zeros<double, 2>({5, 6}), empty<double, 2>({0, 6}))) == Shape<2>{5, 0});
    Tensor<double, 2> d_x = empty<double, 2>({5, 0}), d_none = none, d_weight = full<double, 2>({0, 6}, 1.0);
    CHECK_NOTHROW(linear_vjp(zeros<double, 2>({5, 6}), d_x, none, &d_x, &d_none));
    Tensor<double, 2> d_wide = full<double, 2>({5, 6}, 1.0);
    linear_vjp(empty<double, 2>({5, 0}), zeros<double, 2>({5, 6}), d_weight, &d_wide, &d_weight);
    CHECK(d_wide == full<double, 2>({5, 6}, 1.0));
    CHECK_THROWS_WITH_AS(linear_vjp(zeros<double, 2>({4, 6}), d_x, none, &d_x, &d_none),
                         "linear vjp: d_y (4, 6), x (5, 0) and weight (6, 0) do not fit", ShapeError);
}

TEST_CASE("weights that do not fit are refused by name") {
    const Tensor<float, 3> x = zeros<float, 3>({1, 2, 3});
    CHECK_THROWS_WITH_AS(linear(x, zeros<float, 2>({4, 5})), "linear: weight has shape (4, 5), expected (-1, 3) (-1: any)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(project_heads(x, zeros<float, 2>({4, 5}), 2), doctest::Contains("project_heads: weight has shape (4, 5)"),
                         ShapeError);
    CHECK_THROWS_WITH_AS(project_heads(x, zeros<float, 2>({4, 3}), 3),
                         "project_heads: the 4 rows of the weight do not divide into 3 heads", ConfigError);
    CHECK_THROWS_WITH_AS(project_heads(x, zeros<float, 2>({4, 3}), 0), doctest::Contains("into 0 heads"), ConfigError);
    CHECK_THROWS_WITH_AS(merge_heads(zeros<float, 4>({1, 2, 2, 2}), zeros<float, 2>({3, 5})),
                         doctest::Contains("merge_heads: weight has shape (3, 5), expected (-1, 4)"), ShapeError);
}
