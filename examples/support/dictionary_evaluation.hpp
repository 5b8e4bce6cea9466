/// What a trained model finds in dictionaries of many sizes: all are read in one pass over the largest.
///
/// The windows of the dictionary go through the layers below the memory layer. Each memory size has questions of its own, and a
/// smaller dictionary is the beginning of a larger one. The keys of a window are scored against the questions of every size that
/// contains the window, and are then dropped: of the dictionary only the values of the best keys so far are kept.
///
/// Read first: fot/data/dictionary.hpp, fot/memory/exact_search.hpp, fot/measure/retrieval.hpp.   Read next: dictionary_lookup.cpp.
#pragma once

#include <span>
#include <unordered_map>

#include "example.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/data/evaluation_dictionary.hpp"
#include "fot/measure/retrieval.hpp"
#include "fot/memory/exact_search.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"

namespace fot::examples {

/// Attention that was found beforehand, as further keys of the memory layer: the search ran while the memory was made.
class FoundBefore : public Source<float> {
   public:
    FoundBefore(Attention<float> found, Index keys) : found_(std::move(found)), keys_(keys) {}
    Attention<float> attend(Tape&, const LayerView<float>&) const override { return found_; }
    Index key_count(Index, Index) const override { return keys_; }

   private:
    Attention<float> found_;
    Index keys_;
};

/// Counts the answers of which every token is right: `right` says it of answer tokens, each answer's one after another.
inline Proportion right_values(const Tensor<std::uint8_t, 2>& right, Index value_length) {
    Proportion values;
    for (Index first = 0; first < element_count(right); first += value_length)
        values.add(std::count(right.data() + first, right.data() + first + value_length, 0) == 0);
    return values;
}

/// What one memory size gives.
struct Lookup {
    Index memory_tokens;
    Proportion tokens = {}, values = {};
    double knn_score = 0, focus_score = 0;  ///< of the best key, means over the first answer tokens, in the head
                                            ///< of the larger kNN score
};

/// The questions of each memory size, and what is found for them.
class DictionaryEvaluation {
   public:
    /// `asked` questions at each of the sizes, the smallest first. Model and dictionary must outlive the evaluation.
    DictionaryEvaluation(const Transformer<float>& model, const EvaluationDictionary& dictionary, const std::vector<Index>& sizes,
                         Index asked, Index k, std::uint64_t seed)
        : model_(model), dictionary_(dictionary), answers_(answer_positions(dictionary.task())) {
        Random random(seed);
        for (const Index size : sizes) {
            Questions& questions = questions_.emplace_back();
            questions.memory_tokens = size;
            questions.records = dictionary.sample_questions(size, asked, random);
            const DictionaryBatch<float> batch = dictionary.questions<float>(questions.records);
            questions.targets = take_positions(batch.targets, answers_);
            Tape tape(Tape::inference);
            const FoundBefore so_many({}, size);  // keys: scores may depend on their number
            questions.x = model.layers(tape, model.embed(tape, batch.current), 0, layer_, so_many);
            questions.q = model.layer(layer_).view(tape, questions.x, so_many, answers_).q;
            for (Index h = 0; h < extent(questions.q.value(), 2); ++h)
                questions.heads.push_back({StreamingSearch<float>(rows_of(questions.q, h), k), rows_of(questions.q, h).rows});
        }
    }

