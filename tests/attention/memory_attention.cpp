#include "fot/attention/memory_attention.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/slices.hpp"
#include "fot/reference/memory_attention.hpp"
#include "support/attention_check.hpp"
#include "support/tape_check.hpp"

using namespace fot;
using testing::largest_difference;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Queries and local keys of some batch entries, T tokens each with H query heads for G key heads, and a memory for each entry.
template <class Real>
struct Inputs {
    Tensor<Real, 4> q, k, v;                          ///< (B,T,H,D), (B,T,G,D)
    std::vector<Tensor<Real, 4>> stored_k, stored_v;  ///< (1,M,G,D) of each entry
    std::vector<KeyValueMemory<Real>> stored;

    Inputs(const std::vector<Index>& sizes, Index queries, Index heads, Index key_heads, Index width, std::uint64_t seed) {
        Random random(seed);
        const Index entries = length_of(sizes);
        q = normal_tensor<Real, 4>({entries, queries, heads, width}, 1, random);
        k = normal_tensor<Real, 4>({entries, queries, key_heads, width}, 1, random);
        v = normal_tensor<Real, 4>({entries, queries, key_heads, width}, 1, random);
        for (const Index size : sizes) {
            stored_k.push_back(normal_tensor<Real, 4>({1, size, key_heads, width}, 1, random));
            stored_v.push_back(normal_tensor<Real, 4>({1, size, key_heads, width}, 1, random));
            stored.emplace_back(key_heads, width);
            stored.back().append(stored_k.back(), stored_v.back(), 0, 0);
        }
    }

    Index entries() const { return extent(q, 0); }

    Memories<Real> memories() const {
        Memories<Real> all;
        for (const KeyValueMemory<Real>& each : stored) all.push_back(&each);
        return all;
    }

    /// Attention to the memories as it runs in inference.
    AttentionResult<Real> attend(Index top_k) const {
        Tape tape(Tape::inference);
        const Attention<Real> found = memory_attention(tape, Variable<Real, 4>(q), memories(), top_k);
        return {found.o.value(), found.log_sum_exp.value()};
    }
};

/// One batch entry of a tensor, in double.
template <class Real>
Tensor<double, 4> entry_of(const Tensor<Real, 4>& x, Index b) {
    Tensor<double, 4> entry = empty<double, 4>({1, extent(x, 1), extent(x, 2), extent(x, 3)});
    std::copy_n(row(x, b), entry.size(), entry.data());
    return entry;
}

/// Of attention to the memories, alone and merged with local attention, from the definition.
template <class Real>
double oracle_difference(const Inputs<Real>& in, Index top_k) {
    const AttentionResult<Real> alone = in.attend(top_k), local = causal_attention<Real>({in.q, in.k, in.v}),
                                merged = merge<Real>(alone, local);
    double worst = 0;
    for (Index b = 0; b < in.entries(); ++b) {
        const Tensor<double, 4> q = entry_of(in.q, b), k = entry_of(in.k, b), v = entry_of(in.v, b),
                                none = empty<double, 4>({1, 0, extent(k, 2), extent(k, 3)}),
                                stored_k = testing::in_double(element(in.stored_k, b)),
                                stored_v = testing::in_double(element(in.stored_v, b));
        const Index wanted = top_k == 0 ? extent(stored_k, 1) : top_k;  // 0: all
        const auto compare = [&](const AttentionResult<Real>& got, const reference::AttentionResult<double>& expected) {
            worst = testing::worse(worst, largest_difference(entry_of(got.o, b), expected.o));
            for (Index h = 0; h < extent(in.q, 2); ++h)
                for (Index t = 0; t < extent(in.q, 1); ++t) {
                    const auto of_query = static_cast<double>(got.log_sum_exp(b, h, t));
                    if (of_query != expected.log_sum_exp(0, h, t))  // not infinities
                        worst = testing::worse(worst, std::abs(of_query - expected.log_sum_exp(0, h, t)));
                }
        };
        compare(alone, reference::memory_attention(q, none, none, stored_k, stored_v, wanted));
        compare(merged, reference::memory_attention(q, k, v, stored_k, stored_v, wanted));
    }
    return worst;
}

