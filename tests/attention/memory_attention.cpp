#include "fot/attention/memory_attention.hpp"

#include <doctest/doctest.h>

#include <tuple>

#include "fot/attention/causal_attention.hpp"
#include "fot/attention/gate.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "support/attention_check.hpp"
#include "support/tape_check.hpp"

using namespace fot;

namespace {

/// The pairs that each query would see, were it alone: keys (B,T,H,K,D) and values (B,T,H,K,E).
template <class Real>
struct Retrieved {
    Tensor<Real, 4> q;
    Tensor<Real, 5> keys, values;

    Retrieved(const Shape<4>& shape, Index count, Index value_width, std::uint64_t seed) {
        Random random(seed);
        q = normal_tensor<Real, 4>(shape, 1, random);
        keys = normal_tensor<Real, 5>({shape[0], shape[1], shape[2], count, shape[3]}, 1, random);
        values = normal_tensor<Real, 5>({shape[0], shape[1], shape[2], count, value_width}, 1, random);
    }
};

template <class Real>
double oracle_difference(const Retrieved<Real>& in, Real scale) {
    const AttentionResult<Real> got = retrieved_attention(in.q, in.keys, in.values, scale);
    const Shape<5> shape = shape_of(in.keys);
    double worst = 0;
    for (Index b = 0; b < shape[0]; ++b)
        for (Index t = 0; t < shape[1]; ++t)
            for (Index h = 0; h < shape[2]; ++h) {
                std::vector<double> weights;
                double sum = 0;
                for (Index i = 0; i < shape[3]; ++i) {
                    double score = 0;
                    for (Index d = 0; d < shape[4]; ++d)
                        score += static_cast<double>(scale * in.q(b, t, h, d)) * static_cast<double>(in.keys(b, t, h, i, d));
                    weights.push_back(std::exp(score));
                    sum += weights.back();
                }
                worst = testing::worse(worst, std::abs(static_cast<double>(got.log_sum_exp(b, h, t)) - std::log(sum)));
                for (Index e = 0; e < extent(in.values, 4); ++e) {
                    double o = 0;
                    for (Index i = 0; i < shape[3]; ++i)
                        o += weights[static_cast<std::size_t>(i)] / sum * static_cast<double>(in.values(b, t, h, i, e));
                    worst = testing::worse(worst, std::abs(static_cast<double>(got.o(b, t, h, e)) - o));
                }
            }
    return worst;
}

/// x (M,H,D) as the context (1,M,H,D).
template <class Real>
Tensor<Real, 4> as_context(const Tensor<Real, 3>& x) {
    return reshaped<4>(x, {1, extent(x, 0), extent(x, 1), extent(x, 2)});
}

}  // namespace

TEST_CASE("attention of one query to two pairs of its own: hand numbers") {
    Retrieved<double> in({1, 1, 1, 1}, 2, 1, 1);
    in.q(0, 0, 0, 0) = 2;
    in.keys(0, 0, 0, 0, 0) = std::log(3.0);
    in.keys(0, 0, 0, 1, 0) = 0;
    in.values(0, 0, 0, 0, 0) = 4;
    in.values(0, 0, 0, 1, 0) = 8;
    const AttentionResult<double> result = retrieved_attention(in.q, in.keys, in.values, 0.5);
    CHECK(result.o(0, 0, 0, 0) == doctest::Approx(5));
    CHECK(result.log_sum_exp(0, 0, 0) == doctest::Approx(std::log(4.0)));
}

TEST_CASE_TEMPLATE("attention to retrieved pairs equals plain loops", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    CHECK(oracle_difference(Retrieved<Real>({1, 1, 1, 1}, 1, 1, 1), Real(1)) < tolerance);
    CHECK(oracle_difference(Retrieved<Real>({2, 3, 2, 4}, 5, 3, 2), Real(0.7)) < tolerance);
    CHECK(oracle_difference(Retrieved<Real>({2, 5, 3, 3}, 300, 4, 3), Real(0.5)) < tolerance);
}

