#include "fot/memory/byte_filter.hpp"

#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "fot/core/random.hpp"
#include "fot/nn/slices.hpp"
#include "support/search_check.hpp"

using namespace fot;
using testing::same, testing::whole_numbers;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(), undefined = std::numeric_limits<float>::quiet_NaN();
constexpr Index width_of_panel = panel_width<float>;

/// In place of trials: the filter is always used.
struct Always {
    bool due(Index) { return true; }
    void took(bool, double) {}
};

std::vector<PackedFactor<float>> packed(const Tensor<float, 2>& queries) {
    std::vector<PackedFactor<float>> panels;
    for (Index n = 0; n < extent(queries, 0); n += width_of_panel)
        pack_transposed(row(queries, n), std::min(width_of_panel, extent(queries, 0) - n), extent(queries, 1), extent(queries, 1),
                        panels.emplace_back());
    return panels;
}

/// Keys for the bars of one panel; bit j of element i: key i is a candidate for query j.
template <class Bytes>
std::vector<std::uint32_t> candidates_of(ByteFilter<Bytes>& filter, const std::array<float, width_of_panel>& bars, Index keys) {
    std::vector<std::uint32_t> found(static_cast<std::size_t>(keys));
    for (const Candidate& candidate : filter.candidates(0, bars.data())) element(found, candidate.key) = candidate.queries;
    return found;
}

/// Puts each score in turn where the bar is: every key must stay a candidate for every query. Scores are those of the search.
/// Returns the share of pairs that also stay one if the bar lies above the score by the given part of |q| |k|.
template <class Bytes>
double check_bound(const Tensor<float, 2>& keys, const Tensor<float, 2>& queries, double above) {
    const Index count = extent(keys, 0), width = extent(keys, 1);
    const std::vector<PackedFactor<float>> panels = packed(queries);
    ByteFilter<Bytes> filter;
    REQUIRE(filter.read(as_matrix(keys), panels, FetchAhead()));
    Tensor<float, 2> scores = empty<float, 2>({count, width_of_panel});
    tile_product<false>(count, LeftFactor<float>{keys.data(), width, 1}, panels[0], scores.data(), width_of_panel);
    const auto length = [&](const float* x) { return std::sqrt(inner_product(x, x, width)); };
    Index kept = 0;
    std::array<float, width_of_panel> bars, higher;
    for (Index i = 0; i < count; ++i) {
        for (Index j = 0; j < width_of_panel; ++j) {
            element(bars, j) = j < extent(queries, 0) ? scores(i, j) : infinity;
            element(higher, j) = j < extent(queries, 0)
                                     ? scores(i, j) + static_cast<float>(above) * length(row(keys, i)) * length(row(queries, j))
                                     : infinity;
        }
        const std::uint32_t all = static_cast<std::uint32_t>((std::uint64_t{1} << extent(queries, 0)) - 1);
        REQUIRE(element(candidates_of(filter, bars, count), i) == all);
        kept += std::popcount(element(candidates_of(filter, higher, count), i));
    }
    return static_cast<double>(kept) / static_cast<double>(count * extent(queries, 0));
}

template <class Draw>
Tensor<float, 2> drawn(Index rows, Index columns, Draw&& draw) {
    Tensor<float, 2> x = empty<float, 2>({rows, columns});
    for (float& number : x.storage()) number = static_cast<float>(draw());
    return x;
}

/// While it lives, results below 2^-126 are 0, and so are such arguments: what programs linked with -ffast-math may ask of x86.
struct FlushedToZero {
#if defined(__SSE__)
    explicit FlushedToZero(bool flushed) { _mm_setcsr(flushed ? before | 0x8040 : before); }
    ~FlushedToZero() { _mm_setcsr(before); }
    unsigned before = _mm_getcsr();
#else
    explicit FlushedToZero(bool) {}
#endif
};

template <class Search>
SearchResult<float> searched(const Tensor<float, 2>& keys, const Tensor<float, 2>& queries, Index k, Index block) {
    Search search(queries, k);
    for (Index first = 0; first < extent(keys, 0); first += block)
        search.add(as_matrix(keys).rows_from(first, std::min(block, extent(keys, 0) - first)), first);
    return search.result();
}

