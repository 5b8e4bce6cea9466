#include "fot/memory/key_search.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/memory/inverted_lists.hpp"
#include "fot/memory/key_graph.hpp"
#include "support/search_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// One of each kind, for keys of width D, set so that it is exact or nearly so.
template <class Real>
std::vector<std::unique_ptr<KeySearch<Real>>> all_searches(const Tensor<Real, 2>& keys) {
    std::vector<std::unique_ptr<KeySearch<Real>>> list;
    list.push_back(std::make_unique<ExactKeySearch<Real>>(extent(keys, 1)));
    list.push_back(std::make_unique<InvertedLists<Real>>(as_matrix(keys), InvertedListsOptions{.lists = 10, .probes = 10}));
#if defined(FOT_WITH_HNSWLIB)
    if constexpr (std::is_same_v<Real, float>)
        list.push_back(std::make_unique<KeyGraph>(extent(keys, 1), KeyGraphOptions{.build_breadth = 200, .breadth = 500}));
#endif
    return list;
}

}  // namespace

TEST_CASE_TEMPLATE("every search that looks far enough finds what exact search finds, whether keys come at once or in parts", Real,
                   float, double) {
    Random random(1);
    const Tensor<Real, 2> keys = unit_rows<Real>(400, 16, random), queries = unit_rows<Real>(37, 16, random);
    const SearchResult<Real> expected = exact_search(keys, queries, 12);
    for (const auto& search : all_searches(keys)) {
        CHECK(search->size() == 0);
        CHECK(extent(search->find(as_matrix(queries), 12).best.indices, 1) == 0);
        search->add(as_matrix(keys).rows_from(0, 150));
        CHECK(search->size() == 150);
        search->add(as_matrix(keys).rows_from(150, 250));
        CHECK(search->size() == 400);
        const KeysFound<Real> found = search->find(as_matrix(queries), 12);
        CHECK(found.best.indices.storage() == expected.indices.storage());
        CHECK(largest_difference(found.best.scores, expected.scores) < 1e-5);
    }
}

TEST_CASE("k of none, of more than there are, no queries and wrong widths") {
    Random random(2);
    const Tensor<float, 2> keys = unit_rows<float>(30, 8, random), queries = unit_rows<float>(3, 8, random),
                           wide = unit_rows<float>(3, 9, random);
    for (const auto& search : all_searches(keys)) {
        search->add(as_matrix(keys));
        CHECK(shape_of(search->find(as_matrix(queries), 0).best.indices) == Shape<2>{3, 0});
        CHECK(shape_of(search->find(as_matrix(queries).rows_from(0, 0), 4).best.indices) == Shape<2>{0, 4});
        const KeysFound<float> all = search->find(as_matrix(queries), 1000);
        CHECK(shape_of(all.best.indices) == Shape<2>{3, 30});
        CHECK_THROWS_AS(search->find(as_matrix(wide), 4), ShapeError);
        CHECK_THROWS_AS(search->add(as_matrix(wide)), ShapeError);
        CHECK_THROWS_AS(search->find(as_matrix(queries), -1), ConfigError);
    }
}

TEST_CASE("the exact search says that it scored every key") {
    Random random(3);
    const Tensor<float, 2> keys = unit_rows<float>(30, 8, random), queries = unit_rows<float>(3, 8, random);
    ExactKeySearch<float> search(8);
    search.add(as_matrix(keys));
    CHECK(search.find(as_matrix(queries), 4).scored == 3 * 30);
}
