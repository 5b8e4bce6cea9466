/// Exercise 7: a broken gradient to find.
#include <doctest/doctest.h>

#include <broken_gradient.hpp>  // the file beside this one, or the answer: as the include path says
#include <cmath>
#include <utility>

#include "fot/core/gradient_check.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/reference/crossbatch.hpp"

using namespace exercises;

namespace {

template <std::size_t N>
Variable<double, N> normal_variable(const Shape<N>& shape, Random& random) {
    return Variable<double, N>(normal_tensor<double, N>(shape, 1, random), true);
}

OneHead head_of(Index T, Index S, Index D, std::uint64_t seed) {
    Random random(seed);
    return {normal_variable<2>({T, D}, random), normal_variable<2>({T, D}, random), normal_variable<2>({T, D}, random),
            normal_variable<2>({S, D}, random), normal_variable<2>({S, D}, random), normal_variable<1>({1}, random)};
}

/// The error of one of its gradients.
template <std::size_t N>
double error_of(const OneHead& in, Variable<double, N> OneHead::*part) {
    Variable<double, N> input = in.*part;
    return gradient_error([&](Tape& tape) { return one_head_attention(tape, in); }, input);
}

}  // namespace

TEST_CASE("7: the forward pass is crossbatch attention, and stays so") {
    const Index T = 4, S = 6, D = 3;
    const OneHead in = head_of(T, S, D, 1);
    const auto as_heads = [&](const Variable<double, 2>& x, double factor) {
        const Tensor<double, 2> scaled = factor * x.value();
        return reshaped(scaled, Shape<4>{1, extent(scaled, 0), 1, D});
    };
    const auto q = as_heads(in.q, std::exp(in.log_sharpness.value()(0))), k = as_heads(in.k, 1), v = as_heads(in.v, 1),
               context_k = as_heads(in.context_k, 1), context_v = as_heads(in.context_v, 1);
    const auto expected = reference::crossbatch_attention<double>({q, k, v, context_k, context_v, {{0}}});
    Tape tape(Tape::inference);
    const Tensor<double, 2> o = one_head_attention(tape, in).value();
    for (Index t = 0; t < T; ++t)
        for (Index i = 0; i < D; ++i) CHECK(o(t, i) == doctest::Approx(expected.o(0, t, 0, i)).epsilon(1e-12));
}

TEST_CASE("7: the gradients are those of the forward pass") {
    for (const auto& sizes : {std::pair<Index, Index>{4, 6}, {1, 1}, {3, 0}}) {
        const Index T = sizes.first, S = sizes.second;
        CAPTURE(T);
        CAPTURE(S);
        const OneHead in = head_of(T, S, 3, 2);
        CHECK_MESSAGE(error_of(in, &OneHead::q) < 1e-6, "of the queries");
        CHECK_MESSAGE(error_of(in, &OneHead::k) < 1e-6, "of the keys of the window");
        CHECK_MESSAGE(error_of(in, &OneHead::v) < 1e-6, "of the values of the window");
        CHECK_MESSAGE(error_of(in, &OneHead::context_k) < 1e-6, "of the keys of the contexts");
        CHECK_MESSAGE(error_of(in, &OneHead::context_v) < 1e-6, "of the values of the contexts");
        CHECK_MESSAGE(error_of(in, &OneHead::log_sharpness) < 1e-6, "of the sharpness");
    }
}

TEST_CASE("7: gradients are added to what other operations have left there") {
    // The same queries and keys in two operations: each adds its part.
    OneHead in = head_of(4, 6, 3, 3);
    const OneHead other{in.q, in.k, in.v, in.k, in.v, in.log_sharpness};
    const auto both = [&](Tape& tape) { return add(tape, one_head_attention(tape, in), one_head_attention(tape, other)); };
    CHECK(gradient_error(both, in.q, in.k, in.v, in.log_sharpness) < 1e-6);
}
