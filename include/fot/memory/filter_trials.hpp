/// When a search uses its filter: as long as that is faster, which is measured.
///
///     const bool filtered = trials.due(block.rows) && filter.read(block);
///     ...                                                                         // the block is searched
///     trials.took(filtered, seconds);
///
/// What a filter gains depends on the processor, on the number of queries, which share the work of rounding the keys, and on the
/// data: in clusters too narrow for the bound most keys remain. The first blocks of a search are scored without it, because bars
/// are still low. Then two blocks are searched without it and two with it, and the way whose faster block took less time for a key
/// is taken until as many keys have come again as so far, at most 65536. Then both are tried anew. Two blocks, since one may have
/// been interrupted. Where a filter gains nothing, a search of a million keys loses less than 3 % by trials (benchmark_filter).
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
    /// They begin with the block that brings the keys beyond the first so many.
    explicit FilterTrials(Index first = 12288) : next_trials_(first) {}

    /// Is the filter to be used for the next block, of so many keys? Each call is followed by `took`.
    bool due(Index keys) {
        keys_ = keys;
        seen_ += keys;
        ++block_;
        if (!in_trial() && seen_ > next_trials_) {
            next_trials_ = seen_ + std::min<Index>(seen_, 65536);
            block_ = 0;
            without_ = with_ = std::numeric_limits<double>::infinity();
        }
        return in_trial() ? block_ >= 2 : with_ < without_;
    }

    /// That block took so long, filtered or not.
    void took(bool filtered, double seconds) {
        double& least = filtered ? with_ : without_;
        if (in_trial()) least = std::min(least, seconds / static_cast<double>(keys_));
    }

   private:
    bool in_trial() const { return block_ < 4; }

    Index next_trials_;              // after so many keys
    Index seen_ = 0, keys_ = 0;      // keys in all, and of the block
    Index block_ = 4;                // since trials began: 0 and 1 go without the filter, 2 and 3 with it
    double without_ = 0, with_ = 0;  // seconds of a key in these trials, the lesser of two
};

}  // namespace fot
