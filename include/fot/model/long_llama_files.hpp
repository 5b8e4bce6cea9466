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

/// Reads fields of config.json; a wrong type is an error that names the field.
class ConfigFields {
   public:
    /// `json` must outlive the fields. (A copy would recurse as deeply as the file nests.)
    ConfigFields(const nlohmann::json& json, std::string where) : path_(std::move(where)), json_(json) {}

    bool has(const char* name) const { return json_.contains(name) && !json_[name].is_null(); }

    Index integer(const char* name) const {
        require<FileError>(has(name), path_, ": field '", name, "' is missing");
        return integer_of(name, json_[name]);
    }
    Index integer(const char* name, Index otherwise) const { return has(name) ? integer(name) : otherwise; }
    double number(const char* name, double otherwise) const {
        return has(name) ? of_kind(name, json_[name].is_number(), "a number").get<double>() : otherwise;
    }
    bool flag(const char* name, bool otherwise) const {
        return has(name) ? of_kind(name, json_[name].is_boolean(), "true or false").get<bool>() : otherwise;
    }
    std::string text(const char* name, const std::string& otherwise) const {
        return has(name) ? of_kind(name, json_[name].is_string(), "text").get<std::string>() : otherwise;
    }
    std::vector<Index> integers(const char* name) const {
        std::vector<Index> list;
        if (!has(name)) return list;
        for (const auto& each : of_kind(name, json_[name].is_array(), "a list")) list.push_back(integer_of(name, each));
        return list;
    }

   private:
    const nlohmann::json& of_kind(const char* name, bool right, const char* expected) const {
        require<FileError>(right, path_, ": field '", name, "' is ", shown(json_[name]), ", expected ", expected);
        return json_[name];
    }
    Index integer_of(const char* name, const nlohmann::json& value) const {
        constexpr std::int64_t limit = std::int64_t{1} << 31;
        require<FileError>(value.is_number_integer() && value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() < limit, path_,
                           ": field '", name, "' is ", shown(value), ", expected an integer from 0 to 2^31 - 1");
        return value.get<Index>();
    }

    std::string path_;
    const nlohmann::json& json_;
};

}  // namespace detail

/// The configuration that the fields of a config.json of LLaMA or LongLLaMA stand for; `where` they are from, for errors.
/// Errors: FileError if a field is missing or has a wrong type; ConfigError for what is not supported (rope_scaling, biases,
///         another activation) or does not fit together.
inline LongLlamaConfig long_llama_config(const nlohmann::json& json, const std::string& where) {
    const detail::ConfigFields fields(json, where);
    LongLlamaConfig config;
    config.model = as_llama({.vocabulary = fields.integer("vocab_size"),
                             .width = fields.integer("hidden_size"),
                             .layers = fields.integer("num_hidden_layers"),
                             .memory_layers = fields.integers("mem_layers"),
                             .heads = fields.integer("num_attention_heads"),
                             .key_heads = fields.integer("num_key_value_heads", 0),
                             .feed_forward = fields.integer("intermediate_size"),
                             .norm_epsilon = fields.number("rms_norm_eps", 1e-6),
                             .tied_output = fields.flag("tie_word_embeddings", false)},
                            fields.number("rope_theta", 1e4));
    config.model.memory_positions = fields.flag("mem_positionals", true);
    config.window = fields.integer("max_position_embeddings", 2048);
    config.last_context = fields.integer("last_context_length", 1024);
    const std::string memory = fields.text("mem_dtype", "bfloat16"), activation = fields.text("hidden_act", "silu");
    require<ConfigError>(memory == "bfloat16" || memory == "float32", where, ": mem_dtype is '", memory,
                         "', expected bfloat16 or float32");
    config.memory_storage = memory == "bfloat16" ? Storage::bfloat16 : Storage::full;
    require<ConfigError>(activation == "silu", where, ": hidden_act is '", activation, "', expected silu");
    require<ConfigError>(!fields.has("rope_scaling"), where, ": rope_scaling is not supported, expected null");
    for (const char* bias : {"attention_bias", "mlp_bias"})
        require<ConfigError>(!fields.flag(bias, false), where, ": ", bias, " is true, but biases are not supported");
    config.check();
    const Index head_width = config.model.head_width_of(0), stated = fields.integer("head_dim", head_width);
    require<ConfigError>(stated == head_width, where, ": head_dim is ", stated,
                         ", expected hidden_size / num_attention_heads = ", head_width);
    return config;
}

/// The same of a file. Errors: and FileError if it is missing or no JSON object.
inline LongLlamaConfig read_long_llama_config(const std::filesystem::path& path) {
    return long_llama_config(detail::read_json_object(path), path.string());
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
    LongLlamaConfig config = read_long_llama_config(folder / "config.json");
    if (configure) configure(config);
    config.check();
    const CheckpointFolder files(folder);
    require<FileError>(config.model.layers <= static_cast<Index>(files.tensors().size()), folder.string(), ": has ",
                       files.tensors().size(), " tensors, too few for ", config.model.layers, " layers");
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

namespace detail {

template <class Real>
void add_weight(SafetensorsWriter& writer, const std::string& name, const LinearMap<Real>& map) {
    const StoredMatrix numbers = map.numbers();
    writer.add_bytes(name, numbers.dtype, {numbers.rows, numbers.columns}, numbers.numbers);
}
template <class Real>
void add_weight(SafetensorsWriter& writer, const std::string& name, const Variable<Real, 1>& scales) {
    writer.add(name, scales.value());
}

}  // namespace detail

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
    decoder.for_each_weight(
        [&](const std::string& name, Role, const auto& weight) { detail::add_weight(writer, hugging_face_name(name), weight); });

    const std::map<Dtype, const char*> torch_names{
        {Dtype::f64, "float64"}, {Dtype::f32, "float32"}, {Dtype::f16, "float16"}, {Dtype::bf16, "bfloat16"}};
    const nlohmann::json json{{"architectures", {"LongLlamaForCausalLM"}},
                              {"model_type", "longllama"},
                              {"torch_dtype", torch_names.at(decoder.layer(0).q.numbers().dtype)},
                              {"vocab_size", model.vocabulary},
                              {"hidden_size", model.width},
                              {"intermediate_size", model.feed_forward},
                              {"num_hidden_layers", model.layers},
                              {"num_attention_heads", model.heads},
                              {"num_key_value_heads", model.key_heads_of(0)},
                              {"hidden_act", "silu"},
                              {"max_position_embeddings", config.window},
                              {"last_context_length", config.last_context},
                              {"mem_layers", model.memory_layers},
                              {"mem_positionals", model.memory_positions},
                              {"mem_dtype", config.memory_storage == Storage::bfloat16 ? "bfloat16" : "float32"},
                              {"mem_attention_grouping", nullptr},
                              {"rms_norm_eps", model.norm_epsilon},
                              {"rope_theta", model.rotary_base},
                              {"rope_scaling", nullptr},
                              {"tie_word_embeddings", model.tied_output},
                              {"use_cache", true},
                              {"initializer_range", 0.02},
                              {"pad_token_id", 0},
                              {"bos_token_id", 1},
                              {"eos_token_id", 2}};
    writer.write(folder / "model.safetensors");
    const std::string text = json.dump(2) + "\n";
    ReplacingFile file(folder / "config.json");
    file.append(text.data(), static_cast<Index>(text.size()));
    file.commit();
}

/// The same of a model that reads.
template <class Real>
void save_long_llama(const std::filesystem::path& folder, const LongLlama<Real>& model) {
    save_long_llama(folder, model.config(), model.decoder());
}

}  // namespace fot
