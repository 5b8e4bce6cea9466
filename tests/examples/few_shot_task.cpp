#include "../../examples/support/few_shot_task.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

using namespace fot;
using namespace fot::examples;

TEST_CASE("words: the ending tells the class, the first letter says nothing, labels differ") {
    Random random(1);
    const FewShotTask task = made_up_words();
    const FewShotEpisode episode = task.episode(50, random);
    CHECK(std::set<std::string>(episode.labels.begin(), episode.labels.end()).size() == 50);
    std::map<std::string, std::string> label_of;
    std::map<char, std::set<std::string>> classes_of_first;
    for (Index i = 0; i < 2000; ++i) {
        const Demonstration drawn = episode.draw(random);
        REQUIRE(drawn.input.size() == 4);
        CHECK(length_of(drawn.text()) == task.most_bytes);
        CHECK(drawn.sign == drawn.input.substr(1));
        CHECK(std::ranges::count(episode.labels, drawn.label) == 1);
        CHECK(drawn.text() == drawn.input + drawn.label + "\n");
        CHECK(label_of.emplace(drawn.input.substr(1), drawn.label).first->second == drawn.label);
        classes_of_first[drawn.input[0]].insert(drawn.label);
    }
    CHECK(label_of.size() == 50);
    CHECK(classes_of_first.size() == 26);
    for (const auto& [first, labels] : classes_of_first) CHECK(labels.size() > 30);  // of 50, in some 77 draws
}

TEST_CASE("every episode has labels and inputs of its own, one seed has one episode") {
    Random random(2), same(2);
    const auto episode = made_up_words().episode;
    const FewShotEpisode a = episode(5, random), b = episode(5, random), again = episode(5, same);
    CHECK(a.labels != b.labels);
    CHECK(a.labels == again.labels);
    const auto inputs = [](const FewShotEpisode& of) {
        std::set<std::string> list;
        Random drawing(4);
        for (Index i = 0; i < 200; ++i) list.insert(of.draw(drawing).sign);
        return list;
    };
    CHECK(inputs(a) == inputs(again));
    CHECK(inputs(a) != inputs(b));
    CHECK_THROWS_WITH_AS(episode(0, random), "few-shot episode: 0 classes, expected 1 ... 256", ConfigError);
    CHECK_THROWS_WITH_AS(episode(257, random), "few-shot episode: 257 classes, expected 1 ... 256", ConfigError);
}

TEST_CASE("words of documents: each is a word of its class's document and of no other, common words and short ones are not drawn") {
    const std::vector<Document> documents{{"a", "the_ALPHA(alpha) cat; alphabet2 common shared"},
                                          {"b", "beta beta gamma common shared"},
                                          {"c", "delta_one common"},
                                          {"d", "epsilon common"},
                                          {"e", "zeta common"}};
    Random random(3);
    const FewShotTask task = words_of_documents(documents);
    std::map<std::string, std::string> label_of;
    const FewShotEpisode all = task.episode(5, random);
    for (Index i = 0; i < 500; ++i) {
        const Demonstration drawn = all.draw(random);
        CHECK(length_of(drawn.text()) <= task.most_bytes);
        CHECK(drawn.sign == drawn.input);
        CHECK(label_of.emplace(drawn.input, drawn.label).first->second == drawn.label);
    }
    std::map<std::string, std::set<std::string>> words_of;
    for (const auto& [word, label] : label_of) words_of[label].insert(word);
    std::set<std::set<std::string>> classes;
    for (const auto& [label, words] : words_of) classes.insert(words);
    CHECK(classes == std::set<std::set<std::string>>{
                         {"the_alph", "alpha", "alphabet"}, {"beta", "gamma"}, {"delta_on"}, {"epsilon"}, {"zeta"}});

    CHECK_THROWS_WITH_AS(task.episode(6, random), "few-shot episode: 6 classes, expected at most the 5 documents", ConfigError);
    CHECK_THROWS_AS(words_of_documents({{"a", "one two 12"}, {"b", "four"}}), DataError);
    const DocumentWords alike({{"a", "word alone"},
                               {"b", "word"},
                               {"c", "cccc"},
                               {"d", "dddd"},
                               {"e", "eeee"},
                               {"f", "ffff"},
                               {"g", "gggg"},
                               {"h", "hhhh"}});
    for (Index i = 0; i < 20; ++i) CHECK(alike.draw({0, 1}, 0, random) == "alone");  // "word" is in the other one, too
    CHECK_THROWS_WITH_AS(alike.draw({0, 1}, 1, random), "few-shot episode: a document has hardly a word that others have not",
                         DataError);
    CHECK(alike.draw({1, 2}, 0, random) == "word");
}

TEST_CASE("a stage never has fewer classes than the one before, and the last has all") {
    CHECK(classes_of_stages(50) == std::vector<Index>{3, 6, 12, 25, 50});
    CHECK(classes_of_stages(5) == std::vector<Index>{3, 5, 5, 5, 5});
    for (Index classes = 1; classes <= 256; ++classes) {
        const std::vector<Index> stages = classes_of_stages(classes);
        CHECK(stages.size() == 5);
        CHECK(std::is_sorted(stages.begin(), stages.end()));
        CHECK(stages.back() == classes);
    }
}
