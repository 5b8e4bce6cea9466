#include "fot/attention/crossbatch_attention.hpp"

#include <doctest/doctest.h>

#include "fot/attention/causal_attention.hpp"
#include "support/allocations.hpp"
#include "support/attention_check.hpp"
#include "support/tape_check.hpp"

using namespace fot;
using testing::attention_oracle;
using testing::AttentionInputs;
using testing::gradient_difference;
using testing::largest_difference;
using testing::worse;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Gradients with respect to the five inputs of crossbatch attention.
template <class Real>
struct Gradients {
    Tensor<Real, 4> q, k, v, context_k, context_v;

    AttentionGradients<Real> contexts() { return {&q, &context_k, &context_v}; }
};

/// Crossbatch attention on the tape, and its replay under the gradients of o and (if not empty) of the log-sum-exp. The gradients
/// of the inputs hold `start` beforehand.
template <class Real>
std::pair<AttentionResult<Real>, Gradients<Real>> replayed(const AttentionInputs<Real>& in, const ContextTable& table,
                                                           const LocalOptions<Real>& options, const Tensor<Real, 4>& d_o,
                                                           const Tensor<Real, 3>& d_log_sum_exp = {}, Real start = 0) {
    const Variable<Real, 4> q(in.q, true), k(in.k, true), v(in.v, true), context_k(in.context_k, true),
        context_v(in.context_v, true);
    for (const auto* x : {&q, &k, &v, &context_k, &context_v}) x->gradient() = full(shape_of(x->value()), start);
    Tape tape;
    Attention<Real> attention;
    if (options.query_positions.empty() && options.bias.size() == 0) {
        attention = crossbatch_attention(tape, q, k, v, context_k, context_v, table);
    } else {  // the same with options
        const Attention<Real> near = causal_attention(tape, q, k, v, options),
                              further = context_attention(tape, q, context_k, context_v, table);
        attention = merge(tape, further, near);
    }
    if (d_log_sum_exp.size()) attention.log_sum_exp.gradient() = d_log_sum_exp;
    testing::replay(tape, attention.o, d_o);
    return {{attention.o.value(), attention.log_sum_exp.value()},
            {q.gradient(), k.gradient(), v.gradient(), context_k.gradient(), context_v.gradient()}};
}

template <class Real>
Gradients<Real> gradients(const AttentionInputs<Real>& in, const ContextTable& table, const Tensor<Real, 4>& d_o) {
    return replayed(in, table, {}, d_o).second;
}

template <class Real>
double difference(const AttentionResult<Real>& got, const AttentionResult<double>& expected) {
    return worse(largest_difference(got.o, expected.o), largest_difference(got.log_sum_exp, expected.log_sum_exp));
}

/// Of value and all five gradients from the definition.
template <class Real>
double oracle_difference(const AttentionInputs<Real>& in, const ContextTable& table, const LocalOptions<Real>& options = {}) {
    Random random(8);
    const AttentionResult<double> expected = attention_oracle(in, table, options);
    const Tensor<Real, 4> d_o = normal_tensor<Real, 4>(shape_of(expected.o), 1, random);
    const Tensor<Real, 3> d_log_sum_exp = normal_tensor<Real, 3>(shape_of(expected.log_sum_exp), 1, random);
    const reference::CrossbatchGradients<double> d = testing::attention_oracle_vjp(in, table, options, d_o, d_log_sum_exp);
    const auto [got, d_got] = replayed(in, table, options, d_o, d_log_sum_exp);
    double worst = difference(got, expected);
    worst = worse(worst, gradient_difference(d_got.q, d.q));
    worst = worse(worst, gradient_difference(d_got.k, d.k));
    worst = worse(worst, gradient_difference(d_got.v, d.v));
    worst = worse(worst, gradient_difference(d_got.context_k, d.context_k));
    return worse(worst, gradient_difference(d_got.context_v, d.context_v));
}

/// The same inputs without local keys: what attention to contexts alone is for the definition.
template <class Real>
AttentionInputs<Real> without_local_keys(AttentionInputs<Real> in) {
    in.k = empty<Real, 4>({extent(in.k, 0), 0, extent(in.k, 2), extent(in.k, 3)});
    in.v = empty<Real, 4>({extent(in.v, 0), 0, extent(in.v, 2), extent(in.v, 3)});
    return in;
}

