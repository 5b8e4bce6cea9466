/// Random inputs for attention, and the library's definition of it with options: what the tests of attention compare with.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/core/random.hpp"
#include "fot/reference/crossbatch.hpp"
#include "support/gradient_check.hpp"

namespace fot::testing {

/// Sizes of a call of attention: B, T, U, H, G, D, E, P, S.
struct AttentionSizes {
    Index entries = 1, queries = 1, keys = 1, heads = 1, key_heads = 1, width = 2, value_width = 2, sources = 0, rows = 0;
};

template <class Real>
struct AttentionInputs {
    Tensor<Real, 4> q, k, v, context_k, context_v;

    AttentionInputs(const AttentionSizes& s, std::uint64_t seed) {
        Random random(seed);
        q = normal_tensor<Real, 4>({s.entries, s.queries, s.heads, s.width}, 1, random);
        k = normal_tensor<Real, 4>({s.entries, s.keys, s.key_heads, s.width}, 1, random);
        v = normal_tensor<Real, 4>({s.entries, s.keys, s.key_heads, s.value_width}, 1, random);
        context_k = normal_tensor<Real, 4>({s.sources, s.rows, s.key_heads, s.width}, 1, random);
        context_v = normal_tensor<Real, 4>({s.sources, s.rows, s.key_heads, s.value_width}, 1, random);
    }

    /// What local attention takes.
    AttentionInput<Real> local() const { return {q, k, v}; }
    /// What attention to contexts takes.
    AttentionInput<Real> contexts() const { return {q, context_k, context_v}; }

    /// Crossbatch attention by its kernels, with the options that its local part has.
    AttentionResult<Real> attend(const ContextTable& table, const LocalOptions<Real>& options = {}) const {
        const AttentionResult<Real> further = context_attention(contexts(), table), near = causal_attention(local(), options);
        return merge<Real>(further, near);
    }
};

/// The same numbers in double.
template <class Real, std::size_t N>
Tensor<double, N> in_double(const Tensor<Real, N>& x) {
    Tensor<double, N> wide = empty<double, N>(shape_of(x));
    std::copy_n(x.data(), x.size(), wide.data());
    return wide;
}

/// x (A,N,H,D) with U numbers more a head, (A,N,H,D+U): `further(a, n, u)` is the u-th of them.
template <class Further>
Tensor<double, 4> widened(const Tensor<double, 4>& x, Index more, Further&& further) {
    const Index width = extent(x, 3);
    Tensor<double, 4> wide = empty<double, 4>({extent(x, 0), extent(x, 1), extent(x, 2), width + more});
    for (Index a = 0; a < extent(x, 0); ++a)
        for (Index n = 0; n < extent(x, 1); ++n)
            for (Index h = 0; h < extent(x, 2); ++h) {
                std::copy_n(row(x, a, n, h), width, row(wide, a, n, h));
                for (Index u = 0; u < more; ++u) wide(a, n, h, width + u) = further(a, n, u);
            }
    return wide;
}

/// The first D numbers of each head of x (A,N,H,D+U).
inline Tensor<double, 4> narrowed(const Tensor<double, 4>& x, Index width) {
    Tensor<double, 4> narrow = empty<double, 4>({extent(x, 0), extent(x, 1), extent(x, 2), width});
    for (Index a = 0; a < extent(x, 0); ++a)
        for (Index n = 0; n < extent(x, 1); ++n)
            for (Index h = 0; h < extent(x, 2); ++h) std::copy_n(row(x, a, n, h), width, row(narrow, a, n, h));
    return narrow;
}

inline constexpr double hidden = -1e300;  ///< in place of -infinity, which would be NaN when multiplied by a zero

/// Inputs for reference::crossbatch_attention in double, with the option that it does not have: a bias of local scores becomes
/// further numbers of the queries, (B,T,U), where local key u has a one at the u-th and contexts have zeros.
template <class Real>
reference::CrossbatchInput<double> oracle_input(const AttentionInputs<Real>& in, const ContextTable& table,
                                                const LocalOptions<Real>& options) {
    reference::CrossbatchInput<double> seen{in_double(in.q),         in_double(in.k),         in_double(in.v),
                                            in_double(in.context_k), in_double(in.context_v), table.contexts,
                                            options.query_positions};
    if (options.bias.size()) {
        const Index keys = extent(in.k, 1);
        const Tensor<double, 3> bias = in_double(options.bias);
        seen.q = widened(seen.q, keys, [&](Index b, Index t, Index u) { return std::max(bias(b, t, u), hidden); });
        seen.k = widened(seen.k, keys, [](Index, Index s, Index u) { return s == u ? 1.0 : 0.0; });
        seen.context_k = widened(seen.context_k, keys, [](Index, Index, Index) { return 0.0; });
    }
    return seen;
}

/// What attention to local keys and contexts must give.
template <class Real>
AttentionResult<double> attention_oracle(const AttentionInputs<Real>& in, const ContextTable& table,
                                         const LocalOptions<Real>& options = {}) {
    auto [o, log_sum_exp] = reference::crossbatch_attention(oracle_input(in, table, options));
    for (Index b = 0; b < extent(o, 0); ++b)
        for (Index t = 0; t < extent(o, 1); ++t)
            for (Index h = 0; h < extent(o, 2); ++h)
                if (log_sum_exp(b, h, t) <= hidden / 2) {  // all that this query could see was hidden
                    log_sum_exp(b, h, t) = -std::numeric_limits<double>::infinity();
                    std::fill_n(row(o, b, t, h), extent(o, 3), 0.0);
                }
    return {std::move(o), std::move(log_sum_exp)};
}

/// The gradients that it must give, for these of o and of the log-sum-exp.
template <class Real>
reference::CrossbatchGradients<double> attention_oracle_vjp(const AttentionInputs<Real>& in, const ContextTable& table,
                                                            const LocalOptions<Real>& options, const Tensor<Real, 4>& d_o,
                                                            const Tensor<Real, 3>& d_log_sum_exp) {
    auto d = reference::crossbatch_attention_vjp(oracle_input(in, table, options), in_double(d_o), in_double(d_log_sum_exp));
    for (Tensor<double, 4>* of_width : {&d.q, &d.k, &d.context_k}) *of_width = narrowed(*of_width, extent(in.q, 3));
    return d;
}

/// Of a gradient from that of the definition, relative to the largest number expected in it, or to 1 if that is smaller.
template <class Real>
double gradient_difference(const Tensor<Real, 4>& got, const Tensor<double, 4>& expected) {
    double largest = 1;
    for (const double number : expected.storage()) largest = worse(largest, std::abs(number));
    return largest_difference(got, expected) / largest;
}

/// For inputs too large to vary each number: the derivative of `loss()` in three random directions against <d_x, direction>.
/// Relative error, four-point differences.
template <std::size_t N, class Loss>
double directional_error(Tensor<double, N>& x, const Tensor<double, N>& d_x, Loss&& loss, double step = 1e-3) {
    const WithThreads alone(1);
    Random random(7);
    const Tensor<double, N> before = x;
    double worst = 0;
    for (int direction = 0; direction < 3; ++direction) {
        const Tensor<double, N> along = normal_tensor<double, N>(shape_of(x), 1, random);
        const auto at = [&](double offset) {
            for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = before.data()[i] + offset * along.data()[i];
            return static_cast<double>(loss());
        };
        const double numerical = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
        const double exact = weighted_sum(d_x, along);
        worst = worse(worst, std::abs(numerical - exact) / std::max(std::abs(numerical), std::abs(exact)));
        x = before;
    }
    return worst;
}

}  // namespace fot::testing
