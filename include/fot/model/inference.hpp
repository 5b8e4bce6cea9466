/// Inference with memory: text is read window by window, and what the memory layers computed is kept for later windows.
///
///     M_top = the top_k entries of the memory for a query                         (exact, per head)
///     o     = softmax over M_top and the local context up to the query            (or the gate of the Memorizing Transformer)
///
/// A window is appended to the memory AFTER its own attention. Layers without memory see nothing beyond their window. A memory
/// belongs to one input: it starts empty, and a cleared memory is a fresh one.
///
/// Source: paper section 3.1; departs from it in: nothing.
/// Read first: model/transformer.hpp, memory/key_value_memory.hpp.   Read next: model/generation.hpp.
#pragma once

#include <limits>
#include <vector>

#include "fot/attention/causal_attention.hpp"
#include "fot/attention/gate.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/model/transformer.hpp"

namespace fot {

/// The memories of one batch of inputs: one for each memory layer and batch entry.
template <class Real>
class MemoryState {
   public:
    /// `capacity` entries at most, the oldest leave first; 0: unlimited.   Errors: ConfigError if there are no entries.
    MemoryState(const TransformerConfig& config, Index entries, Storage storage = Storage::full, Index capacity = 0)
        : entries_((config.check(), entries)) {
        require<ConfigError>(entries >= 1, "MemoryState: ", entries, " batch entries, expected 1 or more");
        for (Index layer = 0; layer < config.layers; ++layer) {
            memories_.emplace_back();
            if (!config.is_memory_layer(layer)) continue;
            for (Index entry = 0; entry < entries; ++entry)
                memories_.back().emplace_back(config.key_heads_of(layer), config.head_width_of(layer), storage, capacity);
        }
    }

    /// B, streams of text.
    Index entries() const { return entries_; }

    /// Has a model of this configuration its memories in the same layers?
    bool fits(const TransformerConfig& config) const {
        bool same = static_cast<Index>(memories_.size()) == config.layers;
        for (Index layer = 0; same && layer < config.layers; ++layer)
            same = memories_[static_cast<std::size_t>(layer)].empty() != config.is_memory_layer(layer);
        return same;
    }

    /// Tokens that the memory of an entry holds; 0 for a model without memory layers.   Errors: ShapeError.
    Index size(Index entry = 0) const {
        require_entry(entry);
        for (const auto& layer : memories_)
            if (!layer.empty()) return layer[static_cast<std::size_t>(entry)].size();
        return 0;
    }

    /// Forgets everything: the single-document setting, at each new document.
    void clear() {
        for (Index entry = 0; entry < entries_; ++entry) clear(entry);
    }

    /// Forgets what one batch entry has read: its document has ended.   Errors: ShapeError.
    void clear(Index entry) {
        require_entry(entry);
        for (auto& layer : memories_)
            if (!layer.empty()) layer[static_cast<std::size_t>(entry)].clear();
    }

    /// Errors: ShapeError if the layer has no memory, or there is no such entry.
    KeyValueMemory<Real>& memory(Index layer, Index entry) {
        require_entry(entry);
        require<ShapeError>(
            layer >= 0 && layer < static_cast<Index>(memories_.size()) && !memories_[static_cast<std::size_t>(layer)].empty(),
            "MemoryState: layer ", layer, " of ", memories_.size(), " is no memory layer");
        return memories_[static_cast<std::size_t>(layer)][static_cast<std::size_t>(entry)];
    }

   private:
    void require_entry(Index entry) const {
        require<ShapeError>(entry >= 0 && entry < entries_, "MemoryState: entry ", entry, " of ", entries_);
    }

