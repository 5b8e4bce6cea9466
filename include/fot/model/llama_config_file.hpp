/// What a config.json of LLaMA or LongLLaMA means: the shape of the model, and how it reads.
///
/// The same tensors give different numbers under a different configuration, and a field that is passed over is an error that nobody
/// sees. Therefore a folder of another architecture is refused, although its tensors may have the same names. So is a field that is
/// not understood here and whose name says that it changes the numbers (a bias, a scale, a sliding window), unless its value
/// changes nothing.
///
/// Source: config.json of the released LongLLaMA; configuration_llama.py and modeling_rope_utils.py of Hugging Face's transformers.
/// Read first: model/long_llama_config.hpp, files/json_file.hpp.   Read next: model/long_llama_files.hpp.
#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fot/files/json_file.hpp"
#include "fot/model/long_llama_config.hpp"

namespace fot {

/// What to do with a folder whose config.json says that it is no LLaMA.
enum class OtherArchitectures {
    refused,
    taken  ///< read as a LLaMA: wrong numbers if it computes in another way
};

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

/// What mem_dtype may be.
inline const std::map<std::string, Storage>& memory_storages() {
    static const std::map<std::string, Storage> storages{
        {"bfloat16", Storage::bfloat16}, {"float16", Storage::float16}, {"float32", Storage::full}};
    return storages;
}

/// The fields of a JSON object, for reading one after the other: null is as good as absent.
class JsonFields {
   public:
    JsonFields(const nlohmann::json& json, std::string where) : json_(json), where_(std::move(where)) {}

    bool has(const std::string& name) const { return json_.contains(name) && !json_[name].is_null(); }
    const nlohmann::json& operator[](const std::string& name) const { return json_[name]; }
    /// Opens messages about a field.
    std::string at(const std::string& name) const { return message(where_, ": field '", name, "'"); }
    template <class Value>
    Value value(const std::string& name, const Value& otherwise) const {
        return has(name) ? value_of<Value>(json_[name], at(name)) : otherwise;
    }
    /// A number that must be there.
    double number(const std::string& name) const {
        require<FileError>(has(name), at(name), " is missing");
        return value(name, 0.0);
    }

