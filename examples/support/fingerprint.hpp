/// A short name of a text, by which a kept model knows the text it was trained on.
///
/// Read first: fot/data/text.hpp.
#pragma once

#include <cstdint>
#include <iomanip>
#include <sstream>

#include "fot/data/text.hpp"

namespace fot::examples {

/// Documents in 16 hexadecimal digits: the same for the same names and tokens in the same order, another for others (by chance the
/// same once in 2^64). It is FNV-1a over the bytes of each name, its length, the four bytes of each token, lowest first, and their
/// number. What a token counts in the loss is not part of it.
inline std::string fingerprint(const std::vector<TokenDocument>& documents) {
    std::uint64_t hash = 0xcbf29ce484222325;
    const auto add = [&](std::uint64_t number, int bytes) {
        for (int i = 0; i < bytes; ++i) hash = (hash ^ (number >> (8 * i) & 0xff)) * 0x100000001b3;
    };
    for (const TokenDocument& document : documents) {
        for (const char letter : document.source) add(static_cast<unsigned char>(letter), 1);
        add(document.source.size(), 8);
        for (const std::int32_t token : document.tokens) add(static_cast<std::uint32_t>(token), 4);
        add(document.tokens.size(), 8);
    }
    std::ostringstream text;
    text << std::hex << std::setw(16) << std::setfill('0') << hash;
    return text.str();
}

}  // namespace fot::examples
