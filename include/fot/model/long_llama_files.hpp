/// LLaMA and LongLLaMA checkpoints as Hugging Face keeps them: a folder with config.json and weights.
///
///     config.json          shape of the model, and how LongLLaMA reads (mem_layers, last_context_length, ...)
///     model.safetensors    all weights; or several files, or those of PyTorch (files/checkpoint_folder.hpp)
///
/// Weights stay in their files, mapped, in float, half precision or bfloat16: starting copies nothing but the norms. Or they are
/// loaded to be trained. A plain LLaMA folder is a LongLLaMA without memory layers; give it some, and it is what fine-tuning by FoT
/// starts from.
///
/// Read first: files/checkpoint_folder.hpp, model/long_llama.hpp, model/weights.hpp.   Read next: train/checkpoint.hpp.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "fot/files/checkpoint_folder.hpp"
#include "fot/model/long_llama.hpp"

namespace fot {

namespace detail {

/// visit(name, field) for the fields of config.json that are read and written as they are.
template <class Config, class Visit>
void for_each_json_field(Config& config, Visit visit) {
    auto& model = config.model;
    visit("vocab_size", model.vocabulary);
    visit("hidden_size", model.width);
    visit("intermediate_size", model.feed_forward);
    visit("num_hidden_layers", model.layers);
    visit("num_attention_heads", model.heads);
    visit("num_key_value_heads", model.key_heads);
    visit("rms_norm_eps", model.norm_epsilon);
    visit("rope_theta", model.rotary_base);
    visit("tie_word_embeddings", model.tied_output);
    visit("mem_layers", model.memory_layers);
    visit("mem_positionals", model.memory_positions);
    visit("max_position_embeddings", config.window);
    visit("last_context_length", config.last_context);
}

/// The value of a field, `what` in messages.   Errors: FileError if it has another type.
template <class Value>
Value value_of(const nlohmann::json& json, const std::string& what) {
    const auto is_size = [](const nlohmann::json& each) {
        constexpr std::int64_t limit = std::int64_t{1} << 31;
        return each.is_number_integer() && each.get<std::int64_t>() >= 0 && each.get<std::int64_t>() < limit;
    };
    const auto value_if = [&](bool right, const char* expected) {
        require<FileError>(right, what, " is ", shown(json), ", expected ", expected);
        return json.get<Value>();
    };
    if constexpr (std::is_same_v<Value, Index>) return value_if(is_size(json), "an integer from 0 to 2^31 - 1");
    if constexpr (std::is_same_v<Value, double>) return value_if(json.is_number(), "a number");
    if constexpr (std::is_same_v<Value, bool>) return value_if(json.is_boolean(), "true or false");
    if constexpr (std::is_same_v<Value, std::string>) return value_if(json.is_string(), "text");
    if constexpr (std::is_same_v<Value, std::vector<Index>>)
        return value_if(json.is_array() && std::all_of(json.begin(), json.end(), is_size), "a list of integers from 0 to 2^31 - 1");
}

}  // namespace detail

/// The configuration that the fields of a config.json of LLaMA or LongLLaMA stand for; `where` they are from, for errors.
/// Errors: FileError if a field is missing or has a wrong type; ConfigError for what is not supported (rope_scaling, biases,
///         another activation) or does not fit together.
inline LongLlamaConfig long_llama_config(const nlohmann::json& json, const std::string& where) {
    const auto has = [&](const char* name) { return json.contains(name) && !json[name].is_null(); };
    const auto value = [&]<class Value>(const char* name, const Value& otherwise) {
        return has(name) ? detail::value_of<Value>(json[name], message(where, ": field '", name, "'")) : otherwise;
    };
    for (const char* name : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"})
        require<FileError>(has(name), where, ": field '", name, "' is missing");
    LongLlamaConfig config{.model = as_llama({.memory_layers = {}})};  // a LLaMA, unless it says otherwise
    detail::for_each_json_field(config, [&](const char* name, auto& field) { field = value(name, field); });
    config.model.memory_heads = config.model.heads;
    const std::string memory = value("mem_dtype", std::string("bfloat16")), activation = value("hidden_act", std::string("silu"));
    require<ConfigError>(memory == "bfloat16" || memory == "float32", where, ": mem_dtype is '", memory,
                         "', expected bfloat16 or float32");
    config.memory_storage = memory == "bfloat16" ? Storage::bfloat16 : Storage::full;
    require<ConfigError>(activation == "silu", where, ": hidden_act is '", activation, "', expected silu");
    require<ConfigError>(!has("rope_scaling"), where, ": rope_scaling is not supported, expected null");
    for (const char* bias : {"attention_bias", "mlp_bias"})
        require<ConfigError>(!value(bias, false), where, ": ", bias, " is true, but biases are not supported");
    config.check();
    const Index head_width = config.model.head_width_of(0), stated = value("head_dim", head_width);
    require<ConfigError>(stated == head_width, where, ": head_dim is ", stated,
                         ", expected hidden_size / num_attention_heads = ", head_width);
    return config;
}

/// How Hugging Face's files call a weight of a Transformer: "layers.3.q" is "model.layers.3.self_attn.q_proj.weight".
inline std::string hugging_face_name(const std::string& name) {
    static const std::map<std::string, std::string> names{{"embedding", "model.embed_tokens"},
                                                          {"attention_norm", "input_layernorm"},
                                                          {"q", "self_attn.q_proj"},
                                                          {"k", "self_attn.k_proj"},
                                                          {"v", "self_attn.v_proj"},
                                                          {"o", "self_attn.o_proj"},
                                                          {"feed_forward_norm", "post_attention_layernorm"},
                                                          {"gate_map", "mlp.gate_proj"},
                                                          {"up", "mlp.up_proj"},
                                                          {"down", "mlp.down_proj"},
                                                          {"final_norm", "model.norm"},
                                                          {"output", "lm_head"}};
    const std::size_t last = name.rfind('.') + 1;  // 0 if there is no point
    return (last > 0 ? "model." + name.substr(0, last) : "") + names.at(name.substr(last)) + ".weight";
}

/// Whether the weights of a loaded model are to be trained.
enum class Weights {
    stored,  ///< matrices stay in their files
    trained  ///< matrices are copied and widened
};

/// The weights in a folder.
template <class Real>
class FolderWeights : public WeightSource<Real> {
   public:
    /// The folder must outlive this, but not the weights.
    FolderWeights(const CheckpointFolder& files, Weights kind) : files_(files), trained_(kind == Weights::trained) {}
    LinearMap<Real> matrix(const std::string& name, Index rows, Index columns, double) const override {
        const StoredMatrix stored = files_.matrix(hugging_face_name(name), rows, columns);
        if (!trained_) return stored;
        return Variable<Real, 2>(detail::widened_tensor<Real>(stored), true);
    }
    Variable<Real, 1> scales(const std::string& name, Index count) const override {
        return Variable<Real, 1>(files_.template vector<Real>(hugging_face_name(name), count), trained_);
    }

   private:
    const CheckpointFolder& files_;
    bool trained_;
};

/// The model in a folder. `configure`, if given, may change the configuration that was read: memory layers, last_context, storage.
/// With trained weights, training goes on from them: `decoder()` is the Transformer to train.
/// Errors: FileError, naming file and tensor, if something is missing, unknown or of another shape; those of the configuration.
template <class Real>
LongLlama<Real> load_long_llama(const std::filesystem::path& folder, const std::function<void(LongLlamaConfig&)>& configure = {},
                                Weights kind = Weights::stored) {
    const std::filesystem::path description = folder / "config.json";
    LongLlamaConfig config = long_llama_config(detail::read_json_object(description), description.string());
    if (configure) configure(config);
    config.check();
    const CheckpointFolder files(folder);
    require<FileError>(config.model.layers <= length_of(files.tensors()), folder.string(), ": has ", files.tensors().size(),
                       " tensors, too few for ", config.model.layers, " layers");
    Transformer<Real> decoder(config.model, FolderWeights<Real>(files, kind));

    std::set<std::string> unused;
    for (const auto& [name, tensor] : files.tensors())
        if (!name.ends_with("rotary_emb.inv_freq")) unused.insert(name);  // old files carry the angles; they follow from the base
    decoder.for_each_weight([&](const std::string& name, Role, const auto&) { unused.erase(hugging_face_name(name)); });
    if (config.model.tied_output) unused.erase(hugging_face_name("output"));  // a copy of the embedding
    require<FileError>(unused.empty(), folder.string(), ": ", unused.size(), " tensors are unknown, the first is '",
                       unused.empty() ? "" : *unused.begin(), "'");
    return LongLlama<Real>(std::move(config), std::move(decoder));
}

/// Writes config.json and model.safetensors, each all or nothing, so that Hugging Face's code can load them.
/// Errors: ConfigError unless the decoder has the configuration and is a LLaMA; FileError if the folder cannot be made, a file not
///         be written.
template <class Real>
void save_long_llama(const std::filesystem::path& folder, const LongLlamaConfig& config, const Transformer<Real>& decoder) {
    const TransformerConfig& model = decoder.config();
    TransformerConfig llama = as_llama(model, model.rotary_base);
    llama.memory_positions = model.memory_positions;
    require<ConfigError>(model == llama && model == config.model.resolved(),
                         "save_long_llama: the decoder is no LLaMA (as_llama), or config.model is not its configuration");
    make_folder(folder);
    SafetensorsWriter writer;
    writer.metadata["format"] = "pt";  // which Hugging Face's reader asks for
    decoder.for_each_weight([&]<class Weight>(const std::string& name, Role, const Weight& weight) {
        if constexpr (std::is_same_v<Weight, LinearMap<Real>>) {
            const StoredMatrix numbers = weight.numbers();
            writer.add_bytes(hugging_face_name(name), numbers.dtype, {numbers.rows, numbers.columns}, numbers.numbers);
        } else {
            writer.add(hugging_face_name(name), weight.value());
        }
    });

    const std::map<Dtype, const char*> torch_names{
        {Dtype::f64, "float64"}, {Dtype::f32, "float32"}, {Dtype::f16, "float16"}, {Dtype::bf16, "bfloat16"}};
    nlohmann::json json{{"architectures", {"LongLlamaForCausalLM"}},
                        {"model_type", "longllama"},
                        {"torch_dtype", torch_names.at(decoder.layer(0).q.numbers().dtype)},
                        {"hidden_act", "silu"},
                        {"mem_dtype", config.memory_storage == Storage::bfloat16 ? "bfloat16" : "float32"},
                        {"mem_attention_grouping", nullptr},
                        {"rope_scaling", nullptr},
                        {"use_cache", true},
                        {"initializer_range", 0.02},
                        {"pad_token_id", 0},
                        {"bos_token_id", 1},
                        {"eos_token_id", 2}};
    LongLlamaConfig written = config;
    written.model = model;
    written.model.key_heads = model.key_heads_of(0);
    detail::for_each_json_field(written, [&](const char* name, const auto& field) { json[name] = field; });
    writer.write(folder / "model.safetensors");
    const std::string text = json.dump(2) + "\n";
    ReplacingFile file(folder / "config.json");
    file.append(text.data(), length_of(text));
    file.commit();
}

}  // namespace fot
