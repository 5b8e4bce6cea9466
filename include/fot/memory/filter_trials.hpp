/// When a search uses its filter: as long as that is faster, which is measured.
///
///     const bool filtered = trials.due(block.rows) && filter.read(block);
///     ...                                                                         // the block is searched
///     trials.took(filtered, seconds);
///
/// What a filter gains depends on the processor, on the number of queries, which share the work of rounding the keys, and on the
/// data: in clusters too narrow for the bound nearly all keys remain. The first blocks of a search are therefore scored without it,
/// also because bars are still low. Then it is used. If two blocks in turn take longer than the fastest of the first, the search
/// goes on without it and tries again so seldom that it loses less than 3 % (benchmark_filter). Two, since one may just have been
/// interrupted.
///
/// The choice does not show in what is found: a filter is exact.
///
/// Read first: memory/byte_filter.hpp.   Read next: memory/streaming_search.hpp.
#pragma once

#include <algorithm>
#include <limits>

#include "fot/core/index.hpp"

namespace fot {

/// The trials of one search, which runs on one thread.
class FilterTrials {
   public:
    /// The first is due once so many keys have come.
    explicit FilterTrials(Index first_trial) : first_trial_(first_trial), next_trial_(first_trial) {}

    /// Is the filter to be used for the next block, of so many keys?
    bool due(Index keys) {
        keys_ = keys;
        seen_ += keys;
        return seen_ >= next_trial_;
    }

    /// That block took so long, filtered or not.
    void took(bool filtered, double seconds) {
        const double of_a_key = seconds / static_cast<double>(keys_);
        if (seen_ < first_trial_) least_ = std::min(least_, of_a_key);
        if (filtered) slow_ = of_a_key > least_ ? slow_ + 1 : 0;
        if (slow_ == 2) {
            slow_ = 0;
            next_trial_ = seen_ + std::min<Index>(seen_ / 2, 32768);
        }
    }

   private:
    Index first_trial_, next_trial_;
    Index keys_ = 0, seen_ = 0;                               // of the block, and in all
    Index slow_ = 0;                                          // filtered blocks in turn that took longer
    double least_ = std::numeric_limits<double>::infinity();  // seconds of a key without the filter
};

}  // namespace fot
