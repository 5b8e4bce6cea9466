/// LongLLaMA inference: a LLaMA decoder some of whose layers remember what was read before.
///
/// Text is read in windows. All of an input but its last tokens is the prefix. Each window of the prefix attends to itself, and in
/// memory layers to the memory; then it goes to the memory as a whole. The last tokens stay in the local cache, from which
/// generation continues. When the cache would outgrow the window, all of it moves to the memory in one go. A memory layer attends
/// to local keys and memory in one softmax. Keys in memory have position 0, the first of the window. Layers without memory forget
/// what has left the cache: just after it was emptied they see almost nothing.
///
/// The decoder is a Transformer (model/transformer.hpp), whose layers do everything but local attention. Its projections are
/// trained, or left in the format of their file (model/long_llama_files.hpp). This file adds two things: when a token leaves for
/// the memory, and local attention to a cache. The cache is not a source of further keys (model/source.hpp), because its keys have
/// positions and each query sees only those before it. It takes the place of the window's own keys; the memory is a source here as
/// elsewhere.
///
/// Source: the released code (inference); paper section 4.1, appendix A.2. Departures: padding is not put into memory. We add three
/// options: the memory can be searched for its top_k entries, be limited in capacity, and take the oldest keys from the cache one
/// by one.
/// Read first: model/transformer.hpp, model/long_llama_state.hpp.   Read next: model/long_llama_generation.hpp.
#pragma once

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "fot/model/long_llama_state.hpp"
#include "fot/model/transformer.hpp"

namespace fot {

/// A batch of tokens to read.
struct LongLlamaInput {
    const Tokens& tokens;                         ///< (B,N)
    const Visible* visible = nullptr;             ///< (B,N) 0: padding, any other number: a token; null: no padding
    const Tensor<Index, 2>* positions = nullptr;  ///< (B,N), -1 or more; null: on from the local cache's largest, or from 0
};

/// How an input is read.
struct LongLlamaReading {
    bool keep_local = true;         ///< the last tokens stay in the local cache; false: everything goes to memory
    Index last_context = -1;        ///< tokens at the end that are one window and stay there; -1: as the configuration says
    bool only_last_logits = false;  ///< logits of the last position alone: enough to go on from, and much smaller
};

/// The model. Several states, and several threads with a state each, may read with one.
template <class Real>
class LongLlama {
   public:
    /// A decoder, and how it reads.   Errors: ConfigError if the configuration does not fit together, or is not the decoder's.
    LongLlama(LongLlamaConfig config, Transformer<Real> decoder)
        : config_((config.check(), std::move(config))),
          decoder_(std::move(decoder)),
          rotary_(config_.model.rotary_base, config_.model.head_width_of(0),
                  std::clamp<Index>(std::max(config_.window, config_.last_context), 1, most_prepared),
                  config_.model.rotary_scaling) {
        config_ = config_.resolved();
        require<ConfigError>(config_.model == decoder_.config(), "LongLlama: config.model is not the decoder's configuration");
    }

    /// Its shape, and how it reads.
    const LongLlamaConfig& config() const { return config_; }
    /// The decoder: to be trained, if it has trained weights.
    Transformer<Real>& decoder() { return decoder_; }
    /// The same of a constant model.
    const Transformer<Real>& decoder() const { return decoder_; }

    /// Reads an input of any length and returns its logits (B,N,V), or (B,1,V) of the last position.
    ///
    /// The last `last_context` tokens are one window, those before them windows of `window` tokens, the last of them ragged. From
    /// an empty local cache the latter go to memory: of 1500 tokens with last_context 1024, 476 go to memory and 1024 stay. If
    /// there is something in the cache they go there too, and to memory when it is full. Logits of padding mean nothing.
    /// `hidden`, if not null, receives the embeddings, the output of each layer but the last, and the last one's after the final
    /// norm, (B,N,E) each. If memory runs out in a window, the windows before it have been read, and nothing of this one.
    ///
    /// Errors: ShapeError if batch, state, visibility or positions do not fit; DataError for an empty input or a token outside the
    ///         vocabulary; ConfigError if the local cache is not empty and would not be kept, for a position below -1 or beyond
    ///         half of what an Index holds: then nothing is read. ConfigError too if positions of a window and the local cache lie
    ///         RotaryTable::most_positions or more apart: then the windows before that one have been read.
    Tensor<Real, 3> read(const LongLlamaInput& input, LongLlamaState<Real>& state, const LongLlamaReading& reading = {},
                         std::vector<Tensor<Real, 3>>* hidden = nullptr) const {
        require_readable(input, state, reading);
        const Index entries = extent(input.tokens, 0), length = extent(input.tokens, 1);
        const Tensor<Index, 2> positions = input.positions ? *input.positions : following_positions(state, length);
        const Visible visible = input.visible ? *input.visible : full<std::uint8_t, 2>({entries, length}, std::uint8_t(1));

        const Index last = std::min(length, reading.last_context < 0 ? config_.last_context : reading.last_context);
        const Index prefix = length - last;
        Tensor<Real, 3> logits = empty<Real, 3>({entries, reading.only_last_logits ? 1 : length, config_.model.vocabulary});
        if (hidden)
            hidden->assign(static_cast<std::size_t>(config_.model.layers) + 1,
                           empty<Real, 3>({entries, length, config_.model.width}));
        for (Index first = 0, count = 0; first < length; first += count) {
            count = first < prefix ? std::min(config_.window, prefix - first) : last;
            const bool keep = reading.keep_local && (first >= prefix || state.local_size() > 0);
            LongLlamaUndo<Real> undo(state, keep ? count : 0);
            Tape tape(Tape::inference);
            const Variable<Real, 3> x = window(tape, slice<1>(input.tokens, first, count), slice<1>(positions, first, count),
                                               slice<1>(visible, first, count), state, keep, first, hidden);
            if (!reading.only_last_logits)
                put_positions(decoder_.head(tape, x).value(), first, logits);
            else if (first + count == length)
                logits = decoder_.head(tape, take_positions(tape, x, {count - 1})).value();
            undo.forget();
        }
        return logits;
    }

