#include "fot/attention/contexts.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace fot;

namespace {

using Lists = std::vector<std::vector<Index>>;
using Mixture = std::vector<std::pair<Index, Index>>;

/// (positives, negatives) of the rows of the last pack: what a batch that is long enough settles to.
Mixture steady_state(const ContextTable& table, Index packing) {
    Mixture mixture;
    for (Index entry = table.entries() - packing; entry < table.entries(); ++entry) {
        const auto at = static_cast<std::size_t>(entry);
        mixture.emplace_back(table.positives[at], static_cast<Index>(table.contexts[at].size()) - table.positives[at]);
    }
    return mixture;
}

}  // namespace

TEST_CASE("the paper's form: own previous context first, then the next documents, around the batch") {
    const ContextTable table = previous_contexts(4, 1, 2);
    CHECK(table.available == 4);
    CHECK(table.contexts == Lists{{0, 1, 2}, {1, 2, 3}, {2, 3, 0}, {3, 0, 1}});
    CHECK(table.positives == std::vector<Index>{1, 1, 1, 1});
    CHECK(table.most_contexts() == 3);
    CHECK_NOTHROW(require_valid(table, 4));
}

TEST_CASE("several previous contexts: window by window of the own document, then of the next ones") {
    const ContextTable table = previous_contexts(3, 2, 3);
    CHECK(table.available == 6);
    CHECK(table.contexts == Lists{{0, 3, 1, 4, 2}, {1, 4, 2, 5, 0}, {2, 5, 0, 3, 1}});
    CHECK(table.positives == std::vector<Index>{2, 2, 2});
}

TEST_CASE("a pool gives more negatives than there are entries, and negatives can come without positives") {
    CHECK(previous_contexts(2, 1, 3, 5).contexts == Lists{{0, 1, 2, 3}, {1, 2, 3, 4}});
    CHECK(previous_contexts(2, 1, 3, 5).available == 5);
    CHECK(previous_contexts(3, 0, 2).contexts == Lists{{1, 2}, {2, 0}, {0, 1}});
    CHECK(previous_contexts(3, 0, 2).positives == std::vector<Index>{0, 0, 0});
    CHECK(previous_contexts(1, 1, 0).contexts == Lists{{0}});
}

TEST_CASE("all contexts of all documents can be seen, each once") {
    const ContextTable table = previous_contexts(4, 3, 9);
    CHECK_NOTHROW(require_valid(table, 4));
    for (const auto& list : table.contexts) CHECK(std::set<Index>(list.begin(), list.end()).size() == 12);
}

TEST_CASE("no contexts: an empty list for each entry") {
    const ContextTable table = no_contexts(3);
    CHECK(table.contexts == Lists{{}, {}, {}});
    CHECK(table.most_contexts() == 0);
    CHECK_NOTHROW(require_valid(table, 3));
}

TEST_CASE("the released code's stepped packing settles to the mixtures that it is known for") {
    CHECK(steady_state(packed_contexts(16, 3, 4, true), 4) == Mixture{{0, 0}, {1, 1}, {2, 1}, {3, 0}});
    CHECK(steady_state(packed_contexts(16, 7, 4, true), 4) == Mixture{{0, 0}, {1, 2}, {2, 4}, {3, 4}});
}

TEST_CASE("packed entries see the rows before them, never later ones, and the first pack sees fewer") {
    const ContextTable stepped = packed_contexts(8, 7, 4, true);
    CHECK(stepped.available == 8);
    CHECK(stepped.contexts == Lists{{}, {0}, {1, 0}, {2, 1, 0}, {}, {4, 3, 2}, {5, 4, 3, 2, 1, 0}, {6, 5, 4, 3, 2, 1, 0}});
    const ContextTable plain = packed_contexts(4, 2, 2, false);
    CHECK(plain.contexts == Lists{{}, {0}, {1, 0}, {2, 1}});
    CHECK(plain.positives == std::vector<Index>{0, 1, 0, 1});
    CHECK(packed_contexts(3, 1, 1, true).contexts == Lists{{}, {0}, {1}});
    CHECK(packed_contexts(4, 0, 4, true).contexts == Lists{{}, {}, {}, {}});
}

