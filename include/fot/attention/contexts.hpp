/// Who sees whom: the contexts that each batch entry attends to beside its own local context.
///
/// In crossbatch training entry i sees p_i: first the previous context(s) of the entry's own document (positives), the newest
/// first, then contexts of other documents (negatives). Why other documents at all: without them the layer has no reason to tell
/// keys of the query's own document from others, and a full memory distracts it.
///
/// The paper and the released code build p_i differently. Both come out as the same kind of table, and so does a list written by
/// hand:
///
///     previous_contexts   the paper: previous windows of the documents i, i+1, ... (mod pool), from a pass of their own
///     packed_contexts     the released code: rows i-1, i-2, ... of the same batch, where a document's windows lie in sequence;
///                         `positives` are of the query's own document if a pack holds one document (data/documents.hpp)
///
/// Source: paper section 3.2 and appendix B.3 (previous contexts), appendix A.2 and the released code (packed, stepped form).
/// Read first: core/check.hpp.   Read next: attention/crossbatch_attention.hpp; examples/crossbatch_tour.cpp draws such tables.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "fot/core/tensor.hpp"

namespace fot {

/// For each batch entry the list of contexts it sees. A context is a row of the tensor of context keys (P,S,H,D).
struct ContextTable {
    Index available = 0;                       ///< P, how many contexts there are to point at
    std::vector<std::vector<Index>> contexts;  ///< (B) lists of distinct indices in 0 ... available-1, positives first
    std::vector<Index> positives;              ///< (B) how many of each list belong to the entry's own document

    Index entries() const { return length_of(contexts); }  ///< B, the number of batch entries

    /// Length of the longest list.
    Index most_contexts() const {
        Index most = 0;
        for (const auto& list : contexts) most = std::max(most, length_of(list));
        return most;
    }
};

/// Throws ConfigError unless the table has `entries` lists of distinct contexts in 0 ... available-1, with positives among them.
inline void require_valid(const ContextTable& table, Index entries) {
    require<ConfigError>(table.available >= 0, "context table: has ", table.available, " contexts available, expected 0 or more");
    require<ConfigError>(table.entries() == entries && length_of(table.positives) == entries, "context table: has ",
                         table.entries(), " lists and ", table.positives.size(), " counts of positives, expected ", entries,
                         " of each, one per batch entry");
    for (Index entry = 0; entry < entries; ++entry) {
        std::vector<Index> sorted = element(table.contexts, entry);
        const Index positives = element(table.positives, entry);
        std::sort(sorted.begin(), sorted.end());
        require<ConfigError>(sorted.empty() || (sorted.front() >= 0 && sorted.back() < table.available), "context table: entry ",
                             entry, " lists context ", sorted.empty() ? 0 : (sorted.front() < 0 ? sorted.front() : sorted.back()),
                             ", expected 0 ... ", table.available - 1);
        require<ConfigError>(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), "context table: entry ", entry,
                             " lists a context twice");
        require<ConfigError>(positives >= 0 && positives <= length_of(sorted), "context table: entry ", entry, " has ", positives,
                             " positives among ", sorted.size(), " contexts");
    }
}

/// The paper's form: every batch index holds one document, and previous contexts come from an earlier pass.
///
/// Context `window * pool + j` is the window-th previous context of document j (window 0: the one just before). Entry i sees its
/// own document's `positives` windows, then those of documents i+1, i+2, ... (mod pool), `negatives` contexts in all. The paper's w
/// is `positives`; d documents with w windows each are (d - 1) w negatives. `pool` documents have previous contexts, the first
/// `entries` of them are also trained on (0: pool = entries).
/// Errors: ConfigError for entries < 1, other counts below 0, a pool smaller than entries, more contexts than an Index counts, or
///         more negatives than other documents have.
inline ContextTable previous_contexts(Index entries, Index positives, Index negatives, Index pool = 0) {
    if (pool == 0) pool = entries;
    require<ConfigError>(entries >= 1 && positives >= 0 && negatives >= 0, "previous_contexts: ", entries, " entries with ",
                         positives, " positives and ", negatives,
                         " negatives, expected 1 or more of the first and 0 or more of the others");
    require<ConfigError>(pool >= entries, "previous_contexts: a pool of ", pool, " documents is smaller than the ", entries,
                         " entries");
    const Index windows = std::max<Index>(positives, 1);
    require<ConfigError>(windows <= std::numeric_limits<Index>::max() / pool, "previous_contexts: ", pool, " documents with ",
                         windows, " previous contexts each are too many");
    require<ConfigError>(negatives <= (pool - 1) * windows, "previous_contexts: ", negatives, " negatives wanted, ", pool - 1,
                         " other documents with ", windows, " previous contexts each");
    ContextTable table{pool * windows, {}, std::vector<Index>(static_cast<std::size_t>(entries), positives)};
    for (Index entry = 0; entry < entries; ++entry) {
        std::vector<Index> list;
        for (Index window = 0; window < positives; ++window) list.push_back(window * pool + entry);
        for (Index negative = 0; negative < negatives; ++negative)
            list.push_back(negative % windows * pool + (entry + 1 + negative / windows) % pool);
        table.contexts.push_back(std::move(list));
    }
    return table;
}

/// No contexts: attention is local. Crossbatch with this table is plain causal attention.   Errors: ConfigError for entries < 0.
inline ContextTable no_contexts(Index entries) {
    require<ConfigError>(entries >= 0, "no_contexts: ", entries, " entries, expected 0 or more");
    return {0, std::vector<std::vector<Index>>(static_cast<std::size_t>(entries)),
            std::vector<Index>(static_cast<std::size_t>(entries), 0)};
}

/// The released code's packed form: entry i sees the `range` entries before it, whatever document they hold.
///
/// With `stepping`, row j of a pack sees fewer, so that one batch mixes short and long contexts: j s, as far as there are so many,
/// with s = ceil((range + 1) / (packing - 1)). With a packing of 1 it changes nothing.
/// Errors: ConfigError for entries < 1, a range below 0 or of 2^32 and more, packing < 1, or entries that are not a multiple of it.
inline ContextTable packed_contexts(Index entries, Index range, Index packing, bool stepping) {
    require<ConfigError>(entries >= 1 && range >= 0 && range < Index(1) << 32, "packed_contexts: ", entries, " entries with range ",
                         range, ", expected 1 or more entries and 0 <= range < 2^32");
    require<ConfigError>(packing >= 1 && entries % packing == 0, "packed_contexts: ", entries,
                         " entries are not a multiple of a packing of ", packing);
    const Index others = std::max<Index>(packing - 1, 1), step = (range + others) / others;  // ceil((range + 1) / others)
    ContextTable table{entries, {}, {}};
    for (Index entry = 0; entry < entries; ++entry) {
        const Index row_in_pack = entry % packing;
        Index seen = std::min(range, entry);  // no row sees beyond the first
        if (stepping && packing > 1) seen = std::min(seen, row_in_pack * step);
        std::vector<Index> list;
        for (Index back = 1; back <= seen; ++back) list.push_back(entry - back);
        table.positives.push_back(std::min(seen, row_in_pack));
        table.contexts.push_back(std::move(list));
    }
    return table;
}

}  // namespace fot
