#include "fot/model/long_llama_files.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace fot;
using fot::testing::TemporaryFolder;

namespace {

LongLlamaConfig small_config() {
    return {
        .model = as_llama(
            {.vocabulary = 7, .width = 8, .layers = 2, .memory_layers = {1}, .heads = 2, .key_heads = 1, .feed_forward = 12}, 5e5),
        .window = 6,
        .last_context = 3,
        .memory_storage = Storage::full};
}

/// A folder with a saved model, and what the model says to some tokens.
struct SavedModel {
    TemporaryFolder folder;
    Random random{1};
    LongLlama<float> model{small_config(), Transformer<float>(small_config().model, random)};

    SavedModel() { save_long_llama(path(), model.config(), model.decoder()); }

    std::filesystem::path path() const { return folder / "model"; }

    nlohmann::json config() const { return *detail::read_json_object(path() / "config.json"); }
    void write_config(const nlohmann::json& json) const { folder.write("model/config.json", json.dump()); }

    /// All tensors again, in a file of another dtype or with something changed by `change(name, shape)`.
    template <class Change>
    void rewrite(const std::string& file, Change&& change) const {
        const SafetensorsFile stored(path() / "model.safetensors");
        SafetensorsWriter writer;
        std::map<std::string, std::vector<float>> numbers;
        for (const std::string& name : stored.names()) {
            std::string new_name = name;
            std::vector<Index> shape = stored.shape(name);
            numbers[name] = stored.read<float>(name);
            if (change(new_name, shape)) writer.add(new_name, shape, numbers[name].data());
        }
        writer.write(path() / file);
    }
};

Tensor<float, 3> logits_of(const LongLlama<float>& model) {
    Tokens tokens = empty<std::int32_t, 2>({1, 14});
    for (Index t = 0; t < 14; ++t) tokens(0, t) = static_cast<std::int32_t>(t * t % 7);
    LongLlamaState<float> state(model.config(), 1);
    return model.read({tokens}, state);
}

void check_fails(const SavedModel& saved, const std::string& what) {
    CHECK_THROWS_WITH(load_long_llama<float>(saved.path()), doctest::Contains(what.c_str()));
}

}  // namespace

TEST_CASE("a saved model is loaded as it was") {
    SavedModel saved;
    LongLlama<float> loaded = load_long_llama<float>(saved.path());
    CHECK(loaded.config().model.memory_layers == std::vector<Index>{1});
    CHECK(loaded.config().model.rotary_base == 5e5);
    CHECK(loaded.config().model.key_heads == 1);
    CHECK(logits_of(loaded) == logits_of(saved.model));
    CHECK(saved.config()["model_type"] == "longllama");
    CHECK(saved.config()["mem_layers"] == nlohmann::json::array({1}));
}

TEST_CASE("what is loaded may be told otherwise: memory layers, last context") {
    SavedModel saved;
    LongLlama<float> loaded = load_long_llama<float>(saved.path(), [](LongLlamaConfig& config) {
        config.model.memory_layers.clear();
        config.last_context = 6;
    });
    CHECK(loaded.config().model.memory_layers.empty());
    CHECK_FALSE(logits_of(loaded) == logits_of(saved.model));
}

TEST_CASE("weights are loaded to be trained, in any precision and with other memory layers, and saved again") {
    SavedModel saved;
    LongLlama<double> loaded = load_long_llama<double>(
        saved.path(),
        [](LongLlamaConfig& config) {
            config.model.memory_layers = {0, 1};
            config.model.integration = Integration::gated;
        },
        Weights::trained);
    const Tokens tokens{{1, 2, 3, 4, 5, 6}};
    Tape tape, in_float(Tape::inference);
    const Tensor<double, 3> logits = loaded.decoder().local(tape, tokens).value();
    const Tensor<float, 3> expected = saved.model.decoder().local(in_float, tokens).value();
    for (Index i = 0; i < element_count(logits); ++i)
        CHECK(logits.data()[i] == doctest::Approx(static_cast<double>(expected.data()[i])).epsilon(1e-4));
    CHECK(loaded.decoder().parameters().size() == 3 + 2 * 9 + 2);  // two gates
    CHECK_THROWS_WITH_AS(save_long_llama(saved.folder / "gated", loaded.config(), loaded.decoder()),
                         doctest::Contains("the decoder is no LLaMA"), ConfigError);

    LongLlama<float> trained = load_long_llama<float>(saved.path(), {}, Weights::trained);
    trained.decoder().parameters().front().value()[0] += 1;
    save_long_llama(saved.folder / "trained", trained.config(), trained.decoder());
    CHECK(logits_of(load_long_llama<float>(saved.folder / "trained")) == logits_of(trained));
    CHECK_FALSE(logits_of(trained) == logits_of(saved.model));

    const LongLlama<float> stored = load_long_llama<float>(saved.path());
    CHECK(stored.decoder().parameters().empty());
    CHECK_FALSE(stored.decoder().layer(1).q.numbers().rounded_inputs);
    const LongLlama<float> rounding = load_long_llama<float>(saved.path(), {}, Weights::rounded_inputs);
    CHECK(rounding.decoder().parameters().empty());
    CHECK(rounding.decoder().layer(1).q.numbers().rounded_inputs);
    CHECK(logits_of(rounding) == logits_of(stored));  // these weights are floats
    CHECK_THROWS_WITH_AS(stored.decoder().layer(0).q.trained(), doctest::Contains("load the model with weights to be trained"),
                         ConfigError);
    const Variable<float, 3> x(zeros<float, 3>({1, 1, 8}), true);
    CHECK_THROWS_WITH_AS(linear(tape, x, stored.decoder().layer(0).q),
                         doctest::Contains("a gradient would have to pass a stored matrix"), ConfigError);
}

