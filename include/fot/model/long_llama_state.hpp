/// What LongLLaMA remembers of the inputs it reads: local caches and memories.
///
/// Every layer has a local cache of the last tokens (model/local_cache.hpp); their positions are kept here, once for all layers.
/// Memory layers also have a memory, in which every key has position 0. The reason for position 0 is in paper_notes.md, "Reasons";
/// how tokens get into the memory is in model/long_llama.hpp.
///
/// Prompts of different lengths are filled up on the left. No token attends to this padding: in the local cache its scores are
/// masked, and it does not go to the memory.
///
/// Read first: model/long_llama_config.hpp, model/local_cache.hpp.   Read next: model/long_llama.hpp.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "fot/model/local_cache.hpp"
#include "fot/model/long_llama_config.hpp"
#include "fot/model/memory_source.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// Which tokens of a batch are tokens: (B,N), 0 is padding, any other number a token.
using Visible = Tensor<std::uint8_t, 2>;

/// What is added to the scores of local keys: 0 for tokens, -infinity for padding, (B,S). Empty if there is no padding.
template <class Real>
Tensor<Real, 2> padding_mask(const Visible& visible) {
    if (std::find(visible.begin(), visible.end(), 0) == visible.end()) return {};
    Tensor<Real, 2> mask = zeros<Real, 2>(shape_of(visible));
    std::transform(visible.begin(), visible.end(), mask.begin(),
                   [](std::uint8_t token) { return token ? Real(0) : -std::numeric_limits<Real>::infinity(); });
    return mask;
}

/// How a full local cache makes room.
enum class Spill {
    all_at_once,  ///< the whole cache leaves: the released code
    oldest_first  ///< only what does not fit leaves
};

/// How a memory is kept and read. The defaults are the released code's, the other values ours.
struct LongLlamaMemoryOptions {
    Index top_k = 0;                   ///< only the best entries for each query and head; 0: the whole memory
    Index capacity = 0;                ///< entries, the oldest leave first; 0: unlimited
    Spill spill = Spill::all_at_once;  ///< what a full local cache gives to the memory
};

/// What a batch of inputs has left: local caches and memories.
template <class Real>
class LongLlamaState {
   public:
    /// Errors: ConfigError for a configuration that does not fit together, no entries, or negative options.
    LongLlamaState(const LongLlamaConfig& config, Index entries, LongLlamaMemoryOptions options = {})
        : model_((config.check(), config.model.resolved())),
          options_(options),
          memory_(model_, entries, config.memory_storage, options.capacity),
          positions_(empty<Index, 2>({entries, 0})),
          visible_(empty<std::uint8_t, 2>({entries, 0})) {
        require<ConfigError>(options.top_k >= 0, "LongLlamaState: top_k ", options.top_k, ", expected 0 or more");
        for (Index i = 0; i < model_.layers; ++i) caches_.emplace_back(entries, model_.key_heads_of(i), model_.head_width_of(i));
    }

    /// B, streams of text.
    Index entries() const { return extent(positions_, 0); }
    /// The model that it is for.
    const TransformerConfig& model() const { return model_; }
    /// How memories are kept and read.
    const LongLlamaMemoryOptions& options() const { return options_; }

    /// Tokens in the local cache.
    Index local_size() const { return extent(positions_, 1); }
    /// Position of each token in the local cache, (B,S).
    const Tensor<Index, 2>& positions() const { return positions_; }
    /// Whether it is one or padding, (B,S).
    const Visible& visible() const { return visible_; }
    /// The position after the largest in the local cache of an entry; 0 if the cache is empty.
    Index next_position(Index entry) const {
        const Index *first = row(positions_, entry), *last = first + local_size();
        return first == last ? 0 : *std::max_element(first, last) + 1;
    }

