/// LongLLaMA inference: a LLaMA decoder some of whose layers remember what was read before.
///
///     x = x + O attention(norm(x))                     rotary positions, scores <q, k> / sqrt(D), no QK-norm, no temperature
///     x = x + down (silu(gate norm(x)) * up norm(x))
///
/// Text is read in windows. A prefix window is attended locally and then goes to memory as a whole; the last tokens stay in the
/// local cache, where generation goes on from. Once the cache would outgrow the window it is emptied into memory at once. A memory
/// layer attends to local keys and memory in one softmax; keys in memory stand at position 0, the first of the window. Layers
/// without memory forget what has left the window.
///
/// The model is given as weights in the format of their file (nn/stored_linear.hpp); train/long_llama_files.hpp reads them. It is
/// trained as a Transformer whose configuration says the same (model/config.hpp, `llama_config`).
///
/// Source: the released code (inference); paper section 3.1 and appendix A. Departs from it in: padding is not put into memory
/// (nothing looks at it), and as options of ours the memory can be searched for its top_k entries only, be limited in capacity, and
/// take the oldest keys from the cache one by one.
/// Read first: model/inference.hpp, nn/stored_linear.hpp.   Read next: train/long_llama_files.hpp.
#pragma once

#include <map>
#include <string>

#include "fot/model/generation.hpp"
#include "fot/nn/stored_linear.hpp"

namespace fot {

/// The shape of a model and how it reads; the defaults are those of LongLLaMA-3B.
struct LongLlamaConfig {
    Index vocabulary = 32000;
    Index width = 3200;
    Index feed_forward = 8640;
    Index layers = 26;
    Index heads = 32;
    Index key_heads = 0;        ///< of keys and values, for grouped-query attention; 0: as many as heads
    Index window = 2048;        ///< W, tokens of a prefix window, and most that the local cache holds
    Index last_context = 1024;  ///< C, tokens at the end of an input that stay in the local cache
    std::vector<Index> memory_layers = {6, 12, 18};
    bool memory_positions = true;  ///< false: memory layers rotate neither queries nor keys
    Storage memory_storage = Storage::bfloat16;
    double norm_epsilon = 1e-6;
    double rotary_base = 1e4;
    bool tied_output = false;  ///< the output map is the embedding

    Index head_width() const { return width / heads; }
    Index key_head_count() const { return key_heads == 0 ? heads : key_heads; }
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
        require<ConfigError>(norm_epsilon > 0 && rotary_base > 0, "LongLlamaConfig: norm_epsilon and rotary_base must be above 0");
    }
};

/// All weights of a model. Matrices are (out, in), as Hugging Face has them; rotary pairs are (j, j + D/2).
template <class Real>
struct LongLlamaWeights {
    struct Layer {
        StoredMatrix q, k, v, o, gate, up, down;
        Tensor<Real, 1> attention_norm, feed_forward_norm;
    };
    StoredMatrix embedding, output;
    Tensor<Real, 1> final_norm;
    std::vector<Layer> layers;
};

/// How a full local cache makes room.
enum class Spill {
    all_at_once,  ///< the whole cache leaves: the released code
    oldest_first  ///< only what does not fit leaves
};

/// How a memory is kept and read; all but the defaults is ours.
struct LongLlamaMemoryOptions {
    Index top_k = 0;     ///< only the best entries for each query and head; 0: the whole memory
    Index capacity = 0;  ///< entries, the oldest leave first; 0: unlimited
    Spill spill = Spill::all_at_once;
};

/// What a batch of inputs has left behind: local caches and memories.
template <class Real>
class LongLlamaState {
   public:
    LongLlamaState(const LongLlamaConfig& config, Index entries, LongLlamaMemoryOptions options = {})
        : options_(options),
          positions_(empty<Index, 2>({entries, 0})),
          visible_(empty<std::uint8_t, 2>({entries, 0})),
          layers_(static_cast<std::size_t>(config.layers)) {
        require<ConfigError>(entries >= 1, "LongLlamaState: ", entries, " batch entries, expected 1 or more");
        require<ConfigError>(options.top_k >= 0, "LongLlamaState: top_k ", options.top_k, " is negative");
        for (Index i = 0; i < config.layers; ++i) {
            layers_[static_cast<std::size_t>(i)].k = layers_[static_cast<std::size_t>(i)].v =
                empty<Real, 4>({entries, 0, config.key_head_count(), config.head_width()});
            if (!config.is_memory_layer(i)) continue;
            for (Index b = 0; b < entries; ++b) {
                const KeyValueMemory<Real> memory(config.key_head_count(), config.head_width(), config.memory_storage,
                                                  options.capacity);
                layers_[static_cast<std::size_t>(i)].memory.push_back(memory);
                layers_[static_cast<std::size_t>(i)].padding.push_back(memory);
            }
        }
    }

