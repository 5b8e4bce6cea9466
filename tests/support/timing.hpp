/// Medians of repeated runs, for the benchmark programs.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "fot/core/tensor.hpp"

namespace fot::testing {

inline double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class Run>
double seconds_of(Run&& run) {
    const double start = now_seconds();
    run();
    return now_seconds() - start;
}

inline double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

/// Median time of `repeats` runs after two that do not count.
template <class Run>
double median_seconds(Index repeats, Run&& run, Index warm_up = 2) {
    for (Index i = 0; i < warm_up; ++i) run();
    std::vector<double> times;
    for (Index i = 0; i < repeats; ++i) times.push_back(seconds_of(run));
    return median(std::move(times));
}

}  // namespace fot::testing
