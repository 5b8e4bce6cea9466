#include "../../examples/support/attention_picture.hpp"

#include <doctest/doctest.h>

using namespace fot;
using namespace fot::examples;

TEST_CASE("the attention pattern as text") {
    CHECK(attention_pattern(previous_contexts(3, 1, 1)) ==
          "entry  sees contexts 0 ... 2  (+ own document, - other document)\n"
          "    0  +-.  1 positive, 1 negative\n"
          "    1  .+-  1 positive, 1 negative\n"
          "    2  -.+  1 positive, 1 negative\n");
    CHECK(attention_pattern(packed_contexts(4, 3, 4, true)) ==
          "entry  sees contexts 0 ... 3  (+ own document, - other document)\n"
          "    0  ....  0 positive, 0 negative\n"
          "    1  +...  1 positive, 0 negative\n"
          "    2  ++..  2 positive, 0 negative\n"
          "    3  +++.  3 positive, 0 negative\n");
    CHECK(attention_pattern(no_contexts(1)) ==
          "entry  sees no contexts  (+ own document, - other document)\n"
          "    0    0 positive, 0 negative\n");
}

TEST_CASE("a table that is not valid is refused") {
    CHECK_THROWS_WITH_AS(attention_pattern({2, {{5}}, {0}}), "context table: entry 0 lists context 5, expected 0 ... 1",
                         ConfigError);
}

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
