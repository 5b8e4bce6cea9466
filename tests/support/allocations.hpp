/// How much memory a program has allocated, now and at most, and allocations that fail: for tests of what must not be held, and of
/// what must stay as it was when memory runs out.
///
/// support/allocations.cpp, which is linked to every test program, counts.
#pragma once

#include <atomic>
#include <new>

#include "fot/core/check.hpp"
#include "fot/core/index.hpp"

namespace fot::testing {

extern std::atomic<Index> bytes_now, most_bytes;  // defined beside the operators, so that these are linked before a sanitizer's

/// Bytes allocated and not yet freed.
inline Index bytes_in_use() { return bytes_now; }

/// Bytes that `work` needs at most, beside what was there before.
template <class Work>
Index peak_bytes(Work&& work) {
    const Index before = bytes_now;
    most_bytes = before;
    work();
    return most_bytes - before;
}

extern std::atomic<Index> allocations_until_failure;  ///< so many succeed, the next one fails; below 0: none fails

/// Lets one allocation fail while it lives: the one after so many.
class FailingAllocation {
   public:
    explicit FailingAllocation(Index after) { allocations_until_failure = after; }
    ~FailingAllocation() { allocations_until_failure = -1; }
    FailingAllocation(const FailingAllocation&) = delete;
    FailingAllocation& operator=(const FailingAllocation&) = delete;

    /// Whether it has failed.
    bool happened() const { return allocations_until_failure < 0; }
};

/// How often `work` allocates.
template <class Work>
Index count_allocations(Work&& work) {
    constexpr Index many = Index{1} << 40;
    const FailingAllocation none(many);
    work();
    return many - allocations_until_failure;
}

/// Runs `work` with its first allocation failing, then with its second, and so on, until it gets through without a failure; returns
/// how many failed. After each failure `check` must find everything as it was before, and may put back what must not be reused,
/// such as spare room.
///
/// `work` may end with std::bad_alloc or an error of the library. It must allocate in the same order each time: on one thread. The
/// first `spared` allocations do not fail: a JSON object needs memory to be destroyed, and ends the program if it gets none.
template <class Work, class Check>
Index for_every_failing_allocation(Work&& work, Check&& check, Index spared = 0) {
    for (Index after = spared;; ++after) {
        bool failed = false;
        {
            const FailingAllocation failing(after);
            try {
                work();
            } catch (const std::bad_alloc&) {
                failed = true;
            } catch (const Error&) {  // into which a stream turns it
                if (!failing.happened()) throw;
                failed = true;
            }
            if (!failing.happened()) return after - spared;
        }
        if (failed) check();  // some algorithms of the standard library get along with less memory
    }
}

}  // namespace fot::testing
