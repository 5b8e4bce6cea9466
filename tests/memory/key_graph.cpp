#include "fot/memory/key_graph.hpp"

#include <doctest/doctest.h>

#include "support/search_check.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using namespace fot::testing;

#if defined(FOT_WITH_HNSWLIB)

namespace {

struct Clustered {
    Random random{1};
    Tensor<float, 2> centres = unit_rows<float>(40, 16, random), keys = rows_around(centres, 4000, 0.2, random),
                     queries = rows_around(centres, 200, 0.2, random);
    KeyGraph graph{16};

    Clustered() { graph.add(as_matrix(keys)); }
};

}  // namespace

TEST_CASE("a wider walk finds more of the right keys, and scores more of all") {
    Clustered data;
    const SearchResult<float> right = exact_search(data.keys, data.queries, 10);
    double before = 0;
    Index scored = 0;
    for (const Index breadth : {10, 40, 160, 640}) {
        data.graph.set_breadth(breadth);
        const KeysFound<float> found = data.graph.find(as_matrix(data.queries), 10);
        const double now = recall(found.best, right);
        CHECK(now >= before);
        CHECK(found.scored > scored);
        before = now;
        scored = found.scored;
    }
    CHECK(before > 0.99);
    CHECK(scored < 200 * 4000);
}

TEST_CASE("scores are inner products, best first") {
    Clustered data;
    const KeysFound<float> found = data.graph.find(as_matrix(data.queries), 10);
    for (Index n = 0; n < 200; ++n)
        for (Index j = 0; j < 10; ++j) {
            const float* key = row(data.keys, found.best.indices(n, j));
            CHECK(found.best.scores(n, j) ==
                  doctest::Approx(std::inner_product(key, key + 16, row(data.queries, n), 0.0)).epsilon(1e-4));
            if (j > 0) CHECK(found.best.scores(n, j) <= found.best.scores(n, j - 1));
        }
}

TEST_CASE("the same keys in the same order make the same graph; threads change neither what is found nor the count") {
    const Clustered a, b;
    const auto find = [](const Clustered& data, Index threads) {
        const WithThreads with(threads);
        return data.graph.find(as_matrix(data.queries), 10);
    };
    const KeysFound<float> one = find(a, 1), four = find(b, 4);
    CHECK(one.best.indices.storage() == four.best.indices.storage());
    CHECK(one.scored == four.scored);
}

TEST_CASE("scores are the inner products themselves, however small") {
    KeyGraph graph(2);
    const Tensor<float, 2> keys{{3e-9f, 0}, {2e-9f, 0}, {5e-9f, 0}};
    graph.add(as_matrix(keys));
    const Tensor<float, 2> query{{1, 0}};
    const KeysFound<float> found = graph.find(as_matrix(query), 3);
    CHECK(found.best.indices.storage() == Tensor<Index, 2>{{2, 0, 1}}.storage());
    CHECK(found.best.scores(0, 0) == 5e-9f);
}

TEST_CASE("impossible options are refused") {
    CHECK_THROWS_AS(KeyGraph(8, {.neighbours = 1}), ConfigError);
    CHECK_THROWS_AS(KeyGraph(8, {.build_breadth = 0}), ConfigError);
    CHECK_THROWS_AS(KeyGraph(8, {.breadth = 0}), ConfigError);
}

#else

TEST_CASE("without hnswlib there is no graph of keys, and a program can ask") { CHECK(!has_key_graph); }

#endif
