#include "fot/train/model_file.hpp"

#include <doctest/doctest.h>

#include "fot/train/muon.hpp"
#include "fot/train/trainer.hpp"
#include "support/random_tokens.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;

namespace {

const testing::TemporaryFolder folder;

const TransformerConfig small{
    .vocabulary = 20, .width = 16, .layers = 3, .memory_layers = {1, 2}, .heads = 2, .memory_heads = 2, .feed_forward = 24};

/// Configurations whose weights have the same names and shapes as those of `small`: what changed, what the field is called, and
/// how the two values are written.
struct Other {
    TransformerConfig config;
    const char *field, *value, *expected;
};
std::vector<Other> others_of_the_same_shapes() {
    std::vector<Other> list;
    const auto add = [&](const char* field, const char* value, const char* expected, auto change) {
        list.push_back({small, field, value, expected});
        change(list.back().config);
    };
    add("rotary_base", "100.0", "10000.0", [](auto& c) { c.rotary_base = 10000; });
    add("rotary_scaling", R"({"factor":1.0,"high_rotations":4.0,"low_rotations":1.0,"window":0.0})",
        R"({"factor":2.0,"high_rotations":4.0,"low_rotations":1.0,"window":0.0})", [](auto& c) { c.rotary_scaling.factor = 2; });
    add("memory_positions", "false", "true", [](auto& c) { c.memory_positions = true; });
    add("memory_layers", "[1,2]", "[2]", [](auto& c) { c.memory_layers = {2}; });
    add("activation", "\"squared_relu\"", "\"relu\"", [](auto& c) { c.activation = Activation::relu; });
    add("norm_epsilon", "1e-06", "0.1", [](auto& c) { c.norm_epsilon = 0.1; });
    return list;
}

Trainer<float> trainer_of(Transformer<float>& model, Muon<float>& optimizer, const std::filesystem::path& path) {
    return Trainer<float>(model, optimizer, {.steps = 0, .learning_rate = LearningRate::constant(1), .checkpoint = path});
}

}  // namespace

TEST_CASE("a model that was saved and loaded is the same model") {
    Random random(1);
    Transformer<float> model(small, random);
    save_model(folder / "model.safetensors", model, {{"corpus", "none"}});
    Transformer<float> again = load_model<float>(folder / "model.safetensors");
    CHECK(again.config() == small);
    const Tokens tokens = testing::random_tokens(2, 9, 20, random);
    Tape tape(Tape::inference);
    CHECK(again.local(tape, tokens).value() == model.local(tape, tokens).value());
    CHECK(read_metadata(folder / "model.safetensors").at("corpus") == "none");
    CHECK(load_model<double>(folder / "model.safetensors").config() == small);
}

TEST_CASE("metadata that says another configuration is refused, in files and in trainings") {
    Random random(1);
    TransformerConfig first_layer = small;
    first_layer.memory_layers = {0};
    Transformer<float> model(small, random);
    Muon<float> optimizer(model.parameters());
    const char* problem = "metadata 'config.memory_layers' is '[0]', but the model has '";
    CHECK_THROWS_WITH_AS(save_model(folder / "other.safetensors", model, config_metadata(first_layer)), doctest::Contains(problem),
                         ConfigError);
    CHECK_FALSE(std::filesystem::exists(folder / "other.safetensors"));
    CHECK_NOTHROW(save_model(folder / "other.safetensors", model, config_metadata(small)));
    CHECK_THROWS_WITH_AS(
        Trainer<float>(model, optimizer,
                       {.steps = 1, .learning_rate = LearningRate::constant(1), .metadata = config_metadata(first_layer)}),
        doctest::Contains(problem), ConfigError);
}

