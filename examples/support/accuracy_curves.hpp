/// Shares of right answers over a size (of a memory, a prompt, a number of demonstrations): of several models and seeds.
///
/// Read first: support/measurements.hpp, support/example.hpp.   Read next: dictionary_lookup.cpp, passkey.cpp.
#pragma once

#include "example.hpp"
#include "measurements.hpp"

namespace fot::examples {

/// The share at each size.
using AccuracyCurve = std::map<Index, Estimate>;

/// The median over seeds of a share, as over_seeds; no interval reaches below 0 or above 1.
inline Estimate share_over_seeds(const std::vector<Estimate>& of_each) {
    const auto [value, interval] = over_seeds(of_each);
    return {value, {std::max(interval.low, 0.0), std::min(interval.high, 1.0)}};
}

/// Adds a model's line to the plot, and `result <what>.<model>.<size> <value>`.
inline void report_accuracy(Example& example, const std::string& what, const Measurements<AccuracyCurve>& curves,
                            const std::string& model, Plot& plot) {
    Series series{model};
    for (const auto& [size, of_first_seed] : curves.of_seeds(model).front()) {
        const Index x = size;
        const Estimate share = share_over_seeds(curves.each(model, [&](const AccuracyCurve& curve) { return curve.at(x); }));
        series.add(x, share);
        example.result(message(what, ".", model, ".", x), share.value);
    }
    plot.series.push_back(series);
}

}  // namespace fot::examples
