#include "fot/measure/retrieval.hpp"

#include <doctest/doctest.h>

using namespace fot;

namespace {
const double infinity = std::numeric_limits<double>::infinity();
}

TEST_CASE("the kNN score is the share of one key among the retrieved ones") {
    const Tensor<double, 2> scores{
        {std::log(6.0), std::log(3.0), std::log(1.0)}, {1000, 1000, -infinity}, {-infinity, -infinity, -infinity}};
    const Tensor<double, 2> shares = knn_scores(scores);
    CHECK(shares(0, 0) == doctest::Approx(0.6));
    CHECK(shares(0, 1) == doctest::Approx(0.3));
    CHECK(shares(0, 2) == doctest::Approx(0.1));
    CHECK(shares(1, 0) == doctest::Approx(0.5));  // no overflow
    CHECK(shares(1, 2) == 0);
    CHECK(shares(2, 0) == 0);  // nothing retrieved
}

TEST_CASE("the Focus score agrees with the definition in plain loops, at the ends of the memory too") {
    Random random(1);
    const Index N = 5, D = 3, M = 80;
    const Tensor<double, 2> queries = normal_tensor<double, 2>({N, D}, 1, random),
                            keys = normal_tensor<double, 2>({M, D}, 1, random);
    const std::vector<Index> centres{0, 79, 40, 31, 48};
    const double temperature = 0.5;
    const std::vector<double> focus = focus_scores(neighbour_scores(queries, keys, centres, temperature));
    for (Index n = 0; n < N; ++n) {
        const auto weight = [&](Index m) {
            double product = 0;
            for (Index i = 0; i < D; ++i) product += queries(n, i) * keys(m, i);
            return std::exp(product / temperature);
        };
        const Index centre = centres[static_cast<std::size_t>(n)];
        double total = 0;
        for (Index m = 0; m < M; ++m)
            if (std::abs(m - centre) <= 32) total += weight(m);
        CHECK(focus[static_cast<std::size_t>(n)] == doctest::Approx(weight(centre) / total).epsilon(1e-12));
    }
}

TEST_CASE("a key as good as its neighbours has a Focus score of 1/65, a memory of one key 1") {
    CHECK(focus_scores(zeros<float, 2>({1, 65}))[0] == doctest::Approx(1.0 / 65));
    const Tensor<float, 2> one = full<float, 2>({1, 4}, 1.0f);
    CHECK(focus_scores(neighbour_scores(one, one, {0}))[0] == doctest::Approx(1));
    Tensor<double, 2> absent = zeros<double, 2>({1, 65});
    absent(0, 32) = -infinity;
    CHECK(focus_scores(absent)[0] == 0);
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

TEST_CASE("no queries give no numbers") {
    CHECK(extent(knn_scores(zeros<float, 2>({0, 4})), 0) == 0);
    CHECK(focus_scores(zeros<float, 2>({0, 65})).empty());
    CHECK(kept_mass(zeros<float, 2>({0, 4}), zeros<float, 1>({0})).empty());
}

TEST_CASE("wrong inputs of the retrieval measures are named") {
    const Tensor<float, 2> scores = zeros<float, 2>({2, 3});
    CHECK_THROWS_WITH_AS(knn_scores(full<float, 2>({1, 2}, NAN)), doctest::Contains("log_sum_exp: score 0 is "), NumericError);
    CHECK_THROWS_WITH_AS(neighbour_scores(scores, zeros<float, 2>({9, 4}), {0, 0}),
                         doctest::Contains("neighbour_scores: keys has shape (9, 4), expected (-1, 3)"), ShapeError);
    CHECK_THROWS_WITH_AS(neighbour_scores(scores, scores, {0}), "neighbour_scores: 1 centres for 2 queries", ShapeError);
    CHECK_THROWS_WITH_AS(neighbour_scores(scores, scores, {0, 2}),
                         "neighbour_scores: centre 2 of query 1 lies outside a memory of 2", DataError);
    CHECK_THROWS_WITH_AS(neighbour_scores(scores, scores, {0, 1}, 0), "neighbour_scores: temperature 0 is not above 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(focus_scores(scores), doctest::Contains("focus_scores: scores has shape (2, 3), expected (-1, 65)"),
                         ShapeError);
    CHECK_THROWS_WITH_AS(kept_mass(scores, zeros<float, 1>({3})),
                         doctest::Contains("kept_mass: log_sum_exp_all has shape (3), expected (2)"), ShapeError);
    CHECK_THROWS_WITH_AS(kept_mass(scores, full<float, 1>({2}, 9.0f), 4), "kept_mass: k 4 of 3 retrieved keys", ConfigError);
    CHECK_THROWS_WITH_AS(kept_mass(scores, zeros<float, 1>({2})), doctest::Contains("kept_mass: query 0 keeps 3 of the mass"),
                         NumericError);
}
