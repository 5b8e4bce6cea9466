/// How much memory a program has allocated, now and at most, and allocations that fail: for tests of what must not be held, and of
/// what must stay as it was when memory runs out.
///
/// support/allocations.cpp, which is linked to every test program, counts.
#pragma once

#include <atomic>

#include "fot/core/index.hpp"

namespace fot::testing {

inline std::atomic<Index> bytes_now{0}, most_bytes{0};

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

inline constexpr Index large_allocation = 65536;    ///< bytes; smaller ones never fail
inline std::atomic<Index> allowed_allocations{-1};  ///< so many large ones succeed, all later ones fail; -1: none fails

/// Lets so many large allocations succeed while it lives.
class FailingAllocation {
   public:
    explicit FailingAllocation(Index allowed) { allowed_allocations = allowed; }
    ~FailingAllocation() { allowed_allocations = -1; }
    FailingAllocation(const FailingAllocation&) = delete;
    FailingAllocation& operator=(const FailingAllocation&) = delete;
};

}  // namespace fot::testing
