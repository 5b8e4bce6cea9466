#include "fot/memory/k_means.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <set>

#include "support/search_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// The sum over keys of how badly their means serve them: half the squared distance.
double cost(const Tensor<double, 2>& keys, const Tensor<double, 2>& means) {
    double sum = 0;
    for (const double closeness : nearest_means(as_matrix(keys), means, false).closeness) sum -= closeness;
    return sum;
}

}  // namespace

TEST_CASE("three groups on a line: the best of some beginnings ends at their averages") {
    const Tensor<double, 2> keys{{0, 0}, {0, 2}, {10, 0}, {10, 4}, {20, 1}};
    Tensor<double, 2> best = k_means(keys, 3, {.spherical = false});
    for (std::uint64_t seed = 2; seed <= 10; ++seed) {  // one beginning may end where no single key's move helps
        const Tensor<double, 2> means = k_means(keys, 3, {.iterations = 20, .spherical = false, .seed = seed});
        if (cost(keys, means) < cost(keys, best)) best = means;
    }
    std::set<std::pair<double, double>> found;
    for (Index j = 0; j < 3; ++j) found.emplace(best(j, 0), best(j, 1));
    const std::set<std::pair<double, double>> averages{{0, 1}, {10, 2}, {20, 1}};
    CHECK((found == averages));
}

TEST_CASE("the nearest mean is the one at the smallest distance, or of the largest product") {
    Random random(1);
    const Tensor<double, 2> keys = normal_tensor<double, 2>({200, 5}, 1, random),
                            means = normal_tensor<double, 2>({9, 5}, 1, random);
    const NearestMeans<double> euclidean = nearest_means(as_matrix(keys), means, false),
                               spherical = nearest_means(as_matrix(keys), means, true);
    for (Index i = 0; i < 200; ++i) {
        Index nearest = 0, most = 0;
        std::vector<double> distance, product;
        for (Index j = 0; j < 9; ++j) {
            double square = 0, inner = 0;
            for (Index d = 0; d < 5; ++d) {
                square += (keys(i, d) - means(j, d)) * (keys(i, d) - means(j, d));
                inner += keys(i, d) * means(j, d);
            }
            distance.push_back(square);
            product.push_back(inner);
            if (square < element(distance, nearest)) nearest = j;
            if (inner > element(product, most)) most = j;
        }
        CHECK(element(euclidean.mean, i) == nearest);
        CHECK(element(euclidean.closeness, i) == doctest::Approx(-element(distance, nearest) / 2));
        CHECK(element(spherical.mean, i) == most);
        CHECK(element(spherical.closeness, i) == doctest::Approx(element(product, most)));
    }
}

TEST_CASE("more iterations never serve the keys worse, and serve them better at first") {
    Random random(2);
    const Tensor<double, 2> keys = normal_tensor<double, 2>({600, 3}, 1, random);
    double before = INFINITY, first = 0;
    for (const Index iterations : {0, 1, 2, 5, 20}) {
        const Tensor<double, 2> means = k_means(keys, 12, {.iterations = iterations, .keys_per_mean = 0, .spherical = false});
        const double now = cost(keys, means);
        CHECK(now <= before * (1 + 1e-12));
        if (iterations == 0) first = now;
        before = now;
    }
    CHECK(before < 0.8 * first);
}

TEST_CASE("means of keys of length one have length one") {
    Random random(3);
    const Tensor<float, 2> keys = unit_rows<float>(500, 8, random), means = k_means(keys, 20);
    for (Index j = 0; j < 20; ++j) CHECK(inner_product(row(means, j), row(means, j), 8) == doctest::Approx(1));
}

TEST_CASE("a mean that no key chooses takes the place of the key that is worst served") {
    // Nine equal keys and one far away: whichever two keys the means begin with, one mean ends at each place.
    Tensor<double, 2> keys = zeros<double, 2>({10, 2});
    keys(7, 0) = 5;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const Tensor<double, 2> means = k_means(keys, 2, {.iterations = 3, .keys_per_mean = 0, .spherical = false, .seed = seed});
        CHECK(std::min(means(0, 0), means(1, 0)) == 0);
        CHECK(std::max(means(0, 0), means(1, 0)) == 5);
    }
}

TEST_CASE("as many means as keys are the keys; equal keys are no trouble") {
    Random random(4);
    const Tensor<double, 2> keys = normal_tensor<double, 2>({17, 4}, 1, random);
    CHECK(cost(keys, k_means(keys, 17, {.spherical = false})) == doctest::Approx(0));
    const Tensor<double, 2> equal = full<double, 2>({30, 4}, 0.5);
    const Tensor<double, 2> means = k_means(equal, 5, {.spherical = false});
    for (const double x : means.storage()) CHECK(x == 0.5);
}

TEST_CASE("a sample is learned from: other seeds give other means, the same seed the same") {
    Random random(5);
    const Tensor<float, 2> keys = unit_rows<float>(2000, 8, random);
    const auto with = [&](std::uint64_t seed) { return k_means(keys, 10, {.keys_per_mean = 20, .seed = seed}); };
    CHECK(with(1).storage() == with(1).storage());
    CHECK(with(1).storage() != with(2).storage());
}

TEST_CASE("more keys per mean than there are keys are all of them") {
    Random random(6);
    const Tensor<float, 2> keys = unit_rows<float>(100, 8, random);
    const Tensor<float, 2> of_all = k_means(keys, 10, {.keys_per_mean = 0});
    CHECK(k_means(keys, 10, {.keys_per_mean = std::numeric_limits<Index>::max()}).storage() == of_all.storage());
    CHECK(k_means(keys, 10, {.keys_per_mean = 10}).storage() == of_all.storage());
}

TEST_CASE("impossible numbers of means are refused") {
    const Tensor<double, 2> keys = zeros<double, 2>({4, 2});
    CHECK_THROWS_AS(k_means(keys, 0), ConfigError);
    CHECK_THROWS_AS(k_means(keys, 5), ConfigError);
    CHECK_THROWS_AS(k_means(keys, 2, {.iterations = -1}), ConfigError);
}
