#include "fot/data/stories.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace fot;

namespace {

const Mover kuz{"Kuz", "pib", {"tor", "bim"}};

/// Where each of the sentences stands among the facts, in the order given; the number of facts if one is missing.
std::vector<Index> places_of(const std::vector<std::string>& sentences, const std::vector<std::string>& among) {
    std::vector<Index> places;
    for (const std::string& each : sentences) places.push_back(std::ranges::find(among, each) - among.begin());
    return places;
}

}  // namespace

TEST_CASE("facts name a person and a room, or a thing and a person") {
    CHECK(kuz.move(0) == " Kuz is in tor.");
    CHECK(kuz.move(1) == " Kuz is in bim.");
    CHECK(kuz.possession() == " The pib is by Kuz.");
    CHECK(length_of(kuz.possession()) == fact_bytes);
    CHECK(length_of(kuz.move(0)) <= fact_bytes);
}

TEST_CASE("the blanks of a question are the last room, and before it in writing the person who has the thing") {
    const FormToFill person = question_about(kuz, StoryQuestion::person), thing = question_about(kuz, StoryQuestion::thing),
                     in_writing = question_about(kuz, StoryQuestion::thing_in_writing);
    CHECK(person.text == " Where is Kuz? Kuz is in bim");
    CHECK(person.answer() == "bim");
    CHECK(person.blanks.back() == length_of(person.text) - 1);
    CHECK(thing.text == " Where is the pib? The pib is in bim");
    CHECK(thing.answer() == "bim");
    CHECK(in_writing.text == " Where is the pib? The pib is by Kuz. Kuz is in bim");
    CHECK(in_writing.answer() == "Kuzbim");
}

TEST_CASE("names, things and rooms are distinct, and persons move as often as they should") {
    Random random(1);
    const std::vector<Index> moves{3, 0, 1, 5, 2};
    const std::vector<Mover> persons = movers(moves, random);
    std::set<std::string> names, things, rooms;
    for (Index i = 0; i < 5; ++i) {
        const Mover& person = element(persons, i);
        CHECK(length_of(person.rooms) == element(moves, i));
        CHECK((person.name[0] >= 'A' && person.name[0] <= 'Z' && person.name[1] >= 'a'));
        names.insert(person.name);
        things.insert(person.thing);
        rooms.insert(person.rooms.begin(), person.rooms.end());
    }
    CHECK(names.size() == 5);
    CHECK(things.size() == 5);
    CHECK(rooms.size() == 11);
    CHECK(movers(std::vector<Index>{0, 0}, random)[1].rooms.empty());
    CHECK_THROWS_AS(movers(std::vector<Index>{7, 2}, random, 2), ConfigError);
}

TEST_CASE("all facts come once, in another order each time, but a person's moves in theirs") {
    Random random(2);
    std::set<std::vector<Index>> orders;
    for (int draw = 0; draw < 50; ++draw) {
        const std::vector<Mover> persons{kuz, {"Bem", "lak", {"rud", "vop", "sil"}}, {"Ott", "nam", {}}};
        const std::vector<std::string> told = facts(persons, random);
        REQUIRE(told.size() == 7);  // Ott has not moved, and his thing is not mentioned
        const std::vector<Index> of_kuz = places_of({kuz.move(0), kuz.move(1)}, told),
                                 of_bem = places_of({" Bem is in rud.", " Bem is in vop.", " Bem is in sil."}, told),
                                 things = places_of({kuz.possession(), " The lak is by Bem."}, told);
        CHECK((of_kuz[0] < of_kuz[1] && of_kuz[1] < 7));
        CHECK((of_bem[0] < of_bem[1] && of_bem[1] < of_bem[2] && of_bem[2] < 7));
        CHECK((things[0] < 7 && things[1] < 7));
        orders.insert({of_kuz[0], of_bem[0], things[0]});
    }
    CHECK(orders.size() > 20);
}

TEST_CASE("nobody asks where a person is who has not moved") {
    Mover nobody;
    nobody.name = "Kuz";
    CHECK_THROWS_WITH_AS(question_about(nobody, StoryQuestion::person), "question_about: Kuz has not moved, so there is no answer",
                         DataError);
}

TEST_CASE("a story of bAbI's form has 2 to 10 moves, and guessing one of the first person's moves is right in .668 of the cases") {
    Random random(3);
    std::set<Index> counts, of_first;
    double one_in = 0;
    for (int draw = 0; draw < 20000; ++draw) {
        const std::array<Index, 4> moves = story_moves(random);
        counts.insert(std::accumulate(moves.begin(), moves.end(), Index(0)));
        of_first.insert(moves[0]);
        REQUIRE(moves[0] > 0);
        one_in += 1 / static_cast<double>(moves[0]);
    }
    CHECK(std::abs(one_in / 20000 - 0.668) < 0.01);
    CHECK(counts == std::set<Index>{2, 4, 6, 8, 10});
    CHECK(of_first.size() > 3);
}
