/// Exercise 8: another loss.
///
/// The contrastive loss of the library is InfoNCE, the mean of -log r over queries. A query with r near 0 has a large loss there
/// and a large gradient, even if no key of its own document could help it. The measure itself, r_d, is a mean of r. So train what
/// is measured: the mean share of attention that strays to other documents,
///
///     loss = mean over b, t, h of 1 - r[b,t,h],     r = sum_{c positive} exp(L_c) / sum_c exp(L_c)
///
/// L_c is the log mass of context c (attention/context_mass.hpp). Derive d loss / d L_c on paper before you write it: it is a
/// product of two shares.
///
/// Write strayed_mass with its gradient. It now returns InfoNCE.
///
/// Paper:  section 3.3, the positive attention mass r_d. The paper has no such loss.
/// Read:   loss/contrastive_loss.hpp, attention/context_mass.hpp, examples/extend/margin_loss.cpp; log_sum_exp in core/largest.hpp.
/// Try:    cmake --build --preset release --target exercises
#pragma once

#include "fot/loss/contrastive_loss.hpp"

namespace exercises {

using namespace fot;

/// The mean share of a query's attention to contexts that goes to other documents: one number, between 0 and 1.
///
/// Shapes: q (B,T,H,D), context_k (P,S,G,D), both of which need gradients; table over P. The lists of its entries may be of
///         different length, each with at least one positive.
inline Variable<double, 1> strayed_mass(Tape& tape, const Variable<double, 4>& q, const Variable<double, 4>& context_k,
                                        const ContextTable& table) {
    return contrastive_loss(tape, q, context_k, table);
}

}  // namespace exercises
