/// Words at a Hamming distance: all of them, each once, none at another distance.
#include "fot/data/near_words.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

using namespace fot;

namespace {

Index hamming_distance(Index a, Index b, Index symbols, Index length) {
    Index distance = 0;
    for (Index i = 0; i < length; ++i, a /= symbols, b /= symbols) distance += a % symbols != b % symbols ? 1 : 0;
    return distance;
}

}  // namespace

TEST_CASE("the words near a word are exactly those at the distance, each once") {
    for (const Index symbols : {2, 3, 5})
        for (const Index length : {1, 3, 4})
            for (Index distance = 0; distance <= length; ++distance) {
                const NearWords near(symbols, length, distance);
                const Index words = word_count(symbols, length);
                for (const Index word : {Index(0), words / 3, words - 1}) {
                    std::set<Index> listed, expected;
                    for (Index i = 0; i < near.count(); ++i) listed.insert(near(word, i));
                    for (Index other = 0; other < words; ++other)
                        if (hamming_distance(word, other, symbols, length) == distance) expected.insert(other);
                    CHECK(listed == expected);
                    CHECK(length_of(expected) == near.count());
                }
            }
}

TEST_CASE("a key of the paper's dictionary has 240, 21600 and 864000 neighbours at distances 1, 2 and 3") {
    CHECK(NearWords(61, 4, 0).count() == 1);
    CHECK(NearWords(61, 4, 1).count() == 240);
    CHECK(NearWords(61, 4, 2).count() == 21600);
    CHECK(NearWords(61, 4, 3).count() == 864000);
    CHECK(NearWords(61, 4, 4).count() == 12960000);
    CHECK(NearWords(61, 4, 1)(7, 0) != NearWords(61, 4, 1)(7, 1));
}

TEST_CASE("distractors are definitions of all near keys before one comes again, and random ones fill the last window") {
    const DictionaryTask task{8, 3, 2, 40};  // 5 symbols; 5 records of 7 tokens in a window; 12 keys at distance 1
    const NumberedRecord asked{31, 7};
    Random random(1);
    const std::vector<NumberedRecord> definitions = near_definitions(task, asked, 1, 27, random);
    REQUIRE(definitions.size() == 30);
    std::map<Index, Index> times;
    for (Index i = 0; i < 27; ++i) {
        const NumberedRecord& each = element(definitions, i);
        CHECK(hamming_distance(each.key, asked.key, 5, 3) == 1);
        CHECK((each.value >= 0 && each.value < 25));
        ++times[each.key];
        if (i == 11 || i == 23) CHECK(times.size() == 12);
        CHECK(times[each.key] == i / 12 + 1);
    }
    for (Index i = 27; i < 30; ++i) CHECK(element(definitions, i).key != asked.key);
    CHECK(near_definitions(task, asked, 1, 0, random).empty());
    Random other(2);
    CHECK(near_definitions(task, asked, 1, 27, other)[0].value + near_definitions(task, asked, 1, 27, other)[1].value * 25 !=
          definitions[0].value + definitions[1].value * 25);
}

TEST_CASE("impossible neighbours are refused with the numbers") {
    CHECK_THROWS_WITH_AS(
        NearWords(61, 4, 5),
        "NearWords: words of 4 of 61 symbols at distance 5, expected two symbols or more and a distance of 0 ... 4", ConfigError);
    CHECK_THROWS_AS(NearWords(61, 4, -1), ConfigError);
    CHECK_THROWS_AS(NearWords(1, 4, 1), ConfigError);
    CHECK_THROWS_AS(NearWords(61, 40, 1), ConfigError);
    CHECK_THROWS_WITH_AS(NearWords(61, 4, 1)(0, 240), "NearWords: number 240 of 240", DataError);
    CHECK_THROWS_AS(NearWords(61, 4, 1)(0, -1), DataError);
    CHECK_THROWS_WITH_AS(NearWords(8, 4, 1)(-5, 3), "NearWords: word -5 is none of 4 of 8 symbols", DataError);
    CHECK_THROWS_AS(NearWords(8, 4, 1)(4096, 3), DataError);
    Random random(1);
    CHECK_THROWS_WITH_AS(near_definitions({}, {0, 0}, 1, -3, random), "near_definitions: -3 distractors, expected 0 or more",
                         ConfigError);
}
