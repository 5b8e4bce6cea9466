/// Further keys in inference as an approximate search finds them, and with an estimate of what it leaves out.
///
///     MemorySource      the k best entries exactly, or all of the memory           (model/memory_source.hpp)
///     IndexSource       the k best that an index finds                             exact search, inverted lists, a graph
///     SampledTail       the same, and random entries of the rest, weighted
///     ListMeansTail     the same, and the rest, each entry at the means of its list
///
/// Nothing else changes: the layer, the memory and what is appended are the same. So what a model loses is the search's doing.
///
///     MemoryIndexes<float> indexes(model.config(), state, make);
///     indexes.update();                                               // after each window that was appended
///     IndexSource<float> source(state, indexes, 128);
///     model.forward(tape, tokens, source);
///
/// Read first: model/memory_source.hpp, memory/memory_index.hpp, attention/estimated_tail.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "fot/attention/estimated_tail.hpp"
#include "fot/memory/memory_index.hpp"
#include "fot/model/memory_source.hpp"

namespace fot {

/// An index for each memory of a state.
template <class Real>
class MemoryIndexes {
   public:
    /// The state must outlive this, and be of a model of this configuration. `make` makes the search of a head.
    /// Errors: ShapeError if the state is not.
    MemoryIndexes(const TransformerConfig& config, const MemoryState<Real>& state, const MakeKeySearch<Real>& make)
        : config_(config), state_(state), indexes_(static_cast<std::size_t>(config.layers)) {
        state.require_fits("MemoryIndexes", config, state.entries());
        for (Index layer = 0; layer < config.layers; ++layer)
            for (Index b = 0; config.is_memory_layer(layer) && b < state.entries(); ++b)
                element(indexes_, layer).emplace_back(make);
    }

    /// Adds what the memories have got since the last time; those that have changed otherwise are searched anew.
    /// Errors: ShapeError if the state has become one of another shape; ConfigError if its memories have a capacity.
    void update() {
        for (Index layer = 0; layer < length_of(indexes_); ++layer) {
            auto& of_layer = element(indexes_, layer);
            if (!of_layer.empty()) state_.require_fits("MemoryIndexes", config_, length_of(of_layer));
            for (Index b = 0; b < length_of(of_layer); ++b) element(of_layer, b).update(state_.memory(layer, b));
        }
    }

    /// Of batch entry b in a layer.   Errors: ShapeError if there is none.
    const MemoryIndex<Real>& index(Index layer, Index b) const {
        require<ShapeError>(layer >= 0 && layer < length_of(indexes_) && b >= 0 && b < length_of(element(indexes_, layer)),
                            "MemoryIndexes: layer ", layer, ", entry ", b, " has no index");
        return element(element(indexes_, layer), b);
    }

   private:
    TransformerConfig config_;
    const MemoryState<Real>& state_;
    std::vector<std::vector<MemoryIndex<Real>>> indexes_;  // [layer][entry]
};

/// The k best entries that indexes find.
///
/// Cost:   what the searches score, which `scored` counts.
/// Errors: as MemorySource; ConfigError while a tape records, for nothing is learned through an index, and if a memory has changed
///         otherwise than by appending since its index was updated.
template <class Real>
class IndexSource : public Source<Real> {
   public:
    /// State and indexes must outlive the source. `top_k` of 1 or more.
    IndexSource(const MemoryState<Real>& state, const MemoryIndexes<Real>& indexes, Index top_k)
        : state_(state), indexes_(indexes), top_k_(top_k) {
        require<ConfigError>(top_k >= 1, "IndexSource: top_k ", top_k, ", expected 1 or more");
    }

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        require<ConfigError>(!tape.recording(), "IndexSource: expected an inference tape");
        const Tensor<Real, 4>& q = at.q.value();
        const Memories<Real> memories = state_.memories(at.layer);
        detail::require_memories(q, memories);
        if (all_empty(memories)) return {};
        AttentionResult<Real> result = detail::unwritten_result<Real>({q, at.k.value(), at.v.value()});
        for (Index b = 0; b < extent(q, 0); ++b) {
            const KeyValueMemory<Real>& memory = *element(memories, b);
            const MemoryIndex<Real>& index = indexes_.index(at.layer, b);
            require<ConfigError>(memory.size() == 0 || index.knows(memory), "IndexSource: the memory of layer ", at.layer,
                                 ", entry ", b, " is no longer what its index was made of; update the indexes");
            const FoundThrough<Real> found = index.search(q, b, top_k_);
            scored_ += found.scored;
            found_attention(memory, found.entries, b, result);
            add_tail(at, b, memory, found.entries, result);
        }
        return as_constant(std::move(result));
    }
    Index key_count(Index layer, Index b) const override { return state_.memory(layer, b).size(); }

