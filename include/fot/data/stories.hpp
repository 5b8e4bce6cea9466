/// Stories: persons move from room to room, things are with persons, and questions need one of these facts or two.
///
///     <text> Kuz is in tor. <text> The pib is by Kuz. <text> Bem is in lak. <text> Kuz is in bim. <text> ...
///
///     one hop     Where is Kuz? Kuz is in bim
///     two hops    Where is the pib? The pib is in bim
///
/// The first question needs a person's last move. The second needs two facts: who has the thing, and that person's last move. Only
/// the first fact names the person whose move is to be found. A single memory layer cannot search by that name, unless the model
/// writes the first fact down (paper_notes.md, "What one memory layer cannot ask").
///
/// Facts are hidden in a text as in data/named_passkeys.hpp. All facts have the same wording, and so have the questions: what has
/// to be told apart are names. A question's text holds its answer; some of its bytes are blanks that a model has to fill in.
///
/// Source: ours, after the first two tasks of bAbI (Weston et al. 2015) and of BABILong (Kuratov et al. 2024), which hides them in
/// books. They have four persons, here there may be thousands; and things do not change hands here.
/// Read first: data/named_passkeys.hpp.   Read next: examples/two_hops.cpp.
#pragma once

#include <array>
#include <numeric>

#include "fot/data/named_passkeys.hpp"

namespace fot {

/// A person, and a thing that is with them.
struct Mover {
    std::string name;                ///< "Kuz"
    std::string thing;               ///< "pib"
    std::vector<std::string> rooms;  ///< {"bim", "tor"}: the moves in their order; the last is where the person is

    /// A move as a fact.
    std::string move(Index number) const { return " " + name + " is in " + element(rooms, number) + "."; }
    /// Whose the thing is, as a fact.
    std::string possession() const { return " The " + thing + " is by " + name + "."; }
};

/// Bytes of the longest fact, the one that says with whom a thing is.
inline constexpr Index fact_bytes = 19;

/// As many persons as there are numbers of moves. All names are distinct, and so are all things, and all rooms.
/// Errors: as three_letter_names.
inline std::vector<Mover> movers(std::span<const Index> moves, Random& random, Index letters = 26) {
    const Index count = length_of(moves), moved = std::accumulate(moves.begin(), moves.end(), Index(0));
    const std::vector<std::string> names = three_letter_names(count, random, letters),
                                   things = three_letter_names(count, random, letters),
                                   rooms = three_letter_names(std::max<Index>(moved, 1), random, letters);
    std::vector<Mover> list;
    auto room = rooms.begin();
    for (Index i = 0; i < count; ++i) {
        list.push_back({element(names, i), element(things, i), {room, room + element(moves, i)}});
        room += element(moves, i);
        char& initial = list.back().name.front();
        initial = static_cast<char>(initial - 'a' + 'A');
    }
    return list;
}

/// How often each of four persons moves in a story of bAbI's form: 2, 4, 6, 8 or 10 moves, each of any of them. The first, who will
/// be asked for, is one of those who have moved.
inline std::array<Index, 4> story_moves(Random& random) {
    std::array<Index, 4> moves{};
    const Index count = 2 * (1 + random.below(5));
    for (Index i = 0; i < count; ++i) ++element(moves, random.below(4));
    Index asked = random.below(4);
    while (element(moves, asked) == 0) asked = random.below(4);
    std::swap(moves.front(), element(moves, asked));
    return moves;
}

/// All facts in random order, each person's moves in theirs. A thing whose owner has not moved is not mentioned.
inline std::vector<std::string> facts(std::span<const Mover> persons, Random& random) {
    std::vector<Index> order;  // of each fact its person; the possessions come after all persons' moves
    const Index count = length_of(persons);
    for (Index i = 0; i < count; ++i) {
        const Index moves = length_of(element(persons, i).rooms);
        order.insert(order.end(), static_cast<std::size_t>(moves), i);
        if (moves > 0) order.push_back(count + i);
    }
    random.shuffle(order);
    std::vector<Index> moved(persons.size());
    std::vector<std::string> sentences;
    for (const Index each : order) {
        const Mover& person = element(persons, each % count);
        sentences.push_back(each >= count ? person.possession() : person.move(element(moved, each)++));
    }
    return sentences;
}

/// What is asked.
enum class StoryQuestion {
    person,            ///< where is a person: one hop
    thing,             ///< where is a thing: two hops
    thing_in_writing,  ///< the same; the answer says first with whom the thing is
};

/// A question with its answer, and which of its bytes a model has to fill in.
struct FormToFill {
    std::string text;           ///< question and answer
    std::vector<Index> blanks;  ///< rising; the last three are the room, and end the text

    /// What is right in the blanks.
    std::string answer() const {
        std::string bytes;
        for (const Index blank : blanks) bytes += element(text, blank);
        return bytes;
    }
};

/// Where is a person, or a thing?   Errors: DataError if the person has not moved: nothing says where it is.
inline FormToFill question_about(const Mover& mover, StoryQuestion kind) {
    require<DataError>(!mover.rooms.empty(), "question_about: ", mover.name, " has not moved, so there is no answer");
    FormToFill form;
    const auto fill_in = [&](const std::string& name) {
        for (const char letter : name) {
            form.blanks.push_back(length_of(form.text));
            form.text += letter;
        }
    };
    if (kind == StoryQuestion::person) {
        form.text = " Where is " + mover.name + "? " + mover.name + " is in ";
    } else if (kind == StoryQuestion::thing) {
        form.text = " Where is the " + mover.thing + "? The " + mover.thing + " is in ";
    } else {
        form.text = " Where is the " + mover.thing + "? The " + mover.thing + " is by ";
        fill_in(mover.name);
        form.text += ". " + mover.name + " is in ";
    }
    fill_in(mover.rooms.back());
    return form;
}

}  // namespace fot
