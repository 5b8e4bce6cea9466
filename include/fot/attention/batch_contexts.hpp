/// The table that fits a batch: who sees which of its previous contexts.
///
/// Read first: attention/contexts.hpp, data/documents.hpp.   Read next: model/transformer.hpp.
#pragma once

#include "fot/attention/contexts.hpp"
#include "fot/data/documents.hpp"

namespace fot {

/// Every entry of the batch sees its own document's previous windows and `negatives` windows of other documents; windows that a
/// document does not have are in no list. (previous_contexts would point at the zeros that stand for them.)
///
/// Errors: ConfigError if there are not so many negatives, or the batch has no previous contexts.
template <class Real>
ContextTable contexts_of(const ContextBatch<Real>& batch, Index negatives) {
    const Index pool = length_of(batch.previous_windows), windows = pool == 0 ? 0 : extent(batch.previous, 0) / pool;
    require<ConfigError>(windows >= 1, "contexts_of: the batch has no previous contexts");
    return existing_previous_contexts(extent(batch.current, 0), windows, negatives, batch.previous_windows);
}

}  // namespace fot
