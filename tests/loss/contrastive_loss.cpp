#include "fot/loss/contrastive_loss.hpp"

#include <doctest/doctest.h>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/measure/positive_mass.hpp"
#include "support/tape_check.hpp"

using namespace fot;

namespace {

struct Inputs {
    Tensor<double, 4> q, k;
    Inputs(const Shape<4>& queries, Index sources, Index rows, Index key_heads, std::uint64_t seed) {
        Random random(seed);
        q = normal_tensor<double, 4>(queries, 1, random);
        k = normal_tensor<double, 4>({sources, rows, key_heads, queries[3]}, 1, random);
    }
};

/// The loss in index notation.
double plain_loss(const Inputs& in, const ContextTable& table) {
    const Index group = extent(in.q, 2) / extent(in.k, 2);
    double sum = 0;
    for (Index b = 0; b < extent(in.q, 0); ++b)
        for (Index t = 0; t < extent(in.q, 1); ++t)
            for (Index h = 0; h < extent(in.q, 2); ++h) {
                const std::vector<Index>& list = element(table.contexts, b);
                double positive = 0, all = 0;
                for (Index c = 0; c < length_of(list); ++c)
                    for (Index s = 0; s < extent(in.k, 1); ++s) {
                        double score = 0;
                        for (Index d = 0; d < extent(in.q, 3); ++d)
                            score += in.q(b, t, h, d) * in.k(element(list, c), s, h / group, d);
                        all += std::exp(score);
                        if (c < element(table.positives, b)) positive += std::exp(score);
                    }
                sum -= std::log(positive / all);
            }
    return sum / static_cast<double>(extent(in.q, 0) * extent(in.q, 1) * extent(in.q, 2));
}

const ContextTable by_hand{4, {{3, 0}, {1, 2, 0}, {2, 3, 1, 0}}, {1, 2, 1}};

}  // namespace

TEST_CASE("one positive among three contexts: hand numbers") {
    Inputs in({1, 1, 1, 1}, 3, 1, 1, 1);
    in.q(0, 0, 0, 0) = 1;
    in.k(0, 0, 0, 0) = std::log(2.0);
    in.k(1, 0, 0, 0) = std::log(5.0);
    in.k(2, 0, 0, 0) = 0;
    const ContextTable table = previous_contexts(1, 1, 2, 3);
    const ContrastiveLoss<double> loss = contrastive_loss(in.q, in.k, table);
    CHECK(loss.value == doctest::Approx(std::log(4.0)));
    CHECK(loss.d_context_k(0, 0, 0, 0) == doctest::Approx(0.25 - 1));
    CHECK(loss.d_context_k(1, 0, 0, 0) == doctest::Approx(0.625));
    CHECK(loss.d_context_k(2, 0, 0, 0) == doctest::Approx(0.125));
}

TEST_CASE("the loss equals plain loops") {
    const Inputs grouped({3, 4, 4, 3}, 4, 5, 2, 2), single({1, 1, 1, 2}, 2, 1, 1, 3), many({2, 3, 1, 4}, 6, 70, 1, 4);
    struct Case {
        const Inputs& in;
        ContextTable table;
    };
    for (const auto& [in, table] :
         {Case{grouped, by_hand}, Case{single, previous_contexts(1, 1, 1, 2)}, Case{many, previous_contexts(2, 2, 3, 3)}})
        CHECK(contrastive_loss(in.q, in.k, table).value == doctest::Approx(plain_loss(in, table)).epsilon(1e-12));
}

TEST_CASE("the loss is the mean of -log r_d") {
    const Inputs in({4, 5, 2, 3}, 4, 6, 2, 5);
    const ContextTable table = previous_contexts(4, 1, 3);
    const Tensor<double, 3> r = positive_mass_per_query(context_log_mass(in.q, in.k, table), 4);
    double mean = 0;
    for (const double share : r.storage()) mean -= std::log(share) / static_cast<double>(r.size());
    CHECK(contrastive_loss(in.q, in.k, table).value == doctest::Approx(mean));
}

