/// Texts without meaning.
#pragma once

#include "fot/core/random.hpp"
#include "fot/data/text.hpp"

namespace fot::testing {

/// Tokens (entries, length) of a vocabulary.
inline Tokens random_tokens(Index entries, Index length, Index vocabulary, Random& random) {
    Tokens tokens = empty<std::int32_t, 2>({entries, length});
    for (std::int32_t& token : tokens.storage()) token = static_cast<std::int32_t>(random.below(vocabulary));
    return tokens;
}

/// The same from a seed.
inline Tokens random_tokens(Index entries, Index length, Index vocabulary, std::uint64_t seed) {
    Random random(seed);
    return random_tokens(entries, length, vocabulary, random);
}

/// Documents of these lengths, of a vocabulary of 11.
inline std::vector<TokenDocument> random_documents(const std::vector<Index>& lengths, std::uint64_t seed) {
    Random random(seed);
    std::vector<TokenDocument> documents(lengths.size());
    for (std::size_t i = 0; i < lengths.size(); ++i)
        for (Index t = 0; t < lengths[i]; ++t) documents[i].tokens.push_back(static_cast<std::int32_t>(random.below(11)));
    return documents;
}

}  // namespace fot::testing
