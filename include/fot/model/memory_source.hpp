/// Further keys in inference: a memory of earlier windows, in each memory layer and for each batch entry.
///
///     M_top = the top_k entries of the memory for a query                         (exact, per head)
///     o     = softmax over M_top and the local context up to the query            (or the layer's gate)
///
/// A window is appended to the memories AFTER its own attention: when its pass is over (model/inference.hpp). So a pass that fails
/// changes none of them. A memory belongs to one stream of text: it starts empty, and a cleared memory is a fresh one.
///
/// Source: paper section 3.1, appendix B.2. No departures.
/// Read first: model/source.hpp, attention/memory_attention.hpp.   Read next: model/inference.hpp, model/index_source.hpp.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fot/attention/memory_attention.hpp"
#include "fot/core/finite.hpp"
#include "fot/model/config.hpp"
#include "fot/model/source.hpp"

namespace fot {

/// The memories of one batch of inputs: one for each memory layer and batch entry.
template <class Real>
class MemoryState {
   public:
    /// `capacity` entries at most, the oldest are dropped first; 0: unlimited.   Errors: ConfigError if there are no entries.
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

    /// Throws ShapeError, in the name of `who`, unless a model of this configuration can read a batch of `entries` with these
    /// memories.
    void require_fits(const char* who, const TransformerConfig& config, Index entries) const {
        require<ShapeError>(entries == entries_, who, ": ", entries, " batch entries, the memory state has ", entries_);
        bool same = length_of(memories_) == config.layers;
        for (Index layer = 0; same && layer < config.layers; ++layer) {
            const auto& of_layer = element(memories_, layer);
            same = of_layer.empty() != config.is_memory_layer(layer) &&
                   (of_layer.empty() ||
                    (of_layer[0].heads() == config.key_heads_of(layer) && of_layer[0].width() == config.head_width_of(layer)));
        }
        require<ShapeError>(same, who, ": the memory state is of a model with other memory layers, or other heads in them");
    }

    /// Tokens that the memory of an entry holds; 0 for a model without memory layers.   Errors: ShapeError.
    Index size(Index entry = 0) const {
        require_entry(entry);
        for (const auto& layer : memories_)
            if (!layer.empty()) return element(layer, entry).size();
        return 0;
    }

    /// Bytes of all memories.
    std::size_t bytes() const {
        std::size_t sum = 0;
        for (const auto& layer : memories_)
            for (const auto& memory : layer) sum += memory.bytes();
        return sum;
    }

    /// Forgets everything: the single-document setting, at each new document.
    void clear() {
        for (Index entry = 0; entry < entries_; ++entry) clear(entry);
    }

    /// Forgets what one batch entry has read: its document has ended.   Errors: ShapeError.
    void clear(Index entry) {
        require_entry(entry);
        for (auto& layer : memories_)
            if (!layer.empty()) element(layer, entry).clear();
    }

    /// Appends a window to the memories: keys and values (B,T,G,D) of each of these layers, marked with a document. If memory runs
    /// out, nothing has changed.
    /// Errors: ShapeError if a view does not fit; NumericError if a key or a value is not finite; then nothing has changed.
    void append(const std::vector<LayerView<Real>>& views, Index document) {
        for (const LayerView<Real>& at : views) {
            require_appendable("MemoryState", at, entries_, memory(at.layer, 0));
            for (Index b = 0; b < entries_; ++b) memory(at.layer, b).reserve(extent(at.k.value(), 1));
        }
        for (const LayerView<Real>& at : views)
            for (Index b = 0; b < entries_; ++b) memory(at.layer, b).append(at.k.value(), at.v.value(), b, document);
    }

    /// The memory of each batch entry in a layer.   Errors: ShapeError if the layer has none.
    Memories<Real> memories(Index layer) const {
        Memories<Real> all;
        for (Index entry = 0; entry < entries_; ++entry) all.push_back(&memory(layer, entry));
        return all;
    }