/// Of attention to contexts alone and its three gradients from the definition.
template <class Real>
double contexts_difference(const AttentionInputs<Real>& inputs, const ContextTable& table) {
    const AttentionInputs<Real> in = without_local_keys(inputs);
    Random random(8);
    const AttentionResult<double> expected = attention_oracle(in, table);
    const Tensor<Real, 4> d_o = normal_tensor<Real, 4>(shape_of(expected.o), 1, random);
    const Tensor<Real, 3> d_log_sum_exp = normal_tensor<Real, 3>(shape_of(expected.log_sum_exp), 1, random);
    const reference::CrossbatchGradients<double> d = testing::attention_oracle_vjp(in, table, {}, d_o, d_log_sum_exp);
    const AttentionResult<Real> got = context_attention(in.contexts(), table);
    Gradients<Real> d_got{zeros_like(in.q), {}, {}, zeros_like(in.context_k), zeros_like(in.context_v)};
    context_attention_vjp(in.contexts(), table, got, {d_o, &d_log_sum_exp}, d_got.contexts());
    double worst = difference(got, expected);
    worst = worse(worst, gradient_difference(d_got.q, d.q));
    worst = worse(worst, gradient_difference(d_got.context_k, d.context_k));
    return worse(worst, gradient_difference(d_got.context_v, d.context_v));
}

/// Gradients with respect to all five inputs, of o and of the log-sum-exp at once, against finite differences.
void check_gradients(AttentionInputs<double>& in, const ContextTable& table, const LocalOptions<double>& options,
                     bool number_by_number) {
    Random random(9);
    const Tensor<double, 4> d_o =
        normal_tensor<double, 4>({extent(in.q, 0), extent(in.q, 1), extent(in.q, 2), extent(in.v, 3)}, 1, random);
    const Tensor<double, 3> d_log_sum_exp =
        normal_tensor<double, 3>({extent(in.q, 0), extent(in.q, 2), extent(in.q, 1)}, 1, random);
    Gradients<double> d = replayed(in, table, options, d_o, d_log_sum_exp, 0.5).second;
    const auto loss = [&] {
        const AttentionResult<double> now = in.attend(table, options);
        return testing::weighted_sum(now.o, d_o) + testing::weighted_sum(now.log_sum_exp, d_log_sum_exp);
    };
    const auto check = [&](Tensor<double, 4>& x, Tensor<double, 4>& d_x) {
        for (double& number : d_x.storage()) number -= 0.5;  // what was there before must still be there
        if (x.size() == 0) return;
        CHECK((number_by_number ? testing::gradient_error(x, d_x, loss) : testing::directional_error(x, d_x, loss)) < 1e-6);
    };
    check(in.q, d.q);
    check(in.k, d.k);
    check(in.v, d.v);
    check(in.context_k, d.context_k);
    check(in.context_v, d.context_v);
}

const ContextTable uneven{3, {{2, 0}, {}, {1, 2, 0}}, {1, 0, 2}};

}  // namespace

TEST_CASE("local keys and a context share one softmax: hand numbers") {
    AttentionInputs<double> in({1, 1, 1, 1, 1, 1, 1, 1, 2}, 1);
    in.q(0, 0, 0, 0) = 1;
    in.k(0, 0, 0, 0) = 0;
    in.v(0, 0, 0, 0) = 6;
    in.context_k(0, 0, 0, 0) = std::log(2.0);
    in.context_v(0, 0, 0, 0) = 3;
    in.context_k(0, 1, 0, 0) = std::log(3.0);
    in.context_v(0, 1, 0, 0) = -1;
    const AttentionResult<double> result = in.attend(previous_contexts(1, 1, 0));
    CHECK(result.o(0, 0, 0, 0) == doctest::Approx((1 * 6 + 2 * 3 - 3 * 1) / 6.0));
    CHECK(result.log_sum_exp(0, 0, 0) == doctest::Approx(std::log(6.0)));
}

TEST_CASE_TEMPLATE("attention to contexts alone is that of the definition, value and gradients", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    CHECK(contexts_difference(AttentionInputs<Real>({1, 1, 0, 1, 1, 1, 1, 1, 1}, 1), previous_contexts(1, 1, 0)) < tolerance);
    CHECK(contexts_difference(AttentionInputs<Real>({3, 4, 0, 2, 2, 5, 3, 3, 4}, 2), previous_contexts(3, 1, 2)) < tolerance);
    CHECK(contexts_difference(AttentionInputs<Real>({3, 2, 0, 4, 2, 5, 3, 3, 2}, 3), uneven) < tolerance);
    CHECK(contexts_difference(AttentionInputs<Real>({3, 4, 0, 2, 1, 2, 3, 9, 5}, 4), previous_contexts(3, 3, 4)) < tolerance);
    CHECK(contexts_difference(AttentionInputs<Real>({4, 4, 0, 1, 1, 4, 4, 4, 4}, 5), packed_contexts(4, 3, 4, true)) < tolerance);
    CHECK(contexts_difference(AttentionInputs<Real>({2, 70, 0, 2, 2, 4, 4, 2, 300}, 6), previous_contexts(2, 1, 1)) < tolerance);
    CHECK(contexts_difference(AttentionInputs<Real>({3, 3, 0, 1, 1, 2, 2, 3, 0}, 7), uneven) < tolerance);
    CHECK(contexts_difference(AttentionInputs<Real>({2, 3, 0, 2, 2, 3, 3}, 8), no_contexts(2)) < tolerance);
}

