#include "fot/nn/cross_entropy.hpp"

#include <doctest/doctest.h>

#include "support/random_tokens.hpp"
#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;
using fot::testing::random_tokens;

namespace {

/// -log softmax(logits)[target], as it is written.
double nats_of(const Tensor<double, 3>& logits, Index b, Index t, Index target) {
    double sum = 0;
    for (Index v = 0; v < extent(logits, 2); ++v) sum += std::exp(logits(b, t, v));
    return -std::log(std::exp(logits(b, t, target)) / sum);
}

}  // namespace

TEST_CASE("equal logits cost the logarithm of the vocabulary") {
    const Tensor<float, 3> logits = zeros<float, 3>({2, 3, 64});
    const Tensor<float, 2> mask = full<float, 2>({2, 3}, 1.0f);
    for (const Reduction reduction : {Reduction::token_mean, Reduction::row_mean})
        CHECK(cross_entropy(logits, zeros<std::int32_t, 2>({2, 3}), mask, reduction) == doctest::Approx(std::log(64.0)));
}

TEST_CASE("the two reductions: hand numbers") {
    Tensor<double, 3> logits = zeros<double, 3>({2, 2, 2});
    logits(0, 0, 1) = std::log(3.0);  // p = 1/4, 3/4
    const Tokens targets{{0, 0}, {1, 0}};
    const Tensor<double, 2> mask{{1, 1}, {1, 0}};
    const double four = std::log(4.0), two = std::log(2.0);
    CHECK(cross_entropy(logits, targets, mask, Reduction::token_mean) == doctest::Approx((four + two + two) / 3));
    CHECK(cross_entropy(logits, targets, mask, Reduction::row_mean) == doctest::Approx(((four + two) / 2 + two) / 2));
    const Tensor<double, 2> half{{0.5, 0}, {0, 0}};  // a row without any counted token still counts as a row
    CHECK(cross_entropy(logits, targets, half, Reduction::token_mean) == doctest::Approx(four));
    CHECK(cross_entropy(logits, targets, half, Reduction::row_mean) == doctest::Approx(four / 2));
}

TEST_CASE("losses of tokens equal plain loops at every vocabulary size around a block") {
    Random random(1);
    for (const Index vocabulary : {1, 2, 15, 16, 17, 255, 256, 257, 1000}) {
        const Tensor<double, 3> logits = normal_tensor<double, 3>({2, 2, vocabulary}, 3, random);
        const Tokens targets = random_tokens(2, 2, vocabulary, random);
        const Tensor<double, 2> nats = token_nats(logits, targets);
        for (Index b = 0; b < 2; ++b)
            for (Index t = 0; t < 2; ++t) CHECK(nats(b, t) == doctest::Approx(nats_of(logits, b, t, targets(b, t))).epsilon(1e-10));
    }
}

TEST_CASE("float and double give the same loss, also for large logits") {
    Random random(2);
    const Tensor<double, 3> logits = normal_tensor<double, 3>({4, 40, 300}, 30, random);
    Tensor<float, 3> single = empty<float, 3>({4, 40, 300});
    for (std::size_t i = 0; i < logits.size(); ++i) single.data()[i] = static_cast<float>(logits.data()[i] + 1000);
    const Tokens targets = random_tokens(4, 40, 300, random);
    CHECK(cross_entropy(single, targets, full<float, 2>({4, 40}, 1.0f)) ==
          doctest::Approx(cross_entropy(logits, targets, full<double, 2>({4, 40}, 1.0))).epsilon(1e-5));
}

TEST_CASE("the gradient of the masked loss is that of finite differences") {
    Random random(3);
    Variable<double, 3> logits = normal_variable<3>({2, 3, 5}, random);
    const Tokens targets = random_tokens(2, 3, 5, random);
    const Tensor<double, 2> mask{{1, 0, 0.5}, {0, 2, 1}};
    for (const Reduction reduction : {Reduction::token_mean, Reduction::row_mean})
        CHECK(testing::tape_gradient_error([&](Tape& tape) { return cross_entropy(tape, logits, targets, mask, reduction); },
                                           logits) < 1e-6);
}

TEST_CASE("the loss on the tape is the loss without it") {
    Random random(4);
    const Tensor<float, 3> logits = normal_tensor<float, 3>({2, 3, 5}, 1, random);
    const Tokens targets = random_tokens(2, 3, 5, random);
    const Tensor<float, 2> mask = full<float, 2>({2, 3}, 1.0f);
    Tape tape;
    const Variable<float, 1> loss = cross_entropy(tape, Variable<float, 3>(logits), targets, mask, Reduction::row_mean);
    CHECK(shape_of(loss.value()) == Shape<1>{1});
    CHECK(loss.value()(0) == static_cast<float>(cross_entropy(logits, targets, mask, Reduction::row_mean)));
    CHECK(tape.size() == 0);
}

TEST_CASE("the gradient of each token's logits sums to zero, and is zero where the mask is") {
    Random random(5);
    Variable<double, 3> logits = normal_variable<3>({1, 3, 300}, random);
    const Tensor<double, 2> mask{{1, 0, 1}};
    Tape tape;
    tape.backward(cross_entropy(tape, logits, random_tokens(1, 3, 300, random), mask));
    for (Index t = 0; t < 3; ++t) {
        double sum = 0, size = 0;
        for (Index v = 0; v < 300; ++v) {
            sum += logits.gradient()(0, t, v);
            size += std::abs(logits.gradient()(0, t, v));
        }
        CHECK(std::abs(sum) < 1e-12);
        CHECK((size > 0) == (t != 1));
    }
}

