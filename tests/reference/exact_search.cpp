#include "fot/reference/exact_search.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"

using namespace fot;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity(), undefined = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("three keys by hand, best first, a tie to the lower index") {
    const Tensor<double, 2> keys{{1, 0}, {0, 2}, {1, 1}}, queries{{1, 0}, {-1, 1}};
    const auto [scores, indices] = reference::exact_search(keys, queries, 2);
    CHECK(indices == Tensor<Index, 2>{{0, 2}, {1, 2}});  // scores of the first query: 1, 0, 1; of the second: -1, 2, 0
    CHECK(scores == Tensor<double, 2>{{1, 1}, {2, 0}});
}

TEST_CASE("a score that is NaN counts as minus infinity, among its equals by index") {
    const Tensor<double, 2> keys{{undefined}, {-infinity}, {-5}, {undefined}, {infinity}}, query{{1}};
    const auto [scores, indices] = reference::exact_search(keys, query, 5);
    CHECK(indices == Tensor<Index, 2>{{4, 2, 0, 1, 3}});
    CHECK(scores == Tensor<double, 2>{{infinity, -5, -infinity, -infinity, -infinity}});
}

TEST_CASE("the largest of numbers with NaN among them are those of minus infinity in its place") {
    const double nan = std::nan("");
    CHECK(reference::largest_first(Tensor<double, 1>{1, nan, 2, nan}, 3) == std::vector<Index>{2, 0, 1});
}

TEST_CASE("no key that is left out scores above one that is found") {
    Random random(1);
    const auto keys = normal_tensor<double, 2>({50, 3}, 1, random), queries = normal_tensor<double, 2>({4, 3}, 1, random);
    const auto [scores, indices] = reference::exact_search(keys, queries, 7);
    for (Index n = 0; n < 4; ++n) {
        Index above = 0;
        for (Index m = 0; m < 50; ++m) {
            double score = 0;
            for (Index d = 0; d < 3; ++d) score += queries(n, d) * keys(m, d);
            above += score > scores(n, 6);
        }
        CHECK(above == 6);
        for (Index rank = 1; rank < 7; ++rank) CHECK(scores(n, rank - 1) > scores(n, rank));
    }
}

TEST_CASE("more keys wanted than there are: all of them; none wanted, none there, no width") {
    Random random(2);
    const auto keys = normal_tensor<float, 2>({3, 2}, 1, random);
    CHECK(shape_of(reference::exact_search(keys, keys, 9).indices) == Shape<2>{3, 3});
    CHECK(shape_of(reference::exact_search(keys, keys, 0).indices) == Shape<2>{3, 0});
    CHECK(shape_of(reference::exact_search(zeros<float, 2>({0, 2}), keys, 4).scores) == Shape<2>{3, 0});
    CHECK(reference::exact_search(zeros<float, 2>({3, 0}), zeros<float, 2>({1, 0}), 2).indices == Tensor<Index, 2>{{0, 1}});
}

TEST_CASE("keys of another width and a negative k are refused") {
    const Tensor<float, 2> keys = zeros<float, 2>({3, 4}), narrow = zeros<float, 2>({3, 2});
    CHECK_THROWS_WITH_AS(reference::exact_search(keys, narrow, 1),
                         "reference::exact_search: keys has shape (3, 4), expected (-1, 2) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(reference::exact_search(keys, keys, -1), "reference::exact_search: k is -1, expected 0 or more",
                         ConfigError);
}
