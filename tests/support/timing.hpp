/// Medians of repeated runs, for the benchmark programs.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "fot/core/tensor.hpp"

namespace fot::testing {

inline double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Median time of `repeats` runs after two that do not count.
template <class Run>
double median_seconds(Index repeats, Run&& run, Index warm_up = 2) {
    for (Index i = 0; i < warm_up; ++i) run();
    std::vector<double> times;
    for (Index i = 0; i < repeats; ++i) {
        const double start = now_seconds();
        run();
        times.push_back(now_seconds() - start);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

}  // namespace fot::testing
