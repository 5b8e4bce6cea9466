/// Padding: prompts of different lengths, filled up on the left, in one batch.
///
/// No token attends to padding: in the local cache its scores are masked, and it does not go to the memory. What padding itself
/// computes is of no use to anybody. The released code nevertheless gives it numbers: since it limits masked scores to one common
/// value, a query that sees nothing attends evenly to all there is, in the local cache and in the memory. They are reproduced, so
/// that all numbers can be compared with that code; for this alone padding that leaves the local cache is put aside.
///
/// Read first: model/local_cache.hpp, model/memory_source.hpp.   Read next: model/long_llama_state.hpp.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "fot/model/local_cache.hpp"
#include "fot/model/memory_source.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// Which tokens of a batch are tokens: (B,N), 0 is padding, any other number a token.
using Visible = Tensor<std::uint8_t, 2>;

/// What is added to the scores of local keys: 0 for tokens, -infinity for padding, (B,S). Empty if there is no padding.
template <class Real>
Tensor<Real, 2> padding_mask(const Visible& visible) {
    if (std::find(visible.begin(), visible.end(), 0) == visible.end()) return {};
    Tensor<Real, 2> mask = zeros<Real, 2>(shape_of(visible));
    std::transform(visible.begin(), visible.end(), mask.begin(),
                   [](std::uint8_t token) { return token ? Real(0) : -std::numeric_limits<Real>::infinity(); });
    return mask;
}

/// Appends the tokens of k and v, (B,T,G,D), to the memories of a layer, and the padding among them to those aside.
template <class Real>
void remember_tokens(Index layer, const Tensor<Real, 4>& k, const Tensor<Real, 4>& v, const Visible& visible,
                     MemoryState<Real>& memory, MemoryState<Real>& aside) {
    for (Index b = 0; b < extent(k, 0); ++b) {
        std::vector<Index> tokens, padding;
        for (Index t = 0; t < extent(k, 1); ++t) (visible(b, t) ? tokens : padding).push_back(t);
        if (padding.empty()) {
            memory.memory(layer, b).append(k, v, b, 0);
            continue;
        }
        const Tensor<Real, 4> k_b = slice<0>(k, b, 1), v_b = slice<0>(v, b, 1);
        memory.memory(layer, b).append(take_positions(k_b, tokens), take_positions(v_b, tokens), 0, 0);
        aside.memory(layer, b).append(take_positions(k_b, padding), take_positions(v_b, padding), 0, 0);
    }
}

/// Lets queries that saw nothing attend evenly to all there is: changes o (B,T,H,D) of a layer where there was nothing local to see
/// (log_sum_exp (B,H,T) is -infinity) and the entry remembers no token.
template <class Real>
void attend_evenly(Tensor<Real, 4>& o, const Tensor<Real, 3>& log_sum_exp, Index layer, const LocalCache<Real>& cache,
                   MemoryState<Real>& memory, MemoryState<Real>& aside, const TransformerConfig& model) {
    const auto [entries, queries, heads, width] = shape_of(o);
    const bool remembers = model.is_memory_layer(layer);
    for (Index b = 0; b < entries; ++b)
        for (Index h = 0; h < heads; ++h) {
            if (remembers && memory.memory(layer, b).size() > 0) continue;
            const Index g = h / (heads / model.key_heads_of(layer));
            Tensor<Real, 1> mean = zeros<Real, 1>({width});
            Index count = 0;
            const auto add_rows = [&](const MatrixView<const Real>& values) {
                for (Index j = 0; j < values.rows; ++j)
                    for (Index e = 0; e < values.columns; ++e) mean(e) += values.row(j)[e];
                count += values.rows;
            };
            add_rows(cache.values(b, g));
            if (remembers)
                aside.memory(layer, b).for_each_block(g, [&](const auto&, const auto& values, Index) { add_rows(values); });
            for (Real& each : mean) each /= static_cast<Real>(count);
            for (Index t = 0; t < queries; ++t)
                if (log_sum_exp(b, h, t) == -std::numeric_limits<Real>::infinity())
                    std::copy_n(mean.data(), width, row(o, b, t, h));
        }
}

}  // namespace fot
