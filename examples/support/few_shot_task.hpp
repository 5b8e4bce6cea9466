/// Few-shot classification in context: demonstrations one after another, then an input whose label is asked.
///
///     qhkwBO      made-up words: the last three letters of an input give its class, the first has no meaning
///     amfdTU
///     ehkwBO
///     smfd
///
///     allocateQX  words of real text: which document is a word from?
///     streambuRA
///     rebindQX
///     allocate
///
/// Each class has a label of two letters. Labels are drawn anew for every episode: only demonstrations can teach them.
///
/// Source: paper section 4.4, Table 1 (TREC: questions, 50 classes); the tasks here are ours.
/// Read next: few_shot.cpp.
#pragma once

#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fot/core/random.hpp"
#include "fot/data/documents.hpp"
#include "fot/data/index_permutation.hpp"
#include "fot/data/text.hpp"

namespace fot::examples {

/// An input and its label.
struct Demonstration {
    std::string input;  ///< what is classified, up to the label
    std::string label;  ///< the right answer
    std::string sign;   ///< what tells the class: once it was shown with a label, that label is known

    /// The line that shows it: input, label, end of line.
    std::string text() const { return input + label + "\n"; }
};

/// Words of `length` random letters from `first` on, all different.   Errors: ConfigError if there are not so many.
inline std::vector<std::string> distinct_words(Index words, char first, Index length, Random& random) {
    Index all = 1;
    for (Index i = 0; i < length; ++i) all *= 26;
    require<ConfigError>(words <= all, "distinct_words: ", words, " words of ", length, " letters, there are ", all);
    std::vector<std::string> list;
    while (length_of(list) < words) {
        std::string word;
        for (Index i = 0; i < length; ++i) word += static_cast<char>(first + random.below(26));
        if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(std::move(word));
    }
    return list;
}

/// Classes, and how an input of a class is drawn.
struct FewShotEpisode {
    std::vector<std::string> labels;                             ///< of each class
    std::function<std::string(Index kind, Random&)> draw_input;  ///< of a class
    std::size_t meaningless = 0;  ///< letters at the beginning of an input that do not tell its class

    /// An input of a class, all classes equally likely.
    Demonstration draw(Random& random) const {
        const Index kind = random.below(length_of(labels));
        const std::string input = draw_input(kind, random);
        return {input, element(labels, kind), input.substr(meaningless)};
    }
};

/// How hard an episode is.
struct EpisodeSize {
    Index classes;
    Index words = 1;  ///< of a class, at most; made-up words have 26 in every class, and ignore it
};

/// A kind of episodes.
struct FewShotTask {
    std::function<FewShotEpisode(const EpisodeSize&, Random&)> episode;  ///< with labels of its own
    Index most_bytes;                                                    ///< of a demonstration's line
};

/// Demonstrations of an episode; the first one begins at a random byte. In the loss a label counts 1 if its sign was shown before,
/// the first demonstration not included; all other bytes count 0.1.
inline TokenDocument demonstrations(const FewShotEpisode& episode, Index bytes, Random& random) {
    TokenDocument document{"episode", {}};
    std::set<std::string> shown;
    while (document.length() < bytes) {
        const Demonstration next = episode.draw(random);
        const bool first = document.length() == 0;
        const std::string text = next.text();
        const Index cut = first ? random.below(length_of(text)) : 0;
        const std::vector<std::int32_t> tokens = byte_tokens({text.begin() + cut, text.end()});
        document.tokens.insert(document.tokens.end(), tokens.begin(), tokens.end());
        document.loss_mask.resize(document.tokens.size(), 0.1f);
        if (first) continue;
        if (!shown.insert(next.sign).second) std::fill_n(document.loss_mask.rbegin() + 1, next.label.size(), 1.0f);
    }
    document.tokens.resize(static_cast<std::size_t>(bytes));
    document.loss_mask.resize(static_cast<std::size_t>(bytes));
    return document;
}

/// Labels for that many classes.   Errors: ConfigError unless there are 1 ... 256.
inline std::vector<std::string> few_shot_labels(Index classes, Random& random) {
    require<ConfigError>(classes >= 1 && classes <= 256, "few-shot episode: ", classes, " classes, expected 1 ... 256");
    return distinct_words(classes, 'A', 2, random);
}

/// Made-up words.   Errors of an episode: as few_shot_labels.
inline FewShotTask made_up_words() {
    const auto episode = [](const EpisodeSize& size, Random& random) {
        std::vector<std::string> labels = few_shot_labels(size.classes, random);
        const auto input = [endings = distinct_words(size.classes, 'a', 3, random)](Index kind, Random& drawing) {
            const char first = static_cast<char>('a' + drawing.below(26));
            return first + element(endings, kind);
        };
        return FewShotEpisode{std::move(labels), input, 1};
    };
    return {episode, 7};
}

/// Words of documents, by number, each as often as it occurs: letters and underscores, four or more, of which the first eight
/// count, in lower case. Words that more than a quarter of the documents have, and more than one, belong to the language: they are
/// left out.
class DocumentWords {
   public:
    /// Errors: DataError if a document has no such word.
    explicit DocumentWords(const std::vector<Document>& documents) : of_documents_(documents.size()) {
        for (const Document& document : documents) names_.push_back(document.name);
        std::map<std::string, Index> numbers;
        for (std::size_t d = 0; d < documents.size(); ++d)
            for_each_word(documents[d].text, [&](const std::string& word) {
                const auto [at, is_new] = numbers.emplace(word, length_of(words_));
                if (is_new) {
                    words_.push_back(word);
                    has_.emplace_back(documents.size());
                }
                has_[static_cast<std::size_t>(at->second)][d] = true;
                of_documents_[d].push_back(at->second);
            });
        std::vector<bool> common;
        for (const std::vector<bool>& having : has_)
            common.push_back(4 * std::ranges::count(having, true) > std::max<Index>(4, length_of(documents)));
        for (std::size_t d = 0; d < documents.size(); ++d) {
            std::erase_if(of_documents_[d], [&](Index word) { return static_cast<bool>(element(common, word)); });
            require<DataError>(!of_documents_[d].empty(), "few-shot episode: ", documents[d].name,
                               " has no word that at most a quarter of the documents have");
        }
    }

