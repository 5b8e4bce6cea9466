#include "../../examples/support/memory_page.hpp"

#include <doctest/doctest.h>

using namespace fot;
using namespace fot::examples;

namespace {

/// The data between the tags that hold them.
nlohmann::json data_of(const std::string& page) {
    const std::size_t tag = page.find("id=\"data\">"), first = page.find('>', tag) + 1;
    return nlohmann::json::parse(page.substr(first, page.find("</script>", tag) - first));
}

/// Documents "a" and "b" of 50 bytes each; the last four were inspected, with one head that found the byte 20 before each.
InspectedText inspected(const std::string& b) {
    InspectedText text{.tokens = byte_tokens(std::string(50, 'a') + b), .documents = {"a", "b"}};
    for (Index position = 96; position < 100; ++position) {
        const InspectedEntry entry{.entry = position - 20, .document = 1, .tokens_ago = 20, .knn_score = 0.75};
        text.bytes.push_back({position, 0.5, {{.memory_mass = 0.25, .focus_score = 0.5, .found = {entry}}}});
    }
    return text;
}

}  // namespace

TEST_CASE("the page has each byte with what its heads found, by windows") {
    const nlohmann::json data = data_of(memory_page(inspected(std::string(50, 'b')), 2));
    CHECK(data["documents"] == std::vector<std::string>{"a", "b"});
    REQUIRE(data["windows"].size() == 2);
    CHECK(data["windows"][1]["first"] == 98);
    REQUIRE(data["windows"][1]["bytes"].size() == 2);
    const nlohmann::json& head = data["windows"][1]["bytes"][1][0];
    CHECK(head["mass"] == 0.25);
    CHECK(head["focus"] == 0.5);
    CHECK(head["found"] == nlohmann::json{{79, 1, 0.75}});
    // The text begins 40 bytes before the first that was found, byte 76.
    CHECK(data["start"] == 36);
    CHECK(data["text"] == std::string(14, 'a') + std::string(50, 'b'));
}

TEST_CASE("no text of a document ends the page, and what is no letter has a place of its own") {
    std::string text = "</script>\n\"\\\xff" + std::string(50, '&');
    text.resize(50);
    const std::string page = memory_page(inspected(text), 4);
    CHECK(data_of(page)["text"].get<std::string>().find("</script>↵\"\\·&") != std::string::npos);
    CHECK(page.find("</script>↵") == std::string::npos);
}
