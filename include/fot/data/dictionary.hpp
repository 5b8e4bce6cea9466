/// Dictionary lookup: can the model find one definition among millions?   (the paper's synthetic task)
///
/// A document defines words of four symbols and then asks for them:
///
///     <k> k1 k2 k3 k4 <v> v1 v2 v3 v4   ...   <q> k1 k2 k3 k4 <v> v1 v2 v3 v4   ...
///
/// The definitions fill the previous context, the questions the current one, and only v1 ... v4 of the questions count. The symbols
/// are random, so an answer can be had in one way only: attend to its definition. Training documents are 256 + 256 tokens;
/// an evaluation dictionary has any size and is computed record by record, never stored.
///
/// A half holds whole records, 25 in 256 tokens; the last 6 tokens are filler, a run of `<q>`, which nothing is asked about.
///
/// Read first: data/index_permutation.hpp.   Read next: attention/contexts.hpp (who sees whose definitions).
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "fot/data/index_permutation.hpp"

namespace fot {

/// The form of the task. Symbols 0 ... symbols-4 spell keys and values, the last three are the marks `<k>`, `<v>`, `<q>`
/// (61, 62, 63).
struct DictionaryTask {
    Index symbols = 64;       ///< V, the three marks included
    Index key_length = 4;     ///< symbols of a key
    Index value_length = 4;   ///< symbols of a value
    Index half_length = 256;  ///< tokens of definitions, and as many of questions