    /// Up to `count` different words of one of these documents that no other of them has; frequent words are likelier.
    /// Errors: DataError if a thousand draws give none.
    std::vector<std::string> draw(const std::vector<Index>& documents, Index kind, Index count, Random& random) const {
        const std::vector<Index>& list = element(of_documents_, element(documents, kind));
        std::set<Index> drawn;
        for (Index i = 0; i < 1000 && length_of(drawn) < count; ++i) {
            const Index word = element(list, random.below(length_of(list)));
            const auto has = [&](Index d) { return static_cast<bool>(element(element(has_, word), d)); };
            if (std::ranges::count_if(documents, has) == 1) drawn.insert(word);
        }
        require<DataError>(!drawn.empty(), "few-shot episode: ", element(names_, element(documents, kind)),
                           " has hardly a word that ", length_of(documents) - 1, " other documents have not");
        std::vector<std::string> words;
        for (const Index word : drawn) words.push_back(element(words_, word));
        return words;
    }

    /// How many documents there are.
    Index documents() const { return length_of(of_documents_); }

   private:
    template <class F>
    static void for_each_word(std::string_view text, F&& f) {
        std::string word;
        for (const char c : std::string(text) + " ") {
            if (std::isalpha(static_cast<unsigned char>(c)) || c == '_') {
                word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
                continue;
            }
            if (word.size() >= 4) f(word.substr(0, 8));
            word.clear();
        }
    }

    std::vector<std::string> names_, words_;
    std::vector<std::vector<bool>> has_;  // by word and document
    std::vector<std::vector<Index>> of_documents_;
};

/// How words are written: as they are, or by a cipher that each episode draws. With a cipher nothing can be learned by heart of the
/// training documents, such as that two words belong to the same one: what remains is to look at the demonstrations.
enum class Spelling { plain, ciphered };

/// Which document is a word from? The classes of an episode are documents; of each it has some words, all equally likely.
/// Errors: as DocumentWords. Errors of an episode: as few_shot_labels; ConfigError if there are fewer documents than classes;
/// DataError if a document has no word of its own.
inline FewShotTask words_of_documents(const std::vector<Document>& documents, Spelling spelling = Spelling::plain) {
    const auto episode = [words = std::make_shared<const DocumentWords>(documents), spelling](const EpisodeSize& size,
                                                                                              Random& random) {
        require<ConfigError>(size.classes <= words->documents(), "few-shot episode: ", size.classes,
                             " classes, but there are only ", words->documents(), " documents to take them from");
        std::vector<std::string> labels = few_shot_labels(size.classes, random);
        std::vector<Index> chosen;
        const IndexPermutation order(words->documents(), random.bits());
        for (Index i = 0; i < size.classes; ++i) chosen.push_back(order(i));
        std::string letters = "abcdefghijklmnopqrstuvwxyz";
        if (spelling == Spelling::ciphered) random.shuffle(letters);
        std::vector<std::vector<std::string>> of_classes;
        for (Index kind = 0; kind < size.classes; ++kind) {
            of_classes.push_back(words->draw(chosen, kind, size.words, random));
            for (std::string& word : of_classes.back())
                for (char& c : word)
                    if (c != '_') c = element(letters, c - 'a');
        }
        const auto input = [of_classes](Index kind, Random& drawing) {
            const std::vector<std::string>& list = element(of_classes, kind);
            return element(list, drawing.below(length_of(list)));
        };
        return FewShotEpisode{std::move(labels), input};
    };
    return {episode, 11};
}

/// Sizes of episodes in the five stages of training: small ones first.
inline std::vector<EpisodeSize> episodes_of_stages(const EpisodeSize& last) {
    const auto [classes, words] = last;
    const Index few = std::min<Index>(12, classes);
    return {{std::min<Index>(3, classes)},
            {std::min<Index>(6, classes)},
            {few, std::min<Index>(2, words)},
            {std::max(few, (classes + 1) / 2), std::max(std::min<Index>(2, words), (words + 1) / 2)},
            last};
}

}  // namespace fot::examples