TEST_CASE("a plain LLaMA folder is a LongLLaMA without memory layers") {
    SavedModel saved;
    nlohmann::json config = saved.config();
    for (const char* name : {"mem_layers", "mem_dtype", "mem_positionals", "last_context_length", "num_key_value_heads"})
        config.erase(name);
    saved.write_config(config);
    check_fails(saved, "self_attn.k_proj.weight' has shape (4, 8), expected (8, 8)");
    config["num_key_value_heads"] = 1;
    saved.write_config(config);
    CHECK(load_long_llama<float>(saved.path()).config().model.memory_layers.empty());
    CHECK(load_long_llama<float>(saved.path()).config().last_context == 6);  // the whole window
}

TEST_CASE("half precision and bfloat16 stay as they are in the file") {
    SavedModel saved;
    const SafetensorsFile stored(saved.path() / "model.safetensors");
    for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
        SafetensorsWriter writer;
        std::map<std::string, std::vector<std::uint16_t>> bits;
        for (const std::string& name : stored.names()) {
            for (const float number : stored.read<float>(name)) {
                const auto half = [&] {  // of numbers that are no larger than a few: enough for this test
                    const std::uint32_t of_float = std::bit_cast<std::uint32_t>(number * 0x1p-112f);
                    return static_cast<std::uint16_t>((of_float >> 13 & 0x7fffu) | (of_float >> 16 & 0x8000u));
                };
                bits[name].push_back(dtype == Dtype::bf16 ? to_bfloat16(number).bits : half());
            }
            writer.add_bytes(name, dtype, stored.shape(name), bits[name].data());
        }
        const TemporaryFolder folder;
        std::filesystem::copy(saved.path() / "config.json", folder / "config.json");
        writer.write(folder / "model.safetensors");
        LongLlama<float> loaded = load_long_llama<float>(folder / "");
        CHECK(loaded.decoder().layer(0).q.stored()->dtype == dtype);
        const Tensor<float, 3> expected = logits_of(saved.model), got = logits_of(loaded);
        for (Index i = 0; i < element_count(got); ++i) CHECK(got.data()[i] == doctest::Approx(expected.data()[i]).epsilon(0.05));
        const TemporaryFolder again;  // saved once more: the same bytes
        save_long_llama(again / "copy", loaded.config(), loaded.decoder());
        CHECK(logits_of(loaded) == logits_of(load_long_llama<float>(again / "copy")));
    }
}

TEST_CASE("a checkpoint in several files is one checkpoint") {
    SavedModel saved;
    const Tensor<float, 3> expected = logits_of(saved.model);
    nlohmann::json map;
    const auto in_first = [](const std::string& name) { return name.find("layers.0") != std::string::npos; };
    saved.rewrite("one.safetensors", [&](std::string& name, auto&) { return in_first(name); });
    saved.rewrite("two.safetensors", [&](std::string& name, auto&) { return !in_first(name); });
    saved.rewrite("without.safetensors", [&](std::string& name, auto&) { return !in_first(name) && name != "model.norm.weight"; });
    const SafetensorsFile whole(saved.path() / "model.safetensors");
    for (const std::string& name : whole.names()) map[name] = in_first(name) ? "one.safetensors" : "two.safetensors";
    std::filesystem::remove(saved.path() / "model.safetensors");
    const auto write_index = [&](const nlohmann::json& index) {
        saved.folder.write("model/model.safetensors.index.json", index.dump());
    };
    write_index({{"weight_map", map}});
    LongLlama<float> loaded = load_long_llama<float>(saved.path());
    CHECK(logits_of(loaded) == expected);
    // What is saved beside them is what is loaded.
    save_long_llama(saved.path(), loaded.config(), loaded.decoder());
    CHECK(logits_of(load_long_llama<float>(saved.path())) == expected);
    std::filesystem::remove(saved.path() / "model.safetensors");

    nlohmann::json wrong = map;
    for (auto& [name, file] : wrong.items())
        if (file == "two.safetensors") file = "without.safetensors";
    write_index({{"weight_map", wrong}});
    check_fails(saved, "tensor 'model.norm.weight' is missing");
}

