/// Shares (of right answers, of attention) over a size (of a memory, a prompt, a number of contexts): of several models and seeds.
///
/// Read first: support/measurements.hpp, support/example.hpp.   Read next: dictionary_lookup.cpp, passkey.cpp.
#pragma once

#include "example.hpp"
#include "measurements.hpp"

namespace fot::examples {

/// The share at each size.
using AccuracyCurve = std::map<Index, Estimate>;

/// The median over seeds of a share, as over_seeds; no interval reaches below 0 or above 1.
Estimate share_over_seeds(const std::vector<Estimate>& of_each);

/// The same at every size.
AccuracyCurve shares_over_seeds(const Measurements<AccuracyCurve>& curves, const std::string& model);

/// The size at which half the answers are right: the first crossing of 1/2 from above, on a straight line between neighbours on a
/// logarithmic axis. Its interval is where the ends of the accuracy's interval cross.
///
/// Already below 1/2 at the smallest size: that size, from 0 on. Never below: the largest size, without an upper end.
/// Errors: ConfigError without sizes.
Estimate half_accuracy_size(const AccuracyCurve& curve);

/// Adds a model's line to the plot, and `result <what>.<model>.<size> <value> <low> <high>`.
void report_accuracy(Example& example, const std::string& what, const Measurements<AccuracyCurve>& curves, const std::string& model,
                     Plot& plot);

}  // namespace fot::examples
