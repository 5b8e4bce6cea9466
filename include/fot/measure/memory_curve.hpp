/// How well a model predicts held-out text with memories of many sizes (the paper's analysis: perplexity against memory).
///
/// Documents are read one after another, window by window, into one memory: a stream, the oldest entries leave first. At some
/// windows of each document the model is asked to predict the text with the last 0, 512, 2048, ... tokens of the memory:
///
///     multi-document   the last M tokens of the stream: the own document's, then those of the documents read before
///     single-document  the same, but nothing from before the document began
///
/// All sizes come from one pass (attention/found_attention.hpp). That is possible since what a memory layer remembers does not
/// depend on the memory: all layers below it are local. With two memory layers it would, and the curve is refused.
///
/// Read first: model/inference.hpp, measure/perplexity.hpp.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "fot/attention/found_attention.hpp"
#include "fot/attention/gate.hpp"
#include "fot/data/text.hpp"
#include "fot/measure/perplexity.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"

namespace fot {

/// Which earlier text a memory holds.
enum class MemoryScope { single_document, multi_document };

/// One point of the curve. top_k 0: attention over the whole memory.
struct MemoryCondition {
    MemoryScope scope = MemoryScope::multi_document;  ///< whose text the memory holds
    Index tokens = 0;                                 ///< entries of the memory
    Index top_k = 128;                                ///< entries that each query and head reads; 0: all

    auto operator<=>(const MemoryCondition&) const = default;  ///< scope, tokens, top_k
};

/// What is measured of a model, and where in the documents.
struct MemoryCurveOptions {
    std::vector<MemoryCondition> conditions;                   ///< what is measured; one that comes twice is measured once
    Index window = 128;                                        ///< local context
    Index scored_windows = 8;                                  ///< per document, evenly spread over it; fewer if it has fewer
    Index score_from = 0;                                      ///< only windows that begin at this token of their document or later
    Storage storage = Storage::full;                           ///< how the memories keep their numbers
    std::function<void(Index done, Index all)> progress = {};  ///< called now and then with tokens read and to be read
};

namespace detail {

/// Reads documents into one memory and predicts some of their windows.
template <class Real>
class StreamReader {
   public:
    StreamReader(Transformer<Real>& model, const MemoryCurveOptions& options)
        : model_(model),
          options_(options),
          conditions_(options.conditions.begin(), options.conditions.end()),
          at_(model.config().memory_layers[0]),
          layer_(model.layer(at_)),
          memory_(model.config().key_heads_of(at_), model.config().head_width_of(at_), options.storage, largest(options)) {
        for (const MemoryCondition& condition : conditions_)
            if (std::find(top_ks_.begin(), top_ks_.end(), condition.top_k) == top_ks_.end()) top_ks_.push_back(condition.top_k);
    }

    /// Reads a document; `number` -1: only into the memory.
    void read(const TokenDocument& document, Index number) {
        const Index window = options_.window, length = document.length(), group = 16;
        const std::vector<Index> scored =
            number < 0 ? std::vector<Index>{} : scored_windows(length, window, options_.scored_windows, options_.score_from);
        for (Index first = 0; first < length;) {
            // Layers below the memory see one window at a time, so several windows make a batch.
            const Index count = std::clamp<Index>((length - first) / window, 1, group), width = std::min(window, length - first);
            const Tokens tokens = reshaped<2>(tokens_at(document, first, count * width), {count, width});
            Tape tape(Tape::inference);
            Variable<Real, 3> x = model_.embed(tape, tokens);
            for (Index i = 0; i < at_; ++i) x = model_.layer(i).local(tape, x);
            const Variable<Real, 3> h = layer_.normalized(tape, x);
            const Variable<Real, 4> k = layer_.keys(tape, h), v = layer_.values(tape, h);
            for (Index i = 0; i < count; ++i, first += width) {
                const auto of_window = [&](const auto& y) { return take_entries(tape, y, i, 1); };
                if (std::binary_search(scored.begin(), scored.end(), first / window))
                    score(number, tokens_at(document, first + 1, width), first,
                          {of_window(x), of_window(h), of_window(k), of_window(v)});
                const Shape<3> shape{width, memory_.heads(), memory_.width()};
                memory_.append(reshaped<3>(of_window(k).value(), shape), reshaped<3>(of_window(v).value(), shape), number);
            }
        }
    }

    std::map<MemoryCondition, PerplexityMeter> curve;

   private:
    static Index largest(const MemoryCurveOptions& options) {
        Index most = 1;
        for (const MemoryCondition& condition : options.conditions) most = std::max(most, condition.tokens);
        return most;
    }

    static Tokens tokens_at(const TokenDocument& document, Index first, Index count) {
        return token_row(std::span(document.tokens.data() + first, static_cast<std::size_t>(count)));
    }

    /// A window at the memory layer: its input, normalised input, keys and values.
    struct Window {
        Variable<Real, 3> x, h;
        Variable<Real, 4> k, v;
    };