TEST_CASE("crossbatch with values that name the document is InfoNCE") {
    // The value of a key is the unit vector of its context, so attention's result is the mass of each; the loss asks for the own.
    const Inputs in({3, 4, 2, 3}, 4, 5, 1, 16);
    Variable<double, 4> q(in.q, true), k(in.k, true);
    Tensor<double, 4> names = zeros<double, 4>({4, 5, 1, 4});
    for (Index context = 0; context < 4; ++context)
        for (Index s = 0; s < 5; ++s) names(context, s, 0, context) = 1;
    Tape tape;
    const Variable<double, 4> mass = context_attention(tape, q, k, Variable<double, 4>(names), by_hand).o;
    Tensor<double, 4> d_mass = zeros_like(mass.value());
    double loss = 0;
    for (Index b = 0; b < 3; ++b)
        for (Index t = 0; t < 4; ++t)
            for (Index h = 0; h < 2; ++h) {
                const auto& list = by_hand.contexts[static_cast<std::size_t>(b)];
                double own = 0;
                for (std::size_t c = 0; c < static_cast<std::size_t>(by_hand.positives[static_cast<std::size_t>(b)]); ++c)
                    own += mass.value()(b, t, h, list[c]);
                for (std::size_t c = 0; c < static_cast<std::size_t>(by_hand.positives[static_cast<std::size_t>(b)]); ++c)
                    d_mass(b, t, h, list[c]) = -1 / (24 * own);  // of -log own, mean over queries and heads
                loss -= std::log(own) / 24;
            }
    testing::replay(tape, mass, d_mass);
    const ContrastiveLoss<double> info_nce = contrastive_loss(in.q, in.k, by_hand);
    CHECK(loss == doctest::Approx(info_nce.value).epsilon(1e-12));
    CHECK(testing::largest_difference(q.gradient(), info_nce.d_q) < 1e-14);
    CHECK(testing::largest_difference(k.gradient(), info_nce.d_context_k) < 1e-14);
}

TEST_CASE("fewer negatives make a smaller loss") {
    const Inputs in({3, 4, 2, 3}, 4, 5, 2, 7);
    double before = 0;
    for (const Index negatives : {1, 2, 3}) {
        const double value = contrastive_loss(in.q, in.k, previous_contexts(3, 1, negatives, 4)).value;
        CHECK(value > before);
        before = value;
    }
}

TEST_CASE("the gradients of the contrastive loss are those of finite differences") {
    Inputs in({3, 2, 4, 2}, 4, 3, 2, 8);
    const ContrastiveLoss<double> at = contrastive_loss(in.q, in.k, by_hand);
    const auto loss = [&] { return contrastive_loss(in.q, in.k, by_hand).value; };
    CHECK(testing::gradient_error(in.q, at.d_q, loss) < 1e-6);
    CHECK(testing::gradient_error(in.k, at.d_context_k, loss) < 1e-6);
}

TEST_CASE("on the tape the loss is one number, its gradient scaled and added") {
    Random random(9);
    Variable<double, 4> q = testing::normal_variable<4>({3, 2, 2, 2}, random),
                        k = testing::normal_variable<4>({4, 2, 1, 2}, random);
    Tape tape;
    CHECK(contrastive_loss(tape, q, k, by_hand).value()(0) == contrastive_loss(q.value(), k.value(), by_hand).value);
    CHECK(testing::tape_gradient_error([&](Tape& on) { return contrastive_loss(on, q, k, by_hand); }, q, k) < 1e-6);
    CHECK(contrastive_loss(tape, q, k, by_hand, 0.3).value()(0) ==
          doctest::Approx(0.3 * contrastive_loss(tape, q, k, by_hand).value()(0)));
    CHECK(testing::tape_gradient_error([&](Tape& on) { return contrastive_loss(on, q, k, by_hand, 0.3); }, q, k) < 1e-6);
    const Variable<double, 4> constant(k.value());
    CHECK(testing::tape_gradient_error([&](Tape& on) { return contrastive_loss(on, q, constant, by_hand); }, q) < 1e-6);
    CHECK_FALSE(constant.has_gradient());
}

