#include "../../examples/support/held_out_text.hpp"

#include <doctest/doctest.h>

#include "../../examples/support/memory_options.hpp"
#include "small_text.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using namespace fot::testing;

namespace {

std::vector<std::string> common(const std::vector<Document>& a, const std::vector<Document>& b) {
    const std::vector<std::string> of_a = names(a), of_b = names(b);
    std::vector<std::string> list;
    std::ranges::set_intersection(of_a, of_b, std::back_inserter(list));
    return list;
}

}  // namespace

TEST_CASE("a model is measured on what it has not seen, whichever program has trained it") {
    const TemporaryFolder folder;
    TextSettings settings = small_settings();
    settings.corpus = write_corpus(folder, "text");
    MemorySettings memory{.checkpoint = train_on_another_split(folder, settings.corpus)};
    TextSettings of_training = settings;
    of_training.split_from = 300;
    const CorpusSplit seen = load_split(of_training);
    CHECK_FALSE(common(load_split(settings).test, seen.train).empty());  // what would go wrong
    const CorpusSplit measured = split_of(settings, memory, 0);
    CHECK(names(measured.test) == names(seen.test));
    CHECK(common(measured.test, seen.train).empty());
    for (const Document& document : measured.test) CHECK(document.text.size() >= 20000);
    TextSettings spelled_otherwise = settings;
    spelled_otherwise.corpus += "/";
    CHECK(names(split_of(spelled_otherwise, memory, 0).test) == names(seen.test));
    memory.checkpoint.clear();
    CHECK(names(split_of(settings, memory, 0).test) == names(load_split(settings).test));
}

TEST_CASE("a model that was continued on another corpus has seen both") {
    const TemporaryFolder folder;
    const std::string first = write_corpus(folder, "first", "one"), second = write_corpus(folder, "second", "two");
    TextSettings settings = small_settings();
    settings.corpus = first;
    trained(folder, standard, load_split(settings).train, settings);
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
    CHECK(names(split_of(settings, {.checkpoint = last}, 0).test) == names(load_split(settings).test));
}

TEST_CASE("a model is not continued, nor measured, where some of what it has seen could be measured") {
    const TemporaryFolder folder;
    TextSettings settings = small_settings();
    settings.corpus = write_corpus(folder, "text");
    trained(folder, standard, load_split(settings).train, settings);
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
        CHECK_THROWS_WITH_AS(split_of(settings, {.checkpoint = each}, 0), doctest::Contains("was trained on other text than the"),
                             ConfigError);
}

TEST_CASE("what a model was trained on is not measured under another name of its corpus") {
    const TemporaryFolder folder;
    TextSettings settings = small_settings();
    settings.corpus = write_corpus(folder, "texts/all");
    trained(folder, standard, load_split(settings).train, settings);
    const std::string file = (folder / "standard_2steps_seed1.safetensors").string();
    TextSettings around = settings;
    around.corpus = (folder / "texts").string() + ":all/*";
    CHECK_THROWS_WITH_AS(split_of(around, {.checkpoint = file}, 0),
                         doctest::Contains("which would be measured here: name the corpus"), DataError);
    CHECK_THROWS_AS(require_unseen(file, around, split_corpus({.corpus = around.corpus, .split_from = 300})), DataError);
    around.corpus = write_corpus(folder, "others", "another");
    CHECK_FALSE(split_of(around, {.checkpoint = file}, 0).test.empty());
}

TEST_CASE("a named corpus and its folder are the same text") {
    CHECK(same_folder("boost", "/usr/include/boost:**/*.hpp"));
    CHECK(same_folder("boost", "boost"));
    CHECK_FALSE(same_folder("boost", "/usr/include"));
    CHECK_FALSE(same_folder("boost", "libstdcxx"));
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

TEST_CASE("a fingerprint is FNV-1a of names, tokens and their lengths") {
    CHECK(fingerprint({}) == "cbf29ce484222325");
    CHECK(fingerprint({{"a", {}}}) == "29099ddd133b47cd");
    CHECK(fingerprint({{"ab", {1, 258}}}) == "8ca29ec854bbab42");
}

TEST_CASE("other names, tokens, orders and borders have other fingerprints") {
    const std::vector<TokenDocument> documents{{"ab", {1, 2}}, {"c", {3}}};
    CHECK(fingerprint(documents) == fingerprint({{"ab", {1, 2}, {0.5f, 1}}, {"c", {3}}}));
    const std::vector<TokenDocument> others[] = {{{"ab", {1, 2}}, {"d", {3}}}, {{"ab", {1, 4}}, {"c", {3}}},
                                                 {{"c", {3}}, {"ab", {1, 2}}}, {{"ab", {1}}, {"c", {2, 3}}},
                                                 {{"a", {1, 2}}, {"bc", {3}}}, {{"ab", {1, 2}}}};
    for (const std::vector<TokenDocument>& other : others) CHECK(fingerprint(other) != fingerprint(documents));
}