TEST_CASE("tables that make no sense are refused") {
    CHECK_THROWS_WITH_AS(require_valid({-1, {{}}, {0}}, 1), "context table: has -1 contexts available, expected 0 or more",
                         ConfigError);
    CHECK_THROWS_WITH_AS(require_valid({2, {{0}, {1}}, {1, 1}}, 3),
                         "context table: has 2 lists and 2 counts of positives, expected 3 of each, one per batch entry",
                         ConfigError);
    CHECK_THROWS_WITH_AS(require_valid({2, {{0}, {1}}, {1}}, 2),
                         "context table: has 2 lists and 1 counts of positives, expected 2 of each, one per batch entry",
                         ConfigError);
    CHECK_THROWS_WITH_AS(require_valid({2, {{0, 2}}, {1}}, 1), "context table: entry 0 lists context 2, expected 0 ... 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(require_valid({2, {{}, {-1, 0}}, {0, 0}}, 2), "context table: entry 1 lists context -1, expected 0 ... 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(require_valid({2, {{1, 0, 1}}, {1}}, 1), "context table: entry 0 lists a context twice", ConfigError);
    CHECK_THROWS_WITH_AS(require_valid({2, {{1, 0}}, {3}}, 1), "context table: entry 0 has 3 positives among 2 contexts",
                         ConfigError);
    CHECK_THROWS_WITH_AS(require_valid({2, {{1, 0}}, {-1}}, 1), "context table: entry 0 has -1 positives among 2 contexts",
                         ConfigError);
}

TEST_CASE("numbers of contexts that do not exist are refused") {
    CHECK_THROWS_WITH_AS(previous_contexts(0, 1, 1),
                         "previous_contexts: 0 entries with 1 positives and 1 negatives, expected 1 or more of the first and 0 or "
                         "more of the others",
                         ConfigError);
    CHECK_THROWS_WITH_AS(previous_contexts(2, 1, -1),
                         "previous_contexts: 2 entries with 1 positives and -1 negatives, expected 1 or more of the first and 0 or "
                         "more of the others",
                         ConfigError);
    CHECK_THROWS_WITH_AS(previous_contexts(4, 1, 1, 3), "previous_contexts: a pool of 3 documents is smaller than the 4 entries",
                         ConfigError);
    CHECK_THROWS_WITH_AS(previous_contexts(4, 1, 4),
                         "previous_contexts: 4 negatives wanted, 3 other documents with 1 previous contexts each", ConfigError);
    CHECK_THROWS_WITH_AS(packed_contexts(6, 3, 4, true), "packed_contexts: 6 entries are not a multiple of a packing of 4",
                         ConfigError);
    CHECK_THROWS_WITH_AS(packed_contexts(4, 3, 0, true), "packed_contexts: 4 entries are not a multiple of a packing of 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(packed_contexts(4, -1, 4, true),
                         "packed_contexts: 4 entries with range -1, expected 1 or more entries and 0 <= range < 2^32", ConfigError);
    CHECK_THROWS_WITH_AS(packed_contexts(0, 1, 2, true),
                         "packed_contexts: 0 entries with range 1, expected 1 or more entries and 0 <= range < 2^32", ConfigError);
    CHECK_THROWS_WITH_AS(packed_contexts(4, Index(1) << 32, 4, true),
                         "packed_contexts: 4 entries with range 4294967296, expected 1 or more entries and 0 <= range < 2^32",
                         ConfigError);
    const Index half = Index(1) << 62;  // twice this is more than an Index holds
    CHECK_THROWS_WITH_AS(previous_contexts(1, 2, 1, half),
                         "previous_contexts: 4611686018427387904 documents with 2 previous contexts each are too many",
                         ConfigError);
    CHECK_THROWS_WITH_AS(previous_contexts(2, half, 0),
                         "previous_contexts: 2 documents with 4611686018427387904 previous contexts each are too many",
                         ConfigError);
    CHECK_THROWS_WITH_AS(no_contexts(-1), "no_contexts: -1 entries, expected 0 or more", ConfigError);
}
