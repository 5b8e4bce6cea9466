#include "fot/reference/positive_mass.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/reference/crossbatch.hpp"

using namespace fot;

TEST_CASE("the share of the first contexts by hand") {
    // e to the scores: context 0 has 1 and 2, context 1 has 3 and 6, context 2 has 1 and 1.
    const auto log = [](double x) { return std::log(x); };
    const Tensor<double, 4> q{{{{1}}}}, context_k{{{{0}}, {{log(2)}}}, {{{log(3)}}, {{log(6)}}}, {{{0}}, {{0}}}};
    CHECK(reference::positive_mass(q, context_k, {{0, 1, 2}}, 1)(0, 0, 0) == doctest::Approx(1));
    CHECK(reference::positive_mass(q, context_k, {{0, 1, 2}}, 2)(0, 0, 0) == doctest::Approx(3 / 12.0));
    CHECK(reference::positive_mass(q, context_k, {{0, 1, 2}}, 3)(0, 0, 0) == doctest::Approx(3 / 14.0));
    CHECK(reference::positive_mass(q, context_k, {{1, 0, 2}}, 3)(0, 0, 0) == doctest::Approx(9 / 14.0));
}

TEST_CASE("attention that does not tell contexts apart has r_d = 1/d") {
    Random random(1);
    const auto q = normal_tensor<double, 4>({1, 3, 4, 2}, 1, random), one = normal_tensor<double, 4>({1, 5, 2, 2}, 1, random);
    Tensor<double, 4> same = empty<double, 4>({3, 5, 2, 2});
    for (Index c = 0; c < 3; ++c) std::copy_n(one.data(), one.size(), row(same, c));
    for (const Index d : {1, 2, 3}) {
        const Tensor<double, 3> r = reference::positive_mass(q, same, {{2, 0, 1}}, d);
        for (const double share : r.storage()) CHECK(share == doctest::Approx(1 / static_cast<double>(d)));
    }
}

TEST_CASE("it is the weight of the first context in the memory layer's softmax, over that of all contexts: the local keys cancel") {
    Random random(2);
    const auto of = [&](const Shape<4>& shape) { return normal_tensor<double, 4>(shape, 1, random); };
    reference::CrossbatchInput<double> in{
        of({2, 3, 4, 2}), of({2, 3, 2, 2}), zeros<double, 4>({2, 3, 2, 2}), of({3, 5, 2, 2}), zeros<double, 4>({3, 5, 2, 2}),
        {{0, 2}, {1, 0}}};
    // Values that read off the weights: (1, 1) in the own context, (0, 1) in the other, (0, 0) in the local one. Entry 0's own is
    // context 0, where entry 1 sees a distraction: one entry at a time.
    for (Index b = 0; b < 2; ++b) {
        in.context_v.fill(0);
        for (const Index c : element(in.contexts, b))
            for (Index s = 0; s < 5; ++s)
                for (Index g = 0; g < 2; ++g) {
                    in.context_v(c, s, g, 0) = c == element(element(in.contexts, b), 0);
                    in.context_v(c, s, g, 1) = 1;
                }
        const auto o = reference::crossbatch_attention(in).o;
        const auto r = reference::positive_mass(in.q, in.context_k, in.contexts, 2);
        for (Index t = 0; t < 3; ++t)
            for (Index h = 0; h < 4; ++h) CHECK(r(b, t, h) == doctest::Approx(o(b, t, h, 0) / o(b, t, h, 1)).epsilon(1e-12));
    }
}

TEST_CASE("the order of the other contexts does not matter, nor does what is beyond the d-th") {
    Random random(3);
    const auto q = normal_tensor<double, 4>({1, 2, 1, 3}, 1, random), context_k = normal_tensor<double, 4>({5, 4, 1, 3}, 1, random);
    const auto r = reference::positive_mass(q, context_k, {{3, 0, 1, 2}}, 3);
    const auto other = reference::positive_mass(q, context_k, {{3, 1, 0, 4}}, 3);
    for (Index t = 0; t < 2; ++t) CHECK(r(0, t, 0) == doctest::Approx(other(0, t, 0)).epsilon(1e-14));
}

TEST_CASE("lists that are too short, contexts that do not exist and keys of another width are refused") {
    const Tensor<float, 4> q = zeros<float, 4>({1, 2, 2, 3}), k = zeros<float, 4>({2, 4, 1, 3});
    CHECK_THROWS_WITH_AS(reference::positive_mass(q, k, {{0, 1}}, 3),
                         "reference::positive_mass: the share of the first of 3 contexts in a list of 2", ConfigError);
    CHECK_THROWS_AS(reference::positive_mass(q, k, {{0, 1}}, 0), ConfigError);
    CHECK_THROWS_WITH_AS(reference::positive_mass(q, k, {{0, 2}}, 1), "reference::positive_mass: context 2, expected 0 ... 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(reference::positive_mass(q, k, {{0}, {1}}, 1),
                         "reference::positive_mass: 2 lists of contexts for 1 entries", ConfigError);
    CHECK_THROWS_AS(reference::positive_mass(q, zeros<float, 4>({2, 4, 1, 2}), {{0, 1}}, 1), ShapeError);
    CHECK_THROWS_AS(reference::positive_mass(q, zeros<float, 4>({2, 4, 3, 3}), {{0, 1}}, 1), ShapeError);
}