TEST_CASE_TEMPLATE("crossbatch attention is that of the definition, value and gradients", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    CHECK(oracle_difference(AttentionInputs<Real>({1, 1, 1, 1, 1, 1, 1, 1, 1}, 1), previous_contexts(1, 1, 0)) < tolerance);
    CHECK(oracle_difference(AttentionInputs<Real>({3, 4, 4, 2, 2, 5, 3, 3, 4}, 2), previous_contexts(3, 1, 2)) < tolerance);
    CHECK(oracle_difference(AttentionInputs<Real>({3, 2, 6, 4, 2, 5, 3, 3, 1}, 3), uneven) < tolerance);
    CHECK(oracle_difference(AttentionInputs<Real>({3, 4, 4, 2, 1, 2, 3, 9, 5}, 4), previous_contexts(3, 3, 4)) < tolerance);
    CHECK(oracle_difference(AttentionInputs<Real>({4, 4, 4, 1, 1, 4, 4, 4, 4}, 5), packed_contexts(4, 3, 4, true)) < tolerance);
    CHECK(oracle_difference(AttentionInputs<Real>({2, 70, 70, 2, 2, 4, 4, 2, 300}, 6), previous_contexts(2, 1, 1)) < tolerance);
    CHECK(oracle_difference(AttentionInputs<Real>({3, 3, 3, 1, 1, 2, 2, 3, 0}, 7), uneven) < tolerance);
    // Queries after all local keys see all of them.
    const LocalOptions<Real> after_seven{.query_positions = {6, 6, 6, 6}}, after_four{.query_positions = std::vector<Index>(9, 3)};
    CHECK(oracle_difference(AttentionInputs<Real>({3, 4, 7, 2, 2, 5, 3, 3, 4}, 8), uneven, after_seven) < tolerance);
    CHECK(oracle_difference(AttentionInputs<Real>({2, 9, 4, 2, 2, 5, 3, 2, 4}, 9), previous_contexts(2, 1, 1), after_four) <
          tolerance);
}

TEST_CASE("values of one give a result of one: the weights sum to one") {
    AttentionInputs<float> in({2, 70, 70, 2, 2, 8, 3, 2, 300}, 1);
    in.v.fill(1.0f);
    in.context_v.fill(1.0f);
    const AttentionResult<float> result = in.attend(previous_contexts(2, 1, 1));
    for (const float number : result.o.storage()) REQUIRE(number == doctest::Approx(1).epsilon(1e-5));
}

TEST_CASE("without contexts crossbatch attention is causal attention, bitwise, and so are its gradients") {
    const AttentionInputs<float> in({2, 70, 70, 2, 2, 8, 8}, 1);
    Random random(2);
    const Tensor<float, 4> d_o = normal_tensor<float, 4>(shape_of(in.q), 1, random);
    const AttentionResult<float> causal = causal_attention(in.local());
    Gradients<float> expected{zeros_like(in.q), zeros_like(in.k), zeros_like(in.v), {}, {}};
    causal_attention_vjp(in.local(), {}, causal, {d_o}, {&expected.q, &expected.k, &expected.v});
    const auto [crossbatch, d] = replayed(in, no_contexts(2), {}, d_o);
    CHECK(crossbatch.o.storage() == causal.o.storage());
    CHECK(crossbatch.log_sum_exp.storage() == causal.log_sum_exp.storage());
    CHECK(d.q.storage() == expected.q.storage());
    CHECK(d.k.storage() == expected.k.storage());
    CHECK(d.v.storage() == expected.v.storage());
}

TEST_CASE("an entry without contexts among others that have some keeps its local attention, bitwise") {
    const AttentionInputs<float> in({3, 70, 70, 2, 2, 8, 8, 3, 20}, 1);
    const AttentionResult<float> crossbatch = in.attend(uneven), causal = causal_attention(in.local());
    for (const Index b : {0, 1, 2}) {
        CHECK(std::equal(row(crossbatch.o, b), row(crossbatch.o, b) + 70 * 2 * 8, row(causal.o, b)) == (b == 1));
        CHECK(std::equal(row(crossbatch.log_sum_exp, b), row(crossbatch.log_sum_exp, b) + 2 * 70, row(causal.log_sum_exp, b)) ==
              (b == 1));
    }
}

