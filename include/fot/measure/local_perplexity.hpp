/// How well a transformer without a memory predicts held-out text, when its local context also holds the windows before.
///
/// It is what a memory is compared with: the same earlier text, read as one long context. All layers attend to all of it, whereas
/// only the memory layer sees a memory. So a token costs more with every further window, and a model must be trained on contexts as
/// long (LanguageModelRecipe::local_windows). It measures at the same places as measure/memory_curve.hpp if `scored` and `from`
/// equal its options `scored_windows` and `score_from`, and the window is the same.
///
/// Source: paper section 4.5, Table 2, the model with long context.
/// Read first: model/transformer.hpp, measure/perplexity.hpp (scored_windows).
#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "fot/data/text.hpp"
#include "fot/measure/perplexity.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"

namespace fot {

/// Bits per byte and perplexity of windows of `documents`, each read together with the `before` windows that precede it, or as many
/// as its document has.
///
/// Errors: ConfigError as scored_windows, for a negative `before`, or for more tokens than positions; DataError if no document has
///         a whole window, or a token is outside the vocabulary.
/// Cost:    before + 1 windows through the model for each that is scored.
/// Same as: memory_curve with a memory of no tokens, if `before` is 0.
template <class Real>
PerplexityMeter local_perplexity(const Transformer<Real>& model, const std::vector<TokenDocument>& documents, Index window,
                                 Index before, Index scored = 8, Index from = 0) {
    require<ConfigError>(before >= 0, "local_perplexity: ", before,
                         " windows before the one that is predicted, expected 0 or more");
    PerplexityMeter meter;
    for (std::size_t d = 0; d < documents.size(); ++d)
        for (const Index number : scored_windows(documents[d].length(), window, scored, from)) {
            const Index first = std::max<Index>(0, number - before) * window, length = (number + 1) * window - first;
            const auto tokens_from = [&](Index place) {
                return token_row(std::span(documents[d].tokens.data() + place, static_cast<std::size_t>(length)));
            };
            Tape tape(Tape::inference);
            const Tensor<Real, 3> logits = model.local(tape, tokens_from(first)).value();
            const Tensor<Real, 2> nats = token_nats(logits, tokens_from(first + 1));
            meter.add(static_cast<Index>(d), std::accumulate(nats.data() + length - window, nats.data() + length, 0.0), window);
        }
    require<DataError>(meter.documents() > 0, "local_perplexity: none of the ", documents.size(), " documents has a window of ",
                       window, " tokens and a token after it at token ", from, " or later");
    return meter;
}

}  // namespace fot
