/// Made-up corpora: a folder to write them into, and the names of what was read from it.
#pragma once

#include "fot/data/text.hpp"
#include "support/temporary_folder.hpp"

namespace fot::testing {

inline std::vector<std::string> names(const std::vector<Document>& documents) {
    std::vector<std::string> result;
    for (const Document& document : documents) result.push_back(document.name);
    return result;
}

}  // namespace fot::testing
