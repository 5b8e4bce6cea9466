/// Sizes that are powers of two or nearly so: as text, and as the row of memory sizes that a curve is measured at.
///
/// Read next: support/memory_options.hpp, dictionary_lookup.cpp.
#pragma once

#include <string>
#include <vector>

#include "fot/core/check.hpp"
#include "fot/core/index.hpp"

namespace fot::examples {

/// 256, 4K, 64K, 1M, 16M: a count in units of 1024 where it is a whole number of them.
inline std::string count_text(Index count) {
    std::string unit;
    for (const char* larger : {"K", "M", "G"}) {
        if (count == 0 || count % 1024 != 0) break;
        count /= 1024;
        unit = larger;
    }
    return std::to_string(count) + unit;
}

/// Memory sizes: `smallest`, four times that, ... up to `largest`, which is always among them.
/// Errors: ConfigError unless 1 <= smallest <= largest.
inline std::vector<Index> memory_ladder(Index smallest, Index largest) {
    require<ConfigError>(smallest >= 1 && largest >= smallest, "memory sizes from ", smallest, " to ", largest,
                         ": expected 1 or more, in rising order");
    std::vector<Index> sizes{smallest};
    while (sizes.back() < largest) sizes.push_back(sizes.back() > largest / 4 ? largest : 4 * sizes.back());
    return sizes;
}

}  // namespace fot::examples
