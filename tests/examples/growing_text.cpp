#include "../../examples/support/growing_text.hpp"

#include <doctest/doctest.h>

using fot::examples::GrowingText;

TEST_CASE("a letter of several tokens is told once it is whole") {
    GrowingText text;
    CHECK(text.add("caf") == "caf");
    CHECK(text.add("caf\uFFFD") == "");
    CHECK(text.add("café") == "é");
    CHECK(text.add("café \uFFFD\uFFFD\uFFFD") == " ");
    CHECK(text.add("café 🙂!") == "🙂!");
    CHECK(text.rest() == "");
}

TEST_CASE("bytes that become no letter are told as they are decoded, at the latest at the end") {
    GrowingText text;
    CHECK(text.add("a\uFFFD") == "a");
    CHECK(text.add("a\uFFFDb") == "\uFFFDb");
    CHECK(text.add("a\uFFFDb\uFFFD") == "");
    CHECK(text.rest() == "\uFFFD");
    CHECK(text.rest() == "");
}

TEST_CASE("bytes that are not decoded pass as they come") {
    GrowingText text;
    CHECK(text.add("\xC3") == "\xC3");
    CHECK(text.add("\xC3\xA9") == "\xA9");
    CHECK(text.add("\xC3") == "");  // a text that shrinks is not told anew
}
