/// LongLLaMA writes: one token after another behind a prompt, greedy or sampled, for a batch of prompts.
///
/// Source: the released code (positions, spill of the local cache).
/// Read first: model/long_llama.hpp, model/generation.hpp.   Read next: train/long_llama_files.hpp.
#pragma once

#include "fot/model/generation.hpp"
#include "fot/model/long_llama.hpp"

namespace fot {

/// Continues prompts (B,P) by `count` tokens: (B,count). `each`, if given, is told the tokens (B) of every step, and its logits
/// (B,V).
///
/// `visible` marks left padding; positions count the visible tokens, and a token before the first stands at -1, as in the released
/// code. Generation does not stop at an end token: `each` returns false to stop. Errors: as LongLlama::read and sample_token.
template <class Real>
Tokens generate(LongLlama<Real>& model, const Tokens& prompt, Index count, LongLlamaState<Real>& state,
                const SamplingOptions& sampling, Random& random, const Tensor<std::uint8_t, 2>* visible = nullptr,
                const std::function<bool(const std::vector<std::int32_t>&, const Tensor<Real, 3>&)>& each = {}) {
    const Index entries = extent(prompt, 0), length = extent(prompt, 1), vocabulary = model.config().vocabulary;
    require<ConfigError>(count >= 0, "generate: ", count, " new tokens make no sense");
    require<ShapeError>(entries == state.entries(), "generate: ", entries, " prompts, the state has ", state.entries(), " entries");
    if (visible) require_shape("generate: visible", *visible, {entries, length});
    Tensor<Index, 2> positions = empty<Index, 2>({entries, length}), next = empty<Index, 2>({entries, 1});
    for (Index b = 0; b < entries; ++b) {
        Index seen = extent(state.positions(), 1) == 0
                         ? 0
                         : *std::max_element(row(state.positions(), b), row(state.positions(), b) + state.local_size()) + 1;
        for (Index t = 0; t < length; ++t) positions(b, t) = (seen += visible ? (*visible)(b, t) : 1) - 1;
        next(b, 0) = seen;
    }
    Tokens written = empty<std::int32_t, 2>({entries, count}), latest = empty<std::int32_t, 2>({entries, 1});
    Tensor<Real, 3> logits = model.read({prompt, visible, &positions}, state, {.only_last_logits = true});
    for (Index i = 0; i < count; ++i) {
        std::vector<std::int32_t> drawn;
        for (Index b = 0; b < entries; ++b) {
            drawn.push_back(sample_token(row(logits, b), vocabulary, sampling, random));
            written(b, i) = latest(b, 0) = drawn.back();
        }
        if (each && !each(drawn, logits)) return detail::places(written, 0, i + 1);
        if (i + 1 == count) break;
        logits = model.read({latest, nullptr, &next}, state, {.last_context = 1, .only_last_logits = true});
        for (Index b = 0; b < entries; ++b) ++next(b, 0);
    }
    return written;
}

}  // namespace fot
