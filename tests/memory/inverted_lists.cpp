#include "fot/memory/inverted_lists.hpp"

#include <doctest/doctest.h>

#include <set>

#include "support/search_check.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// Keys and queries around the same centres.
struct Clustered {
    Random random{1};
    Tensor<double, 2> centres = unit_rows<double>(40, 16, random), keys = rows_around(centres, 4000, 0.08, random),
                      queries = rows_around(centres, 300, 0.08, random);
    InvertedLists<double> lists{as_matrix(keys), {.lists = 40, .probes = 1}};

    Clustered() { lists.add(as_matrix(keys)); }

    double product(Index key, Index query) const {
        return std::inner_product(row(keys, key), row(keys, key) + 16, row(queries, query), 0.0);
    }
};

}  // namespace

TEST_CASE("a search finds the best keys of the lists whose means are best, and counts what it scored") {
    Clustered data;
    data.lists.set_probes(3);
    const KeysFound<double> found = data.lists.find(as_matrix(data.queries), 20);
    const SearchResult<double> probed = exact_search(data.lists.means(), data.queries, 3);
    Index scored = 300 * 40;
    for (Index n = 0; n < 300; ++n) {
        TopK<double> best(20);
        for (Index i = 0; i < 3; ++i)
            for (const Index key : data.lists.list(probed.indices(n, i))) {
                ++scored;
                best.offer(data.product(key, n), key);
            }
        SearchResult<double> expected = detail::nothing_found<double>(1, 20);
        best.write(0, expected);
        for (Index j = 0; j < 20; ++j) {
            CHECK(found.best.indices(n, j) == expected.indices(0, j));
            CHECK(found.best.scores(n, j) == doctest::Approx(expected.scores(0, j)));
        }
    }
    CHECK(found.scored == scored);
}

TEST_CASE("every key is in one list, that of its nearest mean") {
    const Clustered data;
    const NearestMeans<double> nearest = nearest_means(as_matrix(data.keys), data.lists.means(), true);
    std::set<Index> all;
    for (Index l = 0; l < 40; ++l)
        for (const Index key : data.lists.list(l)) {
            CHECK(element(nearest.mean, key) == l);
            CHECK(all.insert(key).second);
        }
    CHECK(length_of(all) == 4000);
}

TEST_CASE("recall grows with the lists that are looked into, to 1 with all of them") {
    Clustered data;
    const SearchResult<double> right = exact_search(data.keys, data.queries, 20);
    double before = 0;
    for (const Index probes : {1, 2, 4, 8, 40}) {
        data.lists.set_probes(probes);
        const double now = recall(data.lists.find(as_matrix(data.queries), 20).best, right);
        CHECK(now >= before);
        before = now;
    }
    CHECK(before == 1);
}

TEST_CASE("where keys and queries lie around the same centres few keys are scored") {
    Clustered data;
    data.lists.set_probes(4);
    const KeysFound<double> found = data.lists.find(as_matrix(data.queries), 20);
    CHECK(recall(found.best, exact_search(data.keys, data.queries, 20)) > 0.95);
    CHECK(found.scored < 300 * 4000 / 5);
}

TEST_CASE("where fewer than k keys are found the rest of the row is empty") {
    // Two far groups: a query of one looks into a list of three keys.
    const Tensor<double, 2> keys{{1, 0}, {1, 0.1}, {1, -0.1}, {-1, 0}, {-1, 0.1}};
    InvertedLists<double> lists(as_matrix(keys), {.lists = 2, .probes = 1, .means = {.spherical = false}});
    lists.add(as_matrix(keys));
    const Tensor<double, 2> query{{1, 0}};
    const KeysFound<double> found = lists.find(as_matrix(query), 5);
    CHECK(found.best.indices == Tensor<Index, 2>{{0, 1, 2, -1, -1}});
    CHECK(found.best.scores(0, 3) == -INFINITY);
    CHECK(found.scored == 2 + 3);
}

TEST_CASE("keys of different lengths lie in Euclidean lists, and are found by inner product") {
    Random random(2);
    Tensor<float, 2> keys = normal_tensor<float, 2>({500, 8}, 1, random);
    for (Index d = 0; d < 8; ++d) keys(13, d) *= 10;
    InvertedLists<float> lists(as_matrix(keys), {.lists = 12, .probes = 12, .means = {.spherical = false}});
    lists.add(as_matrix(keys));
    const Tensor<float, 2> queries = normal_tensor<float, 2>({30, 8}, 1, random);
    CHECK(lists.find(as_matrix(queries), 9).best.indices.storage() == exact_search(keys, queries, 9).indices.storage());
}

TEST_CASE("what is found does not depend on the number of threads, or on which queries are searched together") {
    Clustered data;
    data.lists.set_probes(3);
    const auto search = [&](Index threads) {
        const WithThreads with(threads);
        return data.lists.find(as_matrix(data.queries), 15);
    };
    const KeysFound<double> one = search(1), four = search(4);
    CHECK(one.best.indices.storage() == four.best.indices.storage());
    CHECK(one.best.scores.storage() == four.best.scores.storage());
    CHECK(one.scored == four.scored);
    Index scored = 0;
    for (Index n = 0; n < 300; ++n) {
        const KeysFound<double> alone = data.lists.find(as_matrix(data.queries).rows_from(n, 1), 15);
        for (Index j = 0; j < 15; ++j) CHECK(alone.best.indices(0, j) == one.best.indices(n, j));
        scored += alone.scored;
    }
    CHECK(scored == one.scored);
}

TEST_CASE("probes below one and more lists than keys are refused; more probes than lists are all of them") {
    Clustered data;
    CHECK_THROWS_AS(data.lists.set_probes(0), ConfigError);
    data.lists.set_probes(1000);
    CHECK(data.lists.probes() == 40);
    CHECK_THROWS_AS(InvertedLists<double>(as_matrix(data.keys).rows_from(0, 9), {.lists = 10}), ConfigError);
}

TEST_CASE("equal scores are found by ascending index, from whichever lists they come") {
    Random random(7);
    const Tensor<float, 2> keys = whole_numbers(500, 3, random, 1), queries = whole_numbers(20, 3, random, 1);
    InvertedLists<float> lists(as_matrix(keys), {.lists = 10, .probes = 10, .means = {.spherical = false}});
    lists.add(as_matrix(keys));
    for (const Index k : {1, 5, 40})
        CHECK(lists.find(as_matrix(queries), k).best.indices == exact_search(keys, queries, k).indices);
}