    Index entries() const { return extent(positions_, 0); }
    const LongLlamaMemoryOptions& options() const { return options_; }

    /// Tokens in the local cache.
    Index local_size() const { return extent(positions_, 1); }

    /// Tokens that the memory of an entry holds, padding not counted; 0 without memory layers.
    Index memory_size(Index entry = 0) const {
        for (const Layer& layer : layers_)
            if (!layer.memory.empty()) return layer.memory[static_cast<std::size_t>(entry)].size();
        return 0;
    }

    /// Bytes of all memories.
    std::size_t memory_bytes() const {
        std::size_t bytes = 0;
        for (const Layer& layer : layers_)
            for (const auto& memory : layer.memory) bytes += memory.bytes();
        return bytes;
    }

    /// What one layer keeps. Keys are not rotated.
    struct Layer {
        Tensor<Real, 4> k, v;                               ///< local cache (B,S,G,D)
        std::vector<KeyValueMemory<Real>> memory, padding;  ///< of each entry; padding only counts where nothing else is to be seen
    };
    Layer& layer(Index i) { return layers_[static_cast<std::size_t>(i)]; }

    /// Position of each token in the local cache, (B,S), and whether it is one (1) or padding (0).
    Tensor<Index, 2>& positions() { return positions_; }
    Tensor<std::uint8_t, 2>& visible() { return visible_; }

   private:
    LongLlamaMemoryOptions options_;
    Tensor<Index, 2> positions_;
    Tensor<std::uint8_t, 2> visible_;
    std::vector<Layer> layers_;
};

/// A batch of tokens to read.
struct LongLlamaInput {
    const Tokens& tokens;                              ///< (B,N)
    const Tensor<std::uint8_t, 2>* visible = nullptr;  ///< (B,N) 1: a token, 0: padding; null: no padding
    const Tensor<Index, 2>* positions = nullptr;       ///< (B,N); null: from the last one of the local cache on, or from 0
};

/// How an input is read.
struct LongLlamaReading {
    bool keep_local = true;         ///< the last tokens stay in the local cache; false: everything goes to memory
    Index last_context = -1;        ///< so many of them; -1: as the configuration says
    bool only_last_logits = false;  ///< logits of the last position alone: enough to go on from, and much smaller
};

namespace detail {

/// Tensors (B,S,...) and (B,T,...) one behind the other along the second axis, without the first `dropped` places.
template <class T, std::size_t N>
Tensor<T, N> joined(const Tensor<T, N>& before, const Tensor<T, N>& after, Index dropped = 0) {
    const Index entries = extent(after, 0), kept = extent(before, 1) - dropped, added = extent(after, 1);
    Shape<N> shape = shape_of(after);
    shape[1] = kept + added;
    Tensor<T, N> whole = empty<T, N>(shape);
    const Index each = kept + added == 0 ? 0 : element_count(whole) / (entries * (kept + added));
    for (Index b = 0; b < entries; ++b) {
        std::copy_n(before.data() + (b * extent(before, 1) + dropped) * each, kept * each,
                    whole.data() + b * (kept + added) * each);
        std::copy_n(after.data() + b * added * each, added * each, whole.data() + (b * (kept + added) + kept) * each);
    }
    return whole;
}

/// Places first ... first+count-1 of the second axis.
template <class T, std::size_t N>
Tensor<T, N> places(const Tensor<T, N>& x, Index first, Index count) {
    Shape<N> shape = shape_of(x);
    shape[1] = count;
    Tensor<T, N> part = empty<T, N>(shape);
    const Index entries = shape[0], each = count == 0 ? 0 : element_count(part) / (entries * count);
    for (Index b = 0; b < entries; ++b)
        std::copy_n(x.data() + (b * extent(x, 1) + first) * each, count * each, part.data() + b * count * each);
    return part;
}

}  // namespace detail

