/// What was measured of several models, once with each seed.
///
/// Read next: support/memory_curves.hpp, support/positive_masses.hpp.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "example.hpp"
#include "fot/measure/intervals.hpp"

namespace fot::examples {

template <class Measured>
class Measurements {
   public:
    /// Adds what was measured with the model's next seed.
    void add(const std::string& model, Measured measured) {
        if (!has(model)) models_.push_back(model);
        of_seeds_[model].push_back(std::move(measured));
    }

    /// Names, in the order in which they were added first.
    const std::vector<std::string>& models() const { return models_; }
    bool has(const std::string& model) const { return of_seeds_.contains(model); }
    /// Seed by seed.   Errors: std::out_of_range if the model was not measured.
    const std::vector<Measured>& of_seeds(const std::string& model) const { return of_seeds_.at(model); }

    /// A number of a model, seed by seed: `read(measured)`.
    template <class Read>
    auto each(const std::string& model, Read&& read) const {
        std::vector<decltype(read(of_seeds(model).front()))> list;
        for (const Measured& measured : of_seeds(model)) list.push_back(read(measured));
        return list;
    }

   private:
    std::vector<std::string> models_;
    std::map<std::string, std::vector<Measured>> of_seeds_;
};

/// `result seconds_per_step.<model> <median over seeds>`, and the median as text. Seeds that have no time, NaN, do not count, since
/// their training was read from a file; "-" if none has one.
inline std::string report_seconds(Example& example, const Measurements<double>& measured, const std::string& model) {
    std::vector<double> seconds = measured.of_seeds(model);
    std::erase_if(seconds, [](double each) { return std::isnan(each); });
    if (seconds.empty()) return "-";
    example.result(message("seconds_per_step.", model), median(seconds));
    return fixed(median(seconds));
}

}  // namespace fot::examples