TEST_CASE("every field of a configuration survives the way through a file") {
    const TransformerConfig config{.vocabulary = 301,
                                   .width = 24,
                                   .layers = 5,
                                   .memory_layers = {},
                                   .heads = 3,
                                   .memory_heads = 6,
                                   .key_heads = 3,
                                   .feed_forward = 7,
                                   .activation = Activation::swiglu,
                                   .integration = Integration::gated,
                                   .rotary_base = 1.0 / 3,
                                   .rotary_scaling = {8, 8192, 1.5, 3},
                                   .memory_positions = true,
                                   .normalized_heads = false,
                                   .initial_inverse_temperature = 1e-300,
                                   .norm_epsilon = 0.1};
    CHECK(config_from(config_metadata(config), "a file") == config);
    CHECK(config_from(config_metadata(small), "a file") == small);
    // A field that is new does not compile here until it is named, and must be in the metadata too.
    const auto& [vocabulary, width, layers, memory_layers, heads, memory_heads, key_heads, feed_forward, activation, integration,
                 rotary_base, rotary_scaling, memory_positions, normalized_heads, initial_inverse_temperature, norm_epsilon,
                 tied_output] = config;
    static_cast<void>(vocabulary);
    CHECK(config_metadata(config).size() == 17);
    Metadata older = config_metadata(small);  // of a version that knew no scaling
    older.erase("config.rotary_scaling");
    CHECK(config_from(older, "a file") == small);
}

TEST_CASE("weights of another configuration are refused with the field, what the file says and what was expected") {
    Random random(2);
    Transformer<float> model(small, random);
    const std::filesystem::path path = folder / "weights.safetensors";
    save_model(path, model);
    CHECK_NOTHROW(load_weights(path, model));
    for (const Other& other : others_of_the_same_shapes()) {
        Transformer<float> another(other.config, random);
        const float before = another.layer(0).q.trained().value()(0, 0);
        CHECK_THROWS_WITH_AS(
            load_weights(path, another),
            message(path.string(), ": metadata 'config.", other.field, "' is '", other.value, "', expected '", other.expected, "'")
                .c_str(),
            ConfigError);
        CHECK(another.layer(0).q.trained().value()(0, 0) == before);
        CHECK_NOTHROW(load_weights(path, another.parameters()));  // names and shapes alone do not tell
    }
    save_weights(path, model.parameters());
    CHECK_THROWS_WITH_AS(load_weights(path, model), doctest::Contains("metadata 'config.activation' is missing"), ConfigError);
    CHECK_THROWS_WITH_AS(load_model<float>(path), doctest::Contains("is missing: the file does not say its configuration"),
                         FileError);
}

TEST_CASE("a training is not resumed with a model of another configuration") {
    Random random(3);
    const std::filesystem::path path = folder / "run.safetensors";
    Transformer<float> model(small, random);
    Muon<float> optimizer(model.parameters());
    trainer_of(model, optimizer, path).save();
    CHECK(trainer_of(model, optimizer, path).resume());
    for (const Other& other : others_of_the_same_shapes()) {
        Transformer<float> another(other.config, random);
        Muon<float> its_optimizer(another.parameters());
        CHECK_THROWS_WITH_AS(
            trainer_of(another, its_optimizer, path).resume(),
            message(path.string(), ": metadata 'config.", other.field, "' is '", other.value, "', expected '", other.expected, "'")
                .c_str(),
            ConfigError);
    }
    CHECK(load_model<float>(path).layer(1).q.trained().value() ==
          model.layer(1).q.trained().value());  // a checkpoint is a model file too
}

TEST_CASE("metadata that is no configuration is refused by name") {
    const auto with = [](const char* field, const char* text) {
        Metadata metadata = config_metadata(small);
        metadata["config." + std::string(field)] = text;
        return metadata;
    };
    for (const auto& [field, text] : {std::pair("heads", "four"),
                                      {"heads", "2.5"},
                                      {"heads", "\"2\""},
                                      {"memory_layers", "2"},
                                      {"memory_positions", "1"},
                                      {"activation", "\"gelu\""},
                                      {"norm_epsilon", ""}}) {
        CAPTURE(text);
        CHECK_THROWS_WITH_AS(
            config_from(with(field, text), "m"),
            doctest::Contains(message("m: metadata 'config.", field, "' is '", text, "', expected a value such as ").c_str()),
            FileError);
    }
    CHECK_THROWS_WITH_AS(config_from(with("sinks", "3"), "m"),
                         "m: metadata 'config.sinks' is unknown: a later version may have written the file", FileError);
    CHECK_THROWS_AS(config_from(with("heads", "3"), "m"), ConfigError);  // a number, but 16 does not divide into 3 heads
    CHECK_NOTHROW(config_from(with("rotary_base", "100"), "m"));
}
