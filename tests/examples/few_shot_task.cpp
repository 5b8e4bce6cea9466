#include "../../examples/support/few_shot_task.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;

TEST_CASE("words: the ending tells the class, the first letter says nothing, labels differ") {
    Random random(1);
    const FewShotEpisode episode = word_episode(50, random);
    CHECK(std::set<std::string>(episode.labels.begin(), episode.labels.end()).size() == 50);
    std::map<std::string, std::string> label_of;
    std::set<char> first;
    for (Index i = 0; i < 2000; ++i) {
        const Demonstration drawn = episode.draw(random);
        REQUIRE(drawn.input.size() == 4);
        CHECK(drawn.label == episode.labels[static_cast<std::size_t>(drawn.kind)]);
        CHECK(drawn.text() == drawn.input + drawn.label + "\n");
        CHECK(label_of.emplace(drawn.input.substr(1), drawn.label).first->second == drawn.label);
        first.insert(drawn.input[0]);
    }
    CHECK(label_of.size() == 50);
    CHECK(first.size() == 26);
}

TEST_CASE("every episode has classes and labels of its own, one seed has one episode") {
    Random random(2), same(2);
    const FewShotEpisode a = word_episode(5, random), b = word_episode(5, random), again = word_episode(5, same);
    CHECK(a.labels != b.labels);
    CHECK(a.labels == again.labels);
    CHECK_THROWS_WITH_AS(word_episode(0, random), "word_episode: 0 classes, expected 1 ... 256", ConfigError);
    CHECK_THROWS_WITH_AS(word_episode(257, random), "word_episode: 257 classes, expected 1 ... 256", ConfigError);
}

TEST_CASE("glosses are read by class, without examples of use") {
    const testing::TemporaryFolder folder;
    folder.write("data.noun",
                 "  1 a licence\n00001740 05 n 01 cat 0 000 | a small animal; \"the cat sat\"  \n00001930 13 n 01 bread 0 000 | "
                 "baked dough  \n");
    folder.write("data.verb", "00002000 38 v 01 run 0 000 | move fast; \"run!\"\n");
    const auto glosses = read_glosses(folder.path());
    CHECK(glosses[5] == std::vector<std::string>{"a small animal"});
    CHECK(glosses[13] == std::vector<std::string>{"baked dough"});
    CHECK(glosses[38] == std::vector<std::string>{"move fast"});

    Random random(3);
    const FewShotEpisode episode = gloss_episode(glosses, 2, 11, random);
    std::set<std::string> inputs;
    for (Index i = 0; i < 50; ++i) inputs.insert(episode.draw(random).input);
    CHECK(inputs == std::set<std::string>{"baked dough ", "move fast "});
    CHECK_THROWS_WITH_AS(gloss_episode(glosses, 3, 11, random),
                         "gloss_episode: 2 classes have a gloss of at most 11 bytes, expected 3", DataError);
    CHECK_THROWS_AS(gloss_episode(glosses, 0, 11, random), ConfigError);
}

TEST_CASE("a file that is not WordNet's is refused by name and line") {
    const testing::TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(read_glosses(folder.path()), doctest::Contains("data.noun"), FileError);
    for (const char* line : {"no gloss here", "00001740 99 n 01 cat 0 000 | beyond the last class", "00001740 x | no number",
                             "00001740 | 5", " | ", "| a"}) {
        CAPTURE(line);
        folder.write("data.noun", std::string("  licence\n") + (line[0] == ' ' ? "x" : "") + line + "\n");
        folder.write("data.verb", "");
        CHECK_THROWS_WITH_AS(read_glosses(folder.path()), doctest::Contains("data.noun', line 2: expected an entry of WordNet"),
                             FileError);
    }
}
