// The first steps of each optimiser beside its definition, for parameters and options of any kind.
#include "fot/train/adafactor.hpp"
#include "fot/train/adamw.hpp"
#include "fot/train/muon.hpp"
#include "support/agreement.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

using Numbers = std::vector<double>;

/// What a rule keeps from step to step: two lists of numbers, zeros at first.
struct Memory {
    Numbers first, second;
};

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// Largest deviation over four steps from `rule(x, g, memory, step, role)`, which changes x. Parameters: a matrix and a row, of any
/// roles; a hidden one is a matrix.
template <class Optimizer, class Options, class Rule>
double deviation(const Options& options, const Shape<2>& shape, Random& random, Rule&& rule) {
    const Role roles[] = {Role::embedding, Role::hidden_matrix, Role::output, Role::norm_scale, Role::temperature, Role::gate};
    const Role of_matrix = roles[random.below(4)], of_row = roles[2 + random.below(4)];
    Variable<double, 2> matrix = normal_variable<2>(shape, random);
    Variable<double, 1> row = normal_variable<1>({shape[0]}, random);
    const std::vector<Parameter<double>> parameters{parameter("matrix", of_matrix, matrix), parameter("row", of_row, row)};
    Optimizer optimizer(parameters, options);
    std::vector<Numbers> expected;
    for (const auto& p : parameters) expected.emplace_back(p.value().begin(), p.value().end());
    std::vector<Memory> memories;
    for (const auto& p : parameters) memories.push_back({Numbers(p.value().size()), Numbers(p.value().size())});
    double worst = 0;
    for (Index step = 1; step <= 4; ++step) {
        fill_normal(matrix.gradient(), 1, random);
        fill_normal(row.gradient(), 1, random);
        optimizer.step(0.1 / static_cast<double>(step));
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            const auto& p = parameters[i];
            rule(expected[i], Numbers(p.gradient().begin(), p.gradient().end()), memories[i], step, p);
            for (std::size_t n = 0; n < expected[i].size(); ++n) worst = worse(worst, std::abs(p.value()[n] - expected[i][n]));
        }
    }
    return worst;
}

void adamw(Numbers& x, const Numbers& g, Memory& memory, Index step, double rate, const AdamWOptions& options) {
    for (std::size_t i = 0; i < x.size(); ++i) {
        double &m = memory.first[i], &v = memory.second[i];
        m = options.beta1 * m + (1 - options.beta1) * g[i];
        v = options.beta2 * v + (1 - options.beta2) * g[i] * g[i];
        const double mean = m / (1 - std::pow(options.beta1, step)), square = v / (1 - std::pow(options.beta2, step));
        x[i] -= rate * (mean / (std::sqrt(square) + options.epsilon) + options.weight_decay * x[i]);
    }
}

AdamWOptions random_adamw(Random& random) {
    AdamWOptions options;
    options.learning_rate = random.uniform();
    options.beta1 = random.uniform();
    options.beta2 = random.uniform();
    options.epsilon = std::pow(10.0, -static_cast<double>(1 + random.below(8)));
    options.weight_decay = static_cast<double>(random.below(2)) * random.uniform();
    options.learning_rate_factors = {random.uniform(), random.uniform(), 2, 0, 1, random.uniform()};
    return options;
}

double root_mean_square(const Numbers& x) {
    double sum = 0;
    for (const double each : x) sum += each * each;
    return std::sqrt(sum / static_cast<double>(x.size()));
}

}  // namespace

TEST_CASE("steps of AdamW agree with its definition") {
    each_case([](Random& random) {
        const AdamWOptions options = random_adamw(random);
        return deviation<AdamW<double>>(options, {up_to(8, random), up_to(8, random)}, random,
                                        [&](Numbers& x, const Numbers& g, Memory& memory, Index step, const auto& p) {
                                            const double factor = options.learning_rate_factors.of(p.role);
                                            adamw(x, g, memory, step,
                                                  options.learning_rate * factor * 0.1 / static_cast<double>(step), options);
                                        });
    });
}

