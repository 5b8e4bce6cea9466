#include "fot/measure/positive_mass.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/allocations.hpp"

using namespace fot;

namespace {

/// (1,1,1,C) of the logarithms of the given masses.
Tensor<double, 4> log_masses(const std::vector<double>& masses) {
    Tensor<double, 4> x = empty<double, 4>({1, 1, 1, static_cast<Index>(masses.size())});
    for (std::size_t c = 0; c < masses.size(); ++c) x.data()[c] = std::log(masses[c]);
    return x;
}

}  // namespace

TEST_CASE("the share of the first contexts: hand numbers") {
    const Tensor<double, 4> x = log_masses({3, 1, 4, 2});
    CHECK(positive_share(x.data(), 1, 1) == 1);
    CHECK(positive_share(x.data(), 2, 1) == doctest::Approx(0.75));
    CHECK(positive_share(x.data(), 4, 1) == doctest::Approx(0.3));
    CHECK(positive_share(x.data(), 4, 2) == doctest::Approx(0.4));
}

TEST_CASE("shares do not overflow, empty contexts count nothing, and nothing at all is an error") {
    const float large[] = {5000, 5000, -5000}, empty_ones[] = {-std::numeric_limits<float>::infinity(), 1};
    CHECK(positive_share(large, 3, 1) == doctest::Approx(0.5));
    CHECK(positive_share(empty_ones, 2, 1) == 0);
    CHECK_THROWS_WITH_AS(positive_share(empty_ones, 1, 1), "positive_share: none of 1 contexts has a mass, expected one at least",
                         NumericError);
}

TEST_CASE("attention that is spread evenly over documents has r_d = 1/d") {
    const Index rows = 5;
    Random random(1);
    const Tensor<float, 4> q = normal_tensor<float, 4>({8, 3, 2, 4}, 1, random);
    const Tensor<float, 4> one_context = normal_tensor<float, 4>({1, rows, 2, 4}, 1, random);
    Tensor<float, 4> same = empty<float, 4>({8, rows, 2, 4});
    for (Index c = 0; c < 8; ++c) std::copy_n(one_context.data(), one_context.size(), row(same, c));
    PositiveMass mass({1, 2, 4, 8});
    mass.add(context_log_mass(q, same, previous_contexts(8, 1, 7)));
    for (std::size_t i = 0; i < 4; ++i) {
        const double expected = 1 / static_cast<double>(mass.contexts()[i]);
        CHECK(mass.mean(i) == doctest::Approx(expected).epsilon(1e-5));
        for (const double head : mass.per_head(i)) CHECK(head == doctest::Approx(expected).epsilon(1e-5));
        for (const double document : mass.per_document(i)) CHECK(document == doctest::Approx(expected).epsilon(1e-5));
    }
}

TEST_CASE("r_d is the softmax weight on the own previous context, written out") {
    Random random(2);
    const Index entries = 3, queries = 2, heads = 2, rows = 4, width = 3;
    const Tensor<double, 4> q = normal_tensor<double, 4>({entries, queries, heads, width}, 1, random);
    const Tensor<double, 4> k = normal_tensor<double, 4>({entries, rows, heads, width}, 1, random);
    const Tensor<double, 4> log_mass = context_log_mass(q, k, previous_contexts(entries, 1, 2));
    for (const Index d : {1, 2, 3}) {
        const Tensor<double, 3> got = positive_mass_per_query(log_mass, d);
        double mean = 0;
        for (Index b = 0; b < entries; ++b)
            for (Index t = 0; t < queries; ++t)
                for (Index h = 0; h < heads; ++h) {
                    double own = 0, all = 0;
                    for (Index i = 0; i < d; ++i)
                        for (Index j = 0; j < rows; ++j) {
                            double score = 0;
                            for (Index e = 0; e < width; ++e) score += q(b, t, h, e) * k((b + i) % entries, j, h, e);
                            all += std::exp(score);
                            if (i == 0) own += std::exp(score);
                        }
                    CHECK(got(b, t, h) == doctest::Approx(own / all));
                    mean += own / all / static_cast<double>(entries * queries * heads);
                }
        PositiveMass mass({d});
        mass.add(log_mass);
        CHECK(mass.mean(0) == doctest::Approx(mean));
    }
}

TEST_CASE("several previous contexts of the own document are summed in the numerator") {
    PositiveMass mass({2, 3, 5});
    mass.add(log_masses({1, 2, 3, 4, 10}), 2);
    CHECK(mass.mean(0) == 1);
    CHECK(mass.mean(1) == doctest::Approx(0.5));
    CHECK(mass.mean(2) == doctest::Approx(0.15));
}

