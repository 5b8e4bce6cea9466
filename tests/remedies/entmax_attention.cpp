#include "fot/remedies/entmax_attention.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

struct Inputs {
    Variable<double, 4> q, k, v;
    ContextTable table{3, {{0, 2}, {}, {1}}, {1, 0, 1}};
    Inputs() {
        Random random(1);
        q = normal_variable<4>({3, 2, 4, 5}, random);
        k = normal_variable<4>({3, 4, 2, 5}, random);
        v = normal_variable<4>({3, 4, 2, 3}, random);
    }
    Variable<double, 4> attend(Tape& tape) const { return entmax_context_attention(tape, q, k, v, table); }
};

}  // namespace

TEST_CASE("entmax attention is the sum of values under the weights of all keys that the table gives, and zeros without any") {
    const Inputs in;
    Tape tape(Tape::inference);
    const Tensor<double, 4> o = in.attend(tape).value();
    Index without_weight = 0;
    for (Index b = 0; b < 3; ++b)
        for (Index t = 0; t < 2; ++t)
            for (Index h = 0; h < 4; ++h) {
                std::vector<double> scores, sorted;
                for (const Index c : element(in.table.contexts, b))
                    for (Index s = 0; s < 4; ++s)
                        scores.push_back(inner_product(row(in.q.value(), b, t, h), row(in.k.value(), c, s, h / 2), 5));
                sorted = scores;
                std::ranges::sort(sorted, std::greater<double>());
                const double threshold = sorted.empty() ? 0 : entmax_threshold(sorted.data(), length_of(sorted));
                for (Index e = 0; e < 3; ++e) {
                    double expected = 0;
                    for (Index j = 0; j < length_of(scores); ++j)
                        expected += entmax_weight(element(scores, j), threshold) *
                                    in.v.value()(element(element(in.table.contexts, b), j / 4), j % 4, h / 2, e);
                    CHECK(o(b, t, h, e) == doctest::Approx(expected).epsilon(1e-12));
                }
                for (const double score : scores) without_weight += entmax_weight(score, threshold) == 0;
            }
    CHECK(without_weight > 20);
}

TEST_CASE("queries, keys and values have the gradient of finite differences, and a key without weight has none") {
    Inputs in;
    CHECK(gradient_error([&](Tape& tape) { return in.attend(tape); }, in.q, in.k, in.v) < 1e-6);

    for (Index d = 0; d < 5; ++d) in.k.value()(1, 3, 0, d) = -10 * in.q.value()(2, 0, 0, d);
    in.k.gradient() = zeros_like(in.k.value());
    Tape tape;
    const Variable<double, 4> o = in.attend(tape);
    Tensor<double, 4> d_o = zeros_like(o.value());
    for (Index e = 0; e < 3; ++e) d_o(2, 0, 0, e) = 1.0 + static_cast<double>(e);
    replay(tape, o, d_o);
    for (Index d = 0; d < 5; ++d) CHECK(in.k.gradient()(1, 3, 0, d) == 0);
}

TEST_CASE("keys of another width are refused") {
    Inputs in;
    Tape tape;
    CHECK_THROWS_AS(entmax_context_attention(tape, in.q, in.v, in.v, in.table), ShapeError);
}
