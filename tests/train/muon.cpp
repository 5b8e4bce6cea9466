#include "fot/train/muon.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/gradient_check.hpp"

using namespace fot;

namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix product(const Matrix& a, const Matrix& b) {
    Matrix c(a.size(), std::vector<double>(b.empty() ? 0 : b[0].size()));
    for (std::size_t i = 0; i < c.size(); ++i)
        for (std::size_t j = 0; j < c[i].size(); ++j)
            for (std::size_t k = 0; k < b.size(); ++k) c[i][j] += a[i][k] * b[k][j];
    return c;
}

Matrix turned(const Matrix& a) {
    Matrix b(a[0].size(), std::vector<double>(a.size()));
    for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t j = 0; j < a[i].size(); ++j) b[j][i] = a[i][j];
    return b;
}

/// The oracle, always with X X^T on the left, whichever extent is longer.
Matrix newton_schulz(Matrix x, Index steps) {
    double square = 0;
    for (const auto& line : x)
        for (const double value : line) square += value * value;
    for (auto& line : x)
        for (double& value : line) value /= std::sqrt(square) + 1e-7;
    for (Index step = 0; step < steps; ++step) {
        const Matrix a = product(x, turned(x)), ax = product(a, x), aax = product(a, ax);
        for (std::size_t i = 0; i < x.size(); ++i)
            for (std::size_t j = 0; j < x[i].size(); ++j) x[i][j] = 3.4445 * x[i][j] - 4.7750 * ax[i][j] + 2.0315 * aax[i][j];
    }
    return x;
}

template <std::size_t N>
Matrix matrix_of(const Tensor<double, N>& x) {
    Matrix m(static_cast<std::size_t>(extent(x, 0)));
    for (std::size_t i = 0; i < m.size(); ++i)
        m[i].assign(row(x, static_cast<Index>(i)), row(x, static_cast<Index>(i)) + extent(x, 1));
    return m;
}

double difference(const Matrix& a, const Tensor<double, 2>& b) {
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t j = 0; j < a[i].size(); ++j)
            worst = testing::worse(worst, std::abs(a[i][j] - b(static_cast<Index>(i), static_cast<Index>(j))));
    return worst;
}

}  // namespace

TEST_CASE("orthogonalising follows the polynomial, whichever extent is longer") {
    Random random(2);
    for (const Shape<2> shape : {Shape<2>{4, 9}, {9, 4}, {5, 5}, {1, 6}, {6, 1}, {1, 1}}) {
        const Tensor<double, 2> g = normal_tensor<double, 2>(shape, 3, random);
        CHECK(difference(newton_schulz(matrix_of(g), 5), orthogonalised(g, 5)) < 1e-11);
    }
}

TEST_CASE("hand numbers: singular values of a diagonal matrix go through the polynomial") {
    Tensor<double, 2> g = zeros<double, 2>({2, 2});
    g(0, 0) = 3;
    g(1, 1) = -4;
    const auto polynomial = [](double s) { return 3.4445 * s - 4.7750 * s * s * s + 2.0315 * s * s * s * s * s; };
    const Tensor<double, 2> x = orthogonalised(g, 1);
    CHECK(x(0, 0) == doctest::Approx(polynomial(0.6)).epsilon(1e-6));
    CHECK(x(1, 1) == doctest::Approx(-polynomial(0.8)).epsilon(1e-6));
    CHECK(x(0, 1) == 0.0);
}

TEST_CASE("after five steps rows are nearly orthogonal and of about length 1") {
    Random random(5);
    const Tensor<float, 2> x = orthogonalised(normal_tensor<float, 2>({16, 64}, 1e-3, random));
    for (Index i = 0; i < 16; ++i)
        for (Index j = 0; j <= i; ++j) {
            double inner = 0;
            for (Index k = 0; k < 64; ++k) inner += static_cast<double>(x(i, k)) * static_cast<double>(x(j, k));
            if (i == j)
                CHECK((inner > 0.4 && inner < 1.5));
            else
                CHECK(std::abs(inner) < 0.4);
        }
}

TEST_CASE("zero and empty matrices come back as they are") {
    const Tensor<float, 2> nothing = orthogonalised(zeros<float, 2>({3, 4}));
    for (const float value : nothing) CHECK(value == 0.0f);
    CHECK(orthogonalised(zeros<float, 2>({0, 4})).size() == 0);
    CHECK(orthogonalised(zeros<float, 2>({4, 0})).size() == 0);
}

TEST_CASE("Muon follows its definition: momentum ahead, made orthogonal, longer for tall matrices") {
    Random random(9);
    MuonOptions options;
    options.weight_decay = 0.1;
    for (const Shape<2> shape : {Shape<2>{8, 2}, {2, 8}}) {
        Variable<double, 2> x(normal_tensor<double, 2>(shape, 1, random), true);
        const std::vector<Parameter<double>> parameters{parameter("x", Role::hidden_matrix, x)};
        Muon<double> optimizer(parameters, options);
        Matrix expected = matrix_of(x.value()), momentum = expected;
        for (auto& line : momentum) line.assign(line.size(), 0.0);
        for (Index t = 0; t < 4; ++t) {
            fill_normal(x.gradient(), 1, random);
            const double factor = 1.0 / static_cast<double>(t + 1), rate = 0.02 * factor;
            optimizer.step(factor);
            Matrix ahead = matrix_of(x.gradient());
            for (std::size_t i = 0; i < ahead.size(); ++i)
                for (std::size_t j = 0; j < ahead[i].size(); ++j) {
                    momentum[i][j] = 0.95 * momentum[i][j] + ahead[i][j];
                    ahead[i][j] += 0.95 * momentum[i][j];
                }
            const Matrix direction = newton_schulz(ahead, 5);
            const double longer = shape[0] == 8 ? 2 : 1;  // sqrt(max(1, rows / columns))
            for (std::size_t i = 0; i < ahead.size(); ++i)
                for (std::size_t j = 0; j < ahead[i].size(); ++j)
                    expected[i][j] -= rate * (longer * direction[i][j] + 0.1 * expected[i][j]);
        }
        CHECK(difference(expected, x.value()) < 1e-12);
    }
}

