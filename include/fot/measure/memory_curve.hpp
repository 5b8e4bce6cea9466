/// How well a model predicts held-out text with memories of many sizes.
///
/// Documents are read one after another, window by window, into one memory: a stream, whose oldest entries leave first. At some
/// windows of each document the model predicts the text with the last 0, 512, 2048, ... tokens of the memory:
///
///     multi-document   the last M tokens of the stream: those of the document being read, then those of the documents read before
///     single-document  the same, but nothing from before the document began
///
/// So a single-document condition is not a memory that was cleared, as in reading (model/inference.hpp), but one whose older part
/// is not looked at. With one memory layer both give the same numbers, if M covers the document so far.
///
/// All sizes come from one pass (attention/nested_attention.hpp). That needs keys and values that do not depend on the memory: all
/// layers below the memory layer are local. With two memory layers they would depend on it, and the curve is refused.
///
/// Source: paper sections 5.1 (settings), 5.3 and 5.4, Figures 8 and 9. Bits per byte in place of perplexity.
/// Read first: model/inference.hpp, measure/perplexity.hpp.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "fot/attention/nested_attention.hpp"
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
    std::function<void(Index done, Index all)> progress = {};  ///< called now and then with tokens read and to be read
};

/// One memory at several sizes: batch entry i reads it as readings[i] says.
///
/// A window that is repeated for each entry is thereby predicted with all sizes in one pass. All entries must hold the same tokens.
/// Their queries are then equal, unless the scoring depends on the number of keys. Consecutive entries with equal queries share one
/// search.
template <class Real>
class NestedMemory : public Source<Real> {
   public:
    /// The memory must outlive the source.   Errors of attend: ConfigError while the tape records; ShapeError unless there are as
    /// many entries as readings.
    NestedMemory(const KeyValueMemory<Real>& memory, std::vector<MemoryReading> readings)
        : memory_(memory), readings_(std::move(readings)) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        const Tensor<Real, 4>& q = at.q.value();
        require<ConfigError>(!tape.recording(), "NestedMemory: the tape records, expected inference");
        require<ShapeError>(extent(q, 0) == length_of(readings_), "NestedMemory: ", extent(q, 0), " batch entries, expected ",
                            readings_.size(), ", one for each reading");
        AttentionResult<Real> result = detail::unwritten_result<Real>({q, at.k.value(), at.v.value()});
        const Index count = length_of(readings_), numbers = count == 0 ? 0 : element_count(q) / count;
        for (Index first = 0, last; first < count; first = last) {
            last = first + 1;
            while (last < count && std::equal(row(q, first), row(q, first) + numbers, row(q, last))) ++last;
            const AttentionResult<Real> part =
                nested_attention(slice<0>(q, first, 1), memory_, {readings_.begin() + first, readings_.begin() + last});
            std::copy_n(part.o.data(), part.o.size(), row(result.o, first));
            std::copy_n(part.log_sum_exp.data(), part.log_sum_exp.size(), row(result.log_sum_exp, first));
        }
        return as_constant(std::move(result));
    }
    Index key_count(Index, Index b) const override { return b < length_of(readings_) ? element(readings_, b).tokens : 0; }

   private:
    const KeyValueMemory<Real>& memory_;
    std::vector<MemoryReading> readings_;
};

namespace detail {

/// Reads documents into one memory and predicts some of their windows.
template <class Real>
class StreamReader {
   public:
    StreamReader(const Transformer<Real>& model, const MemoryCurveOptions& options)
        : model_(model),
          options_(options),
          conditions_(options.conditions.begin(), options.conditions.end()),
          layer_(model.config().last_memory_layer()),
          memory_(model.config().key_heads_of(layer_), model.config().head_width_of(layer_), Storage::full, largest(options)) {}