    /// Symbols that spell keys and values.
    Index ordinary_symbols() const { return symbols - 3; }
    /// `<k>`: a key follows.
    std::int32_t key_mark() const { return static_cast<std::int32_t>(symbols - 3); }
    /// `<v>`: its value follows.
    std::int32_t value_mark() const { return static_cast<std::int32_t>(symbols - 2); }
    /// `<q>`: a question, the key whose value is wanted, follows.
    std::int32_t question_mark() const { return static_cast<std::int32_t>(symbols - 1); }
    /// Fills up what no record fits in.
    std::int32_t filler() const { return question_mark(); }
    /// Tokens of a record: two marks, key and value.
    Index record_length() const { return key_length + value_length + 2; }
    Index records() const { return half_length / record_length(); }  ///< in a half
};

/// How many words of `length` symbols there are. Errors: ConfigError from 2^53 on, without symbols, or for a negative length.
inline Index word_count(Index symbols, Index length) {
    require<ConfigError>(symbols >= 1 && length >= 0, "word_count: words of ", length, " out of ", symbols,
                         " symbols, expected 0 or more, 1 or more");
    Index count = 1;
    for (Index i = 0; i < length; ++i) {
        require<ConfigError>(count <= (Index{1} << 53) / symbols, "word_count: ", symbols, "^", length, " words are too many");
        count *= symbols;
    }
    return count;
}

/// Throws ConfigError unless the task makes sense.
inline void require_valid(const DictionaryTask& task) {
    require<ConfigError>(task.symbols >= 4 && task.symbols <= std::numeric_limits<std::int32_t>::max(),
                         "dictionary: ", task.symbols,
                         " symbols, expected 4 or more, of which three are marks, and no more than a token can say");
    require<ConfigError>(task.key_length >= 1 && task.value_length >= 1, "dictionary: keys of ", task.key_length, " and values of ",
                         task.value_length, " symbols, expected 1 or more");
    require<ConfigError>(task.half_length >= task.record_length(), "dictionary: half_length ", task.half_length,
                         " does not hold one record of ", task.record_length(), " tokens");
    word_count(task.ordinary_symbols(), task.key_length);
    word_count(task.ordinary_symbols(), task.value_length);
}

/// The positions of the question half whose next token is part of an answer: inputs `<v>`, v1, v2, v3 of each question, in order.
/// Errors: ConfigError unless the task makes sense.
inline std::vector<Index> answer_positions(const DictionaryTask& task) {
    require_valid(task);
    std::vector<Index> positions;
    for (Index record = 0; record < task.records(); ++record)
        for (Index i = 0; i < task.value_length; ++i) positions.push_back(record * task.record_length() + task.key_length + 1 + i);
    return positions;
}

/// Definitions, and questions about them. `current` entry i asks about `previous` entry i, if there is one.
template <class Real>
struct DictionaryBatch {
    Tokens previous;         ///< (P,T) definitions
    Tokens current;          ///< (B,T) questions with their answers
    Tokens targets;          ///< (B,T) the token after each of `current`; the last one is filler
    Tensor<Real, 2> mask{};  ///< (B,T) 1 where the target belongs to an answer
};

namespace detail {

/// Writes word number `number` in the given alphabet, first symbol first, and returns the place behind it.
inline std::int32_t* write_word(Index number, Index length, const std::vector<std::int32_t>& alphabet, std::int32_t* target) {
    const auto base = static_cast<Index>(alphabet.size());
    for (Index i = length - 1; i >= 0; --i, number /= base) target[i] = alphabet[static_cast<std::size_t>(number % base)];
    return target + length;
}

/// Writes a definition or, with `question`, the question for it; returns the place behind.
inline std::int32_t* write_record(const DictionaryTask& task, bool question, Index key, Index value,
                                  const std::vector<std::int32_t>& alphabet, std::int32_t* target) {
    *target++ = question ? task.question_mark() : task.key_mark();
    target = write_word(key, task.key_length, alphabet, target);
    *target++ = task.value_mark();
    return write_word(value, task.value_length, alphabet, target);
}

/// All ordinary symbols, in order.
inline std::vector<std::int32_t> ordinary_alphabet(const DictionaryTask& task) {
    std::vector<std::int32_t> alphabet(static_cast<std::size_t>(task.ordinary_symbols()));
    std::iota(alphabet.begin(), alphabet.end(), 0);
    return alphabet;
}

/// Targets and mask of a batch whose `current` is written.
template <class Real>
void add_targets(const DictionaryTask& task, DictionaryBatch<Real>& batch) {
    const Index entries = extent(batch.current, 0), length = extent(batch.current, 1);
    batch.targets = full<std::int32_t, 2>({entries, length}, task.filler());
    batch.mask = zeros<Real, 2>({entries, length});
    const std::vector<Index> answers = answer_positions(task);
    for (Index b = 0; b < entries; ++b) {
        std::copy_n(row(batch.current, b) + 1, length - 1, row(batch.targets, b));
        for (const Index t : answers) batch.mask(b, t) = 1;
    }
}

}  // namespace detail

/// What training documents are drawn from.
struct DictionaryDraw {
    Index subset = 0;  ///< "hard": each batch spells with this many symbols, drawn anew for it; 0, "uniform": with all of them
};

/// A training batch: definitions of `contexts` documents and questions about the first `questions` of them.
///
/// The questions of a document are its definitions in a random order, each once: no answer can be copied from nearby. No key comes
/// twice in a batch as long as there are enough, within a document never.
/// With few symbols (`draw.subset` 8) keys of other documents differ in few places: hard negatives by construction.
/// Shapes: previous (contexts,T), current, targets, mask (questions,T) with T = task.half_length.
/// Errors: ConfigError if contexts < questions, questions < 1, or fewer keys exist than a document defines.
template <class Real>
DictionaryBatch<Real> dictionary_batch(const DictionaryTask& task, Index questions, Index contexts, Random& random,
                                       DictionaryDraw draw = {}) {
    require_valid(task);
    require<ConfigError>(questions >= 1 && contexts >= questions, "dictionary_batch: ", questions,
                         " documents with questions among ", contexts, " contexts, expected 1 <= questions <= contexts");
    require<ConfigError>(draw.subset >= 0 && draw.subset <= task.ordinary_symbols(), "dictionary_batch: a subset of ", draw.subset,
                         " symbols, expected 0 (all) ... ", task.ordinary_symbols());
    std::vector<std::int32_t> alphabet = detail::ordinary_alphabet(task);
    if (draw.subset > 0) {
        random.shuffle(alphabet);
        alphabet.resize(static_cast<std::size_t>(draw.subset));
    }
    const auto symbols = static_cast<Index>(alphabet.size());
    const Index records = task.records(), keys = word_count(symbols, task.key_length),
                values = word_count(symbols, task.value_length);
    require<ConfigError>(keys >= records, "dictionary_batch: ", symbols, " symbols spell ", keys, " keys, a document defines ",
                         records);

    DictionaryBatch<Real> batch{full<std::int32_t, 2>({contexts, task.half_length}, task.filler()),
                                full<std::int32_t, 2>({questions, task.half_length}, task.filler()),
                                {}};
    const bool one_permutation = contexts <= keys / records;
    IndexPermutation permutation(keys, random.bits());
    std::vector<std::pair<Index, Index>> definitions(static_cast<std::size_t>(records));
    for (Index context = 0; context < contexts; ++context) {
        if (context > 0 && !one_permutation) permutation = IndexPermutation(keys, random.bits());
        std::int32_t* target = row(batch.previous, context);
        for (Index record = 0; record < records; ++record) {
            auto& [key, value] = definitions[static_cast<std::size_t>(record)];
            key = permutation((one_permutation ? context * records : 0) + record);
            value = random.below(values);
            target = detail::write_record(task, false, key, value, alphabet, target);
        }
        if (context >= questions) continue;
        random.shuffle(definitions);
        target = row(batch.current, context);
        for (const auto& [key, value] : definitions) target = detail::write_record(task, true, key, value, alphabet, target);
    }
    detail::add_targets(task, batch);
    return batch;
}

/// The same documents in one piece, for a model without memory: `current` (B,2T) is definitions, then questions; no `previous`.
template <class Real>
DictionaryBatch<Real> whole_documents(const DictionaryBatch<Real>& batch) {
    const Index entries = extent(batch.current, 0), half = extent(batch.current, 1);
    require_shape("whole_documents: targets", batch.targets, {entries, half});
    require_shape("whole_documents: mask", batch.mask, {entries, half});
    require<ShapeError>(extent(batch.previous, 0) >= entries && extent(batch.previous, 1) == half,
                        "whole_documents: previous has shape ", shape_text(shape_of(batch.previous)), ", expected (", entries,
                        " or more, ", half, ")");
    DictionaryBatch<Real> whole{empty<std::int32_t, 2>({0, 2 * half}), empty<std::int32_t, 2>({entries, 2 * half}),
                                empty<std::int32_t, 2>({entries, 2 * half}), zeros<Real, 2>({entries, 2 * half})};
    for (Index b = 0; b < entries; ++b) {
        std::copy_n(row(batch.previous, b), half, row(whole.current, b));
        std::copy_n(row(batch.current, b), half, row(whole.current, b) + half);
        std::copy_n(row(whole.current, b) + 1, half, row(whole.targets, b));
        std::copy_n(row(batch.targets, b), half, row(whole.targets, b) + half);
        std::copy_n(row(batch.mask, b), half, row(whole.mask, b) + half);
    }
    return whole;
}

/// One entry of a dictionary.
struct DictionaryRecord {
    std::vector<std::int32_t> key;    ///< its symbols
    std::vector<std::int32_t> value;  ///< its symbols
};

/// A dictionary of any size for evaluation: record r is a function of the seed and r, so nothing is stored.
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
          alphabet_(detail::ordinary_alphabet(task)),
          permutation_(key_count_, seed) {
        Random random(seed);
        random.bits();  // stays unused: recorded results belong to the dictionaries that seeds have given so far
        key_seed_ = random.bits();
        value_seed_ = random.bits();
    }

