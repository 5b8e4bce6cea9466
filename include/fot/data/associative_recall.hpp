/// Multi-query associative recall (MQAR): pairs of a key and a value, then the keys again, whose values are wanted.
///
///     previous    k1 v1 k2 v2 k3 v3              the pairs
///     current     k3 * * * k1 * * * * * k2 *     *: filler, any token that is no key of this document
///
/// A value is predicted where its key stands again, and is not shown afterwards. Why: this task separates models that can look up
/// what they have read from models that only summarise it. One half of the vocabulary is keys, the other half values. So thousands
/// of tokens have to be copied, while the dictionary (data/dictionary.hpp) spells with 61.
///
/// Source: Arora et al. 2023, "Zoology: Measuring and Improving Recall in Efficient Language Models", as their generator draws it.
///         Departs from it in three things. Pairs and questions are two contexts, so that a memory is the only way to the pairs.
///         Filler is never a key of its own document: such a key would be followed by something that is not its value. All entries
///         of a batch ask at the same places, each in an order of its own.
/// Read first: data/index_permutation.hpp.   Read next: attention/contexts.hpp; examples/associative_recall.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "fot/core/tensor.hpp"
#include "fot/data/index_permutation.hpp"

namespace fot {

/// The form of the task. Keys are the tokens 1 ... vocabulary/2 - 1, values are vocabulary/2 ... vocabulary - 1.
struct AssociativeRecallTask {
    Index vocabulary = 8192;  ///< V
    Index pairs = 4;          ///< of a document: its keys all differ, and so do its values
    Index length = 64;        ///< tokens of pairs and questions together
    double power = 0.01;      ///< of the law by which questions come early: the i-th pair of places is drawn ~ i^(power - 1)

