#include "../../examples/support/memory_curves.hpp"

#include <doctest/doctest.h>

using namespace fot;
using namespace fot::examples;

TEST_CASE("a bare reading has no memory, whatever the size") {
    const Reading stream{MemoryScope::multi_document, 4}, bare{MemoryScope::multi_document, 4, true};
    CHECK(stream.with(8) == MemoryCondition{MemoryScope::multi_document, 8, 4});
    CHECK(bare.with(8) == stream.with(0));
    CHECK_FALSE(bare == stream);
}
