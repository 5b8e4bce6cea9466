#include "fot/data/tokenizer.hpp"

#include <doctest/doctest.h>

#if defined(FOT_WITH_SENTENCEPIECE)
#include <sentencepiece_trainer.h>
#endif

#include "support/temporary_folder.hpp"

using namespace fot;
using fot::testing::TemporaryFolder;

TEST_CASE("bytes are tokens, there and back") {
    const TemporaryFolder folder;
    const std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(folder.path(), 256);
    CHECK(tokenizer->encode("a\xff") == std::vector<std::int32_t>{97, 255});
    CHECK(tokenizer->decode({97, 255}) == "a\xff");
    CHECK_THROWS_WITH_AS(tokenizer->decode({256}), doctest::Contains("256"), DataError);
}

TEST_CASE("a vocabulary that is not one of bytes needs a tokenizer.model") {
    const TemporaryFolder folder;
    CHECK_THROWS_WITH_AS(tokenizer_of(folder.path(), 32000),
                         doctest::Contains("there is no tokenizer.model, and a vocabulary of 32000 is not one of bytes"),
                         FileError);
    CHECK_THROWS_WITH_AS(tokenizer_of(std::string(5000, 'x'), 256), doctest::Contains("x/tokenizer.model: "),
                         FileError);  // a name that no file system takes
}

#if defined(FOT_WITH_SENTENCEPIECE)

TEST_CASE("a SentencePiece model in the folder is used; the mark of the beginning comes first") {
    const TemporaryFolder folder;
    std::string text;
    for (int i = 0; i < 200; ++i) text += "the cat sat on the mat and the dog sat on the log\n";
    folder.write("text", text);
    const auto status = sentencepiece::SentencePieceTrainer::Train("--input=" + (folder / "text").string() +
                                                                   " --model_prefix=" + (folder / "tokenizer").string() +
                                                                   " --vocab_size=40 --hard_vocab_limit=false --minloglevel=2");
    REQUIRE_MESSAGE(status.ok(), status.ToString());
    const std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(folder.path(), 40);
    const std::vector<std::int32_t> tokens = tokenizer->encode("the cat sat");
    CHECK(tokens.front() == 1);
    CHECK(tokenizer->decode(tokens) == "the cat sat");
    CHECK(tokenizer->decode({tokens[1], 4000}) == tokenizer->decode({tokens[1]}) + "<4000>");  // a vocabulary that was rounded up
    CHECK_THROWS_WITH_AS(tokenizer->decode({-1}), doctest::Contains("tokenizer.model: token -1, expected 0 or more"), DataError);

    // Special tokens that are spelled out; between them lie texts of their own, which begin with a space.
    using Ids = std::vector<std::int32_t>;
    const auto joined = [](std::vector<Ids> parts) {
        Ids all;
        for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
        return all;
    };
    const Ids cat(tokens.begin() + 1, tokens.end());
    CHECK(tokenizer->encode("<s>the cat sat") == joined({{1, 1}, cat}));
    CHECK(tokenizer->encode("the cat sat</s>the cat sat<unk>") == joined({{1}, cat, {2}, cat, {0}}));
    CHECK(tokenizer->encode("") == Ids{1});
    folder.write("added_tokens.json", R"({"<pad>": 40, "<pad><pad>": 41})");
    const std::unique_ptr<Tokenizer> padded = tokenizer_of(folder.path(), 42);
    CHECK(padded->encode("<pad><pad>the cat sat<pad>") == joined({{1, 41}, cat, {40}}));
    CHECK(padded->decode(joined({cat, {40}})) == "the cat sat<pad>");

    folder.write("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true, "legacy": false,
        "added_tokens_decoder": {"1": {"content": "<s>"}, "45": {"content": "[INST]"}}})");
    const std::unique_ptr<Tokenizer> newer = tokenizer_of(folder.path(), 46);
    CHECK(newer->encode("[INST]") == Ids{45, 2});
    const Ids after = newer->encode("[INST]the cat sat");  // no space after a special token
    CHECK(newer->decode(Ids(after.begin() + 1, after.end() - 1)) == "the cat sat");
    CHECK_FALSE(Ids(after.begin() + 1, after.end() - 1) == cat);
    folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {}}})");
    CHECK_THROWS_WITH_AS(tokenizer_of(folder.path(), 46), doctest::Contains("added_tokens_decoder has the entry 'x'"), FileError);
}

TEST_CASE("a file that is no SentencePiece model is refused") {
    const TemporaryFolder folder;
    folder.write("tokenizer.model", "nothing of the kind");
    CHECK_THROWS_WITH_AS(tokenizer_of(folder.path(), 40), doctest::Contains("is no SentencePiece model"), FileError);
}

#else

TEST_CASE("without SentencePiece a tokenizer.model is an error that says what to install") {
    const TemporaryFolder folder;
    folder.write("tokenizer.model", "anything");
    CHECK_THROWS_WITH_AS(tokenizer_of(folder.path(), 40), doctest::Contains("apt-get install libsentencepiece-dev"), FileError);
}

#endif
