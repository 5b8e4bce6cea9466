#include "../../examples/support/few_shot_task.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

using namespace fot;
using namespace fot::examples;

TEST_CASE("words: the ending tells the class, the first letter says nothing, labels differ") {
    Random random(1);
    const FewShotEpisode episode = few_shot_episode(50, random);
    CHECK(std::set<std::string>(episode.labels.begin(), episode.labels.end()).size() == 50);
    std::map<std::string, std::string> label_of;
    std::set<char> first;
    for (Index i = 0; i < 2000; ++i) {
        const Demonstration drawn = episode.draw(random);
        REQUIRE(drawn.input.size() == 4);
        CHECK(length_of(drawn.text()) == demonstration_bytes);
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
    const FewShotEpisode a = few_shot_episode(5, random), b = few_shot_episode(5, random), again = few_shot_episode(5, same);
    CHECK(a.labels != b.labels);
    CHECK(a.labels == again.labels);
    CHECK_THROWS_WITH_AS(few_shot_episode(0, random), "few_shot_episode: 0 classes, expected 1 ... 256", ConfigError);
    CHECK_THROWS_WITH_AS(few_shot_episode(257, random), "few_shot_episode: 257 classes, expected 1 ... 256", ConfigError);
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
