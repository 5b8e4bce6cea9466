/// What LongLLaMA remembers of the inputs it reads: local caches and memories.
///
/// The local cache holds the last tokens, keys not rotated, with their positions; all layers have one. Memory layers have a memory
/// beside it, in which everything stands at position 0. Padding is put aside: nothing looks at it that sees anything else.
///
/// Read first: model/long_llama_config.hpp, model/local_cache.hpp.   Read next: model/long_llama.hpp.
#pragma once

#include "fot/model/local_cache.hpp"
#include "fot/model/long_llama_config.hpp"

namespace fot {

/// How a full local cache makes room.
enum class Spill {
    all_at_once,  ///< the whole cache leaves: the released code
    oldest_first  ///< only what does not fit leaves
};

/// How a memory is kept and read; all but the defaults is ours.
struct LongLlamaMemoryOptions {
    Index top_k = 0;                   ///< only the best entries for each query and head; 0: the whole memory
    Index capacity = 0;                ///< entries, the oldest leave first; 0: unlimited
    Spill spill = Spill::all_at_once;  ///< what a full local cache gives to the memory
};

/// What a batch of inputs has left behind: local caches and memories.
template <class Real>
class LongLlamaState {
   public:
    /// Errors: ConfigError for a configuration that does not fit together, no entries, or negative options.
    LongLlamaState(const LongLlamaConfig& config, Index entries, LongLlamaMemoryOptions options = {}) : options_(options) {
        config.check();
        require<ConfigError>(entries >= 1, "LongLlamaState: ", entries, " batch entries, expected 1 or more");
        require<ConfigError>(options.top_k >= 0 && options.capacity >= 0, "LongLlamaState: top_k ", options.top_k, ", capacity ",
                             options.capacity, ": expected 0 or more");
        positions_ = empty<Index, 2>({entries, 0});
        visible_ = empty<std::uint8_t, 2>({entries, 0});
        for (Index i = 0; i < config.layers; ++i) {
            layers_.push_back({{entries, config.key_head_count(), config.head_width()}, {}, {}});
            if (!config.is_memory_layer(i)) continue;
            for (Index b = 0; b < entries; ++b) {
                const KeyValueMemory<Real> memory(config.key_head_count(), config.head_width(), config.memory_storage,
                                                  options.capacity);
                layers_.back().memory.push_back(memory);
                layers_.back().padding.push_back(memory);
            }
        }
    }

    /// B, streams of text.
    Index entries() const { return extent(positions_, 0); }
    /// How memories are kept and read.
    const LongLlamaMemoryOptions& options() const { return options_; }

    /// Has a model of this configuration caches of this form, and its memories in the same layers?
    bool fits(const LongLlamaConfig& config) const {
        bool same = static_cast<Index>(layers_.size()) == config.layers;
        for (Index i = 0; same && i < config.layers; ++i) {
            const Layer& layer = layers_[static_cast<std::size_t>(i)];
            same = layer.memory.empty() != config.is_memory_layer(i) && layer.local.heads() == config.key_head_count() &&
                   layer.local.width() == config.head_width();
        }
        return same;
    }

    /// Tokens in the local cache.
    Index local_size() const { return extent(positions_, 1); }

    /// Tokens that the memory of an entry holds, padding not counted; 0 without memory layers.   Errors: ShapeError.
    Index memory_size(Index entry = 0) const {
        require<ShapeError>(entry >= 0 && entry < entries(), "LongLlamaState: entry ", entry, " of ", entries());
        for (const Layer& layer : layers_)
            if (!layer.memory.empty()) return layer.memory[static_cast<std::size_t>(entry)].size();
        return 0;
    }

    /// Bytes of all memories, and of the padding that was put aside.
    std::size_t memory_bytes() const {
        std::size_t bytes = 0;
        for (const Layer& layer : layers_)
            for (const auto* memories : {&layer.memory, &layer.padding})
                for (const auto& memory : *memories) bytes += memory.bytes();
        return bytes;
    }

    /// What one layer keeps.
    struct Layer {
        LocalCache<Real> local;                     ///< keys and values that have not left for the memory
        std::vector<KeyValueMemory<Real>> memory;   ///< of each entry
        std::vector<KeyValueMemory<Real>> padding;  ///< of each entry; counts only where nothing else is to be seen
    };
    /// What layer i keeps.   Errors: ShapeError if there is no such layer.
    Layer& layer(Index i) {
        require<ShapeError>(i >= 0 && i < static_cast<Index>(layers_.size()), "LongLlamaState: layer ", i, " of ", layers_.size());
        return layers_[static_cast<std::size_t>(i)];
    }

    /// Position of each token in the local cache, (B,S), and whether it is one (1) or padding (0).
    Tensor<Index, 2>& positions() { return positions_; }
    /// See `positions`.
    Tensor<std::uint8_t, 2>& visible() { return visible_; }

   private:
    LongLlamaMemoryOptions options_;
    Tensor<Index, 2> positions_;
    Tensor<std::uint8_t, 2> visible_;
    std::vector<Layer> layers_;
};

}  // namespace fot
