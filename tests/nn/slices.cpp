#include "fot/nn/slices.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

TEST_CASE("entries taken apart and put together again are the same tensor") {
    Random random(1);
    const Tensor<double, 3> x = normal_tensor<double, 3>({5, 2, 3}, 1, random);
    for (Index split = 0; split <= 5; ++split) {
        const Tensor<double, 3> front = slice<0>(x, 0, split), back = slice<0>(x, split, 5 - split);
        CHECK(shape_of(front) == Shape<3>{split, 2, 3});
        CHECK(concatenate<0>(front, back) == x);
    }
    CHECK(slice<0>(x, 3, 1)(0, 1, 2) == x(3, 1, 2));
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
        const Tensor<double, 3> front = slice<1>(x, 0, split), back = slice<1>(x, split, 5 - split);
        CHECK(shape_of(front) == Shape<3>{2, split, 3});
        CHECK(concatenate<1>(front, back) == x);
    }
    CHECK(slice<1>(x, 1, 2) == take_positions(x, {1, 2}));
    const Tokens tokens{{1, 2, 3}, {4, 5, 6}};
    CHECK(slice<1>(tokens, 1, 2) == Tokens{{2, 3}, {5, 6}});
    CHECK(concatenate<1>(tokens, slice<1>(tokens, 0, 1)) == Tokens{{1, 2, 3, 1}, {4, 5, 6, 4}});
}

TEST_CASE("axes change places: hand numbers") {
    const Tensor<float, 3> x = reshaped<3>(Tensor<float, 1>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {2, 3, 2});
    CHECK(permuted(reshaped<2>(x, {3, 4}), {1, 0}) == Tensor<float, 2>{{0, 4, 8}, {1, 5, 9}, {2, 6, 10}, {3, 7, 11}});
    CHECK(permuted(x, {0, 1, 2}) == x);
    CHECK(permuted(x, {1, 0, 2}) == reshaped<3>(Tensor<float, 1>{0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11}, {3, 2, 2}));
    CHECK(shape_of(permuted(zeros<float, 3>({2, 0, 5}), {2, 0, 1})) == Shape<3>{5, 2, 0});
}

TEST_CASE("every order of four axes puts every number where the order says") {
    Random random(6);
    const Tensor<double, 4> x = normal_tensor<double, 4>({2, 3, 4, 5}, 1, random);
    Shape<4> axes{0, 1, 2, 3}, at{};
    do {
        const Tensor<double, 4> y = permuted(x, axes);
        bool right = true;
        for (at[0] = 0; at[0] < 2; ++at[0])
            for (at[1] = 0; at[1] < 3; ++at[1])
                for (at[2] = 0; at[2] < 4; ++at[2])
                    for (at[3] = 0; at[3] < 5; ++at[3])
                        right = right && y(element(at, axes[0]), element(at, axes[1]), element(at, axes[2]),
                                           element(at, axes[3])) == x(at[0], at[1], at[2], at[3]);
        CHECK(right);
    } while (std::next_permutation(axes.begin(), axes.end()));
}

TEST_CASE("the gradients of entries, positions, orders of axes and shapes are those of finite differences") {
    Random random(3);
    Variable<double, 3> a = normal_variable<3>({3, 4, 2}, random), one_entry = normal_variable<3>({1, 4, 2}, random),
                        one_position = normal_variable<3>({3, 1, 2}, random);
    Variable<double, 4> heads = normal_variable<4>({2, 3, 2, 2}, random);
    const auto error = [](auto&& operation, auto&... inputs) { return gradient_error(operation, inputs...); };
    CHECK(error([&](Tape& tape) { return slice<0>(tape, a, 1, 2); }, a) < 1e-6);
    CHECK(error([&](Tape& tape) { return concatenate<0>(tape, a, one_entry); }, a, one_entry) < 1e-6);
    CHECK(error([&](Tape& tape) { return slice<1>(tape, a, 1, 2); }, a) < 1e-6);
    CHECK(error([&](Tape& tape) { return concatenate<1>(tape, one_position, a); }, a, one_position) < 1e-6);
    CHECK(error([&](Tape& tape) { return take_positions(tape, a, {2, 2, 0}); }, a) < 1e-6);
    CHECK(error([&](Tape& tape) { return take_positions(tape, heads, {1, 1, 2}); }, heads) < 1e-6);
    CHECK(error([&](Tape& tape) { return permuted(tape, heads, {0, 2, 1, 3}); }, heads) < 1e-6);
    CHECK(error([&](Tape& tape) { return permuted(tape, heads, {3, 0, 2, 1}); }, heads) < 1e-6);
    CHECK(error([&](Tape& tape) { return reshaped<2>(tape, heads, {4, 6}); }, heads) < 1e-6);
}

TEST_CASE("large tensors, which several threads share, come apart and together as small ones do") {
    Random random(7);
    const Tensor<float, 3> x = normal_tensor<float, 3>({3, 200, 401}, 1, random);
    CHECK(concatenate<0>(slice<0>(x, 0, 2), slice<0>(x, 2, 1)) == x);
    CHECK(concatenate<1>(slice<1>(x, 0, 77), slice<1>(x, 77, 123)) == x);
}

TEST_CASE("a constant beside a variable gets no gradient") {
    Random random(4);
    Variable<double, 2> a = normal_variable<2>({2, 3}, random), constant(zeros<double, 2>({2, 3}));
    Tape tape;
    const Variable<double, 2> y = concatenate<1>(tape, concatenate<0>(tape, a, constant), concatenate<0>(tape, constant, a));
    testing::replay(tape, y, full<double, 2>({4, 6}, 1.0));
    CHECK_FALSE(constant.has_gradient());
    CHECK(a.gradient() == full<double, 2>({2, 3}, 2.0));
}

TEST_CASE("what is not there cannot be taken or put together") {
    const Tensor<float, 3> x = zeros<float, 3>({2, 3, 4});
    CHECK_THROWS_WITH_AS(slice<0>(x, 1, 2), "slice: 2 from 1 on are not all among the 2 that axis 0 has", ConfigError);
    CHECK_THROWS_WITH_AS(slice<0>(x, -1, 1), doctest::Contains("1 from -1 on"), ConfigError);
    CHECK_THROWS_WITH_AS(concatenate<0>(x, zeros<float, 3>({2, 3, 5})),
                         "concatenate: b has shape (2, 3, 5), expected (-1, 3, 4) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(take_positions(x, {0, 3}), "take_positions: position 3 is outside the 3 there are", ConfigError);
    CHECK_THROWS_WITH_AS(take_positions(x, {-1}), doctest::Contains("position -1"), ConfigError);
    CHECK_THROWS_WITH_AS(slice<1>(x, 2, 2), "slice: 2 from 2 on are not all among the 3 that axis 1 has", ConfigError);
    CHECK_THROWS_WITH_AS(slice<1>(x, -1, 1), doctest::Contains("1 from -1 on"), ConfigError);
    CHECK_THROWS_WITH_AS(concatenate<1>(x, zeros<float, 3>({1, 3, 4})),
                         "concatenate: b has shape (1, 3, 4), expected (2, -1, 4) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(permuted(x, {0, 2, 2}), "permuted: axes (0, 2, 2), expected each of 0 ... 2 once", ConfigError);
    CHECK_THROWS_AS(permuted(x, {0, 1, 3}), ConfigError);
    Tape tape;
    CHECK_THROWS_AS(reshaped<1>(tape, Variable<float, 3>(x), {23}), ShapeError);
}
