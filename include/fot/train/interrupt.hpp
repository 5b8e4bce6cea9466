/// Ctrl-C as a question instead of an end: a long run finishes its step, leaves a checkpoint and says how to go on.
///
///     InterruptGuard guard;                     // first line of a program's main
///     while (!interrupted()) step();
///
/// The first SIGINT or SIGTERM only sets a flag; a second one ends the program at once, as if there were no guard. Needs POSIX.
///
/// Read next: train/trainer.hpp, which asks `interrupted()` before every step.
#pragma once

#include <signal.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace fot {

namespace detail {

inline std::atomic<bool> interrupt_came = false;
inline std::atomic<int> interrupt_guards = 0;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

/// Only calls that a signal handler may make.
inline void note_interrupt(int signal_number) {
    if (!interrupt_came.exchange(true)) return;
    ::signal(signal_number, SIG_DFL);
    ::raise(signal_number);  // delivered when the handler returns
}

}  // namespace detail

/// True if an interrupt came while a guard lives.
inline bool interrupted() { return detail::interrupt_came; }

/// While one lives, SIGINT and SIGTERM set the flag of `interrupted`. The outermost guard begins with the flag clear, and ends by
/// clearing it and putting the former handlers back. A signal that was ignored before (nohup, a job in the background) stays
/// ignored.
class InterruptGuard {
   public:
    InterruptGuard() {
        if (detail::interrupt_guards++ > 0) return;
        detail::interrupt_came = false;
        struct sigaction action {};
        action.sa_handler = detail::note_interrupt;
        action.sa_flags = SA_RESTART;  // reading and writing go on
        sigemptyset(&action.sa_mask);
        for (std::size_t i = 0; i < signals_.size(); ++i) {
            ::sigaction(signals_[i], nullptr, &before_[i]);
            if (before_[i].sa_handler != SIG_IGN) ::sigaction(signals_[i], &action, nullptr);
        }
        outermost_ = true;
    }
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;
    ~InterruptGuard() {
        if (outermost_) {
            for (std::size_t i = 0; i < signals_.size(); ++i) ::sigaction(signals_[i], &before_[i], nullptr);
            detail::interrupt_came = false;
        }
        --detail::interrupt_guards;
    }

   private:
    static constexpr std::array<int, 2> signals_{SIGINT, SIGTERM};
    std::array<struct sigaction, 2> before_{};
    bool outermost_ = false;
};

}  // namespace fot