   private:
    const nlohmann::json& json_;
    std::string where_;
};

/// rope_scaling, or rope_parameters of newer files.
inline RotaryScaling rotary_scaling(const JsonFields& config, const std::string& name) {
    if (!config.has(name)) return {};
    require<FileError>(config[name].is_object(), config.at(name), " is ", shown(config[name]), ", expected an object");
    const JsonFields fields(config[name], config.at(name));
    const std::string name_of_kind = !fields.has("rope_type") && fields.has("type") ? "type" : "rope_type";
    const std::string kind = fields.value(name_of_kind, std::string("default"));
    require<ConfigError>(fields.has(name_of_kind) || fields.value("factor", 1.0) == 1, fields.at("factor"), " is ",
                         fields.value("factor", 1.0), ", but which scaling it is for, no field 'rope_type' says");
    require<ConfigError>(fields.value("partial_rotary_factor", 1.0) == 1, fields.at("partial_rotary_factor"),
                         " is not supported, expected 1");
    static const std::set<std::string> understood{"type",
                                                  "rope_type",
                                                  "rope_theta",
                                                  "factor",
                                                  "partial_rotary_factor",
                                                  "original_max_position_embeddings",
                                                  "low_freq_factor",
                                                  "high_freq_factor"};
    for (const auto& [each, value] : config[name].items()) {
        require<ConfigError>(!value.is_object(), fields.at(each),
                             " is an object: rotations that differ by layer are not supported");
        require<ConfigError>(understood.contains(each) || value.is_null(), fields.at(each), " is ", shown(value),
                             ", which is not supported: it may change the rotations");
    }
    RotaryScaling scaling;
    if (kind == "linear") {
        scaling.factor = fields.number("factor");
    } else if (kind == "llama3") {
        scaling = {fields.number("factor"), fields.number("original_max_position_embeddings"), fields.number("low_freq_factor"),
                   fields.number("high_freq_factor")};
    } else {
        require<ConfigError>(kind == "default", fields.at(name_of_kind), " is '", kind,
                             "', which is not supported, expected default, linear or llama3");
    }
    return scaling;
}

/// Throws ConfigError unless the folder says that it is a LLaMA or a LongLLaMA, or says nothing.
inline void require_llama(const JsonFields& fields) {
    const std::string type = fields.value("model_type", std::string("llama"));
    require<ConfigError>(type == "llama" || type == "longllama", fields.at("model_type"), " is '", type,
                         "', an architecture that may compute in another way; expected llama or longllama");
    if (!fields.has("architectures")) return;
    for (const nlohmann::json& each : fields["architectures"]) {
        std::string name = value_of<std::string>(each, fields.at("architectures"));
        const std::string as_written = name;
        for (char& letter : name) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
        require<ConfigError>(name.starts_with("llama") || name.starts_with("longllama"), fields.at("architectures"), " has '",
                             as_written, "', which may compute in another way; expected one of LLaMA or LongLLaMA");
    }
}

/// Does the value say that nothing is changed? A factor does by 1, another number by 0.
inline bool changes_nothing(const nlohmann::json& value, bool factor) {
    if (value.is_null() || value == false || value == "" || value == "default") return true;
    if (value.is_number()) return value.get<double>() == (factor ? 1 : 0);
    return value.is_array() && std::all_of(value.begin(), value.end(), [](const nlohmann::json& each) {
               return each == "full_attention" || each == true || each == 1;
           });
}

/// Throws ConfigError for a field that, by its name, changes the numbers, and that is not among those understood.
inline void require_understood(const nlohmann::json& json, const JsonFields& fields, const std::set<std::string>& understood) {
    const std::vector<const char*> factors{"multiplier", "scal", "partial"},
        others{"bias",  "sliding", "window", "chunk_size", "softcap",   "clip",        "rope",         "rotary",
               "alibi", "ntk",     "norm",   "logn",       "parallel_", "layer_types", "quantization", "bidirectional"};
    const bool slides = fields.value("use_sliding_window", true);
    for (const auto& [name, value] : json.items()) {
        const auto contains = [&, &field = name](const char* piece) { return field.find(piece) != std::string::npos; };
        const bool factor = std::any_of(factors.begin(), factors.end(), contains);
        if (understood.count(name) || !(factor || std::any_of(others.begin(), others.end(), contains))) continue;
        if (!slides && (contains("sliding") || contains("window"))) continue;
        require<ConfigError>(changes_nothing(value, factor), fields.at(name), " is ", shown(value),
                             ", which is not supported: by its name it changes what the model computes");
    }
}

/// Ids as config.json and generation_config.json give them: a number or a list.
inline std::vector<std::int32_t> token_ids(const JsonFields& fields, const std::string& name) {
    std::vector<std::int32_t> ids;
    if (!fields.has(name) || fields[name] == -1) return ids;  // -1: none
    const std::string what = fields.at(name);
    for (const Index id : fields[name].is_array() ? value_of<std::vector<Index>>(fields[name], what)
                                                  : std::vector<Index>{value_of<Index>(fields[name], what)})
        ids.push_back(static_cast<std::int32_t>(id));
    return ids;
}

}  // namespace detail