/// Keys or queries of a kind that is drawn, and now and then a number that is no ordinary one.
Tensor<float, 2> some_rows(Index rows, Index columns, Random& random) {
    const Index kind = random.below(6);
    if (kind == 0) return whole_numbers(rows, columns, random, 1);
    if (kind == 1) return testing::rows_around(testing::unit_rows<float>(3, columns, random), rows, 0.01, random);
    const double spread = kind == 2 ? 3 : 0;
    Tensor<float, 2> x = drawn(rows, columns, [&] { return random.normal() * std::exp(spread * random.normal()); });
    if (kind > 3) return x;
    constexpr std::array special{undefined, infinity, -infinity, 1e38f, 1e-42f, 0.0f};
    for (Index i = 0; i < 3; ++i) x(random.below(rows), random.below(columns)) = element(special, random.below(6));
    const Index zero = random.below(rows);
    std::fill_n(row(x, zero), columns, 0.0f);
    return x;
}

}  // namespace

TEST_CASE_TEMPLATE("a key whose score is the bar is a candidate; one that lies clearly below is none", Bytes, PlainByteProducts,
                   ByteProducts) {
    Random random(1);
    for (const Index width : {32, 33, 40, 47, 64, 100, 104, 200})
        for (const double size : {1.0, 1e-12, 1e12}) {
            const auto normal = [&](double deviation) { return [&, deviation] { return deviation * random.normal(); }; };
            const Tensor<float, 2> keys = drawn(60, width, normal(size)), queries = drawn(31, width, normal(1 / size));
            const double clearly = Bytes::largest_y == 127 ? 0.05 : 0.125;  // queries rounded to 127 or to 32 whole numbers
            CHECK(check_bound<Bytes>(keys, queries, clearly) == 0);
            CHECK(check_bound<Bytes>(testing::unit_rows<float>(60, width, random), queries, clearly) == 0);
        }
}

TEST_CASE_TEMPLATE("the bound holds where rounding errors and the other factor point the same way", Bytes, PlainByteProducts,
                   ByteProducts) {
    Random random(2);
    const auto ones = [] { return 1; };
    for (const double half : {0.49, -0.49}) {
        const auto halves = [&](Index rows, Index largest) {  // the scale is 1, and all but the largest is rounded by 0.49
            Tensor<float, 2> x =
                drawn(rows, 64, [&] { return static_cast<double>(random.below(2 * largest - 1) - largest + 1) + half; });
            for (Index i = 0; i < rows; ++i) x(i, 0) = static_cast<float>(largest);
            return x;
        };
        Tensor<float, 2> keys = halves(60, 127);
        const Tensor<float, 2> queries = halves(32, Bytes::largest_y);
        check_bound<Bytes>(keys, drawn(32, 64, ones), 0);
        Tensor<float, 2> one_long = drawn(60, 64, [] { return 0.01; });
        std::fill_n(row(one_long, 0), 64, 1.0f);
        check_bound<Bytes>(one_long, queries, 0);
        check_bound<Bytes>(keys, queries, 0);
        for (Index i = 0; i < 60; ++i) keys(i, 0) = i == 0 ? 12700.0f : 0.0f;  // one long key, beside which the others are rough
        check_bound<Bytes>(keys, queries, 0);
    }
}

TEST_CASE_TEMPLATE("the bound holds where nothing is rounded but the float sums themselves", Bytes, PlainByteProducts,
                   ByteProducts) {
    Random random(3);
    for (const Index width : {64, 1000, 4096})
        for (const Index sign : {1, -1}) {
            const auto odd = [&](Index largest) { return largest - 2 * random.below(largest / 6); };
            Tensor<float, 2> keys = drawn(48, width, [&] { return sign * odd(127); }),
                             queries = drawn(32, width, [&] { return odd(Bytes::largest_y); });
            for (Index i = 0; i < 48; ++i) keys(i, 0) = 127;
            for (Index n = 0; n < 32; ++n) queries(n, 0) = Bytes::largest_y;
            check_bound<Bytes>(keys, queries, 0);
        }
}

