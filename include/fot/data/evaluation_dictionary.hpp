/// A dictionary of any size for evaluation: computed record by record, never stored.
///
/// Sixteen million tokens of definitions need not exist at once: record r is a function of r and the seed. Keys never repeat unless
/// that is asked for, so that every question has one answer.
///
/// Source: paper appendix F: the number of definitions grows, the number of questions stays.
/// Read first: data/dictionary.hpp.   Read next: examples/dictionary_lookup.cpp.
#pragma once

#include <algorithm>
#include <vector>

#include "fot/data/dictionary.hpp"

namespace fot {

/// One entry of a dictionary.
struct DictionaryRecord {
    std::vector<std::int32_t> key;    ///< its symbols
    std::vector<std::int32_t> value;  ///< its symbols
};

/// Record r is a function of the seed and r.
///
/// The memory of N tokens is N / half_length windows of definitions, filled up as in training. Keys are distinct (a permutation of
/// all 61^4), or with `repeat_keys` independent draws: then a repeated key has several values, no definition "wins", and
/// `accuracy_ceiling` says what is left to reach.
class EvaluationDictionary {
   public:
    /// The dictionary that belongs to the seed.   Errors: ConfigError for an impossible task.
    explicit EvaluationDictionary(DictionaryTask task, std::uint64_t seed, bool repeat_keys = false)
        : task_((require_valid(task), task)),
          repeat_keys_(repeat_keys),
          key_count_(word_count(task.ordinary_symbols(), task.key_length)),
          value_count_(word_count(task.ordinary_symbols(), task.value_length)),
          permutation_(key_count_, seed) {
        Random random(seed);
        random.bits();  // stays unused: recorded results belong to the dictionaries that seeds have given so far
        key_seed_ = random.bits();
        value_seed_ = random.bits();
    }

    /// The form of the task.
    const DictionaryTask& task() const { return task_; }

    /// Windows of definitions in a memory of that many tokens.
    /// Errors: ConfigError if memory_tokens is not a positive multiple of half_length, or there are fewer distinct keys than that.
    Index windows_for(Index memory_tokens) const {
        require<ConfigError>(memory_tokens > 0 && memory_tokens % task_.half_length == 0, "EvaluationDictionary: ", memory_tokens,
                             " memory tokens are not a positive multiple of the window of ", task_.half_length);
        const Index windows = memory_tokens / task_.half_length;
        require<ConfigError>(repeat_keys_ || windows <= key_count_ / task_.records(), "EvaluationDictionary: ", memory_tokens,
                             " memory tokens need ", windows * task_.records(), " distinct keys, there are ", key_count_,
                             " (repeat_keys draws them independently)");
        return windows;
    }

    /// Definitions in a memory of that many tokens.
    Index records_for(Index memory_tokens) const { return windows_for(memory_tokens) * task_.records(); }

    /// Whether some records may have the same key.
    bool repeats_keys() const { return repeat_keys_; }

    /// Record r as numbers of words.   Errors: DataError if r is negative, or there are fewer distinct keys than that.
    NumberedRecord numbered(Index r) const {
        require<DataError>(r >= 0, "EvaluationDictionary: record ", r, " is negative");
        return {key(r), hashed(value_seed_, r, value_count_)};
    }

    /// Key and value of record r.   Errors: as numbered.
    DictionaryRecord record(Index r) const {
        const Tokens tokens = definition_windows(task_, {numbered(r)});
        const std::int32_t *key = row(tokens, Index(0)) + 1, *value = key + task_.key_length + 1;
        return {{key, key + task_.key_length}, {value, value + task_.value_length}};
    }

    /// The record that a place in memory belongs to, -1 for filler.   Errors: DataError if the position is negative.
    Index record_at(Index position) const {
        require<DataError>(position >= 0, "EvaluationDictionary: position ", position, " is negative");
        const Index within = position % task_.half_length / task_.record_length();
        return within < task_.records() ? position / task_.half_length * task_.records() + within : -1;
    }

    /// Windows first ... first+count-1 of the memory, (count,T): to be fed as a batch, in this order.
    /// Errors: DataError if `first` is negative, or there are fewer distinct keys than that; ShapeError if `count` is negative.
    Tokens windows(Index first, Index count) const {
        require<ShapeError>(count >= 0, "EvaluationDictionary: ", count, " windows, expected 0 or more");
        std::vector<NumberedRecord> definitions;
        for (Index i = 0; i < count * task_.records(); ++i) definitions.push_back(numbered(first * task_.records() + i));
        return definition_windows(task_, definitions);
    }

    /// Questions about the given records, in their order, one window a row; no `previous`.
    /// Errors: ConfigError unless the records fill whole windows.
    template <class Real>
    DictionaryBatch<Real> questions(const std::vector<Index>& records) const {
        std::vector<NumberedRecord> asked;
        for (const Index r : records) asked.push_back(numbered(r));
        return dictionary_questions<Real>(task_, asked);
    }

    /// At least `count` records to ask about, rounded up to whole windows, uniform over the memory. None comes twice before
    /// all have been asked, so never twice in a window: its answer could be copied from there.
    std::vector<Index> sample_questions(Index memory_tokens, Index count, Random& random) const {
        require<ConfigError>(count >= 1, "EvaluationDictionary: ", count, " questions, expected 1 or more");
        const Index records = records_for(memory_tokens), a_window = task_.records();
        std::vector<Index> sample;
        IndexPermutation order(records, random.bits());
        for (Index i = 0; i < (count + a_window - 1) / a_window * a_window; ++i) {
            if (i > 0 && i % records == 0) order = IndexPermutation(records, random.bits());
            sample.push_back(order(i % records));
        }
        return sample;
    }

    /// The best accuracy that can be expected: 1 with distinct keys. A key with n definitions leaves the first symbol of the value
    /// to chance, 1 / n; once it is seen the rest is determined:  (value_length - 1 + distinct keys / records) / value_length.
    double accuracy_ceiling(Index memory_tokens) const {
        const Index records = records_for(memory_tokens);
        if (!repeat_keys_) return 1;
        std::vector<Index> keys;
        for (Index r = 0; r < records; ++r) keys.push_back(key(r));
        std::sort(keys.begin(), keys.end());
        const auto distinct = static_cast<double>(std::unique(keys.begin(), keys.end()) - keys.begin()),
                   symbols = static_cast<double>(task_.value_length);
        return (symbols - 1 + distinct / static_cast<double>(records)) / symbols;
    }

   private:
    Index key(Index r) const { return repeat_keys_ ? hashed(key_seed_, r, key_count_) : permutation_(r); }
    static Index hashed(std::uint64_t seed, Index r, Index count) {
        const std::uint64_t bits = mixed_bits(seed + static_cast<std::uint64_t>(r) * 0x9e3779b97f4a7c15u);
        return static_cast<Index>(bits % static_cast<std::uint64_t>(count));
    }

    DictionaryTask task_;
    bool repeat_keys_;
    Index key_count_, value_count_;
    IndexPermutation permutation_;
    std::uint64_t key_seed_ = 0, value_seed_ = 0;
};

}  // namespace fot
