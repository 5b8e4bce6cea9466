/// Documents that can be recognised by their tokens, and rows of batches to compare them with.
#pragma once

#include "fot/data/text.hpp"

namespace fot::testing {

/// Documents whose tokens say where they come from: token t of document i is 1000 (i + 1) + t.
inline std::vector<TokenDocument> numbered_documents(const std::vector<Index>& lengths) {
    std::vector<TokenDocument> documents;
    for (const Index length : lengths) {
        TokenDocument document{message("source ", documents.size() % 2), {}};
        const auto first = static_cast<std::int32_t>(1000 * (documents.size() + 1));
        for (std::int32_t t = 0; t < static_cast<std::int32_t>(length); ++t) document.tokens.push_back(first + t);
        documents.push_back(document);
    }
    return documents;
}

inline std::vector<std::int32_t> row_of(const Tokens& tokens, Index b) {
    return {row(tokens, b), row(tokens, b) + extent(tokens, 1)};
}

template <class Real>
std::vector<Real> row_of(const Tensor<Real, 2>& mask, Index b) {
    return {row(mask, b), row(mask, b) + extent(mask, 1)};
}

using Row = std::vector<std::int32_t>;
using Mask = std::vector<float>;

}  // namespace fot::testing
