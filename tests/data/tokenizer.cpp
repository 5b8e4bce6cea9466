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
    CHECK_THROWS_WITH_AS(tokenizer->decode({4000}), doctest::Contains("tokenizer.model: token 4000 of "), DataError);
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