TEST_CASE("missing, unknown and misshapen tensors are named; angles of old files are passed over") {
    SavedModel saved;
    const auto with = [&](auto&& change) {
        const SavedModel other;
        other.rewrite("new.safetensors", change);
        std::filesystem::rename(other.path() / "new.safetensors", saved.path() / "model.safetensors");
    };
    with([](std::string& name, auto&) { return name != "model.layers.1.mlp.up_proj.weight"; });
    check_fails(saved, "tensor 'model.layers.1.mlp.up_proj.weight' is missing");
    with([](std::string& name, auto&) {
        if (name == "lm_head.weight") name = "head.weight";
        return true;
    });
    check_fails(saved,
                "model: tensor 'lm_head.weight' is missing, and config.json does not say that the embedding takes its place");
    with([](std::string& name, auto&) {
        name = "module." + name;
        return true;
    });
    check_fails(saved, "is missing; there is 'module.model.embed_tokens.weight'");
    with([](std::string& name, auto& shape) {
        if (name == "lm_head.weight") shape = {8, 7};
        return true;
    });
    check_fails(saved, "tensor 'lm_head.weight' has shape (8, 7), expected (7, 8)");
    // The output map may be left out, or be tied.
    with([](std::string& name, auto&) { return name != "lm_head.weight"; });
    nlohmann::json config = saved.config();
    config["tie_word_embeddings"] = true;
    saved.write_config(config);
    CHECK(load_long_llama<float>(saved.path()).decoder().config().tied_output);
    const LongLlama<float> tied = load_long_llama<float>(saved.path(), {}, Weights::trained);
    CHECK(tied.decoder().parameters().size() == 2 + 2 * 9);
    save_long_llama(saved.folder / "again", tied.config(), tied.decoder());
    CHECK(logits_of(load_long_llama<float>(saved.folder / "again")) == logits_of(tied));

    SavedModel old;
    const SafetensorsFile stored(old.path() / "model.safetensors");
    SafetensorsWriter writer;
    std::map<std::string, std::vector<float>> numbers;
    for (const std::string& name : stored.names()) {
        numbers[name] = stored.read<float>(name);
        writer.add(name, stored.shape(name), numbers[name].data());
    }
    const std::vector<float> angles{1, 0.1f};
    writer.add("model.layers.0.self_attn.rotary_emb.inv_freq", {2}, angles.data());
    writer.add("model.layers.0.self_attn.rotary_emb.cos_cached", {2}, angles.data());
    writer.write(old.path() / "model.safetensors");
    CHECK_NOTHROW(load_long_llama<float>(old.path()));
}

TEST_CASE("what a configuration asks for and is not there is named") {
    const SavedModel saved;
    const nlohmann::json good = saved.config();
    const auto with = [&](const char* field, const nlohmann::json& value) {
        nlohmann::json config = good;
        config[field] = value;
        saved.write_config(config);
    };
    with("head_dim", 6);
    check_fails(saved, "field 'head_dim' is 6, expected hidden_size / num_attention_heads = 4");
    with("hidden_size", -8);
    check_fails(saved, "field 'hidden_size' is -8, expected an integer from 0 to 2^31 - 1");
    with("hidden_size", "8");
    check_fails(saved, "field 'hidden_size' is \"8\", expected an integer");
    with("hidden_size", nullptr);
    check_fails(saved, "field 'hidden_size' is missing");
    with("hidden_size", 1 << 30);
    check_fails(saved, "tensor 'model.embed_tokens.weight' has shape (7, 8), expected (7, 1073741824)");
    with("hidden_size", nlohmann::json::array({8}));
    check_fails(saved, "field 'hidden_size' is [8], expected an integer");
    with("hidden_size", std::vector<int>(100, 8));  // long lists are not spelled out
    check_fails(saved, "field 'hidden_size' is an array, expected an integer");
    with("mem_layers", {-1});
    check_fails(saved, "field 'mem_layers' is [-1], expected a list of integers from 0");
    with("num_hidden_layers", 2147483647);
    check_fails(saved, "has 21 tensors, too few for 2147483647 layers");
    with("mem_layers", 1);
    check_fails(saved, "field 'mem_layers' is 1, expected a list");
    with("mem_layers", {2});
    check_fails(saved, "memory layer 2 of 2 layers");
    with("mem_positionals", "yes");
    check_fails(saved, "field 'mem_positionals' is \"yes\", expected true or false");
    with("rope_theta", "large");
    check_fails(saved, "field 'rope_theta' is \"large\", expected a number");
    with("hidden_act", 3);
    check_fails(saved, "field 'hidden_act' is 3, expected text");
    saved.folder.write("model/config.json", "{\"vocab_size\": ");
    check_fails(saved, "config.json: is no JSON object");
    std::filesystem::resize_file(saved.path() / "config.json", 64'000'001);
    check_fails(saved, "config.json: has 64000001 bytes, expected at most 64 MB");
    std::filesystem::remove(saved.path() / "config.json");
    check_fails(saved, "config.json: there is no such file");
}

