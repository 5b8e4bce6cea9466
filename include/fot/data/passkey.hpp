/// Passkey: a number is hidden somewhere in a long text without content, and asked for at its end.
///
///     <task> <filler> ... The pass key is 31415. Remember it. 31415 is the pass key. <filler> ... What is the pass key? The pass
///     key is
///
/// The filler is the same few sentences again and again, the key is uniform in 1 ... 49999, and its place is uniform among the
/// sentences of filler. An answer counts if every digit is right under greedy decoding.
///
/// The task measures how far a model can reach back. It is easy in another respect: filler that repeats hardly distracts. So a
/// passkey that is found says little about crossbatch (paper_notes.md, C10).
///
/// Source: paper section 4.2, Figure 1; Mohtashami and Jaggi 2023 (the form of the prompt). The task sentence is ours.
/// Read first: data/text.hpp.   Read next: examples/passkey.cpp.
#pragma once

#include <string>
#include <vector>

#include "fot/core/check.hpp"
#include "fot/core/random.hpp"

namespace fot {

/// A prompt and what must follow it.
struct PasskeyPrompt {
    std::string text;    ///< ends in "The pass key is"
    std::string answer;  ///< " 31415": what greedy decoding must begin with; a "." follows
    Index key_at = 0;    ///< where in the text the sentences with the key begin
    Index key_size = 0;  ///< their bytes
    Index again_at = 0;  ///< where in the text " 31415" comes for the second time
};

namespace detail {

inline const std::string passkey_task = "A pass key is hidden in the text that follows. Find it and remember it.\n";
inline const std::string passkey_question = " What is the pass key? The pass key is";
inline const std::vector<std::string> passkey_filler{" The grass is green.", " The sky is blue.", " The sun is yellow.",
                                                     " Here we go.", " There and back again."};
/// The sentences that hide a key in the text.
inline std::string passkey_sentences(const std::string& key) {
    return " The pass key is " + key + ". Remember it. " + key + " is the pass key.";
}

}  // namespace detail

/// The length of the shortest prompt: no filler at all, a key of five digits.
inline Index shortest_passkey_prompt() {
    return length_of(detail::passkey_task + detail::passkey_sentences("12345") + detail::passkey_question);
}

/// A prompt of at most `length` bytes, as long as whole sentences of filler allow.
/// Errors: ConfigError if length is below shortest_passkey_prompt().
inline PasskeyPrompt passkey_prompt(Index length, Random& random) {
    require<ConfigError>(length >= shortest_passkey_prompt(), "passkey_prompt: ", length, " bytes, expected ",
                         shortest_passkey_prompt(), " or more");
    const std::string key = std::to_string(1 + random.below(49999));
    const std::string hidden = detail::passkey_sentences(key);
    const auto sentence = [](Index i) -> const std::string& {
        return element(detail::passkey_filler, i % length_of(detail::passkey_filler));
    };
    Index room = length - length_of(detail::passkey_task + hidden + detail::passkey_question), sentences = 0;
    while (length_of(sentence(sentences)) <= room) room -= length_of(sentence(sentences++));
    const Index place = random.below(sentences + 1);
    PasskeyPrompt prompt{.text = detail::passkey_task, .answer = " " + key, .key_size = length_of(hidden)};
    prompt.text.reserve(static_cast<std::size_t>(length));
    for (Index i = 0; i <= sentences; ++i) {
        if (i == place) {
            prompt.key_at = length_of(prompt.text);
            prompt.text += hidden;
            prompt.again_at = static_cast<Index>(prompt.text.rfind(prompt.answer));
        }
        if (i < sentences) prompt.text += sentence(i);
    }
    prompt.text += detail::passkey_question;
    return prompt;
}

}  // namespace fot
