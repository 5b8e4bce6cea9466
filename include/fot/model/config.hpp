/// The shape of a small decoder with memory layers.
///
/// Defaults are those of the language models in examples/, but for the heads of the memory layer: those models have one.
/// paper_notes.md ("Hyper-parameters") has the paper's numbers beside them, with reasons. Two defaults are choices worth knowing:
/// the last layer is the memory layer, and 1 / temperature starts at 8, so that cosines in a head of width 64 begin with the spread
/// of <q, k> / sqrt(D).
///
/// Source: paper appendix B.1, appendix E and Table 9.
/// Read first: nn/feed_forward.hpp, nn/rotary.hpp.   Read next: model/transformer.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "fot/nn/feed_forward.hpp"
#include "fot/nn/rotary.hpp"

namespace fot {

/// How a memory layer puts memory and local context together (model/joining.hpp).
enum class Integration {
    merged,  ///< one softmax over both: the Focused Transformer
    gated    ///< a learned number per head: the Memorizing Transformer
};

/// The shape of a model, and how its layers compute.
struct TransformerConfig {
    Index vocabulary = 256;                            ///< V
    Index width = 128;                                 ///< E
    Index layers = 3;                                  ///< L
    std::vector<Index> memory_layers = {-1};           ///< 0-based, below 0 from the last; empty: a standard transformer
    Index heads = 4;                                   ///< H of the layers without memory; their D is E / H
    Index memory_heads = 4;                            ///< H of the memory layers; their D is E / H
    Index key_heads = 0;                               ///< grouped-query attention: heads of keys and values; 0: as many as heads
    Index feed_forward = 512;                          ///< inner width
    Activation activation = Activation::squared_relu;  ///< of the feed-forward part
    Integration integration = Integration::merged;     ///< of memory and local context
    double rotary_base = 100;                          ///< of the rotary angles: small, for short local contexts
    RotaryScaling rotary_scaling = {};                 ///< of a model that was prepared for longer texts
    bool memory_positions = false;           ///< rotate local queries and keys in memory layers too (others have position 0)
    bool normalized_heads = true;            ///< queries and keys of length one, and a temperature; false: <q, k> / sqrt(D)
    double initial_inverse_temperature = 8;  ///< 1 / temperature at the start, one learned per head
    double norm_epsilon = 1e-6;              ///< added to mean squares before the root
    bool tied_output = false;                ///< the output matrix is the embedding, not a weight of its own

    bool operator==(const TransformerConfig&) const = default;  ///< field by field

    /// True for the layers that look up the memory.
    bool is_memory_layer(Index layer) const {
        return std::any_of(memory_layers.begin(), memory_layers.end(),
                           [&](Index each) { return each == layer || each + layers == layer; });
    }
    /// The same configuration with every memory layer counted from the first.
    TransformerConfig resolved() const {
        TransformerConfig config = *this;
        for (Index& layer : config.memory_layers)
            if (layer < 0) layer += layers;
        return config;
    }
    /// True for the layers that rotate queries and keys.
    bool has_positions(Index layer) const { return memory_positions || !is_memory_layer(layer); }
    /// H of a layer.
    Index heads_of(Index layer) const { return is_memory_layer(layer) ? memory_heads : heads; }
    /// G, heads of keys and values of a layer.
    Index key_heads_of(Index layer) const { return key_heads == 0 ? heads_of(layer) : key_heads; }
    /// D of a layer.
    Index head_width_of(Index layer) const { return width / heads_of(layer); }

    /// The highest memory layer, -1 if there is none. Above it a previous context has nothing more to give.
    Index last_memory_layer() const {
        for (Index layer = layers - 1; layer >= 0; --layer)
            if (is_memory_layer(layer)) return layer;
        return -1;
    }

    /// Throws ConfigError if the numbers do not fit each other.
    void check() const {
        require<ConfigError>(vocabulary >= 1 && width >= 1 && layers >= 1 && feed_forward >= 1, "TransformerConfig: vocabulary ",
                             vocabulary, ", width ", width, ", layers ", layers, ", feed_forward ", feed_forward,
                             ": each must be at least 1");
        for (const Index count : {heads, memory_heads}) {
            require<ConfigError>(count >= 1 && width % count == 0, "TransformerConfig: width ", width, " does not divide into ",
                                 count, " heads");
            require<ConfigError>(width / count % 2 == 0, "TransformerConfig: head width ", width / count,
                                 " is odd, rotary positions need pairs");
            require<ConfigError>(key_heads >= 0 && (key_heads == 0 || count % key_heads == 0), "TransformerConfig: ", count,
                                 " heads are not a multiple of ", key_heads, " key heads");
        }
        for (const Index layer : memory_layers)
            require<ConfigError>(layer >= -layers && layer < layers, "TransformerConfig: memory layer ", layer, " of ", layers,
                                 " layers");
        const std::vector<Index> listed = resolved().memory_layers;
        for (const Index layer : listed)
            require<ConfigError>(std::count(listed.begin(), listed.end(), layer) == 1, "TransformerConfig: memory layer ", layer,
                                 " is listed twice");
        require<ConfigError>(rotary_base > 0 && std::isfinite(rotary_base) && initial_inverse_temperature > 0 &&
                                 std::isfinite(initial_inverse_temperature) && norm_epsilon > 0 && norm_epsilon < 1,
                             "TransformerConfig: rotary_base ", rotary_base, ", initial_inverse_temperature ",
                             initial_inverse_temperature, ", norm_epsilon ", norm_epsilon,
                             ": expected finite numbers above 0, the last below 1");
        rotary_scaling.check();
    }
};

/// The configuration with all that makes a decoder a LLaMA: SwiGLU, positions in every layer, scores <q, k> / sqrt(D), layers
/// alike. What remains as given: vocabulary, width, layers, memory_layers, heads, key_heads, feed_forward,
/// rotary_scaling, norm_epsilon, tied_output.
inline TransformerConfig as_llama(TransformerConfig config, double rotary_base = 1e4) {
    config.memory_heads = config.heads;
    config.activation = Activation::swiglu;
    config.integration = Integration::merged;
    config.rotary_base = rotary_base;
    config.memory_positions = true;
    config.normalized_heads = false;
    return config;
}

}  // namespace fot