/// Smallest difference between the scores of the last entry that a query finds and the first that it does not.
double smallest_gap(const Inputs<double>& in, Index top_k) {
    double smallest = infinity;
    for (Index b = 0; b < in.entries(); ++b) {
        const FoundEntries<double> found = element(in.stored, b).search(in.q, b, top_k + 1);
        for (Index t = 0; t < extent(in.q, 1); ++t)
            for (Index h = 0; h < extent(in.q, 2) && extent(found.scores, 2) > top_k; ++h)
                smallest = std::min(smallest, found.scores(t, h, top_k - 1) - found.scores(t, h, top_k));
    }
    return smallest;
}

}  // namespace

TEST_CASE("attention to what was found: hand numbers") {
    const double scores[] = {std::log(3.0), 0, -infinity}, values[] = {4, 8, 0, 4, 100, 100};
    double o[2];
    CHECK(found_attention(scores, values, 3, 2, o) == doctest::Approx(std::log(4.0)));
    CHECK(o[0] == doctest::Approx(3));
    CHECK(o[1] == doctest::Approx(7));
    CHECK(found_attention(scores, values, 1, 2, o) == doctest::Approx(std::log(3.0)));
    CHECK(o[1] == 8);
    for (const Index none : {0, 1}) {
        std::fill_n(o, 2, 5.0);
        CHECK(found_attention(scores + 2, values, none, 2, o) == -infinity);
        CHECK((o[0] == 0 && o[1] == 0));
    }
}

TEST_CASE("the gradient of attention to what was found is that of finite differences, added to what was there") {
    const Index width = 3;
    for (const Index count : {1, 4}) {
        Random random(5);
        Tensor<double, 1> q = normal_tensor<double, 1>({width}, 1, random), o = zeros<double, 1>({width});
        const Tensor<double, 1> d_o = normal_tensor<double, 1>({width}, 1, random);
        const Tensor<double, 2> keys = normal_tensor<double, 2>({count, width}, 1, random),
                                values = normal_tensor<double, 2>({count, width}, 1, random);
        const double d_log_sum_exp = 0.7;
        Tensor<double, 1> scores = empty<double, 1>({count});
        double log_sum_exp = 0;
        const auto loss = [&] {  // the same entries, whatever their order would be
            for (Index j = 0; j < count; ++j) scores(j) = q(0) * keys(j, 0) + q(1) * keys(j, 1) + q(2) * keys(j, 2);
            log_sum_exp = found_attention(scores.data(), values.data(), count, width, o.data());
            return testing::weighted_sum(o, d_o) + d_log_sum_exp * log_sum_exp;
        };
        loss();
        Tensor<double, 1> d_q = full<double, 1>({width}, 0.5);
        found_attention_vjp(scores.data(), keys.data(), values.data(), count, width, log_sum_exp,
                            testing::weighted_sum(o, d_o) - d_log_sum_exp, d_o.data(), d_q.data());
        for (double& number : d_q.storage()) number -= 0.5;
        CHECK(testing::gradient_error(q, d_q, loss) < 1e-6);
    }
}

TEST_CASE("where all scores are minus infinity there is no gradient") {
    const double infinity = std::numeric_limits<double>::infinity();
    const std::vector<double> scores{-infinity}, key{2}, value{3}, d_o{1};
    std::vector<double> d_q{0.5};
    found_attention_vjp(scores.data(), key.data(), value.data(), 1, 1, -infinity, 0.0, d_o.data(), d_q.data());
    CHECK(d_q[0] == 0.5);
}

TEST_CASE("a query attends to the best two of three entries: hand numbers") {
    KeyValueMemory<double> memory(1, 1);
    memory.append(Tensor<double, 3>{{{std::log(3.0)}}, {{-std::log(2.0)}}, {{0.0}}}, Tensor<double, 3>{{{4.0}}, {{100.0}}, {{8.0}}},
                  0);
    Tape tape(Tape::inference);
    const Variable<double, 4> q(full<double, 4>({1, 1, 1, 1}, 1.0));
    const Attention<double> two = memory_attention(tape, q, {&memory}, 2), all = memory_attention(tape, q, {&memory}, 0);
    CHECK(two.o.value()(0, 0, 0, 0) == doctest::Approx(5));
    CHECK(two.log_sum_exp.value()(0, 0, 0) == doctest::Approx(std::log(4.0)));
    CHECK(all.o.value()(0, 0, 0, 0) == doctest::Approx((3 * 4 + 0.5 * 100 + 8) / 4.5));
    CHECK(all.log_sum_exp.value()(0, 0, 0) == doctest::Approx(std::log(4.5)));
}

