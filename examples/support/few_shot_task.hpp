/// Few-shot classification in context: demonstrations one after another, then an input whose label is asked.
///
///     qhkwBO      an episode: classes, and a label of two letters for each. The last three letters of an input tell its class, the
///     amfdTU      first says nothing. Labels are drawn anew for every episode: nothing but demonstrations can tell them, and the
///     ehkwBO      label of a class that has not been shown yet cannot be known.
///     smfd
///
/// Two kinds of inputs: made-up words as above, and glosses of WordNet, whose class is the lexicographer's file they stand in
/// (animals, food, verbs of motion ...). What tells the class of a gloss is its sense.
///
/// Source: the paper's few-shot experiment (TREC: questions, 50 classes); the tasks here are ours.
/// Read first: fot/data/corpus.hpp.   Read next: few_shot_sizes.hpp, few_shot.cpp.
#pragma once

#include <algorithm>
#include <charconv>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fot/core/random.hpp"
#include "fot/data/corpus.hpp"

namespace fot::examples {

/// An input and its label.
struct Demonstration {
    std::string input;  ///< what is classified, up to the label
    std::string label;  ///< the right answer
    Index kind = 0;     ///< number of its class in the episode

    /// The line that shows it: input, label, end of line.
    std::string text() const { return input + label + "\n"; }
};

/// Classes, their labels, and how inputs of a class are drawn.
struct FewShotEpisode {
    std::vector<std::string> labels;                               ///< of each class
    std::function<std::string(Index kind, Random& random)> input;  ///< an input of a class; what follows it is the label

    /// An input of a class, all classes equally likely.
    Demonstration draw(Random& random) const {
        const Index kind = random.below(static_cast<Index>(labels.size()));
        return {input(kind, random), labels[static_cast<std::size_t>(kind)], kind};
    }
};

namespace detail {

/// `count` of the 26 letters from `first` on.
inline std::string random_letters(char first, Index count, Random& random) {
    std::string letters;
    for (Index i = 0; i < count; ++i) letters += static_cast<char>(first + random.below(26));
    return letters;
}

/// Words of `length` random letters, all different. Of two letters there are 676.
inline std::vector<std::string> distinct_words(Index words, char first, Index length, Random& random) {
    std::vector<std::string> list;
    while (static_cast<Index>(list.size()) < words) {
        std::string word = random_letters(first, length, random);
        if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(std::move(word));
    }
    return list;
}

inline std::vector<std::string> random_labels(Index classes, const char* who, Random& random) {
    require<ConfigError>(classes >= 1 && classes <= 256, who, ": ", classes, " classes, expected 1 ... 256");
    return distinct_words(classes, 'A', 2, random);
}

}  // namespace detail

/// Made-up words: an ending of three letters for each class, any letter before it.
/// Errors: ConfigError unless there are 1 ... 256 classes.
inline FewShotEpisode word_episode(Index classes, Random& random) {
    FewShotEpisode episode{detail::random_labels(classes, "word_episode", random), {}};
    episode.input = [endings = detail::distinct_words(classes, 'a', 3, random)](Index kind, Random& draws) {
        return detail::random_letters('a', 1, draws) + endings[static_cast<std::size_t>(kind)];
    };
    return episode;
}

/// The glosses of nouns and verbs, by the number of the lexicographer's file (3 ... 43; the others are empty), without what
/// follows a semicolon (examples of use).
/// `folder` holds WordNet's data.noun and data.verb.   Errors: FileError if one cannot be read, or a line is no entry of WordNet.
inline std::vector<std::vector<std::string>> read_glosses(const std::filesystem::path& folder) {
    std::vector<std::vector<std::string>> glosses(45);
    for (const char* name : {"data.noun", "data.verb"}) {
        const std::string file = read_text(folder / name);
        for (std::size_t at = 0, line = 1; at < file.size(); ++line) {
            const std::size_t end = std::min(file.find('\n', at), file.size());
            const std::string_view entry = std::string_view(file).substr(at, end - at);
            at = end + 1;
            if (entry.empty() || entry[0] == ' ') continue;  // the licence at the head
            const std::size_t bar = entry.find(" | "), space = entry.find(' ');
            std::size_t kind = glosses.size();
            if (bar != std::string_view::npos && space < bar) std::from_chars(entry.data() + space + 1, entry.data() + bar, kind);
            require<FileError>(kind < glosses.size(), "'", (folder / name).string(), "', line ", line,
                               ": expected an entry of WordNet, its second number below ", glosses.size(),
                               ", a gloss after \" | \"");
            std::string_view gloss = entry.substr(bar + 3);
            gloss = gloss.substr(0, gloss.find(';'));
            while (gloss.ends_with(' ')) gloss.remove_suffix(1);
            if (!gloss.empty()) glosses[kind].emplace_back(gloss);
        }
    }
    return glosses;
}

/// Glosses of some of the classes, drawn at random, of at most `longest` bytes, a space after each. `glosses` must outlive the
/// episode.   Errors: ConfigError unless there are 1 ... 256 classes; DataError if fewer classes have glosses as short as that.
inline FewShotEpisode gloss_episode(const std::vector<std::vector<std::string>>& glosses, Index classes, Index longest,
                                    Random& random) {
    FewShotEpisode episode{detail::random_labels(classes, "gloss_episode", random), {}};
    const auto fits = [longest](const std::string& gloss) { return static_cast<Index>(gloss.size()) <= longest; };
    std::vector<const std::vector<std::string>*> chosen;
    for (const auto& of_class : glosses)
        if (std::any_of(of_class.begin(), of_class.end(), fits)) chosen.push_back(&of_class);
    require<DataError>(static_cast<Index>(chosen.size()) >= classes, "gloss_episode: ", chosen.size(),
                       " classes have a gloss of at most ", longest, " bytes, expected ", classes);
    random.shuffle(chosen);
    episode.input = [chosen, fits](Index kind, Random& draws) {
        const std::vector<std::string>& of_class = *chosen[static_cast<std::size_t>(kind)];
        for (;;) {
            const std::string& gloss = of_class[static_cast<std::size_t>(draws.below(static_cast<Index>(of_class.size())))];
            if (fits(gloss)) return gloss + " ";
        }
    };
    return episode;
}

FewShotEpisode gloss_episode(std::vector<std::vector<std::string>>&&, Index, Index, Random&) = delete;  // would not outlive it

}  // namespace fot::examples
