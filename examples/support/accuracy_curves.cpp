#include "accuracy_curves.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fot::examples {

Estimate share_over_seeds(const std::vector<Estimate>& of_each) {
    const auto [value, interval] = over_seeds(of_each);
    return {value, {std::max(interval.low, 0.0), std::min(interval.high, 1.0)}};
}

AccuracyCurve shares_over_seeds(const Measurements<AccuracyCurve>& curves, const std::string& model) {
    AccuracyCurve shares = curves.of_seeds(model).front();
    for (auto& [size, share] : shares)
        share = share_over_seeds(curves.each(model, [at = size](const AccuracyCurve& curve) { return curve.at(at); }));
    return shares;
}

Estimate half_accuracy_size(const AccuracyCurve& curve) {
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

void report_accuracy(Example& example, const std::string& what, const Measurements<AccuracyCurve>& curves, const std::string& model,
                     Plot& plot) {
    Series series{model};
    for (const auto& [size, share] : shares_over_seeds(curves, model)) {
        series.add(size, share);
        example.result(message(what, ".", model, ".", size), share);
    }
    plot.series.push_back(series);
}

}  // namespace fot::examples
