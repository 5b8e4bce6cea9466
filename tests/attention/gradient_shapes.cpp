/// Gradients are written through pointers: every vector-Jacobian product refuses one of another shape than what it belongs to.
#include <doctest/doctest.h>

#include "fot/attention/context_mass.hpp"
#include "fot/attention/gate.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/nn/embedding.hpp"
#include "fot/nn/feed_forward.hpp"
#include "fot/nn/linear.hpp"
#include "fot/nn/rms_norm.hpp"
#include "fot/nn/slices.hpp"
#include "fot/nn/unit_heads.hpp"

using namespace fot;

namespace {

template <std::size_t N>
Tensor<double, N> of(const Shape<N>& shape) {
    return zeros<double, N>(shape);
}

#define CHECK_REFUSED(call, what) CHECK_THROWS_WITH_AS(call, doctest::Contains(what), ShapeError)

}  // namespace

TEST_CASE("gradients of layers have the shape of what they belong to") {
    auto x = of<3>({2, 3, 4}), small = of<3>({2, 3, 1});
    auto scale = of<1>({4}), short_scale = of<1>({3});
    CHECK_REFUSED(rms_norm_vjp(small, x, scale, 1e-6, &x, &scale), "rms_norm vjp: d_y has shape (2, 3, 1)");
    CHECK_REFUSED(rms_norm_vjp(x, x, short_scale, 1e-6, &x, &scale), "rms_norm vjp: scale");
    CHECK_REFUSED(rms_norm_vjp(x, x, scale, 1e-6, &small, &scale), "rms_norm vjp: d_x");
    CHECK_REFUSED(rms_norm_vjp(x, x, scale, 1e-6, &x, &short_scale), "rms_norm vjp: d_scale");

    auto heads = of<4>({2, 3, 2, 2}), fewer = of<4>({2, 3, 1, 2});
    auto per_head = of<1>({2}), one_head = of<1>({1});
    CHECK_REFUSED(normalize_heads_vjp(fewer, heads, &per_head, 1e-6, &heads, &per_head), "normalize_heads vjp: d_y");
    CHECK_REFUSED(normalize_heads_vjp(heads, heads, &one_head, 1e-6, &heads, &per_head), "vjp: log_inverse_temperature");
    CHECK_REFUSED(normalize_heads_vjp(heads, heads, &per_head, 1e-6, &fewer, &per_head), "normalize_heads vjp: d_x");
    CHECK_REFUSED(normalize_heads_vjp(heads, heads, &per_head, 1e-6, &heads, &one_head), "vjp: d_log_inverse_temperature");

    auto weight = of<2>({5, 4}), other_weight = of<2>({4, 4});
    auto y = of<3>({2, 3, 5});
    CHECK_REFUSED(linear_vjp(x, x, weight, &x, &weight), "linear vjp: d_y (2, 3, 4), x (2, 3, 4) and weight (5, 4) do not fit");
    CHECK_REFUSED(linear_vjp(y, x, weight, &small, &weight), "linear vjp: d_x");
    CHECK_REFUSED(linear_vjp(y, x, weight, &x, &other_weight), "linear vjp: d_weight");

    Tokens tokens = zeros<std::int32_t, 2>({2, 3});
    CHECK_REFUSED(embedding_vjp(small, tokens, weight), "embedding vjp: d_x has shape (2, 3, 1), expected (2, 3, 4)");
    for (const std::int32_t outside : {5, -1}) {
        tokens(1, 2) = outside;
        CHECK_THROWS_AS(embedding_vjp(x, tokens, weight), DataError);
    }
    tokens(1, 2) = 0;

    CHECK_REFUSED(activation_vjp(small, x, Activation::relu, x), "activation vjp: d_a");
    CHECK_REFUSED(activation_vjp(x, x, Activation::relu, small), "activation vjp: d_x");
    CHECK_REFUSED(swiglu_vjp(small, x, x, &x, &x), "swiglu vjp: d_a");
    CHECK_REFUSED(swiglu_vjp(x, small, x, &x, &x), "swiglu vjp: gate");
    CHECK_REFUSED(swiglu_vjp(x, x, x, &small, &x), "swiglu vjp: d_gate");
    CHECK_REFUSED(swiglu_vjp(x, x, x, &x, &small), "swiglu vjp: d_up");

    CHECK_REFUSED(take_entries_vjp(small, 0, x), "take_entries vjp: d_y");
    CHECK_THROWS_AS(take_entries_vjp(x, 1, x), ConfigError);
    CHECK_REFUSED(take_positions_vjp(small, {0, 1, 2}, x), "take_positions vjp: d_y");
    CHECK_THROWS_AS(take_positions_vjp(x, {0, 1, 3}, x), ConfigError);

    const auto rows = of<2>({2, 3}), more_rows = of<2>({2, 4});
    CHECK_REFUSED(token_losses_vjp(more_rows, x, tokens, rows, x), "token_losses vjp: d_nats");
    CHECK_REFUSED(token_losses_vjp(rows, x, zeros<std::int32_t, 2>({2, 4}), rows, x), "token_losses vjp: targets");
    CHECK_REFUSED(token_losses_vjp(rows, x, tokens, more_rows, x), "token_losses vjp: log_sum_exp");
    CHECK_REFUSED(token_losses_vjp(rows, x, tokens, rows, small), "token_losses vjp: d_logits");
}

