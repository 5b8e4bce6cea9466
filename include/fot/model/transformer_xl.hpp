/// Transformer-XL: every layer also sees the states that it had in the previous window of the same document.
///
///     x'   = [SG(previous x), x]             SG: no gradient into the states; the projections to keys and values do get theirs
///     x    = x + O attention(q of norm(x), k and v of norm(x'))        each query sees the whole previous window and its past
///
/// The paper compares it with FoT at two windows (Table 3): there both see one window back, Transformer-XL in every layer, FoT in
/// only one. The parameters are those of the standard model, so that one can be continued as the other. Rotary positions run on
/// from the previous window to the current one (only distances matter); layers without positions keep none.
///
/// Source: Dai et al. 2019; paper section 5.2, Table 3. Departures: rotary positions instead of relative position embeddings.
/// Read first: model/transformer.hpp.   Read next: model/inference.hpp (the same idea with a memory that grows).
#pragma once

#include "fot/core/finite.hpp"
#include "fot/model/transformer.hpp"

namespace fot {

/// What Transformer-XL keeps of the window before: the input of each layer. Begins empty.
template <class Real>
struct RecurrentState {
    std::vector<Tensor<Real, 3>> inputs;  ///< (B,S,E) of each layer
    std::vector<bool> seen;               ///< (B) whether the entry has a previous window

    /// Forgets an entry's previous window: its document has ended.   Errors: ShapeError.
    void clear(Index entry) {
        if (seen.empty()) return;
        require<ShapeError>(entry >= 0 && entry < length_of(seen), "RecurrentState: entry ", entry, " of ", seen.size());
        element(seen, entry) = false;
    }
};

/// The previous window as further keys of every layer: its states through the layer's projections to keys and values.
template <class Real>
class PreviousWindow : public Source<Real> {
   public:
    /// All must outlive the source.
    PreviousWindow(const Transformer<Real>& model, const RecurrentState<Real>& state) : model_(model), state_(state) {
        const Index entries = length_of(state.seen);
        table_ = no_contexts(entries);
        table_.available = entries;
        for (Index b = 0; b < entries; ++b)
            if (element(state.seen, b)) {
                element(table_.contexts, b) = {b};
                element(table_.positives, b) = 1;
            }
    }

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        if (state_.inputs.empty()) return {};
        const TransformerLayer<Real>& layer = model_.layer(at.layer);
        const Variable<Real, 3> states(element(state_.inputs, at.layer));  // a constant
        const KeysAndValues<Real> previous = layer.keys_and_values(tape, states);
        // Positions run on: the previous window is at 0 ... S-1, and the queries, rotated to 0 ... T-1, go S further.
        const Index length = extent(states.value(), 1);
        const std::vector<Index> further(static_cast<std::size_t>(extent(at.q.value(), 1)), length);
        return context_attention(tape, layer.rotated(tape, at.q, further), layer.rotated(tape, previous.k, consecutive(0, length)),
                                 previous.v, table_);
    }
    Index key_count(Index layer, Index b) const override {
        return state_.inputs.empty() || !element(state_.seen, b) ? 0 : extent(element(state_.inputs, layer), 1);
    }

   private:
    const Transformer<Real>& model_;
    const RecurrentState<Real>& state_;
    ContextTable table_;
};

/// Logits (B,T,V) of a window of tokens (B,T); the state then is that of this window. If memory runs out, it is as before.
///
/// Cost:   as Transformer::local, and B T S more scores and sums per head and layer, S the length of the previous window.
/// Errors: ShapeError if the state is of a different number of entries or layers; DataError for a token outside the vocabulary;
///         NumericError for logits that are not finite.
/// Same as: Transformer::local for an empty state.
template <class Real>
Variable<Real, 3> window_with_recurrence(Tape& tape, const Transformer<Real>& model, const Tokens& tokens,
                                         RecurrentState<Real>& state) {
    const Index entries = extent(tokens, 0), layers = model.config().layers;
    const bool fresh = state.inputs.empty() && state.seen.empty();
    require<ShapeError>(fresh || length_of(state.seen) == entries, "window_with_recurrence: ", entries,
                        " batch entries, the state has ", state.seen.size());
    require<ShapeError>(state.inputs.empty() || length_of(state.inputs) == layers, "window_with_recurrence: ", layers,
                        " layers, the state has ", state.inputs.size());
    const PreviousWindow<Real> source(model, state);
    std::vector<Tensor<Real, 3>> inputs;
    Variable<Real, 3> x = model.embed(tape, tokens);
    for (Index i = 0; i < layers; ++i) {
        inputs.push_back(x.value());
        x = model.layer(i).forward(tape, x, source);
    }
    Variable<Real, 3> logits = model.head(tape, x);
    require_finite("window_with_recurrence: logits", logits.value());
    state = {.inputs = std::move(inputs), .seen = std::vector<bool>(static_cast<std::size_t>(entries), true)};
    return logits;
}

}  // namespace fot