TEST_CASE("with nothing retrieved the result is zeros and minus infinity, and its gradient is zero") {
    const Retrieved<float> in({1, 2, 2, 3}, 0, 4, 1);
    const AttentionResult<float> result = retrieved_attention(in.q, in.keys, in.values);
    CHECK(shape_of(result.o) == Shape<4>{1, 2, 2, 4});
    for (const float number : result.o.storage()) CHECK(number == 0);
    for (const float number : result.log_sum_exp.storage()) CHECK(number == -std::numeric_limits<float>::infinity());
    Tensor<float, 4> d_q = zeros_like(in.q);
    Tensor<float, 5> d_keys = zeros_like(in.keys), d_values = zeros_like(in.values);
    retrieved_attention_vjp(in.q, in.keys, in.values, 1.0f, result.o, result.log_sum_exp, result.o, nullptr, &d_q, &d_keys,
                            &d_values);
    for (const float number : d_q.storage()) CHECK(number == 0);
}

TEST_CASE("the whole memory as a context equals all of it retrieved and merged with the local attention") {
    const Index length = 6, heads = 4, key_heads = 2, width = 3, stored = 40;
    Random random(1);
    const Tensor<double, 3> memory_k = normal_tensor<double, 3>({stored, key_heads, width}, 1, random);
    const Tensor<double, 3> memory_v = normal_tensor<double, 3>({stored, key_heads, width}, 1, random);
    const Tensor<double, 4> q = normal_tensor<double, 4>({1, length, heads, width}, 1, random);
    const Tensor<double, 4> k = normal_tensor<double, 4>({1, length, key_heads, width}, 1, random);
    const Tensor<double, 4> v = normal_tensor<double, 4>({1, length, key_heads, width}, 1, random);
    KeyValueMemory<double> memory(key_heads, width);
    memory.append(memory_k, memory_v, 0);
    const AttentionResult<double> whole =
        crossbatch_attention(q, k, v, as_context(memory_k), as_context(memory_v), previous_contexts(1, 1, 0));
    const AttentionResult<double> local = causal_attention(q, k, v);
    for (const Index wanted : {stored, 10 * stored}) {
        const RetrievedEntries<double> found = memory.retrieve(q, 0, wanted);
        const AttentionResult<double> retrieved = retrieved_attention(q, found.keys, found.values);
        const AttentionResult<double> merged = merge(retrieved.o, retrieved.log_sum_exp, local.o, local.log_sum_exp);
        CHECK(testing::largest_difference(merged.o, whole.o) < 1e-13);
        CHECK(testing::largest_difference(merged.log_sum_exp, whole.log_sum_exp) < 1e-13);
    }
}

TEST_CASE("the best few of a memory hold most of its mass when keys are spread out") {
    const Index length = 8, width = 16, stored = 200, wanted = 16;
    Random random(2);
    const Tensor<float, 3> keys = normal_tensor<float, 3>({stored, 1, width}, 1, random),
                           queries = normal_tensor<float, 3>({length, 1, width}, 1, random);
    KeyValueMemory<float> memory(1, width);
    memory.append(keys, keys, 0);
    const RetrievedEntries<float> found = memory.retrieve(queries, wanted);
    const Tensor<float, 4> q = reshaped<4>(queries, {1, length, 1, width});
    const AttentionResult<float> best = retrieved_attention(q, found.keys, found.values);
    const AttentionResult<float> all =
        crossbatch_attention(q, zeros<float, 4>({1, 0, 1, width}), zeros<float, 4>({1, 0, 1, width}), as_context(keys),
                             as_context(keys), previous_contexts(1, 1, 0), {.causal = false});
    for (Index t = 0; t < length; ++t) {
        const double kept = std::exp(static_cast<double>(best.log_sum_exp(0, 0, t) - all.log_sum_exp(0, 0, t)));
        CHECK(kept > 0.8);  // 16 of 200
        CHECK(kept < 1 + 1e-5);
    }
}