TEST_CASE("every role but hidden_matrix is updated as by AdamW, temperatures five times as fast") {
    Random random(6);
    for (const Role role : {Role::embedding, Role::output, Role::norm_scale, Role::temperature, Role::gate}) {
        Variable<double, 2> x(normal_tensor<double, 2>({3, 4}, 1, random), true), y(x.value(), true);
        const std::vector<Parameter<double>> by_muon{parameter("x", role, x)}, by_adam{parameter("x", role, y)};
        AdamWOptions options;
        options.learning_rate = 3e-3;
        options.beta2 = 0.98;
        Muon<double> muon(by_muon);
        AdamW<double> adam(by_adam, options);
        for (Index t = 0; t < 3; ++t) {
            fill_normal(x.gradient(), 1, random);
            y.gradient() = x.gradient();
            muon.step(0.5);
            adam.step(0.5 * (role == Role::temperature ? 5 : 1));
        }
        CHECK(testing::largest_difference(x.value(), y.value()) < 1e-14);
    }
}

TEST_CASE("with several matrices the result does not depend on the number of threads") {
    const testing::WithThreads scope(1);
    std::vector<Tensor<float, 2>> results;
    for (const Index count : {1, 2, 40}) {
        set_threads(count);
        Random random(1);
        Variable<float, 2> x(normal_tensor<float, 2>({96, 64}, 1, random), true),
            y(normal_tensor<float, 2>({64, 96}, 1, random), true);
        const std::vector<Parameter<float>> parameters{parameter("x", Role::hidden_matrix, x),
                                                       parameter("y", Role::hidden_matrix, y)};
        Muon<float> optimizer(parameters);
        for (Index t = 0; t < 2; ++t) {
            fill_normal(x.gradient(), 1, random);
            fill_normal(y.gradient(), 1, random);
            optimizer.step(1);
        }
        results.push_back(x.value());
        results.push_back(y.value());
    }
    CHECK(results[0] == results[2]);
    CHECK(results[1] == results[3]);
    CHECK(results[0] == results[4]);
    CHECK(results[1] == results[5]);
}

TEST_CASE("Muon refuses options out of their range and hidden matrices that are none") {
    const std::vector<Parameter<float>> none;
    const auto with = [](auto change) {
        MuonOptions options;
        change(options);
        return options;
    };
    CHECK_THROWS_WITH_AS(Muon<float>(none, with([](auto& o) { o.learning_rate = -1; })),
                         "muon: learning rate -1, expected a finite number of 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(Muon<float>(none, with([](auto& o) { o.momentum = 1; })), "muon: momentum 1, expected 0 <= momentum < 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(Muon<float>(none, with([](auto& o) { o.newton_schulz_steps = 0; })),
                         "muon: 0 Newton-Schulz steps, expected 1 or more", ConfigError);
    CHECK_THROWS_WITH_AS(Muon<float>(none, with([](auto& o) { o.weight_decay = -1; })),
                         "muon: weight decay -1, expected a finite number of 0 or more", ConfigError);
    CHECK_THROWS_WITH_AS(Muon<float>(none, with([](auto& o) { o.adam.learning_rate = -1; })),
                         "muon: adam: learning rate -1, expected a finite number of 0 or more", ConfigError);
    CHECK_THROWS_AS(Muon<float>(none, with([](auto& o) { o.adam.epsilon = 1e-50; })), ConfigError);  // 0 as a float
    CHECK_THROWS_WITH_AS(Muon<float>(none, with([](auto& o) { o.adam.beta1 = 2; })), "muon: adam: beta 2, expected 0 <= beta < 1",
                         ConfigError);
    CHECK_THROWS_WITH_AS(Muon<float>(none, with([](auto& o) { o.adam.learning_rate_factors.gate = -1; })),
                         "muon: adam: a learning rate factor is -1, expected a finite number of 0 or more", ConfigError);
    Variable<float, 1> x(zeros<float, 1>({3}), true);
    CHECK_THROWS_WITH_AS(Muon<float>({parameter("x", Role::hidden_matrix, x)}),
                         "muon: hidden matrix x has shape (3), expected two axes", ShapeError);
}

TEST_CASE("a factor of 0 keeps hidden matrices as they are") {
    Variable<float, 2> x(full<float, 2>({2, 2}, 1.f), true);
    const std::vector<Parameter<float>> parameters{parameter("x", Role::hidden_matrix, x)};
    x.gradient()(0, 1) = 1;
    MuonOptions options;
    options.adam.learning_rate_factors.hidden_matrix = 0;
    Muon<float>(parameters, options).step(1);
    CHECK(x.value() == full<float, 2>({2, 2}, 1.f));
    Muon<float>(parameters).step(1);
    CHECK(x.value()(0, 1) < 1);
}