TEST_CASE("gradients of attention have the shape of what they belong to") {
    auto a = of<4>({2, 3, 2, 4}), wrong = of<4>({2, 3, 2, 1});
    auto masses = of<3>({2, 2, 3}), few = of<3>({2, 2, 1});
    auto bias = of<1>({2}), wide = of<1>({3});
    CHECK_REFUSED(gate(a, a, bias, &few), "gate: memory_log_sum_exp has shape (2, 2, 1), expected (2, 2, 3)");
    CHECK_REFUSED(gate_vjp(a, a, bias, wrong, &a, &a, &bias), "gate vjp: d_o");
    CHECK_REFUSED(gate_vjp(a, a, bias, a, &wrong, &a, &bias), "gate vjp: d_memory");
    CHECK_REFUSED(gate_vjp(a, a, bias, a, &a, &wrong, &bias), "gate vjp: d_local");
    CHECK_REFUSED(gate_vjp(a, a, bias, a, &a, &a, &wide), "gate vjp: d_bias");
    CHECK_REFUSED(merge_vjp(a, masses, a, masses, wrong, nullptr, &a, &masses, &a, &masses), "merge vjp: d_o");
    CHECK_REFUSED(merge_vjp(a, masses, a, masses, a, nullptr, &wrong, &masses, &a, &masses), "merge vjp: d_a");
    CHECK_REFUSED(merge_vjp(a, masses, a, masses, a, nullptr, &a, &few, &a, &masses), "merge vjp: d_a_log_sum_exp");
    CHECK_REFUSED(merge_vjp(a, masses, a, masses, a, nullptr, &a, &masses, &wrong, &masses), "merge vjp: d_b");
    CHECK_REFUSED(merge_vjp(a, masses, a, masses, a, nullptr, &a, &masses, &a, &few), "merge vjp: d_b_log_sum_exp");

    const ContextTable table = previous_contexts(2, 1, 1);
    auto log_mass = of<4>({2, 3, 2, 2});
    CHECK_REFUSED(context_log_mass_vjp(a, a, table, 1.0, log_mass, wrong, a, a), "context_log_mass vjp: d_mass");
    CHECK_REFUSED(context_log_mass_vjp(a, a, table, 1.0, log_mass, log_mass, wrong, a), "context_log_mass vjp: d_q");
    CHECK_REFUSED(context_log_mass_vjp(a, a, table, 1.0, log_mass, log_mass, a, wrong), "context_log_mass vjp: d_context_k");

    const auto crossbatch_gradients = [&](const Tensor<double, 4>& d_o, Tensor<double, 4>& d_q, Tensor<double, 4>& d_k,
                                          Tensor<double, 4>& d_v, Tensor<double, 4>& d_ck, Tensor<double, 4>& d_cv) {
        crossbatch_attention_vjp<double>(a, a, a, a, a, table, {}, a, masses, d_o, nullptr, &d_q, &d_k, &d_v, &d_ck, &d_cv);
    };
    CHECK_REFUSED(crossbatch_gradients(wrong, a, a, a, a, a), "attention vjp: d_o");
    CHECK_REFUSED(crossbatch_gradients(a, wrong, a, a, a, a), "attention vjp: d_q");
    CHECK_REFUSED(crossbatch_gradients(a, a, wrong, a, a, a), "attention vjp: d_k");
    CHECK_REFUSED(crossbatch_gradients(a, a, a, wrong, a, a), "attention vjp: d_v");
    CHECK_REFUSED(crossbatch_gradients(a, a, a, a, wrong, a), "attention vjp: d_context_k");
    CHECK_REFUSED(crossbatch_gradients(a, a, a, a, a, wrong), "attention vjp: d_context_v");

    auto found = of<5>({2, 3, 2, 5, 4}), wrong_found = of<5>({2, 3, 2, 1, 4});
    const auto retrieved_gradients = [&](const Tensor<double, 4>& d_o, Tensor<double, 4>& d_q, Tensor<double, 5>& d_keys,
                                         Tensor<double, 5>& d_values) {
        retrieved_attention_vjp(a, found, found, 1.0, a, masses, d_o, nullptr, &d_q, &d_keys, &d_values);
    };
    CHECK_REFUSED(retrieved_gradients(wrong, a, found, found), "retrieved_attention vjp: d_o");
    CHECK_REFUSED(retrieved_gradients(a, wrong, found, found), "retrieved_attention vjp: d_q");
    CHECK_REFUSED(retrieved_gradients(a, a, wrong_found, found), "retrieved_attention vjp: d_keys");
    CHECK_REFUSED(retrieved_gradients(a, a, found, wrong_found), "retrieved_attention vjp: d_values");

    // What the forward pass left must be of this call, too.
    const auto crossbatch_saved = [&](const Tensor<double, 4>& o, const Tensor<double, 3>& mass, const Tensor<double, 3>* d_mass) {
        crossbatch_attention_vjp<double>(a, a, a, a, a, table, {}, o, mass, o, d_mass, &a, &a, &a, &a, &a);
    };
    CHECK_REFUSED(crossbatch_saved(wrong, masses, nullptr), "attention vjp: o");
    CHECK_REFUSED(crossbatch_saved(a, few, nullptr), "attention vjp: log_sum_exp");
    CHECK_REFUSED(crossbatch_saved(a, masses, &few), "attention vjp: d_log_sum_exp");
    const auto retrieved_saved = [&](const Tensor<double, 4>& o, const Tensor<double, 3>& mass, const Tensor<double, 3>* d_mass) {
        retrieved_attention_vjp(a, found, found, 1.0, o, mass, o, d_mass, &a, &found, &found);
    };
    CHECK_REFUSED(retrieved_saved(wrong, masses, nullptr), "retrieved_attention vjp: o");
    CHECK_REFUSED(retrieved_saved(a, few, nullptr), "retrieved_attention vjp: log_sum_exp");
    CHECK_REFUSED(retrieved_saved(a, masses, &few), "retrieved_attention vjp: d_log_sum_exp");
    CHECK_REFUSED(merge_vjp(a, masses, a, masses, a, &few, &a, &masses, &a, &masses), "merge vjp: d_log_sum_exp");
    CHECK_REFUSED(context_log_mass_vjp(a, a, table, 1.0, wrong, wrong, a, a), "context_log_mass vjp: mass");
}
