/// Where the first weights of a model come from: drawn at random, or read from somewhere.
///
/// A model asks for each of its weights by name: "embedding", "layers.0.attention_norm", "layers.0.q", "k", "v", "o", "up",
/// "gate_map", "down", "feed_forward_norm", "final_norm", "output". A source answers with weights to be trained or with constants.
///
/// So a model that is made new and one that is read from a checkpoint are built by the same code.
///
/// Read first: nn/linear_map.hpp.   Read next: model/memory_layer.hpp, model/long_llama_files.hpp.
#pragma once

#include <string>

#include "fot/core/random.hpp"
#include "fot/nn/linear_map.hpp"

namespace fot {

/// A source of first weights.
template <class Real>
class WeightSource {
   public:
    virtual ~WeightSource() = default;

    /// A linear map (rows, columns) = (out, in). If it is drawn, its numbers have this standard deviation.
    virtual LinearMap<Real> matrix(const std::string& name, Index rows, Index columns, double deviation) const = 0;
    /// The scales of a norm, `count` numbers.
    virtual Variable<Real, 1> scales(const std::string& name, Index count) const = 0;

    /// `matrix`, of the shape that was asked for.   Errors: ShapeError if it has another.
    LinearMap<Real> checked_matrix(const std::string& name, Index rows, Index columns, double deviation) const {
        LinearMap<Real> map = matrix(name, rows, columns, deviation);
        require<ShapeError>(map.rows() == rows && map.columns() == columns, "WeightSource: '", name, "' is ", map.rows(), " x ",
                            map.columns(), ", expected ", rows, " x ", columns);
        return map;
    }
};

/// Weights to be trained: normal numbers, and scales of one.
template <class Real>
class RandomWeights : public WeightSource<Real> {
   public:
    /// `random` must outlive this, and goes on from draw to draw.
    explicit RandomWeights(Random& random) : random_(random) {}
    LinearMap<Real> matrix(const std::string&, Index rows, Index columns, double deviation) const override {
        return Variable<Real, 2>(normal_tensor<Real, 2>({rows, columns}, deviation, random_), true);
    }
    Variable<Real, 1> scales(const std::string&, Index count) const override {
        return Variable<Real, 1>(full<Real, 1>({count}, Real(1)), true);
    }

   private:
    Random& random_;
};

}  // namespace fot
