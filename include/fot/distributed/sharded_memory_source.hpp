/// Further keys in inference from a memory that is spread over ranks. To the model it is a source like any other.
///
///     ShardedMemoryState<float> state(ranks, model.config());
///     read_document(model, tokens, window, state);                              // all ranks read the same text
///     generate(model, prompt, count, window, state, sampling, random);          // and write the same
///
/// Every rank computes the whole model, which is small beside the memory, and gets the same answers from the memory. So all ranks
/// come to the same next token without telling each other. That holds if binary, kernels, number of threads and random seed are the
/// same on all of them (paper_notes.md, "When results are bitwise the same").
///
/// Read first: distributed/sharded_attention.hpp, model/inference.hpp.   Read next: examples/sharded_dictionary.cpp.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "fot/distributed/sharded_attention.hpp"
#include "fot/model/inference.hpp"

namespace fot {

/// The sharded memory of each memory layer, for one text.
template <class Real>
class ShardedMemoryState {
   public:
    /// `capacity`, of all ranks together: as in MemoryState.   Errors: those of ShardedMemory; ConfigError if ranks differ.
    ShardedMemoryState(Communicator& ranks, const TransformerConfig& config, Storage storage = Storage::full, Index capacity = 0) {
        config.check();
        for (Index layer = 0; layer < config.layers; ++layer)
            if (config.is_memory_layer(layer))
                memories_.emplace(
                    std::piecewise_construct, std::forward_as_tuple(layer),
                    std::forward_as_tuple(ranks, config.key_heads_of(layer), config.head_width_of(layer), storage, capacity));
    }

    /// B, streams of text: one.
    Index entries() const { return 1; }
    /// Tokens that the memory holds, on all ranks; 0 for a model without memory layers.
    Index size() const { return memories_.empty() ? 0 : memories_.begin()->second.size(); }
    /// Bytes of what this rank holds.
    std::size_t bytes() const {
        std::size_t sum = 0;
        for (const auto& [layer, memory] : memories_) sum += memory.shard().bytes();
        return sum;
    }
    /// Forgets everything. All ranks do it.
    void clear() {
        for (auto& [layer, memory] : memories_) memory.clear();
    }

    /// The memory of a layer.   Errors: ShapeError if it has none.
    const ShardedMemory<Real>& memory(Index layer) const {
        const auto at = memories_.find(layer);
        require<ShapeError>(at != memories_.end(), "ShardedMemoryState: layer ", layer, " is no memory layer");
        return at->second;
    }
    /// The same, to be written to.
    ShardedMemory<Real>& memory(Index layer) { return const_cast<ShardedMemory<Real>&>(std::as_const(*this).memory(layer)); }

    /// Throws ShapeError, in the name of `who`, unless a batch is of one text, and the model has these memory layers.
    void require_fits(const char* who, const TransformerConfig& config, Index entries) const {
        require<ShapeError>(entries == 1, who, ": ", entries, " batch entries, a sharded memory is of 1");
        require_memory_layers(who, config, memories_);
    }

    /// Appends a window that all ranks have read: keys and values (1,T,G,D) of each of these layers, marked with a document.
    /// Errors: ShapeError if a view does not fit; NumericError if a key or a value is not finite; then nothing has changed.
    void append(const std::vector<LayerView<Real>>& views, Index document) {
        for (const LayerView<Real>& at : views) require_appendable("ShardedMemoryState", at, 1, memory(at.layer));
        for (const LayerView<Real>& at : views) {
            const auto [one, tokens, heads, width] = shape_of(at.k.value());
            memory(at.layer).append(reshaped<3>(at.k.value(), {tokens, heads, width}),
                                    reshaped<3>(at.v.value(), {tokens, heads, width}), document);
        }
    }

   private:
    std::map<Index, ShardedMemory<Real>> memories_;  // by layer
};

/// The memories of a state as a source, which only looks at them. All batch entries read the same text: its next window, or
/// questions about it. All ranks run the model at the same time, and with `Queries::same` on the same input.
///
/// Errors: ConfigError while the tape records: what is remembered is elsewhere; those of sharded_attention.
/// Same as: MemorySource of a state that holds the same, for one batch entry.
template <class Real>
class ShardedMemorySource : public Source<Real> {
   public:
    /// The state must outlive the source.
    explicit ShardedMemorySource(const ShardedMemoryState<Real>& state, const ShardedReading& reading = {})
        : state_(state), reading_(reading) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        require<ConfigError>(!tape.recording(), "ShardedMemorySource: the tape records, expected inference");
        const ShardedMemory<Real>& memory = state_.memory(at.layer);
        if (memory.size() == 0) return {};
        return as_constant(sharded_attention(memory, at.q.value(), reading_));
    }

    Index key_count(Index layer, Index) const override { return state_.memory(layer).size(); }

   private:
    const ShardedMemoryState<Real>& state_;
    ShardedReading reading_;
};

/// How a window that all ranks have reads a sharded memory. Then each rank remembers what it holds of the window.
template <class Real>
ShardedMemorySource<Real> source_of(const ShardedMemoryState<Real>& state, const MemoryOptions& options) {
    return ShardedMemorySource<Real>(state, {.top_k = options.top_k});
}

}  // namespace fot
