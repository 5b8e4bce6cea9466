/// How many classes and demonstrations `few_shot` has at a time.
///
/// Read first: few_shot_task.hpp.   Read next: few_shot.cpp.
#pragma once

#include <algorithm>
#include <vector>

#include "fot/core/tensor.hpp"

namespace fot::examples {

/// Classes of an episode in each of the five stages of training, few first.
inline std::vector<Index> classes_of_stages(Index classes) {
    const Index few = std::min<Index>(12, classes);
    return {std::min<Index>(3, classes), std::min<Index>(6, classes), few, std::max(few, (classes + 1) / 2), classes};
}

/// Demonstrations that a window of `length` bytes holds, if they have `average` bytes, and at most `longest`.
/// Errors: ConfigError if it holds fewer than four, for a quarter of them is asked after too, or if the longest question has
///         no room in it after the `last_context` bytes of the demonstrations that are not in the memory.
inline Index demonstrations_in(Index length, double average, Index longest, Index last_context) {
    const auto held = static_cast<Index>(static_cast<double>(length) / average);
    require<ConfigError>(held >= 4, "--length ", length, ": a window holds ", held, " demonstrations, expected 4 or more");
    require<ConfigError>(last_context + longest <= length, "--length ", length, ": a demonstration may have ", longest,
                         " bytes, expected at most ", length - last_context, ", so that it fits behind ", last_context, " others");
    return held;
}

}  // namespace fot::examples
