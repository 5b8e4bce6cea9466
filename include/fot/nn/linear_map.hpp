/// A linear map whose matrix is trained, or stays as it lies in a file. So a model is written once, for both.
///
/// A trained matrix is a parameter on the tape (nn/linear.hpp). A stored one is part of a finished model and stays in the numbers
/// of its file (nn/stored_linear.hpp): what it computes is a constant. No gradient flows through a stored map, so an operation that
/// would need one is refused.
///
/// Read first: nn/linear.hpp, nn/stored_linear.hpp.   Read next: model/weights.hpp, model/memory_layer.hpp.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fot/core/parameter.hpp"
#include "fot/nn/stored_linear.hpp"

namespace fot {

/// The matrix (out, in) of a linear map. Copies share the numbers.
template <class Real>
class LinearMap {
   public:
    LinearMap() = default;                                                  ///< no map
    LinearMap(Variable<Real, 2> trained) : trained_(std::move(trained)) {}  ///< to be trained
    LinearMap(StoredMatrix stored) : stored_(std::move(stored)) {}          ///< as a file has it

    /// False for no map.
    explicit operator bool() const { return trained_ || stored_; }
    /// True if a backward pass leaves a gradient here.
    bool needs_gradient() const { return trained_.needs_gradient(); }
    /// out
    Index rows() const { return stored_ ? stored_->rows : extent(trained().value(), 0); }
    /// in
    Index columns() const { return stored_ ? stored_->columns : extent(trained().value(), 1); }

    /// The stored matrix, or null if the map is trained.
    const StoredMatrix* stored() const { return stored_ ? &*stored_ : nullptr; }
    /// The trained matrix; an empty handle if there is no map.   Errors: ConfigError for a stored one.
    const Variable<Real, 2>& trained() const {
        require<ConfigError>(!stored_, "LinearMap: a stored matrix of ", stored_ ? stored_->rows : 0, " x ",
                             stored_ ? stored_->columns : 0, " is not trained: load the model with weights to be trained");
        return trained_;
    }
    /// The numbers of either, where they lie. One path for both: what is trained gives bitwise the same once it is stored.
    StoredMatrix numbers() const {
        if (stored_) return *stored_;
        const auto owner = std::make_shared<const Variable<Real, 2>>(trained_);
        return {owner->value().data(), dtype_of<Real>(), rows(), columns(), owner};
    }

   private:
    Variable<Real, 2> trained_;
    std::optional<StoredMatrix> stored_;
};

/// A trained map as a parameter.   Errors: ConfigError for a stored one.
template <class Real>
Parameter<Real> parameter(std::string name, Role role, const LinearMap<Real>& map) {
    return parameter(std::move(name), role, map.trained());
}

/// A function (name, role, weight) that adds the weights which are trained to the list.
template <class Real>
auto adding_trained(std::vector<Parameter<Real>>& list) {
    return [&list](const std::string& name, Role role, const auto& weight) {
        if (weight.needs_gradient()) list.push_back(parameter(name, role, weight));
    };
}

/// What a map multiplies with, of either kind: from here on the functions of nn/linear.hpp take it.
template <class Real>
StoredMatrix numbers_of(const LinearMap<Real>& map) {
    return map.numbers();
}

/// Puts y, made of x, on the tape.   Errors: ConfigError if a gradient would have to flow through a stored matrix.
template <class Real, std::size_t N, std::size_t M>
Variable<Real, M> record_linear(Tape& tape, Tensor<Real, M> y, const Variable<Real, N>& x, const LinearMap<Real>& map) {
    if (!map.stored()) return record_linear(tape, std::move(y), x, map.trained());
    require<ConfigError>(!tape.recording() || !x.needs_gradient(),
                         "LinearMap: a gradient would have to pass a stored matrix: use an inference tape, or load the model with "
                         "weights to be trained");
    return Variable<Real, M>(std::move(y));
}

/// `embedding` by either kind of table.
template <class Real>
Variable<Real, 3> embedding(Tape& tape, const Tokens& tokens, const LinearMap<Real>& table) {
    if (!table.stored()) return embedding(tape, tokens, table.trained());
    return Variable<Real, 3>(embedding<Real>(tokens, *table.stored()));
}

}  // namespace fot
