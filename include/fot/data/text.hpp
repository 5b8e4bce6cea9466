/// Text as tokens: every byte is a token, so the vocabulary is 256 and nothing has to be learned first.
///
/// The header also defines the two forms of a document that this folder works with: its text, and its tokens.
///
/// Departs from the paper, which uses SentencePiece vocabularies of 32K and 64K (appendix B.1). A byte is about a quarter of such a
/// token.
///
/// Read first: core/tensor.hpp.   Read next: data/corpus.hpp (where documents come from), data/documents.hpp (documents to
/// batches).
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fot/core/tensor.hpp"

namespace fot {

/// Number of different byte tokens.
inline constexpr Index byte_vocabulary = 256;

/// A document as it was read.
struct Document {
    std::string name;  ///< its path in the corpus, for instance
    std::string text;  ///< its bytes
};

/// A document as tokens. `loss_mask` has one number per token, what predicting that token counts; empty: every token counts 1.
struct TokenDocument {
    std::string source;                 ///< where it comes from, for statistics: its name, or the name of its corpus
    std::vector<std::int32_t> tokens;   ///< from the first to the last
    std::vector<float> loss_mask = {};  ///< empty, or one number per token

    /// Number of tokens.
    Index length() const { return length_of(tokens); }
    /// What predicting the token at a position counts.
    float mask_at(Index position) const { return loss_mask.empty() ? 1.f : element(loss_mask, position); }
};

/// Throws DataError unless the mask is empty or as long as the tokens.
inline void require_valid(const TokenDocument& document) {
    require<DataError>(document.loss_mask.empty() || document.loss_mask.size() == document.tokens.size(), "document '",
                       document.source, "': its loss mask has ", document.loss_mask.size(), " numbers for ", document.tokens.size(),
                       " tokens");
}

/// The bytes of a text, 0 ... 255.
inline std::vector<std::int32_t> byte_tokens(std::string_view text) {
    std::vector<std::int32_t> tokens(text.size());
    std::transform(text.begin(), text.end(), tokens.begin(),
                   [](char c) { return static_cast<std::int32_t>(static_cast<unsigned char>(c)); });
    return tokens;
}

/// The text of byte tokens.
/// Errors: DataError if a token is not a byte.
inline std::string text_of(std::span<const std::int32_t> tokens) {
    std::string text(tokens.size(), '\0');
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        require<DataError>(tokens[t] >= 0 && tokens[t] < byte_vocabulary, "text_of: token ", tokens[t], " at position ", t,
                           " is not a byte, expected 0 ... 255");
        text[t] = static_cast<char>(static_cast<unsigned char>(tokens[t]));
    }
    return text;
}

/// Documents as byte tokens; the name becomes the source, every token counts.
inline std::vector<TokenDocument> byte_documents(const std::vector<Document>& documents) {
    std::vector<TokenDocument> result;
    for (const Document& document : documents) result.push_back({document.name, byte_tokens(document.text)});
    return result;
}

}  // namespace fot
