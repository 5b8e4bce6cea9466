/// Few-shot classification in context: demonstrations one after another, then an input whose label is asked.
///
///     qhkw>bo        an episode: classes, and a label for each. The letter before ">" and the two before it tell the class, the
///     amfd>tu        first says nothing; labels are drawn anew for every episode, so that they can only be known from
///     ehkw>bo        demonstrations. One that has not been shown yet cannot be known.
///     smfd>
///
/// Two kinds of inputs: made-up words as above, and the glosses of WordNet, whose class is the lexicographer's file.
///
/// Source: the paper's few-shot experiments (TREC, 50 classes); the made-up task is ours.
/// Read first: data/text.hpp.   Read next: examples/few_shot.cpp.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fot/core/check.hpp"
#include "fot/core/random.hpp"

namespace fot {

/// An input and its label. In a text: "input>label\n".
struct Demonstration {
    std::string input, label;
    Index kind = 0;  ///< number of its class

    std::string question() const { return input; }
    std::string text() const { return question() + label + "\n"; }
};

/// Classes, their labels, and how inputs of a class are drawn.
struct FewShotEpisode {
    std::vector<std::string> labels;
    std::function<std::string(Index kind, Random& random)> input;

    /// An input of a class drawn at random.
    Demonstration draw(Random& random) const {
        const Index kind = random.below(static_cast<Index>(labels.size()));
        std::string text = input(kind, random);
        return {std::move(text), labels[static_cast<std::size_t>(kind)], kind};
    }
};

namespace detail {

inline std::string random_letters(char first, Index count, Random& random) {
    std::string letters;
    for (Index i = 0; i < count; ++i) letters += static_cast<char>(first + random.below(26));
    return letters;
}

/// Different from one another.
inline std::vector<std::string> distinct_letters(char first, Index words, Index count, Random& random) {
    std::vector<std::string> list;
    while (static_cast<Index>(list.size()) < words) {
        std::string word = random_letters(first, count, random);
        if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(std::move(word));
    }
    return list;
}

}  // namespace detail

/// `classes` endings of three letters, a label of two letters for each.   Errors: ConfigError unless 1 ... 256 classes.
inline FewShotEpisode word_episode(Index classes, Random& random) {
    require<ConfigError>(classes >= 1 && classes <= 256, "word_episode: ", classes, " classes, expected 1 ... 256");
    FewShotEpisode episode;
    episode.labels = detail::distinct_letters('A', classes, 2, random);
    episode.input = [endings = detail::distinct_letters('a', classes, 3, random)](Index kind, Random& draws) {
        return detail::random_letters('a', 1, draws) + endings[static_cast<std::size_t>(kind)];
    };
    return episode;
}

}  // namespace fot
