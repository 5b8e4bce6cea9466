#include "fot/attention/batch_contexts.hpp"

#include <doctest/doctest.h>

#include "fot/data/document_walk.hpp"
#include "support/numbered_documents.hpp"

using namespace fot;
using fot::testing::numbered_documents;

TEST_CASE("of random pieces every previous window is there, so the table is the paper's") {
    const std::vector<TokenDocument> documents = numbered_documents({60, 40, 50, 70});
    Random random(1);
    const WindowShape shape{.entries = 2, .pool = 4, .positives = 2, .length = 5};
    const ContextTable table = contexts_of(sample_contexts<float>(documents, shape, random), 3),
                       all = previous_contexts(2, 2, 3, 4);
    CHECK(table.sources == all.sources);
    CHECK(table.contexts == all.contexts);
    CHECK(table.positives == all.positives);
}

TEST_CASE("at the start of a document nobody sees the windows that it does not have") {
    const std::vector<TokenDocument> documents = numbered_documents({30, 30});
    DocumentWalk walk(documents, {.entries = 2, .positives = 1, .length = 4});
    const ContextTable none = contexts_of(*walk.next<float>(), 1);
    CHECK(none.contexts == std::vector<std::vector<Index>>{{}, {}});
    CHECK(none.positives == std::vector<Index>{0, 0});
    const ContextTable both = contexts_of(*walk.next<float>(), 1);
    CHECK(both.contexts == std::vector<std::vector<Index>>{{0, 1}, {1, 0}});
    CHECK(both.positives == std::vector<Index>{1, 1});
}

TEST_CASE("a batch without previous contexts has no such table") {
    Random random(1);
    const std::vector<TokenDocument> documents = numbered_documents({60, 40});
    const auto local = sample_contexts<float>(documents, {.entries = 2, .positives = 0, .length = 5}, random);
    CHECK_THROWS_WITH_AS(contexts_of(local, 0), "contexts_of: the batch has no previous contexts", ConfigError);
    const auto batch = sample_contexts<float>(documents, {.entries = 2, .positives = 1, .length = 5}, random);
    CHECK_THROWS_AS(contexts_of(batch, 2), ConfigError);
}
