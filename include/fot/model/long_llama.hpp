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
/// The model is given as weights in the format of their file (nn/stored_linear.hpp); model/long_llama_files.hpp reads them. It is
/// trained as a Transformer whose configuration says the same (model/long_llama_training.hpp).
///
/// Source: the released code (inference); paper section 3.1 and appendix A. Departs from it in: padding is not put into memory
/// (nothing looks at it), and as options of ours the memory can be searched for its top_k entries only, be limited in capacity, and
/// take the oldest keys from the cache one by one.
/// Read first: attention/memory_attention.hpp, model/long_llama_state.hpp.   Read next: model/long_llama_generation.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "fot/attention/joining.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/core/parallel.hpp"
#include "fot/model/long_llama_state.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/feed_forward.hpp"
#include "fot/nn/rms_norm.hpp"
#include "fot/nn/rotary.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// A batch of tokens to read.
struct LongLlamaInput {
    const Tokens& tokens;                              ///< (B,N)
    const Tensor<std::uint8_t, 2>* visible = nullptr;  ///< (B,N) 1: a token, 0: padding; null: no padding
    const Tensor<Index, 2>* positions = nullptr;       ///< (B,N), -1 or more; null: on from the local cache's largest, or from 0
};

/// How an input is read.
struct LongLlamaReading {
    bool keep_local = true;         ///< the last tokens stay in the local cache; false: everything goes to memory
    Index last_context = -1;        ///< so many of them; -1: as the configuration says
    bool only_last_logits = false;  ///< logits of the last position alone: enough to go on from, and much smaller
};

/// The model. Several states may be in use at a time.
template <class Real>
class LongLlama {
   public:
    /// Errors: ConfigError if the configuration does not fit together; ShapeError, naming the weight, if one does not fit it.
    LongLlama(LongLlamaConfig config, LongLlamaWeights<Real> weights)
        : config_((config.check(), std::move(config))),
          weights_(std::move(weights)),
          rotary_(config_.rotary_base, config_.head_width()) {
        require<ShapeError>(static_cast<Index>(weights_.layers.size()) == config_.layers, "LongLlama: weights of ",
                            weights_.layers.size(), " layers, expected ", config_.layers);
        for_each_weight(config_, weights_, [](const LongLlamaWeight& expected, const auto& weight) {
            if constexpr (std::is_same_v<decltype(weight), const StoredMatrix&>)
                require<ShapeError>(weight.rows == expected.rows && weight.columns == expected.columns, "LongLlama: weight '",
                                    expected.name, "' is ", weight.rows, " x ", weight.columns, ", expected ", expected.rows, " x ",
                                    expected.columns);
            else
                require_shape(("LongLlama: weight '" + expected.name + "'").c_str(), weight, {expected.rows});
        });
    }

    /// Its shape, and how it reads.
    const LongLlamaConfig& config() const { return config_; }
    /// All weights, where they lie.
    const LongLlamaWeights<Real>& weights() const { return weights_; }

