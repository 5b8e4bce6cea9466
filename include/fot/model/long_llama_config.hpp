/// The shape of a LongLLaMA, and how it reads.
///
/// Source: the released code and its config.json; paper section 4.1, appendix A.1 and A.2.
/// Read first: model/config.hpp.   Read next: model/long_llama_state.hpp.
#pragma once

#include "fot/memory/key_value_memory.hpp"
#include "fot/model/config.hpp"

namespace fot {

/// The defaults are those of LongLLaMA-3B.
struct LongLlamaConfig {
    /// The decoder; `as_llama` gives one of any size. Without memory layers it is a LLaMA.
    TransformerConfig model = as_llama(
        {.vocabulary = 32000, .width = 3200, .layers = 26, .memory_layers = {6, 12, 18}, .heads = 32, .feed_forward = 8640});
    Index window = 2048;      ///< tokens of a window of the prefix, which is all of an input but its end. The local cache is
                              ///< emptied before it would hold more, unless one input with a larger last_context is kept
    Index last_context = -1;  ///< tokens at the end of an input that are one window, and stay in the local cache;
                              ///< -1: 1024 of a LongLLaMA; of a plain LLaMA the whole window
    Storage memory_storage = Storage::bfloat16;  ///< how memories keep their numbers
    std::vector<std::int32_t> end_tokens = {};   ///< that end a text

    /// The same configuration with every memory layer counted from the first, and last_context as it is used.
    LongLlamaConfig resolved() const {
        LongLlamaConfig config = *this;
        config.model = model.resolved();
        if (last_context < 0) config.last_context = model.memory_layers.empty() ? window : 1024;
        return config;
    }

    /// Throws ConfigError if the numbers do not fit each other.
    void check() const {
        model.check();
        require<ConfigError>(model.heads == model.memory_heads, "LongLlamaConfig: ", model.heads, " heads and ", model.memory_heads,
                             " memory heads, expected as many of both");
        require<ConfigError>(window >= 1 && last_context >= -1, "LongLlamaConfig: window ", window, ", last_context ", last_context,
                             ": expected 1 or more, -1 or more");
    }
};

}  // namespace fot
