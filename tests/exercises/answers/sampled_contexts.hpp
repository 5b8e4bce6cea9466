/// Answer to exercise 3: negatives drawn at random.
#pragma once

#include <utility>
#include <vector>

#include "fot/attention/contexts.hpp"
#include "fot/core/random.hpp"

namespace exercises {

using namespace fot;

/// Entry i sees context i, then `negatives` of the others, drawn without replacement.
inline ContextTable sampled_contexts(Index entries, Index negatives, Index pool, Random& random) {
    require<ConfigError>(entries >= 1 && entries <= pool, "sampled_contexts: ", entries, " entries, expected 1 ... ", pool,
                         ", the size of the pool");
    require<ConfigError>(negatives >= 0 && negatives < pool, "sampled_contexts: ", negatives, " negatives, expected 0 ... ",
                         pool - 1, ", the other documents");
    ContextTable table{pool, {}, std::vector<Index>(static_cast<std::size_t>(entries), 1)};
    for (Index entry = 0; entry < entries; ++entry) {
        std::vector<Index> others;
        for (Index document = 0; document < pool; ++document)
            if (document != entry) others.push_back(document);
        random.shuffle(others);
        std::vector<Index> list{entry};
        list.insert(list.end(), others.begin(), others.begin() + negatives);
        table.contexts.push_back(std::move(list));
    }
    return table;
}

}  // namespace exercises
