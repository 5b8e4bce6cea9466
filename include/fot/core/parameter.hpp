/// What optimisers and checkpoints see of a model: a list of named arrays of numbers, whatever their rank.
///
/// Read first: core/autograd.hpp.   Read next: train/adamw.hpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fot/core/autograd.hpp"

namespace fot {

/// What a parameter does in the model. Optimisers treat the roles differently (Muon: hidden matrices only).
enum class Role { embedding, hidden_matrix, output, norm_scale, temperature, gate };

/// One trained tensor, rank erased: value and gradient are `count` numbers each, row-major.
template <class Real>
struct Parameter {
    std::string name;             ///< unique in its model: "layers.0.q"
    Role role;                    ///< what it does in the model
    std::vector<Index> shape;     ///< extents, as of its tensor
    Real* value;                  ///< its numbers
    Real* gradient;               ///< as many
    Index count;                  ///< how many
    std::shared_ptr<void> owner;  ///< keeps value and gradient alive
};

/// The view of a variable as a parameter. Its gradient exists (zeros) from here on.
template <class Real, std::size_t N>
Parameter<Real> parameter(std::string name, Role role, Variable<Real, N>& variable) {
    const Shape<N> shape = shape_of(variable.value());
    return {std::move(name),
            role,
            {shape.begin(), shape.end()},
            variable.value().data(),
            variable.gradient().data(),
            element_count(variable.value()),
            variable.owner()};
}

/// Sets every gradient to zero.
template <class Real>
void zero_gradients(const std::vector<Parameter<Real>>& parameters) {
    for (const auto& p : parameters) std::fill_n(p.gradient, p.count, Real(0));
}

/// How many numbers the model has.
template <class Real>
Index parameter_count(const std::vector<Parameter<Real>>& parameters) {
    Index total = 0;
    for (const auto& p : parameters) total += p.count;
    return total;
}

}  // namespace fot