TEST_CASE_TEMPLATE("attention to memories of several sizes is that of the definition", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    const Inputs<Real> single({1}, 1, 1, 1, 1, 1), uneven({7, 0, 1, 40}, 3, 4, 2, 5, 2), blocks({300, 1100}, 70, 2, 1, 4, 3),
        empty({0, 0}, 2, 2, 2, 3, 4), no_queries({5}, 0, 2, 1, 3, 5);
    for (const Inputs<Real>* in : {&single, &uneven, &blocks, &empty, &no_queries})
        for (const Index top_k : {0, 1, 3, 40, 2000}) {
            CAPTURE(top_k);
            CHECK(oracle_difference(*in, top_k) < tolerance);
        }
}

TEST_CASE("a long memory is cut into parts, by its size and not by the number of threads") {
    CHECK(detail::memory_parts(0, 0, 0) == 1);
    CHECK(detail::memory_parts(8191, 1, 1) == 1);
    CHECK(detail::memory_parts(8192, 1, 1) == 2);
    CHECK(detail::memory_parts(1 << 20, 1, 256) == 64);
    CHECK(detail::memory_parts(1 << 20, 16, 256) == 4);
    CHECK(detail::memory_parts(1 << 20, 1, 1 << 19) == 2);  // as many numbers as the memory holds, at most
    CHECK(detail::memory_parts(1 << 20, 100, 1) == 1);
}

TEST_CASE_TEMPLATE("one query, few and many to a long memory in parts, heads grouped, in both storages: the definition", Real,
                   float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    for (const Index queries : {1, 2, 4, 5}) {
        Inputs<Real> in({9000, 300, 0}, queries, 4, 2, 6, static_cast<std::uint64_t>(40 + queries));
        for (const Index top_k : {0, 3}) CHECK(oracle_difference(in, top_k) < tolerance);
        for (Index b = 0; b < 3; ++b) {  // 16 bits: what was rounded before loses nothing
            for (Tensor<Real, 4>* of_entry : {&element(in.stored_k, b), &element(in.stored_v, b)})
                for (Real& number : of_entry->storage())
                    number = static_cast<Real>(to_float(to_bfloat16(static_cast<float>(number))));
            element(in.stored, b) = KeyValueMemory<Real>(2, 6, Storage::bfloat16);
            element(in.stored, b).append(element(in.stored_k, b), element(in.stored_v, b), 0, 0);
        }
        for (const Index top_k : {0, 3}) CHECK(oracle_difference(in, top_k) < tolerance);
    }
}

TEST_CASE("attention to a long memory is bitwise the same for any number of threads") {
    const Inputs<float> in({20000}, 1, 4, 2, 8, 50);
    const testing::WithThreads scope(1);
    const AttentionResult<float> one = in.attend(0);
    for (const Index count : {2, 3, 16}) {
        set_threads(count);
        CHECK(in.attend(0).o == one.o);
        CHECK(in.attend(0).log_sum_exp == one.log_sum_exp);
    }
}

TEST_CASE("what inference finds without copies is what training finds with them") {
    const Inputs<float> in({300, 0}, 5, 4, 2, 6, 51);
    Tape tape;
    const Attention<float> training = memory_attention(tape, Variable<float, 4>(in.q, true), in.memories(), 7);
    CHECK(training.o.value() == in.attend(7).o);
    CHECK(training.log_sum_exp.value() == in.attend(7).log_sum_exp);
}

TEST_CASE("memories of different heads are refused") {
    const KeyValueMemory<float> two(2, 3), four(4, 3);
    CHECK_THROWS_WITH_AS(memory_attention(zeros<float, 4>({2, 1, 4, 3}), {&two, &four}),
                         doctest::Contains("expected as many in all"), ShapeError);
}

