/// Transformer-XL: every layer also sees the states that it had in the previous window of the same document.
///
///     x'   = [SG(previous x), x]             SG: no gradient into the states; the maps to keys and values do get theirs
///     x    = x + O attention(q of norm(x), k and v of norm(x'))        each query sees the whole previous window and its past
///
/// It is the baseline of the paper's comparisons at short range. The parameters are those of the standard model, so that one can be
/// continued as the other. Rotary positions run on from the previous window to the current one (only distances matter), layers
/// without positions stay without.
///
/// Source: Dai et al. 2019; the paper's fine-tuning. Departs from it in: rotary positions instead of relative position embeddings.
/// Read first: model/transformer.hpp.   Read next: model/inference.hpp (the same idea with a memory that grows).
#pragma once

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
        require<ShapeError>(entry >= 0 && entry < static_cast<Index>(seen.size()), "RecurrentState: entry ", entry, " of ",
                            seen.size());
        seen[static_cast<std::size_t>(entry)] = false;
    }
};

/// Logits (B,T,V) of a window of tokens (B,T); the state then is that of this window.
///
/// Cost:   as Transformer::local, and B T S more scores and sums per head and layer, S the length of the previous window.
/// Errors: ShapeError if the state is of another number of entries or layers; DataError for a token outside the vocabulary.
/// Same as: Transformer::local for an empty state.
template <class Real>
Variable<Real, 3> window_with_recurrence(Tape& tape, Transformer<Real>& model, const Tokens& tokens, RecurrentState<Real>& state) {
    const Index entries = extent(tokens, 0), layers = model.config().layers;
    const bool fresh = state.inputs.empty() && state.seen.empty();
    require<ShapeError>(fresh || static_cast<Index>(state.seen.size()) == entries, "window_with_recurrence: ", entries,
                        " batch entries, the state has ", state.seen.size());
    require<ShapeError>(state.inputs.empty() || static_cast<Index>(state.inputs.size()) == layers,
                        "window_with_recurrence: ", layers, " layers, the state has ", state.inputs.size());
    const Index before = state.inputs.empty() ? 0 : extent(state.inputs[0], 1);
    ContextTable table = no_contexts(entries);
    table.sources = before > 0 ? entries : 0;
    for (Index b = 0; before > 0 && b < entries; ++b)
        if (state.seen[static_cast<std::size_t>(b)]) {
            table.contexts[static_cast<std::size_t>(b)] = {b};
            table.positives[static_cast<std::size_t>(b)] = 1;
        }
    const std::vector<Index> previous_positions = TransformerLayer<Real>::all_positions(before);
    std::vector<Index> positions = TransformerLayer<Real>::all_positions(extent(tokens, 1));
    for (Index& position : positions) position += before;

    std::vector<Tensor<Real, 3>> inputs;
    Variable<Real, 3> x = model.embed(tape, tokens);
    for (Index i = 0; i < layers; ++i) {
        TransformerLayer<Real>& layer = model.layer(i);
        inputs.push_back(x.value());
        if (before == 0) {
            x = layer.local(tape, x);
            continue;
        }
        const Variable<Real, 3> previous(state.inputs[static_cast<std::size_t>(i)]);
        const Variable<Real, 3> h = layer.normalized(tape, x), h_previous = layer.normalized(tape, previous);
        const Variable<Real, 4> q = layer.rotated(tape, layer.queries(tape, h), positions),
                                k = layer.rotated(tape, layer.keys(tape, h), positions),
                                k_previous = layer.rotated(tape, layer.keys(tape, h_previous), previous_positions);
        x = layer.finish(
            tape, x, crossbatch_attention(tape, q, k, layer.values(tape, h), k_previous, layer.values(tape, h_previous), table).o);
    }
    state.inputs = std::move(inputs);
    state.seen.assign(static_cast<std::size_t>(entries), true);
    return model.head(tape, x);
}

}  // namespace fot