/// The configuration that the fields of a config.json of LLaMA or LongLLaMA stand for; `where` they are from, for errors.
/// Errors: FileError if a field is missing or has a wrong type; ConfigError for another architecture, for what is not supported
///         (biases, another activation, another scaling of rotations) or does not fit together, and for a field that changes the
///         numbers and is not understood.
inline LongLlamaConfig long_llama_config(const nlohmann::json& json, const std::string& where,
                                         OtherArchitectures others = OtherArchitectures::refused) {
    const detail::JsonFields fields(json, where);
    if (others == OtherArchitectures::refused) detail::require_llama(fields);
    for (const char* name : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"})
        require<FileError>(fields.has(name), fields.at(name), " is missing");
    std::set<std::string> understood{"rope_scaling", "rope_parameters"};
    LongLlamaConfig config{.model = as_llama({.memory_layers = {}})};  // a LLaMA, unless it says otherwise
    detail::for_each_json_field(config, [&](const char* name, auto& field) {
        field = fields.value(name, field);
        understood.insert(name);
    });
    config.model.memory_heads = config.model.heads;
    config.end_tokens = detail::token_ids(fields, "eos_token_id");

    const RotaryScaling older = detail::rotary_scaling(fields, "rope_scaling"),
                        newer = detail::rotary_scaling(fields, "rope_parameters");
    require<ConfigError>(!fields.has("rope_scaling") || !fields.has("rope_parameters") || older == newer, fields.at("rope_scaling"),
                         " and 'rope_parameters' say different things");
    config.model.rotary_scaling = fields.has("rope_parameters") ? newer : older;
    for (const char* name : {"rope_scaling", "rope_parameters"}) {  // one of them, or the file itself, may say the base
        if (!fields.has(name)) continue;
        const detail::JsonFields rotations(json[name], fields.at(name));
        const double base = rotations.value("rope_theta", config.model.rotary_base);
        require<ConfigError>(!fields.has("rope_theta") || base == config.model.rotary_base, rotations.at("rope_theta"), " is ",
                             base, ", and outside of it ", config.model.rotary_base);
        config.model.rotary_base = base;
    }

    const std::string memory = fields.value("mem_dtype", std::string("bfloat16"));
    const auto storage = detail::memory_storages().find(memory);
    require<ConfigError>(storage != detail::memory_storages().end(), fields.at("mem_dtype"), " is '", memory,
                         "', expected bfloat16, float16 or float32");
    config.memory_storage = storage->second;
    const std::string activation = fields.value("hidden_act", std::string("silu"));
    require<ConfigError>(activation == "silu" || activation == "swish", fields.at("hidden_act"), " is '", activation,
                         "', expected silu, which is called swish too");
    detail::require_understood(json, fields, understood);
    config.check();
    const Index head_width = config.model.head_width_of(0), stated = fields.value("head_dim", head_width);
    require<ConfigError>(stated == head_width, fields.at("head_dim"), " is ", stated,
                         ", expected hidden_size / num_attention_heads = ", head_width);
    return config;
}

/// The configuration of a folder. Which tokens end a text, its generation_config.json says first, if there is one.
/// Errors: as long_llama_config; FileError if config.json is missing, or one of the two is no JSON object.
inline LongLlamaConfig read_llama_config(const std::filesystem::path& folder,
                                         OtherArchitectures others = OtherArchitectures::refused) {
    const std::filesystem::path file = folder / "config.json", of_generation = folder / "generation_config.json";
    LongLlamaConfig config = long_llama_config(*detail::read_json_object(file), file.string(), others);
    std::error_code ignored;
    if (std::filesystem::exists(of_generation, ignored)) {
        const detail::OwnedJson generation = detail::read_json_object(of_generation);
        const auto ids = detail::token_ids(detail::JsonFields(*generation, of_generation.string()), "eos_token_id");
        if (!ids.empty()) config.end_tokens = ids;
    }
    return config;
}

/// The config.json of a configuration, as Hugging Face's code and the released one read it.
inline nlohmann::json llama_config_json(const LongLlamaConfig& config) {
    LongLlamaConfig written = config.resolved();
    const bool plain = written.model.memory_layers.empty();
    std::string memory;
    for (const auto& [name, storage] : detail::memory_storages())
        if (storage == config.memory_storage) memory = name;
    nlohmann::json json{{"architectures", {plain ? "LlamaForCausalLM" : "LongLlamaForCausalLM"}},
                        {"model_type", plain ? "llama" : "longllama"},
                        {"hidden_act", "silu"},
                        {"mem_dtype", memory},
                        {"mem_attention_grouping", nullptr},
                        {"rope_scaling", nullptr},
                        {"use_cache", true},
                        {"initializer_range", 0.02},
                        {"pad_token_id", 0},
                        {"bos_token_id", 1},
                        {"eos_token_id", config.end_tokens.empty() ? nlohmann::json(-1) : nlohmann::json(config.end_tokens)}};
    written.model.key_heads = written.model.key_heads_of(0);
    detail::for_each_json_field(written, [&](const char* name, const auto& field) { json[name] = field; });
    if (const RotaryScaling& scaling = written.model.rotary_scaling; scaling.factor != 1) {
        json["rope_scaling"] = {{"rope_type", scaling.window > 0 ? "llama3" : "linear"}, {"factor", scaling.factor}};
        if (scaling.window > 0)
            json["rope_scaling"].update({{"original_max_position_embeddings", scaling.window},
                                         {"low_freq_factor", scaling.low_rotations},
                                         {"high_freq_factor", scaling.high_rotations}});
    }
    if (plain)
        for (const char* name : {"mem_layers", "mem_positionals", "mem_dtype", "mem_attention_grouping", "last_context_length"})
            json.erase(name);
    return json;
}

}  // namespace fot
