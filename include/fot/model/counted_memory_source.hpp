/// Further keys in inference from a memory that holds equal entries once: for text that repeats, of any length.
///
///     CountedMemoryState<float> state(model.config());
///     read_document(model, tokens, window, state);                              // as with a MemoryState
///     generate(model, prompt, count, window, state, sampling, random);
///
/// A model with one memory layer, the default of all toys here, leaves the same entries for a window whenever its tokens are the
/// same. The layers below see that window alone, with positions that begin anew in it, and what the memory layer appends does not
/// depend on what it remembers. Of text with period p, windows that begin every s tokens come in p / gcd(s, p) kinds. Once all of
/// them have been read the memory stops growing. With two memory layers the upper one sees what the lower one remembers, which
/// changes; then this state is right too, but saves nothing.
///
/// Source: ours.
/// Read first: attention/counted_attention.hpp, model/inference.hpp.   Read next: examples/passkey.cpp.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "fot/attention/counted_attention.hpp"
#include "fot/model/inference.hpp"

namespace fot {

/// The memory of each memory layer, for one text.
template <class Real>
class CountedMemoryState {
   public:
    /// `most_k`: as of CountedMemory.   Errors: those of the configuration and of CountedMemory.
    explicit CountedMemoryState(const TransformerConfig& config, Index most_k = 128) {
        config.check();
        for (Index layer = 0; layer < config.layers; ++layer)
            if (config.is_memory_layer(layer))
                memories_.emplace(layer, CountedMemory<Real>(config.key_heads_of(layer), config.head_width_of(layer), most_k));
    }

    /// B, streams of text: one.
    Index entries() const { return 1; }
    /// Tokens that the memory holds; 0 for a model without memory layers.
    Index size() const { return memories_.empty() ? 0 : memories_.begin()->second.size(); }

    /// The memory of a layer.   Errors: ShapeError if it has none.
    const CountedMemory<Real>& memory(Index layer) const {
        const auto at = memories_.find(layer);
        require<ShapeError>(at != memories_.end(), "CountedMemoryState: layer ", layer, " is no memory layer");
        return at->second;
    }
    /// The same, to be written to.
    CountedMemory<Real>& memory(Index layer) { return const_cast<CountedMemory<Real>&>(std::as_const(*this).memory(layer)); }

    /// Throws ShapeError, in the name of `who`, unless a batch is of one text, and the model has these memory layers.
    void require_fits(const char* who, const TransformerConfig& config, Index entries) const {
        require<ShapeError>(entries == 1, who, ": ", entries, " batch entries, a counted memory is of 1");
        require_memory_layers(who, config, memories_);
    }

    /// Appends a window: keys and values (1,T,G,D) of each of these layers. Equal entries of different documents are one, so it
    /// does not keep the document.
    /// Errors: ShapeError if a view does not fit; NumericError if a key or a value is not finite; then nothing has changed.
    void append(const std::vector<LayerView<Real>>& views, Index /*document*/ = 0) {
        for (const LayerView<Real>& at : views) require_appendable("CountedMemoryState", at, 1, memory(at.layer).distinct());
        for (const LayerView<Real>& at : views) {
            const auto [one, tokens, heads, width] = shape_of(at.k.value());
            memory(at.layer).append(reshaped<3>(at.k.value(), {tokens, heads, width}),
                                    reshaped<3>(at.v.value(), {tokens, heads, width}));
        }
    }

   private:
    std::map<Index, CountedMemory<Real>> memories_;  // by layer
};

/// The memories of a state as a source, which only looks at them. All batch entries ask of the same text.
///
/// Errors: ConfigError while the tape records; those of counted_attention.
/// Same as: MemorySource of a state that holds the same, for one batch entry: bitwise, unless top_k is 0.
template <class Real>
class CountedMemorySource : public Source<Real> {
   public:
    /// The state must outlive the source. `top_k`: as in MemoryOptions.
    explicit CountedMemorySource(const CountedMemoryState<Real>& state, Index top_k = MemoryOptions{}.top_k)
        : state_(state), top_k_(top_k) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        require<ConfigError>(!tape.recording(), "CountedMemorySource: the tape records, expected inference");
        const CountedMemory<Real>& memory = state_.memory(at.layer);
        AttentionResult<Real> found = counted_attention(at.q.value(), memory, top_k_);  // checks all, an empty memory too
        return memory.size() == 0 ? Attention<Real>{} : as_constant(std::move(found));
    }

    Index key_count(Index layer, Index) const override { return state_.memory(layer).size(); }

   private:
    const CountedMemoryState<Real>& state_;
    Index top_k_;
};

/// How a window reads a counted memory.
template <class Real>
CountedMemorySource<Real> source_of(const CountedMemoryState<Real>& state, const MemoryOptions& options) {
    return CountedMemorySource<Real>(state, options.top_k);
}

}  // namespace fot