    /// Reads the dictionary, then answers.   Errors: Interrupted after Ctrl-C.
    std::vector<Lookup> run(const std::string& what) {
        const Index length = dictionary_.task().half_length, all = questions_.back().memory_tokens / length;
        const Index block = 8, group = 4 * threads();  // windows of one pass through the layers, and passes side by side
        Progress bar(what, all);
        for (Index first = 0; first < all;) {
            stop_if_interrupted("the trained model is kept; the same command evaluates again");
            // Up to the next size at which some questions stop seeing more.
            const auto open = std::ranges::find_if(
                questions_, [&](const Questions& questions) { return questions.memory_tokens / length > first; });
            const Index last = std::min(first + block * group, open->memory_tokens / length);
            std::vector<KeysAndValues<float>> passes(static_cast<std::size_t>((last - first + block - 1) / block));
            parallel_for(length_of(passes), [&](Index i) {
                const Index begin = first + i * block;
                element(passes, i) = keys_and_values(begin, std::min(block, last - begin));
            });
            const Index heads = length_of(open->heads);
            parallel_for((questions_.end() - open) * heads, [&](Index i) {
                read(element((open + i / heads)->heads, i % heads), i % heads, passes, first * length, block * length);
            });
            first = last;
            bar.update(first, "");
        }
        std::vector<Lookup> lookups;
        for (Questions& questions : questions_) {
            for (Head& head : questions.heads) head.found = head.search.result();
            lookups.push_back(answer(questions));
        }
        return lookups;
    }

    /// Whom the tokens of the first questions attend to at the largest size, as the paper's table: retrieved keys with their
    /// scores. Call it after run.
    Table retrieved_keys(Index count) const {
        Table table({"question", "input token", "head", "retrieved from", "its record", "kNN score", "Focus score"});
        const Index value_length = dictionary_.task().value_length;
        const Questions& questions = questions_.back();
        for (Index n = 0; n < count * value_length; ++n) {
            const Index asked = element(questions.records, n / value_length);
            for (Index h = 0; h < length_of(questions.heads); ++h) {
                const auto [knn, focus] = scores_of_best(questions, h, n);
                const Index position = element(questions.heads, h).found.indices(n, 0), record = dictionary_.record_at(position);
                table.add(message(asked == record ? "right " : "WRONG ", text(asked)),
                          n % value_length == 0 ? "<v>" : message("v", n % value_length), h, message("token ", position),
                          record < 0 ? "filler" : text(record), fixed(knn), fixed(focus));
            }
        }
        return table;
    }

   private:
    /// The queries of one head: their search, and by key the values of what they may have found.
    struct Head {
        StreamingSearch<float> search;
        Index queries;
        std::unordered_map<Index, std::vector<float>> values = {};
        SearchResult<float> found = {};
    };

    /// The questions of one size, and what the layers below make of them.
    struct Questions {
        Index memory_tokens = 0;
        std::vector<Index> records = {};  ///< asked for, in order
        Tokens targets = {};              ///< (W, answers)
        Variable<float, 3> x = {};        ///< (W, T, E) input of the memory layer
        Variable<float, 4> q = {};        ///< (W, answers, H, D) its queries at the answers, with the temperature in them
        std::vector<Head> heads = {};
    };

    /// The rows (W T, D) of one head of x (W,T,H,D), in place.
    static MatrixView<const float> rows_of(const Variable<float, 4>& x, Index h) {
        const auto [windows, tokens, heads, width] = shape_of(x.value());
        return matrix(row(x.value(), Index(0), Index(0), h), windows * tokens, width, heads * width);
    }

    KeysAndValues<float> keys_and_values(Index first_window, Index windows) const {
        Tape tape(Tape::inference);
        return element(model_.keys_and_values(tape, dictionary_.windows(first_window, windows)), layer_);
    }

    /// Offers the keys of the latest windows, which begin at token `begin` and have `rows` keys a pass, to the queries of a head.
    /// The values of those that are among the best are copied; what is no longer among them is forgotten from time to time.
    static void read(Head& head, Index h, const std::vector<KeysAndValues<float>>& passes, Index begin, Index rows) {
        for (Index pass = 0; pass < length_of(passes); ++pass)
            head.search.add(rows_of(element(passes, pass).k, h), begin + pass * rows);
        Index best = 0;
        const auto each_best = [&](auto visit) {
            for (Index n = 0; n < head.queries; ++n)
                for (const auto& candidate : head.search.best(n).candidates()) visit(candidate.index);
        };
        each_best([&](Index key) {
            ++best;
            if (key < begin || head.values.contains(key)) return;
            const MatrixView<const float> values = rows_of(element(passes, (key - begin) / rows).v, h);
            const float* value = values.row((key - begin) % rows);
            head.values[key].assign(value, value + values.columns);
        });
        if (length_of(head.values) < 2 * best) return;
        std::unordered_map<Index, std::vector<float>> kept;
        each_best([&](Index key) { kept.insert(head.values.extract(key)); });
        head.values = std::move(kept);
    }