/// The model. Several states may be in use at a time.
template <class Real>
class LongLlama {
   public:
    /// Errors: ConfigError if the configuration does not fit together; ShapeError, naming the weight, if one does not fit it.
    LongLlama(LongLlamaConfig config, LongLlamaWeights<Real> weights)
        : config_((config.check(), std::move(config))),
          weights_(std::move(weights)),
          rotary_(config_.rotary_base, config_.head_width(), config_.window) {
        const Index width = config_.width, inner = config_.feed_forward,
                    key_width = config_.key_head_count() * config_.head_width();
        require<ShapeError>(static_cast<Index>(weights_.layers.size()) == config_.layers, "LongLlama: weights of ",
                            weights_.layers.size(), " layers, expected ", config_.layers);
        const auto expect = [](const char* name, Index layer, const StoredMatrix& weight, Index rows, Index columns) {
            require<ShapeError>(weight.rows == rows && weight.columns == columns, "LongLlama: weight '", name, "' of layer ", layer,
                                " is ", weight.rows, " x ", weight.columns, ", expected ", rows, " x ", columns);
        };
        expect("embedding", 0, weights_.embedding, config_.vocabulary, width);
        expect("output", config_.layers - 1, weights_.output, config_.vocabulary, width);
        for (Index i = 0; i < config_.layers; ++i) {
            const auto& layer = weights_.layers[static_cast<std::size_t>(i)];
            expect("q", i, layer.q, width, width);
            expect("k", i, layer.k, key_width, width);
            expect("v", i, layer.v, key_width, width);
            expect("o", i, layer.o, width, width);
            expect("gate", i, layer.gate, inner, width);
            expect("up", i, layer.up, inner, width);
            expect("down", i, layer.down, width, inner);
        }
    }

    const LongLlamaConfig& config() const { return config_; }
    const LongLlamaWeights<Real>& weights() const { return weights_; }

    /// Reads an input of any length and returns its logits (B,N,V), or (B,1,V) of the last position.
    ///
    /// All but the last `last_context` tokens go to memory in windows of `window` tokens, the last of them ragged; the rest is one
    /// more window. `hidden`, if not null, receives the embeddings, the output of each layer but the last, and the last one's after
    /// the final norm, (B,N,E) each.
    /// Errors: ShapeError if batch, visibility or positions do not fit; DataError for an empty input or a token outside the
    ///         vocabulary; ConfigError if the local cache is not empty and would not be kept.
    Tensor<Real, 3> read(const LongLlamaInput& input, LongLlamaState<Real>& state, const LongLlamaReading& reading = {},
                         std::vector<Tensor<Real, 3>>* hidden = nullptr) {
        const Index entries = extent(input.tokens, 0), length = extent(input.tokens, 1);
        require<ShapeError>(entries == state.entries(), "LongLlama::read: ", entries, " batch entries, the state has ",
                            state.entries());
        require<DataError>(length >= 1, "LongLlama::read: no tokens");
        require<ConfigError>(reading.keep_local || state.local_size() == 0, "LongLlama::read: ", state.local_size(),
                             " tokens are in the local cache, which keep_local = false would leave there");
        if (input.visible) require_shape("LongLlama::read: visible", *input.visible, {entries, length});
        if (input.positions) require_shape("LongLlama::read: positions", *input.positions, {entries, length});
        const Tensor<Index, 2> positions = input.positions ? *input.positions : following_positions(state, length);
        const Tensor<std::uint8_t, 2> visible =
            input.visible ? *input.visible : full<std::uint8_t, 2>({entries, length}, std::uint8_t(1));

        const Index last = std::min(length, reading.last_context < 0 ? config_.last_context : reading.last_context);
        Tensor<Real, 3> logits = empty<Real, 3>({entries, reading.only_last_logits ? 1 : length, config_.vocabulary});
        if (hidden) hidden->assign(static_cast<std::size_t>(config_.layers) + 1, empty<Real, 3>({entries, length, config_.width}));
        for (Index first = 0; first < length;) {
            const Index prefix = length - last, count = first < prefix ? std::min(config_.window, prefix - first) : length - first;
            const Tensor<Real, 3> x = window(detail::places(input.tokens, first, count), detail::places(positions, first, count),
                                             detail::places(visible, first, count), state,
                                             reading.keep_local && (first >= prefix || state.local_size() > 0), first, hidden);
            if (!reading.only_last_logits) {
                const Tensor<Real, 3> of_window = linear(x, weights_.output);
                for (Index b = 0; b < entries; ++b)
                    std::copy_n(row(of_window, b), count * config_.vocabulary, row(logits, b, first));
            } else if (first + count == length) {
                logits = linear(detail::places(x, count - 1, 1), weights_.output);
            }
            first += count;
        }
        return logits;
    }

