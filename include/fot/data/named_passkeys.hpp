/// Passkeys in running text: many keys that have names, one of which is asked for.
///
///     <text> The pass key of kuz is 31415. <text> The pass key of bim is 92653. <text> ... What is the pass key of bim? The pass
///     key of bim is
///
/// The known task (data/passkey.hpp) hides one key among a few sentences that come again and again, which hardly distract. Here the
/// text is that of documents and does not repeat as long as they last; and the keys of other names, in the same words, are decoys:
/// a model that only looks for a key finds one, but the wrong one.
///
/// Sentences are written over the text, which keeps its length. So two texts with different keys differ only in these sentences. To
/// turn the memory of one text into the memory of the other, only the windows that contain a sentence have to be read again.
///
/// Source: ours.
/// Read first: data/passkey.hpp.   Read next: data/stories.hpp, examples/passkey_in_text.cpp.
#pragma once

#include "fot/data/index_permutation.hpp"
#include "fot/data/text.hpp"

namespace fot {

/// A key of five digits, and its name of three letters.
struct NamedKey {
    std::string name;  ///< "bim"
    std::string key;   ///< "92653"

    /// What hides it in a text.
    std::string sentence() const { return " The pass key of " + name + " is " + key + "."; }
    /// What asks for it; the answer follows.
    std::string question() const { return " What is the pass key of " + name + "? The pass key of " + name + " is"; }
    /// " 92653."
    std::string answer() const { return " " + key + "."; }
};

/// Bytes of a sentence.
inline Index named_key_bytes() { return length_of(NamedKey{"bim", "92653"}.sentence()); }

/// Distinct names, spelled with `letters` letters that are drawn from the alphabet. The fewer there are, the fewer letters tell two
/// names apart. Errors: ConfigError unless there are 1 to 26 letters, and 1 to letters^3 names.
inline std::vector<std::string> three_letter_names(Index count, Random& random, Index letters = 26) {
    require<ConfigError>(letters >= 1 && letters <= 26, "three_letter_names: ", letters, " letters, expected 1 to 26");
    const Index most = letters * letters * letters;
    require<ConfigError>(count >= 1 && count <= most, "three_letter_names: ", count, ", expected 1 to ", most);
    std::string alphabet = "abcdefghijklmnopqrstuvwxyz";
    if (letters < 26) random.shuffle(alphabet);
    const IndexPermutation order(most, random.bits());
    const auto letter = [&](Index number) { return element(alphabet, number % letters); };
    std::vector<std::string> names;
    for (Index i = 0; i < count; ++i) {
        const Index name = order(i);
        names.push_back({letter(name), letter(name / letters), letter(name / letters / letters)});
    }
    return names;
}

/// Keys with such names. Keys are uniform in 10000 ... 99999 and need not be distinct. Errors: as three_letter_names.
inline std::vector<NamedKey> named_keys(Index count, Random& random, Index letters = 26) {
    std::vector<NamedKey> keys;
    for (const std::string& name : three_letter_names(count, random, letters))
        keys.push_back({name, std::to_string(10000 + random.below(90000))});
    return keys;
}

/// Writes sentences over a text, in their order, each at a uniform place in its part of as many equal parts. Returns the places.
/// Errors: ConfigError if a part is shorter than the longest sentence.
inline std::vector<Index> hide_sentences(std::span<const std::string> sentences, std::string& text, Random& random) {
    const Index count = length_of(sentences);
    Index longest = 0;
    for (const std::string& sentence : sentences) longest = std::max(longest, length_of(sentence));
    require<ConfigError>(length_of(text) / std::max<Index>(count, 1) >= longest, "hide_sentences: ", count, " sentences in ",
                         text.size(), " bytes, expected ", longest, " bytes or more for each");
    std::vector<Index> places;
    for (Index i = 0; i < count; ++i) {
        const std::string& sentence = element(sentences, i);
        const Index begin = length_of(text) * i / count, end = length_of(text) * (i + 1) / count;
        places.push_back(begin + random.below(end - begin - length_of(sentence) + 1));
        std::ranges::copy(sentence, text.begin() + places.back());
    }
    return places;
}

/// The same of the sentences of keys.
inline std::vector<Index> hide_keys(std::span<const NamedKey> keys, std::string& text, Random& random) {
    std::vector<std::string> sentences;
    for (const NamedKey& key : keys) sentences.push_back(key.sentence());
    return hide_sentences(sentences, text, random);
}

/// The first `bytes` of documents one after another. If they have not as many, they come again in the same order: the text then
/// repeats, with all their bytes as its period.
/// Errors: DataError if there is no text.
inline std::string running_text(const std::vector<Document>& documents, Index bytes) {
    std::string text;
    text.reserve(static_cast<std::size_t>(bytes));
    while (length_of(text) < bytes) {
        const std::size_t before = text.size();
        for (const Document& document : documents) text.append(document.text, 0, static_cast<std::size_t>(bytes) - text.size());
        require<DataError>(text.size() > before, "running_text: ", documents.size(), " documents without text");
    }
    return text;
}

}  // namespace fot
