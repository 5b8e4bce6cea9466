#include "../../examples/support/story_training.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace fot;
using namespace fot::examples;

namespace {

const std::vector<TokenDocument> story_filler{{"text", byte_tokens(std::string(2000, 'x'))}};

std::string bytes_of_row(const Tokens& tokens, Index i) { return text_of({row(tokens, i), row(tokens, i) + extent(tokens, 1)}); }

/// What window `place` of those that question i sees holds.
std::string seen_window(const LookupBatch& batch, Index i, Index place) {
    return bytes_of_row(batch.input.previous, element(element(batch.input.table.contexts, i), place));
}

}  // namespace

TEST_CASE("a question sees the windows with its facts first, one for a person and two for a thing, and no window has both") {
    Random random(1);
    for (const StoryQuestion kind : {StoryQuestion::person, StoryQuestion::thing, StoryQuestion::thing_in_writing})
        for (int draw = 0; draw < 10; ++draw) {
            const LookupBatch batch = story_batch(story_filler, {120, 8}, 16, 5, kind, draw % 2 == 0, random);
            const Index own = kind == StoryQuestion::person ? 1 : 2;
            CHECK_NOTHROW(batch.input.check());
            CHECK_NOTHROW(require_valid(batch.input.table, extent(batch.input.current, 0)));
            CHECK(extent(batch.input.previous, 0) == 8);
            for (Index i = 0; i < extent(batch.input.current, 0); ++i) {
                CHECK(element(batch.input.table.positives, i) == own);
                CHECK(element(batch.input.table.contexts, i).size() == 5);
                const std::string question = bytes_of_row(batch.input.current, i), answer = bytes_of_row(batch.targets, i),
                                  room = answer.substr(answer.size() - 3);
                const std::size_t in_room = seen_window(batch, i, 0).find(" is in " + room + ".");
                REQUIRE(in_room != std::string::npos);
                const std::string person = seen_window(batch, i, 0).substr(in_room - 3, 3);
                CHECK(seen_window(batch, i, 0).find(" is by ") == std::string::npos);
                if (kind == StoryQuestion::person) {
                    CHECK(question == " Where is " + person + "? " + person + " is in " + room.substr(0, 2));
                    continue;
                }
                const std::string thing = question.substr(14, 3);
                CHECK(seen_window(batch, i, 1).find(" The " + thing + " is by " + person + ".") != std::string::npos);
                CHECK(seen_window(batch, i, 1).find(" is in ") == std::string::npos);
                CHECK((question.find(person) == std::string::npos) == (kind == StoryQuestion::thing));
            }
        }
}

TEST_CASE("what is wanted of a question are the bytes before its blanks") {
    Random random(2);
    const LookupBatch batch = story_batch(story_filler, {24, 4}, 8, 1, StoryQuestion::thing_in_writing, false, random);
    REQUIRE(batch.input.wanted.size() == 6);
    CHECK(extent(batch.input.current, 0) == 2);  // one fact a window, two windows of each kind
    for (Index j = 0; j < 5; ++j) CHECK(batch.input.current(0, element(batch.input.wanted, j) + 1) == batch.targets(0, j));
    CHECK(batch.input.wanted.back() == extent(batch.input.current, 1) - 1);
    for (const auto& contexts : batch.input.table.contexts) CHECK(contexts.size() == 2);  // both its own
}

TEST_CASE("a model has one memory layer or two, the last ones, above two others") {
    Random random(3);
    CHECK(new_story_model(1, random).config().memory_layers == std::vector<Index>{2});
    CHECK(new_story_model(2, random).config().memory_layers == std::vector<Index>{2, 3});
    CHECK(new_story_model(2, random).config().layers == 4);
}
