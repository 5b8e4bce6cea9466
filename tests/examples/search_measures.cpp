#include "../../examples/support/search_measures.hpp"

#include <doctest/doctest.h>

#include "support/search_check.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// A point of a ladder whose documents have these recalls, a query each.
RecallPoint point(Index setting, double share, const std::vector<double>& recalls) {
    RecallPoint result{setting};
    for (Index document = 0; document < length_of(recalls); ++document) result.recall[document] = {element(recalls, document)};
    result.scored_share = share;
    return result;
}

}  // namespace

TEST_CASE("a score as good as the last of the k best counts, whichever key has it") {
    const std::vector<float> best{5, 3, 3}, equal{5, 3, 3}, worse{5, 3, 2}, nothing{5, -INFINITY, -INFINITY};
    CHECK(share_as_good(equal.data(), best.data(), 3) == 1);
    CHECK(share_as_good(worse.data(), best.data(), 3) == doctest::Approx(2.0 / 3));
    CHECK(share_as_good(nothing.data(), best.data(), 3) == doctest::Approx(1.0 / 3));
}

TEST_CASE("the share at a recall lies between the settings around it, on a logarithmic scale") {
    const std::vector<RecallPoint> points{point(1, 0.01, {0.5, 0.7}), point(2, 0.04, {0.9, 1.0}), point(4, 0.16, {1.0, 1.0})};
    CHECK(scored_share_at(points, 0.6).value == doctest::Approx(0.01));
    CHECK(scored_share_at(points, 0.95).value == doctest::Approx(0.04));
    CHECK(scored_share_at(points, 0.775).value == doctest::Approx(0.02));
    CHECK(setting_at(points, 0.95) == 2);
    CHECK(within(points, 0.1).setting == 2);
    CHECK(within(points, 0.001).setting == 1);
}

TEST_CASE("a recall that no setting reaches takes an exact search; then the last setting is used") {
    const std::vector<RecallPoint> points{point(1, 0.01, {0.5, 0.7}), point(2, 0.04, {0.9, 0.9})};
    CHECK(scored_share_at(points, 0.95).value == 1);
    CHECK(setting_at(points, 0.95) == 2);
}

TEST_CASE("a ladder goes up to a little more than the wanted recall, and counts what all heads score") {
    Random random(1);
    const Tensor<float, 2> centres = testing::unit_rows<float>(30, 8, random),
                           keys = testing::rows_around(centres, 3000, 0.1, random);
    const QuerySet queries = keys_as_queries(keys, 50, 2);
    CHECK(queries.documents.front() == 0);
    CHECK(queries.documents.back() == 9);
    InvertedLists<float> lists(as_matrix(keys), {.lists = 30});
    lists.add(as_matrix(keys));
    ExactKeySearch<float> exact(8);
    exact.add(as_matrix(keys));
    const SearchResult<float> right = exact_search(keys, queries.rows, 10);
    const auto set = [](KeySearch<float>& search, Index probes) {
        if (auto* inverted = dynamic_cast<InvertedLists<float>*>(&search)) inverted->set_probes(probes);
    };
    const std::vector<RecallPoint> of_lists = recall_ladder({{lists, queries, right}}, set, {1, 2, 4, 8, 16, 30}, 0.95);
    CHECK(of_lists.back().mean_recall() >= 0.975);
    CHECK(of_lists.back().setting < 30);
    const std::vector<RecallPoint> both = recall_ladder({{lists, queries, right}, {exact, queries, right}}, set, {1, 2}, 0.95);
    CHECK(both[0].mean_recall() == doctest::Approx((of_lists[0].mean_recall() + 1) / 2));
    CHECK(both[0].scored_share == doctest::Approx((of_lists[0].scored_share + 1) / 2));
}

TEST_CASE("the distance to keys is that of the nearest one, whatever the lengths") {
    const Tensor<float, 2> keys{{3, 0}, {0, 5}}, queries{{2, 0}, {1, 1}, {0, 0.5}};
    CHECK(distance_to_keys(keys, queries, 0) == doctest::Approx(0));  // of 0, 0.29 and 0
    CHECK(distance_to_keys(keys, queries, 1) == doctest::Approx(1));  // of 1, 0.29 and 1
}

TEST_CASE("hubness is the skewness of how often keys are found") {
    SearchResult<float> found;
    found.indices = Tensor<Index, 2>{{0, 1}, {0, 2}, {0, 3}};
    // Counts 3, 1, 1, 1: mean 1.5, variance 0.75, third moment 0.75.
    CHECK(hubness(found, 4) == doctest::Approx(0.75 / std::pow(0.75, 1.5)));
    found.indices = Tensor<Index, 2>{{0, 1}, {2, 3}};
    CHECK(hubness(found, 4) == 0);
}
