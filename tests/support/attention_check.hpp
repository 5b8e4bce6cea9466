/// Attention in index notation, in double, and random inputs for it: what the tests of attention compare with.
#pragma once

#include <vector>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/core/random.hpp"
#include "support/gradient_check.hpp"

namespace fot::testing {

/// Sizes of a call of attention: B, T, U, H, G, D, E, P, S.
struct AttentionSizes {
    Index entries = 1, queries = 1, keys = 1, heads = 1, key_heads = 1, width = 2, value_width = 2, sources = 0, rows = 0;
};

template <class Real>
struct AttentionInputs {
    Tensor<Real, 4> q, k, v, context_k, context_v;

    AttentionInputs(const AttentionSizes& s, std::uint64_t seed) {
        Random random(seed);
        q = normal_tensor<Real, 4>({s.entries, s.queries, s.heads, s.width}, 1, random);
        k = normal_tensor<Real, 4>({s.entries, s.keys, s.key_heads, s.width}, 1, random);
        v = normal_tensor<Real, 4>({s.entries, s.keys, s.key_heads, s.value_width}, 1, random);
        context_k = normal_tensor<Real, 4>({s.sources, s.rows, s.key_heads, s.width}, 1, random);
        context_v = normal_tensor<Real, 4>({s.sources, s.rows, s.key_heads, s.value_width}, 1, random);
    }

    AttentionResult<Real> attend(const ContextTable& table, const AttentionOptions<Real>& options = {}) const {
        return crossbatch_attention(q, k, v, context_k, context_v, table, options);
    }
};

/// Softmax over all that query (b,t,h) sees, written out: scores, then weights, then the weighted values.
template <class Real>
AttentionResult<double> attention_oracle(const AttentionInputs<Real>& in, const ContextTable& table,
                                         const AttentionOptions<Real>& options = {}) {
    const Index queries = extent(in.q, 1), heads = extent(in.q, 2), group = heads / extent(in.k, 2), keys = extent(in.k, 1);
    const Index value_width = extent(in.v, 3);
    AttentionResult<double> result{zeros<double, 4>({extent(in.q, 0), queries, heads, value_width}),
                                   zeros<double, 3>({extent(in.q, 0), heads, queries})};
    for (Index b = 0; b < extent(in.q, 0); ++b)
        for (Index t = 0; t < queries; ++t)
            for (Index h = 0; h < heads; ++h) {
                std::vector<double> scores;
                std::vector<const Real*> values;
                const auto see = [&](const Real* key, const Real* value, double bias) {
                    double score = bias;
                    for (Index d = 0; d < extent(in.q, 3); ++d)
                        score += static_cast<double>(options.scale) * static_cast<double>(in.q(b, t, h, d)) *
                                 static_cast<double>(key[d]);
                    scores.push_back(score);
                    values.push_back(value);
                };
                const Index position =
                    options.query_positions.empty() ? keys - queries + t : options.query_positions[static_cast<std::size_t>(t)];
                for (Index u = 0; u < (options.causal ? position + 1 : keys); ++u)
                    see(row(in.k, b, u, h / group), row(in.v, b, u, h / group),
                        options.local_bias.size() ? static_cast<double>(options.local_bias(b, t, u)) : 0.0);
                for (const Index context : table.contexts[static_cast<std::size_t>(b)])
                    for (Index s = 0; s < extent(in.context_k, 1); ++s)
                        see(row(in.context_k, context, s, h / group), row(in.context_v, context, s, h / group), 0);
                double highest = -std::numeric_limits<double>::infinity(), sum = 0;
                for (const double score : scores) highest = std::max(highest, score);
                for (const double score : scores) sum += std::exp(score - highest);
                result.log_sum_exp(b, h, t) = highest + std::log(sum);
                for (std::size_t i = 0; i < scores.size(); ++i)
                    for (Index e = 0; e < value_width; ++e)
                        result.o(b, t, h, e) += std::exp(scores[i] - highest) / sum * static_cast<double>(values[i][e]);
            }
    return result;
}

/// For inputs too large to vary each number: the derivative of `loss()` in three random directions against <d_x, direction>.
/// Relative error, four-point differences.
template <std::size_t N, class Loss>
double directional_error(Tensor<double, N>& x, const Tensor<double, N>& d_x, Loss&& loss, double step = 1e-3) {
    const WithThreads alone(1);
    Random random(7);
    const Tensor<double, N> before = x;
    double worst = 0;
    for (int direction = 0; direction < 3; ++direction) {
        const Tensor<double, N> along = normal_tensor<double, N>(shape_of(x), 1, random);
        const auto at = [&](double offset) {
            for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = before.data()[i] + offset * along.data()[i];
            return static_cast<double>(loss());
        };
        const double numerical = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
        const double exact = weighted_sum(d_x, along);
        worst = worse(worst, std::abs(numerical - exact) / std::max(std::abs(numerical), std::abs(exact)));
        x = before;
    }
    return worst;
}

}  // namespace fot::testing