    /// Tokens that the memory of an entry holds, padding not counted; 0 without memory layers.   Errors: ShapeError.
    Index memory_size(Index entry = 0) const { return memory_.size(entry); }
    /// Bytes of all memories.
    std::size_t memory_bytes() const { return memory_.bytes(); }
    /// The memories of all memory layers and entries.
    MemoryState<Real>& memory() { return memory_; }

    /// The local cache of a layer.   Errors: ShapeError if there is no such layer.
    LocalCache<Real>& cache(Index layer) {
        require<ShapeError>(layer >= 0 && layer < length_of(caches_), "LongLlamaState: layer ", layer, " of ", caches_.size());
        return element(caches_, layer);
    }

    /// The oldest tokens leave all local caches, for the memory where a layer has one.   Errors: DataError if there are fewer.
    void spill(Index count) {
        for (Index i = 0; i < model_.layers && count > 0; ++i) {
            remember(i, cache(i).oldest_keys(count), cache(i).oldest_values(count), visible_);
            cache(i).drop(count);
        }
        positions_ = slice<1>(positions_, count, local_size() - count);
        visible_ = slice<1>(visible_, count, extent(visible_, 1) - count);
    }

    /// Keys and values (B,T,G,D) go to the memory of a layer, if it has one; padding among the first T of `visible` does not.
    void remember(Index layer, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v, const Visible& visible) {
        for (Index b = 0; b < entries() && model_.is_memory_layer(layer); ++b) {
            std::vector<Index> tokens;
            for (Index t = 0; t < extent(k, 1); ++t)
                if (visible(b, t)) tokens.push_back(t);
            const Tensor<Real, 4> k_b = take_positions(slice<0>(k, b, 1), tokens), v_b = take_positions(slice<0>(v, b, 1), tokens);
            memory_.memory(layer, b).append(k_b, v_b, 0, 0);
        }
    }

    /// Notes positions and visibility of the tokens (B,S) that the local caches hold from now on.
    void set_local(Tensor<Index, 2> positions, Visible visible) {
        positions_ = std::move(positions);
        visible_ = std::move(visible);
    }

   private:
    TransformerConfig model_;
    LongLlamaMemoryOptions options_;
    MemoryState<Real> memory_;
    std::vector<LocalCache<Real>> caches_;
    Tensor<Index, 2> positions_;
    Visible visible_;
};

/// Restores a state when it goes out of scope, unless `forget` was called: the reading of a window may fail half-way.
template <class Real>
class LongLlamaUndo {
   public:
    /// Makes room for the tokens that come to the local caches, so that what they hold stays where it is. If memory runs out for
    /// that, the state is as before.
    LongLlamaUndo(LongLlamaState<Real>& state, Index coming)
        : state_(&state), positions_(state.positions()), visible_(state.visible()) {
        for (Index i = 0; i < state.model().layers; ++i) {
            state.cache(i).reserve(coming);
            caches_.push_back(state.cache(i).mark());
            for (Index b = 0; b < state.entries() && state.model().is_memory_layer(i); ++b)
                memories_.push_back(state.memory().memory(i, b).mark());
        }
    }
    LongLlamaUndo(const LongLlamaUndo&) = delete;
    LongLlamaUndo& operator=(const LongLlamaUndo&) = delete;
    ~LongLlamaUndo() {
        if (!state_) return;
        auto of_memory = memories_.begin();
        for (Index i = 0; i < state_->model().layers; ++i) {
            state_->cache(i).go_back(element(caches_, i));
            for (Index b = 0; b < state_->entries() && state_->model().is_memory_layer(i); ++b)
                state_->memory().memory(i, b).go_back(*of_memory++);
        }
        state_->set_local(std::move(positions_), std::move(visible_));
    }

    /// All went well.
    void forget() { state_ = nullptr; }

   private:
    LongLlamaState<Real>* state_;
    Tensor<Index, 2> positions_;
    Visible visible_;
    std::vector<typename LocalCache<Real>::Mark> caches_;
    std::vector<typename KeyValueMemory<Real>::Mark> memories_;  // of all memory layers and entries
};

}  // namespace fot
