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
inline Estimate share_over_seeds(const std::vector<Estimate>& of_each) {
    const auto [value, interval] = over_seeds(of_each);
    return {value, {std::max(interval.low, 0.0), std::min(interval.high, 1.0)}};
}

/// The same at every size.
inline AccuracyCurve shares_over_seeds(const Measurements<AccuracyCurve>& curves, const std::string& model) {
    AccuracyCurve shares = curves.of_seeds(model).front();
    for (auto& [size, share] : shares)
        share = share_over_seeds(curves.each(model, [at = size](const AccuracyCurve& curve) { return curve.at(at); }));
    return shares;
}

/// Adds a model's line to the plot, and `result <what>.<model>.<size> <value> <low> <high>`.
inline void report_accuracy(Example& example, const std::string& what, const Measurements<AccuracyCurve>& curves,
                            const std::string& model, Plot& plot) {
    Series series{model};
    for (const auto& [size, share] : shares_over_seeds(curves, model)) {
        series.add(size, share);
        example.result(message(what, ".", model, ".", size), share);
    }
    plot.series.push_back(series);
}

}  // namespace fot::examples
