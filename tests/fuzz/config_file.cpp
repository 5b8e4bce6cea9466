/// Whatever a config.json says, reading it ends with a configuration or with one of fot's errors; and a configuration that is
/// written is read back as it was.
///
/// Command: cmake --preset fuzz && cmake --build --preset fuzz
///          build/fuzz/tests/fuzz/fuzz_config_file -max_total_time=600 -rss_limit_mb=1024 -malloc_limit_mb=256 CORPUS_FOLDER
///          An empty corpus folder is first given files with all fields that are understood.
#include "fot/model/llama_config_file.hpp"
#include "seeds.hpp"

using namespace fot;

namespace {

LongLlamaConfig read(const std::string& text, OtherArchitectures others) {
    return long_llama_config(*detail::json_object(text, "config.json"), "config.json", others);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    const std::string shape = R"("vocab_size": 3, "hidden_size": 4, "intermediate_size": 5, "num_hidden_layers": 2,
        "num_attention_heads": 2, "rms_norm_eps": 1e-6, "hidden_act": "silu", "max_position_embeddings": 2048)";
    return testing::write_seeds(
        *count, *arguments,
        {"{" + shape + R"(, "model_type": "longllama", "architectures": ["LongLlamaForCausalLM"], "mem_layers": [0, 1],
            "mem_dtype": "float16", "mem_positionals": true, "mem_attention_grouping": [4, 2048], "last_context_length": 1024,
            "rope_scaling": null, "rope_theta": 1e4, "eos_token_id": 2, "tie_word_embeddings": false})",
         "{" + shape + R"(, "model_type": "llama", "num_key_value_heads": 1, "head_dim": 2, "eos_token_id": [1, 2],
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}, "attention_bias": false, "mlp_bias": false, "pretraining_tp": 1})",
         "{" + shape +
             R"(, "rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 5e5, "partial_rotary_factor": 1.0},
            "sliding_window": null, "use_sliding_window": false, "layer_types": ["full_attention"], "logits_scaling": 1,
            "attention_dropout": Infinity, "nested": {"a": [NaN, {"b": "\u00e9\\"}]}})"});
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(bytes), size);
    for (const OtherArchitectures others : {OtherArchitectures::refused, OtherArchitectures::taken}) {
        std::string written;
        try {
            written = llama_config_json(read(text, others)).dump();
        } catch (const Error&) {
            continue;
        }
        if (llama_config_json(read(written, OtherArchitectures::refused)).dump() != written) __builtin_trap();
    }
    return 0;
}