TEST_CASE("crossbatch attention is causal attention to the concatenated keys") {
    const AttentionInputs<double> in({2, 5, 5, 2, 1, 4, 3, 3, 7}, 1);
    const ContextTable table{3, {{2, 0}, {1, 2}}, {1, 1}};
    AttentionInputs<double> joined({2, 5, 2 * 7 + 5, 2, 1, 4, 3}, 2);
    joined.q = in.q;
    for (Index b = 0; b < 2; ++b) {
        for (Index c = 0; c < 2; ++c) {
            const Index context = table.contexts[static_cast<std::size_t>(b)][static_cast<std::size_t>(c)];
            std::copy_n(row(in.context_k, context), 7 * 4, row(joined.k, b, c * 7));
            std::copy_n(row(in.context_v, context), 7 * 3, row(joined.v, b, c * 7));
        }
        std::copy_n(row(in.k, b), 5 * 4, row(joined.k, b, 2 * 7));
        std::copy_n(row(in.v, b), 5 * 3, row(joined.v, b, 2 * 7));
    }
    const AttentionResult<double> apart = in.attend(table), together = joined.attend(no_contexts(2));
    CHECK(largest_difference(apart.o, together.o) < 1e-13);
    CHECK(largest_difference(apart.log_sum_exp, together.log_sum_exp) < 1e-13);
}

TEST_CASE("the order of the other contexts does not matter, neither to the result nor to the gradients") {
    const AttentionInputs<double> in({2, 3, 3, 2, 2, 4, 4, 4, 5}, 1);
    const ContextTable one{4, {{0, 1, 2, 3}, {1, 2, 3, 0}}, {1, 1}}, other{4, {{0, 3, 1, 2}, {1, 0, 3, 2}}, {1, 1}};
    CHECK(largest_difference(in.attend(one).o, in.attend(other).o) < 1e-14);
    Random random(2);
    const Tensor<double, 4> d_o = normal_tensor<double, 4>(shape_of(in.q), 1, random);
    const Gradients<double> d_one = gradients(in, one, d_o), d_other = gradients(in, other, d_o);
    CHECK(largest_difference(d_one.q, d_other.q) < 1e-14);
    CHECK(largest_difference(d_one.context_k, d_other.context_k) < 1e-14);
    CHECK(largest_difference(d_one.context_v, d_other.context_v) < 1e-14);
}

TEST_CASE("an edit to the future leaves the past bitwise equal") {
    const Index length = 150, edited = 77;
    const AttentionInputs<float> before({1, length, length, 2, 1, 8, 8, 1, 300}, 1);
    AttentionInputs<float> after = before;
    for (Tensor<float, 4>* x : {&after.q, &after.k, &after.v})
        for (float* number = row(*x, 0, edited); number != x->data() + x->size(); ++number) *number = 100 - 3 * *number;
    const ContextTable table = previous_contexts(1, 1, 0);
    const AttentionResult<float> one = before.attend(table), other = after.attend(table);
    for (Index t = 0; t < length; ++t) {
        const bool same = std::equal(row(one.o, 0, t), row(one.o, 0, t) + 2 * 8, row(other.o, 0, t)) &&
                          one.log_sum_exp(0, 1, t) == other.log_sum_exp(0, 1, t);
        REQUIRE(same == (t < edited));
    }
}

TEST_CASE("an entry depends on its own contexts only, and gives gradients to no others") {
    const AttentionInputs<double> before({2, 3, 3, 1, 1, 4, 4, 3, 5}, 1);
    AttentionInputs<double> after = before;
    std::fill_n(row(after.context_k, 2), 5 * 4, 7.0);
    std::fill_n(row(after.context_v, 2), 5 * 4, 7.0);
    const ContextTable table{3, {{0, 1}, {1, 2}}, {1, 1}};
    const AttentionResult<double> one = before.attend(table), other = after.attend(table);
    CHECK(std::equal(row(one.o, 0), row(one.o, 1), row(other.o, 0)));
    CHECK_FALSE(std::equal(row(one.o, 1), row(one.o, 2), row(other.o, 1)));
    Tensor<double, 4> d_o = zeros_like(one.o);
    std::fill_n(row(d_o, 0), 3 * 4, 1.0);
    const Gradients<double> d = gradients(before, table, d_o);
    for (Index i = 0; i < 5 * 4; ++i) {
        CHECK(row(d.context_k, 2)[i] == 0);
        CHECK(row(d.context_v, 2)[i] == 0);
        CHECK(row(d.context_k, 1)[i] != 0);
    }
    for (Index i = 0; i < 3 * 4; ++i) CHECK(row(d.q, 1)[i] == 0);
}

TEST_CASE("result and gradients are bitwise the same for one thread and for several") {
    const AttentionInputs<float> in({5, 70, 70, 4, 2, 8, 8, 5, 70}, 1);
    const ContextTable table = previous_contexts(5, 1, 4);
    Random random(2);
    const Tensor<float, 4> d_o = normal_tensor<float, 4>(shape_of(in.q), 1, random);
    const testing::WithThreads scope(1);
    const AttentionResult<float> one = in.attend(table);
    const Gradients<float> d_one = gradients(in, table, d_o);
    for (const Index count : {2, 3, 40}) {
        set_threads(count);
        const AttentionResult<float> several = in.attend(table);
        const Gradients<float> d_several = gradients(in, table, d_o);
        CHECK(one.o.storage() == several.o.storage());
        CHECK(one.log_sum_exp.storage() == several.log_sum_exp.storage());
        CHECK(d_one.q.storage() == d_several.q.storage());
        CHECK(d_one.k.storage() == d_several.k.storage());
        CHECK(d_one.v.storage() == d_several.v.storage());
        CHECK(d_one.context_k.storage() == d_several.context_k.storage());
        CHECK(d_one.context_v.storage() == d_several.context_v.storage());
    }
}

