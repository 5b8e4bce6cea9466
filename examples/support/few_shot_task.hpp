/// Few-shot classification in context: demonstrations one after another, then an input whose label is asked.
///
///     qhkwBO      an episode: classes, and a label of two letters for each. The last three letters of an input give its class, the
///     amfdTU      first has no meaning. Labels are drawn anew for every episode: only demonstrations can teach them, and the
///     ehkwBO      label of a class that has not been shown yet cannot be known.
///     smfd
///
/// Source: paper section 4.4, Table 1 (TREC: questions, 50 classes); the task here is ours.
/// Read next: few_shot.cpp.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "fot/core/random.hpp"

namespace fot::examples {

/// An input and its label.
struct Demonstration {
    std::string input;  ///< what is classified, up to the label
    std::string label;  ///< the right answer
    Index kind = 0;     ///< number of its class in the episode

    /// The line that shows it: input, label, end of line.
    std::string text() const { return input + label + "\n"; }
};

/// Bytes of that line.
inline constexpr Index demonstration_bytes = 7;

/// Words of `length` random letters from `first` on, all different. Of two letters there are 676.
inline std::vector<std::string> distinct_words(Index words, char first, Index length, Random& random) {
    std::vector<std::string> list;
    while (length_of(list) < words) {
        std::string word;
        for (Index i = 0; i < length; ++i) word += static_cast<char>(first + random.below(26));
        if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(std::move(word));
    }
    return list;
}

/// Classes of made-up words.
struct FewShotEpisode {
    std::vector<std::string> labels;   ///< of each class
    std::vector<std::string> endings;  ///< of its inputs

    /// An input of a class, all classes equally likely.
    Demonstration draw(Random& random) const {
        const Index kind = random.below(length_of(labels));
        const char first = static_cast<char>('a' + random.below(26));
        return {first + element(endings, kind), element(labels, kind), kind};
    }
};

/// An episode with classes of its own.   Errors: ConfigError unless there are 1 ... 256 classes.
inline FewShotEpisode few_shot_episode(Index classes, Random& random) {
    require<ConfigError>(classes >= 1 && classes <= 256, "few_shot_episode: ", classes, " classes, expected 1 ... 256");
    std::vector<std::string> labels = distinct_words(classes, 'A', 2, random);
    return {std::move(labels), distinct_words(classes, 'a', 3, random)};
}

/// Classes of an episode in each of the five stages of training, few first.
inline std::vector<Index> classes_of_stages(Index classes) {
    const Index few = std::min<Index>(12, classes);
    return {std::min<Index>(3, classes), std::min<Index>(6, classes), few, std::max(few, (classes + 1) / 2), classes};
}

}  // namespace fot::examples
