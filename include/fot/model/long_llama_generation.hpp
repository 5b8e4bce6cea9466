/// LongLLaMA writes one token after another after a prompt, greedy or sampled, for a batch of prompts. This file also computes the
/// loss, in nats, of a given text after a prompt. The text is read token by token, as if it were written. Read in one piece, it
/// could make the local cache move to the memory at a different token.
///
/// Source: the released code (positions, and when the local cache moves to the memory).
/// Read first: model/long_llama.hpp, model/sampling.hpp.   Read next: model/long_llama_files.hpp.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "fot/core/largest.hpp"
#include "fot/model/long_llama.hpp"
#include "fot/model/sampling.hpp"

namespace fot {

/// How prompts (B,P) are read before writing begins.
struct PromptReading {
    const Visible* visible = nullptr;  ///< (B,P) 0: left padding, any other number: a token; null: no padding
    Index last_context = -1;           ///< of their tokens that stay in the local cache; -1: as the configuration says
    bool stop_at_end = true;           ///< writing ends when each prompt has been given one of config().end_tokens
};

namespace detail {

/// Reads prompts (B,P), then up to `count` tokens one by one: `choose(i, logits (B,1,V), tokens (B,1))` sets those of step i and
/// returns whether to go on. The last tokens are not read.
template <class Real, class Choose>
void read_and_write(const char* who, const LongLlama<Real>& model, const Tokens& prompt, Index count, LongLlamaState<Real>& state,
                    const PromptReading& reading, Choose choose) {
    const Visible* visible = reading.visible;
    const Index entries = extent(prompt, 0), length = extent(prompt, 1);
    require<ShapeError>(entries == state.entries(), who, ": ", entries, " prompts, the state has ", state.entries(), " entries");
    Tensor<Index, 2> positions = empty<Index, 2>({entries, length}), next = empty<Index, 2>({entries, 1});
    for (Index b = 0; b < entries; ++b) {
        require<DataError>(!visible || length == 0 || (*visible)(b, length - 1) != 0, who, ": prompt ", b,
                           " ends in padding, expected it on the left");
        next(b, 0) = state.next_position(b);
        for (Index t = 0; t < length; ++t) positions(b, t) = (next(b, 0) += !visible || (*visible)(b, t) ? 1 : 0) - 1;
    }
    Tokens latest = empty<std::int32_t, 2>({entries, 1});
    Tensor<Real, 3> logits =
        model.read({prompt, visible, &positions}, state, {.last_context = reading.last_context, .only_last_logits = true});
    for (Index i = 0; i < count && choose(i, logits, latest) && i + 1 < count; ++i) {
        logits = model.read({latest, nullptr, &next}, state, {.last_context = 1, .only_last_logits = true});
        for (Index b = 0; b < entries; ++b) ++next(b, 0);
    }
}

}  // namespace detail

/// Continues prompts (B,P) by `count` tokens: (B,count), or as many as there are when all have ended or `each` stops. `each`, if
/// given, is told the tokens (B) of every step and the logits (B,1,V) they were drawn from, and returns whether to go on.
///
/// Positions count the visible tokens, and a token before the first has position -1, as in the released code. A prompt that has
/// ended before the others is given its end token again. The state then is that of the prompts and all written tokens but the last,
/// which is not read: to go on, begin the next prompt with it.
/// Errors: ConfigError if count < 0; as LongLlama::read and sample_token.
template <class Real>
Tokens generate(const LongLlama<Real>& model, const Tokens& prompt, Index count, LongLlamaState<Real>& state,
                const SamplingOptions& sampling, Random& random, const PromptReading& reading = {},
                const std::function<bool(const std::vector<std::int32_t>&, const Tensor<Real, 3>&)>& each = {}) {
    require<ConfigError>(count >= 0, "generate: ", count, " new tokens, expected 0 or more");
    if (reading.visible) require_shape("generate: visible", *reading.visible, shape_of(prompt));
    const Index entries = extent(prompt, 0), vocabulary = model.config().model.vocabulary;
    const std::vector<std::int32_t> end_tokens = reading.stop_at_end ? model.config().end_tokens : std::vector<std::int32_t>{};
    const auto has_ended = [&](std::int32_t token) { return std::ranges::find(end_tokens, token) != end_tokens.end(); };
    Tokens written = empty<std::int32_t, 2>({entries, count});
    Index done = 0;
    detail::read_and_write(
        "generate", model, prompt, count, state, reading, [&](Index i, const Tensor<Real, 3>& logits, Tokens& latest) {
            std::vector<std::int32_t> drawn;
            for (Index b = 0; b < entries; ++b) {
                const bool ended = i > 0 && has_ended(latest(b, 0));
                drawn.push_back(ended ? latest(b, 0) : sample_token(row(logits, b), vocabulary, sampling, random));
                written(b, i) = latest(b, 0) = drawn.back();
            }
            done = i + 1;
            return (!each || each(drawn, logits)) && !std::ranges::all_of(drawn, has_ended);
        });
    return slice<1>(written, 0, done);
}

/// The loss of each token of a given text (B,N) after prompts (B,P): -log p, (B,N), in nats. The text is read as `generate` would
/// have written it, token by token; the local cache moves to the memory on the way, as there.
///
/// Errors: ShapeError if the two are not of as many entries; DataError for a token outside the vocabulary; NumericError for a logit
///         that is NaN or +inf; as LongLlama::read.
template <class Real>
Tensor<double, 2> continuation_nats(const LongLlama<Real>& model, const Tokens& prompt, const Tokens& text,
                                    LongLlamaState<Real>& state) {
    const Index entries = extent(prompt, 0), count = extent(text, 1), vocabulary = model.config().model.vocabulary;
    require_shape("continuation_nats: text", text, {entries, count});
    for (const std::int32_t token : text)
        require<DataError>(token >= 0 && token < vocabulary, "continuation_nats: token ", token, " is not among the ", vocabulary,
                           " of the vocabulary");
    Tensor<double, 2> nats = empty<double, 2>({entries, count});
    detail::read_and_write(
        "continuation_nats", model, prompt, count, state, {}, [&](Index i, const Tensor<Real, 3>& logits, Tokens& latest) {
            for (Index b = 0; b < entries; ++b) {
                latest(b, 0) = text(b, i);
                nats(b, i) = log_sum_exp(row(logits, b), vocabulary) - static_cast<double>(logits(b, 0, text(b, i)));
            }
            return true;
        });
    return nats;
}

}  // namespace fot
