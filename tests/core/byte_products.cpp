#include "fot/core/byte_products.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "fot/core/random.hpp"

using namespace fot;

namespace {

constexpr Index rows = byte_tile_rows, columns = byte_tile_columns;

/// A tile of bytes, its rows with gaps, and where its sums begin.
struct Tile {
    Index depth, leading = depth + 8;
    std::vector<std::uint8_t> x = std::vector<std::uint8_t>(static_cast<std::size_t>(rows * leading));
    std::vector<std::int8_t> y = std::vector<std::int8_t>(static_cast<std::size_t>(depth * columns));
    std::vector<std::int32_t> start = std::vector<std::int32_t>(columns);

    std::int32_t sum(Index i, Index j) const {
        std::int32_t result = element(start, j);
        for (Index d = 0; d < depth; ++d) result += element(x, i * leading + d) * element(y, (d / 4 * columns + j) * 4 + d % 4);
        return result;
    }
};

template <class Bytes>
void check(const Tile& tile) {
    ReachedColumns reached{};
    bool any = false;
    const bool answer = Bytes::reach(tile.depth, tile.x.data(), tile.leading, tile.y.data(), tile.start.data(), reached);
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns; ++j) {
            const bool reaches = tile.sum(i, j) >= 0;
            any = any || reaches;
            if (answer) REQUIRE((element(reached, i) >> j & 1u) == static_cast<std::uint32_t>(reaches));
        }
    REQUIRE(answer == any);
}

}  // namespace

TEST_CASE_TEMPLATE("the columns that a row reaches are those whose sum is not negative", Bytes, PlainByteProducts, ByteProducts) {
    Random random(1);
    for (const Index depth : {8, 16, 64, 208})
        for (Index trial = 0; trial < 50; ++trial) {
            Tile tile{.depth = depth};
            for (auto& byte : tile.x) byte = static_cast<std::uint8_t>(random.below(256));
            for (auto& byte : tile.y) byte = static_cast<std::int8_t>(random.below(2 * Bytes::largest_y + 1) - Bytes::largest_y);
            for (Index j = 0; j < columns; ++j)  // some sum is exactly 0, or a little less
                element(tile.start, j) =
                    -tile.sum(random.below(rows), j) - static_cast<std::int32_t>(trial % 2 == 0 ? 0 : 1 + random.below(20000));
            check<Bytes>(tile);
        }
}

TEST_CASE_TEMPLATE("one sum that is 0 among negative ones is seen wherever it is", Bytes, PlainByteProducts, ByteProducts) {
    Random random(2);
    Tile tile{.depth = 16};
    for (auto& byte : tile.x) byte = static_cast<std::uint8_t>(random.below(256));
    for (auto& byte : tile.y) byte = static_cast<std::int8_t>(random.below(2 * Bytes::largest_y + 1) - Bytes::largest_y);
    const std::vector<std::uint8_t> x = tile.x;
    for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < columns; ++j) {
            tile.x.assign(x.size(), 0);  // all other sums are the start, -1 or less
            std::copy_n(x.begin() + i * tile.leading, tile.depth, tile.x.begin() + i * tile.leading);
            std::fill(tile.start.begin(), tile.start.end(), -(1 << 24));
            element(tile.start, j) = 0;
            element(tile.start, j) = -tile.sum(i, j);
            if (element(tile.start, j) >= 0) continue;
            check<Bytes>(tile);
            --element(tile.start, j);
            check<Bytes>(tile);
        }
}

TEST_CASE_TEMPLATE("the largest bytes and the longest rows do not overflow", Bytes, PlainByteProducts, ByteProducts) {
    Tile tile{.depth = 4096};
    std::fill(tile.x.begin(), tile.x.end(), std::uint8_t{255});
    for (const int y : {Bytes::largest_y, -Bytes::largest_y}) {
        std::fill(tile.y.begin(), tile.y.end(), static_cast<std::int8_t>(y));
        const std::int32_t product = 255 * 4096 * Bytes::largest_y;
        for (const std::int32_t start : {1 << 30, -(1 << 30), -product, -product - 1, product, product - 1}) {
            std::fill(tile.start.begin(), tile.start.end(), start);
            check<Bytes>(tile);
        }
    }
}
