/// Parallel loops: OpenMP where the compiler has it, a plain loop where it has not.
///
/// Every loop of the library writes to places that belong to one iteration alone, so results do not depend on the schedule.
/// BLAS computes on one thread meanwhile (core/blas.hpp): the loops around it are the parallel ones.
///
/// Read next: core/blas.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>

#include "fot/core/tensor.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace fot {

#ifdef _OPENMP
namespace detail {
inline std::atomic<int> chosen_threads = 0;  // 0: as OpenMP has it
/// Threads of one loop at most: more than there are processors for would wait for each other at the end of every loop.
inline std::atomic<int> most_at_once = omp_get_num_procs();
}
#endif

/// Number of threads that `parallel_for` uses: what `set_threads` chose, or else what OpenMP takes (OMP_NUM_THREADS, all cores).
inline Index threads() {
#ifdef _OPENMP
    const int chosen = detail::chosen_threads;
    return chosen > 0 ? chosen : omp_get_max_threads();
#else
    return 1;
#endif
}

/// Sets the number of threads of later parallel loops, whichever thread of the program starts them. Without OpenMP it stays 1. A
/// loop takes no more of them than the program has processors.
/// Errors: ConfigError below 1 and above 4096.
inline void set_threads(Index count) {
    require<ConfigError>(count >= 1 && count <= 4096, "set_threads: ", count, " threads, expected 1 ... 4096");
#ifdef _OPENMP
    detail::chosen_threads = static_cast<int>(count);
#endif
}

/// True inside a parallel loop: loops within it run on the calling thread alone.
inline bool in_parallel() {
#ifdef _OPENMP
    return omp_in_parallel() != 0;
#else
    return false;
#endif
}

namespace detail {

/// The loop behind `parallel_for`, compiled once for all bodies.
inline void run_on_threads(Index count, void (*run)(const void* body, Index i), const void* body) {
    if (count <= 1 || threads() == 1 || in_parallel()) {
        for (Index i = 0; i < count; ++i) run(body, i);
        return;
    }
    std::exception_ptr failure;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(std::min(static_cast <int>(threads()), most_at_once.load()))
#endif
    for (Index i = 0; i < count; ++i) {
        try {
            run(body, i);
        } catch (...) {
#ifdef _OPENMP
#pragma omp critical(fot_parallel_for_failure)
#endif
            failure = std::current_exception();
        }
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace detail

/// Runs body(i) for i = 0 ... count - 1, in any order, on all threads. Rethrows one exception of the body, if there were any.
template <class Body>
void parallel_for(Index count, const Body& body) {
    detail::run_on_threads(
        count, [](const void* each, Index i) { (*static_cast<const Body*>(each))(i); }, &body);
}

/// Runs body(first, last) over slices of 0 ... count, each of `grain` elements (the last one may be shorter).
/// The slices depend on `count` and `grain` only, not on the number of threads: sums over slices come out the same.
template <class Body>
void parallel_slices(Index count, Index grain, const Body& body) {
    grain = std::clamp<Index>(grain, 1, std::max<Index>(count, 1));
    parallel_for((count + grain - 1) / grain, [&](Index slice) { body(slice * grain, std::min(count, (slice + 1) * grain)); });
}

}  // namespace fot
