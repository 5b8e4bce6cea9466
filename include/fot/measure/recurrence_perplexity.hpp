/// How well a Transformer-XL predicts held-out text: documents in windows, each with the states of the window before it.
///
/// It is what a memory is compared with (model/transformer_xl.hpp). It measures at the same places as measure/memory_curve.hpp if
/// `scored` and `from` equal its options `scored_windows` and `score_from`, and the window is the same.
///
/// Source: paper section 5.2, Table 3, the row of Transformer-XL.
/// Read first: model/transformer_xl.hpp, measure/perplexity.hpp (scored_windows).
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "fot/data/text.hpp"
#include "fot/measure/perplexity.hpp"
#include "fot/model/transformer_xl.hpp"
#include "fot/nn/cross_entropy.hpp"

namespace fot {

/// Bits per byte and perplexity of `documents`, read alone, at the places that memory_curve measures with the same window,
/// `scored` and `from`: the two can be compared document by document.
///
/// Errors: ConfigError as scored_windows; DataError if no document has a whole window, or a token is outside the vocabulary.
/// Cost:    up to layers + 1 windows through the model for each that is scored.
/// Same as: for a document of one window, the standard transformer.
template <class Real>
PerplexityMeter recurrence_perplexity(const Transformer<Real>& model, const std::vector<TokenDocument>& documents, Index window,
                                      Index scored = 8, Index from = 0) {
    PerplexityMeter meter;
    const auto tokens_at = [&](const TokenDocument& document, Index first) {
        return token_row(std::span(document.tokens.data() + first, static_cast<std::size_t>(window)));
    };
    for (std::size_t d = 0; d < documents.size(); ++d)
        for (const Index number : scored_windows(documents[d].length(), window, scored, from)) {
            // What a window sees reaches back by one window a layer: earlier ones need not be read.
            RecurrentState<Real> state;
            Tensor<Real, 3> logits;
            for (Index i = std::max<Index>(0, number - model.config().layers); i <= number; ++i) {
                Tape tape(Tape::inference);
                logits = window_with_recurrence(tape, model, tokens_at(documents[d], i * window), state).value();
            }
            const Tensor<Real, 2> nats = token_nats(logits, tokens_at(documents[d], number * window + 1));
            meter.add(static_cast<Index>(d), std::accumulate(nats.data(), nats.data() + nats.size(), 0.0), window);
        }
    require<DataError>(meter.documents() > 0, "recurrence_perplexity: none of the ", documents.size(),
                       " documents has a window of ", window, " tokens and a token after it at token ", from, " or later");
    return meter;
}

}  // namespace fot
