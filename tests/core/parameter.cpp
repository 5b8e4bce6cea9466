#include "fot/core/parameter.hpp"

#include <doctest/doctest.h>

using namespace fot;

TEST_CASE("a parameter is a view of its variable: writing to one is writing to the other") {
    Variable<float, 2> weight(full<float, 2>({2, 3}, 1.0f), true);
    CHECK_FALSE(weight.has_gradient());
    const Parameter<float> p = parameter("layers.0.weight", Role::hidden_matrix, weight);
    CHECK(p.name == "layers.0.weight");
    CHECK(p.role == Role::hidden_matrix);
    CHECK(p.shape == std::vector<Index>{2, 3});
    REQUIRE(weight.has_gradient());
    CHECK(p.value().size() == 6);
    CHECK(p.gradient().size() == 6);
    for (const float g : p.gradient()) CHECK(g == 0.0f);
    p.value()[5] = 7.0f;
    CHECK(weight.value()(1, 2) == 7.0f);
    weight.gradient()(0, 1) += 4.0f;
    CHECK(p.gradient()[1] == 4.0f);
}

TEST_CASE("a gradient that is there already is kept") {
    Variable<double, 1> scale(full<double, 1>({2}, 1.0), true);
    scale.gradient()(1) = 3;
    CHECK(parameter("scale", Role::norm_scale, scale).gradient()[1] == 3);
}

TEST_CASE("a parameter follows a value or a gradient that was assigned after it was made") {
    Variable<double, 1> x(full<double, 1>({10000}, 2.0), true);
    const std::vector<Parameter<double>> list{parameter("x", Role::gate, x)};
    x.value() = full<double, 1>({10000}, 3.0);
    x.gradient() = full<double, 1>({10000}, 4.0);
    const Tensor<double, 1> other = full<double, 1>({10000}, 9.0);  // takes the place of the numbers that were freed
    CHECK(list[0].value()[9999] == 3.0);
    CHECK(list[0].gradient()[9999] == 4.0);
    zero_gradients(list);
    CHECK(x.gradient()(9999) == 0.0);
    CHECK(other(9999) == 9.0);
}

TEST_CASE("an assignment of another shape is refused where the parameter is read") {
    Variable<double, 2> x(zeros<double, 2>({2, 3}), true);
    const Parameter<double> p = parameter("layers.0.q", Role::hidden_matrix, x);
    x.gradient() = zeros<double, 2>({3, 2});
    CHECK_THROWS_WITH_AS(p.gradient(), "layers.0.q has shape (3, 2), expected (2, 3)", ShapeError);
    CHECK(p.value().size() == 6);
    x.value() = zeros<double, 2>({1, 3});
    CHECK_THROWS_WITH_AS(p.value(), "layers.0.q has shape (1, 3), expected (2, 3)", ShapeError);
}

TEST_CASE("a parameter keeps its numbers alive") {
    Parameter<double> p;
    {
        Variable<double, 1> gone(full<double, 1>({10000}, 2.0), true);
        p = parameter("gone", Role::gate, gone);
    }
    const Tensor<double, 1> other = full<double, 1>({10000}, 9.0);  // would take the place of freed numbers
    CHECK(p.value()[9999] == 2.0);
    CHECK(p.gradient()[9999] == 0.0);
}

TEST_CASE("the replay of a tape adds to the gradient that the parameter shows") {
    Variable<double, 1> x(full<double, 1>({1}, 3.0), true);
    const Parameter<double> p = parameter("x", Role::temperature, x);
    for (int pass = 1; pass <= 2; ++pass) {
        Tape tape;
        tape.backward(tape.record(
            full<double, 1>({1}, 6.0), [x](const Tensor<double, 1>& d_y) { x.gradient()(0) += 2 * d_y(0); }, x));
        CHECK(p.gradient()[0] == 2 * pass);
    }
}

TEST_CASE("parameters of all ranks are counted, and their gradients set to zero, in one list") {
    Variable<float, 1> scale(full<float, 1>({4}, 1.0f), true);
    Variable<float, 2> weight(full<float, 2>({2, 3}, 1.0f), true);
    Variable<float, 3> none(zeros<float, 3>({2, 0, 5}), true);
    const std::vector<Parameter<float>> list{parameter("scale", Role::norm_scale, scale), parameter("weight", Role::output, weight),
                                             parameter("none", Role::embedding, none)};
    CHECK(parameter_count(list) == 10);
    CHECK(list[2].shape == std::vector<Index>{2, 0, 5});
    for (const Parameter<float>& p : list) std::ranges::fill(p.gradient(), 5.0f);
    zero_gradients(list);
    for (Index i = 0; i < 4; ++i) CHECK(scale.gradient()(i) == 0.0f);
    for (Index i = 0; i < 6; ++i) CHECK(weight.gradient().data()[i] == 0.0f);
    CHECK(scale.value()(0) == 1.0f);
    CHECK(parameter_count(std::vector<Parameter<float>>{}) == 0);
    CHECK_NOTHROW(zero_gradients(std::vector<Parameter<float>>{}));
}

TEST_CASE("a shape that does not count the numbers is refused, also one whose count overflows or that has negative extents") {
    std::vector<double> numbers(6);
    CHECK(viewed(std::span(numbers), Shape<2>{2, 3}).size() == 6);
    CHECK_THROWS_WITH_AS(viewed(std::span(numbers), Shape<2>{-2, -3}), "viewed: shape (-2, -3) for 6 numbers", ShapeError);
    CHECK_THROWS_AS(viewed(std::span(numbers), Shape<2>{2, 2}), ShapeError);
    CHECK_THROWS_AS(viewed(std::span(numbers).first(0), Shape<2>{Index(1) << 32, Index(1) << 32}), ShapeError);
}
