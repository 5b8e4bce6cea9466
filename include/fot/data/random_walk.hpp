/// Reading on from random places: for models whose state belongs to the text just before.
///
/// sample_contexts draws a new place for every window. A Memorizing Transformer and a Transformer-XL cannot train on that: what
/// they keep is of the window before. RandomWalk prefers long documents as much, but stays for some windows at each place, and says
/// when it moves on, so that what was kept can be dropped. Entries move on at different times. It begins at a multiple of T tokens,
/// where sample_contexts begins at any token, and takes documents from two tokens on.
///
/// Read first: data/document_walk.hpp.   Read next: train/language_model.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "fot/data/documents.hpp"

namespace fot {

/// Every entry reads a document of its own, window by window.
///
/// Documents are drawn in proportion to length^length_power from those that no other entry holds, the window in them evenly.
/// Errors: ConfigError for no entries, no tokens or no windows; DataError if fewer documents than entries have two tokens, or a
///         loss mask is not as long as its document.
class RandomWalk {
   public:
    /// Where the walk stands: for a checkpoint. Document, first token of the next window, and windows left, of each entry.
    struct State {
        std::vector<Index> document;  ///< its number
        std::vector<Index> start;     ///< first token of its next window
        std::vector<Index> left;      ///< windows until the entry moves on
    };

    /// `windows`: how many an entry reads before it moves on. At first each is somewhere in the middle of its stay. `documents`
    /// must outlive the walk.
    RandomWalk(const std::vector<TokenDocument>& documents, Index entries, Index length, Index windows, Random& random)
        : documents_(&documents), shape_{.entries = entries, .positives = 0, .length = length}, windows_(windows) {
        detail::require_valid(shape_, "RandomWalk");
        require<ConfigError>(windows >= 1, "RandomWalk: stays of ", windows, " windows, expected 1 or more");
        for (const TokenDocument& document : documents) require_valid(document);
        const auto usable = std::count_if(documents.begin(), documents.end(), is_usable);
        require<DataError>(usable >= entries, "RandomWalk: ", usable, " of ", documents.size(),
                           " documents have two tokens, expected ", entries, " or more");
        const auto count = static_cast<std::size_t>(entries);
        state = {std::vector<Index>(count, -1), std::vector<Index>(count, 0), std::vector<Index>(count, 0)};
        for (Index b = 0; b < entries; ++b) {
            move_on(b, random);
            state.left[static_cast<std::size_t>(b)] = 1 + random.below(windows);
        }
    }
    RandomWalk(std::vector<TokenDocument>&&, Index, Index, Index, Random&) = delete;  // would not outlive the walk

    /// The next window of every entry; `moved(b)` is called before the first one at a new place.   Errors: as require_state.
    template <class Real>
    ContextBatch<Real> next(Random& random, const std::function<void(Index)>& moved) {
        require_state();
        ContextBatch<Real> batch = detail::empty_context_batch<Real>(shape_);
        for (Index b = 0; b < shape_.entries; ++b) {
            const auto at = static_cast<std::size_t>(b);
            if (state.left[at] == 0 || state.start[at] + 1 >= document(state.document[at]).length()) {
                move_on(b, random);
                moved(b);
            }
            batch.documents[at] = state.document[at];
            detail::write_entry(shape_, b, document(state.document[at]), state.start[at], batch);
            state.start[at] += shape_.length;
            --state.left[at];
        }
        return batch;
    }

    /// Throws DataError unless the state, perhaps from a checkpoint, is a place in these documents.
    void require_state() const {
        detail::require_places(*documents_, shape_.entries, state.document, state.start, "RandomWalk", false);
        require<DataError>(static_cast<Index>(state.left.size()) == shape_.entries, "RandomWalk: a state of ", state.left.size(),
                           " stays, expected ", shape_.entries);
        for (const Index left : state.left)
            require<DataError>(left >= 0, "RandomWalk: ", left, " windows left, expected 0 or more");
    }

    State state;  ///< of the next batch

   private:
    static bool is_usable(const TokenDocument& document) { return document.length() >= 2; }

    const TokenDocument& document(Index i) const { return (*documents_)[static_cast<std::size_t>(i)]; }

    void move_on(Index b, Random& random) {
        const auto at = static_cast<std::size_t>(b);
        state.document[at] = -1;
        std::vector<double> weights;
        double all = 0;
        for (std::size_t i = 0; i < documents_->size(); ++i) {
            const TokenDocument& candidate = (*documents_)[i];
            const bool held =
                std::find(state.document.begin(), state.document.end(), static_cast<Index>(i)) != state.document.end();
            weights.push_back(held || !is_usable(candidate) ? 0 : std::pow(static_cast<double>(candidate.length()), length_power));
            all += weights.back();
        }
        double place = random.uniform() * all;
        Index chosen = -1;  // the last one that may be, should rounding leave something of `place`
        for (std::size_t i = 0; i < weights.size() && (chosen < 0 || place >= 0); ++i) {
            if (weights[i] == 0) continue;
            chosen = static_cast<Index>(i);
            place -= weights[i];
        }
        state.document[at] = chosen;
        state.start[at] = shape_.length * random.below((document(chosen).length() - 2) / shape_.length + 1);
        state.left[at] = windows_;
    }

    const std::vector<TokenDocument>* documents_;
    WindowShape shape_;
    Index windows_;
};

}  // namespace fot
