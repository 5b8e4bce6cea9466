/// LongLLaMA: the published models made by the method, in reading order.
///
/// The layer, its scoring and its joining are those of the other decoders (`TransformerLayer`). What is new is what the released
/// models need: local caches beside memories, positions, and weights that stay in their files.
///
/// Read first: model/memory_layer.hpp.
#pragma once

// The reading order is not the alphabet.
// clang-format off

#include "fot/model/long_llama_config.hpp"      // LongLLaMA: its shape
#include "fot/model/local_cache.hpp"            // keys and values of the last tokens
#include "fot/model/long_llama_state.hpp"       // local caches and memories
#include "fot/model/long_llama.hpp"             // reading
#include "fot/model/long_llama_generation.hpp"  // writing
#include "fot/model/llama_config_file.hpp"      // what their config.json means
#include "fot/model/long_llama_files.hpp"       // LongLLaMA checkpoints as Hugging Face has them
