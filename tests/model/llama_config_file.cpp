#include "fot/model/llama_config_file.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace fot;
using fot::testing::TemporaryFolder;

namespace {

nlohmann::json small() {
    return nlohmann::json::parse(
        R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32, "hidden_size": 16,
        "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64})");
}

LongLlamaConfig with(const std::string& fields, OtherArchitectures others = OtherArchitectures::refused) {
    nlohmann::json json = small();
    json.update(nlohmann::json::parse(fields));
    return long_llama_config(json, "config.json", others);
}

void refused(const std::string& fields, const std::string& what) {
    CHECK_THROWS_WITH_AS(with(fields), doctest::Contains(what.c_str()), ConfigError);
}

}  // namespace

TEST_CASE("how rotations are scaled is read from rope_scaling or rope_parameters; default and null are none") {
    const RotaryScaling none, linear{4}, llama3{8, 8192, 1, 4};
    for (const char* fields : {"{}", R"({"rope_scaling": null})", R"({"rope_scaling": {"type": "default"}})",
                               R"({"rope_scaling": {"rope_type": "default"}, "rope_parameters": null})",
                               R"({"rope_parameters": {"rope_type": "default", "rope_theta": 10000}})"})
        CHECK(with(fields).model.rotary_scaling == none);
    CHECK(with(R"({"rope_scaling": {"type": "linear", "factor": 4.0}})").model.rotary_scaling == linear);
    CHECK(with(R"({"rope_parameters": {"rope_type": "linear", "factor": 4}})").model.rotary_scaling == linear);
    CHECK(with(R"({"rope_scaling": {"rope_type": "llama3", "factor": 8, "original_max_position_embeddings": 8192,
                                    "low_freq_factor": 1.0, "high_freq_factor": 4.0}})")
              .model.rotary_scaling == llama3);

    CHECK(with(R"({"rope_theta": 5e5})").model.rotary_base == 5e5);
    CHECK(with(R"({"rope_parameters": {"rope_theta": 1e6}})").model.rotary_base == 1e6);
    CHECK(with(R"({"rope_scaling": {"rope_type": "linear", "factor": 2, "rope_theta": 5e5}})").model.rotary_base == 5e5);
    CHECK(with(R"({"rope_theta": 5e5, "rope_parameters": {"rope_theta": 5e5}})").model.rotary_base == 5e5);
    refused(R"({"rope_theta": 5e5, "rope_parameters": {"rope_theta": 1e6}})",
            "field 'rope_theta' is 1e+06, and outside of it 500000");
    refused(R"({"rope_scaling": {"rope_type": "linear", "factor": 2, "attention_factor": 1.2}})",
            "field 'attention_factor' is 1.2, which is not supported: it may change the rotations");
    CHECK(with(R"({"rope_theta": 5e5, "rope_parameters": {"rope_type": "default"}})").model.rotary_base == 5e5);

    for (const std::string object : {"rope_scaling", "rope_parameters"})
        for (const std::string field : {"type", "rope_type"})
            for (const std::string kind : {"dynamic", "yarn", "longrope"})
                refused("{\"" + object + "\": {\"" + field + "\": \"" + kind + "\", \"factor\": 2.0}}",
                        message("config.json: field '", object, "': field '", field, "' is '", kind,
                                "', which is not supported, expected default, linear or llama3"));
    refused(R"({"rope_scaling": {"factor": 2.0}})", "field 'factor' is 2, but which scaling it is for, no field 'rope_type' says");
    refused(R"({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}})", "rotations that differ by layer");
    refused(R"({"rope_parameters": {"partial_rotary_factor": 0.5}})", "partial_rotary_factor");
    refused(R"({"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "default"}})",
            "say different things");
    refused(R"({"rope_scaling": {"type": "linear", "factor": 0.5}})", "factor is 0.5, expected a finite number from 1 on");
    CHECK_THROWS_WITH_AS(with(R"({"rope_scaling": {"type": "linear"}})"), doctest::Contains("field 'factor' is missing"),
                         FileError);
    CHECK_THROWS_WITH_AS(with(R"({"rope_scaling": 2})"), doctest::Contains("field 'rope_scaling' is 2, expected an object"),
                         FileError);
}

TEST_CASE("another architecture is refused by name, although its tensors may fit, unless it is asked for") {
    CHECK_NOTHROW(with(R"({"model_type": "longllama", "architectures": ["LongLlamaForCausalLM"]})"));
    CHECK_NOTHROW(with(R"({"architectures": ["LLaMAForCausalLM"]})"));
    CHECK_NOTHROW(with(R"({"architectures": null, "model_type": null})"));
    refused(R"({"model_type": "mistral"})", "field 'model_type' is 'mistral'");
    refused(R"({"architectures": ["GraniteForCausalLM"]})", "has 'GraniteForCausalLM'");
    CHECK_NOTHROW(with(R"({"model_type": "mistral", "architectures": ["MistralForCausalLM"]})", OtherArchitectures::taken));
}

