#include "fot/measure/intervals.hpp"

#include <doctest/doctest.h>

using namespace fot;

namespace {

/// The defining equation of Wilson's interval: both ends lie 1.96 standard errors (at that end) from the share.
void check_wilson_equation(Index successes, Index trials, Index together = 1) {
    const Interval interval = Proportion{successes, trials}.interval(together);
    const double n = static_cast<double>(trials) / static_cast<double>(together),
                 share = static_cast<double>(successes) / static_cast<double>(trials);
    for (const double end : {interval.low, interval.high})
        CHECK(std::abs(share - end) == doctest::Approx(normal_quantile * std::sqrt(end * (1 - end) / n)));
}

}  // namespace

TEST_CASE("proportions add up: successes and trials") {
    Proportion all{1, 4};
    all += {2, 3};
    CHECK(all.successes == 3);
    CHECK(all.trials == 7);
    CHECK((all += Proportion{}).value() == doctest::Approx(3.0 / 7));
}

TEST_CASE("the binomial interval has known values and solves its equation") {
    const Interval half = Proportion{5, 10}.interval();
    CHECK(half.low == doctest::Approx(0.236593));
    CHECK(half.high == doctest::Approx(0.763407));
    check_wilson_equation(5, 10);
    check_wilson_equation(1597, 1600);
    check_wilson_equation(1, 3);
    check_wilson_equation(1277, 1600, 4);
}

TEST_CASE("the binomial interval is not a point when every answer is right") {
    const Interval all = Proportion{1600, 1600}.interval(), none = Proportion{0, 1600}.interval();
    CHECK(all.high == 1.0);
    CHECK(all.low == doctest::Approx(1600 / (1600 + normal_quantile * normal_quantile)));
    CHECK(none.low == 0.0);
    CHECK(none.high == doctest::Approx(1 - all.low));
    CHECK((Proportion{0, 0}.interval().low == 0.0));
    CHECK((Proportion{0, 0}.interval().high == 1.0));
}

TEST_CASE("answers whose four tokens are right or wrong together have the interval of the answers") {
    const Interval tokens = Proportion{4 * 319, 4 * 400}.interval(4), answers = Proportion{319, 400}.interval();
    CHECK(tokens.low == doctest::Approx(answers.low));
    CHECK(tokens.high == doctest::Approx(answers.high));
    CHECK_THROWS_WITH_AS((Proportion{1, 4}.interval(0)), "Proportion: 0 trials together, expected 1 or more", DataError);
}

TEST_CASE("a proportion counts answers") {
    Proportion accuracy;
    CHECK(std::isnan(accuracy.value()));
    for (int i = 0; i < 4; ++i) accuracy.add(i != 2);
    CHECK(accuracy.value() == 0.75);
    CHECK((accuracy.interval().low == Proportion{3, 4}.interval().low));
    accuracy.add_each(std::vector<int>{1, 2, 0});
    CHECK(accuracy.successes == 5);
    CHECK(accuracy.trials == 7);
}

TEST_CASE("median and quantiles interpolate between sorted neighbours") {
    CHECK(median({3, 1, 2}) == 2);
    CHECK(median({4, 1, 3, 2}) == 2.5);
    CHECK(median({7}) == 7);
    CHECK(quantile({0, 10}, 0.25) == 2.5);
    CHECK(quantile({5, 1, 3}, 1) == 5);
    CHECK(quantile({5, 1, 3}, 0) == 1);
    CHECK(median({1, HUGE_VAL, HUGE_VAL, HUGE_VAL}) == HUGE_VAL);  // what was never reached has no finite middle
}

TEST_CASE("the bootstrap of a mean has the width that the central limit theorem gives") {
    Random random(3);
    std::vector<double> values(400);
    for (double& value : values) value = random.normal();
    const Estimate estimate = bootstrap_mean(values, 1);
    CHECK(estimate.value == doctest::Approx(mean(values)));
    double squares = 0;
    for (const double value : values) squares += (value - estimate.value) * (value - estimate.value);
    const double standard_error = std::sqrt(squares / 400 / 400);
    for (const double width : {estimate.value - estimate.interval.low, estimate.interval.high - estimate.value})
        CHECK(std::abs(width - normal_quantile * standard_error) < 0.15 * standard_error);  // for 90 % it would be 0.31 narrower
}

TEST_CASE("the bootstrap interval covers the true mean about 95 times in 100") {
    Random random(11);
    Index covered = 0;
    for (std::uint64_t trial = 0; trial < 300; ++trial) {
        std::vector<double> values(60);
        for (double& value : values) value = 2 + random.normal();
        const Interval interval = bootstrap_mean(values, trial).interval;
        covered += interval.low <= 2 && 2 <= interval.high ? 1 : 0;
    }
    CHECK(covered >= 270);
    CHECK(covered <= 296);
}

TEST_CASE("a weighted mean is a ratio of sums, not a mean of ratios") {
    const Estimate estimate = bootstrap_ratio({1, 30}, {1, 10}, 5, 2);
    CHECK(estimate.value == doctest::Approx(2 * 31.0 / 11));
    CHECK(estimate.interval.low == doctest::Approx(2));   // the same small document twice
    CHECK(estimate.interval.high == doctest::Approx(6));  // the same large one twice
}