    /// Inner products that the searches have computed so far.
    Index scored() const { return scored_; }

   protected:
    /// Joins the attention to the k best of batch entry b with an estimate of the attention to all others.
    virtual void add_tail(const LayerView<Real>&, Index /*b*/, const KeyValueMemory<Real>&, const FoundEntries<Real>&,
                          AttentionResult<Real>&) const {}

    /// One softmax over entry b of a result and a tail of one batch entry.
    static void join_tail(const AttentionResult<Real>& tail, Index b, AttentionResult<Real>& result) {
        const AttentionResult<Real> best{slice<0>(result.o, b, 1), slice<0>(result.log_sum_exp, b, 1)};
        const AttentionResult<Real> whole = merge(AttentionOutput<Real>(best), tail);
        std::copy_n(whole.o.data(), whole.o.size(), row(result.o, b));
        std::copy_n(whole.log_sum_exp.data(), whole.log_sum_exp.size(), row(result.log_sum_exp, b));
    }

   private:
    const MemoryState<Real>& state_;
    const MemoryIndexes<Real>& indexes_;
    Index top_k_;
    mutable std::atomic<Index> scored_ = 0;
};

/// The k best, and `samples` random ones of the others, weighted (M - k) / samples.
template <class Real>
class SampledTail : public IndexSource<Real> {
   public:
    /// As IndexSource. The same seed draws the same entries in each pass.
    SampledTail(const MemoryState<Real>& state, const MemoryIndexes<Real>& indexes, Index top_k, Index samples, std::uint64_t seed)
        : IndexSource<Real>(state, indexes, top_k), samples_(samples), seed_(seed) {}

   protected:
    void add_tail(const LayerView<Real>& at, Index b, const KeyValueMemory<Real>& memory, const FoundEntries<Real>& found,
                  AttentionResult<Real>& result) const override {
        this->join_tail(sampled_tail(at.q.value(), b, memory, found, samples_, seed_ + static_cast<std::uint64_t>(b)), b, result);
    }

   private:
    Index samples_;
    std::uint64_t seed_;
};

/// The k best, and the others at the means of their lists: of one memory layer and one batch entry.
template <class Real>
class ListMeansTail : public IndexSource<Real> {
   public:
    /// As IndexSource; `means` of each head of the only memory must outlive the source.
    ListMeansTail(const MemoryState<Real>& state, const MemoryIndexes<Real>& indexes, Index top_k,
                  const std::vector<ListMeans<Real>>& means, bool spread)
        : IndexSource<Real>(state, indexes, top_k), means_(means), spread_(spread) {}

   protected:
    void add_tail(const LayerView<Real>& at, Index b, const KeyValueMemory<Real>& memory, const FoundEntries<Real>& found,
                  AttentionResult<Real>& result) const override {
        this->join_tail(list_means_tail(at.q.value(), b, memory, found, means_, spread_), b, result);
    }

   private:
    const std::vector<ListMeans<Real>>& means_;
    bool spread_;
};

}  // namespace fot
