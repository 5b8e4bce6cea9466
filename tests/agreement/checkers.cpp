// Who checks the checkers? A wrong gradient, NaN and infinity must come out as errors of all functions that tests compare with.
#include "support/agreement.hpp"
#include "support/attention_check.hpp"
#include "support/model_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

/// y = 2 x on the tape, with a slope of the caller's choice and something added in the last place.
Variable<double, 1> twice(Tape& tape, const Variable<double, 1>& x, double slope = 2, double added = 0) {
    Tensor<double, 1> y = x.value();
    for (double& each : y.storage()) each *= 2;
    const Index last = element_count(y) - 1;
    y(last) += added;
    const auto backward = [=](const Tensor<double, 1>& d_y) {
        for (Index i = 0; i <= last; ++i) x.gradient()(i) += (i == last ? slope : 2) * d_y(i);
    };
    return tape.record(std::move(y), backward, x);
}

double disagreement_of(double slope, double added) {
    const Variable<double, 1> x(Tensor<double, 1>{1, -2, 3}, true);
    return disagreement([&](Tape& tape) { return std::tuple(twice(tape, x, slope, added)); },
                        [](const Scalars<1>& in) {
                            Scalars<1> y(in.shape);
                            for (Index i = 0; i < 3; ++i) y(i) = 2.0 * in(i);
                            return std::tuple(y);
                        },
                        x);
}

}  // namespace

TEST_CASE("NaN is the worst of errors, whatever comes before or after it") {
    CHECK(worse(1, 2) == 2);
    CHECK(worse(2, 1) == 2);
    CHECK(worse(2, infinity) == infinity);
    for (const double other : {0.0, 1.0, infinity, undefined}) {
        CHECK(std::isnan(worse(undefined, other)));
        CHECK(std::isnan(worse(other, undefined)));
    }
}

TEST_CASE("the difference of tensors: equal infinities do not differ, NaN and all other infinities do") {
    const Tensor<double, 1> x{1, infinity, -infinity};
    CHECK(largest_difference(x, x) == 0);
    CHECK(largest_difference(x, Tensor<float, 1>{1.5f, static_cast<float>(infinity), -static_cast<float>(infinity)}) == 0.5);
    CHECK(largest_difference(x, Tensor<double, 1>{1, 0, -infinity}) == infinity);
    CHECK(largest_difference(x, Tensor<double, 1>{1, infinity, infinity}) == infinity);
    CHECK(std::isnan(largest_difference(x, Tensor<double, 1>{undefined, infinity, 0})));
    CHECK(std::isnan(largest_difference(Tensor<double, 1>{undefined, 0}, Tensor<double, 1>{undefined, 0})));
}

TEST_CASE("finite differences accept the right gradient alone, and no NaN in the gradient or in the loss") {
    Tensor<double, 1> x{1, -2, 3};
    const Tensor<double, 1> right{2, -4, 6}, wrong{2, -4, 6.001}, none{undefined, undefined, undefined}, last{2, -4, undefined};
    const auto square = [&] { return weighted_sum(x, x); };
    const auto nowhere = [&] { return undefined; };
    CHECK(gradient_error(x, right, square) < 1e-9);
    CHECK(directional_error(x, right, square) < 1e-9);
    for (const auto* gradient : {&wrong, &none, &last}) {
        CHECK_FALSE(gradient_error(x, *gradient, square) < 1e-6);
        CHECK_FALSE(directional_error(x, *gradient, square) < 1e-6);
    }
    CHECK_FALSE(gradient_error(x, right, nowhere) < 1e-6);
    CHECK_FALSE(directional_error(x, right, nowhere) < 1e-6);
    CHECK(x == Tensor<double, 1>{1, -2, 3});
}

TEST_CASE("so does the check of an operation on the tape") {
    Variable<double, 1> x(Tensor<double, 1>{1, -2, 3}, true);
    const auto error = [&](double slope, double added) {
        return tape_gradient_error([&](Tape& tape) { return twice(tape, x, slope, added); }, x);
    };
    CHECK(error(2, 0) < 1e-9);
    CHECK_FALSE(error(2.001, 0) < 1e-6);
    CHECK_FALSE(error(undefined, 0) < 1e-6);
    CHECK_FALSE(error(2, undefined) < 1e-6);
}

TEST_CASE("and that of a model's parameters" * doctest::should_fail()) {
    Variable<double, 1> x(Tensor<double, 1>{1}, true);
    parameter_gradient_error({parameter("x", Role::gate, x)}, [&](Tape& tape) { return twice(tape, x, undefined); });
}

TEST_CASE("two implementations disagree where one has NaN, or infinity where the other has not") {
    CHECK(disagreement_of(2, 0) == 0);
    CHECK(disagreement_of(2, 1e-3) > 1e-4);
    CHECK(disagreement_of(2.001, 0) > 1e-4);
    for (const double bad : {undefined, infinity}) {
        CHECK_FALSE(disagreement_of(bad, 0) < 1e-6);
        CHECK_FALSE(disagreement_of(2, bad) < 1e-6);
    }
    // What is expected to be infinite hides neither itself nor the number beside it.
    const auto difference = [](const Tensor<double, 1>& got, const Tensor<double, 1>& expected) {
        return relative_difference(got, [&](std::size_t i) { return expected(static_cast<Index>(i)); });
    };
    CHECK(difference({-infinity, 1}, {-infinity, 1}) == 0);
    CHECK(difference({-infinity, 2}, {-infinity, 1}) == 1);
    CHECK(difference({0, 1}, {-infinity, 1}) == infinity);
    CHECK(difference({infinity, 1}, {-infinity, 1}) == infinity);
    CHECK(std::isnan(difference({undefined, 1}, {-infinity, 1})));
}

TEST_CASE("the numbers of cases and seeds come from the environment, and what is not a number is refused") {
    const char* name = "FOT_AGREEMENT_TEST";
    CHECK(number_from_environment(name, 7) == 7);
    ::setenv(name, "20261125", 1);
    CHECK(number_from_environment(name, 7) == 20261125);
    for (const char* wrong : {"", "many", "12 cases", "0", "-3", "1e3", "99999999999999999999"}) {
        ::setenv(name, wrong, 1);
        CHECK_THROWS_WITH_AS(number_from_environment(name, 7),
                             ("FOT_AGREEMENT_TEST is '" + std::string(wrong) + "', expected a whole number of 1 or more").c_str(),
                             ConfigError);
    }
    ::unsetenv(name);
}
