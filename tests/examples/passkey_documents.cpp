#include "../../examples/support/passkey_documents.hpp"

#include <doctest/doctest.h>

using namespace fot;
using namespace fot::examples;

namespace {

std::string bytes_of(const TokenDocument& document) { return text_of(document.tokens); }

}  // namespace

TEST_CASE("prompts end in the last window with their answer, keep their key when they are cut, and stand between filler and text") {
    Random random(1);
    const std::vector<TokenDocument> text{{"text", byte_tokens(std::string(2000, 'x'))}};
    for (int draw = 0; draw < 20; ++draw) {
        const std::vector<TokenDocument> documents = passkey_documents(text, 4, 200, 3, false, random);
        for (const std::size_t b : {std::size_t{0}, std::size_t{2}}) {
            const std::string prompt = bytes_of(documents[b]);
            CHECK(documents[b].length() > 400);
            CHECK(documents[b].length() <= 600);
            const std::size_t answer = prompt.rfind(" is") + 3;
            CHECK(prompt.find("is the pass key.") < prompt.rfind("What is"));
            CHECK(prompt.find(prompt.substr(answer, prompt.size() - answer - 1)) < answer);  // the key, where it is hidden
            CHECK(documents[b].loss_mask[answer] == 1);
            CHECK(documents[b].loss_mask[0] == 0.02f);
        }
        CHECK(documents[1].length() == 601);
        CHECK(bytes_of(documents[1]).find("key") == std::string::npos);
        CHECK(bytes_of(documents[3]) == std::string(601, 'x'));
    }
}

TEST_CASE("the windows of a document follow one another, each with the byte that it predicts last") {
    const TokenDocument whole{"a", {0, 1, 2, 3, 4, 5}, {0, 0.1f, 0.2f, 0.3f, 0.4f, 0.5f}};
    const std::vector<TokenDocument> windows = windows_of({whole, whole}, 2);
    REQUIRE(windows.size() == 6);
    CHECK(windows[3].tokens == std::vector<std::int32_t>{0, 1, 2});
    CHECK(windows[4].tokens == std::vector<std::int32_t>{2, 3, 4});
    CHECK(windows[5].tokens == std::vector<std::int32_t>{4, 5});
    CHECK(windows[4].loss_mask == std::vector<float>{0.2f, 0.3f, 0.4f});
}

TEST_CASE("a prompt sees its own windows and those of documents without a key, in both forms") {
    const ContextTable paper = passkey_contexts(8, 2, 4), packed = packed_contexts(24, 4, 3, true);
    CHECK(paper.contexts[0] == std::vector<Index>{0, 8, 1, 3, 5});
    CHECK(paper.contexts[7].empty());
    for (Index b = 0; b < 24; ++b)
        for (const Index seen : element(packed.contexts, b))
            CHECK((!is_prompt(b / 3) || seen / 3 == b / 3 || !is_prompt(seen / 3)));
}
