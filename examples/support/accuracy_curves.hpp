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

/// The size at which half the answers are right: the first crossing of 1/2 from above, on a straight line between neighbours on a
/// logarithmic axis. Its interval is where the ends of the accuracy's interval cross.
///
/// Already below 1/2 at the smallest size: that size, from 0 on. Never below: the largest size, without an upper end.
/// Errors: ConfigError without sizes.
inline Estimate half_accuracy_size(const AccuracyCurve& curve) {
    require<ConfigError>(!curve.empty(), "half_accuracy_size: no sizes");
    constexpr double none = std::numeric_limits<double>::infinity();
    const auto crossing = [&](auto&& share) {
        if (share(curve.begin()->second) < 0.5) return 0.0;
        for (auto before = curve.begin(), at = std::next(before); at != curve.end(); before = at++) {
            const double high = share(before->second), low = share(at->second);
            if (low >= 0.5) continue;
            const double size = static_cast<double>(before->first), next = static_cast<double>(at->first);
            return size * std::pow(next / size, (high - 0.5) / (high - low));
        }
        return none;
    };
    const double smallest = static_cast<double>(curve.begin()->first), largest = static_cast<double>(curve.rbegin()->first);
    return {std::clamp(crossing([](const Estimate& at) { return at.value; }), smallest, largest),
            {std::min(crossing([](const Estimate& at) { return at.interval.low; }), largest),
             std::max(crossing([](const Estimate& at) { return at.interval.high; }), smallest)}};
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
