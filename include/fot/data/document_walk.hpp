/// Reading documents from their first window to their last: every token is predicted, in order.
///
/// sample_contexts draws a new place for every window. DocumentWalk holds a document at each batch index until its end; its
/// previous contexts are the windows just before.
///
/// Read first: data/documents.hpp.   Read next: data/random_walk.hpp.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "fot/data/documents.hpp"

namespace fot {

/// Goes through documents window by window: each batch index holds one document until its end, then the next one that no other
/// index holds, from its first window on. The previous windows are those just before; the first window has none.
///
/// Every token but a document's first is the target exactly once; the last window is filled up with zeros that do not count.
/// Errors: ConfigError for an impossible shape, or a pool larger than the entries; DataError if fewer documents than entries have
/// two tokens (or none has, without `cyclic`), or a loss mask is not as long as its document.
class DocumentWalk {
   public:
    /// Where the walk stands: for a checkpoint.
    struct State {
        std::vector<Index> document;  ///< of each entry, -1: none
        std::vector<Index> start;     ///< of each entry: the first token of its next window
        Index next = 0;               ///< the document to be looked at next, counted on over the rounds
    };

    /// With `cyclic` the documents come again and again, without it once; `documents` must outlive the walk.
    DocumentWalk(const std::vector<TokenDocument>& documents, const WindowShape& shape, bool cyclic = true)
        : documents_(&documents), shape_(shape), cyclic_(cyclic) {
        detail::require_valid(shape, "DocumentWalk");
        require<ConfigError>(shape.documents() == shape.entries, "DocumentWalk: a pool of ", shape.pool,
                             " documents, expected the ", shape.entries, " entries");
        Index usable = 0;
        for (const TokenDocument& document : documents) {
            require_valid(document);
            if (document.length() >= 2) ++usable;
        }
        const Index least = cyclic ? shape.entries : 1;
        require<DataError>(usable >= least, "DocumentWalk: ", usable, " of ", documents.size(),
                           " documents have two tokens, expected ", least, " or more");
        state.document.assign(static_cast<std::size_t>(shape.entries), -1);
        state.start.assign(static_cast<std::size_t>(shape.entries), 0);
    }

    DocumentWalk(std::vector<TokenDocument>&&, const WindowShape&, bool = true) = delete;  // would not outlive the walk

    /// Throws DataError unless the state, perhaps from a checkpoint, is a place in these documents.
    void require_state() const {
        detail::require_places(*documents_, shape_.entries, state.document, state.start, "DocumentWalk", true);
        require<DataError>(state.next >= 0, "DocumentWalk: document ", state.next, " is to come next, expected 0 or more");
    }

    /// The next batch; none when all documents are through. Entries that have no document left hold zeros that do not count.
    /// Errors: as require_state.
    template <class Real>
    std::optional<ContextBatch<Real>> next() {
        require_state();
        ContextBatch<Real> batch = detail::empty_context_batch<Real>(shape_);
        bool any = false;
        for (Index b = 0; b < shape_.entries; ++b) {
            Index& held = state.document[static_cast<std::size_t>(b)];
            Index& start = state.start[static_cast<std::size_t>(b)];
            if (held >= 0 && start + 1 >= document(held).length()) held = -1;
            if (held < 0) {
                held = next_document();
                start = 0;
            }
            if (held < 0) continue;
            any = true;
            batch.documents[static_cast<std::size_t>(b)] = held;
            detail::write_entry(shape_, b, document(held), start, batch);
            start += shape_.length;
        }
        if (!any) return std::nullopt;
        return batch;
    }

    State state;  ///< of the next batch

   private:
    const TokenDocument& document(Index i) const { return (*documents_)[static_cast<std::size_t>(i)]; }

    Index next_document() {
        const auto count = static_cast<Index>(documents_->size());
        while (cyclic_ || state.next < count) {
            const Index candidate = state.next++ % count;
            const bool in_use = std::find(state.document.begin(), state.document.end(), candidate) != state.document.end();
            if (document(candidate).length() >= 2 && !in_use) return candidate;
        }
        return -1;
    }

    const std::vector<TokenDocument>* documents_;
    WindowShape shape_;
    bool cyclic_;
};

}  // namespace fot