TEST_CASE("where queries are the contexts' keys themselves, their one gradient is the sum of both, for any number of threads") {
    Random random(3);
    const Tensor<double, 4> numbers = normal_tensor<double, 4>({6, 40, 2, 8}, 1, random);
    const Tensor<double, 4> d_o = normal_tensor<double, 4>(shape_of(numbers), 1, random);
    const ContextTable table = previous_contexts(6, 1, 3);
    const auto gradient = [&](bool one_variable) {
        Tape tape;
        const Variable<double, 4> x(numbers, true), k = one_variable ? x : Variable<double, 4>(numbers, true);
        tape.backward(sum(tape, product(tape, context_attention(tape, x, k, k, table).o, Variable<double, 4>(d_o))));
        Tensor<double, 4> d = x.gradient();
        if (!one_variable) d += k.gradient();
        return d;
    };
    const testing::WithThreads scope(1);
    const Tensor<double, 4> one = gradient(true);
    CHECK(testing::largest_difference(one, gradient(false)) < 1e-12);
    set_threads(4);
    for (int i = 0; i < 20; ++i) CHECK(gradient(true).storage() == one.storage());
}

TEST_CASE("grouped queries are attention with repeated heads of keys and values") {
    const Index group = 3;
    const AttentionInputs<double> in({2, 4, 4, 2 * group, 2, 4, 3, 2, 5}, 1);
    AttentionInputs<double> repeated({2, 4, 4, 2 * group, 2 * group, 4, 3, 2, 5}, 2);
    repeated.q = in.q;
    const auto repeat = [&](const Tensor<double, 4>& x, Tensor<double, 4>& y) {
        for (Index b = 0; b < extent(y, 0); ++b)
            for (Index t = 0; t < extent(y, 1); ++t)
                for (Index h = 0; h < extent(y, 2); ++h) std::copy_n(row(x, b, t, h / group), extent(x, 3), row(y, b, t, h));
    };
    repeat(in.k, repeated.k);
    repeat(in.v, repeated.v);
    repeat(in.context_k, repeated.context_k);
    repeat(in.context_v, repeated.context_v);
    const ContextTable table = previous_contexts(2, 1, 1);
    CHECK(in.attend(table).o.storage() == repeated.attend(table).o.storage());
    // The gradient of a shared key is the sum over the heads that share it.
    Random random(3);
    const Tensor<double, 4> d_o = normal_tensor<double, 4>({2, 4, 2 * group, 3}, 1, random);
    const Gradients<double> d = gradients(in, table, d_o), d_repeated = gradients(repeated, table, d_o);
    CHECK(d.q.storage() == d_repeated.q.storage());
    Tensor<double, 4> sum = zeros_like(d.context_k);
    for (Index c = 0; c < 2; ++c)
        for (Index s = 0; s < 5; ++s)
            for (Index h = 0; h < 2 * group; ++h)
                for (Index i = 0; i < 4; ++i) sum(c, s, h / group, i) += d_repeated.context_k(c, s, h, i);
    CHECK(largest_difference(d.context_k, sum) < 1e-14);
}

TEST_CASE("queries at some positions are those rows of all queries") {
    const AttentionInputs<float> in({2, 150, 150, 2, 2, 8, 8, 2, 20}, 1);
    const ContextTable table = previous_contexts(2, 1, 1);
    LocalOptions<float> options;
    options.query_positions = {149, 3, 70, 70, 0};
    AttentionInputs<float> some = in;
    some.q = empty<float, 4>({2, 5, 2, 8});
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 5; ++t)
            std::copy_n(row(in.q, b, options.query_positions[static_cast<std::size_t>(t)]), 2 * 8, row(some.q, b, t));
    const AttentionResult<float> all = in.attend(table), chosen = some.attend(table, options);
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 5; ++t) {
            const Index position = options.query_positions[static_cast<std::size_t>(t)];
            CHECK(std::equal(row(chosen.o, b, t), row(chosen.o, b, t) + 2 * 8, row(all.o, b, position)));
            CHECK(chosen.log_sum_exp(b, 1, t) == all.log_sum_exp(b, 1, position));
        }
}

