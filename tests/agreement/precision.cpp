// In float the programs run, in double everything else is checked: the same inputs, larger than one tile or slice, in both.
#include "fot/attention/crossbatch_attention.hpp"
#include "fot/loss/contrastive_loss.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/nn/feed_forward.hpp"
#include "fot/nn/rms_norm.hpp"
#include "fot/nn/unit_heads.hpp"
#include "support/agreement.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

template <class To, class From, std::size_t N>
Tensor<To, N> converted(const Tensor<From, N>& x) {
    Tensor<To, N> y = empty<To, N>(shape_of(x));
    std::transform(x.data(), x.data() + x.size(), y.data(), [](From number) { return static_cast<To>(number); });
    return y;
}

/// The result of `operation(tape, inputs...)` and the gradients of all inputs under a random weighting of it.
template <class Real, class Operation, std::size_t... N>
auto result_and_gradients(Operation&& operation, const Tensor<float, N>&... inputs) {
    const std::tuple<Variable<Real, N>...> x(Variable<Real, N>(converted<Real>(inputs), true)...);
    Tape tape;
    const auto y = std::apply([&](const auto&... each) { return operation(tape, each...); }, x);
    Random random(5);
    const auto d_y = converted<Real>(normal_tensor<float>(shape_of(y.value()), 1, random));
    replay(tape, y, d_y);
    return std::apply([&](const auto&... each) { return std::tuple(y.value(), each.gradient()...); }, x);
}

/// Largest difference between float and double, relative to the largest number of the result or gradient it is in.
template <class Operation, std::size_t... N>
double float_error(Operation&& operation, const Tensor<float, N>&... inputs) {
    const auto in_float = result_and_gradients<float>(operation, inputs...);
    const auto in_double = result_and_gradients<double>(operation, inputs...);
    double worst = 0;
    const auto compare = [&](const auto& a, const auto& b) {
        double largest = 1e-8;  // a gradient may be zero
        for (const double number : b.storage()) largest = worse(largest, std::abs(number));
        worst = worse(worst, largest_difference(a, b) / largest);
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (compare(std::get<I>(in_float), std::get<I>(in_double)), ...); }
    (std::make_index_sequence<sizeof...(N) + 1>());
    return worst;
}

}  // namespace

TEST_CASE("crossbatch attention in float has the results and gradients of double") {
    Random random(1);
    const ContextTable table = previous_contexts(2, 1, 1);
    const auto attend = [&](Tape& tape, const auto& q, const auto& k, const auto& v, const auto& context_k, const auto& context_v) {
        return crossbatch_attention(tape, q, k, v, context_k, context_v, table).o;
    };
    CHECK(float_error(attend, normal_tensor<float, 4>({2, 70, 4, 16}, 0.5, random),
                      normal_tensor<float, 4>({2, 280, 2, 16}, 0.5, random), normal_tensor<float, 4>({2, 280, 2, 8}, 1, random),
                      normal_tensor<float, 4>({2, 300, 2, 16}, 0.5, random),
                      normal_tensor<float, 4>({2, 300, 2, 8}, 1, random)) < 1e-4);
}

TEST_CASE("so has the contrastive loss") {
    Random random(2);
    const ContextTable table = previous_contexts(3, 1, 2);
    CHECK(float_error([&](Tape& tape, const auto& q, const auto& context_k) { return contrastive_loss(tape, q, context_k, table); },
                      normal_tensor<float, 4>({3, 70, 2, 16}, 0.5, random),
                      normal_tensor<float, 4>({3, 300, 2, 16}, 0.5, random)) < 1e-4);
}

TEST_CASE("so has the feed-forward layer") {
    Random random(3);
    for (const Activation kind : {Activation::relu, Activation::squared_relu, Activation::swiglu}) {
        const auto layer = [&](Tape& tape, const auto& x, const auto& up, const auto& down, const auto& gate) {
            return kind == Activation::swiglu ? feed_forward(tape, x, up, down, kind, gate) : feed_forward(tape, x, up, down, kind);
        };
        CHECK(float_error(layer, normal_tensor<float, 3>({2, 300, 24}, 1, random), normal_tensor<float, 2>({200, 24}, 0.2, random),
                          normal_tensor<float, 2>({24, 200}, 0.1, random), normal_tensor<float, 2>({200, 24}, 0.2, random)) < 1e-4);
    }
}

TEST_CASE("so have the norms") {
    Random random(4);
    CHECK(float_error([](Tape& tape, const auto& x, const auto& scale) { return rms_norm(tape, x, scale); },
                      normal_tensor<float, 3>({2, 300, 40}, 1, random), normal_tensor<float, 1>({40}, 1, random)) < 1e-4);
    CHECK(float_error([](Tape& tape, const auto& x, const auto& sharpness) { return normalize_heads(tape, x, sharpness); },
                      normal_tensor<float, 4>({2, 300, 3, 40}, 1, random), normal_tensor<float, 1>({3}, 1, random)) < 1e-4);
}

TEST_CASE("so has the cross-entropy of a large vocabulary") {
    Random random(5);
    const Index length = 40, vocabulary = 1000;
    const Tokens targets = random_tokens(2, length, vocabulary, random);
    const auto loss = [&]<class Real>(Tape& tape, const Variable<Real, 3>& logits) {
        return cross_entropy(tape, logits, targets, full<Real, 2>({2, length}, Real(1)));
    };
    CHECK(float_error(loss, normal_tensor<float, 3>({2, length, vocabulary}, 3, random)) < 1e-4);
}
