#include <doctest/doctest.h>

#include <sstream>

#include "../../examples/support/memory_experiment.hpp"
#include "fot/train/checkpoint.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::TemporaryFolder;

namespace {

TextSettings small_settings() {
    TextSettings settings;
    settings.steps = 2;
    settings.batch = 2;
    settings.length = 8;
    settings.width = 8;
    settings.layers = 2;
    settings.heads = 2;
    settings.contexts = 1;
    return settings;
}

const std::vector<Document> two_documents{{"first", "the first of two documents, long enough"},
                                          {"second", "the second one, long enough as well"}};

/// What a plan trains to in a folder, as a program started anew each time.
Transformer<float> trained(const TemporaryFolder& folder, const TrainingPlan& plan,
                           const std::vector<Document>& documents = two_documents) {
    std::vector<std::string> words{"build/some_example", "--output", folder.path()};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    std::ostringstream out;
    Example example(3, arguments.data(), "Does it train?", out);
    example.parse();
    return trained_text_model(example, small_settings(), plan, byte_documents(documents), 1);
}

bool same_weights(Transformer<float>& a, Transformer<float>& b) {
    const auto of_a = a.parameters(), of_b = b.parameters();
    for (std::size_t i = 0; i < of_a.size(); ++i)
        if (!std::equal(of_a[i].value, of_a[i].value + of_a[i].count, of_b[i].value)) return false;
    return true;
}

const LanguageModelRecipe standard{.name = "standard"};

}  // namespace

TEST_CASE("a trained text model is kept, and not trained again") {
    const TemporaryFolder folder;
    const TrainingPlan plan = plans_of({standard}, 2)[0];
    Transformer<float> first = trained(folder, plan);
    REQUIRE(std::filesystem::exists(folder / "standard_2steps_seed1.safetensors"));
    // Other text would end elsewhere: what comes back is what was kept.
    const std::vector<Document> others{{"third", "something else, of the same length"}, {"fourth", "and again something else"}};
    Transformer<float> again = trained(folder, plan, others);
    CHECK(same_weights(first, again));
}

TEST_CASE("a kept model of other settings is refused, not taken for this one") {
    const TemporaryFolder folder;
    LanguageModelRecipe recipe = standard;
    recipe.contrastive_weight = 0.5;
    trained(folder, plans_of({recipe}, 2)[0]);
    recipe.contrastive_weight = 0.25;
    CHECK_THROWS_WITH_AS(trained(folder, plans_of({recipe}, 2)[0]),
                         doctest::Contains("metadata 'training' is 'standard: standard, 2 steps, InfoNCE 0.5"), ConfigError);
}

TEST_CASE("a continuation depends on the steps of what it continues") {
    const TemporaryFolder folder;
    const LanguageModelRecipe xl{.name = "xl", .kind = LanguageModelKind::transformer_xl};
    Transformer<float> after_two = trained(folder, {"xl", {{standard, 2}, {xl, 1}}});
    Transformer<float> after_three = trained(folder, {"xl", {{standard, 3}, {xl, 1}}});
    CHECK_FALSE(same_weights(after_two, after_three));
    CHECK(std::filesystem::exists(folder / "standard_2steps_then_xl_1steps_seed1.safetensors"));
    CHECK(std::filesystem::exists(folder / "standard_3steps_then_xl_1steps_seed1.safetensors"));
}

TEST_CASE("a stored model is found again by its file alone") {
    const TemporaryFolder folder;
    Transformer<float> model = trained(folder, plans_of({standard}, 2)[0]);
    TextSettings settings;  // of another shape
    Transformer<float> stored = stored_text_model(folder / "standard_2steps_seed1.safetensors", settings);
    CHECK(same_weights(model, stored));
    CHECK(settings.width == 8);
    CHECK(settings.layers == 2);
}

TEST_CASE("a file that is no model of these programs is refused") {
    const TemporaryFolder folder;
    Random random(1);
    TextSettings settings = small_settings();
    Transformer<float> model = new_text_model(settings, random);
    save_weights(folder / "bare.safetensors", model.parameters());
    CHECK_THROWS_WITH_AS(stored_text_model(folder / "bare.safetensors", settings), doctest::Contains("does not say its width"),
                         FileError);
    Metadata wide = shape_of_model(settings, Integration::merged);
    wide["width"] = "8 or so";
    save_weights(folder / "wide.safetensors", model.parameters(), wide);
    CHECK_THROWS_WITH_AS(stored_text_model(folder / "wide.safetensors", settings),
                         doctest::Contains("its width is '8 or so', expected a number"), FileError);
}

TEST_CASE("a checkpoint is measured once, whatever the number of seeds") {
    TextSettings settings;
    settings.seeds = 3;
    MemorySettings memory;
    const std::vector<TrainingPlan> plans = plans_of({standard}, 2);
    CHECK(unless_checkpoint(memory, settings, plans)[0].name == "standard");
    CHECK(settings.seeds == 3);
    memory.checkpoint = "some.safetensors";
    CHECK(unless_checkpoint(memory, settings, plans)[0].name == "checkpoint");
    CHECK(settings.seeds == 1);
}
