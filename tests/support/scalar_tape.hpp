/// Differentiation once more, one node a number: slow, short, and sharing nothing with the library's tape. An operation written
/// with these numbers as the paper has it, in index notation, is a second implementation of its value and of all its gradients.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "fot/core/tensor.hpp"

namespace fot::testing {

/// A number that remembers what it was computed from. Constants have no node.
class Scalar {
   public:
    Scalar(double value = 0) : value_(value) {}  // implicit: formulas have constants

    /// A number whose gradient is wanted.
    static Scalar input(double value) { return Scalar(value, {}, {}); }

    double value() const { return value_; }
    double gradient() const { return node_ < 0 ? 0 : nodes()[static_cast<std::size_t>(node_)].gradient; }
    void add_gradient(double gradient) const {
        if (node_ >= 0) nodes()[static_cast<std::size_t>(node_)].gradient += gradient;
    }

    /// Passes the gradients that were added to results down to what they were computed from.
    static void backward() {
        for (std::size_t i = nodes().size(); i-- > 0;) {
            const Node node = nodes()[i];
            for (const auto& [source, derivative] : {node.a, node.b})
                if (source >= 0) nodes()[static_cast<std::size_t>(source)].gradient += derivative * node.gradient;
        }
    }
    static void forget_all() { nodes().clear(); }

    friend Scalar operator+(const Scalar& a, const Scalar& b) { return {a.value_ + b.value_, {a.node_, 1}, {b.node_, 1}}; }
    friend Scalar operator-(const Scalar& a, const Scalar& b) { return {a.value_ - b.value_, {a.node_, 1}, {b.node_, -1}}; }
    friend Scalar operator*(const Scalar& a, const Scalar& b) {
        return {a.value_ * b.value_, {a.node_, b.value_}, {b.node_, a.value_}};
    }
    friend Scalar operator/(const Scalar& a, const Scalar& b) {
        return {a.value_ / b.value_, {a.node_, 1 / b.value_}, {b.node_, -a.value_ / (b.value_ * b.value_)}};
    }
    Scalar& operator+=(const Scalar& other) { return *this = *this + other; }
    friend Scalar exp(const Scalar& a) { return {std::exp(a.value_), {a.node_, std::exp(a.value_)}, {}}; }
    friend Scalar log(const Scalar& a) { return {std::log(a.value_), {a.node_, 1 / a.value_}, {}}; }
    friend Scalar sqrt(const Scalar& a) { return {std::sqrt(a.value_), {a.node_, 0.5 / std::sqrt(a.value_)}, {}}; }

   private:
    struct Edge {
        Index source = -1;
        double derivative = 0;
    };
    struct Node {
        Edge a, b;
        double gradient = 0;
    };

    Scalar(double value, const Edge& a, const Edge& b) : value_(value), node_(static_cast<Index>(nodes().size())) {
        nodes().push_back({a, b});
    }
    static std::vector<Node>& nodes() {
        static thread_local std::vector<Node> all;
        return all;
    }

    double value_;
    Index node_ = -1;
};

/// An array of them.
template <std::size_t N>
struct Scalars {
    Shape<N> shape;
    std::vector<Scalar> numbers;

    explicit Scalars(const Shape<N>& extents) : shape(extents) {
        Index count = 1;
        for (const Index extent : extents) count *= extent;
        numbers.resize(static_cast<std::size_t>(count));
    }

    /// Inputs with the values of a tensor.
    explicit Scalars(const Tensor<double, N>& values) : Scalars(shape_of(values)) {
        for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = Scalar::input(values.data()[i]);
    }

    template <class... Indices>
    Scalar& operator()(Indices... indices) {
        return numbers[place(indices...)];
    }
    template <class... Indices>
    const Scalar& operator()(Indices... indices) const {
        return numbers[place(indices...)];
    }

   private:
    template <class... Indices>
    std::size_t place(Indices... indices) const {
        static_assert(sizeof...(Indices) == N);
        Index offset = 0;
        std::size_t axis = 0;
        ((offset = offset * shape[axis++] + static_cast<Index>(indices)), ...);
        return static_cast<std::size_t>(offset);
    }
};

}  // namespace fot::testing
