#include "fot/measure/retrieval.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"

using namespace fot;

namespace {
const double infinity = std::numeric_limits<double>::infinity();
}

TEST_CASE("the kNN score is the share of one key among the retrieved ones") {
    const auto shares = [](const std::vector<double>& scores) { return knn_scores(std::span(scores)); };
    const std::vector<double> of_three = shares({std::log(6.0), std::log(3.0), std::log(1.0)});
    CHECK(of_three[0] == doctest::Approx(0.6));
    CHECK(of_three[1] == doctest::Approx(0.3));
    CHECK(of_three[2] == doctest::Approx(0.1));
    CHECK(shares({1000, 1000, -infinity})[0] == doctest::Approx(0.5));  // no overflow
    CHECK(shares({1000, 1000, -infinity})[2] == 0);
    CHECK(shares({-infinity, -infinity}) == std::vector<double>{0, 0});  // nothing retrieved
    CHECK(shares({}).empty());
}

TEST_CASE("the Focus score agrees with the definition in plain loops, at the ends of the memory too") {
    Random random(1);
    const Index D = 3, M = 80;
    const Tensor<double, 2> queries = normal_tensor<double, 2>({5, D}, 1, random),
                            keys = normal_tensor<double, 2>({M, D}, 1, random);
    const std::vector<Index> centres{0, 79, 40, 31, 48};
    for (Index n = 0; n < 5; ++n) {
        const auto weight = [&](Index m) {
            double product = 0;
            for (Index i = 0; i < D; ++i) product += queries(n, i) * keys(m, i);
            return std::exp(product);
        };
        const Index centre = element(centres, n);
        double total = 0;
        for (Index m = 0; m < M; ++m)
            if (std::abs(m - centre) <= 32) total += weight(m);
        CHECK(focus_score(std::span(row(queries, n), 3), keys, centre) == doctest::Approx(weight(centre) / total).epsilon(1e-12));
    }
}

TEST_CASE("a key as good as its neighbours has a Focus score of 1/65, a memory of one key 1") {
    const std::vector<float> query(4, 1.0f);
    CHECK(focus_score(std::span(query), full<float, 2>({100, 4}, 1.0f), 50) == doctest::Approx(1.0 / 65));
    CHECK(focus_score(std::span(query), full<float, 2>({1, 4}, 1.0f), 0) == doctest::Approx(1));
}

TEST_CASE("the kept mass is the sum of the k largest softmax weights over the whole memory") {
    Random random(2);
    const Index N = 3, M = 50;
    Tensor<float, 2> all = normal_tensor<float, 2>({N, M}, 2, random);
    Tensor<float, 1> total = empty<float, 1>({N});
    for (Index n = 0; n < N; ++n) {
        std::sort(row(all, n), row(all, n) + M, std::greater<float>());
        total(n) = static_cast<float>(log_sum_exp(row(all, n), M));
    }
    const std::vector<double> kept = kept_mass(all, total, 7), everything = kept_mass(all, total),
                              nothing = kept_mass(all, total, 0);
    for (Index n = 0; n < N; ++n) {
        double part = 0, whole = 0;
        for (Index m = 0; m < M; ++m) {
            whole += std::exp(static_cast<double>(all(n, m)));
            if (m < 7) part += std::exp(static_cast<double>(all(n, m)));
        }
        const auto at = static_cast<std::size_t>(n);
        CHECK(kept[at] == doctest::Approx(part / whole).epsilon(1e-6));
        CHECK(everything[at] == doctest::Approx(1).epsilon(1e-6));
        CHECK(everything[at] <= 1);
        CHECK(nothing[at] == 0);
    }
}

TEST_CASE("no queries give no numbers") { CHECK(kept_mass(zeros<float, 2>({0, 4}), zeros<float, 1>({0})).empty()); }

TEST_CASE("wrong inputs of the retrieval measures are named") {
    const Tensor<float, 2> scores = zeros<float, 2>({2, 3});
    const std::vector<float> numbers(3, NAN);
    CHECK_THROWS_WITH_AS(knn_scores(std::span(numbers)), doctest::Contains("log_sum_exp: score 0 is "), NumericError);
    CHECK_THROWS_WITH_AS(focus_score(std::span(numbers), zeros<float, 2>({9, 4}), 0),
                         doctest::Contains("focus_score: keys has shape (9, 4), expected (-1, 3)"), ShapeError);
    CHECK_THROWS_WITH_AS(focus_score(std::span(numbers), scores, 2), "focus_score: key 2 of 2", DataError);
    CHECK_THROWS_WITH_AS(kept_mass(scores, zeros<float, 1>({3})),
                         doctest::Contains("kept_mass: log_sum_exp_all has shape (3), expected (2)"), ShapeError);
    CHECK_THROWS_WITH_AS(kept_mass(scores, full<float, 1>({2}, 9.0f), 4), "kept_mass: k 4 of 3 retrieved keys", ConfigError);
    CHECK_THROWS_AS(kept_mass(scores, full<float, 1>({2}, std::numeric_limits<float>::infinity())), NumericError);
    CHECK_THROWS_WITH_AS(kept_mass(scores, zeros<float, 1>({2})), doctest::Contains("kept_mass: query 0 keeps 3 of the mass"),
                         NumericError);
}