   private:
    static Tensor<Index, 2> following_positions(LongLlamaState<Real>& state, Index length) {
        const Tensor<Index, 2>& known = state.positions();
        Tensor<Index, 2> positions = empty<Index, 2>({state.entries(), length});
        for (Index b = 0; b < state.entries(); ++b) {
            const Index next = extent(known, 1) == 0 ? 0 : *std::max_element(row(known, b), row(known, b) + extent(known, 1)) + 1;
            std::iota(row(positions, b), row(positions, b) + length, next);
        }
        return positions;
    }

    /// One window (B,T) through all layers: (B,T,E) after the final norm. With `keep_local` it stays in the local cache, which
    /// makes room first; without, it goes to memory afterwards.
    Tensor<Real, 3> window(const Tokens& tokens, const Tensor<Index, 2>& positions, const Tensor<std::uint8_t, 2>& visible,
                           LongLlamaState<Real>& state, bool keep_local, Index first, std::vector<Tensor<Real, 3>>* hidden) {
        const Index entries = extent(tokens, 0), length = extent(tokens, 1), cached = state.local_size();
        const Index too_many = std::max<Index>(cached + length - config_.window, 0);
        const Index leaving =
            too_many == 0 || state.options().spill == Spill::all_at_once ? (too_many > 0 ? cached : 0) : std::min(too_many, cached);
        const Tensor<std::uint8_t, 2> gone = detail::places(state.visible(), 0, leaving);
        const Tensor<Index, 2> all_positions = detail::joined(state.positions(), positions, leaving);
        const Tensor<std::uint8_t, 2> all_visible = detail::joined(state.visible(), visible, leaving);

        const auto show = [&](Index i, const Tensor<Real, 3>& x) {
            if (!hidden) return;
            for (Index b = 0; b < entries; ++b)
                std::copy_n(row(x, b), length * config_.width, row((*hidden)[static_cast<std::size_t>(i)], b, first));
        };
        Tensor<Real, 3> x = embedding<Real>(tokens, weights_.embedding);
        for (Index i = 0; i < config_.layers; ++i) {
            show(i, x);
            const auto& weights = weights_.layers[static_cast<std::size_t>(i)];
            auto& kept = state.layer(i);
            const Tensor<Real, 3> h = rms_norm(x, weights.attention_norm, config_.norm_epsilon);
            const Tensor<Real, 4> new_k = project_heads(h, weights.k, config_.key_head_count()),
                                  new_v = project_heads(h, weights.v, config_.key_head_count());
            if (leaving > 0) remember(kept, detail::places(kept.k, 0, leaving), detail::places(kept.v, 0, leaving), gone);
            const Tensor<Real, 4> k = detail::joined(kept.k, new_k, leaving), v = detail::joined(kept.v, new_v, leaving);
            const Tensor<Real, 4> o =
                attend(i, project_heads(h, weights.q, config_.heads), k, v, all_positions, all_visible, state);
            x = add(x, merge_heads(o, weights.o));
            x = add(x, feed_forward(rms_norm(x, weights.feed_forward_norm, config_.norm_epsilon), weights));
            if (keep_local) {
                kept.k = k;
                kept.v = v;
            } else {
                remember(kept, new_k, new_v, visible);
            }
        }
        if (keep_local) {
            state.positions() = all_positions;
            state.visible() = all_visible;
        }
        const Tensor<Real, 3> normed = rms_norm(x, weights_.final_norm, config_.norm_epsilon);
        show(config_.layers, normed);
        return normed;
    }

