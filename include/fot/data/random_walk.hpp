/// Reading on from random places: for models whose state belongs to the text just before.
///
/// sample_contexts draws a new place for every window. A Memorizing Transformer and a Transformer-XL cannot train on that, because
/// what they keep comes from the window before. RandomWalk draws documents with the same preference for long ones, but stays for
/// some windows at each place, and says when it moves on, so that what was kept can be dropped. Entries move on at different times.
///
/// Departures from sample_contexts: a walk begins at a multiple of T tokens, where sample_contexts begins at any token; and it
/// accepts documents of two tokens or more.
///
/// Source: paper section 5.1 and Wu et al. 2022 (a memory filled in order).
/// Read first: data/documents.hpp.   Read next: train/language_model.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
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
        : documents_(documents), shape_{.entries = entries, .positives = 0, .length = length}, windows_(windows) {
        detail::require_valid("RandomWalk", shape_);
        require<ConfigError>(windows >= 1, "RandomWalk: stays of ", windows, " windows, expected 1 or more");
        for (const TokenDocument& document : documents) require_valid(document);
        const auto usable = std::count_if(documents.begin(), documents.end(), is_usable);
        require<DataError>(usable >= entries, "RandomWalk: ", usable, " of ", documents.size(),
                           " documents have two tokens, expected ", entries, " or more");
        for (std::vector<Index>* list : {&state.document, &state.start, &state.left})
            list->assign(static_cast<std::size_t>(entries), -1);
        Random drawn = random;
        for (Index b = 0; b < entries; ++b) {
            move_on(b, state, drawn);
            element(state.left, b) = 1 + drawn.below(windows);
        }
        random = drawn;
    }
    RandomWalk(std::vector<TokenDocument>&&, Index, Index, Index, Random&) = delete;  // would not outlive the walk

    /// The next window of every entry; `moved(b)` is called before the first one at a new place. If memory runs out, the walk
    /// stands where it stood, and `random` is as it was.   Errors: as require_state.
    template <class Real>
    ContextBatch<Real> next(Random& random, const std::function<void(Index)>& moved) {
        require_state();
        ContextBatch<Real> batch = detail::empty_context_batch<Real>("RandomWalk", shape_);
        State next = state;
        Random drawn = random;
        std::vector<Index> those_moved;
        for (Index b = 0; b < shape_.entries; ++b) {
            Index &held = element(next.document, b), &start = element(next.start, b), &left = element(next.left, b);
            if (left == 0 || start + 1 >= element(documents_, held).length()) {
                move_on(b, next, drawn);
                those_moved.push_back(b);
            }
            batch.documents.push_back(held);
            detail::write_entry(shape_, b, element(documents_, held), start, batch);
            start += shape_.length;
            --left;
        }
        for (const Index b : those_moved) moved(b);
        state = std::move(next);
        random = drawn;
        return batch;
    }

    /// Throws DataError unless the state, perhaps from a checkpoint, is a place in these documents.
    void require_state() const {
        const auto& [document, start, left] = state;
        for (const std::vector<Index>* list : {&document, &start, &left})
            require<DataError>(length_of(*list) == shape_.entries, "RandomWalk: a state of ", list->size(), " entries, expected ",
                               shape_.entries);
        // A document that is read to its end is left at the next batch: the place may lie after it.
        constexpr Index farthest = std::numeric_limits<Index>::max() / 2;
        for (Index b = 0; b < shape_.entries; ++b) {
            const Index held = element(document, b), from = element(start, b), windows = element(left, b);
            require<DataError>(held >= 0 && held < length_of(documents_) && from >= 0 && from <= farthest && windows >= 0,
                               "RandomWalk: entry ", b, " reads ", windows, " more windows of document ", held, " of ",
                               documents_.size(), " from token ", from, " on");
        }
    }

    State state;  ///< of the next batch

   private:
    static bool is_usable(const TokenDocument& document) { return document.length() >= 2; }

    void move_on(Index b, State& at, Random& random) const {
        Index& chosen = element(at.document, b) = -1;
        std::vector<double> weights;
        double all = 0;
        for (Index i = 0; i < length_of(documents_); ++i) {
            const TokenDocument& candidate = element(documents_, i);
            const bool held = std::ranges::count(at.document, i) > 0;
            weights.push_back(held || !is_usable(candidate) ? 0 : std::pow(static_cast<double>(candidate.length()), length_power));
            all += weights.back();
        }
        double place = random.uniform() * all;
        for (Index i = 0; i < length_of(weights) && (chosen < 0 || place >= 0); ++i)
            if (element(weights, i) > 0) {
                chosen = i;  // the last one that may be, should rounding leave something of `place`
                place -= element(weights, i);
            }
        element(at.start, b) = shape_.length * random.below((element(documents_, chosen).length() - 2) / shape_.length + 1);
        element(at.left, b) = windows_;
    }

    const std::vector<TokenDocument>& documents_;
    WindowShape shape_;
    Index windows_;
};

}  // namespace fot
