/// The order in which gradients are added up: visits of entries to contexts, in rounds that can run in parallel.
///
/// The gradient of a context's keys is a sum over the entries that see it; that of an entry's queries is a sum over the contexts it
/// sees. Within a round no entry and no context occurs twice. So no two visits add to the same numbers, and each sum has the same
/// order for any number of threads. In the paper's form round r is simply "entry i visits document i + r".
///
/// If queries and keys are one tensor, so are their gradients, and a visit's queries may be another one's keys. Then one thread
/// makes all visits.
///
/// Read first: attention/contexts.hpp.   Read next: attention/crossbatch_attention.hpp.
#pragma once

#include <vector>

#include "fot/attention/contexts.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

/// One visit of an entry to a context, and the context's place in the entry's list.
struct Visit {
    Index entry;    ///< of the batch
    Index context;  ///< its number, 0 ... P-1
    Index place;    ///< where the entry's list has it
};

/// The visits of the table in rounds: within a round no entry and no context occurs twice.
/// Errors: ConfigError if the table is not valid (require_valid).
inline std::vector<std::vector<Visit>> visiting_rounds(const ContextTable& table) {
    require_valid(table, table.entries());
    std::vector<std::vector<Visit>> rounds;
    std::vector<std::vector<bool>> entry_busy, context_busy;
    for (Index place = 0; place < table.most_contexts(); ++place)
        for (Index entry = 0; entry < table.entries(); ++entry) {
            const std::vector<Index>& list = element(table.contexts, entry);
            if (place >= length_of(list)) continue;
            const Index context = element(list, place);
            std::size_t round = 0;
            while (round < rounds.size() && (element(entry_busy[round], entry) || element(context_busy[round], context))) ++round;
            if (round == rounds.size()) {
                rounds.emplace_back();
                entry_busy.emplace_back(table.entries(), false);
                context_busy.emplace_back(table.available, false);
            }
            rounds[round].push_back({entry, context, place});
            element(entry_busy[round], entry) = element(context_busy[round], context) = true;
        }
    return rounds;
}

/// Calls f(visit, g) for all visits and each of the key heads g, round by round. `one_gradient`: that of queries and of keys, or of
/// queries and of values, is one tensor.
template <class F>
void for_each_visit(const ContextTable& table, Index key_heads, bool one_gradient, const F& f) {
    for (const std::vector<Visit>& round : visiting_rounds(table)) {
        const auto visit = [&](Index unit) { f(element(round, unit / key_heads), unit % key_heads); };
        if (one_gradient)
            for (Index unit = 0; unit < length_of(round) * key_heads; ++unit) visit(unit);
        else
            parallel_for(length_of(round) * key_heads, visit);
    }
}

}  // namespace fot
