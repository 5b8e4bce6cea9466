/// Exercise 3: negatives drawn at random.
///
/// Crossbatch shows entry i its own document's previous context and those of documents i+1, i+2, ... of the batch. Where documents
/// keep their places in the batch over many steps, as in the paper, the same ones compete again and again. Let every entry draw the
/// documents that it is contrasted with.
///
/// Write sampled_contexts. It now returns the paper's table.
///
/// Paper:  section 3.2, the contexts p of a document.
/// Read:   attention/contexts.hpp, Random in core/random.hpp.
/// Try:    cmake --build --preset release --target exercises
#pragma once

#include "fot/attention/contexts.hpp"
#include "fot/core/random.hpp"

namespace exercises {

using namespace fot;

/// Contexts of `pool` documents, one each: context j is that of document j, and the first `entries` documents are trained on.
///
/// Entry i sees context i first, its only positive. Then come `negatives` contexts of other documents, each at most once. They are
/// drawn evenly: any set of other documents is as likely as any other of that size, and each entry draws for itself.
/// Errors: ConfigError unless 1 <= entries <= pool and 0 <= negatives < pool.
inline ContextTable sampled_contexts(Index entries, Index negatives, Index pool, Random& /*random*/) {
    return previous_contexts(entries, 1, negatives, pool);
}

}  // namespace exercises
