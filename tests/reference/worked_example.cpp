/// The worked example of paper_notes.md: two documents of three tokens, of which two lie in the previous context and one is asked.
/// Its numbers are those of the notes; what is computed fast is compared with the definition as well.
#include <doctest/doctest.h>

#include <cmath>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/attention/joining.hpp"
#include "fot/loss/contrastive_loss.hpp"
#include "fot/measure/positive_mass.hpp"
#include "fot/reference/crossbatch.hpp"
#include "fot/reference/positive_mass.hpp"
#include "support/difference.hpp"

using namespace fot;

namespace {

double log_of(double number) { return std::log(number); }

/// One head of width one. Document 0 asks with q = 1, so that e to the power of a score is what stands in log_of. Document 1 sees
/// the same contexts, its own first.
reference::CrossbatchInput<double> two_documents() {
    return {.q = {{{{1.0}}}, {{{1.0}}}},
            .k = {{{{log_of(2)}}}, {{{log_of(2)}}}},
            .v = {{{{0.0}}}, {{{0.0}}}},
            .context_k = {{{{log_of(4)}}, {{log_of(2)}}}, {{{log_of(3)}}, {{log_of(1)}}}},
            .context_v = {{{{1.0}}, {{0.0}}}, {{{-1.0}}, {{0.0}}}},
            .contexts = previous_contexts(2, 1, 1).contexts};
}

/// The output's gradient: the loss of document 0 falls by 1 for each 1 that its output rises; document 1 has no loss.
const Tensor<double, 4> d_o{{{{-1.0}}}, {{{0.0}}}};

double r_2(const reference::CrossbatchInput<double>& in) {
    return reference::positive_mass(in.q, in.context_k, in.contexts, 2)(0, 0, 0);
}

}  // namespace

TEST_CASE("worked example, forward: five keys share one softmax, and r_2 is 6/10") {
    const auto in = two_documents();
    CHECK(in.contexts == std::vector<std::vector<Index>>{{0, 1}, {1, 0}});
    const auto [o, L] = reference::crossbatch_attention(in);
    CHECK(L(0, 0, 0) == doctest::Approx(log_of(12)));
    CHECK(o(0, 0, 0, 0) == doctest::Approx(1 / 3.0 - 1 / 4.0));
    CHECK(r_2(in) == doctest::Approx(0.6));
    CHECK(-log_of(r_2(in)) == doctest::Approx(0.511).epsilon(0.001));
}

TEST_CASE("worked example, backward: the key that helps is pulled, the key that misleads is pushed, and all sums to 0") {
    const auto in = two_documents();
    const auto d = reference::crossbatch_attention_vjp(in, d_o);
    // q = 1, so a key's gradient is that of its score.
    CHECK(d.k(0, 0, 0, 0) == doctest::Approx(2 / 144.0));
    CHECK(d.context_k(0, 0, 0, 0) == doctest::Approx(-44 / 144.0));
    CHECK(d.context_k(0, 1, 0, 0) == doctest::Approx(2 / 144.0));
    CHECK(d.context_k(1, 0, 0, 0) == doctest::Approx(39 / 144.0));
    CHECK(d.context_k(1, 1, 0, 0) == doctest::Approx(1 / 144.0));
    CHECK(d.context_v(0, 0, 0, 0) == doctest::Approx(-1 / 3.0));
    CHECK(d.context_v(1, 0, 0, 0) == doctest::Approx(-1 / 4.0));
    const double sum =
        d.k(0, 0, 0, 0) + d.context_k(0, 0, 0, 0) + d.context_k(0, 1, 0, 0) + d.context_k(1, 0, 0, 0) + d.context_k(1, 1, 0, 0);
    CHECK(sum == doctest::Approx(0).epsilon(1e-12));
}

TEST_CASE("worked example, one step: r_2 rises from .600 to .693 and the output from .083 to .248") {
    auto in = two_documents();
    const auto d = reference::crossbatch_attention_vjp(in, d_o);
    in.k -= d.k;
    in.context_k -= d.context_k;
    CHECK(r_2(in) == doctest::Approx(0.693).epsilon(0.001));
    CHECK(reference::crossbatch_attention(in).o(0, 0, 0, 0) == doctest::Approx(0.248).epsilon(0.002));
}

TEST_CASE("worked example: what is computed fast gives the same numbers") {
    const auto in = two_documents();
    Tape tape;
    const ContextTable table = previous_contexts(2, 1, 1);
    const Variable<double, 4> q(in.q, true), k(in.k, true), v(in.v, true), context_k(in.context_k, true),
        context_v(in.context_v, true);
    const Attention<double> attention = crossbatch_attention(tape, q, k, v, context_k, context_v, table);
    const auto definition = reference::crossbatch_attention(in);
    CHECK(testing::largest_difference(attention.o.value(), definition.o) < 1e-12);
    CHECK(positive_mass_per_query(context_log_mass(in.q, in.context_k, table), 2)(0, 0, 0) == doctest::Approx(0.6));
}
