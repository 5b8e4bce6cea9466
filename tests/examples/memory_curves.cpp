#include "../../examples/support/memory_curves.hpp"

#include <doctest/doctest.h>

using namespace fot;
using namespace fot::examples;

TEST_CASE("the own share of a memory") {
    // A document of 9 tokens has windows 0 and 1 of 4; with memory 4 the second sees its own 4, the first nothing of its own.
    const std::vector<TokenDocument> documents{{.source = "", .tokens = std::vector<std::int32_t>(9)}};
    const MemoryCurveOptions options{.conditions = {}, .window = 4, .scored_windows = 2};
    CHECK(own_share(documents, options, 4) == 0.5);
    CHECK(own_share(documents, options, 8) == 0.25);
}

TEST_CASE("a bare reading has no memory, whatever the size") {
    const Reading stream{MemoryScope::multi_document, 4}, bare{MemoryScope::multi_document, 4, true};
    CHECK(stream.with(8) == MemoryCondition{MemoryScope::multi_document, 8, 4});
    CHECK(bare.with(8) == stream.with(0));
    CHECK_FALSE(bare == stream);
}