TEST_CASE(
    "a field that changes the numbers and is not understood is refused by name; what changes nothing, and what does not matter, is "
    "passed over") {
    for (const char* fields : {R"("embedding_multiplier": 12.0)",
                               R"("logits_scaling": 8)",
                               R"("scale_emb": 12)",
                               R"("sliding_window": 16)",
                               R"("attention_bias": true)",
                               R"("mlp_bias": true)",
                               R"("final_logit_softcapping": 30.0)",
                               R"("no_rope_layers": [1, 0])",
                               R"("partial_rotary_factor": 0.5)",
                               R"("layer_types": ["full_attention", "sliding_attention"])",
                               R"("use_qk_norm": true)",
                               R"("clip_qkv": 8)",
                               R"("quantization_config": {"bits": 4})",
                               R"("alibi": true)",
                               R"("use_sliding_window": true)",
                               R"("window_size": 256)",
                               R"("attention_chunk_size": 8192)",
                               R"("use_dynamic_ntk": true)",
                               R"("use_logn_attn": true)",
                               R"("use_parallel_residual": true)",
                               R"("use_bidirectional_attention": true)"}) {
        const std::string text(fields), name = text.substr(1, text.find('"', 1) - 1);
        refused("{" + text + "}", "field '" + name + "' is ");
        CHECK_THROWS_AS(with("{" + text + "}", OtherArchitectures::taken), ConfigError);
    }
    for (const char* fields :
         {R"("embedding_multiplier": 1.0)", R"("sliding_window": null)", R"("use_sliding_window": false, "sliding_window": 4096)",
          R"("attention_bias": false)", R"("layer_types": ["full_attention", "full_attention"])", R"("no_rope_layers": [1, 1])",
          R"("use_sliding_window": false, "max_window_layers": 21)", R"("chunk_size_feed_forward": 0)",
          R"("use_dynamic_ntk": false)", R"("tensor_parallel": false)", R"("attention_dropout": 0.1)", R"("pretraining_tp": 2)",
          R"("initializer_range": 0.02)", R"("transformers_version": "5.0.0")"})
        CHECK_NOTHROW(with("{" + std::string(fields) + "}"));
    refused(R"({"hidden_act": "gelu"})", "field 'hidden_act' is 'gelu', expected silu");
    CHECK_NOTHROW(with(R"({"hidden_act": "swish"})"));
    CHECK(with(R"({"mem_dtype": "float16"})").memory_storage == Storage::float16);
    CHECK(with(R"({"mem_dtype": "float32"})").memory_storage == Storage::full);
    CHECK(with("{}").memory_storage == Storage::bfloat16);
    refused(R"({"mem_dtype": "int8"})", "field 'mem_dtype' is 'int8', expected bfloat16, float16 or float32");
}

TEST_CASE("a plain LLaMA attends to its whole window, a LongLLaMA to its last context") {
    CHECK(with("{}").resolved().last_context == 64);
    CHECK(with(R"({"mem_layers": [1]})").resolved().last_context == 1024);
    CHECK(with(R"({"last_context_length": 24})").resolved().last_context == 24);
    LongLlamaConfig asked = with("{}");
    asked.model.memory_layers = {1};
    CHECK(asked.resolved().last_context == 1024);
    CHECK(with(R"({"max_position_embeddings": 2048.0})").window == 2048);
}

TEST_CASE("end tokens are a number or a list, those of generation_config.json before those of config.json") {
    using Ids = std::vector<std::int32_t>;
    CHECK(with(R"({"eos_token_id": 2})").end_tokens == Ids{2});
    CHECK(with(R"({"eos_token_id": [2, 7]})").end_tokens == Ids{2, 7});
    CHECK(with(R"({"eos_token_id": null})").end_tokens.empty());
    CHECK(with(R"({"eos_token_id": -1})").end_tokens.empty());
    CHECK_THROWS_WITH_AS(with(R"({"eos_token_id": "2"})"), doctest::Contains("field 'eos_token_id' is \"2\", expected an integer"),
                         FileError);
    const TemporaryFolder folder;
    nlohmann::json json = small();
    json["eos_token_id"] = 2;
    folder.write("config.json", json.dump());
    CHECK(read_llama_config(folder.path()).end_tokens == Ids{2});
    folder.write("generation_config.json", R"({"temperature": 0.6})");
    CHECK(read_llama_config(folder.path()).end_tokens == Ids{2});
    folder.write("generation_config.json", R"({"eos_token_id": [5, 6]})");
    CHECK(read_llama_config(folder.path()).end_tokens == Ids{5, 6});
}

TEST_CASE("what is written is read again as it was, a plain LLaMA without a word of memories") {
    LongLlamaConfig config =
        with(R"({"rope_scaling": {"rope_type": "linear", "factor": 4}, "eos_token_id": [3, 4], "num_key_value_heads": 1})");
    const nlohmann::json plain = llama_config_json(config);
    CHECK(plain["model_type"] == "llama");
    CHECK_FALSE(plain.contains("mem_layers"));
    CHECK_FALSE(plain.contains("last_context_length"));
    const LongLlamaConfig again = long_llama_config(plain, "again");
    CHECK(again.model == config.model);
    CHECK(again.end_tokens == config.end_tokens);
    CHECK(again.last_context == -1);
    config.end_tokens.clear();
    CHECK(long_llama_config(llama_config_json(config), "again").end_tokens.empty());
    config.model.memory_layers = {-1};
    const nlohmann::json with_memory = llama_config_json(config);
    CHECK(with_memory["model_type"] == "longllama");
    CHECK(with_memory["mem_layers"] == nlohmann::json::array({1}));
    CHECK(long_llama_config(with_memory, "again").last_context == 1024);
    for (const Storage storage : {Storage::full, Storage::bfloat16, Storage::float16}) {
        config.memory_storage = storage;
        CHECK(long_llama_config(llama_config_json(config), "again").memory_storage == storage);
    }
}
