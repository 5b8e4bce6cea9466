#include <doctest/doctest.h>

#include "../../examples/support/memory_experiment.hpp"
#include "example_in.hpp"
#include "fot/train/checkpoint.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::ExampleIn;
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
                           const std::vector<Document>& documents = two_documents, TextSettings settings = small_settings()) {
    ExampleIn in(folder);
    return trained_text_model(in.example, settings, plan, byte_documents(documents), 1);
}

/// A corpus of thirty short and thirty long documents, with a word of their own each.
std::string write_corpus(const TemporaryFolder& folder, const std::string& name, const std::string& word = "word") {
    for (int i = 0; i < 60; ++i) {
        std::string text;
        while (text.size() < (i % 2 == 0 ? 400 : 20000)) text += message(word, i, i % 7 == 0 ? "\n" : " ");
        folder.write(message(name, "/", i), text);
    }
    return (folder / name).string();
}

std::vector<std::string> names(const std::vector<Document>& documents) {
    std::vector<std::string> list;
    for (const Document& document : documents) list.push_back(document.name);
    std::ranges::sort(list);
    return list;
}

std::vector<std::string> common(const std::vector<Document>& a, const std::vector<Document>& b) {
    const std::vector<std::string> of_a = names(a), of_b = names(b);
    std::vector<std::string> list;
    std::ranges::set_intersection(of_a, of_b, std::back_inserter(list));
    return list;
}

/// How a program that splits shorter documents too trains on the long ones of a corpus; the file of the model.
std::string train_on_another_split(const TemporaryFolder& folder, const std::string& corpus, const std::string& from = {}) {
    TextSettings settings = small_settings();
    settings.corpus = corpus;
    settings.split_from = 300;
    trained(folder, {.name = "other", .phases = {{{.name = "other"}, 2}}, .from = from}, load_split(settings).train, settings);
    const std::string before = from.empty() ? "" : std::filesystem::path(from).stem().string() + "_then_";
    return (folder / message(before, "other_2steps_seed1.safetensors")).string();
}

bool same_weights(Transformer<float>& a, Transformer<float>& b) {
    const auto of_a = a.parameters(), of_b = b.parameters();
    for (std::size_t i = 0; i < of_a.size(); ++i)
        if (!std::ranges::equal(of_a[i].value(), of_b[i].value())) return false;
    return true;
}

const LanguageModelRecipe standard{.name = "standard"};

}  // namespace

TEST_CASE("a trained text model is kept, and not trained again") {
    const TemporaryFolder folder;
    const TrainingPlan plan = plans_of({standard}, 2)[0];
    Transformer<float> first = trained(folder, plan);
    REQUIRE(std::filesystem::exists(folder / "standard_2steps_seed1.safetensors"));
    const auto written = std::filesystem::last_write_time(folder / "standard_2steps_seed1.safetensors");
    Transformer<float> again = trained(folder, plan);
    CHECK(same_weights(first, again));
    CHECK(std::filesystem::last_write_time(folder / "standard_2steps_seed1.safetensors") == written);
}

TEST_CASE("a kept model of other text is refused: what it has seen might be measured") {
    const TemporaryFolder folder;
    const TrainingPlan plan = plans_of({standard}, 2)[0];
    trained(folder, plan);
    std::vector<Document> others = two_documents;
    others[1].text.back() = '!';
    CHECK_THROWS_WITH_AS(trained(folder, plan, others),
                         doctest::Contains(message("metadata 'text' is '", fingerprint(byte_documents(two_documents)),
                                                   "', expected '", fingerprint(byte_documents(others)))
                                               .c_str()),
                         ConfigError);
    TextSettings settings = small_settings();
    settings.split_from = 300;
    CHECK_THROWS_WITH_AS(trained(folder, plan, two_documents, settings),
                         doctest::Contains("metadata 'split_from' is '20000', expected '300'"), ConfigError);
    // Of two trainings each is tied to its own text.
    const TrainingPlan both{.name = "both", .phases = {{standard, 2}, {{.name = "again"}, 1}}};
    trained(folder, both);
    const std::vector<TokenDocument> documents = byte_documents(others);
    TrainingPlan again = both;
    again.phases[1].documents = &documents;
    CHECK_THROWS_WITH_AS(trained(folder, again), doctest::Contains("metadata 'text'"), ConfigError);
}