TEST_CASE("an empty memory among others gives zeros and minus infinity, and no gradient") {
    const Inputs<double> in({6, 0}, 3, 2, 1, 4, 6);
    for (const Index top_k : {2, 0}) {
        const AttentionResult<double> result = in.attend(top_k);
        for (Index i = 0; i < 3 * 2 * 4; ++i) CHECK(row(result.o, 1)[i] == 0);
        for (Index i = 0; i < 2 * 3; ++i) {
            CHECK(row(result.log_sum_exp, 1)[i] == -infinity);
            CHECK(std::isfinite(row(result.log_sum_exp, 0)[i]));
        }
    }
    const Variable<double, 4> q(in.q, true);
    Tape tape;
    const Attention<double> found = memory_attention(tape, q, in.memories(), 2);
    found.log_sum_exp.gradient() = full<double, 3>({2, 2, 3}, 1.0);
    testing::replay(tape, found.o, full<double, 4>({2, 3, 2, 4}, 1.0));
    for (Index i = 0; i < 3 * 2 * 4; ++i) CHECK(row(q.gradient(), 1)[i] == 0);
    CHECK(largest_difference(q.gradient(), zeros_like(in.q)) > 0.01);
}

TEST_CASE("as many best entries as there are, or more, are the whole memory as a context") {
    const Inputs<double> in({70, 70}, 5, 4, 2, 3, 21);
    const Tensor<double, 4> keys = concatenate<0>(in.stored_k[0], in.stored_k[1]),
                            values = concatenate<0>(in.stored_v[0], in.stored_v[1]);
    const AttentionResult<double> expected = context_attention<double>({in.q, keys, values}, previous_contexts(2, 1, 0)),
                                  whole = memory_attention(in.q, in.memories());
    CHECK(largest_difference(whole.o, expected.o) < 1e-14);
    CHECK(largest_difference(whole.log_sum_exp, expected.log_sum_exp) < 1e-14);
    for (const Index top_k : {0, 70, 100}) {
        const AttentionResult<double> found = in.attend(top_k);
        CHECK(largest_difference(found.o, expected.o) < 1e-13);
        CHECK(largest_difference(found.log_sum_exp, expected.log_sum_exp) < 1e-13);
    }
    const AttentionResult<double> few = in.attend(3);
    for (Index i = 0; i < 2 * 4 * 5; ++i) CHECK(few.log_sum_exp.data()[i] < expected.log_sum_exp.data()[i]);
}

TEST_CASE("the best few of a memory hold the share of its mass that their scores have among all") {
    Random random(2);
    const Tensor<float, 4> keys = normal_tensor<float, 4>({1, 200, 1, 16}, 1, random),
                           q = normal_tensor<float, 4>({1, 8, 1, 16}, 1, random);
    KeyValueMemory<float> memory(1, 16);
    memory.append(keys, keys, 0, 0);
    Tape tape(Tape::inference);
    const Tensor<float, 3> best = memory_attention(tape, Variable<float, 4>(q), {&memory}, 16).log_sum_exp.value(),
                           all = memory_attention(q, {&memory}).log_sum_exp;
    for (Index t = 0; t < 8; ++t) {
        std::vector<double> weights;
        for (Index s = 0; s < 200; ++s) {
            double score = 0;
            for (Index d = 0; d < 16; ++d) score += static_cast<double>(q(0, t, 0, d)) * static_cast<double>(keys(0, s, 0, d));
            weights.push_back(std::exp(score));
        }
        std::sort(weights.begin(), weights.end(), std::greater());
        const double expected =
            std::accumulate(weights.begin(), weights.begin() + 16, 0.0) / std::accumulate(weights.begin(), weights.end(), 0.0);
        CHECK(std::exp(static_cast<double>(best(0, 0, t) - all(0, 0, t))) == doctest::Approx(expected).epsilon(1e-5));
    }
}

TEST_CASE("the gradients reach the queries, alone and merged with local attention: finite differences") {
    const Inputs<double> in({9, 0, 2}, 2, 4, 2, 3, 7);
    Variable<double, 4> q(in.q, true), k(in.k, true), v(in.v, true);
    for (const Index top_k : {1, 3, 20}) {
        CAPTURE(top_k);
        REQUIRE(smallest_gap(in, top_k) > 0.02);  // or a difference could change what is found
        const auto found = [&](Tape& on) { return memory_attention(on, q, in.memories(), top_k); };
        const auto merged = [&](Tape& on) { return merge(on, found(on), causal_attention(on, q, k, v)); };
        CHECK(testing::tape_gradient_error([&](Tape& on) { return found(on).o; }, q) < 1e-6);
        CHECK(testing::tape_gradient_error([&](Tape& on) { return merged(on).o; }, q, k, v) < 1e-6);
        CHECK(testing::tape_gradient_error([&](Tape& on) { return merged(on).log_sum_exp; }, q, k) < 1e-6);
    }
}

