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