    /// The form of the task.
    const DictionaryTask& task() const { return task_; }

    /// Windows of definitions in a memory of that many tokens.
    /// Errors: ConfigError if memory_tokens is no positive multiple of half_length, or there are not so many distinct keys.
    Index windows_for(Index memory_tokens) const {
        require<ConfigError>(memory_tokens > 0 && memory_tokens % task_.half_length == 0, "EvaluationDictionary: ", memory_tokens,
                             " memory tokens are no positive multiple of the window of ", task_.half_length);
        const Index windows = memory_tokens / task_.half_length;
        require<ConfigError>(repeat_keys_ || windows <= key_count_ / task_.records(), "EvaluationDictionary: ", memory_tokens,
                             " memory tokens need ", windows * task_.records(), " distinct keys, there are ", key_count_,
                             " (repeat_keys draws them independently)");
        return windows;
    }

    /// Definitions in a memory of that many tokens.
    Index records_for(Index memory_tokens) const { return windows_for(memory_tokens) * task_.records(); }

    /// Key and value of record r.   Errors: DataError if r is negative, or there are not so many distinct keys.
    DictionaryRecord record(Index r) const {
        require_record(r);
        DictionaryRecord record{std::vector<std::int32_t>(static_cast<std::size_t>(task_.key_length)),
                                std::vector<std::int32_t>(static_cast<std::size_t>(task_.value_length))};
        detail::write_word(key(r), task_.key_length, alphabet_, record.key.data());
        detail::write_word(value(r), task_.value_length, alphabet_, record.value.data());
        return record;
    }

