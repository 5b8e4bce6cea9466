/// What a program writes that uses xtensor and fot together. Included after both, in either order.
#pragma once

#include <cmath>
#include <vector>

namespace fot::testing {

/// fot's functions on tensors that xtensor made, and xtensor's on those of fot. Static: the two test files must not share one copy.
[[maybe_unused]] static void check_beside_xtensor() {
    xt::random::seed(1);
    const Tensor<float, 2> keys = xt::random::randn<float>({50, 8});
    const Tensor<float, 2> queries = xt::view(keys, xt::range(7, 10), xt::all());

    // Every score by xtensor-blas; the largest of each row by xtensor.
    const xt::xtensor<float, 2> scores = xt::linalg::dot(queries, xt::eval(xt::transpose(keys)));
    const auto best = xt::eval(xt::argmax(scores, 1));
    const SearchResult<float> found = exact_search(keys, queries, 4);
    for (Index n = 0; n < 3; ++n) {
        CHECK(found.indices(n, 0) == static_cast<Index>(best(n)));
        CHECK(found.scores(n, 0) == doctest::Approx(xt::amax(xt::view(scores, n))()));
    }

    // fot's product is xtensor's; rows, heads and views address the same numbers.
    Tensor<float, 2> product = zeros_like(scores);
    gemm(1.0f, as_matrix(queries), transpose(as_matrix(keys)), 0.0f, as_matrix(product));
    CHECK(xt::allclose(product, scores, 1e-4, 1e-5));
    Tensor<float, 4> q = xt::random::randn<float>({2, 5, 3, 4});
    CHECK(row(q, 1, 2, 1)[3] == xt::view(q, 1, 2, 1, xt::all())(3));
    CHECK(head(q, 1, 2).row(4)[0] == q(1, 4, 2, 0));

    // Expressions are assigned to tensors, and reduced.
    Tensor<float, 4> k = 0.5f * q, v = xt::ones_like(q);
    const AttentionResult<float> attended = causal_attention<float>({q, k, v});
    CHECK(xt::allclose(attended.o, xt::ones<float>({2, 5, 3, 4})));
    const Tensor<float, 3> logits = xt::random::randn<float>({1, 4, 6});
    const Tensor<float, 3> sums = xt::sum(xt::exp(logits), {2}, xt::keep_dims);
    const Tensor<float, 2> nats = token_nats(logits, zeros<std::int32_t, 2>({1, 4}));
    for (Index t = 0; t < 4; ++t) CHECK(nats(0, t) == doctest::Approx(std::log(sums(0, t, 0)) - logits(0, t, 0)));
}

}  // namespace fot::testing
