// Search and memory beside sorting all scores of a query.
#include "fot/memory/exact_search.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/nn/slices.hpp"
#include "fot/reference/exact_search.hpp"
#include "support/agreement.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// The score and the number of each key, best first.
using Sorted = std::vector<std::pair<double, Index>>;

/// Of the keys number first ... last-1, of which `key(i)` is the i-th.
template <class Key>
Sorted sorted_scores(const double* query, Index width, Index first, Index last, Key&& key) {
    Tensor<double, 2> keys = empty<double, 2>({last - first, width}), queries = empty<double, 2>({1, width});
    for (Index i = first; i < last; ++i) std::copy_n(key(i), width, row(keys, i - first));
    std::copy_n(query, width, queries.data());
    const auto [scores, indices] = reference::exact_search(keys, queries, last - first);
    Sorted all;
    for (Index rank = 0; rank < last - first; ++rank) all.emplace_back(scores(0, rank), first + indices(0, rank));
    return all;
}

}  // namespace

TEST_CASE("exact search agrees with sorting all scores") {
    each_case([](Random& random) {
        const Index count = random.below(700), width = up_to(40, random), k = random.below(60);
        const auto keys = normal_tensor<double, 2>({count, width}, 1, random),
                   queries = normal_tensor<double, 2>({up_to(40, random), width}, 1, random);
        const SearchResult<double> found = exact_search(keys, queries, k);
        REQUIRE(extent(found.scores, 1) == std::min(k, count));
        double worst = 0;
        for (Index n = 0; n < extent(queries, 0); ++n) {
            const Sorted all = sorted_scores(row(queries, n), width, 0, count, [&](Index i) { return row(keys, i); });
            for (Index j = 0; j < extent(found.scores, 1); ++j) {
                worst = worse(worst, std::abs(found.scores(n, j) - all[static_cast<std::size_t>(j)].first));
                CHECK(found.indices(n, j) == all[static_cast<std::size_t>(j)].second);
            }
        }
        return worst;
    });
}

TEST_CASE("a search over a stream of blocks agrees with sorting what it has seen") {
    each_case([](Random& random) {
        const Index count = random.below(700), width = up_to(20, random), k = random.below(30), queries = up_to(40, random);
        const auto keys = normal_tensor<double, 2>({count, width}, 1, random),
                   query = normal_tensor<double, 2>({queries, width}, 1, random);
        StreamingSearch<double> search(as_matrix(query), k);
        std::vector<Index> seen;
        for (Index first = 0; first < count;) {
            const Index last = std::min(count, first + up_to(300, random));
            if (random.below(4) > 0) {
                search.add(as_matrix(keys).rows_from(first, last - first), first);
                for (Index i = first; i < last; ++i) seen.push_back(i);
            }
            first = last;
        }
        const SearchResult<double> found = search.result();
        REQUIRE(shape_of(found.scores) == Shape<2>{queries, std::min(k, length_of(seen))});
        double worst = 0;
        for (Index n = 0; n < queries; ++n) {
            const Sorted all =
                sorted_scores(row(query, n), width, 0, length_of(seen), [&](Index i) { return row(keys, element(seen, i)); });
            for (Index j = 0; j < extent(found.scores, 1); ++j) {
                CHECK(found.indices(n, j) == element(seen, element(all, j).second));
                worst = worse(worst, std::abs(found.scores(n, j) - element(all, j).first));
            }
        }
        return worst;
    });
}

TEST_CASE("a memory that is filled in portions, with a capacity or without, agrees with sorting what is left in it") {
    each_case([](Random& random, bool large) {
        const Index heads = up_to(2, random), group = up_to(2, random), width = up_to(4, random), tokens = up_to(3, random),
                    k = random.below(8), most = large ? 1500 : 60, capacity = random.below(3) == 0 ? 0 : up_to(most, random);
        KeyValueMemory<double> memory(heads, width, Storage::full, capacity);
        const Index count = random.below(2 * most);
        const auto keys = normal_tensor<double, 3>({count, heads, width}, 1, random),
                   values = normal_tensor<double, 3>({count, heads, width}, 1, random);
        std::vector<Index> documents;
        for (Index first = 0; first < count;) {
            const Index portion = std::min(count - first, up_to(most, random)), document = random.below(5);
            memory.append(slice<0>(keys, first, portion), slice<0>(values, first, portion), document);
            documents.insert(documents.end(), static_cast<std::size_t>(portion), document);
            first += portion;
        }
        const Index kept = capacity == 0 ? count : std::min(capacity, count), oldest = count - kept;
        REQUIRE(memory.size() == kept);
        const auto queries = normal_tensor<double, 3>({tokens, heads * group, width}, 1, random);
        const RetrievedEntries<double> found = memory.retrieve(queries, k);
        REQUIRE(shape_of(found.found.indices) == Shape<3>{tokens, heads * group, std::min(k, kept)});
        double worst = 0;
        for (Index t = 0; t < tokens; ++t)
            for (Index h = 0; h < heads * group; ++h) {
                const Index g = h / group;
                const Sorted all =
                    sorted_scores(row(queries, t, h), width, oldest, count, [&](Index i) { return row(keys, i, g); });
                for (Index j = 0; j < std::min(k, kept); ++j) {
                    const auto [score, entry] = all[static_cast<std::size_t>(j)];
                    worst = worse(worst, std::abs(found.found.scores(t, h, j) - score));
                    CHECK(found.found.indices(t, h, j) == entry - oldest);
                    CHECK(found.documents(t, h, j) == documents[static_cast<std::size_t>(entry)]);
                    CHECK(std::equal(row(keys, entry, g), row(keys, entry, g) + width, row(found.keys, t, h, j)));
                    CHECK(std::equal(row(values, entry, g), row(values, entry, g) + width, row(found.values, t, h, j)));
                }
            }
        return worst;
    });
}