    /// Predicts a window under all conditions; the `own` newest entries of the memory are of its document.
    void score(Index document, const Tokens& targets, Index own, const Window& window) {
        Tape tape(Tape::inference);
        const std::vector<Index> positions = TransformerLayer<Real>::all_positions(extent(targets, 1));
        const Variable<Real, 4> q = layer_.rotated(tape, layer_.queries(tape, window.h), positions);
        const Attention<Real> local = causal_attention(tape, q, layer_.rotated(tape, window.k, positions), window.v);

        const auto length_of = [&](const MemoryCondition& condition) {
            const Index most = condition.scope == MemoryScope::single_document ? own : memory_.size();
            return std::min({condition.tokens, most, memory_.size()});
        };
        std::vector<Index> lengths;
        for (const MemoryCondition& condition : conditions_) lengths.push_back(length_of(condition));
        std::sort(lengths.begin(), lengths.end());
        lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
        const auto nested = nested_attention(q.value(), memory_, lengths, top_ks_);

        std::map<std::pair<Index, Index>, double> nats;  // of a length and top_k: several conditions may come to the same
        for (const MemoryCondition& condition : conditions_) {
            const Index length = length_of(condition), top_k = length == 0 ? 0 : condition.top_k;
            const auto [place, fresh] = nats.try_emplace({length, top_k}, 0.0);
            if (fresh)
                place->second = nats_with(tape, nested[place_of(lengths, length)][place_of(top_ks_, condition.top_k)], length > 0,
                                          local, window.x, targets);
            curve[condition].add(document, place->second, extent(targets, 1));
        }
    }

    static std::size_t place_of(const std::vector<Index>& list, Index number) {
        return static_cast<std::size_t>(std::find(list.begin(), list.end(), number) - list.begin());
    }

    /// The loss of a window, summed, with the given attention to the memory.
    double nats_with(Tape& tape, const AttentionResult<Real>& remembered, bool remembers, const Attention<Real>& local,
                     const Variable<Real, 3>& x, const Tokens& targets) {
        Variable<Real, 4> o = local.o;
        if (remembers && layer_.gate_bias) o = Variable<Real, 4>(gate(remembered.o, local.o.value(), layer_.gate_bias.value()));
        if (remembers && !layer_.gate_bias)
            o = Variable<Real, 4>(merge(remembered.o, remembered.log_sum_exp, local.o.value(), local.log_sum_exp.value()).o);
        Variable<Real, 3> y = layer_.finish(tape, x, o);
        for (Index above = at_ + 1; above < model_.config().layers; ++above) y = model_.layer(above).local(tape, y);
        const Tensor<Real, 2> of_tokens = token_nats(model_.head(tape, y).value(), targets);
        double sum = 0;
        for (const Real each : of_tokens.storage()) sum += static_cast<double>(each);
        return sum;
    }

    Transformer<Real>& model_;
    const MemoryCurveOptions& options_;
    std::set<MemoryCondition> conditions_;
    Index at_;
    TransformerLayer<Real>& layer_;
    KeyValueMemory<Real> memory_;
    std::vector<Index> top_ks_;
};

}  // namespace detail

/// Bits per byte and perplexity of `documents` under each condition; `before` is read first, to fill the memory.
///
/// A document is numbered by its place in `documents`; those without a whole window are only remembered. Every condition is
/// measured at the same places, so that the difference of two is paired by document (bits_per_byte_difference). The memory holds
/// less than asked for while the stream is young: let `before` have as many tokens as the largest condition.
/// Cost:   the layers below the memory layer once per token; per scored window T H M D multiply-adds of search, M the largest
///         memory, twice as much again and T H M exponentials with a top_k of 0; 2 H D numbers an entry.
/// Errors: ConfigError unless the model has exactly one memory layer, for negative sizes, or if nothing is to be measured;
///         DataError if no document has a whole window, or a token is outside the vocabulary.
/// Same as: read_document over the stream with a memory of capacity M, cleared or not at each document.
template <class Real>
std::map<MemoryCondition, PerplexityMeter> memory_curve(Transformer<Real>& model, const std::vector<TokenDocument>& documents,
                                                        const std::vector<TokenDocument>& before,
                                                        const MemoryCurveOptions& options) {
    const std::size_t memory_layers = model.config().memory_layers.size();
    require<ConfigError>(memory_layers == 1, "memory_curve: the model has ", memory_layers, " memory layers, expected 1");
    require<ConfigError>(!options.conditions.empty() && options.window >= 1 && options.scored_windows >= 1,
                         "memory_curve: ", options.conditions.size(), " conditions, ", options.scored_windows, " windows of ",
                         options.window, " tokens a document, expected 1 or more of each");
    for (const MemoryCondition& condition : options.conditions)
        require<ConfigError>(condition.tokens >= 0 && condition.top_k >= 0, "memory_curve: a memory of ", condition.tokens,
                             " tokens with top_k ", condition.top_k, ", expected 0 or more");
    detail::StreamReader<Real> reader(model, options);
    Index all = 0, done = 0;
    for (const auto* list : {&before, &documents})
        for (const TokenDocument& document : *list) all += document.length();
    const auto read = [&](const TokenDocument& document, Index number) {
        reader.read(document, number);
        done += document.length();
        if (options.progress) options.progress(done, all);
    };
    for (const TokenDocument& document : before) read(document, -1);
    for (std::size_t i = 0; i < documents.size(); ++i) read(documents[i], static_cast<Index>(i));
    require<DataError>(!reader.curve.empty(), "memory_curve: none of the ", documents.size(), " documents has a whole window of ",
                       options.window, " tokens and one more, from token ", options.score_from, " on");
    return std::move(reader.curve);
}

}  // namespace fot
