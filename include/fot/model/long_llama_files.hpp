/// LLaMA and LongLLaMA checkpoints as Hugging Face keeps them: a folder with config.json and model.safetensors.
///
///     config.json                      shape of the model, and how LongLLaMA reads (mem_layers, last_context_length, ...)
///     model.safetensors                all weights, or
///     model.safetensors.index.json     {"weight_map": {"name": "file", ...}} and the files that it names
///
/// Weights stay in their files, mapped, in float, half precision or bfloat16: starting copies nothing but the norms. A plain LLaMA
/// folder is a LongLLaMA without memory layers; give it some, and it is what fine-tuning by FoT starts from.
///
/// Read first: files/checkpoint_folder.hpp, model/long_llama.hpp.   Read next: train/checkpoint.hpp.
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
        if (!has(name)) return otherwise;
        require<FileError>(json_[name].is_number(), path_, ": field '", name, "' is ", shown(json_[name]), ", expected a number");
        return json_[name].get<double>();
    }
    bool flag(const char* name, bool otherwise) const {
        if (!has(name)) return otherwise;
        require<FileError>(json_[name].is_boolean(), path_, ": field '", name, "' is ", shown(json_[name]),
                           ", expected true or false");
        return json_[name].get<bool>();
    }
    std::string text(const char* name, const std::string& otherwise) const {
        if (!has(name)) return otherwise;
        require<FileError>(json_[name].is_string(), path_, ": field '", name, "' is ", shown(json_[name]), ", expected text");
        return json_[name].get<std::string>();
    }
    std::vector<Index> integers(const char* name) const {
        std::vector<Index> list;
        if (!has(name)) return list;
        require<FileError>(json_[name].is_array(), path_, ": field '", name, "' is ", shown(json_[name]), ", expected a list");
        for (const auto& each : json_[name]) list.push_back(integer_of(name, each));
        return list;
    }

   private:
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
    config.vocabulary = fields.integer("vocab_size");
    config.width = fields.integer("hidden_size");
    config.feed_forward = fields.integer("intermediate_size");
    config.layers = fields.integer("num_hidden_layers");
    config.heads = fields.integer("num_attention_heads");
    config.key_heads = fields.integer("num_key_value_heads", 0);
    config.window = fields.integer("max_position_embeddings", 2048);
    config.last_context = fields.integer("last_context_length", 1024);
    config.memory_layers = fields.integers("mem_layers");
    config.memory_positions = fields.flag("mem_positionals", true);
    config.norm_epsilon = fields.number("rms_norm_eps", 1e-6);
    config.rotary_base = fields.number("rope_theta", 1e4);
    config.tied_output = fields.flag("tie_word_embeddings", false);
    const std::string memory = fields.text("mem_dtype", "bfloat16"), activation = fields.text("hidden_act", "silu");
    require<ConfigError>(memory == "bfloat16" || memory == "float32", where, ": mem_dtype is '", memory,
                         "', expected bfloat16 or float32");
    config.memory_storage = memory == "bfloat16" ? Storage::bfloat16 : Storage::full;
    require<ConfigError>(activation == "silu", where, ": hidden_act is '", activation, "', expected silu");
    require<ConfigError>(!fields.has("rope_scaling"), where, ": rope_scaling is not supported, expected null");
    for (const char* bias : {"attention_bias", "mlp_bias"})
        require<ConfigError>(!fields.flag(bias, false), where, ": ", bias, " is true, but biases are not supported");
    config.check();
    const Index head_width = fields.integer("head_dim", config.head_width());
    require<ConfigError>(head_width == config.head_width(), where, ": head_dim is ", head_width, ", expected hidden_size / ",
                         "num_attention_heads = ", config.head_width());
    return config;
}

/// The same of a file. Errors: and FileError if it is missing or no JSON object.
inline LongLlamaConfig read_long_llama_config(const std::filesystem::path& path) {
    return long_llama_config(detail::read_json_object(path), path.string());
}

