#include "fot/train/adafactor.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/difference.hpp"

using namespace fot;

namespace {

AdafactorOptions at_rate_1() {
    AdafactorOptions options;
    options.learning_rate = 1;
    return options;
}

AdafactorOptions bare() {
    AdafactorOptions options = at_rate_1();
    options.min_dim_size_to_factor = 1;
    options.multiply_by_parameter_scale = false;
    options.clipping_threshold.reset();
    return options;
}

/// The oracle: Adafactor of one matrix (a, b) in plain loops, factored or not.
/// Sums run over all steps so far with explicit weights.
struct Oracle {
    AdafactorOptions options;
    Index a, b;
    bool factored;
    std::vector<double> x, momentum;
    std::vector<std::vector<double>> squares{};

    std::size_t at(Index i, Index j) const { return static_cast<std::size_t>(i * b + j); }

    double mean_square(const std::vector<double>& weights, Index i, Index j) const {
        double sum = 0;
        for (std::size_t s = 0; s < squares.size(); ++s) sum += weights[s] * squares[s][at(i, j)];
        return sum;
    }

    void step(const std::vector<double>& g, double learning_rate) {
        squares.emplace_back();
        for (const double value : g) squares.back().push_back(value * value + options.epsilon);
        std::vector<double> weights(squares.size());  // of each earlier step in the mean now
        for (std::size_t s = 0; s < weights.size(); ++s) {
            weights[s] = std::pow(static_cast<double>(s + 1), -options.decay_rate);
            for (std::size_t later = s + 1; later < weights.size(); ++later)
                weights[s] *= 1 - std::pow(static_cast<double>(later + 1), -options.decay_rate);
        }
        std::vector<double> u(x.size());
        double u_square = 0, x_square = 0;
        const double count = static_cast<double>(x.size());
        for (Index i = 0; i < a; ++i)
            for (Index j = 0; j < b; ++j) {
                double v = mean_square(weights, i, j);
                if (factored) {
                    double row = 0, column = 0, all = 0;
                    for (Index n = 0; n < b; ++n) row += mean_square(weights, i, n) / static_cast<double>(b);
                    for (Index n = 0; n < a; ++n) column += mean_square(weights, n, j) / static_cast<double>(a);
                    for (Index n = 0; n < a; ++n)
                        for (Index l = 0; l < b; ++l) all += mean_square(weights, n, l) / static_cast<double>(a * b);
                    v = row * column / all;
                }
                u[at(i, j)] = g[at(i, j)] / std::sqrt(v);
                u_square += u[at(i, j)] * u[at(i, j)];
                x_square += x[at(i, j)] * x[at(i, j)];
            }
        double size = learning_rate;
        if (options.clipping_threshold) size /= std::max(1.0, std::sqrt(u_square / count) / *options.clipping_threshold);
        if (options.multiply_by_parameter_scale) size *= std::max(1e-3, std::sqrt(x_square / count));
        for (std::size_t i = 0; i < x.size(); ++i) {
            double change = size * u[i];
            if (options.momentum) change = momentum[i] = *options.momentum * momentum[i] + (1 - *options.momentum) * change;
            x[i] -= change + options.weight_decay_rate.value_or(0) * x[i];
        }
    }
};

/// Largest deviation from the oracle over five steps.
template <class Real>
double deviation(const AdafactorOptions& options, Shape<2> shape, bool factored) {
    Random random(11);
    const Tensor<double, 2> start = normal_tensor<double, 2>(shape, 0.5, random);
    Variable<Real, 2> x(empty<Real, 2>(shape), true);
    Oracle oracle{options, shape[0], shape[1], factored, {}, std::vector<double>(start.size())};
    for (std::size_t i = 0; i < start.size(); ++i) {
        x.value().data()[i] = static_cast<Real>(start.data()[i]);
        oracle.x.push_back(static_cast<double>(x.value().data()[i]));
    }
    const std::vector<Parameter<Real>> parameters{parameter("x", Role::hidden_matrix, x)};
    Adafactor<Real> optimizer(parameters, options);
    double worst = 0;
    for (Index t = 0; t < 5; ++t) {
        fill_normal(x.gradient(), 1, random);
        const std::vector<double> g(x.gradient().begin(), x.gradient().end());
        optimizer.step(0.02);
        oracle.step(g, 0.02);
        for (std::size_t i = 0; i < g.size(); ++i)
            worst = testing::worse(worst, std::abs(static_cast<double>(x.value().data()[i]) - oracle.x[i]));
    }
    return worst;
}

}  // namespace

TEST_CASE("squares of rank one are factored exactly: the first update is the sign of the gradient") {
    Variable<double, 2> x(zeros<double, 2>({2, 3}), true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::hidden_matrix, x)};
    Adafactor<double> optimizer(parameters, bare());
    for (Index i = 0; i < 2; ++i)
        for (Index j = 0; j < 3; ++j)
            x.gradient()(i, j) = (j == 1 ? -1 : 1) * static_cast<double>(i + 1) * static_cast<double>(10 * j + 1);
    optimizer.step(0.1);
    for (Index i = 0; i < 2; ++i)
        for (Index j = 0; j < 3; ++j) CHECK(x.value()(i, j) == doctest::Approx(j == 1 ? 0.1 : -0.1).epsilon(1e-12));
}

