#include "fot/model/rotary_layout.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "fot/core/random.hpp"
#include "support/gradient_check.hpp"

using namespace fot;

namespace {

Tensor<double, 2> widened(const StoredMatrix& weight) {
    Tensor<double, 2> copy = empty<double, 2>({weight.rows, weight.columns});
    std::copy_n(static_cast<const double*>(weight.numbers), copy.size(), copy.data());
    return copy;
}

/// Scores of queries and keys that are projected, turned in the given layout, and multiplied.
Tensor<double, 3> scores(const Tensor<double, 3>& x, const StoredMatrix& q, const StoredMatrix& k, RotaryLayout layout) {
    const RotaryTable<double> table(100, 4, 16);
    const std::vector<Index> positions{3, 0, 11};
    const Tensor<double, 4> turned_q = rotate(project_heads(x, q, 2), positions, table, layout),
                            turned_k = rotate(project_heads(x, k, 2), positions, table, layout);
    Tensor<double, 3> all = empty<double, 3>({2, 3, 3});
    for (Index h = 0; h < 2; ++h)
        for (Index i = 0; i < 3; ++i)
            for (Index j = 0; j < 3; ++j)
                all(h, i, j) = std::inner_product(row(turned_q, Index(0), i, h), row(turned_q, Index(0), i, h) + 4,
                                                  row(turned_k, Index(0), j, h), 0.0);
    return all;
}

}  // namespace

TEST_CASE("rows change places within a head, pair by pair") {
    Tensor<double, 2> weight = empty<double, 2>({8, 1});
    std::iota(weight.data(), weight.data() + 8, 0.0);
    const StoredMatrix stored = stored_matrix(weight);
    const Tensor<double, 2> neighbours =
        widened(with_rotary_layout(stored, 2, RotaryLayout::half_split, RotaryLayout::interleaved));
    CHECK(neighbours.storage() == Tensor<double, 2>{{0}, {2}, {1}, {3}, {4}, {6}, {5}, {7}}.storage());
    const Tensor<double, 2> one_head = widened(with_rotary_layout(stored, 1, RotaryLayout::half_split, RotaryLayout::interleaved));
    CHECK(one_head.storage() == Tensor<double, 2>{{0}, {4}, {1}, {5}, {2}, {6}, {3}, {7}}.storage());
}

TEST_CASE("scores are the same in both layouts, and there and back is nothing") {
    Random random(1);
    const Tensor<double, 3> x = normal_tensor<double, 3>({1, 3, 5}, 1, random);
    LongLlamaWeights<double> weights;
    weights.layers.resize(1);
    weights.layers[0].q = stored_matrix(normal_tensor<double, 2>({8, 5}, 1, random));
    weights.layers[0].k = stored_matrix(normal_tensor<double, 2>({8, 5}, 1, random));
    const StoredMatrix q = weights.layers[0].q, k = weights.layers[0].k;
    const LongLlamaConfig config{.vocabulary = 3, .width = 8, .feed_forward = 4, .layers = 1, .heads = 2, .memory_layers = {}};
    const Tensor<double, 3> expected = scores(x, q, k, RotaryLayout::half_split);
    change_rotary_layout(weights, config, RotaryLayout::half_split, RotaryLayout::interleaved);
    CHECK(testing::largest_difference(scores(x, weights.layers[0].q, weights.layers[0].k, RotaryLayout::interleaved), expected) <
          1e-14);
    CHECK(testing::largest_difference(scores(x, weights.layers[0].q, weights.layers[0].k, RotaryLayout::half_split), expected) >
          0.1);
    change_rotary_layout(weights, config, RotaryLayout::interleaved, RotaryLayout::half_split);
    CHECK(widened(weights.layers[0].q) == widened(q));
    CHECK(widened(weights.layers[0].k) == widened(k));
    CHECK(with_rotary_layout(q, 2, RotaryLayout::interleaved, RotaryLayout::interleaved).numbers == q.numbers);
}

TEST_CASE("rows that do not divide into heads of even width are refused") {
    const StoredMatrix weight = stored_matrix(zeros<float, 2>({6, 2}));
    CHECK_THROWS_WITH_AS(with_rotary_layout(weight, 2, RotaryLayout::half_split, RotaryLayout::interleaved),
                         "with_rotary_layout: the 6 rows do not divide into 2 heads of even width", ConfigError);
}