TEST_CASE("the gradients of attention to retrieved pairs are those of finite differences, into keys and values too") {
    for (const Index count : {1, 3}) {
        Retrieved<double> in({2, 2, 2, 3}, count, 2, 4);
        Random random(5);
        const double scale = 0.7;
        const AttentionResult<double> result = retrieved_attention(in.q, in.keys, in.values, scale);
        const Tensor<double, 4> d_o = normal_tensor<double, 4>(shape_of(result.o), 1, random);
        const Tensor<double, 3> d_log_sum_exp = normal_tensor<double, 3>(shape_of(result.log_sum_exp), 1, random);
        Tensor<double, 4> d_q = full(shape_of(in.q), 0.5);
        Tensor<double, 5> d_keys = full(shape_of(in.keys), 0.5), d_values = full(shape_of(in.values), 0.5);
        retrieved_attention_vjp(in.q, in.keys, in.values, scale, result.o, result.log_sum_exp, d_o, &d_log_sum_exp, &d_q, &d_keys,
                                &d_values);
        const auto loss = [&] {
            const AttentionResult<double> now = retrieved_attention(in.q, in.keys, in.values, scale);
            return testing::weighted_sum(now.o, d_o) + testing::weighted_sum(now.log_sum_exp, d_log_sum_exp);
        };
        const auto check = [&](auto& x, auto& d_x) {
            for (double& number : d_x.storage()) number -= 0.5;
            CHECK(testing::gradient_error(x, d_x, loss) < 1e-6);
        };
        check(in.q, d_q);
        check(in.keys, d_keys);
        check(in.values, d_values);
    }
}

TEST_CASE("on the tape, alone and merged with local attention, the gradients are those of finite differences") {
    Random random(6);
    Variable<double, 4> q = testing::normal_variable<4>({2, 2, 2, 3}, random),
                        k = testing::normal_variable<4>({2, 2, 1, 3}, random),
                        v = testing::normal_variable<4>({2, 2, 1, 2}, random);
    Variable<double, 5> keys = testing::normal_variable<5>({2, 2, 2, 3, 3}, random),
                        values = testing::normal_variable<5>({2, 2, 2, 3, 2}, random);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return retrieved_attention(on, q, keys, values, 0.8).o; }, q, keys, values) <
          1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return retrieved_attention(on, q, keys, values, 0.8).log_sum_exp; }, q,
                                       keys) < 1e-6);
    const auto merged = [&](Tape& on) {
        return merge(on, retrieved_attention(on, q, keys, values), causal_attention(on, q, k, v)).o;
    };
    CHECK(testing::tape_gradient_error(merged, q, k, v, keys, values) < 1e-6);
    const Variable<double, 5> constant_keys(keys.value()), constant_values(values.value());
    const auto constant = [&](Tape& on) {
        return merge(on, retrieved_attention(on, q, constant_keys, constant_values), causal_attention(on, q, k, v)).o;
    };
    CHECK(testing::tape_gradient_error(constant, q, k, v) < 1e-6);
}

TEST_CASE("retrieved pairs that are constants get no gradient, and the queries the same as if they were none") {
    const Retrieved<float> in({2, 3, 2, 4}, 5, 3, 9);
    const auto replayed = [&](bool q, bool keys, bool values) {
        const std::tuple inputs(Variable<float, 4>(in.q, q), Variable<float, 5>(in.keys, keys),
                                Variable<float, 5>(in.values, values));
        Tape tape;
        const auto on_tape = [&](const auto&... x) { return retrieved_attention(tape, x...).o; };
        const Variable<float, 4> o = std::apply(on_tape, inputs);
        testing::replay(tape, o, full<float, 4>({2, 3, 2, 3}, 1.0f));
        return inputs;
    };
    const auto all = replayed(true, true, true), only_q = replayed(true, false, false), only_keys = replayed(false, true, false),
               only_values = replayed(false, false, true);
    CHECK(std::get<0>(only_q).gradient() == std::get<0>(all).gradient());
    CHECK_FALSE((std::get<1>(only_q).has_gradient() || std::get<2>(only_q).has_gradient()));
    CHECK(std::get<1>(only_keys).gradient() == std::get<1>(all).gradient());
    CHECK_FALSE((std::get<0>(only_keys).has_gradient() || std::get<2>(only_keys).has_gradient()));
    CHECK(std::get<2>(only_values).gradient() == std::get<2>(all).gradient());
    CHECK_FALSE((std::get<0>(only_values).has_gradient() || std::get<1>(only_values).has_gradient()));
}

