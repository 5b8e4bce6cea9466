/// How much memory a program has allocated, now and at most: for tests and benchmarks of what must not be held.
///
/// One source file of the program includes support/count_allocations.hpp.
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

}  // namespace fot::testing
