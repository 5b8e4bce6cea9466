/// The shape of a LongLLaMA, and its weights as a file holds them.
///
/// Source: the released code and its config.json; paper appendix A.
/// Read first: nn/stored_linear.hpp.   Read next: model/long_llama_state.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "fot/memory/key_value_memory.hpp"
#include "fot/nn/stored_linear.hpp"

namespace fot {

/// The shape of a model and how it reads; the defaults are those of LongLLaMA-3B.
struct LongLlamaConfig {
    Index vocabulary = 32000;                        ///< V
    Index width = 3200;                              ///< E
    Index feed_forward = 8640;                       ///< inner width
    Index layers = 26;                               ///< L
    Index heads = 32;                                ///< H
    Index key_heads = 0;                             ///< of keys and values, for grouped-query attention; 0: as many as heads
    Index window = 2048;                             ///< W, tokens of a prefix window, and most that the local cache holds
    Index last_context = 1024;                       ///< C, tokens at the end of an input that stay in the local cache
    std::vector<Index> memory_layers = {6, 12, 18};  ///< 0-based; empty: a LLaMA
    bool memory_positions = true;                    ///< false: memory layers rotate neither queries nor keys
    Storage memory_storage = Storage::bfloat16;      ///< how memories keep their numbers
    double norm_epsilon = 1e-6;                      ///< added to mean squares before the root
    double rotary_base = 1e4;                        ///< of the rotary angles
    bool tied_output = false;                        ///< the output map is the embedding

    /// D
    Index head_width() const { return width / heads; }
    /// G, heads of keys and values.
    Index key_head_count() const { return key_heads == 0 ? heads : key_heads; }
    /// True for the layers that look up the memory.
    bool is_memory_layer(Index layer) const {
        return std::find(memory_layers.begin(), memory_layers.end(), layer) != memory_layers.end();
    }

    /// Throws ConfigError if the numbers do not fit each other.
    void check() const {
        require<ConfigError>(vocabulary >= 1 && width >= 1 && feed_forward >= 1 && layers >= 1 && heads >= 1 && window >= 1,
                             "LongLlamaConfig: vocabulary ", vocabulary, ", width ", width, ", feed_forward ", feed_forward,
                             ", layers ", layers, ", heads ", heads, ", window ", window, ": each must be at least 1");
        require<ConfigError>(width % heads == 0 && head_width() % 2 == 0, "LongLlamaConfig: width ", width,
                             " does not divide into ", heads, " heads of even width");
        require<ConfigError>(key_heads >= 0 && heads % key_head_count() == 0, "LongLlamaConfig: ", heads,
                             " heads are no multiple of ", key_heads, " key heads");
        require<ConfigError>(last_context >= 0, "LongLlamaConfig: last_context ", last_context, " is negative");
        for (const Index layer : memory_layers)
            require<ConfigError>(layer >= 0 && layer < layers, "LongLlamaConfig: memory layer ", layer, " of ", layers, " layers");
        require<ConfigError>(norm_epsilon > 0 && norm_epsilon < 1 && rotary_base > 0 && std::isfinite(rotary_base),
                             "LongLlamaConfig: norm_epsilon ", norm_epsilon, ", rotary_base ", rotary_base,
                             ": expected numbers above 0, the first below 1, the second finite");
    }
};

/// All weights of a model. Matrices are (out, in), as Hugging Face has them; rotary pairs are (j, j + D/2).
template <class Real>
struct LongLlamaWeights {
    /// Those of one layer.
    struct Layer {
        StoredMatrix q;                     ///< (H D, E)
        StoredMatrix k;                     ///< (G D, E)
        StoredMatrix v;                     ///< (G D, E)
        StoredMatrix o;                     ///< (E, H D)
        StoredMatrix gate;                  ///< (inner width, E)
        StoredMatrix up;                    ///< (inner width, E)
        StoredMatrix down;                  ///< (E, inner width)
        Tensor<Real, 1> attention_norm;     ///< (E)
        Tensor<Real, 1> feed_forward_norm;  ///< (E)
    };
    StoredMatrix embedding;      ///< (V, E)
    StoredMatrix output;         ///< (V, E)
    Tensor<Real, 1> final_norm;  ///< (E)
    std::vector<Layer> layers;   ///< (L)
};

/// One weight: as a Transformer calls it, as Hugging Face's files do, and its shape; `columns` is 0 for a vector of `rows` numbers.
struct LongLlamaWeight {
    std::string name;       ///< "layers.0.q"
    std::string file_name;  ///< "model.layers.0.self_attn.q_proj.weight"
    Index rows;             ///< out
    Index columns;          ///< in
};

/// Calls visit(LongLlamaWeight, matrix or vector) for all weights of a model of this shape, in the order of its layers. It is the
/// one place that knows them all: for reading, writing, checking and copying.
template <class Weights, class Visit>
void for_each_weight(const LongLlamaConfig& config, Weights& weights, Visit&& visit) {
    const Index width = config.width, inner = config.feed_forward, key_width = config.key_head_count() * config.head_width();
    visit(LongLlamaWeight{"embedding", "model.embed_tokens.weight", config.vocabulary, width}, weights.embedding);
    for (Index i = 0; i < config.layers; ++i) {
        auto& layer = weights.layers[static_cast<std::size_t>(i)];
        const auto part = [&](const char* name, const char* file_name, Index rows, Index columns, auto& weight) {
            visit(LongLlamaWeight{message("layers.", i, ".", name), message("model.layers.", i, ".", file_name, ".weight"), rows,
                                  columns},
                  weight);
        };
        part("attention_norm", "input_layernorm", width, 0, layer.attention_norm);
        part("q", "self_attn.q_proj", width, width, layer.q);
        part("k", "self_attn.k_proj", key_width, width, layer.k);
        part("v", "self_attn.v_proj", key_width, width, layer.v);
        part("o", "self_attn.o_proj", width, width, layer.o);
        part("feed_forward_norm", "post_attention_layernorm", width, 0, layer.feed_forward_norm);
        part("gate_map", "mlp.gate_proj", inner, width, layer.gate);
        part("up", "mlp.up_proj", inner, width, layer.up);
        part("down", "mlp.down_proj", width, inner, layer.down);
    }
    visit(LongLlamaWeight{"final_norm", "model.norm.weight", width, 0}, weights.final_norm);
    visit(LongLlamaWeight{"output", "lm_head.weight", config.vocabulary, width}, weights.output);
}

}  // namespace fot
