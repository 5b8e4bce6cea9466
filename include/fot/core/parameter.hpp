/// What optimisers and checkpoints see of a model: a list of named arrays of numbers of any rank.
///
/// A parameter reads through the variable that it was constructed from, at every use. So `x.value() = ...` and `x.gradient() = ...`
/// may be written at any time, even after the list was made, and the list may outlive the model.
///
/// Read first: core/autograd.hpp.   Read next: train/adamw.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "fot/core/autograd.hpp"

namespace fot {

/// What a parameter does in the model. Optimisers treat the roles differently (Muon: hidden matrices only).
enum class Role { embedding, hidden_matrix, output, norm_scale, temperature, gate };

/// One trained tensor, rank erased. The spans that it returns hold until another tensor is assigned to the variable.
template <class Real>
struct Parameter {
    std::string name;          ///< unique in its model: "layers.0.q"
    Role role;                 ///< what it does in the model
    std::vector<Index> shape;  ///< extents, as of its tensor

    std::function<std::span<Real>()> value;     ///< its numbers now, row-major.   Errors: ShapeError if the shape has changed
    std::function<std::span<Real>()> gradient;  ///< as many, zeros at first.   Errors: as value
};

/// A variable as a parameter. Its gradient exists (zeros) from here on.
template <class Real, std::size_t N>
Parameter<Real> parameter(std::string name, Role role, Variable<Real, N> variable) {
    const Shape<N> shape = shape_of(variable.value());
    variable.gradient();
    const auto numbers_of = [name, shape](Tensor<Real, N>& tensor) {
        require_shape(name.c_str(), tensor, shape);
        return std::span<Real>(tensor.storage());
    };
    return {.name = std::move(name),
            .role = role,
            .shape = {shape.begin(), shape.end()},
            .value = [variable, numbers_of]() mutable { return numbers_of(variable.value()); },
            .gradient = [variable, numbers_of] { return numbers_of(variable.gradient()); }};
}

/// Numbers seen as a tensor of this shape, in place: for expressions such as `viewed(p.value(), shape) -= rate * g`.
/// Errors: ShapeError if the shape has a different number of elements.
template <class Real, std::size_t N>
auto viewed(std::span<Real> numbers, const Shape<N>& shape) {
    Index count = 1;
    std::array<std::size_t, N> extents{};
    for (std::size_t axis = 0; axis < N; ++axis) {
        const bool countable = shape[axis] >= 0 && (count <= 0 || shape[axis] <= std::numeric_limits<Index>::max() / count);
        count = countable && count >= 0 ? count * shape[axis] : -1;
        extents[axis] = static_cast<std::size_t>(shape[axis]);
    }
    require<ShapeError>(count == length_of(numbers), "viewed: shape ", shape_text(shape), " for ", numbers.size(), " numbers");
    using Numbers = xt::xbuffer_adaptor<Real*, xt::no_ownership>;
    return xt::xtensor_adaptor<Numbers, N, xt::layout_type::row_major>(Numbers(numbers.data(), numbers.size()), extents);
}

/// Sets every gradient to zero.
template <class Real>
void zero_gradients(const std::vector<Parameter<Real>>& parameters) {
    for (const auto& p : parameters) std::ranges::fill(p.gradient(), Real(0));
}

/// How many numbers the model has.
template <class Real>
Index parameter_count(const std::vector<Parameter<Real>>& parameters) {
    Index total = 0;
    for (const auto& p : parameters) total += length_of(p.value());
    return total;
}

}  // namespace fot