    /// Keys and values (B,T,G,D) go to memory, in a layer that has one; padding goes aside.
    void remember(typename LongLlamaState<Real>::Layer& layer, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v,
                  const Tensor<std::uint8_t, 2>& visible) {
        if (layer.memory.empty()) return;
        const Index heads = extent(k, 2), width = extent(k, 3), length = extent(k, 1);
        for (Index b = 0; b < extent(k, 0); ++b)
            for (Index t = 0; t < length;) {  // runs of tokens, and of padding
                Index end = t + 1;
                while (end < length && visible(b, end) == visible(b, t)) ++end;
                Tensor<Real, 3> keys = empty<Real, 3>({end - t, heads, width}), values = keys;
                std::copy_n(row(k, b, t), element_count(keys), keys.data());
                std::copy_n(row(v, b, t), element_count(values), values.data());
                (visible(b, t) ? layer.memory : layer.padding)[static_cast<std::size_t>(b)].append(keys, values, 0);
                t = end;
            }
    }

    /// Attention of the last T of U local tokens: q (B,T,H,D), k and v (B,U,G,D) not rotated, positions and visibility (B,U).
    Tensor<Real, 4> attend(Index i, Tensor<Real, 4> q, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v,
                           const Tensor<Index, 2>& positions, const Tensor<std::uint8_t, 2>& visible, LongLlamaState<Real>& state) {
        const Index entries = extent(q, 0), length = extent(q, 1), local_size = extent(k, 1);
        const bool rotated = !config_.is_memory_layer(i) || config_.memory_positions;
        Tensor<Real, 4> local_k = k;
        if (rotated) {
            Tensor<Index, 2> from_first = positions;  // distance to the smallest position of the local keys
            Index furthest = 0;
            for (Index b = 0; b < entries; ++b) {
                const Index smallest = *std::min_element(row(positions, b), row(positions, b) + local_size);
                for (Index u = 0; u < local_size; ++u) furthest = std::max(furthest, from_first(b, u) -= smallest);
            }
            rotary_.grow(furthest + 1);
            local_k = rotate(k, from_first, rotary_);
            q = rotate(q, detail::places(from_first, local_size - length, length), rotary_);
        }
        const Real scale = 1 / std::sqrt(static_cast<Real>(config_.head_width()));
        detail::multiply_by(scale, element_count(q), q.data());

        AttentionOptions<Real> options;
        Tensor<Real, 3> bias;
        if (std::find(visible.begin(), visible.end(), 0) != visible.end()) {
            bias = empty<Real, 3>({entries, length, local_size});
            for (Index b = 0; b < entries; ++b)
                for (Index t = 0; t < length; ++t)
                    for (Index u = 0; u < local_size; ++u)
                        bias(b, t, u) = visible(b, u) ? Real(0) : -std::numeric_limits<Real>::infinity();
            options.local_bias = &bias;
        }
        AttentionResult<Real> seen = causal_attention(q, local_k, v, options);
        auto& kept = state.layer(i);
        for (Index b = 0; b < entries && !kept.memory.empty(); ++b) {
            const KeyValueMemory<Real>& memory = kept.memory[static_cast<std::size_t>(b)];
            if (memory.size() == 0) continue;
            Tape tape(Tape::inference);
            const Variable<Real, 4> q_b(take_entries(q, b, 1));
            const Attention<Real> remembered = detail::attend_to_memory(tape, q_b, memory, state.options().top_k),
                                  of_local{Variable<Real, 4>(take_entries(seen.o, b, 1)),
                                           Variable<Real, 3>(take_entries(seen.log_sum_exp, b, 1))};
            const Attention<Real> whole = merge(tape, remembered, of_local);
            std::copy_n(whole.o.value().data(), element_count(whole.o.value()), row(seen.o, b));
            std::copy_n(whole.log_sum_exp.value().data(), element_count(whole.log_sum_exp.value()), row(seen.log_sum_exp, b));
        }
        if (options.local_bias) look_evenly(seen, v, kept);
        return std::move(seen.o);
    }

