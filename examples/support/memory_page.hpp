/// The page of inspect_memory: a text, and for each byte what the memory layer retrieved. What the page does is in memory_page.html
/// beside this file; here its data are written.
///
/// Read first: fot/measure/memory_inspection.hpp.   Read next: inspect_memory.cpp.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fot/data/corpus.hpp"
#include "fot/measure/memory_inspection.hpp"

namespace fot::examples {

/// A byte of the inspected text and what each head found.
struct InspectedByte {
    Index position;    ///< in all that was read
    double own_share;  ///< of the memory that is of the inspected document: how often its entries would be found by chance
    std::vector<InspectedQuery> heads;
};

/// All that was read, in order, and what was found for the end of it.
struct InspectedText {
    std::vector<std::int32_t> tokens = {};
    std::vector<std::string> documents = {};  ///< their names; the last one is inspected
    std::vector<InspectedByte> bytes = {};    ///< one after another
};

inline constexpr Index entries_of_page = 8;  ///< so many of the best entries of each head are on the page

namespace detail {

/// The bytes from `first` on as the page shows them, a letter each: line ends as an arrow, what is no printable ASCII as a dot.
inline std::string page_letters(const std::vector<std::int32_t>& tokens, Index first) {
    std::string text;
    for (Index i = first; i < length_of(tokens); ++i) {
        const std::int32_t byte = element(tokens, i);
        text += byte == '\n' ? "↵" : byte >= 32 && byte < 127 ? std::string(1, static_cast<char>(byte)) : "·";
    }
    return text;
}

}  // namespace detail

/// The page, whose windows are `length` bytes long.   Errors: FileError if memory_page.html is not there.
inline std::string memory_page(const InspectedText& text, Index length) {
    Index start = length_of(text.tokens);  // the first byte that the page may show
    nlohmann::json windows = nlohmann::json::array();
    for (Index i = 0; i < length_of(text.bytes); ++i) {
        const InspectedByte& byte = element(text.bytes, i);
        if (i % length == 0) windows.push_back({{"first", byte.position}, {"bytes", nlohmann::json::array()}});
        nlohmann::json heads = nlohmann::json::array();
        for (const InspectedQuery& query : byte.heads) {
            nlohmann::json found = nlohmann::json::array();
            for (Index e = 0; e < std::min(entries_of_page, length_of(query.found)); ++e) {
                const InspectedEntry& entry = element(query.found, e);
                const Index at = byte.position - entry.tokens_ago;
                found.push_back({at, entry.document, std::round(1e4 * entry.knn_score) / 1e4});
                start = std::min(start, std::max<Index>(at - 40, 0));
            }
            heads.push_back({{"mass", std::round(1e4 * query.memory_mass) / 1e4},
                             {"focus", std::round(1e4 * query.focus_score) / 1e4},
                             {"found", std::move(found)}});
        }
        windows.back()["bytes"].push_back(std::move(heads));
    }
    start = std::min(start, std::max<Index>(text.bytes.front().position - 40, 0));
    const nlohmann::json data{{"text", detail::page_letters(text.tokens, start)},
                              {"start", start},
                              {"documents", text.documents},
                              {"windows", std::move(windows)}};
    std::string written;
    for (const char letter : data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
        written += letter == '<' ? "\\u003c" : std::string(1, letter);  // else </script> ends it
    std::string page = read_text(std::filesystem::path(__FILE__).replace_filename("memory_page.html"));
    const std::string place = ">DATA<";
    return page.replace(page.find(place) + 1, place.size() - 2, written);
}

}  // namespace fot::examples
