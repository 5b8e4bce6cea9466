#include "fot/attention/attention_picture.hpp"

#include <doctest/doctest.h>

using namespace fot;

namespace {

Index count(const std::string& text, const std::string& part) {
    Index found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

}  // namespace

TEST_CASE("the picture has a square for each context that is seen, a dot for each other one, and two in its legend") {
    const std::string svg = attention_svg(previous_contexts(4, 1, 2), "The paper's form");
    CHECK(count(svg, "#1b6ca8") == 4 + 1);
    CHECK(count(svg, "#f0b27a") == 4 * 2 + 1);
    CHECK(count(svg, "<circle") == 4);
    CHECK(count(svg, ">entry ") == 4);
    CHECK(svg.starts_with("<svg "));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK(count(svg, "<text") == count(svg, "</text>"));
}

TEST_CASE("a table without contexts is a picture without squares; a title that is no text is refused") {
    CHECK(count(attention_svg(no_contexts(2), "none"), "rx=") == 2);
    CHECK_THROWS_WITH_AS(attention_svg(no_contexts(2), "a < b"), doctest::Contains("letters that SVG reads"), ConfigError);
    CHECK_THROWS_AS(attention_svg({1, {{1}}, {1}}, "outside"), ConfigError);
}