    /// Reads a document; `number` -1: only into the memory.
    void read(const TokenDocument& document, Index number) {
        const Index window = options_.window, length = document.length(), group = 16;
        std::vector<Index> scored;
        if (number >= 0) scored = scored_windows(length, window, options_.scored_windows, options_.score_from);
        for (Index first = 0; first < length;) {
            // Layers below the memory see one window at a time, so several windows make a batch.
            const Index count = std::clamp<Index>((length - first) / window, 1, group), width = std::min(window, length - first);
            const Tokens tokens = reshaped<2>(tokens_at(document, first, count * width), {count, width});
            Tape tape(Tape::inference);
            const Variable<Real, 3> x = model_.layers(tape, model_.embed(tape, tokens), 0, layer_, NoSource<Real>{});
            const KeysAndValues<Real> windows = model_.layer(layer_).keys_and_values(tape, x);
            for (Index i = 0; i < count; ++i, first += width) {
                if (std::ranges::binary_search(scored, first / window))
                    score(number, tokens_at(document, first + 1, width), first, slice<0>(x.value(), i, 1));
                memory_.append(windows.k.value(), windows.v.value(), i, number);
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
        return token_row(std::span(document.tokens).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
    }

    /// Predicts a window under all conditions, `own` tokens from the start of its document; x (1,T,E) is what comes into the
    /// memory layer.
    void score(Index document, const Tokens& targets, Index own, const Tensor<Real, 3>& x) {
        std::vector<MemoryReading> readings;  // several conditions may come to the same
        std::vector<Index> places;            // of each condition's among them
        for (const auto& [scope, tokens, top_k] : conditions_) {
            const Index there = scope == MemoryScope::single_document ? std::min(own, memory_.size()) : memory_.size();
            const MemoryReading reading{std::min(tokens, there), std::min(tokens, there) == 0 ? 0 : top_k};
            places.push_back(std::ranges::find(readings, reading) - readings.begin());
            if (places.back() == length_of(readings)) readings.push_back(reading);
        }
        Tape tape(Tape::inference);
        const Index count = length_of(readings);
        const Variable<Real, 3> y = model_.layers(tape, Variable<Real, 3>(repeated(x, count)), layer_, model_.config().layers,
                                                  NestedMemory<Real>(memory_, readings));
        const Tensor<Real, 2> nats = token_nats(model_.head(tape, y).value(), repeated(targets, count));
        auto place = places.begin();
        for (const MemoryCondition& condition : conditions_) {
            const Real* of_reading = row(nats, *place++);
            curve[condition].add(document, std::accumulate(of_reading, of_reading + extent(nats, 1), 0.0), extent(nats, 1));
        }
    }

    /// The single entry of x, `count` times.
    template <class Number, std::size_t N>
    static Tensor<Number, N> repeated(const Tensor<Number, N>& x, Index count) {
        Tensor<Number, N> y = empty<Number, N>(detail::with_extent<0>(shape_of(x), count));
        for (Index i = 0; i < count; ++i) std::copy_n(x.data(), x.size(), row(y, i));
        return y;
    }

    const Transformer<Real>& model_;
    const MemoryCurveOptions& options_;
    std::set<MemoryCondition> conditions_;
    Index layer_;
    KeyValueMemory<Real> memory_;
};

}  // namespace detail

/// Bits per byte and perplexity of `documents` under each condition; `before` is read first, to fill the memory.
///
/// A document is numbered by its place in `documents`; those without a whole window are only remembered. Every condition is
/// measured at the same places, so that the difference of two is paired by document (bits_per_byte_difference). The memory holds
/// fewer entries than asked for while the stream is short: let `before` have as many tokens as the largest condition.
/// Cost:   the layers below the memory layer once per token; per scored window T H M D multiply-adds of search, M the largest
///         memory, twice as much again and T H M exponentials with a top_k of 0; 2 H D numbers per entry.
/// Errors: ConfigError unless the model has exactly one memory layer, for negative sizes, or if nothing is to be measured;
///         DataError if no document has a whole window, or a token is outside the vocabulary.
/// Same as: read_document over the stream with a memory of capacity M, cleared or not at each document.
template <class Real>
std::map<MemoryCondition, PerplexityMeter> memory_curve(const Transformer<Real>& model, const std::vector<TokenDocument>& documents,
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
