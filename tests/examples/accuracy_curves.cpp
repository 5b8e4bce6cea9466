#include "../../examples/support/accuracy_curves.hpp"

#include <doctest/doctest.h>

#include "example_in.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::ExampleIn;
using fot::testing::TemporaryFolder;

TEST_CASE("a share over seeds is their median, and its interval lies between 0 and 1") {
    const Estimate share = share_over_seeds({{0.5, {0.4, 0.6}}, {0.9, {0.8, 1}}, {1, {0.9, 1}}});
    CHECK(share.value == 0.9);
    CHECK(share.interval.low > 0);
    CHECK(share.interval.high == 1);
}

TEST_CASE("accuracies go into the plot and into result lines, in the order of the sizes") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    Measurements<AccuracyCurve> curves;
    curves.add("a", {{4, {0.5, {0.25, 0.75}}}, {2, {1, {0.5, 1}}}});
    Plot plot{.name = "accuracy", .title = "", .x_label = "", .y_label = ""};
    report_accuracy(in.example, "accuracy", curves, "a", plot);
    REQUIRE(plot.series.size() == 1);
    CHECK(plot.series[0].name == "a");
    CHECK(plot.series[0].points[1].first == 4);
    CHECK(plot.series[0].points[1].second.interval.low == 0.25);
    in.example.finish();
    CHECK(in.out.str().ends_with("result accuracy.a.2 1.00000 0.50000 1.00000\nresult accuracy.a.4 0.50000 0.25000 0.75000\n"));
}

TEST_CASE("measurements keep the order in which models were added first, and the seeds of each") {
    Measurements<int> numbers;
    for (const char* model : {"b", "a", "b"}) numbers.add(model, static_cast<int>(numbers.models().size()));
    CHECK(numbers.models() == std::vector<std::string>{"b", "a"});
    CHECK(numbers.of_seeds("b") == std::vector<int>{0, 2});
    CHECK(numbers.each("b", [](int number) { return 0.5 * number; }) == std::vector<double>{0, 1});
    CHECK_FALSE(numbers.has("c"));
}

TEST_CASE("half the answers are right where the curve first crosses 1/2, on a logarithmic axis") {
    const auto at = [](double value) { return Estimate{value, {value - 0.125, value + 0.125}}; };
    const Estimate half = half_accuracy_size({{4, at(1)}, {16, at(0.75)}, {64, at(0.25)}, {256, at(0.75)}});
    CHECK(half.value == doctest::Approx(32));
    CHECK(half.interval.low == doctest::Approx(16 * std::pow(4, 0.25)));
    CHECK(half.interval.high == doctest::Approx(16 * std::pow(4, 0.75)));
}

TEST_CASE("a curve that starts below 1/2 or stays above it says on which side the half lies") {
    const AccuracyCurve below{{4, {0.25, {0.1, 0.4}}}, {16, {0.1, {0, 0.2}}}}, above{{4, {1, {0.9, 1}}}, {16, {0.6, {0.4, 0.8}}}};
    CHECK(half_accuracy_size(below).value == 4);
    CHECK(half_accuracy_size(below).interval.low == 0);
    CHECK(half_accuracy_size(below).interval.high == 4);
    CHECK(half_accuracy_size(above).value == 16);
    CHECK(half_accuracy_size(above).interval.low == doctest::Approx(4 * std::pow(4, 0.8)));
    CHECK(std::isinf(half_accuracy_size(above).interval.high));
    CHECK_THROWS_AS(half_accuracy_size({}), ConfigError);
}
