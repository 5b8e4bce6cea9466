/// Generation: one token after another, greedy or sampled, with a memory of what was read and written before.
///
/// What is written enters the memory like what is read, a window at a time, so a long answer can look back at its own beginning.
/// There is no local cache: each token costs a pass over the window that is being written. LongLLaMA has one
/// (model/local_cache.hpp).
///
/// Read first: model/inference.hpp, model/sampling.hpp.   Read next: model/long_llama_generation.hpp.
#pragma once

#include <functional>
#include <vector>

#include "fot/model/inference.hpp"
#include "fot/model/sampling.hpp"

namespace fot {

/// Continues `prompt` by `count` tokens, of which `each` is told as they come. `state` is what read_window takes.
///
/// The text is read in windows of `window` tokens. The window that is being written is computed anew for each token (nothing of it
/// is in memory yet); once full it goes to memory, and a new window begins with the next token. Afterwards the state holds all
/// windows but the last, full or not, which the last token written ends: to go on, begin the next prompt with that window.
/// Errors: DataError if the prompt is empty; ConfigError if window < 1 or count < 0; ShapeError unless the state is of one entry;
///         as read_window and sample_token.
template <class Real, class State>
std::vector<std::int32_t> generate(const Transformer<Real>& model, const std::vector<std::int32_t>& prompt, Index count,
                                   Index window, State& state, const SamplingOptions& sampling, Random& random,
                                   const MemoryOptions& options = {}, const std::function<void(std::int32_t)>& each = {}) {
    require<DataError>(!prompt.empty(), "generate: the prompt is empty, expected at least one token to go on from");
    require<ConfigError>(window >= 1 && count >= 0, "generate: windows of ", window, " tokens and ", count,
                         " new ones, expected at least 1 and 0");
    require<ShapeError>(state.entries() == 1, "generate: the memory state has ", state.entries(), " batch entries, expected 1");
    MemoryOptions look = options;  // the open window is not remembered before it is full
    look.append = false;
    std::vector<std::int32_t> open, written;  // the window that is not in memory yet, and what was generated
    const auto close_if_full = [&] {
        if (length_of(open) < window) return;
        read_window(model, token_row(open), state, options);
        open.clear();
    };
    for (const std::int32_t token : prompt) {
        close_if_full();
        open.push_back(token);
    }
    for (Index i = 0; i < count; ++i) {
        const Tensor<Real, 3> logits = read_window(model, token_row(open), state, look);
        written.push_back(sample_token(row(logits, Index(0), length_of(open) - 1), model.config().vocabulary, sampling, random));
        if (each) each(written.back());
        close_if_full();
        open.push_back(written.back());
    }
    return written;
}

}  // namespace fot