TEST_CASE("the same seed gives the same interval, another seed another one") {
    const std::vector<double> values{1.03, 4.41, 2.27, 8.9, 5.52, 7.16, 3.35, 9.78, 6.64};
    const Estimate first = bootstrap_mean(values, 9), again = bootstrap_mean(values, 9), other = bootstrap_mean(values, 10);
    CHECK(first.interval.low == again.interval.low);
    CHECK(first.interval.high == again.interval.high);
    CHECK((first.interval.low != other.interval.low || first.interval.high != other.interval.high));
}

TEST_CASE("a constant paired difference has an interval without width, however much the documents differ") {
    std::vector<double> a, b, bytes;
    for (int i = 0; i < 20; ++i) {
        bytes.push_back(100 + 10 * i);
        b.push_back((1 + i) * bytes.back());
        a.push_back(b.back() + 0.25 * bytes.back());
    }
    const Estimate difference = bootstrap_ratio_difference(a, b, bytes, 1);
    CHECK(difference.value == doctest::Approx(0.25));
    CHECK(difference.interval.low == doctest::Approx(0.25));
    CHECK(difference.interval.high == doctest::Approx(0.25));
    CHECK(bootstrap_mean_difference({3, 5}, {1, 1}, 1).value == 3);
    CHECK(bootstrap_ratio(a, bytes, 1).interval.low < bootstrap_ratio(b, bytes, 1).interval.high);
}

TEST_CASE("one document gives a value without limits") {
    const Estimate estimate = bootstrap_ratio({6}, {2}, 1);
    CHECK(estimate.value == 3);
    CHECK(std::isinf(estimate.interval.low));
    CHECK(std::isinf(estimate.interval.high));
}

TEST_CASE("Student's quantiles agree with the printed tables on both sides of ours") {
    CHECK(student_quantile(1) == doctest::Approx(12.7062));
    CHECK(student_quantile(2) == doctest::Approx(4.30265));
    CHECK(student_quantile(10) == doctest::Approx(2.22814));
    CHECK(student_quantile(11) == doctest::Approx(2.200985).epsilon(1e-4));
    CHECK(student_quantile(30) == doctest::Approx(2.042272).epsilon(1e-5));
    CHECK(student_quantile(120) == doctest::Approx(1.979930).epsilon(1e-6));
}

TEST_CASE("seeds are summarised by their median and, from three on, an interval of their mean") {
    const Estimate three = over_seeds({{3, {}}, {1, {}}, {2, {}}}), uneven = over_seeds({{6, {}}, {0, {}}, {0, {}}});
    CHECK(three.value == 2);
    CHECK(three.interval.high == doctest::Approx(2 + 4.302653 / std::sqrt(3.0)));
    CHECK(three.interval.low == doctest::Approx(2 - 4.302653 / std::sqrt(3.0)));
    CHECK(uneven.value == 0);
    CHECK((uneven.interval.low + uneven.interval.high) / 2 == doctest::Approx(2));
    const Estimate two = over_seeds({{1, {0, 4}}, {2, {1, 9}}});  // what either covers
    CHECK(two.value == 1.5);
    CHECK(two.interval.low == 0);
    CHECK(two.interval.high == 9);
}

TEST_CASE("wrong inputs of the intervals are named") {
    CHECK_THROWS_WITH_AS((Proportion{4, 3}.interval()), "Proportion: 4 successes in 3 trials", DataError);
    CHECK_THROWS_WITH_AS(mean({}), "mean: no values", DataError);
    CHECK_THROWS_WITH_AS(quantile({}, 0.5), "quantile: no values", DataError);
    CHECK_THROWS_WITH_AS(quantile({1}, 1.5), "quantile: share 1.5 lies outside [0, 1]", DataError);
    CHECK_THROWS_WITH_AS(median({1, std::nan("")}), "quantile: a value is not a number", NumericError);
    CHECK_THROWS_WITH_AS(bootstrap_mean({}, 1), "bootstrap: no documents", DataError);
    CHECK_THROWS_WITH_AS(bootstrap_ratio({1, 2}, {1}, 1), "bootstrap_ratio: 2 numerators, 1 denominators", ShapeError);
    CHECK_THROWS_WITH_AS(bootstrap_ratio({1, 2}, {1, 0}, 1),
                         "bootstrap_ratio: document 1 has 2 / 0, expected finite numbers, the denominator above 0", NumericError);
    CHECK_THROWS_WITH_AS(bootstrap_mean_difference({1, 2}, {1}, 1), "bootstrap_ratio_difference: 2 documents of a, 1 of b",
                         ShapeError);
    CHECK_THROWS_WITH_AS(bootstrap(
                             0, [](const std::vector<Index>&) { return 0.0; }, 1),
                         "bootstrap: no documents", DataError);
    CHECK_THROWS_WITH_AS(bootstrap(
                             2, [](const std::vector<Index>&) { return std::nan(""); }, 1),
                         "bootstrap: the statistic is not a number", NumericError);
    CHECK_THROWS_WITH_AS(student_quantile(0), "student_quantile: 0 degrees of freedom, expected 1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(over_seeds({}), "over_seeds: no seeds", DataError);
    CHECK_THROWS_WITH_AS(over_seeds({{1, {}}, {INFINITY, {}}}), "over_seeds: a value is inf", NumericError);
}
