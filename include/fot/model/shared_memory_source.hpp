/// A memory that several documents of a batch share: the paper's multi-document Memorizing Transformer.
///
///     entry b of a batch reads memory b / sharers, and its window is appended there
///
/// So a query meets keys of other documents in training already, as it does in a memory of many documents later. But what is
/// remembered is constant: the model can learn to ask better, not to make keys that are easier to tell apart. In crossbatch the
/// loss has a gradient in these keys as well. A comparison of the two shows what it is worth (claim C16).
///
/// When a document ends, its keys stay: the memory belongs to others, too. They leave only when they are the oldest of a full
/// memory, so a capacity is needed.
///
/// Source: paper appendix, Figure 5.
/// Read first: model/memory_source.hpp.   Read next: train/language_model.hpp.
#pragma once

#include "fot/model/inference.hpp"

namespace fot {

/// The memories of a batch of documents.
template <class Real>
class SharedMemoryState {
   public:
    /// Documents 0 ... sharers - 1 share one memory of `capacity` entries, the next ones another; capacity 0: unlimited.
    /// Errors: ConfigError unless the entries divide into such groups; those of MemoryState.
    SharedMemoryState(const TransformerConfig& config, Index entries, Index sharers, Index capacity = 0)
        : sharers_(sharers), memories_(config, groups(entries, sharers), Storage::full, capacity) {}

    /// B, documents.
    Index entries() const { return memories_.entries() * sharers_; }
    /// How many share a memory.
    Index sharers() const { return sharers_; }
    /// Entry i is the memory of the i-th group.
    const MemoryState<Real>& of_groups() const { return memories_; }
    /// The same, to be written to.
    MemoryState<Real>& of_groups() { return memories_; }

    /// The memory of each document in a layer.   Errors: ShapeError if the layer has none.
    Memories<Real> memories(Index layer) const {
        Memories<Real> all;
        for (Index b = 0; b < entries(); ++b) all.push_back(&memories_.memory(layer, b / sharers_));
        return all;
    }

    /// As of a MemoryState.
    void require_fits(const char* who, const TransformerConfig& config, Index entries) const {
        require<ShapeError>(entries == this->entries(), who, ": ", entries, " batch entries, the shared memories are of ",
                            this->entries());
        memories_.require_fits(who, config, memories_.entries());
    }

    /// Appends a window, that of entry 0 first. If memory runs out, nothing has changed.
    /// Errors: ShapeError if a view does not fit; NumericError if a key or a value is not finite; then nothing has changed.
    void append(const std::vector<LayerView<Real>>& views, Index document) {
        for (const LayerView<Real>& at : views) {
            require_appendable("SharedMemoryState", at, entries(), memories_.memory(at.layer, 0));
            for (Index group = 0; group < memories_.entries(); ++group)
                memories_.memory(at.layer, group).reserve(sharers_ * extent(at.k.value(), 1));
        }
        for (const LayerView<Real>& at : views)
            for (Index b = 0; b < entries(); ++b)
                memories_.memory(at.layer, b / sharers_).append(at.k.value(), at.v.value(), b, document);
    }

   private:
    static Index groups(Index entries, Index sharers) {
        require<ConfigError>(sharers >= 1 && entries % sharers == 0, "SharedMemoryState: ", entries, " batch entries, of which ",
                             sharers, " share a memory: expected a divisor");
        return entries / sharers;
    }

    Index sharers_;
    MemoryState<Real> memories_;
};

/// The memories as a source, which only looks at them.   Errors: as MemorySource.
/// Same as: MemorySource, of a state in which each entry has a memory of its own with the same content.
template <class Real>
class SharedMemorySource : public Source<Real> {
   public:
    /// The state must outlive the source. `top_k`: as in MemoryOptions.
    explicit SharedMemorySource(const SharedMemoryState<Real>& state, Index top_k) : state_(state), top_k_(top_k) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        const Memories<Real> memories = state_.memories(at.layer);
        const Attention<Real> found = memory_attention(tape, at.q, memories, top_k_);
        return all_empty(memories) ? Attention<Real>{} : found;
    }

    Index key_count(Index layer, Index b) const override { return state_.of_groups().memory(layer, b / state_.sharers()).size(); }

   private:
    const SharedMemoryState<Real>& state_;
    Index top_k_;
};

/// How a window reads shared memories.
template <class Real>
SharedMemorySource<Real> source_of(const SharedMemoryState<Real>& state, const MemoryOptions& options) {
    return SharedMemorySource<Real>(state, options.top_k);
}

}  // namespace fot