TEST_CASE("a folder that cannot be made is named") {
    SavedModel saved;
    saved.folder.write("taken", "a file");
    CHECK_THROWS_WITH_AS(save_long_llama(saved.folder / "taken", saved.model.config(), saved.model.decoder()),
                         doctest::Contains("cannot make this folder"), FileError);
}

TEST_CASE("tied maps: the embedding counts whatever lies under the other name, and may lie under it alone") {
    SavedModel saved;
    nlohmann::json config = saved.config();
    config["tie_word_embeddings"] = true;
    saved.write_config(config);
    const Tensor<float, 3> expected = logits_of(load_long_llama<float>(saved.path()));
    CHECK_FALSE(expected == logits_of(saved.model));
    saved.rewrite("other.safetensors", [](std::string& name, auto&) {
        if (name == "lm_head.weight") return false;
        if (name == "model.embed_tokens.weight") name = "lm_head.weight";
        return true;
    });
    std::filesystem::rename(saved.path() / "other.safetensors", saved.path() / "model.safetensors");
    CHECK(logits_of(load_long_llama<float>(saved.path())) == expected);
    config["tie_word_embeddings"] = false;
    saved.write_config(config);
    check_fails(saved, "tensor 'model.embed_tokens.weight' is missing");
}

TEST_CASE("a decoder that was saved without its output map has names without 'model.', and is read where maps are tied") {
    SavedModel saved;
    nlohmann::json config = saved.config();
    config["tie_word_embeddings"] = true;
    saved.write_config(config);
    const Tensor<float, 3> expected = logits_of(load_long_llama<float>(saved.path()));
    saved.rewrite("other.safetensors", [](std::string& name, auto&) {
        if (name == "lm_head.weight") return false;
        name = name.substr(6);
        return true;
    });
    std::filesystem::rename(saved.path() / "other.safetensors", saved.path() / "model.safetensors");
    CHECK(logits_of(load_long_llama<float>(saved.path())) == expected);
    config["tie_word_embeddings"] = false;
    saved.write_config(config);
    check_fails(saved, "tensor 'lm_head.weight' is missing");
}

TEST_CASE("a model with scaled rotations is saved and loaded as such") {
    LongLlamaConfig config = small_config();
    for (const RotaryScaling scaling : {RotaryScaling{4}, RotaryScaling{8, 4, 0.1, 0.3}}) {
        config.model.rotary_scaling = scaling;
        Random random(1);
        const LongLlama<float> model(config, Transformer<float>(config.model, random));
        const TemporaryFolder folder;
        save_long_llama(folder / "m", config, model.decoder());
        const LongLlama<float> loaded = load_long_llama<float>(folder / "m");
        CHECK(loaded.config().model == model.config().model);
        CHECK(logits_of(loaded) == logits_of(model));
        CHECK_FALSE(logits_of(loaded) == logits_of(SavedModel().model));
    }
}

TEST_CASE("a tensor that the model does not have is refused by name; what Hugging Face's reader asks for is there") {
    const SavedModel saved;
    CHECK(saved.config()["torch_dtype"] == "float32");
    const SafetensorsFile stored(saved.path() / "model.safetensors");
    CHECK(stored.metadata().contains("format"));
    SafetensorsWriter writer;
    std::map<std::string, std::vector<float>> numbers;
    for (const std::string& name : stored.names()) {
        numbers[name] = stored.read<float>(name);
        writer.add(name, stored.shape(name), numbers[name].data());
    }
    const std::vector<float> bias(8, 1.0f);
    writer.add("model.layers.0.self_attn.q_proj.bias", {8}, bias.data());
    writer.write(saved.path() / "model.safetensors");
    check_fails(saved, "1 tensors are unknown, the first is 'model.layers.0.self_attn.q_proj.bias'");
}