TEST_CASE("attention to retrieved pairs is bitwise the same for one thread and for two") {
    const Retrieved<float> in({2, 9, 3, 8}, 32, 8, 7);
    const AttentionResult<float> result = retrieved_attention(in.q, in.keys, in.values);
    const auto gradients = [&] {
        Tensor<float, 4> d_q = zeros_like(in.q);
        Tensor<float, 5> d_keys = zeros_like(in.keys), d_values = zeros_like(in.values);
        retrieved_attention_vjp(in.q, in.keys, in.values, 1.0f, result.o, result.log_sum_exp, in.q, nullptr, &d_q, &d_keys,
                                &d_values);
        return std::tuple{d_q, d_keys, d_values};
    };
    const testing::WithThreads scope(1);
    const AttentionResult<float> one = retrieved_attention(in.q, in.keys, in.values);
    const auto d_one = gradients();
    set_threads(2);
    CHECK(one.o.storage() == retrieved_attention(in.q, in.keys, in.values).o.storage());
    const auto d_two = gradients();
    CHECK(std::get<0>(d_one).storage() == std::get<0>(d_two).storage());
    CHECK(std::get<1>(d_one).storage() == std::get<1>(d_two).storage());
    CHECK(std::get<2>(d_one).storage() == std::get<2>(d_two).storage());
}

TEST_CASE("retrieved pairs that do not fit the queries are refused") {
    const Retrieved<float> in({1, 2, 3, 4}, 5, 6, 8);
    CHECK_THROWS_WITH_AS(retrieved_attention(in.q, zeros<float, 5>({1, 2, 1, 5, 4}), in.values),
                         "retrieved_attention: keys has shape (1, 2, 1, 5, 4), expected (1, 2, 3, -1, 4) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(retrieved_attention(in.q, in.keys, zeros<float, 5>({1, 2, 3, 4, 6})),
                         "retrieved_attention: values has shape (1, 2, 3, 4, 6), expected (1, 2, 3, 5, -1) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(retrieved_attention(in.q, in.keys, in.values, -1.0f), "retrieved_attention: scale is -1, expected above 0",
                         ConfigError);
}

TEST_CASE("attention to a whole memory is attention to a context, and so is that to all of its entries as retrieved") {
    Random random(21);
    const Tensor<double, 4> q = normal_tensor<double, 4>({1, 5, 4, 3}, 1, random);
    const Tensor<double, 3> keys = normal_tensor<double, 3>({70, 2, 3}, 1, random),
                            values = normal_tensor<double, 3>({70, 2, 3}, 1, random);
    KeyValueMemory<double> memory(2, 3);
    memory.append(keys, values, 0);
    Tape tape(Tape::inference);
    const Variable<double, 4> query(q), context_k(reshaped<4>(keys, {1, 70, 2, 3})), context_v(reshaped<4>(values, {1, 70, 2, 3}));
    const Attention<double> expected = context_attention(tape, query, context_k, context_v, previous_contexts(1, 1, 0), 0.7);
    const AttentionResult<double> whole = memory_attention(q, memory, 0.7);
    CHECK(testing::largest_difference(whole.o, expected.o.value()) < 1e-14);
    CHECK(testing::largest_difference(whole.log_sum_exp, expected.log_sum_exp.value()) < 1e-14);
    for (const Index top_k : {0, 70, 100}) {
        const Attention<double> found = memory_attention(tape, query, memory, top_k, 0.7);
        CHECK(testing::largest_difference(found.o.value(), expected.o.value()) < 1e-13);
        CHECK(testing::largest_difference(found.log_sum_exp.value(), expected.log_sum_exp.value()) < 1e-13);
    }
    const Attention<double> few = memory_attention(tape, query, memory, 3, 0.7);
    for (Index i = 0; i < 20; ++i) CHECK(few.log_sum_exp.value().data()[i] < expected.log_sum_exp.value().data()[i]);
}

TEST_CASE("queries that do not fit a memory are refused") {
    KeyValueMemory<float> memory(2, 3);
    CHECK_THROWS_WITH_AS(memory_attention(zeros<float, 4>({1, 2, 4, 5}), memory),
                         "memory_attention: q has shape (1, 2, 4, 5), expected (1, -1, -1, 3) (-1: any)", ShapeError);
    Tape tape;
    for (const Index top_k : {0, 2})
        CHECK_THROWS_WITH_AS(memory_attention(tape, Variable<float, 4>(zeros<float, 4>({1, 2, 4, 5})), memory, top_k),
                             "memory_attention: q has shape (1, 2, 4, 5), expected (1, -1, -1, 3) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(memory_attention(zeros<float, 4>({1, 2, 3, 3}), memory),
                         "memory_attention: q has 3 heads, no multiple of the 2 of the memory", ShapeError);
    CHECK_THROWS_WITH_AS(memory_attention(zeros<float, 4>({1, 2, 4, 3}), memory, 0.0f),
                         "memory_attention: scale is 0, expected above 0", ConfigError);
}
