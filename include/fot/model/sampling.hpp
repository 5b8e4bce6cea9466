/// From logits to a token: the likeliest one, or one drawn from the likely ones.
///
/// Greedy decoding has one answer and is what accuracies are measured with; drawing gives text that does not repeat itself.
///
/// Read first: core/random.hpp.   Read next: model/generation.hpp, model/long_llama_generation.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "fot/core/random.hpp"

namespace fot {

/// How the next token is drawn. The limits apply in the order of the fields.
struct SamplingOptions {
    double temperature = 1;  ///< divides the logits; 0: greedy, the likeliest token
    Index top_k = 0;         ///< only the k likeliest tokens; 0: all
    double top_p = 1;        ///< only the likeliest tokens that together have this probability, at least one

    /// Throws ConfigError if one of them is out of range.
    void check() const {
        require<ConfigError>(temperature >= 0 && std::isfinite(temperature) && top_k >= 0 && top_p > 0 && top_p <= 1,
                             "sampling: temperature ", temperature, ", top_k ", top_k, ", top_p ", top_p,
                             ": expected >= 0 and finite, >= 0, above 0 and at most 1");
    }
};

/// Draws a token from `count` logits. Of equal logits the lower token counts as the likelier.
/// Errors: ConfigError for options out of range; NumericError if a logit is NaN, or, unless greedy, the largest is not finite.
template <class Real>
std::int32_t sample_token(const Real* logits, Index count, const SamplingOptions& options, Random& random) {
    options.check();
    require<ConfigError>(count >= 1, "sample_token: ", count, " logits, expected 1 or more");
    for (Index i = 0; i < count; ++i) require<NumericError>(!std::isnan(logits[i]), "sample_token: logit ", i, " is NaN");
    if (options.temperature == 0) return static_cast<std::int32_t>(std::max_element(logits, logits + count) - logits);
    std::vector<std::int32_t> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) { return logits[a] > logits[b]; });
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

}  // namespace fot