TEST_CASE("a local bias is added to the scores of local keys alone; a large negative one hides a key") {
    AttentionInputs<double> in({2, 3, 5, 2, 2, 4, 4, 2, 3}, 1);
    Random random(2);
    const Tensor<double, 3> random_bias = normal_tensor<double, 3>({2, 3, 5}, 1, random);
    LocalOptions<double> options;
    options.bias = random_bias;
    CHECK(oracle_difference(in, previous_contexts(2, 1, 1), options) < 1e-13);

    Tensor<double, 3> padding = zeros<double, 3>({2, 3, 5});
    for (Index b = 0; b < 2; ++b)
        for (Index t = 0; t < 3; ++t) padding(b, t, 1) = -1e6;
    options.bias = padding;
    const AttentionResult<double> before = in.attend(previous_contexts(2, 1, 1), options);
    for (Index b = 0; b < 2; ++b) std::fill_n(row(in.v, b, Index(1)), 2 * 4, 1e3);
    CHECK(in.attend(previous_contexts(2, 1, 1), options).o.storage() == before.o.storage());
}

TEST_CASE("an entry without contexts gets zeros and minus infinity from attention to contexts, and gives no gradient") {
    const AttentionInputs<double> in({3, 4, 0, 2, 1, 5, 2, 3, 6}, 1);
    Random random(1);
    const AttentionResult<double> alone = context_attention(in.contexts(), uneven);
    const Tensor<double, 4> d_o = normal_tensor<double, 4>(shape_of(alone.o), 1, random);
    const Tensor<double, 3> d_log_sum_exp = normal_tensor<double, 3>(shape_of(alone.log_sum_exp), 1, random);
    Tensor<double, 4> d_q = zeros_like(in.q);
    context_attention_vjp(in.contexts(), uneven, alone, {d_o, &d_log_sum_exp}, {.q = &d_q});
    for (Index t = 0; t < 4; ++t)
        for (Index h = 0; h < 2; ++h) {
            CHECK(alone.log_sum_exp(1, h, t) == -infinity);
            for (Index e = 0; e < 2; ++e) CHECK(alone.o(1, t, h, e) == 0);
            for (Index d = 0; d < 5; ++d) CHECK(d_q(1, t, h, d) == 0);
            for (const Index other : {0, 2}) CHECK(std::isfinite(alone.log_sum_exp(other, h, t)));
        }
}

TEST_CASE("a gradient of attention to contexts that nobody needs is left out, and the others are bitwise the same") {
    const AttentionInputs<float> in({3, 5, 0, 4, 2, 6, 3, 3, 7}, 1);
    const AttentionResult<float> result = context_attention(in.contexts(), uneven);
    const auto of = [&](bool q, bool k, bool v) {
        Gradients<float> d{zeros_like(in.q), {}, {}, zeros_like(in.context_k), zeros_like(in.context_v)};
        context_attention_vjp(in.contexts(), uneven, result, {result.o},
                              {q ? &d.q : nullptr, k ? &d.context_k : nullptr, v ? &d.context_v : nullptr});
        return d;
    };
    const Gradients<float> all = of(true, true, true),
                           none{zeros_like(in.q), {}, {}, zeros_like(in.context_k), zeros_like(in.context_v)};
    for (const bool q : {false, true})
        for (const bool k : {false, true})
            for (const bool v : {false, true}) {
                const Gradients<float> some = of(q, k, v);
                CHECK(some.q == (q ? all : none).q);
                CHECK(some.context_k == (k ? all : none).context_k);
                CHECK(some.context_v == (v ? all : none).context_v);
            }
    CHECK_FALSE(all.q == none.q);
    CHECK_FALSE(all.context_k == none.context_k);
    CHECK_FALSE(all.context_v == none.context_v);
    Gradients<float> named = none;  // members left out are not needed, either
    context_attention_vjp(in.contexts(), uneven, result, {.o = result.o}, {.k = &named.context_k});
    CHECK(named.q == none.q);
    CHECK(named.context_k == all.context_k);
    CHECK(named.context_v == none.context_v);
}

TEST_CASE("contexts may have fewer heads than local keys, where queries are grouped otherwise") {
    const AttentionInputs<double> in({2, 3, 3, 4, 1, 5, 2, 2, 6}, 1), local({2, 3, 3, 4, 2, 5, 2}, 2);
    const Variable<double, 4> q(in.q), k(local.k), v(local.v), context_k(in.context_k), context_v(in.context_v);
    const ContextTable table = previous_contexts(2, 1, 1);
    Tape tape(Tape::inference);
    const Attention<double> joined = crossbatch_attention(tape, q, k, v, context_k, context_v, table);
    const AttentionResult<double> further = context_attention(in.contexts(), table),
                                  near = causal_attention<double>({in.q, local.k, local.v}),
                                  expected = merge<double>(further, near);
    CHECK(joined.o.value().storage() == expected.o.storage());
}