    /// A query that sees nothing (padding before the first token) looks at all there is, evenly: so does the released code, which
    /// limits masked scores to one common value.
    void look_evenly(AttentionResult<Real>& seen, const Tensor<Real, 4>& v,
                     const typename LongLlamaState<Real>::Layer& kept) const {
        const Index heads = extent(seen.o, 2), group = heads / extent(v, 2), width = extent(v, 3);
        for (Index b = 0; b < extent(v, 0); ++b)
            for (Index h = 0; h < heads; ++h)
                for (Index t = 0; t < extent(seen.o, 1); ++t) {
                    if (seen.log_sum_exp(b, h, t) != -std::numeric_limits<Real>::infinity()) continue;
                    std::vector<double> sum(static_cast<std::size_t>(width), 0);
                    double count = 0;
                    const auto add = [&](const Real* value) {
                        for (Index e = 0; e < width; ++e) sum[static_cast<std::size_t>(e)] += static_cast<double>(value[e]);
                        ++count;
                    };
                    for (Index u = 0; u < extent(v, 1); ++u) add(row(v, b, u, h / group));
                    if (!kept.padding.empty())
                        kept.padding[static_cast<std::size_t>(b)].for_each_block(h / group,
                                                                                 [&](const auto&, const auto& values, Index) {
                                                                                     for (Index m = 0; m < values.rows; ++m)
                                                                                         add(values.data + m * values.leading);
                                                                                 });
                    for (Index e = 0; e < width; ++e)
                        seen.o(b, t, h, e) = static_cast<Real>(sum[static_cast<std::size_t>(e)] / count);
                }
    }

    Tensor<Real, 3> feed_forward(const Tensor<Real, 3>& x, const typename LongLlamaWeights<Real>::Layer& weights) const {
        return linear(swiglu(linear(x, weights.gate), linear(x, weights.up)), weights.down);
    }

    LongLlamaConfig config_;
    LongLlamaWeights<Real> weights_;
    RotaryTable<Real> rotary_;
};

/// The configuration of a Transformer that is the same model: to train it, by crossbatch in the released form too.
inline TransformerConfig llama_config(const LongLlamaConfig& config) {
    require<ConfigError>(!config.tied_output,
                         "llama_config: a Transformer has an output map of its own, the model's is its embedding");
    return {.vocabulary = config.vocabulary,
            .width = config.width,
            .layers = config.layers,
            .memory_layers = config.memory_layers,
            .heads = config.heads,
            .memory_heads = config.heads,
            .key_heads = config.key_heads,
            .feed_forward = config.feed_forward,
            .activation = Activation::swiglu,
            .rotary_base = config.rotary_base,
            .memory_positions = config.memory_positions,
            .normalized_heads = false,
            .norm_epsilon = config.norm_epsilon};
}

/// A Transformer of such a configuration, as LongLLaMA reads: the weights are shared, not copied, and must not move.
/// Errors: ConfigError if the Transformer's configuration is not llama_config(config).
template <class Real>
LongLlama<Real> long_llama(const LongLlamaConfig& config, Transformer<Real>& model) {
    const TransformerConfig& trained = model.config();
    require<ConfigError>(
        !trained.normalized_heads && trained.activation == Activation::swiglu && trained.heads == trained.memory_heads,
        "long_llama: the Transformer has QK-norm, another activation than swiglu, or memory heads of their own");
    std::map<std::string, Parameter<Real>> by_name;
    for (const Parameter<Real>& each : model.parameters()) by_name.emplace(each.name, each);
    const auto matrix = [&](const std::string& name) -> StoredMatrix {
        const Parameter<Real>& p = by_name.at(name);
        return {p.value, dtype_of<Real>(), p.shape[0], p.shape[1], p.owner};
    };
    const auto vector = [&](const std::string& name) {
        const Parameter<Real>& p = by_name.at(name);
        Tensor<Real, 1> copy = empty<Real, 1>({p.count});
        std::copy_n(p.value, p.count, copy.data());
        return copy;
    };
    LongLlamaWeights<Real> weights{matrix("embedding"), matrix("output"), vector("final_norm"), {}};
    for (Index i = 0; i < trained.layers; ++i) {
        const std::string layer = message("layers.", i, ".");
        weights.layers.push_back({matrix(layer + "q"), matrix(layer + "k"), matrix(layer + "v"), matrix(layer + "o"),
                                  matrix(layer + "gate_map"), matrix(layer + "up"), matrix(layer + "down"),
                                  vector(layer + "attention_norm"), vector(layer + "feed_forward_norm")});
    }
    return LongLlama<Real>(config, std::move(weights));
}