TEST_CASE("value and gradients are bitwise the same for one thread and for two") {
    Random random(10);
    const Tensor<float, 4> q = normal_tensor<float, 4>({4, 20, 4, 8}, 1, random),
                           k = normal_tensor<float, 4>({4, 20, 2, 8}, 1, random);
    const ContextTable table = previous_contexts(4, 1, 3);
    const testing::WithThreads scope(1);
    const ContrastiveLoss<float> one = contrastive_loss(q, k, table);
    set_threads(2);
    const ContrastiveLoss<float> two = contrastive_loss(q, k, table);
    CHECK(one.value == two.value);
    CHECK(one.d_q.storage() == two.d_q.storage());
    CHECK(one.d_context_k.storage() == two.d_context_k.storage());
}

TEST_CASE("a table without positives or without negatives gives no contrast and is refused") {
    const Inputs in({2, 1, 1, 2}, 2, 1, 1, 11);
    CHECK_THROWS_WITH_AS(contrastive_loss(in.q, in.k, previous_contexts(2, 1, 0)),
                         "contrastive_loss: entry 0 has 1 positives among 1 contexts, expected some of each kind", ConfigError);
    CHECK_THROWS_WITH_AS(contrastive_loss(in.q, in.k, {2, {{0, 1}, {1, 0}}, {1, 0}}),
                         "contrastive_loss: entry 1 has 0 positives among 2 contexts, expected some of each kind", ConfigError);
    CHECK_THROWS_WITH_AS(contrastive_loss(in.q, in.k, previous_contexts(3, 1, 1)),
                         "context table: has 3 lists and 3 counts of positives, expected 2 of each, one per batch entry",
                         ConfigError);
    CHECK_THROWS_WITH_AS(contrastive_loss(in.q, zeros<double, 4>({2, 1, 1, 3}), previous_contexts(2, 1, 1)),
                         "context_log_mass: k has shape (2, 1, 1, 3), expected (2, -1, -1, 2) (-1: any)", ShapeError);
    const Tensor<double, 4> no_keys = zeros<double, 4>({2, 0, 1, 2});
    CHECK_THROWS_WITH_AS(contrastive_loss(in.q, no_keys, previous_contexts(2, 1, 1)), "contrastive_loss: contexts without keys",
                         ShapeError);
    Tape tape;
    const Variable<double, 4> q(in.q), k(in.k);
    CHECK_THROWS_WITH_AS(contrastive_loss(tape, q, k, previous_contexts(2, 1, 1), std::nan("")),
                         "contrastive_loss: weight nan, expected a finite number", ConfigError);
}

TEST_CASE("a score that is not a number is no contrast") {
    const Inputs good({2, 1, 1, 2}, 2, 1, 1, 11);
    const ContextTable one_negative = previous_contexts(2, 1, 1), one_way{3, {{0, 2}, {1, 2}}, {1, 1}};
    Inputs of_query = good, of_positive({2, 1, 1, 2}, 3, 2, 1, 12), of_negative = of_positive;
    of_query.q(1, 0, 0, 0) = of_positive.k(1, 1, 0, 1) = of_negative.k(2, 1, 0, 0) = std::nan("");
    CHECK_THROWS_WITH_AS(contrastive_loss(of_query.q, of_query.k, one_negative), "log_sum_exp: score 0 is nan", NumericError);
    CHECK_THROWS_WITH_AS(contrastive_loss(of_positive.q, of_positive.k, one_way), "log_sum_exp: score 0 is nan", NumericError);
    CHECK_THROWS_WITH_AS(contrastive_loss(of_negative.q, of_negative.k, one_way), "log_sum_exp: score 1 is nan", NumericError);
}

TEST_CASE("a number that is not finite is an error wherever it stands: in queries, in positive and in negative contexts") {
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()})
        for (const Index context : {0, 1}) {
            Random random(9);
            Tensor<double, 4> q = normal_tensor<double, 4>({2, 3, 1, 4}, 1, random),
                              k = normal_tensor<double, 4>({2, 3, 1, 4}, 1, random);
            k(context, 1, 0, 2) = bad;
            CHECK_THROWS_AS(contrastive_loss(q, k, previous_contexts(2, 1, 1)), NumericError);
        }
}