    /// Key and value of a record.
    std::string text(Index record) const {
        const DictionaryRecord entry = dictionary_.record(record);
        std::string words;
        for (const auto symbol : entry.key) words += message(symbol, " ");
        words += "->";
        for (const auto symbol : entry.value) words += message(" ", symbol);
        return words;
    }

    /// The memory layer with what was found of its k best keys, and the rest of the model.
    Lookup answer(const Questions& questions) const {
        const auto [windows, answers, heads, width] = shape_of(questions.q.value());
        const Index queries = windows * answers, k = extent(questions.heads[0].found.scores, 1);
        Tensor<float, 2> values = empty<float, 2>({k, width});
        Tensor<float, 4> o = empty<float, 4>({windows, answers, heads, width});
        Tensor<float, 3> log_mass = empty<float, 3>({windows, heads, answers});
        for (Index n = 0; n < queries; ++n)
            for (Index h = 0; h < heads; ++h) {
                const Head& head = element(questions.heads, h);
                for (Index j = 0; j < k; ++j) std::copy_n(head.values.at(head.found.indices(n, j)).data(), width, row(values, j));
                log_mass(n / answers, h, n % answers) =
                    found_attention(row(head.found.scores, n), values.data(), k, width, row(o, n / answers, n % answers, h));
            }
        const FoundBefore memory({Variable<float, 4>(std::move(o)), Variable<float, 3>(std::move(log_mass))},
                                 questions.memory_tokens);
        Tape tape(Tape::inference);
        const Variable<float, 3> logits =
            model_.head(tape, model_.layers(tape, questions.x, layer_, model_.config().layers, memory, answers_));

        const Tensor<std::uint8_t, 2> right = correct_predictions(logits.value(), questions.targets);
        Lookup lookup{.memory_tokens = questions.memory_tokens, .values = right_values(right, dictionary_.task().value_length)};
        lookup.tokens.add_each(right);
        const Index first_answers = std::min<Index>(queries, 100);
        for (Index h = 0; h < heads; ++h) {
            double knn = 0, focus = 0;
            for (Index n = 0; n < first_answers; ++n) {
                const auto [knn_n, focus_n] = scores_of_best(questions, h, n);
                knn += knn_n / static_cast<double>(first_answers);
                focus += focus_n / static_cast<double>(first_answers);
            }
            if (knn <= lookup.knn_score) continue;
            lookup.knn_score = knn;
            lookup.focus_score = focus;
        }
        return lookup;
    }

    /// kNN and Focus score of the best key of query n: the windows around it are computed once more.
    std::pair<double, double> scores_of_best(const Questions& questions, Index h, Index n) const {
        const SearchResult<float>& found = element(questions.heads, h).found;
        const Index length = dictionary_.task().half_length, position = found.indices(n, 0);
        const Index begin = std::max<Index>(position / length - 1, 0),
                    end = std::min(position / length + 2, questions.memory_tokens / length);
        const KeysAndValues<float> around = keys_and_values(begin, end - begin);
        const MatrixView<const float> all_keys = rows_of(around.k, h);
        Tensor<float, 2> keys = empty<float, 2>({all_keys.rows, all_keys.columns});
        for (Index i = 0; i < all_keys.rows; ++i) std::copy_n(all_keys.row(i), all_keys.columns, row(keys, i));
        const std::span query(rows_of(questions.q, h).row(n), static_cast<std::size_t>(all_keys.columns)),
            scores(row(found.scores, n), static_cast<std::size_t>(extent(found.scores, 1)));
        return {knn_scores(scores)[0], focus_score(query, keys, position - begin * length)};
    }

    const Transformer<float>& model_;
    const EvaluationDictionary& dictionary_;
    Index layer_ = model_.config().last_memory_layer();
    std::vector<Index> answers_;
    std::vector<Questions> questions_;
};

}  // namespace fot::examples