TEST_CASE("the scratch memory does not grow with the number of contexts") {
    const testing::WithThreads scope(1);
    const AttentionInputs<float> in({32, 64, 64, 2, 2, 16, 16, 32, 64}, 1);
    Gradients<float> d{zeros_like(in.q), {}, {}, zeros_like(in.context_k), zeros_like(in.context_v)};
    const auto forward = [&](Index contexts) {
        const ContextTable table = previous_contexts(32, 1, contexts - 1);
        return testing::peak_bytes([&] { context_attention(in.contexts(), table); });
    };
    const auto backward = [&](Index contexts) {
        const ContextTable table = previous_contexts(32, 1, contexts - 1);
        const AttentionResult<float> result = context_attention(in.contexts(), table);
        return testing::peak_bytes([&] { context_attention_vjp(in.contexts(), table, result, {in.q}, d.contexts()); });
    };
    CHECK(forward(2) > 0);
    CHECK(forward(32) == forward(2));
    CHECK(backward(2) > 0);
    const Index visits = 32 * 32;  // each stands in the plan of which thread visits whom when
    CHECK(backward(32) < backward(2) + visits * 32);
}

TEST_CASE("the gradients are those of finite differences, number by number") {
    AttentionInputs<double> smallest({1, 1, 1, 1, 1, 1, 1, 1, 1}, 1), grouped({3, 2, 3, 4, 2, 2, 3, 3, 2}, 2),
        windows({2, 2, 2, 1, 1, 2, 2, 4, 3}, 3), local({1, 3, 3, 2, 2, 2, 2}, 4), no_rows({3, 2, 2, 1, 1, 2, 2, 3, 0}, 5);
    check_gradients(smallest, previous_contexts(1, 1, 0), {}, true);
    check_gradients(grouped, uneven, {}, true);
    check_gradients(windows, previous_contexts(2, 2, 2), {}, true);
    check_gradients(local, no_contexts(1), {}, true);
    check_gradients(no_rows, uneven, {}, true);
}

TEST_CASE(
    "the gradients with a bias, with chosen positions and of queries that see all local keys are those of finite differences") {
    AttentionInputs<double> in({2, 3, 4, 2, 1, 2, 2, 2, 2}, 1);
    const ContextTable table = previous_contexts(2, 1, 1);
    LocalOptions<double> options;
    Random random(2);
    const Tensor<double, 3> bias = normal_tensor<double, 3>({2, 3, 4}, 1, random);
    options.bias = bias;
    check_gradients(in, table, options, true);
    options.query_positions = {2, 0, 3};
    check_gradients(in, table, options, true);
    check_gradients(in, table, {.query_positions = {3, 3, 3}}, true);
}

TEST_CASE("the gradients with more queries than a tile and more keys than a block are those of finite differences") {
    AttentionInputs<double> in({2, 70, 280, 2, 1, 3, 2, 2, 300}, 1);
    check_gradients(in, previous_contexts(2, 1, 1), {}, false);
}

TEST_CASE("on the tape crossbatch attention gives the same numbers, and the gradients of finite differences") {
    Random random(1);
    const ContextTable table = previous_contexts(2, 1, 1);
    Variable<double, 4> q = testing::normal_variable<4>({2, 2, 2, 2}, random),
                        k = testing::normal_variable<4>({2, 2, 1, 2}, random),
                        v = testing::normal_variable<4>({2, 2, 1, 3}, random),
                        ck = testing::normal_variable<4>({2, 3, 1, 2}, random),
                        cv = testing::normal_variable<4>({2, 3, 1, 3}, random);
    Tape tape;
    const Attention<double> attention = crossbatch_attention(tape, q, k, v, ck, cv, table);
    const AttentionResult<double> further = context_attention<double>({q.value(), ck.value(), cv.value()}, table),
                                  near = causal_attention<double>({q.value(), k.value(), v.value()}),
                                  plain = merge<double>(further, near);
    CHECK(attention.o.value().storage() == plain.o.storage());
    CHECK(attention.log_sum_exp.value().storage() == plain.log_sum_exp.storage());
    CHECK(testing::tape_gradient_error([&](Tape& on) { return crossbatch_attention(on, q, k, v, ck, cv, table).o; }, q, k, v, ck,
                                       cv) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return context_attention(on, q, ck, cv, table).o; }, q, ck, cv) < 1e-6);
}

TEST_CASE("a loss on the log-sum-exp alone has its gradient, too") {
    Random random(2);
    const ContextTable table = previous_contexts(2, 1, 1);
    Variable<double, 4> q = testing::normal_variable<4>({2, 2, 1, 2}, random),
                        k = testing::normal_variable<4>({2, 2, 1, 2}, random),
                        v = testing::normal_variable<4>({2, 2, 1, 2}, random),
                        ck = testing::normal_variable<4>({2, 3, 1, 2}, random),
                        cv = testing::normal_variable<4>({2, 3, 1, 2}, random);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return crossbatch_attention(on, q, k, v, ck, cv, table).log_sum_exp; }, q, k,
                                       ck) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return context_attention(on, q, ck, cv, table).log_sum_exp; }, q, ck) <
          1e-6);
}

