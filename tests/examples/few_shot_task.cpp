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
    const FewShotEpisode episode = task.episode({50}, random);
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
    const FewShotEpisode a = episode({5}, random), b = episode({5}, random), again = episode({5}, same);
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
    CHECK_THROWS_WITH_AS(episode({0}, random), "few-shot episode: 0 classes, expected 1 ... 256", ConfigError);
    CHECK_THROWS_WITH_AS(episode({257}, random), "few-shot episode: 257 classes, expected 1 ... 256", ConfigError);
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
    const FewShotEpisode all = task.episode({5, 10}, random);
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

    CHECK_THROWS_WITH_AS(task.episode({6}, random), "few-shot episode: 6 classes, but there are only 5 documents to take them from",
                         ConfigError);
    CHECK_THROWS_AS(words_of_documents({{"a", "one two 12"}, {"b", "four"}}), DataError);
    using Words = std::vector<std::string>;
    const DocumentWords alike({{"a", "word alone"},
                               {"b", "word"},
                               {"c", "cccc"},
                               {"d", "dddd"},
                               {"e", "eeee"},
                               {"f", "ffff"},
                               {"g", "gggg"},
                               {"h", "hhhh"}});
    for (Index i = 0; i < 20; ++i) CHECK(alike.draw({0, 1}, 0, 1, random) == Words{"alone"});  // "word" is in the other one, too
    CHECK_THROWS_WITH_AS(alike.draw({0, 1}, 1, 1, random), "few-shot episode: b has hardly a word that 1 other documents have not",
                         DataError);
    CHECK(alike.draw({1, 2}, 0, 5, random) == Words{"word"});
}

TEST_CASE("a cipher writes the words of an episode with other letters, each letter with one of its own") {
    const std::vector<Document> documents{{"a", "alphabet_one"}, {"b", "beta"}};
    const FewShotTask task = words_of_documents(documents, Spelling::ciphered);
    Random random(5);
    std::set<std::string> spellings;
    for (Index i = 0; i < 20; ++i) {
        const FewShotEpisode episode = task.episode({2}, random);
        std::set<std::string> drawn;
        for (Index j = 0; j < 50; ++j) drawn.insert(episode.draw(random).input);
        REQUIRE(drawn.size() == 2);  // the same cipher for all words of the episode
        const std::string &first = *drawn.begin(), &last = *drawn.rbegin(), &alphabet = first.size() == 8 ? first : last,
                          &beta = first.size() == 8 ? last : first;
        REQUIRE(alphabet.size() == 8);
        REQUIRE(beta.size() == 4);
        CHECK(alphabet.substr(5) + alphabet[0] == beta);
        CHECK(alphabet[4] == alphabet[0]);
        spellings.insert(beta);
    }
    CHECK(spellings.size() > 15);
}

TEST_CASE("an episode has no more words of a class than it should") {
    const FewShotTask task = words_of_documents({{"a", "aaaa bbbb cccc dddd eeee ffff"}, {"b", "beta"}});
    Random random(6);
    for (const Index words : {1, 3, 6, 20}) {
        const FewShotEpisode episode = task.episode({2, words}, random);
        std::set<std::string> of_a;
        for (Index i = 0; i < 200; ++i) of_a.insert(episode.draw_input(0, random));
        for (Index i = 0; i < 200; ++i) of_a.insert(episode.draw_input(1, random));
        CHECK(length_of(of_a) == std::min<Index>(words, 6) + 1);
    }
}

TEST_CASE("of demonstrations a label counts in the loss once its sign was shown, the cut first demonstration not included") {
    Index next = 0;
    const std::vector<std::string> inputs{"cccc", "aaaa", "bbbb", "aaaa", "cccc", "bbbb"};
    const FewShotEpisode episode{{"XY"}, [&](Index, Random&) { return element(inputs, next++ % 6); }};
    Random random(7);
    const TokenDocument document = demonstrations(episode, 36, random);
    REQUIRE(document.tokens.size() == 36);
    REQUIRE(document.loss_mask.size() == 36);
    std::string text(document.tokens.begin(), document.tokens.end()), counted;
    for (std::size_t i = 0; i < 36; ++i) counted += document.loss_mask[i] == 1.0f ? text[i] : '-';
    const std::size_t left = text.find('\n') + 1;  // bytes of the first
    CHECK(text ==
          std::string("ccccXY\n").substr(7 - left) + std::string("aaaaXY\nbbbbXY\naaaaXY\nccccXY\nbbbbXY\n").substr(0, 36 - left));
    CHECK(counted == std::string(left, '-') + std::string("------------------XY------------XY-").substr(0, 36 - left));
}

TEST_CASE("a stage is never easier than the one before, and the last is the whole episode") {
    const auto list = [](const EpisodeSize& last) {
        std::vector<std::pair<Index, Index>> sizes;
        for (const auto& [classes, words] : episodes_of_stages(last)) sizes.emplace_back(classes, words);
        return sizes;
    };
    using Sizes = std::vector<std::pair<Index, Index>>;
    CHECK(list({50}) == Sizes{{3, 1}, {6, 1}, {12, 1}, {25, 1}, {50, 1}});
    CHECK(list({8, 8}) == Sizes{{3, 1}, {6, 1}, {8, 2}, {8, 4}, {8, 8}});
    for (Index classes = 1; classes <= 256; ++classes)
        for (const Index words : {1, 2, 3, 8, 100}) {
            const Sizes stages = list({classes, words});
            CHECK(stages.size() == 5);
            for (std::size_t i = 1; i < stages.size(); ++i) {
                CHECK(stages[i].first >= stages[i - 1].first);
                CHECK(stages[i].second >= stages[i - 1].second);
            }
            CHECK(stages.back() == std::pair{classes, words});
        }
}