    /// Reads an input of any length and returns its logits (B,N,V), or (B,1,V) of the last position.
    ///
    /// All but the last `last_context` tokens go to memory in windows of `window` tokens, the last of them ragged; the rest is one
    /// more window. `hidden`, if not null, receives the embeddings, the output of each layer but the last, and the last one's after
    /// the final norm, (B,N,E) each.
    /// Errors: ShapeError if batch, state, visibility or positions do not fit; DataError for an empty input or a token outside the
    ///         vocabulary; ConfigError if the local cache is not empty and would not be kept, for a position below -1 or beyond
    ///         half of what an Index holds: then nothing is read. ConfigError too if positions of a window and the local cache lie
    ///         RotaryTable::most_positions or more apart: then the windows before that one have been read.
    Tensor<Real, 3> read(const LongLlamaInput& input, LongLlamaState<Real>& state, const LongLlamaReading& reading = {},
                         std::vector<Tensor<Real, 3>>* hidden = nullptr) const {
        const Index entries = extent(input.tokens, 0), length = extent(input.tokens, 1);
        require<ShapeError>(entries == state.entries(), "LongLlama::read: ", entries, " batch entries, the state has ",
                            state.entries());
        require<ShapeError>(state.fits(config_), "LongLlama::read: the state is of a model with other layers or heads");
        require<DataError>(length >= 1, "LongLlama::read: no tokens");
        require_in_vocabulary(input.tokens, config_.vocabulary);  // all of them, before a window has gone to memory
        require<ConfigError>(reading.keep_local || state.local_size() == 0, "LongLlama::read: ", state.local_size(),
                             " tokens are in the local cache, which keep_local = false would leave there");
        if (input.visible) require_shape("LongLlama::read: visible", *input.visible, {entries, length});
        if (input.positions) require_shape("LongLlama::read: positions", *input.positions, {entries, length});
        const Tensor<Index, 2> positions = input.positions ? *input.positions : following_positions(state, length);
        constexpr Index farthest = std::numeric_limits<Index>::max() / 2;  // differences and what comes after it do not overflow
        for (const Index position : positions.storage())
            require<ConfigError>(position >= -1 && position <= farthest, "LongLlama::read: position ", position,
                                 ", expected -1 (padding before the first token) ... ", farthest);
        const Tensor<std::uint8_t, 2> visible =
            input.visible ? *input.visible : full<std::uint8_t, 2>({entries, length}, std::uint8_t(1));

        const Index last = std::min(length, reading.last_context < 0 ? config_.last_context : reading.last_context);
        Tensor<Real, 3> logits = empty<Real, 3>({entries, reading.only_last_logits ? 1 : length, config_.vocabulary});
        if (hidden) hidden->assign(static_cast<std::size_t>(config_.layers) + 1, empty<Real, 3>({entries, length, config_.width}));
        for (Index first = 0; first < length;) {
            const Index prefix = length - last, count = first < prefix ? std::min(config_.window, prefix - first) : length - first;
            const Tensor<Real, 3> x = window(take_positions(input.tokens, first, count), take_positions(positions, first, count),
                                             take_positions(visible, first, count), state,
                                             reading.keep_local && (first >= prefix || state.local_size() > 0), first, hidden);
            if (!reading.only_last_logits) {
                const Tensor<Real, 3> of_window = linear(x, weights_.output);
                for (Index b = 0; b < entries; ++b)
                    std::copy_n(row(of_window, b), count * config_.vocabulary, row(logits, b, first));
            } else if (first + count == length) {
                logits = linear(take_positions(x, count - 1, 1), weights_.output);
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

    /// Before the window changes anything: the angles of an entry's local tokens must fit a table.
    static void require_near_positions(const Tensor<Index, 2>& positions) {
        for (Index b = 0; b < extent(positions, 0); ++b) {
            const Index* of_entry = row(positions, b);
            const auto [low, high] = std::minmax_element(of_entry, of_entry + extent(positions, 1));
            require<ConfigError>(*high - *low < RotaryTable<Real>::most_positions, "LongLlama::read: entry ", b,
                                 " has local positions from ", *low, " to ", *high, ", expected less than ",
                                 RotaryTable<Real>::most_positions, " apart");
        }
    }

    /// One window (B,T) through all layers: (B,T,E) after the final norm. With `keep_local` it stays in the local cache, which
    /// makes room first; without, it goes to memory afterwards.
    Tensor<Real, 3> window(const Tokens& tokens, const Tensor<Index, 2>& positions, const Tensor<std::uint8_t, 2>& visible,
                           LongLlamaState<Real>& state, bool keep_local, Index first, std::vector<Tensor<Real, 3>>* hidden) const {
        const Index entries = extent(tokens, 0), length = extent(tokens, 1), cached = state.local_size();
        const Index too_many = std::max<Index>(cached + length - config_.window, 0);
        const Index leaving = too_many == 0 ? 0 : state.options().spill == Spill::all_at_once ? cached : std::min(too_many, cached);
        const Tensor<std::uint8_t, 2> gone = take_positions(state.visible(), 0, leaving);
        const auto behind_kept = [&](const auto& known, const auto& added) {
            return concatenate_positions(take_positions(known, leaving, cached - leaving), added);
        };
        const Tensor<Index, 2> all_positions = behind_kept(state.positions(), positions);
        const Tensor<std::uint8_t, 2> all_visible = behind_kept(state.visible(), visible);
        require_near_positions(all_positions);

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
            const Tensor<Real, 4> q = project_heads(h, weights.q, config_.heads),
                                  k = project_heads(h, weights.k, config_.key_head_count()),
                                  v = project_heads(h, weights.v, config_.key_head_count());
            if (leaving > 0) {
                remember(kept, kept.local.oldest_keys(leaving), kept.local.oldest_values(leaving), gone);
                kept.local.drop(leaving);
            }
            LocalCache<Real> passing(entries, config_.key_head_count(), config_.head_width());  // of a window that does not stay
            LocalCache<Real>& local = keep_local ? kept.local : passing;
            local.append(k, v);
            const Tensor<Real, 4> o = attend(i, q, local, all_positions, all_visible, kept, state.options().top_k);
            x = add(x, merge_heads(o, weights.o));
            x = add(x, feed_forward(rms_norm(x, weights.feed_forward_norm, config_.norm_epsilon), weights));
            if (!keep_local) remember(kept, k, v, visible);
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
                  const Tensor<std::uint8_t, 2>& visible) const {
        if (layer.memory.empty()) return;
        const Index heads = extent(k, 2), width = extent(k, 3), length = extent(k, 1);
        for (Index b = 0; b < extent(k, 0); ++b)
            for (Index t = 0; t < length;) {  // runs of tokens, and of padding
                Index end = t + 1;
                while (end < length && visible(b, end) == visible(b, t)) ++end;
                Tensor<Real, 3> keys = empty<Real, 3>({end - t, heads, width}), values = empty_like(keys);
                std::copy_n(row(k, b, t), element_count(keys), keys.data());
                std::copy_n(row(v, b, t), element_count(values), values.data());
                (visible(b, t) ? layer.memory : layer.padding)[static_cast<std::size_t>(b)].append(keys, values, 0);
                t = end;
            }
    }

    /// Attention of the last T of U local tokens to those before them and to the memory, in one softmax: q (B,T,H,D) not rotated,
    /// positions and visibility (B,U).
    Tensor<Real, 4> attend(Index i, Tensor<Real, 4> q, LocalCache<Real>& local, const Tensor<Index, 2>& positions,
                           const Tensor<std::uint8_t, 2>& visible, const typename LongLlamaState<Real>::Layer& kept,
                           Index top_k) const {
        const Index entries = extent(q, 0), length = extent(q, 1), heads = extent(q, 2), width = extent(q, 3);
        const Index local_size = local.size(), group = heads / config_.key_head_count();
        const bool rotated = !config_.is_memory_layer(i) || config_.memory_positions;
        if (rotated) {
            local.turn(positions, rotary_);
            Tensor<Index, 2> at = take_positions(positions, local_size - length, length);
            for (Index b = 0; b < entries; ++b)
                for (Index t = 0; t < length; ++t) at(b, t) -= local.turned_from(b);
            q = rotate(q, at, rotary_.covering(*std::max_element(at.begin(), at.end())));
        }
        q = multiply(q, 1 / std::sqrt(static_cast<Real>(width)));

        std::vector<Index> last_visible(static_cast<std::size_t>(length));
        std::iota(last_visible.begin(), last_visible.end(), local_size - length);
        Tensor<Real, 2> masked;  // added to the scores: -infinity for padding
        if (std::find(visible.begin(), visible.end(), 0) != visible.end()) {
            masked = zeros<Real, 2>({entries, local_size});
            for (Index b = 0; b < entries; ++b)
                for (Index u = 0; u < local_size; ++u)
                    if (!visible(b, u)) masked(b, u) = -std::numeric_limits<Real>::infinity();
        }
        AttentionResult<Real> seen{empty<Real, 4>(shape_of(q)), empty<Real, 3>({entries, heads, length})};
        parallel_for(entries * heads, [&](Index unit) {
            const Index b = unit / heads, h = unit % heads, g = h / group;
            RunningSoftmax<Real> softmax(head(std::as_const(q), b, h), width);
            softmax.attend(rotated ? local.turned_keys(b, g) : local.keys(b, g), local.values(b, g),
                           {last_visible.data(), masked.size() ? row(masked, b) : nullptr, 0});  // one row of it for all queries
            if (!kept.memory.empty() && top_k == 0)
                kept.memory[static_cast<std::size_t>(b)].for_each_block(
                    g, [&](const auto& keys, const auto& values, Index) { softmax.attend(keys, values); });
            softmax.write(head(seen.o, b, h), row(seen.log_sum_exp, b, h));
        });
        if (!kept.memory.empty() && top_k > 0) {
            Memories<Real> memories;
            for (const KeyValueMemory<Real>& each : kept.memory) memories.push_back(&each);
            Tape tape(Tape::inference);
            const Attention<Real> best = memory_attention(tape, Variable<Real, 4>(q), memories, top_k);
            seen = merge<Real>({best.o.value(), best.log_sum_exp.value()}, seen);
        }
        if (masked.size()) look_evenly(seen, local, kept);
        return std::move(seen.o);
    }

    /// A query that sees nothing (padding before the first token) looks at all there is, evenly: so does the released code, which
    /// limits masked scores to one common value.
    void look_evenly(AttentionResult<Real>& seen, const LocalCache<Real>& local,
                     const typename LongLlamaState<Real>::Layer& kept) const {
        const Index entries = extent(seen.o, 0), heads = extent(seen.o, 2), width = extent(seen.o, 3);
        for (Index b = 0; b < entries; ++b)
            for (Index h = 0; h < heads; ++h)
                for (Index t = 0; t < extent(seen.o, 1); ++t) {
                    if (seen.log_sum_exp(b, h, t) != -std::numeric_limits<Real>::infinity()) continue;
                    const Index g = h / (heads / config_.key_head_count());
                    Real* o = row(seen.o, b, t, h);
                    std::fill_n(o, width, Real(0));
                    Index count = 0;
                    const auto add_rows = [&](const Real* values, Index rows, Index leading) {
                        for (Index j = 0; j < rows; ++j)
                            for (Index e = 0; e < width; ++e) o[e] += values[j * leading + e];
                        count += rows;
                    };
                    const MatrixView<const Real> values = local.values(b, g);
                    add_rows(values.data, values.rows, values.leading);
                    if (!kept.padding.empty())
                        kept.padding[static_cast<std::size_t>(b)].for_each_block(
                            g, [&](const auto&, const auto& block, Index) { add_rows(block.data, block.rows, block.leading); });
                    for (Index e = 0; e < width; ++e) o[e] /= static_cast<Real>(count);
                }
    }

    Tensor<Real, 3> feed_forward(const Tensor<Real, 3>& x, const typename LongLlamaWeights<Real>::Layer& weights) const {
        return linear(swiglu(linear(x, weights.gate), linear(x, weights.up)), weights.down);
    }

    LongLlamaConfig config_;
    LongLlamaWeights<Real> weights_;
    RotaryTable<Real> rotary_;
};

}  // namespace fot
