/// Dictionary lookup: can the model find one definition among millions? The paper's synthetic task.
///
/// A document defines words of four symbols and then asks for them:
///
///     <k> k1 k2 k3 k4 <v> v1 v2 v3 v4   ...   <q> k1 k2 k3 k4 <v> v1 v2 v3 v4   ...
///
/// The definitions fill the previous context, the questions the current one, and only v1 ... v4 of the questions count in the loss.
/// The symbols are random, so there is one way to an answer: attend to its definition. That makes the task a clean test of a
/// memory; it says nothing about language.
///
/// Documents are 256 + 256 tokens. Each half holds 25 whole records, and its last 6 tokens are filler: a run of `<q>` without a
/// question.
///
/// Source: paper section 5.2, appendix F, Figure 10. Departures: whole records, and questions that are a permutation of the
/// definitions.
/// Read first: data/index_permutation.hpp.   Read next: data/evaluation_dictionary.hpp, attention/contexts.hpp (who sees whose
/// definitions).
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

/// How many words of `length` symbols there are.   Errors: ConfigError from 2^53 on.
inline Index word_count(Index symbols, Index length) {
    Index count = 1;
    for (Index i = 0; i < length; ++i) {
        require<ConfigError>(count <= (Index{1} << 53) / symbols, "word_count: ", symbols, "^", length, " words are too many");
        count *= symbols;
    }
    return count;
}

/// Throws ConfigError unless the task can be written in tokens, and all its words can be counted.
inline void require_valid(const DictionaryTask& task) {
    require<ConfigError>(task.symbols >= 4 && task.symbols <= std::numeric_limits<std::int32_t>::max(),
                         "dictionary: ", task.symbols,
                         " symbols, expected 4 or more, of which three are marks, and no more than a token can say");
    require<ConfigError>(task.key_length >= 1 && task.value_length >= 1, "dictionary: keys of ", task.key_length, " and values of ",
                         task.value_length, " symbols, expected 1 or more");
    require<ConfigError>(task.half_length >= task.record_length(), "dictionary: half_length ", task.half_length,
                         " does not hold one record of ", task.record_length(), " tokens");
    for (const Index length : {task.key_length, task.value_length}) word_count(task.ordinary_symbols(), length);
}

/// The positions of the question half whose next token is part of an answer: inputs `<v>`, v1, v2, v3 of each question, in order.
/// Errors: as require_valid.
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

/// Key and value of a record as numbers of words: their symbols are the digits, the first one counts most.
struct NumberedRecord {
    Index key;    ///< below word_count(ordinary symbols, key_length)
    Index value;  ///< below word_count(ordinary symbols, value_length)
};

namespace detail {

/// Writes word number `number` in the given alphabet, first symbol first, and returns the place after it.
inline std::int32_t* write_word(Index number, Index length, const std::vector<std::int32_t>& alphabet, std::int32_t* target) {
    for (Index i = length - 1; i >= 0; --i, number /= length_of(alphabet))
        target[i] = element(alphabet, number % length_of(alphabet));
    return target + length;
}

/// All ordinary symbols, in order.
inline std::vector<std::int32_t> ordinary_alphabet(const DictionaryTask& task) {
    std::vector<std::int32_t> alphabet(static_cast<std::size_t>(task.ordinary_symbols()));
    std::iota(alphabet.begin(), alphabet.end(), 0);
    return alphabet;
}

/// Records in windows, in the given alphabet.
inline Tokens record_windows(const DictionaryTask& task, std::int32_t mark, const std::vector<NumberedRecord>& records,
                             const std::vector<std::int32_t>& alphabet) {
    const Index a_window = task.records(), windows = (length_of(records) + a_window - 1) / a_window;
    Tokens tokens = full<std::int32_t, 2>({windows, task.half_length}, task.filler());
    for (Index i = 0; i < length_of(records); ++i) {
        std::int32_t* target = row(tokens, i / a_window) + i % a_window * task.record_length();
        *target++ = mark;
        target = write_word(element(records, i).key, task.key_length, alphabet, target);
        *target++ = task.value_mark();
        write_word(element(records, i).value, task.value_length, alphabet, target);
    }
    return tokens;
}

/// Targets and mask of a batch whose `current` is written.
template <class Real>
void add_targets(const DictionaryTask& task, DictionaryBatch<Real>& batch) {
    const Index entries = extent(batch.current, 0);
    batch.targets = full<std::int32_t, 2>({entries, task.half_length}, task.filler());
    batch.mask = zeros<Real, 2>({entries, task.half_length});
    const std::vector<Index> answers = answer_positions(task);
    for (Index b = 0; b < entries; ++b) {
        std::copy_n(row(batch.current, b) + 1, task.half_length - 1, row(batch.targets, b));
        for (const Index t : answers) batch.mask(b, t) = 1;
    }
}

}  // namespace detail

/// Definitions as a memory reads them: in their order, as many in a window as it holds, the last one filled up.
/// Shapes: (windows, half_length).   Errors: as require_valid.
inline Tokens definition_windows(const DictionaryTask& task, const std::vector<NumberedRecord>& definitions) {
    require_valid(task);
    return detail::record_windows(task, task.key_mark(), definitions, detail::ordinary_alphabet(task));
}

