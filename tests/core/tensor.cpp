#include "fot/core/tensor.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <type_traits>
#include <vector>

using namespace fot;

namespace {

Tensor<double, 3> counting(Index a, Index b, Index c) {
    Tensor<double, 3> x = empty<double, 3>({a, b, c});
    std::iota(x.data(), x.data() + x.size(), 0.0);
    return x;
}

}  // namespace

TEST_CASE("factories take a shape, not a list of values as xtensor's constructor does") {
    const Tensor<float, 2> x = zeros<float, 2>({2, 3});
    CHECK(shape_of(x) == Shape<2>{2, 3});
    for (Index i = 0; i < 2; ++i)
        for (Index j = 0; j < 3; ++j) CHECK(x(i, j) == 0.0f);
    const Tensor<double, 1> y = full<double, 1>({4}, 2.5);
    CHECK(shape_of(y) == Shape<1>{4});
    CHECK(std::count(y.data(), y.data() + 4, 2.5) == 4);
    CHECK(shape_of(empty<float, 4>({2, 3, 4, 5})) == Shape<4>{2, 3, 4, 5});
    CHECK(shape_of(empty_like(x)) == Shape<2>{2, 3});
    const Tensor<double, 1> z = zeros_like(y);
    CHECK(shape_of(z) == Shape<1>{4});
    CHECK(std::count(z.data(), z.data() + 4, 0.0) == 4);
}

TEST_CASE("factories return tensors that own their numbers: auto does not dangle") {
    const auto x = full<double, 2>({2, 2}, 3.0);
    CHECK(std::is_same_v<decltype(x), const Tensor<double, 2>>);
    CHECK(std::is_same_v<decltype(reshaped<1>(x, Shape<1>{4})), Tensor<double, 1>>);
    const auto y = zeros_like(full<double, 2>({2, 2}, 3.0));
    CHECK(y(1, 1) == 0.0);
}

TEST_CASE("the header stays light: no views, random numbers, linear algebra or xsimd come with it") {
#if defined(XTENSOR_VIEW_HPP) || defined(XLINALG_HPP) || defined(XTENSOR_RANDOM_HPP) || defined(XTENSOR_USE_XSIMD)
    FAIL("a slow header was included");
#endif
}

TEST_CASE("a tensor is row-major: the last index runs fastest") {
    const Tensor<double, 3> x = counting(2, 3, 4);
    for (Index i = 0; i < 2; ++i)
        for (Index j = 0; j < 3; ++j)
            for (Index k = 0; k < 4; ++k) CHECK(x(i, j, k) == static_cast<double>((i * 3 + j) * 4 + k));
}

#if defined(XTENSOR_ENABLE_ASSERT)
TEST_CASE("an index out of range is an error where xtensor's assertions are on: the debug preset") {
    const Tensor<double, 2> x = zeros<double, 2>({2, 3});
    CHECK_THROWS(x(2, 0));
    CHECK_THROWS(x(0, 3));
}
#endif