TEST_CASE("what is found is bitwise the same for one thread and for several, and so are the gradients") {
    const Inputs<float> in({300, 40}, 19, 6, 3, 8, 7);
    const auto run = [&](Index top_k) {
        const Variable<float, 4> q(in.q, top_k > 0);
        Tape tape(top_k > 0 ? Tape::training : Tape::inference);
        const Attention<float> found = memory_attention(tape, q, in.memories(), top_k);
        if (top_k > 0) {
            found.log_sum_exp.gradient() = found.log_sum_exp.value();
            testing::replay(tape, found.o, in.q);
        }
        return std::tuple(found.o.value(), found.log_sum_exp.value(), top_k > 0 ? q.gradient() : Tensor<float, 4>());
    };
    for (const Index top_k : {0, 32}) {
        const testing::WithThreads scope(1);
        const auto one = run(top_k);
        for (const Index count : {2, 3, 40}) {
            set_threads(count);
            CHECK((run(top_k) == one));
        }
    }
}

TEST_CASE("nothing is recorded for constant queries, nor in inference") {
    const Inputs<double> in({5}, 2, 1, 1, 3, 8);
    const Variable<double, 4> constant(in.q), trained(in.q, true);
    Tape tape, inference(Tape::inference);
    CHECK_FALSE(memory_attention(tape, constant, in.memories(), 2).o.needs_gradient());
    for (const Index top_k : {0, 2}) CHECK_FALSE(memory_attention(inference, trained, in.memories(), top_k).o.needs_gradient());
    CHECK(tape.size() == 0);
    CHECK(inference.size() == 0);
    CHECK(memory_attention(tape, trained, in.memories(), 2).log_sum_exp.needs_gradient());
}

TEST_CASE("queries that do not fit the memories are refused") {
    const Inputs<float> in({4, 4}, 2, 4, 2, 3, 9);
    const auto of = [](const Shape<4>& shape) { return zeros<float, 4>(shape); };
    Tape tape;
    const auto refused = [&](const Tensor<float, 4>& q, const Memories<float>& memories, const char* what) {
        CHECK_THROWS_WITH_AS(memory_attention(q, memories), what, ShapeError);
        CHECK_THROWS_WITH_AS(memory_attention(tape, Variable<float, 4>(q), memories, 2), what, ShapeError);
    };
    CHECK_NOTHROW(memory_attention(in.q, in.memories()));
    refused(of({2, 2, 4, 5}), in.memories(),
            "memory_attention: q has 4 heads of width 5, expected a multiple of 2 heads of width 3");
    refused(of({2, 2, 3, 3}), in.memories(),
            "memory_attention: q has 3 heads of width 3, expected a multiple of 2 heads of width 3");
    refused(of({3, 2, 4, 3}), in.memories(), "memory_attention: 2 memories, expected 3, one for each batch entry");
    refused(in.q, {}, "memory_attention: 0 memories, expected 2, one for each batch entry");
    refused(of({2, 2, 0, 3}), in.memories(),
            "memory_attention: q has 0 heads of width 3, expected a multiple of 2 heads of width 3");
}

TEST_CASE("numbers of entries that cannot be found are refused; the whole memory gives no gradient and is refused in training") {
    const Inputs<float> in({4, 4}, 2, 4, 2, 3, 9);
    const Variable<float, 4> q(in.q, true);
    Tape training, inference(Tape::inference);
    for (const Index top_k : {0, -1})
        CHECK_THROWS_WITH_AS(memory_attention(training, q, in.memories(), top_k),
                             message("memory_attention: top_k ", top_k, " in training, expected 1 or more").c_str(), ConfigError);
    CHECK_THROWS_WITH_AS(memory_attention(inference, q, in.memories(), -1), "memory_attention: top_k -1, expected 0 or more",
                         ConfigError);
    CHECK_NOTHROW(memory_attention(inference, q, in.memories(), 0));
    const NoGradient scope(training);
    CHECK_NOTHROW(memory_attention(training, q, in.memories(), 0));
}
