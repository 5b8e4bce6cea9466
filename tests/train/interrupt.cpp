#include "fot/train/interrupt.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

using namespace fot;

namespace {

/// How a child process ends that runs `body`: the signal that ended it, or 0 if it came to its end.
template <class Body>
int ending_signal(Body&& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGINT, SIG_DFL);
        ::signal(SIGTERM, SIG_DFL);
        body();
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

TEST_CASE("the first interrupt sets the flag and the program goes on") {
    CHECK_FALSE(interrupted());
    for (int signal_number : {SIGINT, SIGTERM}) {
        const InterruptGuard guard;
        CHECK_FALSE(interrupted());
        ::raise(signal_number);
        CHECK(interrupted());
    }
    CHECK_FALSE(interrupted());
}

TEST_CASE("a program that waits for input when the interrupt comes goes on waiting") {
    const InterruptGuard guard;
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    std::thread other([&, reader = ::pthread_self()] {
        std::this_thread::sleep_for(std::chrono::milliseconds(100));  // until it waits; if it does not yet, nothing is tested
        ::pthread_kill(reader, SIGINT);
        // The thread sanitizer calls a handler only when the read has ended, so the flag is not waited for without end.
        for (int i = 0; i < 200 && !interrupted(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        REQUIRE(::write(ends[1], "x", 1) == 1);
    });
    char got = 0;
    CHECK(::read(ends[0], &got, 1) == 1);
    CHECK(got == 'x');
    CHECK(interrupted());
    other.join();
    for (const int end : ends) ::close(end);
}

TEST_CASE("the second interrupt ends the program at once, by whichever signal") {
    const auto twice = [](int first, int second) {
        return ending_signal([&] {
            const InterruptGuard guard;
            ::raise(first);
            ::raise(second);
        });
    };
    CHECK(twice(SIGINT, SIGINT) == SIGINT);
    CHECK(twice(SIGTERM, SIGTERM) == SIGTERM);
    CHECK(twice(SIGINT, SIGTERM) == SIGTERM);
}

TEST_CASE("without a guard an interrupt ends the program, and a guard that is gone is no guard") {
    CHECK(ending_signal([] { ::raise(SIGINT); }) == SIGINT);
    CHECK(ending_signal([] {
              { const InterruptGuard guard; }
              ::raise(SIGINT);
          }) == SIGINT);
}

TEST_CASE("an inner guard leaves flag and handlers to the outer one") {
    CHECK(ending_signal([] {
              const InterruptGuard outer;
              ::raise(SIGINT);
              {
                  const InterruptGuard inner;
                  if (!interrupted()) ::_exit(1);
              }
              if (!interrupted()) ::raise(SIGKILL);
          }) == 0);
    const InterruptGuard outer;
    { const InterruptGuard inner; }
    ::raise(SIGINT);
    CHECK(interrupted());
}

TEST_CASE("a signal that was ignored stays ignored") {
    CHECK(ending_signal([] {
              ::signal(SIGINT, SIG_IGN);
              const InterruptGuard guard;
              ::raise(SIGINT);
              ::raise(SIGINT);
              if (interrupted()) ::raise(SIGKILL);
          }) == 0);
}
