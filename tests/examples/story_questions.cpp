#include "../../examples/support/story_questions.hpp"

#include <doctest/doctest.h>

#include <numeric>

using namespace fot;
using namespace fot::examples;

TEST_CASE("a cast has as many persons of each number of moves as stories, which have three more persons") {
    Random random(1);
    const Cast cast = new_cast({story, 1, 4}, 5, random);
    CHECK(cast.persons.size() == 5 * (4 + 1 + 1));
    REQUIRE(cast.asked.size() == 3);
    for (const auto& [moves, asked] : cast.asked) {
        REQUIRE(asked.size() == 5);
        for (const Mover& person : asked) {
            CHECK((moves == story ? !person.rooms.empty() : length_of(person.rooms) == moves));
            CHECK(std::ranges::count(cast.persons, person.name, &Mover::name) == 1);
        }
    }
    CHECK(form_name(story) == "story");
    CHECK(form_name(4) == "moves_4");
}

TEST_CASE("an answer is right with the last room, and begins with any room by its first letter") {
    const Mover kuz{"Kuz", "pib", {"tor", "bim"}};
    Answered person, thing;
    for (const char* answer : {"bim", "tor", "tim", "xim"}) person.add(kuz, StoryQuestion::person, answer);
    CHECK(person.last.successes == 1);
    CHECK(person.any.successes == 3);
    for (const char* answer : {"Kuzbim", "Kuztor", "Kazbim"}) thing.add(kuz, StoryQuestion::thing_in_writing, answer);
    CHECK(thing.last.successes == 1);
    CHECK(thing.any.successes == 2);
    CHECK(thing.any.trials == 3);
}

TEST_CASE("what a model fills in are its likeliest bytes, each after the right ones") {
    Random random(2);
    const Transformer<float> model({.width = 16, .layers = 2, .heads = 2, .memory_heads = 2, .feed_forward = 16}, random);
    const std::vector<Mover> persons = movers(std::vector<Index>{1, 1, 1}, random);
    std::vector<FormToFill> forms;
    for (const Mover& person : persons) forms.push_back(question_about(person, StoryQuestion::thing_in_writing));
    const std::vector<std::string> filled = filled_in(model, forms, NoSource<float>());
    REQUIRE(filled.size() == 3);
    for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 6; ++j) {
            Tape tape(Tape::inference);
            const Index blank = element(forms[i].blanks, static_cast<Index>(j));
            const Tensor<float, 3> logits =
                model.local(tape, token_row(byte_tokens(forms[i].text.substr(0, static_cast<std::size_t>(blank))))).value();
            const float* last = row(logits, 0, blank - 1);
            CHECK(filled[i][j] == static_cast<char>(std::max_element(last, last + byte_vocabulary) - last));
        }
}
