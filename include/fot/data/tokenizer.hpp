/// Text to tokens and back, for models that are not trained here: bytes, or the SentencePiece model of a LLaMA checkpoint.
///
/// SentencePiece is used through its own library, if the program is compiled with FOT_WITH_SENTENCEPIECE and linked with it.
///
/// Read first: data/text.hpp.   Read next: examples/long_llama_generate.cpp.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#if defined(FOT_WITH_SENTENCEPIECE)
#include <sentencepiece_processor.h>
#endif

#include "fot/data/text.hpp"

namespace fot {

/// Turns text into token numbers, and token numbers into text.
class Tokenizer {
   public:
    virtual ~Tokenizer() = default;
    /// The tokens of a text.
    virtual std::vector<std::int32_t> encode(const std::string& text) const = 0;
    /// Errors: DataError for a token that stands for nothing.
    virtual std::string decode(const std::vector<std::int32_t>& tokens) const = 0;
};

/// Every byte is a token.
class ByteTokenizer : public Tokenizer {
   public:
    /// One token a byte.
    std::vector<std::int32_t> encode(const std::string& text) const override { return byte_tokens(text); }
    std::string decode(const std::vector<std::int32_t>& tokens) const override { return text_of(std::span(tokens)); }
};

#if defined(FOT_WITH_SENTENCEPIECE)

/// A tokenizer.model. The mark of the beginning (`bos`), if the model has one, comes first, as LLaMA models expect it.
class SentencePieceTokenizer : public Tokenizer {
   public:
    /// Errors: FileError if the file is missing or no such model.
    explicit SentencePieceTokenizer(const std::filesystem::path& path) {
        std::error_code no_file;
        require<FileError>(std::filesystem::is_regular_file(path, no_file), path.string(), ": there is no such file");
        const auto status = model_.Load(path.string());
        require<FileError>(status.ok(), path.string(), ": is no SentencePiece model: ", status.ToString());
    }

    std::vector<std::int32_t> encode(const std::string& text) const override {
        std::vector<std::int32_t> tokens = model_.EncodeAsIds(text);
        if (model_.bos_id() >= 0) tokens.insert(tokens.begin(), model_.bos_id());
        return tokens;
    }

    std::string decode(const std::vector<std::int32_t>& tokens) const override {
        for (const std::int32_t token : tokens)
            require<DataError>(token >= 0 && token < model_.GetPieceSize(), "SentencePieceTokenizer: token ", token, " of ",
                               model_.GetPieceSize());
        return model_.DecodeIds(tokens);
    }

   private:
    sentencepiece::SentencePieceProcessor model_;
};

#endif

/// The tokenizer of a checkpoint's folder: its tokenizer.model; without one, bytes, if the vocabulary is that of bytes (256).
/// Errors: FileError if there is a tokenizer.model, but no SentencePiece in this program, if neither will do, or if the folder
///         cannot be looked into.
inline std::unique_ptr<Tokenizer> tokenizer_of(const std::filesystem::path& folder, Index vocabulary) {
    const std::filesystem::path model = folder / "tokenizer.model";
    std::error_code failure;
    const bool there = std::filesystem::exists(model, failure);
    require<FileError>(!failure, model.string(), ": ", failure.message());
    if (there) {
#if defined(FOT_WITH_SENTENCEPIECE)
        return std::make_unique<SentencePieceTokenizer>(model);
#else
        throw FileError(message(model.string(),
                                ": this program was compiled without SentencePiece (apt-get install "
                                "libsentencepiece-dev, and build again); token ids need none"));
#endif
    }
    require<FileError>(vocabulary == byte_vocabulary, folder.string(), ": there is no tokenizer.model, and a vocabulary of ",
                       vocabulary, " is not one of bytes; token ids need no tokenizer");
    return std::make_unique<ByteTokenizer>();
}

}  // namespace fot
