/// Byte text against hand values, and its errors.
#include "fot/data/text.hpp"

#include <doctest/doctest.h>

using namespace fot;

TEST_CASE("bytes become tokens 0 ... 255 and come back") {
    std::string text;
    for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
    const std::vector<std::int32_t> tokens = byte_tokens(text);
    for (std::int32_t byte = 0; byte < 256; ++byte) CHECK(tokens[static_cast<std::size_t>(byte)] == byte);
    CHECK(text_of(tokens) == text);
    CHECK(byte_tokens("").empty());
    CHECK(text_of(std::vector<std::int32_t>{}) == "");
    CHECK(byte_tokens("\xC3\xA9") == std::vector<std::int32_t>{0xC3, 0xA9});
}

TEST_CASE("a token that is not a byte is named") {
    CHECK_THROWS_WITH_AS(text_of(std::vector<std::int32_t>{65, 256}),
                         "text_of: token 256 at position 1 is not a byte, expected 0 ... 255", DataError);
    CHECK_THROWS_AS(text_of(std::vector<std::int32_t>{-1}), DataError);
}

TEST_CASE("documents become token documents in which every token counts") {
    const std::vector<TokenDocument> documents = byte_documents({{"first", "ab"}, {"second", ""}});
    REQUIRE(documents.size() == 2);
    CHECK(documents[0].source == "first");
    CHECK(documents[0].tokens == std::vector<std::int32_t>{'a', 'b'});
    CHECK(documents[0].mask_at(1) == 1.f);
    CHECK(documents[1].length() == 0);
}

TEST_CASE("a loss mask must be as long as its document") {
    CHECK_NOTHROW(require_valid(TokenDocument{"x", {1, 2}, {0.f, 1.f}}));
    CHECK_THROWS_WITH_AS(require_valid(TokenDocument{"x", {1, 2}, {1.f}}), "document 'x': its loss mask has 1 numbers for 2 tokens",
                         DataError);
}