TEST_CASE("constants get no gradient, and the others the same as if there were no constants") {
    Random random(4);
    const ContextTable table = previous_contexts(2, 1, 1);
    const auto of = [&](const Shape<4>& shape) { return normal_tensor<float, 4>(shape, 1, random); };
    const Tensor<float, 4> q = of({2, 3, 2, 4}), k = of({2, 3, 1, 4}), v = of({2, 3, 1, 5}), ck = of({2, 3, 1, 4}),
                           cv = of({2, 3, 1, 5}), d_o = of({2, 3, 2, 5});
    const auto replayed = [&](unsigned trained) {
        std::vector<Variable<float, 4>> inputs;
        for (const auto* x : {&q, &k, &v, &ck, &cv}) inputs.emplace_back(*x, (trained >> inputs.size() & 1) != 0);
        Tape tape;
        testing::replay(tape, crossbatch_attention(tape, inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], table).o, d_o);
        return inputs;
    };
    const auto all = replayed(31);
    for (unsigned trained = 1; trained < 31; ++trained) {
        const auto some = replayed(trained);
        for (std::size_t i = 0; i < 5; ++i) {
            REQUIRE(some[i].has_gradient() == some[i].needs_gradient());
            if (some[i].has_gradient()) REQUIRE(some[i].gradient().storage() == all[i].gradient().storage());
        }
    }
}

TEST_CASE("nothing is recorded for constants, nor in inference") {
    Random random(3);
    const Variable<double, 4> constant(normal_tensor<double, 4>({1, 2, 1, 2}, 1, random));
    const Variable<double, 4> trained = testing::normal_variable<4>({1, 2, 1, 2}, random);
    Tape tape, inference(Tape::inference);
    const ContextTable table = previous_contexts(1, 1, 0);
    CHECK_FALSE(crossbatch_attention(tape, constant, constant, constant, constant, constant, table).o.needs_gradient());
    CHECK_FALSE(crossbatch_attention(inference, trained, trained, trained, trained, trained, table).log_sum_exp.needs_gradient());
    CHECK(tape.size() == 0);
    CHECK(inference.size() == 0);
    CHECK(crossbatch_attention(tape, constant, constant, constant, trained, constant, table).log_sum_exp.needs_gradient());
}

TEST_CASE("inputs that do not fit are refused by name") {
    const AttentionInputs<float> good({2, 3, 4, 4, 2, 6, 5, 2, 3}, 1);
    const ContextTable table = previous_contexts(2, 1, 1);
    const auto with = [&](const Tensor<float, 4>& context_k, const Tensor<float, 4>& context_v, const ContextTable& seen) {
        return context_attention<float>({good.q, context_k, context_v}, seen);
    };
    const auto of = [](const Shape<4>& shape) { return zeros<float, 4>(shape); };
    CHECK_NOTHROW(with(good.context_k, good.context_v, table));
    CHECK_THROWS_WITH_AS(with(of({2, 3, 2, 7}), good.context_v, table),
                         "context_attention: k has shape (2, 3, 2, 7), expected (2, -1, -1, 6) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(with(of({3, 3, 2, 6}), good.context_v, table),
                         "context_attention: k has shape (3, 3, 2, 6), expected (2, -1, -1, 6) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(with(good.context_k, of({2, 2, 2, 5}), table),
                         "context_attention: v has shape (2, 2, 2, 5), expected (2, 3, 2, -1) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(with(good.context_k, of({2, 3, 1, 5}), table),
                         "context_attention: v has shape (2, 3, 1, 5), expected (2, 3, 2, -1) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(with(of({2, 3, 3, 6}), of({2, 3, 3, 5}), table),
                         "context_attention: q has 4 heads, expected a multiple of the 3 heads of k (grouped-query attention)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(with(good.context_k, good.context_v, previous_contexts(3, 1, 1)),
                         "context table: has 3 lists and 3 counts of positives, expected 2 of each, one per batch entry",
                         ConfigError);
    CHECK_THROWS_WITH_AS(with(good.context_k, good.context_v, {2, {{0}, {2}}, {1, 1}}),
                         "context table: entry 1 lists context 2, expected 0 ... 1", ConfigError);
    const AttentionResult<float> result = context_attention(good.contexts(), table);
    Tensor<float, 4> d_q = zeros_like(good.q);
    CHECK_THROWS_WITH_AS(context_attention_vjp(good.contexts(), table, result, {good.q}, {.q = &d_q}),
                         "context_attention vjp: d_o has shape (2, 3, 4, 6), expected (2, 3, 4, 5)", ShapeError);
    // Local values of another width than those of contexts do not fit into one result.
    Tape tape(Tape::inference);
    const Variable<float, 4> q(good.q), k(good.k), context_k(good.context_k), context_v(good.context_v);
    CHECK_THROWS_WITH_AS(crossbatch_attention(tape, q, k, k, context_k, context_v, table),
                         "merge: second o has shape (2, 3, 4, 6), expected (2, 3, 4, 5)", ShapeError);
}
