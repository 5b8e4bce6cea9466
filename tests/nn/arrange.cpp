#include "fot/nn/arrange.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

TEST_CASE("a sum is taken number by number: hand numbers") {
    CHECK(add(Tensor<float, 2>{{1, 2}, {3, 4}}, Tensor<float, 2>{{10, 20}, {30, 40}}) == Tensor<float, 2>{{11, 22}, {33, 44}});
}

TEST_CASE("entries taken apart and put together again are the same tensor") {
    Random random(1);
    const Tensor<double, 3> x = normal_tensor<double, 3>({5, 2, 3}, 1, random);
    for (Index split = 0; split <= 5; ++split) {
        const Tensor<double, 3> front = take_entries(x, 0, split), back = take_entries(x, split, 5 - split);
        CHECK(shape_of(front) == Shape<3>{split, 2, 3});
        CHECK(concatenate_entries(front, back) == x);
    }
    CHECK(take_entries(x, 3, 1)(0, 1, 2) == x(3, 1, 2));
}

TEST_CASE("positions are taken in the order asked for, in three and in four axes") {
    Random random(2);
    const Tensor<double, 3> x = normal_tensor<double, 3>({2, 4, 6}, 1, random);
    const std::vector<Index> positions{3, 0, 3};
    const Tensor<double, 3> y = take_positions(x, positions);
    REQUIRE(shape_of(y) == Shape<3>{2, 3, 6});
    for (Index b = 0; b < 2; ++b)
        for (Index p = 0; p < 3; ++p)
            for (Index e = 0; e < 6; ++e) CHECK(y(b, p, e) == x(b, positions[static_cast<std::size_t>(p)], e));
    CHECK(take_positions(reshaped<4>(x, {2, 4, 3, 2}), positions).storage() == y.storage());
    CHECK(shape_of(take_positions(x, {})) == Shape<3>{2, 0, 6});
}

TEST_CASE("positions taken apart and put together again are the same tensor, of any kind of numbers") {
    Random random(5);
    const Tensor<double, 3> x = normal_tensor<double, 3>({2, 5, 3}, 1, random);
    for (Index split = 0; split <= 5; ++split) {
        const Tensor<double, 3> front = take_positions(x, 0, split), back = take_positions(x, split, 5 - split);
        CHECK(shape_of(front) == Shape<3>{2, split, 3});
        CHECK(concatenate_positions(front, back) == x);
    }
    CHECK(take_positions(x, 1, 2) == take_positions(x, {1, 2}));
    const Tokens tokens{{1, 2, 3}, {4, 5, 6}};
    CHECK(take_positions(tokens, 1, 2) == Tokens{{2, 3}, {5, 6}});
    CHECK(concatenate_positions(tokens, take_positions(tokens, 0, 1)) == Tokens{{1, 2, 3, 1}, {4, 5, 6, 4}});
}

TEST_CASE("the gradients of sums, entries and positions are those of finite differences") {
    Random random(3);
    Variable<double, 3> a = normal_variable<3>({3, 4, 2}, random), b = normal_variable<3>({3, 4, 2}, random),
                        c = normal_variable<3>({1, 4, 2}, random);
    Variable<double, 4> heads = normal_variable<4>({2, 3, 2, 2}, random);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return add(tape, a, b); }, a, b) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return add(tape, a, a); }, a) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return multiply(tape, a, -0.25); }, a) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return take_entries(tape, a, 1, 2); }, a) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return concatenate_entries(tape, a, c); }, a, c) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return take_positions(tape, a, {2, 2, 0}); }, a) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return take_positions(tape, heads, {1, 1, 2}); }, heads) < 1e-6);
}

TEST_CASE("a constant beside a variable gets no gradient") {
    Random random(4);
    Variable<double, 2> a = normal_variable<2>({2, 3}, random), constant(zeros<double, 2>({2, 3}));
    Tape tape;
    const Variable<double, 2> y = add(tape, concatenate_entries(tape, a, constant), concatenate_entries(tape, constant, a));
    testing::replay(tape, y, full<double, 2>({4, 3}, 1.0));
    CHECK_FALSE(constant.has_gradient());
    CHECK(a.gradient() == full<double, 2>({2, 3}, 2.0));
}

TEST_CASE("what is not there cannot be taken, added or put together") {
    const Tensor<float, 3> x = zeros<float, 3>({2, 3, 4});
    CHECK_THROWS_WITH_AS(add(x, zeros<float, 3>({2, 3, 5})), "add: b has shape (2, 3, 5), expected (2, 3, 4)", ShapeError);
    CHECK_THROWS_WITH_AS(take_entries(x, 1, 2), "take_entries: 2 entries from 1 on are not all among the 2 there are", ConfigError);
    CHECK_THROWS_WITH_AS(take_entries(x, -1, 1), doctest::Contains("1 entries from -1"), ConfigError);
    CHECK_THROWS_WITH_AS(concatenate_entries(x, zeros<float, 3>({2, 3, 5})),
                         "concatenate_entries: b has shape (2, 3, 5), expected (-1, 3, 4) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(take_positions(x, {0, 3}), "take_positions: position 3 is outside the 3 there are", ConfigError);
    CHECK_THROWS_WITH_AS(take_positions(x, {-1}), doctest::Contains("position -1"), ConfigError);
    CHECK_THROWS_WITH_AS(take_positions(x, 2, 2), "take_positions: 2 positions from 2 on are not all among the 3 there are",
                         ConfigError);
    CHECK_THROWS_WITH_AS(take_positions(x, -1, 1), doctest::Contains("1 positions from -1"), ConfigError);
    CHECK_THROWS_WITH_AS(concatenate_positions(x, zeros<float, 3>({1, 3, 4})),
                         "concatenate_positions: b has shape (1, 3, 4), expected (2, -1, 4) (-1: any)", ShapeError);
}