/// Copies a model's weights, widened, into a Transformer of the same shape: where continued training begins.
/// Errors: ShapeError if the two differ in shape.
template <class Real, class Stored>
void copy_weights(const LongLlama<Stored>& from, Transformer<Real>& to) {
    std::map<std::string, Parameter<Real>> by_name;
    for (const Parameter<Real>& each : to.parameters()) by_name.emplace(each.name, each);
    const auto target = [&](const std::string& name, Index count) {
        const auto found = by_name.find(name);
        require<ShapeError>(found != by_name.end() && found->second.count == count, "copy_weights: the Transformer has no '", name,
                            "' of ", count, " numbers");
        return found->second.value;
    };
    const auto matrix = [&](const std::string& name, const StoredMatrix& weight) {
        Real* numbers = target(name, weight.rows * weight.columns);
        detail::with_weight_type(weight, [&](auto element) {
            detail::widen(static_cast<const decltype(element)*>(weight.numbers), weight.rows * weight.columns, numbers);
        });
    };
    const auto vector = [&](const std::string& name, const Tensor<Stored, 1>& x) {
        detail::widen(x.data(), element_count(x), target(name, element_count(x)));
    };
    const LongLlamaWeights<Stored>& weights = from.weights();
    matrix("embedding", weights.embedding);
    matrix("output", weights.output);
    vector("final_norm", weights.final_norm);
    for (std::size_t i = 0; i < weights.layers.size(); ++i) {
        const auto& layer = weights.layers[i];
        const std::string prefix = message("layers.", i, ".");
        matrix(prefix + "q", layer.q);
        matrix(prefix + "k", layer.k);
        matrix(prefix + "v", layer.v);
        matrix(prefix + "o", layer.o);
        matrix(prefix + "gate_map", layer.gate);
        matrix(prefix + "up", layer.up);
        matrix(prefix + "down", layer.down);
        vector(prefix + "attention_norm", layer.attention_norm);
        vector(prefix + "feed_forward_norm", layer.feed_forward_norm);
    }
}

/// Continues prompts (B,P) by `count` tokens: (B,count). `each`, if given, is told the tokens (B) of every step, and its logits
/// (B,V).
///
/// `visible` marks left padding; positions count the visible tokens, and a token before the first stands at -1, as in the released
/// code. Generation does not stop at an end token: `each` returns false to stop. Errors: as LongLlama::read and sample_token.
template <class Real>
Tokens generate(LongLlama<Real>& model, const Tokens& prompt, Index count, LongLlamaState<Real>& state,
                const SamplingOptions& sampling, Random& random, const Tensor<std::uint8_t, 2>* visible = nullptr,
                const std::function<bool(const std::vector<std::int32_t>&, const Tensor<Real, 3>&)>& each = {}) {
    const Index entries = extent(prompt, 0), length = extent(prompt, 1), vocabulary = model.config().vocabulary;
    require<ConfigError>(count >= 0, "generate: ", count, " new tokens make no sense");
    Tensor<Index, 2> positions = empty<Index, 2>({entries, length}), next = empty<Index, 2>({entries, 1});
    for (Index b = 0; b < entries; ++b) {
        Index seen = extent(state.positions(), 1) == 0
                         ? 0
                         : *std::max_element(row(state.positions(), b), row(state.positions(), b) + state.local_size()) + 1;
        for (Index t = 0; t < length; ++t) positions(b, t) = (seen += visible ? (*visible)(b, t) : 1) - 1;
        next(b, 0) = seen;
    }
    Tokens written = empty<std::int32_t, 2>({entries, count}), latest = empty<std::int32_t, 2>({entries, 1});
    Tensor<Real, 3> logits = model.read({prompt, visible, &positions}, state, {.only_last_logits = true});
    for (Index i = 0; i < count; ++i) {
        std::vector<std::int32_t> drawn;
        for (Index b = 0; b < entries; ++b) {
            drawn.push_back(sample_token(row(logits, b), vocabulary, sampling, random));
            written(b, i) = latest(b, 0) = drawn.back();
        }
        if (each && !each(drawn, logits)) return detail::places(written, 0, i + 1);
        if (i + 1 == count) break;
        logits = model.read({latest, nullptr, &next}, state, {.last_context = 1, .only_last_logits = true});
        for (Index b = 0; b < entries; ++b) ++next(b, 0);
    }
    return written;
}

}  // namespace fot
