/// LLaMA and LongLLaMA checkpoints as Hugging Face keeps them: a folder with config.json and weights.
///
///     config.json          shape of the model, and how LongLLaMA reads (mem_layers, last_context_length, ...)
///     model.safetensors    all weights; or several files, or those of PyTorch (files/checkpoint_folder.hpp)
///
/// Weights stay in their files, mapped, in float, half precision or bfloat16: starting copies only the norms, and matrices that are
/// transposed or unaligned there. Or they are loaded to be trained. Stored weights save memory and time when text is generated, but
/// they have no gradient (nn/stored_linear.hpp). A plain LLaMA folder is a LongLLaMA without memory layers; give it some, and it is
/// what fine-tuning by FoT starts from.
///
/// Read first: files/checkpoint_folder.hpp, model/long_llama.hpp, model/weights.hpp.   Read next: train/checkpoint.hpp.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "fot/files/checkpoint_folder.hpp"
#include "fot/files/safetensors_writer.hpp"
#include "fot/model/llama_config_file.hpp"
#include "fot/model/long_llama.hpp"

namespace fot {

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

/// What becomes of the weights of a loaded model.
enum class Weights {
    stored,          ///< matrices stay in their files, and inputs are floats
    rounded_inputs,  ///< as stored; with matrices in bfloat16 inputs are rounded, too: faster prompts (nn/stored_linear.hpp)
    trained          ///< matrices are copied and widened
};

/// The weights in a folder.
template <class Real>
class FolderWeights : public WeightSource<Real> {
   public:
    /// The folder must outlive this, but not the weights. Of tied embeddings, the input embedding may lie under the name of the
    /// output's.
    FolderWeights(const CheckpointFolder& files, Weights kind, bool tied_output) : files_(files), kind_(kind), tied_(tied_output) {}
    LinearMap<Real> matrix(const std::string& name, Index rows, Index columns, double) const override {
        const std::string plain = name_in_files(name), output = name_in_files("output");
        const bool under_the_other = tied_ && name == "embedding" && !files_.contains(plain) && files_.contains(output);
        require<FileError>(name != "output" || files_.contains(output), files_.path().string(), ": tensor '", output,
                           "' is missing, and config.json does not say that the embedding takes its place "
                           "(\"tie_word_embeddings\": true)");
        StoredMatrix stored = files_.matrix(under_the_other ? output : plain, rows, columns);
        stored.rounded_inputs = kind_ == Weights::rounded_inputs;
        if (kind_ != Weights::trained) return stored;
        return Variable<Real, 2>(detail::widened_tensor<Real>(stored), true);
    }
    Variable<Real, 1> scales(const std::string& name, Index count) const override {
        return Variable<Real, 1>(files_.template vector<Real>(name_in_files(name), count), kind_ == Weights::trained);
    }

    /// How the files call a weight: those of a decoder that was saved without its output leave "model." out.
    std::string name_in_files(const std::string& name) const {
        const std::string full = hugging_face_name(name);
        return full.starts_with("model.") && files_.contains("norm.weight") ? full.substr(6) : full;
    }

   private:
    const CheckpointFolder& files_;
    Weights kind_;
    bool tied_;
};

/// The model in a folder. `configure`, if given, may change the configuration that was read: memory layers, last_context, storage.
/// With trained weights, training goes on from them: `decoder()` is the Transformer to train.
/// Errors: FileError, naming file and tensor, if something is missing, unknown or of another shape; those of the configuration.
template <class Real>
LongLlama<Real> load_long_llama(const std::filesystem::path& folder, const std::function<void(LongLlamaConfig&)>& configure = {},
                                Weights kind = Weights::stored, OtherArchitectures others = OtherArchitectures::refused) {
    LongLlamaConfig config = read_llama_config(folder, others);
    if (configure) configure(config);
    config.check();
    const CheckpointFolder files(folder);
    require<FileError>(config.model.layers <= length_of(files.tensors()), folder.string(), ": has ", files.tensors().size(),
                       " tensors, too few for ", config.model.layers, " layers");
    const FolderWeights<Real> weights(files, kind, config.model.tied_output);
    Transformer<Real> decoder(config.model, weights);

    std::set<std::string> unused;
    for (const auto& [name, tensor] : files.tensors())
        if (name.find("rotary_emb.") == std::string::npos)
            unused.insert(name);  // old files carry angles, which follow from the base
    decoder.for_each_weight([&](const std::string& name, Role, const auto&) { unused.erase(weights.name_in_files(name)); });
    if (config.model.tied_output) unused.erase(weights.name_in_files("output"));  // a copy of the embedding
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

    nlohmann::json json = llama_config_json(config);
    const std::map<Dtype, const char*> torch_names{
        {Dtype::f64, "float64"}, {Dtype::f32, "float32"}, {Dtype::f16, "float16"}, {Dtype::bf16, "bfloat16"}};
    json["torch_dtype"] = torch_names.at(decoder.layer(0).q.numbers().dtype);
    writer.write(folder / "model.safetensors");
    const std::string text = json.dump(2) + "\n";
    ReplacingFile file(folder / "config.json");
    file.append(text.data(), length_of(text));
    file.commit();
}

}  // namespace fot