TEST_CASE("a model is measured on what it has not seen, whichever program has trained it") {
    const TemporaryFolder folder;
    TextSettings settings = small_settings();
    settings.corpus = write_corpus(folder, "text");
    MemorySettings memory{.checkpoint = train_on_another_split(folder, settings.corpus)};
    TextSettings of_training = settings;
    of_training.split_from = 300;
    const CorpusSplit seen = load_split(of_training);
    CHECK_FALSE(common(load_split(settings).test, seen.train).empty());  // what would go wrong
    const CorpusSplit measured = held_out(settings, memory, 0);
    CHECK(names(measured.test) == names(seen.test));
    CHECK(common(measured.test, seen.train).empty());
    for (const Document& document : measured.test) CHECK(document.text.size() >= 20000);
    memory.checkpoint.clear();
    CHECK(names(held_out(settings, memory, 0).test) == names(load_split(settings).test));
}

TEST_CASE("a model that was continued on another corpus has seen both") {
    const TemporaryFolder folder;
    const std::string first = write_corpus(folder, "first", "one"), second = write_corpus(folder, "second", "two");
    TextSettings settings = small_settings();
    settings.corpus = first;
    trained(folder, plans_of({standard}, 2)[0], load_split(settings).train, settings);
    const std::string before = (folder / "standard_2steps_seed1.safetensors").string(),
                      after = train_on_another_split(folder, second, before), last = train_on_another_split(folder, second, after);
    const std::vector<TrainedOn> seen = trained_on(last);
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].corpus == second);
    CHECK(seen[0].split_from == 300);
    CHECK(seen[1].corpus == second);
    CHECK(seen[2].corpus == first);
    CHECK(seen[2].split_from == 20000);
    CHECK(seen[2].text == fingerprint(byte_documents(load_split(settings).train)));
    CHECK(names(held_out(settings, {.checkpoint = last}, 0).test) == names(load_split(settings).test));
}

TEST_CASE("a model is not continued, nor measured, where some of what it has seen could be measured") {
    const TemporaryFolder folder;
    TextSettings settings = small_settings();
    settings.corpus = write_corpus(folder, "text");
    trained(folder, plans_of({standard}, 2)[0], load_split(settings).train, settings);
    const std::string file = (folder / "standard_2steps_seed1.safetensors").string();
    require_unseen(file, settings, split_corpus(settings));
    TextSettings other = settings;
    other.split_from = 300;
    CHECK_THROWS_WITH_AS(require_unseen(file, other, split_corpus(other)),
                         message(file, ": was trained on ", settings.corpus,
                                 " split from documents of 20000 bytes on, here it is split from those of 300 on: some of what it "
                                 "has seen would be measured. Take another --corpus, or a model of this program")
                             .c_str(),
                         ConfigError);
    const std::string of_program = train_on_another_split(folder, settings.corpus);
    require_unseen(of_program, other, split_corpus(other));
    write_corpus(folder, "text", "changed");
    for (const std::string& each : {file, of_program})
        CHECK_THROWS_WITH_AS(held_out(settings, {.checkpoint = each}, 0), doctest::Contains("was trained on other text than the"),
                             ConfigError);
}

TEST_CASE("a file that does not say how its corpus was split has the usual split") {
    const TemporaryFolder folder;
    Random random(1);
    TextSettings settings = small_settings();
    Transformer<float> model = new_text_model(settings, random);
    save_weights(folder / "old.safetensors", model.parameters(), {{"corpus", "boost"}});
    const std::vector<TrainedOn> seen = trained_on(folder / "old.safetensors");
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].corpus == "boost");
    CHECK(seen[0].split_from == shortest_document);
    CHECK(seen[0].text.empty());
    save_weights(folder / "odd.safetensors", model.parameters(), {{"corpus", "boost"}, {"split_from", "long"}});
    CHECK_THROWS_WITH_AS(trained_on(folder / "odd.safetensors"), doctest::Contains("its split_from is 'long', expected a number"),
                         FileError);
}

