/// What was measured of several models, once with each seed.
///
/// Read next: support/memory_curves.hpp, support/positive_masses.hpp.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

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

}  // namespace fot::examples
