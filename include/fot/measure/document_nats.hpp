/// The loss of every token of a document, in nats, for a model that reads the document with a memory.
///
/// The logits of a megabyte of text take a gigabyte, and perplexity needs one number per token. So only the logits of one window
/// exist at a time.
///
/// Read first: model/inference.hpp, nn/cross_entropy.hpp.   Read next: measure/perplexity.hpp.
#pragma once

#include <algorithm>

#include "fot/model/inference.hpp"
#include "fot/nn/cross_entropy.hpp"

namespace fot {

/// -log p(next token) after each token but the last, in nats, read in windows of `window`, the last one ragged.
///
///     nats[b,t] = -log p(tokens[b,t+1] | tokens[b,0 ... t], memory)
///
/// Shapes: tokens (B,N) -> (B,N-1); of no token or one: (B,0).
/// Cost:   as read_window for each window; memory for the logits of one window, (B,window,V).
/// Errors: ConfigError if window < 1, and those of read_window.
/// Same as: token_nats(read_document(model, all but the last token), all but the first), where both fit into memory.
template <class Real>
Tensor<Real, 2> document_nats(Transformer<Real>& model, const Tokens& tokens, Index window, MemoryState<Real>& state,
                              const MemoryOptions& options = {}) {
    require<ConfigError>(window >= 1, "document_nats: a window of ", window, " tokens, expected 1 or more");
    const Index predicted = std::max<Index>(extent(tokens, 1) - 1, 0);
    Tensor<Real, 2> nats = empty<Real, 2>({extent(tokens, 0), predicted});
    for (Index first = 0; first < predicted; first += window) {
        const Index count = std::min(window, predicted - first);
        const Tensor<Real, 3> logits = read_window(model, slice<1>(tokens, first, count), state, options);
        const Tensor<Real, 2> of_window = token_nats(logits, slice<1>(tokens, first + 1, count));
        for (Index b = 0; b < extent(nats, 0); ++b) std::copy_n(row(of_window, b), count, row(nats, b) + first);
    }
    return nats;
}

}  // namespace fot