TEST_CASE_TEMPLATE("the bound holds at both ends of its range, also where small numbers are flushed to 0", Bytes, PlainByteProducts,
                   ByteProducts) {
    for (const bool flushed : {false, true}) {
        const FlushedToZero flush(flushed);
        Random random(9);
        for (const float end : {0x1.01p-40f, 0x0.ffp50f})
            for (const double part : {0.49, 1.0 / 80}) {  // of a whole number: squares of 1/80 would vanish at 2^-50
                const auto of_length = [&](Index rows, Index largest) {
                    Tensor<float, 2> x =
                        drawn(rows, 64, [&] { return static_cast<double>(random.below(2 * largest - 1) - largest + 1) + part; });
                    for (Index i = 0; i < rows; ++i) {
                        x(i, 0) = static_cast<float>(largest);
                        const float factor = end / std::sqrt(inner_product(row(x, i), row(x, i), 64));
                        for (Index d = 0; d < 64; ++d) x(i, d) *= factor;
                    }
                    return x;
                };
                Tensor<float, 2> keys = of_length(60, 127);
                const Tensor<float, 2> queries = of_length(32, Bytes::largest_y);
                check_bound<Bytes>(keys, queries, 0);
                for (float& number : keys.storage()) number *= end < 1 ? 0.99f : 1.01f;
                CHECK(!ByteFilter<Bytes>().read(as_matrix(keys), packed(queries), FetchAhead()));
            }
    }
}

TEST_CASE_TEMPLATE("a block with numbers that are not finite, too large or all too small is not filtered", Bytes, PlainByteProducts,
                   ByteProducts) {
    Random random(4);
    const Tensor<float, 2> ordinary = normal_tensor<float, 2>({60, 40}, 1, random);
    const std::vector<PackedFactor<float>> queries = packed(ordinary);
    const auto is_read = [&](const Tensor<float, 2>& keys) {
        return ByteFilter<Bytes>().read(as_matrix(keys), queries, FetchAhead());
    };
    CHECK(is_read(ordinary));
    for (const float number : {undefined, infinity, -infinity, 1e16f, -1e38f})
        for (const Index column : {0, 20, 39}) {
            Tensor<float, 2> keys = ordinary;
            keys(column + 1, column) = number;
            CHECK(!is_read(keys));
        }
    for (const float number : {0.0f, 1e-42f, 1e-17f}) CHECK(!is_read(full<float, 2>({60, 40}, number)));
    Tensor<float, 2> keys = ordinary;
    std::fill_n(row(keys, 7), 40, 0.0f);
    std::fill_n(row(keys, 8), 40, 1e-42f);
    check_bound<Bytes>(keys, whole_numbers(32, 40, random), 0);     // such keys among others do no harm
    CHECK(!is_read(normal_tensor<float, 2>({47, 40}, 1, random)));  // too few to pay
    for (const Index width : {31, 4097}) {
        const Tensor<float, 2> other = normal_tensor<float, 2>({60, width}, 1, random);
        CHECK(!ByteFilter<Bytes>().read(as_matrix(other), packed(other), FetchAhead()));
    }
}

TEST_CASE_TEMPLATE("all keys are candidates for a query that is not finite, too large or too small, and only for that", Bytes,
                   PlainByteProducts, ByteProducts) {
    Random random(5);
    const Tensor<float, 2> keys = normal_tensor<float, 2>({100, 40}, 1, random);
    Tensor<float, 2> queries = normal_tensor<float, 2>({30, 40}, 1, random);
    const std::array numbers{undefined, infinity, -infinity, 1e16f, -1e38f};
    for (Index n = 0; n < 5; ++n) queries(n, 7 * n) = element(numbers, n);
    std::fill_n(row(queries, 5), 40, undefined);
    std::fill_n(row(queries, 6), 40, 1e-42f);
    std::fill_n(row(queries, 7), 40, 1e-17f);
    std::fill_n(row(queries, 8), 40, 0.0f);  // its scores are 0, which are not above 0
    ByteFilter<Bytes> filter;
    REQUIRE(filter.read(as_matrix(keys), packed(queries), FetchAhead()));
    std::array<float, width_of_panel> bars;
    bars.fill(infinity);
    for (const float bar : {1e6f, 1e30f, infinity}) {
        std::fill_n(bars.begin(), 30, bar);
        for (const std::uint32_t found : candidates_of(filter, bars, 100)) REQUIRE(found == 0xffu);
    }
    std::fill_n(bars.begin(), 30, -infinity);
    for (const std::uint32_t found : candidates_of(filter, bars, 100)) REQUIRE(found == 0x3fffffffu);  // without the filling
    std::fill_n(bars.begin(), 30, -1e30f);
    for (const std::uint32_t found : candidates_of(filter, bars, 100)) REQUIRE(found == 0x3fffffffu);
}