TEST_CASE("a mask of zeros gives loss 0 and no gradient") {
    Random random(6);
    Variable<double, 3> logits = normal_variable<3>({2, 2, 3}, random);
    for (const Reduction reduction : {Reduction::token_mean, Reduction::row_mean}) {
        Tape tape;
        const Variable<double, 1> loss =
            cross_entropy(tape, logits, zeros<std::int32_t, 2>({2, 2}), zeros<double, 2>({2, 2}), reduction);
        tape.backward(loss);
        CHECK(loss.value()(0) == 0);
        CHECK(logits.gradient() == zeros<double, 3>({2, 2, 3}));
    }
}

TEST_CASE("a prediction is correct when its largest logit is the target's, the first of equal ones") {
    Tensor<float, 3> logits = zeros<float, 3>({1, 3, 20});
    logits(0, 0, 18) = 1;
    logits(0, 1, 4) = logits(0, 1, 17) = 2;
    const Tensor<std::uint8_t, 2> correct = correct_predictions(logits, Tokens{{18, 4, 3}});
    CHECK(correct(0, 0) == 1);
    CHECK(correct(0, 1) == 1);
    CHECK(correct(0, 2) == 0);
    CHECK(correct_predictions(logits, Tokens{{0, 17, 0}})(0, 1) == 0);
    CHECK(correct_predictions(logits, Tokens{{-1, -1, -1}})(0, 2) == 0);
}

TEST_CASE("a logit that is not a number is an error in the loss, where it counts, and among predictions") {
    Tensor<float, 3> logits = zeros<float, 3>({1, 1, 4});
    for (Index v = 0; v < 4; ++v) {
        std::fill_n(logits.data(), 4, 0.0f);
        logits(0, 0, v) = std::nanf("");
        const char* error = "cross_entropy: the loss at position (0, 0) is NaN: a logit is NaN or +infinity";
        CHECK_THROWS_WITH_AS(cross_entropy(logits, Tokens{{2}}, full<float, 2>({1, 1}, 1.0f)), error, NumericError);
        CHECK_THROWS_WITH_AS(token_nats(logits, Tokens{{2}}), error, NumericError);
        CHECK(cross_entropy(logits, Tokens{{2}}, zeros<float, 2>({1, 1})) == 0);
        CHECK_THROWS_WITH_AS(correct_predictions(logits, Tokens{{2}}),
                             "correct_predictions: a logit of token 0 of batch entry 0 is not a number", NumericError);
    }
}

TEST_CASE("targets outside the vocabulary are refused where they count, and left alone where they do not") {
    const Tensor<float, 3> logits = zeros<float, 3>({1, 2, 4});
    const Tokens targets{{0, -100}}, beyond{{4, 0}};
    const Tensor<float, 2> first{{1, 0}}, all{{1, 1}}, negative{{1, -1}};
    CHECK(cross_entropy(logits, targets, first) == doctest::Approx(std::log(4.0)));
    CHECK_THROWS_WITH_AS(cross_entropy(logits, targets, all),
                         "cross_entropy: target -100 at position (0, 1) is outside the vocabulary of 4", DataError);
    CHECK_THROWS_WITH_AS(token_nats(logits, beyond), "cross_entropy: target 4 at position (0, 0) is outside the vocabulary of 4",
                         DataError);
    CHECK_THROWS_WITH_AS(cross_entropy(logits, targets, negative),
                         "cross_entropy: the mask at position (0, 1) is -1, expected a finite number of 0 or more", DataError);
    CHECK_THROWS_AS(cross_entropy(logits, targets, Tensor<float, 2>{{1, std::numeric_limits<float>::infinity()}}), DataError);
    CHECK_THROWS_WITH_AS(cross_entropy(logits, Tokens{{0}}, all), "cross_entropy: targets has shape (1, 1), expected (1, 2)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(cross_entropy(logits, targets, Tensor<float, 2>{{1}}),
                         "cross_entropy: mask has shape (1, 1), expected (1, 2)", ShapeError);
    CHECK_THROWS_WITH_AS(correct_predictions(logits, Tokens{{0}}), "correct_predictions: targets has shape (1, 1), expected (1, 2)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(correct_predictions(zeros<float, 3>({1, 1, 0}), Tokens{{0}}),
                         doctest::Contains("expected a vocabulary of at least 1"), ShapeError);
}

TEST_CASE("the gradient of large logits is as exact as that of small ones") {
    for (const float large : {0.0f, 1e5f, 1e7f, 1e8f, -1e8f}) {
        Tape tape;
        Variable<float, 3> logits(full<float, 3>({1, 1, 2}, large), true);
        tape.backward(cross_entropy(tape, logits, Tokens{{0}}, Tensor<float, 2>{{1}}));
        CHECK(logits.gradient()(0, 0, 0) == doctest::Approx(-0.5).epsilon(1e-6));
        CHECK(logits.gradient()(0, 0, 1) == doctest::Approx(0.5).epsilon(1e-6));
    }
}