TEST_CASE("hand numbers: limit, scale, momentum and decay in that order") {
    Variable<double, 1> x(full<double, 1>({2}, 2.0), true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::norm_scale, x)};
    AdafactorOptions options = at_rate_1();
    options.clipping_threshold = 0.5;
    options.momentum = 0.9;
    options.weight_decay_rate = 0.01;
    Adafactor<double> optimizer(parameters, options);
    x.gradient()(0) = 3;
    x.gradient()(1) = -7;
    optimizer.step(0.1);
    // u = (1, -1), cut to 0.5, times 0.1 and rms 2: 0.1; the mean from 0 keeps a tenth: 0.01; decay 0.01 * 2 without the rate
    CHECK(x.value()(0) == doctest::Approx(2 - 0.01 - 0.02));
    CHECK(x.value()(1) == doctest::Approx(2 + 0.01 - 0.02));
}

TEST_CASE("Adafactor follows its definition with every option on and off") {
    for (const bool factored : {true, false})
        for (const bool scale : {true, false})
            for (const bool limit : {true, false})
                for (const bool momentum : {true, false})
                    for (const bool decay : {true, false}) {
                        AdafactorOptions options = at_rate_1();
                        options.min_dim_size_to_factor = factored ? 2 : 100;
                        options.multiply_by_parameter_scale = scale;
                        if (!limit) options.clipping_threshold.reset();
                        if (momentum) options.momentum = 0.9;
                        if (decay) options.weight_decay_rate = 0.05;
                        CHECK(deviation<double>(options, {6, 5}, factored) < 1e-13);
                        CHECK(deviation<float>(options, {6, 5}, factored) < 2e-6);
                    }
}

TEST_CASE("a matrix with a short axis is not factored") {
    AdafactorOptions options = at_rate_1();
    options.min_dim_size_to_factor = 4;
    CHECK(deviation<double>(options, {4, 5}, true) < 1e-13);
    CHECK(deviation<double>(options, {3, 9}, false) < 1e-13);
    CHECK(deviation<double>(options, {9, 3}, false) < 1e-13);
    CHECK(deviation<double>(options, {1, 7}, false) < 1e-13);
    options.min_dim_size_to_factor = 1;
    CHECK(deviation<double>(options, {1, 7}, true) < 1e-13);
    CHECK(deviation<double>(options, {7, 1}, true) < 1e-13);
    CHECK(deviation<double>(options, {1, 1}, true) < 1e-13);
}

TEST_CASE("a vector learns as a matrix of one row that is not factored") {
    Variable<double, 1> x(Tensor<double, 1>{1, -2, 3}, true);
    Variable<double, 2> y(Tensor<double, 2>{{1, -2, 3}}, true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::gate, x), parameter("y", Role::gate, y)};
    Adafactor<double> optimizer(parameters, AdafactorOptions{.momentum = 0.9});
    x.gradient() = Tensor<double, 1>{5, 0.5, -7};
    y.gradient() = Tensor<double, 2>{{5, 0.5, -7}};
    for (int step = 0; step < 2; ++step) optimizer.step();
    for (Index i = 0; i < 3; ++i) CHECK(x.value()(i) == y.value()(0, i));
    CHECK(x.value()(0) != 1);
}

TEST_CASE("gradients of zero leave the values, and zero values can be left") {
    Variable<float, 2> x(zeros<float, 2>({3, 3}), true);
    const std::vector<Parameter<float>> parameters{parameter("x", Role::hidden_matrix, x)};
    const AdafactorOptions options{.min_dim_size_to_factor = 2, .momentum = 0.9};
    Adafactor<float> optimizer(parameters, options);
    optimizer.step(1);
    for (const float value : x.value()) CHECK(value == 0.0f);
    x.gradient().fill(1.0f);
    optimizer.step(1);
    for (const float value : x.value()) CHECK(value < 0.0f);
}

TEST_CASE("Adafactor refuses options out of their range") {
    const std::vector<Parameter<float>> none;
    const auto with = [](auto change) {
        AdafactorOptions options;
        change(options);
        return options;
    };
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.min_dim_size_to_factor = 0; })),
                         "adafactor: min_dim_size_to_factor 0, expected 1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.decay_rate = 0; })),
                         "adafactor: decay rate 0, expected more than 0", ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.epsilon = 0; })),
                         "adafactor: epsilon 0, expected a number that is finite and above 0 in the type of the parameters",
                         ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.clipping_threshold = -1; })),
                         "adafactor: clipping threshold -1, expected more than 0", ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.momentum = 1; })),
                         "adafactor: momentum 1, expected 0 <= momentum < 1", ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.weight_decay_rate = -1; })),
                         "adafactor: weight decay rate -1, expected a finite number of 0 or more", ConfigError);
    CHECK_THROWS_AS(Adafactor<float>(none, with([](auto& o) { o.epsilon = 1e-50; })), ConfigError);  // 0 as a float
    CHECK_NOTHROW(Adafactor<double>(std::vector<Parameter<double>>{}, with([](auto& o) { o.epsilon = 1e-50; })));
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.learning_rate = -1; })),
                         "adafactor: learning rate -1, expected a finite number of 0 or more", ConfigError);
    Variable<float, 3> cube(zeros<float, 3>({2, 2, 2}), true);
    CHECK_THROWS_WITH_AS(Adafactor<float>({parameter("cube", Role::output, cube)}),
                         "adafactor: cube has shape (2, 2, 2), expected one or two axes", ShapeError);
}
