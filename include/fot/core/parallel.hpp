/// Parallel loops: the calling thread and helpers that wait for a loop take one iteration after the other.
///
/// Every loop of the library writes to places that belong to one iteration alone, so results do not depend on who takes which.
/// BLAS computes on one thread meanwhile (core/blas.hpp): the loops around it are the parallel ones.
///
/// Why not OpenMP: its loops end when all threads have come to them. Beside other busy programs a thread comes when the system lets
/// it, milliseconds later, and the others wait for it at every one of the hundreds of loops of a training step: slower than one
/// thread, and ten times slower still while they wait without sleeping, as they do unless told otherwise. Here a loop waits only
/// for helpers that are in the middle of an iteration; one that has not come yet is not needed (paper_notes.md has the figures).
///
/// Read next: core/blas.hpp.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

#include "fot/core/tensor.hpp"

namespace fot {

namespace detail {

/// OMP_NUM_THREADS if it is a number, as users of clusters expect; else the processors that this program may run on.
inline Index threads_of_this_machine() {
    const char* wish = std::getenv("OMP_NUM_THREADS");
    Index count = wish != nullptr ? std::atoi(wish) : 0;
#ifdef __linux__
    cpu_set_t allowed;  // by taskset, or by the scheduler of a cluster
    if (count < 1 && ::sched_getaffinity(0, sizeof allowed, &allowed) == 0) count = CPU_COUNT(&allowed);
#endif
    if (count < 1) count = static_cast<Index>(std::thread::hardware_concurrency());
    return std::clamp<Index>(count, 1, 4096);
}

inline std::atomic<Index> chosen_threads = 0;  // 0: those of this machine
inline thread_local bool in_loop = false;

}  // namespace detail

/// Number of threads of a parallel loop: what `set_threads` chose, else what the environment variable OMP_NUM_THREADS says, else
/// one for each processor that the program may use.
inline Index threads() {
    static const Index of_this_machine = detail::threads_of_this_machine();
    const Index chosen = detail::chosen_threads;
    return chosen > 0 ? chosen : of_this_machine;
}

/// Sets the number of threads of later parallel loops, whichever thread of the program starts them.
/// Errors: ConfigError below 1 and above 4096.
inline void set_threads(Index count) {
    require<ConfigError>(count >= 1 && count <= 4096, "set_threads: ", count, " threads, expected 1 ... 4096");
    detail::chosen_threads = count;
}

/// True inside a parallel loop: loops within it run on the calling thread alone.
inline bool in_parallel() { return detail::in_loop; }

namespace detail {

/// A loop that runs. It stands on the stack of the thread that started it.
struct Loop {
    Index count;
    void (*body_at)(const void* body, Index i);
    const void* body;
    Index places = 0;                 // for further helpers
    std::atomic<Index> next = 0;      // the iteration that nobody has taken yet
    std::atomic<Index> helpers = 0;   // that are in it now
    std::exception_ptr failure = {};  // one of those that iterations threw
    Loop* next_open = nullptr;
};

/// Threads that wait for loops. They sleep soon, because a thread that waits busily takes the processor from those that work, here
/// and in other programs; but not at once, because the next loop often begins within microseconds, and waking takes longer.
class Helpers {
   public:
    void run(Loop& loop) {
        open(loop);
        work(loop);
        close(loop);
        if (loop.failure) std::rethrow_exception(loop.failure);
    }

   private:
    void open(Loop& loop) {
        std::unique_lock<std::mutex> lock(mutex_);
        loop.places = std::min(threads(), loop.count) - 1;
        make_helpers(loop.places);
        loop.next_open = first_open_;
        first_open_ = &loop;
        places_ += loop.places;
        Index to_wake = std::min(loop.places, sleeping_);
        lock.unlock();
        for (; to_wake > 0; --to_wake) opened_.notify_one();
    }

    void work(Loop& loop) {
        in_loop = true;
        for (Index i = loop.next++; i < loop.count; i = loop.next++) {
            try {
                loop.body_at(loop.body, i);
            } catch (...) {
                const std::lock_guard<std::mutex> lock(mutex_);
                loop.failure = std::current_exception();
            }
        }
        in_loop = false;
    }

    /// From here on nobody enters the loop; those who are in it finish their iteration.
    void close(Loop& loop) {
        std::unique_lock<std::mutex> lock(mutex_);
        places_ -= loop.places;
        Loop** link = &first_open_;
        while (*link != &loop) link = &(*link)->next_open;
        *link = loop.next_open;
        if (loop.helpers == 0) return;
        lock.unlock();
        wait_a_moment([&] { return loop.helpers == 0; });
        lock.lock();
        left_.wait(lock, [&] { return loop.helpers == 0; });
    }

    [[noreturn]] void help() {
        for (;;) {
            wait_a_moment([&] { return places_ > 0; });
            std::unique_lock<std::mutex> lock(mutex_);
            ++sleeping_;
            opened_.wait(lock, [&] { return places_ > 0; });
            --sleeping_;
            Loop* loop = first_open_;
            while (loop->places == 0) loop = loop->next_open;
            --loop->places;
            --places_;
            ++loop->helpers;
            lock.unlock();
            work(*loop);
            lock.lock();
            if (--loop->helpers == 0) left_.notify_all();
        }
    }

    /// Where the system gives no more threads, loops do with those that there are.
    void make_helpers(Index wanted) {
        for (; made_ < wanted; ++made_) {
            try {
                std::thread([this] { help(); }).detach();
            } catch (const std::exception&) {
            }
        }
    }

    template <class Condition>
    static void wait_a_moment(const Condition& holds) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
        while (!holds() && std::chrono::steady_clock::now() < end) {
        }
    }

    std::mutex mutex_;  // of all that follows
    std::condition_variable opened_, left_;
    Loop* first_open_ = nullptr;
    Index made_ = 0, sleeping_ = 0;
    std::atomic<Index> places_ = 0;  // of all open loops
};

/// The loop behind `parallel_for`, compiled once for all bodies.
inline void run_on_threads(Index count, void (*body_at)(const void* body, Index i), const void* body) {
    static const pid_t process = ::getpid();  // a fork of it has no helpers, and perhaps a locked mutex
    if (count <= 1 || threads() == 1 || in_parallel() || ::getpid() != process) {
        for (Index i = 0; i < count; ++i) body_at(body, i);
        return;
    }
    static Helpers& helpers = *new Helpers;  // never deleted: its threads sleep on it when the program ends
    Loop loop{.count = count, .body_at = body_at, .body = body};
    helpers.run(loop);
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
