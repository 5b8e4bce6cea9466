/// Answer to exercise 8: another loss.
///
/// With the share s_c = exp(L_c) / sum_c exp(L_c) and r the sum of s_c over positives,
///
///     d(1 - r) / d L_c = -s_c (1[c positive] - r)
///
/// It is the share of the context times how far it lies above the mean; InfoNCE divides the same by r.
#pragma once

#include <cmath>

#include "fot/loss/contrastive_loss.hpp"

namespace exercises {

using namespace fot;

/// The mean share of a query's attention to contexts that goes to other documents.
inline Variable<double, 1> strayed_mass(Tape& tape, const Variable<double, 4>& q, const Variable<double, 4>& context_k,
                                        const ContextTable& table) {
    const Tensor<double, 4> mass = context_log_mass(q.value(), context_k.value(), table);
    const auto [entries, queries, heads, most] = shape_of(mass);
    const double weight = 1 / static_cast<double>(entries * queries * heads);
    Tensor<double, 4> d_mass = zeros_like(mass);
    double loss = 0;
    for (Index b = 0; b < entries; ++b)
        for (Index t = 0; t < queries; ++t)
            for (Index h = 0; h < heads; ++h) {
                const double* mass_bth = row(mass, b, t, h);
                const Index positives = element(table.positives, b), count = length_of(element(table.contexts, b));
                const double log_all = log_sum_exp(mass_bth, count);
                const double r = std::exp(log_sum_exp(mass_bth, positives) - log_all);
                loss += weight * (1 - r);
                for (Index c = 0; c < count; ++c) {
                    const double share = std::exp(mass_bth[c] - log_all);
                    d_mass(b, t, h, c) = -weight * share * ((c < positives ? 1 : 0) - r);
                }
            }
    return tape.record(
        full<double, 1>({1}, loss),
        [=](const Tensor<double, 1>& d_loss) {
            context_log_mass_vjp(q.value(), context_k.value(), table, mass, multiply(d_mass, d_loss(0)), q.gradient(),
                                 context_k.gradient());
        },
        q, context_k);
}

}  // namespace exercises
