#include "../../examples/support/text_models.hpp"

#include <doctest/doctest.h>

#include "small_text.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using namespace fot::testing;

namespace {

bool same_weights(Transformer<float>& a, Transformer<float>& b) {
    const auto of_a = a.parameters(), of_b = b.parameters();
    for (std::size_t i = 0; i < of_a.size(); ++i)
        if (!std::ranges::equal(of_a[i].value(), of_b[i].value())) return false;
    return true;
}

/// A training and another one after it, of so many steps each; the file of the model is kept in `path`.
Transformer<float> trained_twice(const TemporaryFolder& folder, const ScheduledSteps& first, const ScheduledSteps& second,
                                 std::filesystem::path& path, const std::vector<Document>& second_documents = two_documents) {
    ExampleIn in(folder);
    const TextSettings settings = small_settings();
    Random random(1);
    Transformer<float> model = new_text_model(settings, random);
    TextModelFile file(in.example, settings, model.config(), 1);
    train_text_model(settings, standard, first, byte_documents(two_documents), file, model);
    train_text_model(settings, {.name = "again"}, second, byte_documents(second_documents), file, model);
    path = file.path();
    return model;
}

}  // namespace

TEST_CASE("a trained text model is kept, and not trained again") {
    const TemporaryFolder folder;
    Transformer<float> first = trained(folder, standard);
    REQUIRE(std::filesystem::exists(folder / "standard_2steps_seed1.safetensors"));
    const auto written = std::filesystem::last_write_time(folder / "standard_2steps_seed1.safetensors");
    Transformer<float> again = trained(folder, standard);
    CHECK(same_weights(first, again));
    CHECK(std::filesystem::last_write_time(folder / "standard_2steps_seed1.safetensors") == written);
}

TEST_CASE("a kept model of other text is refused: what it has seen might be measured") {
    const TemporaryFolder folder;
    trained(folder, standard);
    std::vector<Document> others = two_documents;
    others[1].text.back() = '!';
    CHECK_THROWS_WITH_AS(trained(folder, standard, others),
                         doctest::Contains(message("metadata 'text' is '", fingerprint(byte_documents(two_documents)),
                                                   "', expected '", fingerprint(byte_documents(others)))
                                               .c_str()),
                         ConfigError);
    TextSettings settings = small_settings();
    settings.split_from = 300;
    CHECK_THROWS_WITH_AS(trained(folder, standard, two_documents, settings),
                         doctest::Contains("metadata 'split_from' is '20000', expected '300'"), ConfigError);
}

TEST_CASE("a kept model of other settings is refused, not taken for this one") {
    const TemporaryFolder folder;
    LanguageModelRecipe recipe = standard;
    recipe.contexts = ContextSchedule::at_steps({{0, 1}, {1, 2}});
    recipe.contrastive_weight = 0.5;
    trained(folder, recipe);
    recipe.contrastive_weight = 0.25;
    CHECK_THROWS_WITH_AS(
        trained(folder, recipe),
        doctest::Contains(
            "metadata 'training' is 'standard: standard, 2 steps, 1 positives, contexts 1 until step 1, 2, InfoNCE 0.5"),
        ConfigError);
}

TEST_CASE("the file of two trainings tells both: steps, text and schedule") {
    const TemporaryFolder folder;
    std::filesystem::path path;
    Transformer<float> after_two = trained_twice(folder, {2}, {1}, path);
    CHECK(path.filename() == "standard_2steps_then_again_1steps_seed1.safetensors");
    Transformer<float> after_three = trained_twice(folder, {3}, {1}, path);
    CHECK(path.filename() == "standard_3steps_then_again_1steps_seed1.safetensors");
    CHECK_FALSE(same_weights(after_two, after_three));

    Transformer<float> apart = trained_twice(folder, {2}, {2}, path);
    Transformer<float> together = trained_twice(folder, {2, 0, 4}, {2, 2, 4}, path);
    CHECK(path.filename() == "standard_2steps_of_4_then_again_2steps_of_4_seed1.safetensors");
    CHECK(read_metadata(path).at("training").ends_with(", from step 2 of 4"));
    CHECK_FALSE(same_weights(apart, together));

    std::vector<Document> others = two_documents;
    others[1].text.back() = '!';
    CHECK_THROWS_WITH_AS(trained_twice(folder, {2}, {1}, path, others), doctest::Contains("metadata 'text'"), ConfigError);
    CHECK_NOTHROW(trained_twice(folder, {2}, {4}, path, others));
}

TEST_CASE("a training may go on from a kept model") {
    const TemporaryFolder folder;
    Transformer<float> first = trained(folder, standard);
    TextSettings settings = small_settings();
    const std::string from = (folder / "standard_2steps_seed1.safetensors").string();
    Transformer<float> model = stored_text_model(from, settings);
    CHECK(same_weights(first, model));
    ExampleIn in(folder);
    TextModelFile file(in.example, settings, model.config(), 1, from);
    train_text_model(settings, standard, {1}, byte_documents(two_documents), file, model);
    CHECK_FALSE(same_weights(first, model));
    CHECK(std::filesystem::exists(folder / "standard_2steps_seed1_then_standard_1steps_seed1.safetensors"));
}

TEST_CASE("another schedule of contexts is another training") {
    const TemporaryFolder folder;
    LanguageModelRecipe recipe{.name = "crossbatch", .kind = LanguageModelKind::crossbatch};
    trained(folder, recipe);
    recipe.contexts = ContextSchedule::at_steps({{0, 1}, {1, 2}});
    CHECK_THROWS_WITH_AS(trained(folder, recipe), doctest::Contains("contexts 1'"), ConfigError);
}

TEST_CASE("a stored model is found again by its file alone") {
    const TemporaryFolder folder;
    Transformer<float> model = trained(folder, standard);
    TextSettings settings;  // of another shape
    Transformer<float> stored = stored_text_model(folder / "standard_2steps_seed1.safetensors", settings);
    CHECK(same_weights(model, stored));
    CHECK(settings.width == 8);
    CHECK(settings.layers == 2);
}

TEST_CASE("a stored model with queries and keys of any length is read as such") {
    const TemporaryFolder folder;
    TextSettings unnormalized = small_settings(), settings;
    unnormalized.unnormalized_heads = true;
    Transformer<float> model = trained(folder, standard, two_documents, unnormalized);
    Transformer<float> stored = stored_text_model(folder / "standard_2steps_seed1.safetensors", settings);
    CHECK(settings.unnormalized_heads);
    CHECK_FALSE(stored.config().normalized_heads);
    CHECK(same_weights(model, stored));
}

TEST_CASE("a file that is no model of these programs is refused") {
    const TemporaryFolder folder;
    Random random(1);
    TextSettings settings = small_settings();
    Transformer<float> model = new_text_model(settings, random);
    save_weights(folder / "bare.safetensors", model.parameters());
    CHECK_THROWS_WITH_AS(stored_text_model(folder / "bare.safetensors", settings),
                         doctest::Contains("the file does not say its configuration"), FileError);
    save_model(folder / "long.safetensors", model, {{"length", "8 or so"}});
    CHECK_THROWS_WITH_AS(stored_text_model(folder / "long.safetensors", settings),
                         doctest::Contains("its length is '8 or so', expected a number"), FileError);
    save_model(folder / "stopped.safetensors", model, {{"length", "8"}, {"unfinished", "120 of 600 steps"}});
    CHECK_THROWS_WITH_AS(stored_text_model(folder / "stopped.safetensors", settings),
                         doctest::Contains("the training was stopped after 120 of 600 steps"), FileError);
}
