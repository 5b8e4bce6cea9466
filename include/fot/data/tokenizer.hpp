/// Text to tokens and back, for models that are not trained here: bytes, or the SentencePiece model of a LLaMA checkpoint.
///
/// SentencePiece is used through its own library, if the program is compiled with FOT_WITH_SENTENCEPIECE and linked with it.
///
/// Read first: data/text.hpp.   Read next: examples/long_llama_generate.cpp.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#if defined(FOT_WITH_SENTENCEPIECE)
#include <sentencepiece_processor.h>
#endif

#include "fot/data/text.hpp"

namespace fot {

/// Turns text into token numbers, and token numbers into text.
struct Tokenizer {
    std::function<std::vector<std::int32_t>(const std::string&)> encode;  ///< the tokens of a text
    std::function<std::string(const std::vector<std::int32_t>&)> decode;  ///< back.   Errors: DataError for a token of no text
};

namespace detail {

/// A tokenizer.model. The mark of the beginning (`bos`), if the model has one, comes first, as LLaMA models expect it.
/// Errors: FileError if it is no such model, or this program has no SentencePiece.
inline Tokenizer sentence_piece_tokenizer(const std::filesystem::path& path) {
#if defined(FOT_WITH_SENTENCEPIECE)
    const auto model = std::make_shared<sentencepiece::SentencePieceProcessor>();
    const auto status = model->Load(path.string());
    require<FileError>(status.ok(), path.string(), ": is no SentencePiece model: ", status.ToString());
    const auto encode = [model](const std::string& text) {
        std::vector<std::int32_t> tokens = model->EncodeAsIds(text);
        if (model->bos_id() >= 0) tokens.insert(tokens.begin(), model->bos_id());
        return tokens;
    };
    const auto decode = [model](const std::vector<std::int32_t>& tokens) {
        for (const std::int32_t token : tokens)
            require<DataError>(token >= 0 && token < model->GetPieceSize(), "tokenizer.model: token ", token, " of ",
                               model->GetPieceSize());
        return model->DecodeIds(tokens);
    };
    return {encode, decode};
#else
    throw FileError(message(path.string(),
                            ": this program was compiled without SentencePiece (apt-get install "
                            "libsentencepiece-dev, and build again); token ids need none"));
#endif
}

}  // namespace detail

/// The tokenizer of a checkpoint's folder: its tokenizer.model; without one, bytes, if the vocabulary is that of bytes (256).
/// Errors: FileError if there is a tokenizer.model, but no SentencePiece in this program, if neither will do, or if the folder
///         cannot be looked into.
inline std::unique_ptr<Tokenizer> tokenizer_of(const std::filesystem::path& folder, Index vocabulary) {
    const std::filesystem::path model = folder / "tokenizer.model";
    std::error_code failure;
    const bool there = std::filesystem::exists(model, failure);
    require<FileError>(!failure, model.string(), ": ", failure.message());
    if (there) return std::make_unique<Tokenizer>(detail::sentence_piece_tokenizer(model));
    require<FileError>(vocabulary == byte_vocabulary, folder.string(), ": there is no tokenizer.model, and a vocabulary of ",
                       vocabulary, " is not one of bytes; token ids need no tokenizer");
    return std::make_unique<Tokenizer>(Tokenizer{byte_tokens, text_of});
}

}  // namespace fot