/// Questions about records, in their order, with their answers: windows as those of definitions; no `previous`.
/// Errors: as require_valid; ConfigError unless the records fill whole windows.
template <class Real>
DictionaryBatch<Real> dictionary_questions(const DictionaryTask& task, const std::vector<NumberedRecord>& asked) {
    require_valid(task);
    require<ConfigError>(!asked.empty() && length_of(asked) % task.records() == 0, "dictionary_questions: ", asked.size(),
                         " questions do not fill whole windows of ", task.records());
    const std::vector<std::int32_t> alphabet = detail::ordinary_alphabet(task);
    DictionaryBatch<Real> batch{
        empty<std::int32_t, 2>({0, task.half_length}), detail::record_windows(task, task.question_mark(), asked, alphabet), {}};
    detail::add_targets(task, batch);
    return batch;
}

/// A training batch: definitions of `contexts` documents and questions about the first `questions` of them.
///
/// The questions of a document are its definitions in a random order, each once: no answer can be copied from nearby. No key comes
/// twice in a batch as long as there are enough, within a document never.
/// `subset` 0 ("uniform") spells with all symbols; above 0 ("hard") each batch spells with that many, drawn anew. With 8 of
/// them, keys of other documents differ in few places: hard negatives by construction.
/// Shapes: previous (contexts,T), current, targets, mask (questions,T) with T = task.half_length.
/// Errors: ConfigError if contexts < questions, questions < 1, or fewer keys exist than a document defines.
template <class Real>
DictionaryBatch<Real> dictionary_batch(const DictionaryTask& task, Index questions, Index contexts, Random& random,
                                       Index subset = 0) {
    require_valid(task);
    require<ConfigError>(questions >= 1 && contexts >= questions, "dictionary_batch: ", questions,
                         " documents with questions among ", contexts, " contexts, expected 1 <= questions <= contexts");
    require<ConfigError>(subset >= 0 && subset <= task.ordinary_symbols(), "dictionary_batch: a subset of ", subset,
                         " symbols, expected 0 (all) ... ", task.ordinary_symbols());
    std::vector<std::int32_t> alphabet = detail::ordinary_alphabet(task);
    if (subset > 0) {
        random.shuffle(alphabet);
        alphabet.resize(static_cast<std::size_t>(subset));
    }
    const Index symbols = length_of(alphabet), records = task.records(), keys = word_count(symbols, task.key_length),
                values = word_count(symbols, task.value_length);
    require<ConfigError>(keys >= records, "dictionary_batch: ", symbols, " symbols spell ", keys, " keys, a document defines ",
                         records);

    const bool one_permutation = contexts <= keys / records;
    IndexPermutation permutation(keys, random.bits());
    std::vector<NumberedRecord> definitions, asked;
    for (Index context = 0; context < contexts; ++context) {
        if (context > 0 && !one_permutation) permutation = IndexPermutation(keys, random.bits());
        std::vector<NumberedRecord> document;
        for (Index record = 0; record < records; ++record)
            document.push_back({permutation((one_permutation ? context * records : 0) + record), random.below(values)});
        definitions.insert(definitions.end(), document.begin(), document.end());
        if (context >= questions) continue;
        random.shuffle(document);
        asked.insert(asked.end(), document.begin(), document.end());
    }
    DictionaryBatch<Real> batch{detail::record_windows(task, task.key_mark(), definitions, alphabet),
                                detail::record_windows(task, task.question_mark(), asked, alphabet),
                                {}};
    detail::add_targets(task, batch);
    return batch;
}

/// The same documents in one piece, for a model without memory: `current` (B,2T) is definitions, then questions; no `previous`.
template <class Real>
DictionaryBatch<Real> whole_documents(const DictionaryBatch<Real>& batch) {
    const Index entries = extent(batch.current, 0), half = extent(batch.current, 1);
    require<ShapeError>(extent(batch.previous, 0) >= entries && extent(batch.previous, 1) == half,
                        "whole_documents: previous has shape ", shape_text(shape_of(batch.previous)), ", expected (", entries,
                        " or more, ", half, ")");
    const Shape<2> shape{entries, 2 * half};
    DictionaryBatch<Real> whole{empty<std::int32_t, 2>({0, 2 * half}), empty<std::int32_t, 2>(shape), empty<std::int32_t, 2>(shape),
                                zeros<Real, 2>(shape)};
    for (Index b = 0; b < entries; ++b) {
        std::copy_n(row(batch.previous, b), half, row(whole.current, b));
        std::copy_n(row(batch.current, b), half, row(whole.current, b) + half);
        std::copy_n(row(whole.current, b) + 1, half, row(whole.targets, b));
        std::copy_n(row(batch.targets, b), half, row(whole.targets, b) + half);
        std::copy_n(row(batch.mask, b), half, row(whole.mask, b) + half);
    }
    return whole;
}

}  // namespace fot
