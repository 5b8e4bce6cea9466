/// A number of threads for a while.
#pragma once

#include "fot/core/parallel.hpp"

namespace fot::testing {

/// This many threads while it lives, then as many as before; on any number of processors.
class WithThreads {
   public:
    explicit WithThreads(Index count) : before_(threads()) {
        set_threads(count);
#ifdef _OPENMP
        at_once_before_ = detail::most_at_once.exchange(4096);
#endif
    }
    ~WithThreads() {
        set_threads(before_);
#ifdef _OPENMP
        detail::most_at_once = at_once_before_;
#endif
    }
    WithThreads(const WithThreads&) = delete;
    WithThreads& operator=(const WithThreads&) = delete;

   private:
    Index before_;
    [[maybe_unused]] int at_once_before_ = 1;
};

}  // namespace fot::testing
