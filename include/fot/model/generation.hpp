/// Generation: one token after another, greedy or sampled, with a memory of what was read and written before.
///
/// Read first: model/inference.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "fot/core/random.hpp"
#include "fot/model/inference.hpp"

namespace fot {

/// How the next token is drawn. The limits apply in the order of the fields.
struct SamplingOptions {
    double temperature = 1;  ///< divides the logits; 0: greedy, the likeliest token
    Index top_k = 0;         ///< only the k likeliest tokens; 0: all
    double top_p = 1;        ///< only the likeliest tokens that together have this probability, at least one
};

/// Draws a token from `count` logits. Of equal logits the lower token counts as the likelier.
/// Errors: ConfigError for options out of range; NumericError if a logit is NaN, or, unless greedy, the largest is not finite.
template <class Real>
std::int32_t sample_token(const Real* logits, Index count, const SamplingOptions& options, Random& random) {
    require<ConfigError>(count >= 1 && options.temperature >= 0 && options.top_k >= 0 && options.top_p > 0 && options.top_p <= 1,
                         "sample_token: ", count, " logits, temperature ", options.temperature, ", top_k ", options.top_k,
                         ", top_p ", options.top_p, ": expected 1 or more, >= 0, >= 0, above 0 and at most 1");
    for (Index i = 0; i < count; ++i) require<NumericError>(!std::isnan(logits[i]), "sample_token: logit ", i, " is NaN");
    std::vector<std::int32_t> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return logits[a] > logits[b]; });
    if (options.temperature == 0) return order[0];
    require<NumericError>(std::isfinite(logits[order[0]]), "sample_token: the largest logit is ", logits[order[0]],
                          ", expected a finite number");
    if (options.top_k > 0) order.resize(static_cast<std::size_t>(std::min(options.top_k, count)));
    std::vector<double> weights;
    double total = 0;
    for (const std::int32_t token : order) {
        weights.push_back(std::exp(static_cast<double>(logits[token] - logits[order[0]]) / options.temperature));
        total += weights.back();
    }
    std::size_t kept = 0;
    double sum = 0;
    while (kept < weights.size() && (kept == 0 || sum < options.top_p * total)) sum += weights[kept++];
    double draw = random.uniform() * sum;
    for (std::size_t i = 0; i < kept; ++i) {
        draw -= weights[i];
        if (draw < 0) return order[i];
    }
    return order[kept - 1];
}

/// Continues `prompt` by `count` tokens, of which `each` is told as they come.
///
/// The text is read in windows of `window` tokens. The window that is being written is computed anew for each token (nothing of it
/// is in memory yet); once full it goes to memory, and a new window begins with the next token. Errors: DataError if the prompt is
/// empty; ConfigError if window < 1 or count < 0; as read_window.
template <class Real>
std::vector<std::int32_t> generate(Transformer<Real>& model, const std::vector<std::int32_t>& prompt, Index count, Index window,
                                   MemoryState<Real>& state, const SamplingOptions& sampling, Random& random,
                                   const MemoryOptions& options = {}, const std::function<void(std::int32_t)>& each = {}) {
    require<DataError>(!prompt.empty(), "generate: the prompt is empty, expected at least one token to go on from");
    require<ConfigError>(window >= 1 && count >= 0, "generate: windows of ", window, " tokens and ", count,
                         " new ones make no sense");
    require<ShapeError>(state.entries() == 1, "generate: the memory state has ", state.entries(), " batch entries, expected 1");
    const auto as_tokens = [](const std::vector<std::int32_t>& list) {
        Tokens tokens = empty<std::int32_t, 2>({1, static_cast<Index>(list.size())});
        std::copy(list.begin(), list.end(), tokens.data());
        return tokens;
    };
    MemoryOptions look = options;  // the open window is not remembered before it is full
    look.append = false;
    std::vector<std::int32_t> open, written;  // the window that is not in memory yet, and what was generated
    const auto close_if_full = [&] {
        if (static_cast<Index>(open.size()) < window) return;
        read_window(model, as_tokens(open), state, options);
        open.clear();
    };
    for (const std::int32_t token : prompt) {
        close_if_full();
        open.push_back(token);
    }
    for (Index i = 0; i < count; ++i) {
        const Tensor<Real, 3> logits = read_window(model, as_tokens(open), state, look);
        written.push_back(
            sample_token(row(logits, Index(0), static_cast<Index>(open.size()) - 1), model.config().vocabulary, sampling, random));
        if (each) each(written.back());
        close_if_full();
        open.push_back(written.back());
    }
    return written;
}

}  // namespace fot
