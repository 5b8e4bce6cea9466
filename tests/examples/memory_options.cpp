#include "../../examples/support/memory_options.hpp"

#include <doctest/doctest.h>

#include "small_text.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using namespace fot::testing;

TEST_CASE("--only takes plans by name, in their order") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    TextSettings settings;
    MemorySettings memory;
    std::vector<LanguageModelRecipe> plans(3);
    plans[0].name = "a";
    plans[1].name = "b";
    plans[2].name = "c";
    memory.only = {"c", "a"};
    const std::vector<LanguageModelRecipe> chosen = chosen_plans(in.example, memory, settings, plans);
    REQUIRE(chosen.size() == 2);
    CHECK(chosen[0].name == "a");
    CHECK(chosen[1].name == "c");
    memory.only = {"d"};
    CHECK_THROWS_WITH_AS(chosen_plans(in.example, memory, settings, plans), "--only d: expected one of a b c", ConfigError);
    plans[2].name = "a";
    settings.contexts = 1;
    CHECK_THROWS_WITH_AS(chosen_plans(in.example, memory, settings, plans),
                         "--contexts 1 makes two models called a: expected another number", ConfigError);
}

TEST_CASE("what no document is long enough for is refused") {
    const std::vector<TokenDocument> documents{{.source = "", .tokens = std::vector<std::int32_t>(20)},
                                               {.source = "", .tokens = std::vector<std::int32_t>(25)}};
    MemoryCurveOptions options{.conditions = {}, .window = 8, .scored_windows = 2, .score_from = 16};
    require_measurable("text", documents, options);
    options.score_from = 17;
    CHECK_THROWS_WITH_AS(require_measurable("text", documents, options),
                         "text: the longest of 2 documents to be measured has 25 bytes, expected a whole window of 8 and one byte "
                         "more from byte 17 on (a larger --longest, or a smaller --largest or --length)",
                         DataError);
}

TEST_CASE("a checkpoint is measured once, without options of training, and on all documents of another corpus") {
    const TemporaryFolder folder;
    trained(folder, standard);
    TextSettings settings;
    MemorySettings memory;
    ExampleIn in(folder, "3");
    const std::vector<LanguageModelRecipe> plans{standard};
    CHECK(chosen_plans(in.example, memory, settings, plans)[0].name == "standard");
    CHECK(in.example.seeds().size() == 3);
    memory.checkpoint = (folder / "standard_2steps_seed1.safetensors").string();
    CHECK_THROWS_WITH_AS(chosen_plans(in.example, memory, settings, plans), "--seeds has no effect: --checkpoint names one model",
                         ConfigError);
    ExampleIn one(folder);
    CHECK(chosen_plans(one.example, memory, settings, plans)[0].name == "checkpoint");
    CHECK(one.example.seeds().size() == 1);
    CHECK(settings.length == 8);  // its own

    for (const char* name : {"a", "b", "c", "d"})
        folder.write(message("text/", name), message("document ", name, " of 26 bytes. "));
    folder.write("text/short", "16 bytes of text");
    settings.corpus = (folder / "text").string();
    CHECK(split_of(settings, memory, 0).test.size() == 4);
    const CorpusSplit split = split_of(settings, memory, 30);
    CHECK(split.train.empty());
    CHECK(split.validation.size() == 2);
    CHECK(split.test.size() == 2);
    memory.largest = 30;
    CHECK(documents_before(split, memory).size() == 2);
    CHECK_THROWS_WITH_AS(split_of(settings, memory, 1000),
                         doctest::Contains("5 documents, of which 4 have 17 bytes or more and 4 fill the memory of 1000 tokens"),
                         DataError);
}

TEST_CASE("what fills the memory first are the last validation documents, and there must be enough of them") {
    CorpusSplit split;
    for (const char* name : {"one", "two", "three"}) split.validation.push_back({name, std::string(10, 'x')});
    MemorySettings memory{.largest = 15};
    CHECK(documents_before(split, memory).size() == 2);
    memory.largest = 31;
    CHECK_THROWS_WITH_AS(documents_before(split, memory),
                         doctest::Contains("the validation documents have 30 tokens, expected the largest memory, 31"), DataError);
    split.test = split.validation;
    memory.documents = 2;
    memory.longest = 4;
    CHECK(measured_documents(split, memory).size() == 2);
    CHECK(measured_documents(split, memory)[1].length() == 4);
}

TEST_CASE("memory sizes begin with none") { CHECK(memory_sizes({.smallest = 2, .largest = 8}) == std::vector<Index>{0, 2, 8}); }