    Index entries_;
    std::vector<std::vector<KeyValueMemory<Real>>> memories_;
};

/// How a memory is read.
struct MemoryOptions {
    Index top_k = 128;   ///< retrieved entries per query and head; 0: the whole memory
    Index document = 0;  ///< what the entries of this window are marked with
    bool append = true;  ///< false: the window looks at the memory and is not remembered
};

namespace detail {

/// A window through the layers, each memory layer appending what it computed. `only_memory`: ends when nothing more is appended,
/// without the attention of the last memory layer, and returns an empty handle.
template <class Real>
Variable<Real, 3> layers_with_memory(Tape& tape, Transformer<Real>& model, const Tokens& tokens, MemoryState<Real>& state,
                                     const MemoryOptions& options, std::vector<MemoryLayerView<Real>>* views, bool only_memory) {
    const Index entries = extent(tokens, 0), length = extent(tokens, 1);
    require<ShapeError>(entries == state.entries(), "window_with_memory: ", entries, " batch entries, the memory state has ",
                        state.entries());
    require<ShapeError>(state.fits(model.config()), "window_with_memory: the memory state is of a model with other layers");
    require<ConfigError>(options.top_k >= (tape.recording() ? 1 : 0), "window_with_memory: top_k ", options.top_k,
                         tape.recording() ? " in training, expected 1 or more" : " is negative");
    Variable<Real, 3> x = model.embed(tape, tokens);
    for (Index i = 0; i < model.config().layers; ++i) {
        TransformerLayer<Real>& layer = model.layer(i);
        if (!model.config().is_memory_layer(i)) {
            x = layer.local(tape, x);
            continue;
        }
        const Variable<Real, 3> h = layer.normalized(tape, x);
        const Variable<Real, 4> keys = layer.keys(tape, h), v = layer.values(tape, h);
        const auto append = [&](Index b) {
            const Shape<3> shape{length, extent(keys.value(), 2), extent(keys.value(), 3)};
            state.memory(i, b).append(reshaped<3>(take_entries(keys.value(), b, 1), shape),
                                      reshaped<3>(take_entries(v.value(), b, 1), shape), options.document);
        };
        if (only_memory && i == model.config().last_memory_layer()) {
            for (Index b = 0; options.append && b < entries; ++b) append(b);
            return {};
        }
        const std::vector<Index> at = TransformerLayer<Real>::all_positions(length);
        const Variable<Real, 4> q = layer.rotated(tape, layer.queries(tape, h), at), k = layer.rotated(tape, keys, at);
        if (views) views->push_back({i, q, k, {}});
        const Attention<Real> local = causal_attention(tape, q, k, v);
        Variable<Real, 4> o;
        for (Index b = 0; b < entries; ++b) {
            KeyValueMemory<Real>& memory = state.memory(i, b);
            Variable<Real, 4> o_b = take_entries(tape, local.o, b, 1);
            if (memory.size() > 0) {  // with nothing remembered the layer is local, gate or no gate
                const Attention<Real> remembered = memory_attention(tape, take_entries(tape, q, b, 1), memory, options.top_k);
                o_b = layer.gate_bias ? gate(tape, remembered.o, o_b, layer.gate_bias)
                                      : merge(tape, remembered, {o_b, take_entries(tape, local.log_sum_exp, b, 1)}).o;
            }
            o = b == 0 ? o_b : concatenate_entries(tape, o, o_b);
            if (options.append) append(b);
        }
        x = layer.finish(tape, x, o);
    }
    return x;
}

/// Tokens (B,N) in windows (B,T), the last one ragged: `each(first token, window)`.
template <class Each>
void for_each_window(const char* who, const Tokens& tokens, Index window, Each each) {
    require<ConfigError>(window >= 1, who, ": a window of ", window, " tokens, expected 1 or more");
    for (Index first = 0; first < extent(tokens, 1); first += window) {
        const Index count = std::min(window, extent(tokens, 1) - first);
        each(first, take_positions(tokens, first, count));
    }
}

}  // namespace detail

/// Logits (B,T,V) of one window of tokens (B,T), which then are part of the memory (unless options.append is false).
///
/// On a training tape gradients reach the local keys and values and all queries; what is remembered is constant, as in the
/// Memorizing Transformer, and needs a top_k above 0.
/// `views`, if not null, receives the queries and local keys of each memory layer.
/// Cost:   per memory layer B H T M D multiply-adds of search, M the memory's size.
/// Errors: ShapeError unless the state has B entries and the memory layers of the model; DataError for a token outside the
///         vocabulary; ConfigError if top_k < 0, or 0 on a training tape.
/// Same as: Transformer::local while the memory is empty; Transformer::crossbatch with the earlier windows as contexts, when top_k
///          takes in the whole memory.
template <class Real>
Variable<Real, 3> window_with_memory(Tape& tape, Transformer<Real>& model, const Tokens& tokens, MemoryState<Real>& state,
                                     const MemoryOptions& options = {}, std::vector<MemoryLayerView<Real>>* views = nullptr) {
    return model.head(tape, detail::layers_with_memory(tape, model, tokens, state, options, views, false));
}

/// Reads one window without gradients: its logits (B,T,V). Cost, errors and equivalences are those of window_with_memory.
template <class Real>
Tensor<Real, 3> read_window(Transformer<Real>& model, const Tokens& tokens, MemoryState<Real>& state,
                            const MemoryOptions& options = {}) {
    Tape tape(Tape::inference);
    return window_with_memory(tape, model, tokens, state, options).value();
}

/// Reads tokens (B,N) of any length in windows of `window`, the last one ragged: logits (B,N,V).
/// Errors: ConfigError if window < 1, and those of window_with_memory.
template <class Real>
Tensor<Real, 3> read_document(Transformer<Real>& model, const Tokens& tokens, Index window, MemoryState<Real>& state,
                              const MemoryOptions& options = {}) {
    const Index entries = extent(tokens, 0), vocabulary = model.config().vocabulary;
    Tensor<Real, 3> logits = empty<Real, 3>({entries, extent(tokens, 1), vocabulary});
    detail::for_each_window("read_document", tokens, window, [&](Index first, const Tokens& part) {
        const Tensor<Real, 3> of_part = read_window(model, part, state, options);
        for (Index b = 0; b < entries; ++b) std::copy_n(row(of_part, b), extent(part, 1) * vocabulary, row(logits, b, first));
    });
    return logits;
}

/// Only remembers tokens (B,N): the memory is as after read_document, but nothing is predicted. With one memory layer nothing is
/// searched either: what it appends does not depend on what it remembers.
/// Errors: as read_document.
template <class Real>
void remember_document(Transformer<Real>& model, const Tokens& tokens, Index window, MemoryState<Real>& state,
                       const MemoryOptions& options = {}) {
    detail::for_each_window("remember_document", tokens, window, [&](Index, const Tokens& part) {
        Tape tape(Tape::inference);
        detail::layers_with_memory<Real>(tape, model, part, state, options, nullptr, true);
    });
}

}  // namespace fot