    Index keys() const { return vocabulary / 2 - 1; }                 ///< how many there are
    Index values() const { return vocabulary - vocabulary / 2; }      ///< how many there are
    Index pair_tokens() const { return 2 * pairs; }                   ///< of a previous context
    Index question_tokens() const { return length - pair_tokens(); }  ///< of a current context
};

/// Pairs, and questions about them. `current` entry i asks about `previous` entry i, for each key once.
struct AssociativeRecallBatch {
    Tokens previous;            ///< (P, pair_tokens)
    Tokens current;             ///< (B, question_tokens)
    std::vector<Index> places;  ///< (pairs) of the keys in every entry of `current`, rising
    Tokens values;              ///< (B, pairs) what is to be predicted there
};

/// Throws ConfigError unless there are as many keys and values as pairs, and room for pairs and questions.
inline void require_valid(const AssociativeRecallTask& task);

namespace detail {

/// `count` of the numbers 0 ... length(weights)-1 in rising order, drawn one after another, each by its weight, none twice.
///
/// A number of weight w waits for an exponential time of rate w, and the first to come are drawn (Efraimidis and Spirakis 2006).
inline std::vector<Index> drawn_by_weight(const std::vector<double>& weights, Index count, Random& random) {
    std::vector<std::pair<double, Index>> arrivals;
    for (Index i = 0; i < length_of(weights); ++i) arrivals.emplace_back(-std::log1p(-random.uniform()) / element(weights, i), i);
    std::ranges::sort(arrivals);
    std::vector<Index> drawn;
    for (Index i = 0; i < count; ++i) drawn.push_back(element(arrivals, i).second);
    std::ranges::sort(drawn);
    return drawn;
}

/// A token that is none of these keys.
inline std::int32_t filler(const AssociativeRecallTask& task, const std::set<std::int32_t>& keys, Random& random) {
    while (true)
        if (const auto any = static_cast<std::int32_t>(random.below(task.vocabulary)); !keys.contains(any)) return any;
}

/// Places of the questions: a key stands at the first of two places, so that its value would have had room.
inline std::vector<Index> question_places(const AssociativeRecallTask& task, Random& random) {
    std::vector<double> weights;
    for (Index i = 1; i <= task.question_tokens() / 2; ++i) weights.push_back(std::pow(static_cast<double>(i), task.power - 1));
    std::vector<Index> places = drawn_by_weight(weights, task.pairs, random);
    for (Index& place : places) place *= 2;
    return places;
}

}  // namespace detail

/// Pairs of `contexts` documents, and questions about the first `entries` of them.
///
/// A key that is asked for is defined once in the whole batch, whatever the number of contexts: every question has one answer. The
/// other documents share the keys that are left. Where they have more pairs, keys come again, with other values.
/// Shapes: previous (contexts, pair_tokens), current (entries, question_tokens), values (entries, pairs).
/// Errors: as require_valid; ConfigError unless 1 <= entries <= contexts, and unless there are keys enough for all entries and, if
///         there are further contexts, for one more.
inline AssociativeRecallBatch associative_recall_batch(const AssociativeRecallTask& task, Index entries, Index contexts,
                                                       Random& random) {
    require_valid(task);
    const Index pairs = task.pairs, asked = entries * pairs, others = task.keys() - asked;
    require<ConfigError>(entries >= 1 && contexts >= entries, "associative_recall_batch: ", entries, " entries among ", contexts,
                         " contexts, expected 1 <= entries <= contexts");
    require<ConfigError>(others >= (contexts > entries ? pairs : 0), "associative_recall_batch: ", task.keys(), " keys for ",
                         entries, " entries of ", pairs, " pairs and ", contexts - entries,
                         " other contexts: expected a key of its own for each pair of the entries, and as many as pairs beside");
    AssociativeRecallBatch batch{empty<std::int32_t, 2>({contexts, task.pair_tokens()}),
                                 empty<std::int32_t, 2>({entries, task.question_tokens()}), detail::question_places(task, random),
                                 empty<std::int32_t, 2>({entries, pairs})};
    const IndexPermutation key(task.keys(), random.bits());
    const auto token = [](Index number) { return static_cast<std::int32_t>(number); };
    for (Index context = 0; context < contexts; ++context) {
        const IndexPermutation value(task.values(), random.bits());
        for (Index i = 0; i < pairs; ++i) {
            const Index number = context * pairs + i;
            batch.previous(context, 2 * i) = token(1 + key(number < asked ? number : asked + (number - asked) % others));
            batch.previous(context, 2 * i + 1) = token(task.vocabulary / 2 + value(i));
        }
    }
    for (Index entry = 0; entry < entries; ++entry) {
        const std::int32_t* const document = row(batch.previous, entry);
        std::set<std::int32_t> keys;
        for (Index i = 0; i < pairs; ++i) keys.insert(document[2 * i]);
        for (Index t = 0; t < task.question_tokens(); ++t) batch.current(entry, t) = detail::filler(task, keys, random);
        const IndexPermutation order(pairs, random.bits());
        for (Index i = 0; i < pairs; ++i) {
            batch.current(entry, element(batch.places, i)) = document[2 * order(i)];
            batch.values(entry, i) = document[2 * order(i) + 1];
        }
    }
    return batch;
}

/// The same documents in one piece, for a model without previous contexts: pairs, then questions; `previous` has no rows.
inline AssociativeRecallBatch whole_documents(const AssociativeRecallBatch& batch) {
    const Index entries = extent(batch.current, 0), pairs = extent(batch.previous, 1), questions = extent(batch.current, 1);
    AssociativeRecallBatch whole{empty<std::int32_t, 2>({0, pairs}), empty<std::int32_t, 2>({entries, pairs + questions}),
                                 batch.places, batch.values};
    for (Index b = 0; b < entries; ++b) {
        std::copy_n(row(batch.previous, b), pairs, row(whole.current, b));
        std::copy_n(row(batch.current, b), questions, row(whole.current, b) + pairs);
    }
    for (Index& place : whole.places) place += pairs;
    return whole;
}

inline void require_valid(const AssociativeRecallTask& task) {
    require<ConfigError>(
        task.vocabulary <= std::numeric_limits<std::int32_t>::max() && task.pairs >= 1 && task.keys() >= task.pairs,
        "associative recall: ", task.pairs, " pairs of a vocabulary of ", task.vocabulary, " tokens with ", task.keys(),
        " keys, expected 1 or more, no more than keys, and tokens of 32 bits");
    require<ConfigError>(task.question_tokens() >= task.pair_tokens(), "associative recall: ", task.pairs, " pairs in ",
                         task.length, " tokens, expected 4 tokens a pair or more");
    require<ConfigError>(task.power > 0 && std::isfinite(task.power), "associative recall: power ", task.power,
                         ", expected a finite number above 0");
}

}  // namespace fot
