/// All words at a given Hamming distance from a word, that is, words that differ from it in exactly so many places; and definitions
/// of such words, which serve as distractors.
///
/// Why: a key that shares three of its four symbols with the key that is asked for is the hardest to tell from it. A word of the
/// paper's dictionary has 240 neighbours at distance 1, 21600 at distance 2 and 864000 at distance 3. They are computed one by one,
/// without a table.
///
/// Words are numbers, as in data/dictionary.hpp: their symbols are the digits, the first one counts most.
///
/// Read first: data/dictionary.hpp.   Read next: examples/distractor_ladder.cpp.
#pragma once

#include "fot/data/dictionary.hpp"

namespace fot {

/// All words that differ from a word in exactly `distance` of its `length` places, in a fixed order.
///
///     count = (length choose distance) (symbols - 1)^distance
///
/// Errors: ConfigError unless 0 <= distance <= length, there are two symbols or more, and the words can be counted.
class NearWords {
   public:
    /// Words of `length` of the symbols 0 ... symbols-1.
    NearWords(Index symbols, Index length, Index distance) : symbols_(symbols), length_(length), distance_(distance) {
        require<ConfigError>(symbols >= 2 && distance >= 0 && distance <= length, "NearWords: words of ", length, " of ", symbols,
                             " symbols at distance ", distance, ", expected two symbols or more and a distance of 0 ... ", length);
        word_count(symbols, length);
    }

    /// How many there are of each word.
    Index count() const { return count(length_, distance_); }

    /// The i-th of them. From the last place to the first: the words that keep the symbol come before those that change it.
    /// Errors: DataError unless 0 <= i < count(), or if there is no such word.
    Index operator()(Index word, Index i) const {
        require<DataError>(i >= 0 && i < count(), "NearWords: number ", i, " of ", count());
        require<DataError>(word >= 0 && word < word_count(symbols_, length_), "NearWords: word ", word, " is none of ", length_,
                           " of ", symbols_, " symbols");
        Index near = 0, left = distance_;
        for (Index places = length_ - 1, unit = 1; places >= 0; --places, unit *= symbols_, word /= symbols_) {
            Index symbol = word % symbols_;
            if (const Index keeping = count(places, left); i >= keeping) {
                const Index changing = count(places, --left);
                symbol = (symbol + 1 + (i - keeping) / changing) % symbols_;
                i = (i - keeping) % changing;
            }
            near += symbol * unit;
        }
        return near;
    }

   private:
    /// Words of so many places that differ in `changes` of them; 0 if there are more changes than places.
    Index count(Index places, Index changes) const {
        Index choices = 1, shifts = 1;
        for (Index i = 0; i < changes; ++i) {
            choices = choices * (places - i) / (i + 1);
            shifts *= symbols_ - 1;
        }
        return choices * shifts;
    }

    Index symbols_, length_, distance_;
};

/// Distractors of a record that is asked for: `count` definitions of keys at a distance from its key, with random values. The last
/// window is filled up with definitions of random keys, which are not the key that is asked for.
///
/// No key comes twice before all at that distance have come.
/// Errors: ConfigError if the count is negative; as require_valid and NearWords.
inline std::vector<NumberedRecord> near_definitions(const DictionaryTask& task, const NumberedRecord& asked, Index distance,
                                                    Index count, Random& random) {
    require_valid(task);
    require<ConfigError>(count >= 0, "near_definitions: ", count, " distractors, expected 0 or more");
    const Index symbols = task.ordinary_symbols(), keys = word_count(symbols, task.key_length),
                values = word_count(symbols, task.value_length);
    const NearWords near(symbols, task.key_length, distance);
    const IndexPermutation order(near.count(), random.bits());
    std::vector<NumberedRecord> definitions;
    for (Index i = 0; i < count; ++i) definitions.push_back({near(asked.key, order(i % near.count())), random.below(values)});
    while (length_of(definitions) % task.records() > 0)
        if (const Index key = random.below(keys); key != asked.key) definitions.push_back({key, random.below(values)});
    return definitions;
}

}  // namespace fot