/// The model in a folder. `configure`, if given, may change the configuration that was read: memory layers, last_context, storage.
/// Errors: FileError, naming file and tensor, if something is missing, unknown or of another shape; those of the configuration.
template <class Real>
LongLlama<Real> load_long_llama(const std::filesystem::path& folder, const std::function<void(LongLlamaConfig&)>& configure = {}) {
    LongLlamaConfig config = read_long_llama_config(folder / "config.json");
    if (configure) configure(config);
    config.check();
    const CheckpointFolder files(folder);
    std::set<std::string> unused;
    for (const auto& [name, file] : files.names())
        if (!name.ends_with("rotary_emb.inv_freq")) unused.insert(name);  // old files carry the angles; they follow from the base
    const auto stored = static_cast<Index>(files.names().size());
    require<FileError>(config.layers <= stored, folder.string(), ": has ", stored, " tensors, too few for ", config.layers,
                       " layers");
    LongLlamaWeights<Real> weights;
    weights.layers.resize(static_cast<std::size_t>(config.layers));
    for_each_weight(config, weights, [&](const LongLlamaWeight& at, auto& weight) {
        unused.erase(at.file_name);
        if constexpr (!std::is_same_v<decltype(weight), StoredMatrix&>)
            weight = files.template vector<Real>(at.file_name, at.rows);
        else if (config.tied_output && at.name == "output" && !files.contains(at.file_name))
            weight = weights.embedding;
        else
            weight = files.matrix(at.file_name, at.rows, at.columns);
    });
    require<FileError>(unused.empty(), folder.string(), ": ", unused.size(), " tensors are unknown, the first is '",
                       unused.empty() ? "" : *unused.begin(), "'");
    return LongLlama<Real>(std::move(config), std::move(weights));
}

/// Writes config.json and model.safetensors, each all or nothing, so that Hugging Face's code can load them.
/// Errors: FileError if the folder cannot be made, a file not be written, or the folder has an index of shards, which would be
///         loaded in place of what is saved.
template <class Real>
void save_long_llama(const std::filesystem::path& folder, const LongLlama<Real>& model) {
    const LongLlamaConfig& config = model.config();
    const LongLlamaWeights<Real>& weights = model.weights();
    make_folder(folder);
    const std::filesystem::path index = folder / CheckpointFolder::index_name;
    require<FileError>(!file_exists(index), index.string(),
                       ": names other files, which would be loaded in place of what is saved; expected a folder without it");
    SafetensorsWriter writer;
    writer.metadata["format"] = "pt";  // which Hugging Face's reader asks for
    for_each_weight(config, weights, [&](const LongLlamaWeight& at, const auto& weight) {
        if constexpr (!std::is_same_v<decltype(weight), const StoredMatrix&>)
            writer.add(at.file_name, weight);
        else if (!config.tied_output || at.name != "output")
            writer.add_bytes(at.file_name, weight.dtype, {weight.rows, weight.columns}, weight.numbers);
    });

    const std::map<Dtype, const char*> torch_names{
        {Dtype::f64, "float64"}, {Dtype::f32, "float32"}, {Dtype::f16, "float16"}, {Dtype::bf16, "bfloat16"}};
    const nlohmann::json json{{"architectures", {"LongLlamaForCausalLM"}},
                              {"model_type", "longllama"},
                              {"torch_dtype", torch_names.at(weights.embedding.dtype)},
                              {"vocab_size", config.vocabulary},
                              {"hidden_size", config.width},
                              {"intermediate_size", config.feed_forward},
                              {"num_hidden_layers", config.layers},
                              {"num_attention_heads", config.heads},
                              {"num_key_value_heads", config.key_head_count()},
                              {"hidden_act", "silu"},
                              {"max_position_embeddings", config.window},
                              {"last_context_length", config.last_context},
                              {"mem_layers", config.memory_layers},
                              {"mem_positionals", config.memory_positions},
                              {"mem_dtype", config.memory_storage == Storage::bfloat16 ? "bfloat16" : "float32"},
                              {"mem_attention_grouping", nullptr},
                              {"rms_norm_eps", config.norm_epsilon},
                              {"rope_theta", config.rotary_base},
                              {"rope_scaling", nullptr},
                              {"tie_word_embeddings", config.tied_output},
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

}  // namespace fot
