/// Questions about stories: who is asked about, what a model fills in, and how often that is right.
///
/// Read first: fot/data/stories.hpp, fot/model/transformer.hpp.   Read next: two_hops.cpp.
#pragma once

#include <map>

#include "fot/data/stories.hpp"
#include "fot/measure/intervals.hpp"
#include "fot/model/transformer.hpp"

namespace fot::examples {

inline constexpr Index story = 0;  // in place of a number of moves: a story of bAbI's form

/// How a person who is asked about has moved, in the names of results.
inline std::string form_name(Index moves) { return moves == story ? "story" : message("moves_", moves); }

/// Persons of one prompt, and those of them who are asked about, by how they have moved.
struct Cast {
    std::vector<Mover> persons;
    std::map<Index, std::vector<Mover>> asked;
};

/// `count` persons of each number of moves, and as many stories, of which the first person is asked about.
inline Cast new_cast(const std::vector<Index>& forms, Index count, Random& random) {
    std::vector<Index> moves, asked;
    for (Index i = 0; i < count; ++i)
        for (const Index each : forms) {
            asked.push_back(length_of(moves));
            if (each == story)
                std::ranges::copy(story_moves(random), std::back_inserter(moves));
            else
                moves.push_back(each);
        }
    Cast cast{movers(moves, random), {}};
    for (Index i = 0; i < length_of(asked); ++i)
        cast.asked[element(forms, i % length_of(forms))].push_back(element(cast.persons, element(asked, i)));
    return cast;
}

/// What a model fills into the blanks of forms of the same kind, each with the right bytes before it: all are right exactly if
/// greedy decoding writes all of them. One search in the memory serves all blanks.
inline std::vector<std::string> filled_in(const Transformer<float>& model, const std::vector<FormToFill>& forms,
                                          const Source<float>& memory) {
    const Index length = length_of(forms[0].text) - 1;
    Tokens tokens = empty<std::int32_t, 2>({length_of(forms), length});
    for (Index i = 0; i < length_of(forms); ++i) std::copy_n(byte_tokens(element(forms, i).text).begin(), length, row(tokens, i));
    std::vector<Index> wanted = forms[0].blanks;
    for (Index& blank : wanted) --blank;
    Tape tape(Tape::inference);
    const Tensor<float, 3> logits = model.forward(tape, tokens, memory, wanted).value();
    std::vector<std::string> filled(forms.size());
    for (Index i = 0; i < length_of(forms); ++i)
        for (Index blank = 0; blank < length_of(wanted); ++blank) {
            const float* of_blank = row(logits, i, blank);
            element(filled, i) += static_cast<char>(std::max_element(of_blank, of_blank + byte_vocabulary) - of_blank);
        }
    return filled;
}

/// How often the answer is right, and how often it begins with the first letter of any of the person's rooms. The first letter says
/// which room a model has in mind: the others are asked for after letters of the last room.
struct Answered {
    Proportion last, any;

    void add(const Mover& person, StoryQuestion kind, const std::string& answer) {
        const auto begun = [](const std::string& filled) { return filled.substr(0, filled.size() - 2); };
        bool is_any = false;
        for (Mover earlier = person; !earlier.rooms.empty(); earlier.rooms.pop_back())
            is_any = is_any || begun(answer) == begun(question_about(earlier, kind).answer());
        any.add(is_any);
        last.add(answer == question_about(person, kind).answer());
    }
};

}  // namespace fot::examples