TEST_CASE_TEMPLATE("a search with a filter finds bitwise what one without it finds: random shapes and data", Bytes,
                   PlainByteProducts, ByteProducts) {
    Random random(7);
    for (Index trial = 0; trial < 2000; ++trial) {
        const Index width = 20 + random.below(180), keys = 1 + random.below(500), queries = 1 + random.below(70),
                    k = random.below(4) == 0 ? random.below(600) : random.below(12), block = 30 + random.below(150);
        const Tensor<float, 2> key = some_rows(keys, width, random), query = some_rows(queries, width, random);
        CAPTURE(trial);
        REQUIRE(same(searched<StreamingSearch<float, ByteFilter<Bytes>, Always>>(key, query, k, block),
                     searched<StreamingSearch<float, NoFilter>>(key, query, k, block)));
    }
}

TEST_CASE("long searches, in which a filter is used where it is found faster, find bitwise what they find in float") {
    Random random(8);
    for (const double deviation : {0.001, 0.02, 0.3}) {
        const Tensor<float, 2> centres = testing::unit_rows<float>(20, 64, random),
                               keys = testing::rows_around(centres, 40000, deviation, random),
                               queries = testing::rows_around(centres, 40, deviation, random);
        for (const Index k : {1, 100}) {
            const SearchResult<float> in_float = searched<StreamingSearch<float, NoFilter>>(keys, queries, k, 40000);
            CHECK(same(searched<StreamingSearch<float, ByteFilter<>>>(keys, queries, k, 40000), in_float));
            CHECK(same(searched<StreamingSearch<float, ByteFilter<>, Always>>(keys, queries, k, 40000), in_float));
        }
    }
}

namespace {

/// Trials that are due for every other block, and what they are told.
struct EveryOther {
    bool due(Index keys) {
        asked.push_back(keys);
        return asked.size() % 2 == 0;
    }
    void took(bool filtered, double seconds) {
        CHECK(seconds >= 0);
        told.push_back(filtered);
    }
    static inline std::vector<Index> asked;
    static inline std::vector<bool> told;
};

/// A filter that says how often it is asked, and passes on what another one finds.
struct Counted : ByteFilter<> {
    bool read(MatrixView<const float> keys, const std::vector<PackedFactor<float>>& queries, const FetchAhead& next) {
        ++blocks;
        return ByteFilter<>::read(keys, queries, next);
    }
    static inline Index blocks = 0;
};

}  // namespace

TEST_CASE("a search asks its filter for the blocks that trials name, and tells them which were filtered") {
    Random random(10);
    const Tensor<float, 2> keys = normal_tensor<float, 2>({1000, 40}, 1, random),
                           queries = normal_tensor<float, 2>({9, 40}, 1, random);
    const auto found = searched<StreamingSearch<float, Counted, EveryOther>>(keys, queries, 5, 1000);
    CHECK(same(found, searched<StreamingSearch<float, NoFilter>>(keys, queries, 5, 1000)));
    CHECK(EveryOther::asked == std::vector<Index>{240, 240, 240, 240, 40});
    CHECK(EveryOther::told == std::vector<bool>{false, true, false, true, false});
    CHECK(Counted::blocks == 2);
    const auto of_few = searched<StreamingSearch<float, Counted, EveryOther>>(keys, slice<0>(queries, 0, 4), 5, 1000);
    CHECK(extent(of_few.indices, 0) == 4);
    CHECK(Counted::blocks == 2);
    CHECK(EveryOther::asked.size() == 5);
}
