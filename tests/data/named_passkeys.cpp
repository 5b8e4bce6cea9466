#include "fot/data/named_passkeys.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace fot;

TEST_CASE("names are distinct, keys have five digits, and a question names its key") {
    Random random(1);
    std::set<std::string> names, keys;
    for (const NamedKey& each : named_keys(17576, random)) {
        CHECK(each.name.size() == 3);
        CHECK((std::stoi(each.key) >= 10000 && std::stoi(each.key) <= 99999));
        names.insert(each.name);
        keys.insert(each.key);
    }
    CHECK(names.size() == 17576);
    CHECK(keys.size() > 15000);
    const NamedKey key{"bim", "92653"};
    CHECK(key.sentence() == " The pass key of bim is 92653.");
    CHECK(key.question() == " What is the pass key of bim? The pass key of bim is");
    CHECK(key.answer() == " 92653.");
    CHECK(named_key_bytes() == 30);
    CHECK_THROWS_AS(named_keys(17577, random), ConfigError);
    CHECK_THROWS_AS(named_keys(0, random), ConfigError);
}

TEST_CASE("few letters spell names that differ in few places, other letters each time") {
    Random random(4);
    std::set<char> of_all;
    for (int draw = 0; draw < 10; ++draw) {
        std::set<char> letters;
        std::set<std::string> names;
        for (const NamedKey& each : named_keys(27, random, 3)) {
            letters.insert(each.name.begin(), each.name.end());
            names.insert(each.name);
        }
        CHECK(letters.size() == 3);
        CHECK(names.size() == 27);
        of_all.insert(letters.begin(), letters.end());
    }
    CHECK(of_all.size() > 10);
    CHECK_THROWS_AS(named_keys(28, random, 3), ConfigError);
    CHECK_THROWS_AS(named_keys(1, random, 27), ConfigError);
}

TEST_CASE("keys are written over a text at the places that are returned, one in each part, and nothing else changes") {
    Random random(2);
    std::set<Index> first_places;
    for (int draw = 0; draw < 50; ++draw) {
        const std::vector<NamedKey> keys = named_keys(7, random);
        std::string text(700, '.');
        const std::vector<Index> places = hide_keys(keys, text, random);
        REQUIRE(places.size() == 7);
        for (Index i = 0; i < 7; ++i) {
            const Index place = element(places, i);
            CHECK((place >= 100 * i && place + named_key_bytes() <= 100 * (i + 1)));
            CHECK(text.substr(static_cast<std::size_t>(place), 30) == element(keys, i).sentence());
            text.replace(static_cast<std::size_t>(place), 30, 30, '.');
        }
        CHECK(text == std::string(700, '.'));
        first_places.insert(places[0]);
    }
    CHECK(first_places.size() > 20);
}

TEST_CASE("keys fill a text that just holds them, and none that does not") {
    Random random(3);
    const std::vector<NamedKey> keys = named_keys(3, random);
    std::string full(90, '.'), short_by_one(89, '.');
    CHECK(hide_keys(keys, full, random) == std::vector<Index>{0, 30, 60});
    CHECK_THROWS_WITH_AS(hide_keys(keys, short_by_one, random), doctest::Contains("3 sentences in 89 bytes, expected 30"), ConfigError);
}

TEST_CASE("running text is that of the documents, which come again when they are used up") {
    const std::vector<Document> documents{{"a", "abc"}, {"b", ""}, {"c", "de"}};
    CHECK(running_text(documents, 4) == "abcd");
    CHECK(running_text(documents, 12) == "abcdeabcdeab");
    CHECK(running_text(documents, 0).empty());
    CHECK_THROWS_AS(running_text({{"b", ""}}, 1), DataError);
}