TEST_CASE("a tensor begins at a line of the cache, whatever its size") {
    for (const Index size : {1, 3, 17, 5000, 100'000}) {
        const Tensor<float, 1> one = empty<float, 1>({size}), other = empty<float, 1>({size});
        CHECK(reinterpret_cast<std::uintptr_t>(one.data()) % 64 == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(other.data()) % 64 == 0);
    }
    CHECK_THROWS_AS(AlignedAllocator<double>().allocate(std::numeric_limits<std::size_t>::max() / 4), std::bad_array_new_length);
}

TEST_CASE("extents may be zero, at any axis") {
    for (std::size_t axis = 0; axis < 3; ++axis) {
        Shape<3> shape{2, 3, 4};
        shape[axis] = 0;
        const Tensor<float, 3> x = full<float, 3>(shape, 1.0f);
        CHECK(element_count(x) == 0);
        CHECK(shape_of(x) == shape);
        CHECK(row(x) == x.data());
    }
    CHECK(element_count(Tensor<float, 2>()) == 0);
}

TEST_CASE("sizes are signed: a difference of extents may be negative, where size_t wraps") {
    const Tensor<float, 2> x = zeros<float, 2>({2, 5});
    CHECK(std::is_same_v<decltype(extent(x, 0)), Index>);
    CHECK(std::is_signed_v<Index>);
    CHECK(extent(x, 0) - extent(x, 1) == -3);
    Index turns = 0;
    for (Index i = 0; i < extent(x, 0) - 3; ++i) ++turns;
    CHECK(turns == 0);
}

TEST_CASE("a row points at the numbers below its indices") {
    Tensor<double, 3> x = counting(2, 3, 4);
    const Tensor<double, 3>& constant = x;
    CHECK(std::is_same_v<decltype(row(x, 0)), double*>);
    CHECK(std::is_same_v<decltype(row(constant, 0)), const double*>);
    CHECK(row(x) == x.data());
    for (Index i = 0; i < 2; ++i) {
        CHECK(row(x, i) == x.data() + i * 12);
        for (Index j = 0; j < 3; ++j) {
            CHECK(row(constant, i, j) == x.data() + (i * 3 + j) * 4);
            for (Index k = 0; k < 4; ++k) CHECK(*row(constant, i, j, k) == x(i, j, k));
        }
    }
    row(x, 1, 2)[3] = -1;
    CHECK(x(1, 2, 3) == -1);
}

TEST_CASE("a row of tokens is a batch of one") {
    CHECK(token_row(std::vector<std::int32_t>{7, 0, 9}) == Tokens{{7, 0, 9}});
    CHECK(shape_of(token_row({})) == Shape<2>{1, 0});
}

TEST_CASE("a negative extent is refused") {
    CHECK_THROWS_WITH_AS((empty<float, 2>({2, -1})), "empty: extent -1 of axis 1 is negative", ShapeError);
    CHECK_THROWS_WITH_AS((zeros<double, 1>({-7})), "empty: extent -7 of axis 0 is negative", ShapeError);
}

TEST_CASE("a wrong shape is named with what was expected") {
    const Tensor<float, 2> x = zeros<float, 2>({2, 3});
    CHECK_NOTHROW(require_shape("f: x", x, {2, 3}));
    CHECK_NOTHROW(require_shape("f: x", x, {-1, 3}));
    CHECK_NOTHROW(require_shape("f: x", x, {-1, -1}));
    CHECK_THROWS_WITH_AS(require_shape("f: x", x, {2, 4}), "f: x has shape (2, 3), expected (2, 4)", ShapeError);
    CHECK_THROWS_WITH_AS(require_shape("f: x", x, {-1, 4}), "f: x has shape (2, 3), expected (-1, 4) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(require_shape("f: x", x, {0, 3}), "f: x has shape (2, 3), expected (0, 3)", ShapeError);
}

TEST_CASE("assignment resizes silently in xtensor: require_shape sees it") {
    Tensor<float, 2> x = zeros<float, 2>({2, 3});
    x = zeros<float, 2>({3, 2});
    CHECK_THROWS_WITH_AS(require_shape("g: x", x, {2, 3}), "g: x has shape (3, 2), expected (2, 3)", ShapeError);
}

TEST_CASE("a shape is written in round brackets") {
    CHECK(shape_text(Shape<1>{3}) == "(3)");
    CHECK(shape_text(Shape<3>{2, 0, -1}) == "(2, 0, -1)");
    CHECK(shape_text(Shape<0>{}) == "()");
}

TEST_CASE("reshaping keeps the numbers in their order and is a copy") {
    Tensor<double, 3> x = counting(2, 3, 4);
    const Tensor<double, 2> y = reshaped<2>(x, Shape<2>{6, 4});
    CHECK(shape_of(y) == Shape<2>{6, 4});
    CHECK(std::equal(x.data(), x.data() + 24, y.data()));
    x(0, 0, 0) = 9;
    CHECK(y(0, 0) == 0.0);
    CHECK(element_count(reshaped<1>(zeros<double, 2>({0, 5}), Shape<1>{0})) == 0);
    CHECK_THROWS_WITH_AS(reshaped<2>(x, Shape<2>{5, 5}), "reshaped: (2, 3, 4) has 24 elements, (5, 5) has 25", ShapeError);
    CHECK_THROWS_WITH_AS(reshaped<1>(x, Shape<1>{-1}), "empty: extent -1 of axis 0 is negative", ShapeError);
    const Shape<2> wraps_around{Index(1) << 62, 4};
    CHECK_THROWS_WITH_AS((empty<float, 2>(wraps_around)),
                         "empty: extent 4611686018427387904 of axis 0 makes a tensor larger than any memory", ShapeError);
    CHECK_THROWS_AS((empty<float, 2>({Index(1) << 40, Index(1) << 30})), ShapeError);
}
