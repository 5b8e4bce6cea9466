/// Gradients are written through pointers: every vector-Jacobian product refuses one of another shape than what it belongs to.
#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "fot/attention/context_mass.hpp"
#include "fot/attention/joining.hpp"
#include "fot/nn/embedding.hpp"
#include "fot/nn/linear.hpp"
#include "fot/nn/rms_norm.hpp"
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
}

TEST_CASE("gradients of joined attentions have the shape of what they belong to") {
    auto a = of<4>({2, 3, 2, 4}), wrong = of<4>({2, 3, 2, 1});
    auto masses = of<3>({2, 2, 3}), few = of<3>({2, 2, 1});
    const AttentionOutput<double> part(a, masses), bad_o(wrong, masses), bad_mass(a, few);

    CHECK_NOTHROW(merge_vjp(part, part, {a, &masses}, {&a, &masses}, {&a, &masses}));
    CHECK_REFUSED(merge_vjp(part, bad_o, {a}, {&a, &masses}, {&a, &masses}), "merge vjp: second o");
    CHECK_REFUSED(merge_vjp(bad_mass, part, {a}, {&a, &masses}, {&a, &masses}), "merge vjp: first log_sum_exp");
    CHECK_REFUSED(merge_vjp(part, bad_mass, {a}, {&a, &masses}, {&a, &masses}), "merge vjp: second log_sum_exp");
    CHECK_REFUSED(merge_vjp(part, part, {wrong}, {&a, &masses}, {&a, &masses}), "merge vjp: d_o");
    CHECK_REFUSED(merge_vjp(part, part, {a, &few}, {&a, &masses}, {&a, &masses}), "merge vjp: d_log_sum_exp");
    CHECK_REFUSED(merge_vjp(part, part, {a}, {&wrong, &masses}, {&a, &masses}), "merge vjp: gradient of a part's o");
    CHECK_REFUSED(merge_vjp(part, part, {a}, {&a, &few}, {&a, &masses}), "merge vjp: gradient of a part's log_sum_exp");
    CHECK_REFUSED(merge_vjp(part, part, {a}, {&a, &masses}, {&wrong, &masses}), "merge vjp: gradient of a part's o");
    CHECK_REFUSED(merge_vjp(part, part, {a}, {&a, &masses}, {&a, &few}), "merge vjp: gradient of a part's log_sum_exp");
}

TEST_CASE("gradients of attention have the shape of what they belong to, and what the forward pass left is of this call, too") {
    auto a = of<4>({2, 3, 2, 4}), wrong = of<4>({2, 3, 2, 1});
    auto masses = of<3>({2, 2, 3}), few = of<3>({2, 2, 1});
    const ContextTable table = previous_contexts(2, 1, 1);
    const AttentionInput<double> in{a, a, a};
    const AttentionOutput<double> out(a, masses);

    using Output = AttentionOutput<double>;
    using OutputGradient = AttentionOutputGradient<double>;
    using Gradients = AttentionGradients<double>;
    const auto check = [&](const std::string& name, const std::function<void(Output, OutputGradient, Gradients)>& vjp) {
        const auto refused = [&](const char* what, const Output& output, const OutputGradient& d_out, const Gradients& d) {
            CHECK_REFUSED(vjp(output, d_out, d), (name + " vjp: " + what + " has shape").c_str());
        };
        const Gradients d{&a, &a, &a};
        CHECK_NOTHROW(vjp(out, {a, &masses}, d));
        CHECK_NOTHROW(vjp(out, {a}, {}));
        refused("o", {wrong, masses}, {a}, d);
        refused("log_sum_exp", {a, few}, {a}, d);
        refused("d_o", out, {wrong}, d);
        refused("d_log_sum_exp", out, {a, &few}, d);
        refused("d_q", out, {a}, {.q = &wrong});
        refused("d_k", out, {a}, {.k = &wrong});
        refused("d_v", out, {a}, {.v = &wrong});
    };
    check("causal_attention",
          [&](Output output, OutputGradient d_out, Gradients d) { causal_attention_vjp(in, {}, output, d_out, d); });
    check("context_attention",
          [&](Output output, OutputGradient d_out, Gradients d) { context_attention_vjp(in, table, output, d_out, d); });

    auto log_mass = of<4>({2, 3, 2, 2});
    CHECK_REFUSED(context_log_mass_vjp(a, a, table, log_mass, wrong, a, a), "context_log_mass vjp: d_mass");
    CHECK_REFUSED(context_log_mass_vjp(a, a, table, log_mass, log_mass, wrong, a), "context_log_mass vjp: d_q");
    CHECK_REFUSED(context_log_mass_vjp(a, a, table, log_mass, log_mass, a, wrong), "context_log_mass vjp: d_context_k");
    CHECK_REFUSED(context_log_mass_vjp(a, a, table, wrong, wrong, a, a), "context_log_mass vjp: mass");
}