TEST_CASE("steps of Adafactor agree with its definition, factored and not") {
    each_case([](Random& random) {
        AdafactorOptions options;
        options.learning_rate = random.uniform();
        options.min_dim_size_to_factor = up_to(8, random);
        options.decay_rate = 0.2 + random.uniform();
        options.multiply_by_parameter_scale = random.below(2) == 0;
        if (random.below(4) == 0) options.min_dim_size_to_factor = 9;  // longer than any
        if (random.below(3) == 0) options.clipping_threshold.reset();
        if (random.below(2) == 0) options.momentum = random.uniform();
        if (random.below(2) == 0) options.weight_decay_rate = 0.1 * random.uniform();
        options.learning_rate_factors = {random.uniform(), 1, 2, 0, 1, random.uniform()};
        const Shape<2> shape{up_to(8, random), up_to(8, random)};
        return deviation<Adafactor<double>>(
            options, shape, random, [&](Numbers& x, const Numbers& g, Memory& memory, Index step, const auto& p) {
                const double keep = 1 - std::pow(static_cast<double>(step), -options.decay_rate);
                const bool factored = p.shape.size() == 2 && std::min(shape[0], shape[1]) >= options.min_dim_size_to_factor;
                for (std::size_t i = 0; i < x.size(); ++i)  // the mean of squares in full: those of rows and columns are its means
                    memory.first[i] = keep * memory.first[i] + (1 - keep) * (g[i] * g[i] + options.epsilon);
                Numbers v = memory.first;
                if (factored) {
                    Numbers rows(at(shape[0])), columns(at(shape[1]));
                    double mean = 0;
                    for (Index i = 0; i < shape[0]; ++i)
                        for (Index j = 0; j < shape[1]; ++j) {
                            const double square = memory.first[at(i * shape[1] + j)];
                            rows[at(i)] += square / static_cast<double>(shape[1]);
                            columns[at(j)] += square / static_cast<double>(shape[0]);
                            mean += square / static_cast<double>(shape[0] * shape[1]);
                        }
                    for (Index i = 0; i < shape[0]; ++i)
                        for (Index j = 0; j < shape[1]; ++j) v[at(i * shape[1] + j)] = rows[at(i)] * columns[at(j)] / mean;
                }
                Numbers u(x.size());
                for (std::size_t i = 0; i < x.size(); ++i) u[i] = g[i] / std::sqrt(v[i]);
                double size = options.learning_rate * 0.1 / static_cast<double>(step) * options.learning_rate_factors.of(p.role);
                if (options.clipping_threshold) size /= std::max(1.0, root_mean_square(u) / *options.clipping_threshold);
                if (options.multiply_by_parameter_scale) size *= std::max(1e-3, root_mean_square(x));
                for (std::size_t i = 0; i < x.size(); ++i) {
                    double change = size * u[i];
                    if (options.momentum)
                        change = memory.second[i] = *options.momentum * memory.second[i] + (1 - *options.momentum) * change;
                    x[i] -= change + options.weight_decay_rate.value_or(0) * x[i];
                }
            });
    });
}

TEST_CASE("steps of Muon agree with its definition, tall matrices and wide ones") {
    each_case([](Random& random) {
        MuonOptions options;
        options.momentum = random.uniform();
        options.newton_schulz_steps = up_to(5, random);
        options.weight_decay = static_cast<double>(random.below(2)) * random.uniform();
        options.adam = random_adamw(random);
        const Shape<2> shape{up_to(8, random), up_to(8, random)};
        const Index rows = shape[0], columns = shape[1];
        return deviation<Muon<double>>(
            options, shape, random, [&](Numbers& x, const Numbers& g, Memory& memory, Index step, const auto& p) {
                const double factor = 0.1 / static_cast<double>(step) * options.adam.learning_rate_factors.of(p.role);
                if (p.role != Role::hidden_matrix)
                    return adamw(x, g, memory, step, factor * options.adam.learning_rate, options.adam);
                Numbers direction(x.size());
                double length = 0;
                for (std::size_t i = 0; i < x.size(); ++i) {
                    memory.first[i] = options.momentum * memory.first[i] + g[i];
                    direction[i] = g[i] + options.momentum * memory.first[i];
                    length += direction[i] * direction[i];
                }
                for (double& each : direction) each /= std::sqrt(length) + 1e-7;
                const auto times_gram = [&](const Numbers& y) {  // X X^T Y with X the direction
                    Numbers product(y.size());
                    for (Index i = 0; i < rows; ++i)
                        for (Index k = 0; k < rows; ++k) {
                            double gram = 0;
                            for (Index j = 0; j < columns; ++j)
                                gram += direction[at(i * columns + j)] * direction[at(k * columns + j)];
                            for (Index j = 0; j < columns; ++j) product[at(i * columns + j)] += gram * y[at(k * columns + j)];
                        }
                    return product;
                };
                for (Index i = 0; i < options.newton_schulz_steps; ++i) {
                    const Numbers third = times_gram(direction), fifth = times_gram(third);
                    for (std::size_t n = 0; n < x.size(); ++n)
                        direction[n] = 3.4445 * direction[n] - 4.7750 * third[n] + 2.0315 * fifth[n];
                }
                const double rate = factor * options.learning_rate,
                             shape_factor = std::sqrt(std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns)));
                for (std::size_t i = 0; i < x.size(); ++i)
                    x[i] -= rate * (shape_factor * direction[i] + options.weight_decay * x[i]);
            });
    });
}