    /// The place of record r in memory: the position of its `<k>`.   Errors: DataError if r is negative.
    Index memory_position(Index r) const {
        require_record(r);
        return r / task_.records() * task_.half_length + r % task_.records() * task_.record_length();
    }

    /// The record that a place in memory belongs to, -1 for filler.   Errors: DataError if the position is negative.
    Index record_at(Index position) const {
        require<DataError>(position >= 0, "EvaluationDictionary: position ", position, " is negative");
        const Index within = position % task_.half_length / task_.record_length();
        return within < task_.records() ? position / task_.half_length * task_.records() + within : -1;
    }

    /// Windows first ... first+count-1 of the memory, (count,T): to be fed as a batch, in this order.
    /// Errors: DataError if `first` is negative, or there are not so many distinct keys; ShapeError if `count` is negative.
    Tokens windows(Index first, Index count) const {
        require<DataError>(first >= 0, "EvaluationDictionary: window ", first, " is negative");
        Tokens tokens = full<std::int32_t, 2>({count, task_.half_length}, task_.filler());
        for (Index window = 0; window < count; ++window) {
            std::int32_t* target = row(tokens, window);
            for (Index r = (first + window) * task_.records(); r < (first + window + 1) * task_.records(); ++r)
                target = detail::write_record(task_, false, key(r), value(r), alphabet_, target);
        }
        return tokens;
    }

    /// Questions about the given records, in their order, one window a row; no `previous`.
    /// Errors: ConfigError unless the records fill whole windows.
    template <class Real>
    DictionaryBatch<Real> questions(const std::vector<Index>& records) const {
        const auto count = static_cast<Index>(records.size());
        require<ConfigError>(count > 0 && count % task_.records() == 0, "EvaluationDictionary: ", count,
                             " questions do not fill whole windows of ", task_.records());
        DictionaryBatch<Real> batch{empty<std::int32_t, 2>({0, task_.half_length}),
                                    full<std::int32_t, 2>({count / task_.records(), task_.half_length}, task_.filler()),
                                    {}};
        std::int32_t* target = nullptr;
        for (Index i = 0; i < count; ++i) {
            const Index r = records[static_cast<std::size_t>(i)];
            require_record(r);
            if (i % task_.records() == 0) target = row(batch.current, i / task_.records());
            target = detail::write_record(task_, true, key(r), value(r), alphabet_, target);
        }
        detail::add_targets(task_, batch);
        return batch;
    }

    /// At least `count` records to ask about, rounded up to whole windows, uniform over the memory. None comes twice before
    /// all have been asked, so never twice in a window: its answer could be copied from there.
    std::vector<Index> sample_questions(Index memory_tokens, Index count, Random& random) const {
        require<ConfigError>(count >= 1, "EvaluationDictionary: ", count, " questions, expected 1 or more");
        const Index records = records_for(memory_tokens), per_window = task_.records();
        std::vector<Index> sample;
        IndexPermutation order(records, random.bits());
        for (Index i = 0; i < (count + per_window - 1) / per_window * per_window; ++i) {
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
        std::vector<Index> keys(static_cast<std::size_t>(records));
        for (Index r = 0; r < records; ++r) keys[static_cast<std::size_t>(r)] = key(r);
        std::sort(keys.begin(), keys.end());
        const auto distinct = static_cast<double>(std::unique(keys.begin(), keys.end()) - keys.begin());
        const auto symbols = static_cast<double>(task_.value_length);
        return (symbols - 1 + distinct / static_cast<double>(records)) / symbols;
    }

   private:
    static void require_record(Index r) { require<DataError>(r >= 0, "EvaluationDictionary: record ", r, " is negative"); }
    static Index hashed(std::uint64_t seed, Index r, Index count) {
        const std::uint64_t bits = mixed_bits(seed + static_cast<std::uint64_t>(r) * 0x9e3779b97f4a7c15u);
        return static_cast<Index>(bits % static_cast<std::uint64_t>(count));
    }
    Index key(Index r) const { return repeat_keys_ ? hashed(key_seed_, r, key_count_) : permutation_(r); }
    Index value(Index r) const { return hashed(value_seed_, r, value_count_); }

    DictionaryTask task_;
    bool repeat_keys_;
    Index key_count_, value_count_;
    std::vector<std::int32_t> alphabet_;
    IndexPermutation permutation_;
    std::uint64_t key_seed_ = 0, value_seed_ = 0;
};

}  // namespace fot
