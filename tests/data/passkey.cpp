#include "fot/data/passkey.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace fot;

TEST_CASE("a prompt hides its key once, asks for it at the end and is nearly as long as asked") {
    Random random(1);
    for (const Index length : {shortest_passkey_prompt(), Index(300), Index(2000), Index(100000)}) {
        const PasskeyPrompt prompt = passkey_prompt(length, random);
        CHECK(static_cast<Index>(prompt.text.size()) <= length);
        CHECK(static_cast<Index>(prompt.text.size()) > length - 30);
        CHECK(prompt.text.ends_with("The pass key is"));
        const std::string hidden = " The pass key is" + prompt.answer + ". Remember it." + prompt.answer + " is the pass key.";
        CHECK(prompt.text.substr(static_cast<std::size_t>(prompt.key_at), static_cast<std::size_t>(prompt.key_size)) == hidden);
        CHECK(prompt.text.substr(static_cast<std::size_t>(prompt.again_at)).starts_with(prompt.answer + " is the pass key."));
        CHECK(prompt.text.find("Remember it. ") == prompt.text.rfind("Remember it. "));
    }
}

TEST_CASE("keys are numbers from 1 to 49999, places are all over the text") {
    Random random(2);
    std::set<std::string> keys;
    Index early = 0, late = 0;
    for (Index i = 0; i < 400; ++i) {
        const PasskeyPrompt prompt = passkey_prompt(2000, random);
        const int key = std::stoi(prompt.answer);
        CHECK(prompt.answer == " " + std::to_string(key));
        CHECK((key >= 1 && key <= 49999));
        keys.insert(prompt.answer);
        early += prompt.key_at < 700;
        late += prompt.key_at > 1300;
    }
    CHECK(keys.size() > 390);
    CHECK(early > 80);
    CHECK(late > 80);
}

TEST_CASE("every place between two sentences may have the key, the first and the last too") {
    Random random(5);
    const std::string question = " What is the pass key? The pass key is";
    Index first = 0, last = 0;
    std::set<Index> places;
    for (Index i = 0; i < 200; ++i) {
        const PasskeyPrompt prompt = passkey_prompt(shortest_passkey_prompt() + 100, random);
        places.insert(prompt.key_at);
        first += prompt.text[static_cast<std::size_t>(prompt.key_at) - 1] == '\n';  // of the line that sets the task
        last += prompt.text.substr(static_cast<std::size_t>(prompt.key_at + prompt.key_size)) == question;
    }
    CHECK(places.size() >= 6);
    CHECK(first > 10);
    CHECK(last > 10);
}

TEST_CASE("one seed gives one prompt") {
    Random a(3), b(3);
    CHECK(passkey_prompt(500, a).text == passkey_prompt(500, b).text);
}

TEST_CASE("a prompt that cannot hold the key is refused") {
    Random random(4);
    CHECK_THROWS_WITH_AS(passkey_prompt(100, random), doctest::Contains("passkey_prompt: 100 bytes, expected "), ConfigError);
}
