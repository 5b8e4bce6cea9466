#include "fot/data/index_permutation.hpp"

#include <doctest/doctest.h>

#include <map>
#include <vector>

using namespace fot;

TEST_CASE("a pseudo-random permutation is a bijection for every size") {
    for (const Index count : {1, 2, 3, 4, 5, 16, 17, 61, 255, 256, 257, 1000, 61 * 61, 65537}) {
        for (const std::uint64_t seed : {1u, 2u}) {
            const IndexPermutation permutation(count, seed);
            std::vector<bool> seen(static_cast<std::size_t>(count));
            Index distinct = 0, fixed = 0;
            for (Index i = 0; i < count; ++i) {
                const Index image = permutation(i);
                REQUIRE((image >= 0 && image < count));
                if (!seen[static_cast<std::size_t>(image)]) ++distinct;
                seen[static_cast<std::size_t>(image)] = true;
                if (image == i) ++fixed;
            }
            CHECK(distinct == count);
            if (count >= 255) CHECK(fixed < 10);  // a random permutation has one fixed point on average
        }
    }
    CHECK_THROWS_WITH_AS(IndexPermutation(0, 1), "IndexPermutation: count 0, expected 1 ... 2^62", ConfigError);
    CHECK_THROWS_WITH_AS(IndexPermutation(10, 1)(10), "IndexPermutation: 10 is outside 0 ... 9", DataError);
    CHECK_THROWS_AS(IndexPermutation(10, 1)(-1), DataError);
}

TEST_CASE("the largest permutation has 2^62 places, the same for a seed everywhere") {
    const Index most = Index{1} << 62;
    CHECK_THROWS_WITH_AS(IndexPermutation(most + 1, 1), "IndexPermutation: count 4611686018427387905, expected 1 ... 2^62",
                         ConfigError);
    const IndexPermutation permutation(most, 3);
    for (const Index i : {Index{0}, Index{1}, most - 1}) CHECK((permutation(i) >= 0 && permutation(i) < most));
    const IndexPermutation known(1000, 1);
    CHECK(std::vector<Index>{known(0), known(1), known(2), known(999)} == std::vector<Index>{450, 0, 94, 513});
}

TEST_CASE("all orders of five things come about equally often") {
    std::map<std::vector<Index>, int> times;
    for (std::uint64_t seed = 0; seed < 60000; ++seed) {
        const IndexPermutation order(5, seed);
        ++times[{order(0), order(1), order(2), order(3), order(4)}];
    }
    CHECK(times.size() == 120);
    double squares = 0;
    for (const auto& [order, count] : times) squares += (count - 500.0) * (count - 500.0) / 500;
    CHECK(squares < 190);  // chi squared of 119 degrees of freedom: more than that once in 30000 random orders
}