TEST_CASE("means over heads and documents are taken over all batches") {
    PositiveMass mass({2});
    CHECK(std::isnan(mass.mean(0)));
    CHECK(mass.documents() == 0);
    Tensor<double, 4> x = zeros<double, 4>({2, 1, 2, 2});
    x(0, 0, 1, 0) = std::log(3.0);  // entry 0, head 1: r = 3/4; all others 1/2
    mass.add(x);
    mass.add(full<double, 4>({1, 1, 2, 3}, 1.0));
    CHECK(mass.documents() == 3);
    REQUIRE(mass.per_document(0).size() == 3);
    CHECK(mass.per_document(0)[0] == doctest::Approx(0.625).epsilon(1e-14));
    CHECK(mass.per_document(0)[2] == doctest::Approx(0.5).epsilon(1e-14));
    CHECK(mass.mean(0) == doctest::Approx((0.625 + 0.5 + 0.5) / 3));
    PositiveMass two({2});
    two.add(x);
    two.add(x);
    CHECK(two.per_head(0)[0] == doctest::Approx(0.5));
    CHECK(two.per_head(0)[1] == doctest::Approx(0.625));
}

TEST_CASE("r_d falls or stays when contexts are added") {
    Random random(3);
    const Tensor<float, 4> x = normal_tensor<float, 4>({2, 3, 2, 6}, 3, random);
    for (Index d = 1; d < 6; ++d) {
        const Tensor<double, 3> few = positive_mass_per_query(x, d), more = positive_mass_per_query(x, d + 1);
        for (std::size_t i = 0; i < few.size(); ++i) CHECK(more.data()[i] <= few.data()[i]);
    }
}

TEST_CASE("a number of contexts that was not measured is refused") {
    const Tensor<double, 4> x = log_masses({1, 1, 1});
    CHECK_THROWS_WITH_AS(positive_mass_per_query(x, 4), "positive_mass: 4 contexts, measured for 3", ConfigError);
    CHECK_THROWS_WITH_AS(positive_mass_per_query(x, 2, 3), "positive_share: 3 positives among 2 contexts", ConfigError);
    CHECK_THROWS_WITH_AS(positive_mass_per_query(x, 2, 0), "positive_share: 0 positives among 2 contexts", ConfigError);
    CHECK_THROWS_WITH_AS(PositiveMass({2, 0}), "PositiveMass: cannot measure r_d for d = 0", ConfigError);
    PositiveMass mass({2, 4});
    CHECK_THROWS_AS(mass.add(x), ConfigError);
    CHECK(mass.documents() == 0);
    CHECK(mass.per_document(0).empty());
    PositiveMass one_head({2});
    one_head.add(x);
    CHECK_THROWS_WITH_AS(one_head.add(zeros<double, 4>({1, 1, 2, 3})), "PositiveMass: 2 heads after batches of 1", ShapeError);
    CHECK_THROWS_AS(one_head.mean(1000), std::out_of_range);
}

TEST_CASE("log masses that are no numbers are refused, and nothing of their batch is taken in") {
    PositiveMass mass({1, 3});
    Tensor<double, 4> x = log_masses({1, 1, 1});
    x(0, 0, 0, 2) = std::nan("");
    CHECK_THROWS_WITH_AS(mass.add(x), "log_sum_exp: score 2 is nan", NumericError);
    CHECK_THROWS_WITH_AS(mass.add(zeros<double, 4>({1, 0, 1, 3})),
                         "PositiveMass: 0 queries of 1 heads, expected one or more of each", ShapeError);
    CHECK(mass.per_document(0).empty());
    CHECK(mass.documents() == 0);
}

TEST_CASE("a batch that there is no memory for was not taken in") {
    PositiveMass mass({1, 2}), expected({1, 2});
    const Tensor<double, 4> x = log_masses({3, 1, 4, 2});
    for (Index i = 0; i < 3; ++i) {
        CHECK(testing::for_every_failing_allocation([&] { mass.add(x); }, [&] { REQUIRE(mass.documents() == i); }) > 5);
        expected.add(x);
        for (const std::size_t d : {0u, 1u}) {
            CHECK(mass.per_document(d) == expected.per_document(d));
            CHECK(mass.per_head(d) == expected.per_head(d));
        }
    }
}
