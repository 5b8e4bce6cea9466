#include "../../examples/support/positive_masses.hpp"

#include <doctest/doctest.h>

#include "example_in.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::ExampleIn;
using fot::testing::TemporaryFolder;

TEST_CASE("r_d goes into a plot, a file with each seed, and result lines") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    // The own context has a quarter, with the next seed half, of the attention to two.
    const auto mass = [](double share) {
        PositiveMass of_seed({1, 2});
        Tensor<double, 4> log_mass = empty<double, 4>({1, 1, 1, 2});
        log_mass(0, 0, 0, 0) = std::log(share);
        log_mass(0, 0, 0, 1) = std::log(1 - share);
        for (int document = 0; document < 2; ++document) of_seed.add(log_mass);  // alike: an interval of no width
        return of_seed;
    };
    PositiveMasses measured;
    measured.add("a", mass(0.25));
    measured.add("a", mass(0.5));
    const AccuracyCurve estimates = shares_over_seeds(measured, "a");
    REQUIRE(estimates.size() == 2);
    CHECK(estimates.at(1).value == doctest::Approx(1));
    CHECK(estimates.at(2).value == doctest::Approx(0.375));
    CHECK(estimates.at(2).interval.low == doctest::Approx(0.25));
    CHECK(estimates.at(2).interval.high == doctest::Approx(0.5));
    report_positive_mass(in.example, measured, "Attention");
    CHECK(
        in.out.str().ends_with("model  d     1/d                      r_d\n-----  -  ------  -----------------------\n"
                               "a      1  1.0000  1.0000 [1.0000, 1.0000]\na      2  0.5000  0.3750 [0.2500, 0.5000]\n"));
    in.example.finish();
    CHECK(
        in.out.str().find("result positive_mass.a.1 1.00000 1.00000 1.00000\nresult positive_mass.a.2 0.37500 0.25000 0.50000\n") !=
        std::string::npos);
    const std::string csv = read_text(folder / "positive_mass_by_seed.csv");
    CHECK(csv.starts_with("model,seed,d,positive_mass,low,high\na,1,1,"));
    CHECK(csv.find("\na,2,2,0.5") != std::string::npos);
    CHECK(std::ranges::count(csv, '\n') == 5);
}
