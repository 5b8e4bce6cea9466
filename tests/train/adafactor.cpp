#include "fot/train/adafactor.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/difference.hpp"

using namespace fot;

namespace {

AdafactorOptions bare() {
    AdafactorOptions options;
    options.min_dim_size_to_factor = 1;
    options.multiply_by_parameter_scale = false;
    options.clipping_threshold.reset();
    return options;
}

/// The oracle: Adafactor of one tensor of three axes (a, b, c) in plain loops; its last two axes are factored, or none.
/// Sums run over all steps so far with explicit weights.
struct Oracle {
    AdafactorOptions options;
    Index a, b, c;
    bool factored;
    std::vector<double> x, momentum;
    std::vector<std::vector<double>> squares{};

    std::size_t at(Index i, Index j, Index k) const { return static_cast<std::size_t>((i * b + j) * c + k); }

    double mean_square(const std::vector<double>& weights, Index i, Index j, Index k) const {
        double sum = 0;
        for (std::size_t s = 0; s < squares.size(); ++s) sum += weights[s] * squares[s][at(i, j, k)];
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
            for (Index j = 0; j < b; ++j)
                for (Index k = 0; k < c; ++k) {
                    double v = mean_square(weights, i, j, k);
                    if (factored) {
                        double row = 0, column = 0, all = 0;
                        for (Index n = 0; n < c; ++n) row += mean_square(weights, i, j, n) / static_cast<double>(c);
                        for (Index n = 0; n < b; ++n) column += mean_square(weights, i, n, k) / static_cast<double>(b);
                        for (Index n = 0; n < b; ++n)
                            for (Index l = 0; l < c; ++l) all += mean_square(weights, i, n, l) / static_cast<double>(b * c);
                        v = row * column / all;
                    }
                    u[at(i, j, k)] = g[at(i, j, k)] / std::sqrt(v);
                    u_square += u[at(i, j, k)] * u[at(i, j, k)];
                    x_square += x[at(i, j, k)] * x[at(i, j, k)];
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
double deviation(const AdafactorOptions& options, Shape<3> shape, bool factored) {
    Random random(11);
    const Tensor<double, 3> start = normal_tensor<double, 3>(shape, 0.5, random);
    Variable<Real, 3> x(empty<Real, 3>(shape), true);
    Oracle oracle{options, shape[0], shape[1], shape[2], factored, {}, std::vector<double>(start.size())};
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
        optimizer.step(parameters, 0.02);
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
    optimizer.step(parameters, 0.1);
    for (Index i = 0; i < 2; ++i)
        for (Index j = 0; j < 3; ++j) CHECK(x.value()(i, j) == doctest::Approx(j == 1 ? 0.1 : -0.1).epsilon(1e-12));
}

TEST_CASE("hand numbers: limit, scale, momentum and decay in that order") {
    Variable<double, 1> x(full<double, 1>({2}, 2.0), true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::norm_scale, x)};
    AdafactorOptions options;
    options.clipping_threshold = 0.5;
    options.momentum = 0.9;
    options.weight_decay_rate = 0.01;
    Adafactor<double> optimizer(parameters, options);
    x.gradient()(0) = 3;
    x.gradient()(1) = -7;
    optimizer.step(parameters, 0.1);
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
                        AdafactorOptions options;
                        options.min_dim_size_to_factor = 2;
                        options.factored = factored;
                        options.multiply_by_parameter_scale = scale;
                        if (!limit) options.clipping_threshold.reset();
                        if (momentum) options.momentum = 0.9;
                        if (decay) options.weight_decay_rate = 0.05;
                        CHECK(deviation<double>(options, {1, 6, 5}, factored) < 1e-13);
                        CHECK(deviation<float>(options, {1, 6, 5}, factored) < 2e-6);
                    }
}

TEST_CASE("of three axes the two longest are factored, and short ones are not") {
    AdafactorOptions options;
    options.min_dim_size_to_factor = 4;
    CHECK(deviation<double>(options, {3, 4, 5}, true) < 1e-13);
    CHECK(deviation<double>(options, {4, 4, 4}, true) < 1e-13);   // of equals the later ones
    CHECK(deviation<double>(options, {3, 3, 9}, false) < 1e-13);  // the second longest is too short
    CHECK(deviation<double>(options, {1, 1, 7}, false) < 1e-13);
    options.min_dim_size_to_factor = 1;
    CHECK(deviation<double>(options, {1, 1, 7}, true) < 1e-13);
    CHECK(deviation<double>(options, {1, 1, 1}, true) < 1e-13);
}

TEST_CASE("the factored axes may lie anywhere: turning a tensor over turns the result over") {
    Random random(3);
    AdafactorOptions options = AdafactorOptions::paper();
    options.min_dim_size_to_factor = 2;
    const Index a = 5, b = 2, c = 4;  // rows a, middle b, columns c; turned: outer b, or inner b
    Variable<double, 3> x(normal_tensor<double, 3>({a, b, c}, 1, random), true), y(empty<double, 3>({b, a, c}), true),
        z(empty<double, 3>({c, a, b}), true);
    const std::vector<Parameter<double>> parameters{parameter("x", Role::output, x), parameter("y", Role::output, y),
                                                    parameter("z", Role::output, z)};
    const auto spread = [&](const Tensor<double, 3>& from, Tensor<double, 3>& to_y, Tensor<double, 3>& to_z) {
        for (Index i = 0; i < a; ++i)
            for (Index m = 0; m < b; ++m)
                for (Index j = 0; j < c; ++j) to_y(m, i, j) = to_z(j, i, m) = from(i, m, j);
    };
    spread(x.value(), y.value(), z.value());
    Adafactor<double> optimizer(parameters, options);
    for (Index t = 0; t < 3; ++t) {
        fill_normal(x.gradient(), 1, random);
        spread(x.gradient(), y.gradient(), z.gradient());
        optimizer.step(parameters, 0.1);
    }
    for (Index i = 0; i < a; ++i)
        for (Index m = 0; m < b; ++m)
            for (Index j = 0; j < c; ++j) {
                CHECK(y.value()(m, i, j) == doctest::Approx(x.value()(i, m, j)).epsilon(1e-12));
                CHECK(z.value()(j, i, m) == doctest::Approx(x.value()(i, m, j)).epsilon(1e-12));
            }
}

TEST_CASE("gradients of zero leave the values, and zero values can be left") {
    Variable<float, 2> x(zeros<float, 2>({3, 3}), true);
    const std::vector<Parameter<float>> parameters{parameter("x", Role::hidden_matrix, x)};
    AdafactorOptions options = AdafactorOptions::paper();
    options.min_dim_size_to_factor = 2;
    Adafactor<float> optimizer(parameters, options);
    optimizer.step(parameters, 1);
    for (const float value : x.value()) CHECK(value == 0.0f);
    x.gradient().fill(1.0f);
    optimizer.step(parameters, 1);
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
                         "adafactor: min_dim_size_to_factor 0 is below 1", ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.decay_rate = 0; })), "adafactor: decay rate 0 is not positive",
                         ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.epsilon = 0; })), "adafactor: epsilon 0 is not positive",
                         ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.clipping_threshold = -1; })),
                         "adafactor: clipping threshold -1 is not positive", ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.momentum = 1; })),
                         "adafactor: momentum 1, expected 0 <= momentum < 1", ConfigError);
    CHECK_THROWS_WITH_AS(Adafactor<float>(none, with([](auto& o) { o.weight_decay_rate = -1; })),
                         "adafactor: weight decay rate -1, expected a finite number of 0 or more", ConfigError);
}
