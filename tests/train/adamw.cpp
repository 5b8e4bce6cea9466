#include "fot/train/adamw.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/difference.hpp"

using namespace fot;

TEST_CASE("the first step of Adam is the learning rate towards minus the gradient's sign") {
    Variable<double, 1> x(full<double, 1>({3}, 1.0), true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::norm_scale, x)};
    AdamW<double> optimizer(parameters, {.learning_rate = 0.2});
    x.gradient()(0) = 1000;
    x.gradient()(1) = -1e-3;
    x.gradient()(2) = 0;
    optimizer.step(0.5);
    CHECK(x.value()(0) == doctest::Approx(0.9).epsilon(1e-9));
    CHECK(x.value()(1) == doctest::Approx(1 + 0.1 / (1 + 1e-5)).epsilon(1e-9));  // epsilon stands outside the root
    CHECK(x.value()(2) == 1.0);
}

TEST_CASE("weight decay acts without a gradient, times the learning rate") {
    Variable<double, 1> x(full<double, 1>({1}, 2.0), true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::norm_scale, x)};
    AdamWOptions options;
    options.learning_rate = 1;
    options.weight_decay = 0.5;
    AdamW<double> optimizer(parameters, options);
    optimizer.step(0.1);
    CHECK(x.value()(0) == doctest::Approx(2.0 * (1 - 0.05)));
}

TEST_CASE("AdamW follows the sums of its definition over many steps") {
    Random random(4);
    const Index count = 40000, steps = 5;  // several slices of the parallel loop
    Variable<double, 1> x(normal_tensor<double, 1>({count}, 1, random), true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::output, x)};
    AdamWOptions options;
    options.beta1 = 0.8;
    options.beta2 = 0.95;
    options.weight_decay = 0.1;
    options.learning_rate = 1;
    options.learning_rate_factors.output = 2;
    AdamW<double> optimizer(parameters, options);
    std::vector<double> expected(x.value().begin(), x.value().end());
    std::vector<std::vector<double>> gradients;
    double worst = 0;
    for (Index t = 1; t <= steps; ++t) {
        fill_normal(x.gradient(), 1, random);
        gradients.emplace_back(x.gradient().begin(), x.gradient().end());
        const double learning_rate = 0.01 * static_cast<double>(t);
        optimizer.step(learning_rate);
        for (std::size_t i = 0; i < expected.size(); ++i) {
            double mean = 0, square = 0, weights1 = 0, weights2 = 0;  // weighted means over all steps so far
            for (Index s = 1; s <= t; ++s) {
                const double g = gradients[static_cast<std::size_t>(s - 1)][i], age = static_cast<double>(t - s);
                mean += std::pow(0.8, age) * g;
                weights1 += std::pow(0.8, age);
                square += std::pow(0.95, age) * g * g;
                weights2 += std::pow(0.95, age);
            }
            expected[i] -= 2 * learning_rate * ((mean / weights1) / (std::sqrt(square / weights2) + 1e-8) + 0.1 * expected[i]);
            worst = testing::worse(worst, std::abs(expected[i] - x.value().data()[i]));
        }
    }
    CHECK(worst < 1e-13);
}

TEST_CASE("AdamW in float stays close to AdamW in double") {
    Random random(8);
    Variable<double, 1> x(normal_tensor<double, 1>({50}, 1, random), true);
    Variable<float, 1> y(zeros<float, 1>({50}), true);
    std::copy(x.value().begin(), x.value().end(), y.value().begin());
    const std::vector<Parameter<double>> exact{parameter("x", Role::embedding, x)};
    const std::vector<Parameter<float>> single{parameter("x", Role::embedding, y)};
    AdamW<double> in_double(exact, {.learning_rate = 0.01});
    AdamW<float> in_float(single, {.learning_rate = 0.01});
    for (Index t = 0; t < 20; ++t) {
        fill_normal(x.gradient(), 1, random);
        std::copy(x.gradient().begin(), x.gradient().end(), y.gradient().begin());
        in_double.step();
        in_float.step();
    }
    for (Index i = 0; i < 50; ++i) CHECK(std::abs(x.value()(i) - static_cast<double>(y.value()(i))) < 2e-6);
}

TEST_CASE("a learning-rate factor of 0 keeps the parameters of a role fixed") {
    Variable<float, 1> x(full<float, 1>({2}, 1.0f), true);
    const std::vector<Parameter<float>> parameters{parameter("x", Role::gate, x)};
    AdamWOptions options;
    options.weight_decay = 1;
    options.learning_rate_factors.gate = 0;
    AdamW<float> optimizer(parameters, options);
    x.gradient()(0) = 3;
    optimizer.step(0.1);
    CHECK(x.value()(0) == 1.0f);
}

TEST_CASE("AdamW refuses options out of their range") {
    const std::vector<Parameter<float>> none;
    const auto with = [](auto change) {
        AdamWOptions options;
        change(options);
        return options;
    };
    CHECK_THROWS_WITH_AS(AdamW<float>(none, with([](auto& o) { o.beta1 = 1; })), "adamw: beta 1, expected 0 <= beta < 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(AdamW<float>(none, with([](auto& o) { o.beta2 = -0.5; })), "adamw: beta -0.5, expected 0 <= beta < 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(AdamW<float>(none, with([](auto& o) { o.epsilon = 0; })),
                         "adamw: epsilon 0, expected a number that is finite and above 0 in the type of the parameters",
                         ConfigError);
    CHECK_THROWS_AS(AdamW<float>(none, with([](auto& o) { o.epsilon = 1e-50; })), ConfigError);  // 0 as a float
    CHECK_NOTHROW(AdamW<double>(std::vector<Parameter<double>>{}, with([](auto& o) { o.epsilon = 1e-50; })));
    CHECK_THROWS_WITH_AS(AdamW<float>(none, with([](auto& o) { o.learning_rate = -1; })),
                         "adamw: learning rate -1, expected a finite number of 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(AdamW<float>(none, with([](auto& o) { o.weight_decay = -1; })),
                         "adamw: weight decay -1, expected a finite number of 0 or more", ConfigError);
}
