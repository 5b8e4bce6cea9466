/// The rule of verdicts: what a measured interval says about a claim.
///
/// A claim is a range in which a number must lie. Of a comparison the number is the difference, first minus second:
///
///     "a is lower than b"      below 0                                          lower_than_zero
///     "a is higher than b"     above 0                                          higher_than_zero
///     "a is as good as b"      within a margin                                  equal_bits: 0.02 bits per byte on either side
///     "a reaches a number"     above the number
///
/// The measured interval is the 95 % interval over seeds where there are three or more (fot/measure/intervals.hpp). If it lies
/// wholly within the range, the claim is reproduced; wholly outside, not reproduced; otherwise the runs cannot tell, which is
/// "not resolved". One or two seeds say nothing about other seeds: their interval is over documents or answers, and the most
/// that they can do is to agree or disagree with a claim.
///
/// Read first: fot/measure/intervals.hpp.   Read next: support/claims.hpp.
#pragma once

#include <cmath>
#include <limits>
#include <string>

#include "fot/measure/intervals.hpp"

namespace fot::examples {

inline constexpr double unlimited = std::numeric_limits<double>::infinity();

/// The ranges of claims about a difference.
inline constexpr Interval lower_than_zero{-unlimited, 0}, higher_than_zero{0, unlimited}, equal_bits{-0.02, 0.02};

/// "reproduced", "not reproduced" or "not resolved" of three seeds and more; "agrees", "disagrees" or "not resolved" of fewer;
/// "no interval" if an end is not a number.
inline std::string verdict(const Interval& measured, const Interval& claimed, Index seeds) {
    if (std::isnan(measured.low) || std::isnan(measured.high)) return "no interval";
    if (measured.low > claimed.low && measured.high < claimed.high) return seeds >= 3 ? "reproduced" : "agrees";
    if (measured.high <= claimed.low || measured.low >= claimed.high) return seeds >= 3 ? "not reproduced" : "disagrees";
    return "not resolved";
}

/// What the verdicts of a run are worth, in the title of their table.
inline std::string what_seeds_can(Index seeds) {
    return seeds >= 3 ? "over seeds" : "one or two seeds: they agree or disagree, and reproduce nothing";
}

/// A difference of two numbers that were measured apart, whose own intervals are all that is known: it lies above 0 if the first
/// interval lies above the second. An interval of the difference itself, where there is one, is narrower.
inline Interval difference_of(const Interval& first, const Interval& second) {
    return {first.low - second.high, first.high - second.low};
}

}  // namespace fot::examples