TEST_CASE("a split without long test documents is refused") {
    CorpusSplit split;
    split.test = {{"short", std::string(19999, 'x')}, {"long", std::string(20000, 'x')}};
    CHECK(names(without_short_documents(split).test) == std::vector<std::string>{"long"});
    split.test.pop_back();
    CHECK_THROWS_WITH_AS(without_short_documents(split), "none of the test documents has 20000 bytes or more", DataError);
}

TEST_CASE("a kept model of other settings is refused, not taken for this one") {
    const TemporaryFolder folder;
    LanguageModelRecipe recipe = standard;
    recipe.contrastive_weight = 0.5;
    trained(folder, plans_of({recipe}, 2)[0]);
    recipe.contrastive_weight = 0.25;
    CHECK_THROWS_WITH_AS(
        trained(folder, plans_of({recipe}, 2)[0]),
        doctest::Contains("metadata 'training' is 'standard: standard, 2 steps, 1 positives, contexts 1, InfoNCE 0.5"),
        ConfigError);
}

TEST_CASE("a continuation depends on the steps of what it continues") {
    const TemporaryFolder folder;
    const LanguageModelRecipe xl{.name = "xl", .kind = LanguageModelKind::transformer_xl};
    Transformer<float> after_two = trained(folder, {.name = "xl", .phases = {{standard, 2}, {xl, 1}}});
    Transformer<float> after_three = trained(folder, {.name = "xl", .phases = {{standard, 3}, {xl, 1}}});
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

TEST_CASE("a stored model with queries and keys of any length is read as such") {
    const TemporaryFolder folder;
    TextSettings unnormalized = small_settings(), settings;
    unnormalized.unnormalized_heads = true;
    Transformer<float> model = trained(folder, plans_of({standard}, 2)[0], two_documents, unnormalized);
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
    CHECK_THROWS_WITH_AS(stored_text_model(folder / "bare.safetensors", settings), doctest::Contains("does not say its width"),
                         FileError);
    Metadata wide = shape_of_model(settings, Integration::merged);
    wide["width"] = "8 or so";
    save_weights(folder / "wide.safetensors", model.parameters(), wide);
    CHECK_THROWS_WITH_AS(stored_text_model(folder / "wide.safetensors", settings),
                         doctest::Contains("its width is '8 or so', expected a number"), FileError);
}

TEST_CASE("another schedule of contexts is another training") {
    const TemporaryFolder folder;
    LanguageModelRecipe recipe{.name = "crossbatch", .kind = LanguageModelKind::crossbatch};
    trained(folder, plans_of({recipe}, 2)[0]);
    recipe.contexts = ContextSchedule::at_steps({{0, 1}, {1, 2}});
    CHECK_THROWS_WITH_AS(trained(folder, plans_of({recipe}, 2)[0]), doctest::Contains("contexts 1'"), ConfigError);
}

TEST_CASE("under one schedule a second phase goes on where the first stopped; otherwise it begins anew") {
    const TemporaryFolder folder;
    const std::vector<TrainingPlan::Phase> phases{{standard, 2}, {{.name = "again"}, 2}};
    Transformer<float> apart = trained(folder, {.name = "apart", .phases = phases});
    Transformer<float> together = trained(folder, {.name = "together", .phases = phases, .one_schedule = true});
    CHECK_FALSE(same_weights(apart, together));
    CHECK(std::filesystem::exists(folder / "standard_2steps_of_4_then_again_2steps_of_4_seed1.safetensors"));
}

TEST_CASE("a phase may have documents of its own, and a plan may begin with a kept model") {
    const TemporaryFolder folder;
    const std::vector<TokenDocument> others = byte_documents(std::vector<Document>{
        {"third", "something else, of about the same length"}, {"fourth", "and again something else, about as long"}});
    Transformer<float> usual = trained(folder, {.name = "a", .phases = {{{.name = "a"}, 2}}});
    Transformer<float> other = trained(folder, {.name = "b", .phases = {{{.name = "b"}, 2, &others}}});
    CHECK_FALSE(same_weights(usual, other));
    const std::string file = (folder / "a_2steps_seed1.safetensors").string();
    Transformer<float> kept = trained(folder, {.name = "kept", .phases = {}, .from = file});
    CHECK(same_weights(usual, kept));
    Transformer<float> continued = trained(folder, {.name = "more", .phases = {{standard, 1}}, .from = file});
    CHECK_FALSE(same_weights(usual, continued));
    CHECK(std::filesystem::exists(folder / "a_2steps_seed1_then_standard_1steps_seed1.safetensors"));
}

TEST_CASE("--only takes plans by name, in their order") {
    TextSettings settings;
    settings.seeds = 1;
    MemorySettings memory;
    std::vector<TrainingPlan> plans(3);
    plans[0].name = "a";
    plans[1].name = "b";
    plans[2].name = "c";
    memory.only = {"c", "a"};
    const std::vector<TrainingPlan> chosen = chosen_plans(memory, settings, plans);
    REQUIRE(chosen.size() == 2);
    CHECK(chosen[0].name == "a");
    CHECK(chosen[1].name == "c");
    memory.only = {"d"};
    CHECK_THROWS_WITH_AS(chosen_plans(memory, settings, plans), "--only d: expected one of a b c", ConfigError);
    plans[2].name = "a";
    settings.contexts = 1;
    CHECK_THROWS_WITH_AS(chosen_plans(memory, settings, plans), "--contexts 1 makes two models called a: expected another number",
                         ConfigError);
}

TEST_CASE("what no document is long enough for is refused before anything is trained") {
    const std::vector<TokenDocument> documents{{.source = "", .tokens = std::vector<std::int32_t>(20)},
                                               {.source = "", .tokens = std::vector<std::int32_t>(25)}};
    MemoryCurveOptions options{.conditions = {}, .window = 8, .scored_windows = 2, .score_from = 16};
    require_measurable("text", documents, options);
    options.score_from = 17;
    CHECK_THROWS_WITH_AS(require_measurable("text", documents, options),
                         "text: the longest of 2 documents to be measured has 25 bytes, expected a whole window of 8 and one byte "
                         "more from byte 17 on (a larger --longest, or a smaller --length)",
                         DataError);
    const TemporaryFolder folder;
    ExampleIn in(folder);
    TextSettings settings = small_settings();
    settings.seeds = 1;
    CorpusSplit split;
    split.train = split.test = two_documents;
    options.score_from = 64;
    CHECK_THROWS_WITH_AS(train_and_measure(in.example, settings, {}, plans_of({standard}, 2), split, {}, options),
                         doctest::Contains("a smaller --largest or --length)"), DataError);
    CHECK(folder.entries() == 0);
}

TEST_CASE("a checkpoint is measured once, whatever the number of seeds, and on all documents of another corpus") {
    const TemporaryFolder folder;
    trained(folder, plans_of({standard}, 2)[0]);
    TextSettings settings;
    settings.seeds = 3;
    MemorySettings memory;
    const std::vector<TrainingPlan> plans = plans_of({standard}, 2);
    CHECK(chosen_plans(memory, settings, plans)[0].name == "standard");
    CHECK(settings.seeds == 3);
    memory.checkpoint = (folder / "standard_2steps_seed1.safetensors").string();
    CHECK(chosen_plans(memory, settings, plans)[0].name == "checkpoint");
    CHECK(settings.seeds == 1);
    CHECK(settings.length == 8);  // its own

    for (const char* name : {"a", "b", "c", "d"})
        folder.write(message("text/", name), message("document ", name, " of 26 bytes. "));
    folder.write("text/short", "16 bytes of text");
    settings.corpus = (folder / "text").string();
    CHECK(held_out(settings, memory, 0).test.size() == 4);
    const CorpusSplit split = held_out(settings, memory, 30);
    CHECK(split.train.empty());
    CHECK(split.validation.size() == 2);
    CHECK(split.test.size() == 2);
    memory.largest = 30;
    CHECK(documents_before(split, memory).size() == 2);
    CHECK_THROWS_WITH_AS(held_out(settings, memory, 1000),
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

TEST_CASE("memory sizes are four times as large each, and end with the largest") {
    CHECK(memory_ladder(2, 33) == std::vector<Index>{2, 8, 32, 33});
    CHECK(memory_ladder(2, 32) == std::vector<Index>{2, 8, 32});
    CHECK(memory_ladder(2, 2) == std::vector<Index>{2});
    constexpr Index most = std::numeric_limits<Index>::max();
    CHECK(memory_ladder(most / 2, most) == std::vector<Index>{most / 2, most});
    CHECK_THROWS_WITH_AS(memory_ladder(4, 2), "memory sizes from 4 to 2: expected 1 or more, in rising order", ConfigError);
    CHECK(memory_sizes({.smallest = 2, .largest = 8}) == std::vector<Index>{0, 2, 8});
}

TEST_CASE("the own share of a memory") {
    // A document of 9 tokens has windows 0 and 1 of 4; with memory 4 the second sees its own 4, the first nothing of its own.
    const std::vector<TokenDocument> documents{{.source = "", .tokens = std::vector<std::int32_t>(9)}};
    const MemoryCurveOptions options{.conditions = {}, .window = 4, .scored_windows = 2};
    CHECK(own_share(documents, options, 4) == 0.5);
    CHECK(own_share(documents, options, 8) == 0.25);
}

TEST_CASE("differences are reported once a pair, with those of each seed in a file") {
    const auto meter = [](double nats) {
        PerplexityMeter of_document;
        for (const Index document : {0, 1}) of_document.add(document, nats, 10);  // alike: an interval of no width
        return of_document;
    };
    const ConditionOf own = reading(MemoryScope::single_document, 2);
    MemoryCurves curves;
    for (const double seed : {0.0, 1.0}) {
        curves.add("a", {{own(0), meter(3 + seed)}, {own(4), meter(1)}});
        curves.add("b", {{own(0), meter(3)}, {own(4), meter(2)}});
    }
    const TemporaryFolder folder;
    std::string words[] = {"build/some_example", "--output", folder.path()};
    char* arguments[] = {words[0].data(), words[1].data(), words[2].data()};
    std::ostringstream out;
    Example example(3, arguments, "What is the difference?", out);
    example.parse();
    TextSettings settings;
    settings.seeds = 2;
    compare_models(example, settings, curves, {0, 4},
                   {{"a", own, "b", own}, {"a", own, "b", own}, {"a", own, "a", own}, {"a", own, "b", without_memory(own)}});
    report_changes(example, settings, curves, {{.name = "a", .phases = {}}}, own, 0, 4);
    example.report().finish();
    const double bit = 1 / (10 * std::log(2.0));
    CHECK(out.str().find(message("result difference.a-b.0 ", fixed(0.5 * bit, 5), " 0.00000 ", fixed(bit, 5))) !=
          std::string::npos);
    CHECK(out.str().find(message("result difference.a-b.4 ", fixed(-bit, 5))) != std::string::npos);
    CHECK(out.str().find(message("result difference.a-b_bare.4 ", fixed(-2 * bit, 5))) != std::string::npos);
    CHECK(out.str().find(message("result change.a.0-4 ", fixed(-2.5 * bit, 5))) != std::string::npos);
    CHECK(out.str().find("difference.a-a") == std::string::npos);
    CHECK(std::filesystem::exists(folder / "differences.csv"));
}

TEST_CASE("any text is part of a file name") { CHECK(file_name_of("/usr/include:*.h") == "_usr_include__.h"); }