   private:
    static constexpr Index most_prepared = 1 << 14;  // positions whose angles are computed in advance

    /// One window (B,T) through all layers: (B,T,E). With `keep` it stays in the local cache, which makes room first; without, it
    /// goes to memory afterwards.
    Variable<Real, 3> window(Tape& tape, const Tokens& tokens, const Tensor<Index, 2>& positions, const Visible& visible,
                             LongLlamaState<Real>& state, bool keep, Index first, std::vector<Tensor<Real, 3>>* hidden) const {
        const TransformerConfig& model = config_.model;
        const Index entries = extent(tokens, 0), length = extent(tokens, 1), leaving = leaving_tokens(state, length);
        const auto after_those_that_stay = [&](const auto& known, const auto& added) {
            return concatenate<1>(slice<1>(known, leaving, state.local_size() - leaving), added);
        };
        const Tensor<Index, 2> all_positions = after_those_that_stay(state.positions(), positions);
        const Visible all_visible = after_those_that_stay(state.visible(), visible);
        const LocalPositions local_positions(all_positions);
        state.spill(leaving);

        const RotaryTable<Real> table = rotary_.covering(local_positions.highest);
        const Tensor<Index, 2> rotations = slice<1>(local_positions.from_there, state.local_size(), length);
        const Tensor<Real, 2> mask = padding_mask<Real>(all_visible);
        const std::vector<Index> places = consecutive(state.local_size(), length);  // of the queries among the local keys
        const NoSource<Real> none;
        const MemorySource<Real> memory(state.memory(), state.options().top_k);

        Variable<Real, 3> x = decoder_.embed(tape, tokens);
        for (Index i = 0; i < model.layers; ++i) {
            if (hidden) put_positions(x.value(), first, element(*hidden, i));
            const TransformerLayer<Real>& layer = decoder_.layer(i);
            const Source<Real>& source = model.is_memory_layer(i) ? static_cast<const Source<Real>&>(memory) : none;
            LocalCache<Real> passing(entries, model.key_heads_of(i), model.head_width_of(i));  // of a window that does not stay
            LocalCache<Real>& cache = keep ? state.cache(i) : passing;

            LayerView<Real> at = layer.project(tape, x, source, places);
            cache.append(at.k.value(), at.v.value());
            if (model.has_positions(i)) {
                cache.rotate(local_positions, table);
                at.q = rotate(tape, at.q, rotations, table);
            }
            const Attention<Real> local = as_constant(cache.attend(at.q.value(), mask)), further = source.attend(tape, at);
            x = layer.finish(tape, x, layer.joining->join(tape, at, local, further));
            if (!keep) state.remember(i, at.k.value(), at.v.value(), visible);
        }
        if (keep) state.set_local(all_positions, all_visible);
        if (hidden) put_positions(decoder_.normalized(tape, x).value(), first, hidden->back());
        return x;
    }

    /// How many tokens leave the local cache before `coming` more come.
    Index leaving_tokens(const LongLlamaState<Real>& state, Index coming) const {
        const Index cached = state.local_size(), too_many = cached + coming - config_.window;
        if (too_many <= 0) return 0;
        return state.options().spill == Spill::all_at_once ? cached : std::min(too_many, cached);
    }

    static Tensor<Index, 2> following_positions(const LongLlamaState<Real>& state, Index length) {
        Tensor<Index, 2> positions = empty<Index, 2>({state.entries(), length});
        for (Index b = 0; b < state.entries(); ++b)
            std::iota(row(positions, b), row(positions, b) + length, state.next_position(b));
        return positions;
    }

    /// Writes part (B,T,E) to the positions from `first` on of whole (B,N,E).
    static void put_positions(const Tensor<Real, 3>& part, Index first, Tensor<Real, 3>& whole) {
        for (Index b = 0; b < extent(part, 0); ++b)
            std::copy_n(row(part, b), extent(part, 1) * extent(part, 2), row(whole, b, first));
    }

    void require_readable(const LongLlamaInput& input, const LongLlamaState<Real>& state, const LongLlamaReading& reading) const {
        const Index entries = extent(input.tokens, 0), length = extent(input.tokens, 1);
        require<ShapeError>(entries == state.entries(), "LongLlama::read: ", entries, " batch entries, the state has ",
                            state.entries());
        require<ShapeError>(state.model() == config_.model, "LongLlama::read: the state was made for another model");
        require<DataError>(length >= 1, "LongLlama::read: no tokens");
        require_in_vocabulary(input.tokens, config_.model.vocabulary);  // all of them, before a window has gone to memory
        require<ConfigError>(reading.keep_local || state.local_size() == 0, "LongLlama::read: ", state.local_size(),
                             " tokens are in the local cache, which keep_local = false would leave there");
        if (input.visible) require_shape("LongLlama::read: visible", *input.visible, {entries, length});
        if (!input.positions) return;
        require_shape("LongLlama::read: positions", *input.positions, {entries, length});
        constexpr Index farthest = std::numeric_limits<Index>::max() / 2;  // differences and what comes after it do not overflow
        for (const Index position : input.positions->storage())
            require<ConfigError>(position >= -1 && position <= farthest, "LongLlama::read: position ", position,
                                 ", expected -1 (padding before the first token) ... ", farthest);
    }

    LongLlamaConfig config_;
    Transformer<Real> decoder_;
    RotaryTable<Real> rotary_;
};

}  // namespace fot
