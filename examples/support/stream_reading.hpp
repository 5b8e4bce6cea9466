/// Bits per byte with a memory of many documents, whatever source reads it.
///
/// fot/measure/memory_curve.hpp gives all memory sizes in one pass, but only for softmax attention. Here every size has a memory of
/// its own, whose oldest entries leave, and any source may read it. For softmax both are the same.
///
/// Documents come one after another, so that the document being read is the newest in the memory; or one window of each document in
/// turn, so that the age of a key says nothing about the document that it is from.
///
/// Read first: support/memory_curves.hpp, fot/model/memory_source.hpp.   Read next: distraction_remedies.cpp.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "memory_curves.hpp"

namespace fot::examples {

/// Where a window begins.
struct WindowPlace {
    Index document, first;
};

/// All windows of the documents, one document after another or by turns.
inline std::vector<WindowPlace> reading_order(const std::vector<TokenDocument>& documents, Index window, bool by_turns) {
    std::vector<WindowPlace> order;
    for (Index i = 0; i < length_of(documents); ++i)
        for (Index first = 0; first < element(documents, i).length(); first += window) order.push_back({i, first});
    if (by_turns) std::ranges::stable_sort(order, {}, &WindowPlace::first);
    return order;
}

/// What reads a memory.
using MakeMemorySource = std::function<std::unique_ptr<Source<float>>(const MemoryState<float>&)>;

/// Memories of several sizes that the same text fills, and what is predicted with each.
///
/// Same as: memory_curve, for memories that are read by MemorySource.
class StreamReader {
   public:
    /// A size of 0 is no memory. Model and settings must outlive the reader.
    StreamReader(const Transformer<float>& model, const TextSettings& settings, const std::vector<Index>& sizes,
                 const MakeMemorySource& make_source)
        : model_(model), settings_(settings), sizes_(sizes), make_source_(make_source), losses_(sizes.size()) {
        for (const Index size : sizes)  // one of size 0 is not read
            memories_.emplace_back(model.config(), 1, Storage::full, std::max<Index>(size, 1));
        make_sources();
    }
    /// Goes on by itself from what the other one has read.
    StreamReader(const StreamReader& other)
        : model_(other.model_),
          settings_(other.settings_),
          sizes_(other.sizes_),
          make_source_(other.make_source_),
          memories_(other.memories_),
          losses_(other.losses_) {
        make_sources();
    }
    StreamReader& operator=(const StreamReader&) = delete;

    /// Reads documents; if `predicts`, some windows of each are predicted before they are remembered.
    void read(const std::vector<TokenDocument>& documents, bool by_turns, bool predicts, const std::string& what) {
        const std::vector<WindowPlace> order = reading_order(documents, settings_.length, by_turns);
        const auto width_at = [&](const WindowPlace& at) {
            return std::min(settings_.length, element(documents, at.document).length() - at.first);
        };
        Progress bar(what, length_of(order));
        for (Index i = 0, count = 0; i < length_of(order); i += count) {
            stop_if_interrupted("trained models are kept; the same command measures again");
            const Index width = width_at(element(order, i)), group = 16;  // windows that pass the layers below together
            std::vector<std::int32_t> tokens;
            for (count = 0; count < group && i + count < length_of(order); ++count) {
                const auto [document, first] = element(order, i + count);
                if (width_at(element(order, i + count)) != width) break;
                const auto begin = element(documents, document).tokens.begin() + first;
                tokens.insert(tokens.end(), begin, begin + width);
            }
            Tape tape(Tape::inference);
            const Variable<float, 3> x = model_.layers(tape, model_.embed(tape, reshaped<2>(token_row(tokens), {count, width})), 0,
                                                       layer_, NoSource<float>());
            const KeysAndValues<float> seen = model_.layer(layer_).keys_and_values(tape, x);
            for (Index j = 0; j < count; ++j) {
                const auto [number, first] = element(order, i + j);
                const TokenDocument& document = element(documents, number);
                if (predicts && is_predicted(document, first)) predict(document, number, first, slice<0>(x.value(), j, 1));
                for (MemoryState<float>& memory : memories_)
                    memory.memory(layer_, 0).append(seen.k.value(), seen.v.value(), j, number);
            }
            bar.update(i + count);
        }
    }

    /// What reads the memory of a size.   Errors: ConfigError if there is none of that size.
    const Source<float>& source(Index size) const {
        const auto found = std::ranges::find(sizes_, size);
        require<ConfigError>(found != sizes_.end(), "StreamReader: no memory of ", size, " tokens");
        return *element(sources_, found - sizes_.begin());
    }

    /// By memory size, in the conditions of a reading.
    MemoryCurve curve(const Reading& reading) const {
        MemoryCurve curve;
        for (Index i = 0; i < length_of(sizes_); ++i) curve[reading.with(element(sizes_, i))] = element(losses_, i);
        return curve;
    }

   private:
    void make_sources() {  // of this reader's memories
        for (Index i = 0; i < length_of(sizes_); ++i)
            sources_.push_back(element(sizes_, i) == 0 ? std::make_unique<NoSource<float>>() : make_source_(element(memories_, i)));
    }
    bool is_predicted(const TokenDocument& document, Index first) const {
        return std::ranges::binary_search(scored_windows(document.length(), settings_.length, settings_.places),
                                          first / settings_.length);
    }

    /// x (1,T,E) is what comes into the memory layer.
    void predict(const TokenDocument& document, Index number, Index first, const Tensor<float, 3>& x) {
        const Index width = extent(x, 1);
        const Tokens targets =
            token_row(std::span(document.tokens).subspan(static_cast<std::size_t>(first + 1), static_cast<std::size_t>(width)));
        for (Index i = 0; i < length_of(sizes_); ++i) {
            Tape tape(Tape::inference);
            const Variable<float, 3> y =
                model_.layers(tape, Variable<float, 3>(x), layer_, model_.config().layers, *element(sources_, i));
            const Tensor<float, 2> nats = token_nats(model_.head(tape, y).value(), targets);
            element(losses_, i).add(number, std::accumulate(nats.begin(), nats.end(), 0.0), width);
        }
    }

    const Transformer<float>& model_;
    const TextSettings& settings_;
    std::vector<Index> sizes_;
    MakeMemorySource make_source_;
    Index layer_ = model_.config().last_memory_layer();
    std::vector<MemoryState<float>> memories_;
    std::vector<std::unique_ptr<Source<float>>> sources_;
    std::vector<PerplexityMeter> losses_;
};

}  // namespace fot::examples