    /// Errors: ShapeError if the layer has no memory, or there is no such entry.
    const KeyValueMemory<Real>& memory(Index layer, Index entry) const {
        require_entry(entry);
        require<ShapeError>(layer >= 0 && layer < length_of(memories_) && !element(memories_, layer).empty(), "MemoryState: layer ",
                            layer, " of ", memories_.size(), " is not a memory layer");
        return element(element(memories_, layer), entry);
    }
    /// The same, to be written to.
    KeyValueMemory<Real>& memory(Index layer, Index entry) {
        return const_cast<KeyValueMemory<Real>&>(std::as_const(*this).memory(layer, entry));
    }

   private:
    void require_entry(Index entry) const {
        require<ShapeError>(entry >= 0 && entry < entries_, "MemoryState: entry ", entry, " of ", entries_);
    }

    Index entries_;
    std::vector<std::vector<KeyValueMemory<Real>>> memories_;
};

/// Throws, in the name of a `state`, unless what a layer has computed for `entries` texts can go to such a memory.
/// Errors: ShapeError if keys and values do not fit it; NumericError if one of them is not finite, or too large for it.
template <class Real, class Memory>
void require_appendable(const std::string& state, const LayerView<Real>& at, Index entries, const Memory& memory) {
    const std::string keys = state + "::append: keys", values = state + "::append: values";
    require_shape(keys.c_str(), at.k.value(), {entries, -1, memory.heads(), memory.width()});
    require_shape(values.c_str(), at.v.value(), shape_of(at.k.value()));
    require_finite(keys.c_str(), at.k.value());
    require_finite(values.c_str(), at.v.value());
    memory.require_storable(keys.c_str(), at.k.value().data(), element_count(at.k.value()));
    memory.require_storable(values.c_str(), at.v.value().data(), element_count(at.v.value()));
}

/// Throws ShapeError, in the name of `who`, unless memories by layer are those of a model of this configuration.
template <class Memory>
void require_memory_layers(const char* who, const TransformerConfig& config, const std::map<Index, Memory>& memories) {
    Index same = 0;
    for (const auto& [layer, memory] : memories)
        same += layer < config.layers && config.is_memory_layer(layer) && memory.heads() == config.key_heads_of(layer) &&
                memory.width() == config.head_width_of(layer);
    require<ShapeError>(same == length_of(memories) && same == length_of(config.memory_layers), who,
                        ": the memory state is of a model with other memory layers, or other heads in them");
}

/// How a window reads a memory and is remembered.
struct MemoryOptions {
    Index top_k = 128;   ///< retrieved entries per query and head; 0: the whole memory
    Index document = 0;  ///< what the entries of this window are marked with
    bool append = true;  ///< false: the window looks at the memory and is not remembered
};

/// The memories of a state as a source, which only looks at them. On a training tape gradients reach the queries, not what is
/// remembered: so the Memorizing Transformer trains.
///
/// Cost:   per memory layer and batch entry H T M D multiply-adds of search, M the memory's size.
/// Errors: ShapeError unless the state has as many batch entries as the window; ConfigError if top_k is negative, or 0 while the
///         tape records.
template <class Real>
class MemorySource : public Source<Real> {
   public:
    /// The state must outlive the source. `top_k`: as in MemoryOptions.
    explicit MemorySource(const MemoryState<Real>& state, Index top_k = MemoryOptions{}.top_k) : state_(state), top_k_(top_k) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        const Memories<Real> memories = state_.memories(at.layer);
        const Attention<Real> found = memory_attention(tape, at.q, memories, top_k_);  // checks all, empty memories too
        return all_empty(memories) ? Attention<Real>{} : found;
    }

    Index key_count(Index layer, Index b) const override { return state_.memory(layer, b).size(); }

   private:
    const MemoryState<Real>& state_;
    Index top_k_;
};

/// How a window reads the memories of a state: each kind of state has a function of this name.
template <class Real>
MemorySource<Real> source_of(const MemoryState<Real>& state, const MemoryOptions& options) {
    return MemorySource<Real>(state, options.top_k);
}

}  // namespace fot
