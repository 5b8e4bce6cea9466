#include "fot/remedies/length_temperature.hpp"

#include <doctest/doctest.h>

#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// The weight of one key of cosine `c` among n keys, all others of cosine 0, under a scoring of one head.
double weight_among(const Scoring<double>& scoring, double c, Index n) {
    Tape tape(Tape::inference);
    Variable<double, 4> q(zeros<double, 4>({1, 1, 1, 2})), k(zeros<double, 4>({1, 2, 1, 2}));
    q.value()(0, 0, 0, 0) = 3;  // its length does not matter
    k.value()(0, 0, 0, 0) = c;
    k.value()(0, 0, 0, 1) = std::sqrt(1 - c * c);
    k.value()(0, 1, 0, 1) = 5;
    const Tensor<double, 4> queries = scoring.queries(tape, q, {{n - 1}, {0}}).value(), keys = scoring.keys(tape, k).value();
    const auto score = [&](Index s) { return inner_product(row(queries, 0), row(keys, 0, s), 2); };
    const double others = static_cast<double>(n - 1);
    return std::exp(score(0)) / (std::exp(score(0)) + others * std::exp(score(1)));
}

}  // namespace

TEST_CASE(
    "a fixed temperature has a largest memory, e^(c / tau); with the logarithm the weight of the best key is n^(a c) to n - 1") {
    const double c = 0.6, epsilon = 1e-12;
    const UnitScoring<double> fixed(1, 10, epsilon);
    const Index largest = static_cast<Index>(std::exp(c * 10));  // 403
    CHECK(weight_among(fixed, c, largest) > 0.5);
    CHECK(weight_among(fixed, c, largest + 2) < 0.5);
    CHECK(weight_among(fixed, c, 1000000) < 1e-3);

    for (const double a : {1.2, 1.0 / c, 2.5}) {
        const ScalableSoftmax<double> scalable(1, a, epsilon);
        for (const Index n : {Index(2), Index(1000), Index(1000000)}) {
            const double grown = std::pow(static_cast<double>(n), a * c);
            CHECK(weight_among(scalable, c, n) == doctest::Approx(grown / (grown + static_cast<double>(n - 1))).epsilon(1e-8));
        }
    }
    const ScalableSoftmax<double> enough(1, 2.5, epsilon), too_little(1, 1.2, epsilon);
    CHECK(weight_among(enough, c, 1000000) > 0.998);  // a c = 1.5: 1 / (1 + n^-.5)
    CHECK(weight_among(enough, c, 1000000) > weight_among(enough, c, 1000));
    CHECK(weight_among(too_little, c, 1000000) < weight_among(too_little, c, 1000));
}

TEST_CASE("the logarithm does not part keys that overlap: two of the same cosine share alike in a memory of any size") {
    const ScalableSoftmax<double> scalable(1, 2.5, 1e-12);
    Tape tape(Tape::inference);
    const Variable<double, 4> x(full<double, 4>({1, 1, 1, 2}, 1.0));
    for (const Index n : {Index(10), Index(1000000)}) {
        const Tensor<double, 4> q = scalable.queries(tape, x, {{n - 1}, {0}}).value(), k = scalable.keys(tape, x).value();
        CHECK(inner_product(q.data(), k.data(), 2) == doctest::Approx(2.5 * std::log(static_cast<double>(n))).epsilon(1e-10));
    }
}

TEST_CASE("LogN leaves scores as they were up to the keys of training, and multiplies them by log n / log n_trained beyond") {
    Random random(1);
    const Variable<double, 4> x(normal_tensor<double, 4>({1, 1, 2, 4}, 1, random));
    const LogLength<double> longer(std::make_unique<ScaledScoring<double>>(), 100);
    const ScaledScoring<double> trained;
    Tape tape(Tape::inference);
    const auto queries = [&](const Scoring<double>& scoring, Index n) { return scoring.queries(tape, x, {{n - 1}, {0}}).value(); };
    for (const Index n : {1, 2, 100}) CHECK(queries(longer, n) == queries(trained, n));
    CHECK(largest_difference(queries(longer, 10000), multiply(queries(trained, 10000), 2)) < 1e-14);
    CHECK(longer.keys(tape, x).value() == trained.keys(tape, x).value());
}

TEST_CASE("a model with the learned length scale has its gradient, and crossbatch and a memory agree") {
    check_remedy([](auto& model) { model.layer(1).scoring = std::make_unique<ScalableSoftmax<double>>(2, 1.5, 1e-3); },
                 "layers.1.log_length_scale");
}

TEST_CASE("LogN keeps the parameters of the rule it was trained with") {
    const Transformer<double> model = remedied_model(
        [](auto& of) { of.layer(1).scoring = std::make_unique<LogLength<double>>(std::move(of.layer(1).scoring), 2); });
    const CrossbatchInput input{random_tokens(2, 2, 11, 4), random_tokens(2, 3, 11, 5), previous_contexts(2, 1, 1)};
    CHECK(parameter_named(model, "layers.1.log_inverse_temperature").value().size() == 2);
    parameter_gradient_error(model.parameters(), [&](Tape& on) { return weighted_logits(on, model.crossbatch(on, input)); });
    Tape tape(Tape::inference);
    CHECK(largest_difference(model.crossbatch(tape, input).value(), remedied_model([](auto&) {}).crossbatch(tape, input).value()) >
          1e-4);
}

TEST_CASE("no scoring, and a training with fewer than two keys, are refused") {
    CHECK_THROWS_AS(LogLength<float>(nullptr, 100), ConfigError);
    CHECK_THROWS_AS(LogLength<float>(std::make_unique<ScaledScoring<float>>(), 1), ConfigError);
}
