/// Inference with memory: text is read window by window, and what the memory layers computed is kept for later windows.
///
/// A window is appended to the memories after its own pass. So a query never finds its own window in the memory, and a pass that
/// fails changes nothing. Layers without memory see nothing beyond their window.
///
/// When the state is cleared is the caller's choice: at each new document (the paper's single-document setting) or never
/// (multi-document).
///
/// Source: paper sections 3.1 and 5.1, appendix B.2. No departures.
/// Read first: model/transformer.hpp, model/memory_source.hpp.   Read next: model/generation.hpp.
#pragma once

#include "fot/core/finite.hpp"
#include "fot/model/memory_source.hpp"
#include "fot/model/transformer.hpp"

namespace fot {

/// Logits (B,T,V) of one window of tokens (B,T), which then are part of the memory (unless options.append is false). If memory runs
/// out, or in case of any error, nothing is remembered.
///
/// `state` is a MemoryState, or another kind for which there is a `source_of` (model/counted_memory_source.hpp).
///
/// On a training tape gradients reach the local keys and values and all queries; what is remembered is constant.
/// Errors: ShapeError unless the state has B entries and the memory layers of the model; DataError for a token outside the
///         vocabulary; NumericError for logits, keys or values that are not finite; those of MemorySource.
/// Same as: Transformer::local while the memory is empty; Transformer::crossbatch with the earlier windows as contexts, when top_k
///          takes in the whole memory, and there is one memory layer or one earlier window (paper_notes.md, "Reasons", says why).
template <class Real, class State>
Variable<Real, 3> window_with_memory(Tape& tape, const Transformer<Real>& model, const Tokens& tokens, State& state,
                                     const MemoryOptions& options = {}) {
    state.require_fits("window_with_memory", model.config(), extent(tokens, 0));
    std::vector<LayerView<Real>> views;
    const auto source = source_of(state, options);
    Variable<Real, 3> logits = model.forward(tape, tokens, ObservedSource<Real>(source, views));
    require_finite("window_with_memory: logits", logits.value());
    if (options.append) state.append(views, options.document);
    return logits;
}

/// Reads one window without gradients: its logits (B,T,V). Errors and equivalences are those of window_with_memory.
template <class Real, class State>
Tensor<Real, 3> read_window(const Transformer<Real>& model, const Tokens& tokens, State& state, const MemoryOptions& options = {}) {
    Tape tape(Tape::inference);
    return window_with_memory(tape, model, tokens, state, options).value();
}

namespace detail {

/// Tokens (B,N) in windows (B,T), the last one ragged: `each(first token, window)`.
template <class Each>
void for_each_window(const char* who, const Tokens& tokens, Index window, Each each) {
    require<ConfigError>(window >= 1, who, ": a window of ", window, " tokens, expected 1 or more");
    for (Index first = 0; first < extent(tokens, 1); first += window) {
        const Index count = std::min(window, extent(tokens, 1) - first);
        each(first, slice<1>(tokens, first, count));
    }
}

}  // namespace detail

/// Reads tokens (B,N) of any length in windows of `window`, the last one ragged: logits (B,N,V). `state` is what read_window takes.
/// Errors: ConfigError if window < 1, and those of window_with_memory. The windows before have then been read.
template <class Real, class State>
Tensor<Real, 3> read_document(const Transformer<Real>& model, const Tokens& tokens, Index window, State& state,
                              const MemoryOptions& options = {}) {
    const Index entries = extent(tokens, 0), vocabulary = model.config().vocabulary;
    Tensor<Real, 3> logits = empty<Real, 3>({entries, extent(tokens, 1), vocabulary});
    detail::for_each_window("read_document", tokens, window, [&](Index first, const Tokens& part) {
        const Tensor<Real, 3> of_part = read_window(model, part, state, options);
        for (Index b = 0; b < entries; ++b) std::copy_n(row(of_part, b), extent(part, 1) * vocabulary, row(logits, b, first));
    });
    return logits;
}

/// Only remembers tokens (B,N): the memory is as after read_document, but nothing is predicted. With one memory layer nothing is
/// searched either: what it appends does not depend on what it remembers.
/// Errors: as read_document.
template <class Real, class State>
void remember_document(const Transformer<Real>& model, const Tokens& tokens, Index window, State& state,
                       const MemoryOptions& options = {}) {
    const Index last = model.config().last_memory_layer();
    state.require_fits("remember_document", model.config(), extent(tokens, 0));
    const auto source = source_of(state, options);
    detail::for_each_window("remember_document", tokens, window, [&](Index, const Tokens& part) {
        if (last < 0) return;
        Tape tape(Tape::inference);
        std::vector<LayerView<Real>> views;
        const Variable<Real, 3> x = model.layers(tape, model.embed(tape, part), 0, last, ObservedSource<Real>(source, views));
        const KeysAndValues<Real> of_last = model.layer(last).keys_and_values(tape, x);
        views.push_back({.layer = last, .k = of_last.k, .v = of_last.v});
        if (options.append) state.append(views, options.document);
    });
}

}  // namespace fot
