#include "fot/attention/context_mass.hpp"

#include <doctest/doctest.h>

#include "support/attention_check.hpp"
#include "support/with_threads.hpp"

using namespace fot;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const ContextTable uneven{3, {{2, 0}, {}, {1, 2, 0}}, {1, 0, 2}};

struct Inputs {
    Tensor<double, 4> q, k;
    Inputs(const Shape<4>& queries, Index sources, Index rows, Index key_heads, std::uint64_t seed) {
        Random random(seed);
        q = normal_tensor<double, 4>(queries, 1, random);
        k = normal_tensor<double, 4>({sources, rows, key_heads, queries[3]}, 1, random);
    }
};

template <class Real>
double oracle_difference(const Tensor<Real, 4>& q, const Tensor<Real, 4>& k, const ContextTable& table) {
    const Tensor<Real, 4> mass = context_log_mass(q, k, table);
    REQUIRE(shape_of(mass) == Shape<4>{extent(q, 0), extent(q, 1), extent(q, 2), table.most_contexts()});
    const Index group = extent(q, 2) / extent(k, 2);
    double worst = 0;
    for (Index b = 0; b < extent(q, 0); ++b)
        for (Index t = 0; t < extent(q, 1); ++t)
            for (Index h = 0; h < extent(q, 2); ++h)
                for (Index c = 0; c < table.most_contexts(); ++c) {
                    const auto& list = table.contexts[static_cast<std::size_t>(b)];
                    if (c >= static_cast<Index>(list.size())) {
                        REQUIRE(static_cast<double>(mass(b, t, h, c)) == -infinity);
                        continue;
                    }
                    double sum = 0;
                    for (Index s = 0; s < extent(k, 1); ++s) {
                        double score = 0;
                        for (Index d = 0; d < extent(q, 3); ++d)
                            score += static_cast<double>(q(b, t, h, d)) *
                                     static_cast<double>(k(list[static_cast<std::size_t>(c)], s, h / group, d));
                        sum += std::exp(score);
                    }
                    worst = testing::worse(worst, std::abs(static_cast<double>(mass(b, t, h, c)) - std::log(sum)));
                }
    return worst;
}

}  // namespace

TEST_CASE("the log mass of two contexts: hand numbers") {
    Inputs in({1, 1, 1, 1}, 2, 2, 1, 1);
    in.q(0, 0, 0, 0) = 1;
    in.k(0, 0, 0, 0) = 0;
    in.k(0, 1, 0, 0) = std::log(2.0);
    in.k(1, 0, 0, 0) = in.k(1, 1, 0, 0) = std::log(5.0);
    const Tensor<double, 4> mass = context_log_mass(in.q, in.k, {2, {{1, 0}}, {1}});
    CHECK(mass(0, 0, 0, 0) == doctest::Approx(std::log(10.0)));
    CHECK(mass(0, 0, 0, 1) == doctest::Approx(std::log(3.0)));
}

TEST_CASE_TEMPLATE("the log mass equals plain loops, and is minus infinity after a shorter list", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    Random random(1);
    struct Sizes {
        Shape<4> queries;
        Index rows, key_heads;
    };
    for (const Sizes& s : {Sizes{{3, 1, 1, 1}, 1, 1}, Sizes{{3, 4, 4, 3}, 5, 2}, Sizes{{3, 70, 2, 4}, 300, 1}}) {
        const Tensor<Real, 4> q = normal_tensor<Real, 4>(s.queries, 1, random);
        const Tensor<Real, 4> k = normal_tensor<Real, 4>({3, s.rows, s.key_heads, s.queries[3]}, 1, random);
        CHECK(oracle_difference(q, k, uneven) < tolerance);
        CHECK(oracle_difference(q, k, previous_contexts(3, 1, 2)) < tolerance);
    }
}

TEST_CASE("the masses of all contexts together are the log-sum-exp of attention to them") {
    const Inputs in({3, 4, 2, 3}, 3, 5, 2, 2);
    const Tensor<double, 4> mass = context_log_mass(in.q, in.k, previous_contexts(3, 1, 2));
    const AttentionResult<double> attention = context_attention<double>({in.q, in.k, in.k}, previous_contexts(3, 1, 2));
    for (Index b = 0; b < 3; ++b)
        for (Index t = 0; t < 4; ++t)
            for (Index h = 0; h < 2; ++h) {
                double sum = 0;
                for (Index c = 0; c < 3; ++c) sum += std::exp(mass(b, t, h, c));
                CHECK(attention.log_sum_exp(b, h, t) == doctest::Approx(std::log(sum)));
            }
}

TEST_CASE("a table without contexts and contexts without keys have no mass") {
    const Inputs in({2, 3, 2, 4}, 2, 0, 2, 3);
    CHECK(shape_of(context_log_mass(in.q, in.k, {2, {{}, {}}, {0, 0}})) == Shape<4>{2, 3, 2, 0});
    const Tensor<double, 4> mass = context_log_mass(in.q, in.k, previous_contexts(2, 1, 1));
    for (const double number : mass.storage()) CHECK(number == -infinity);
}

TEST_CASE("the gradients of the log mass are those of finite differences, added to what was there") {
    struct Case {
        Inputs in;
        ContextTable table;
    };
    std::vector<Case> cases{{{{1, 1, 1, 1}, 1, 1, 1, 1}, previous_contexts(1, 1, 0)},
                            {{{3, 2, 4, 2}, 3, 3, 2, 2}, uneven},
                            {{{2, 3, 1, 3}, 4, 2, 1, 3}, previous_contexts(2, 2, 2)},
                            {{{2, 70, 2, 2}, 2, 300, 1, 4}, previous_contexts(2, 1, 1)}};
    for (auto& [in, table] : cases) {
        Random random(5);
        const Tensor<double, 4> mass = context_log_mass(in.q, in.k, table);
        const Tensor<double, 4> d_mass = normal_tensor<double, 4>(shape_of(mass), 1, random);
        Tensor<double, 4> d_q = full(shape_of(in.q), 0.5), d_k = full(shape_of(in.k), 0.5);
        context_log_mass_vjp(in.q, in.k, table, mass, d_mass, d_q, d_k);
        for (auto* gradient : {&d_q, &d_k})
            for (double& number : gradient->storage()) number -= 0.5;
        const auto loss = [&, &inputs = in, &seen = table] {
            const Tensor<double, 4> now = context_log_mass(inputs.q, inputs.k, seen);
            double sum = 0;
            for (std::size_t i = 0; i < now.size(); ++i)
                if (now.data()[i] != -infinity) sum += now.data()[i] * d_mass.data()[i];
            return sum;
        };
        CHECK(testing::directional_error(in.q, d_q, loss) < 1e-6);
        CHECK(testing::directional_error(in.k, d_k, loss) < 1e-6);
        if (in.k.size() > 100) continue;
        CHECK(testing::gradient_error(in.q, d_q, loss) < 1e-6);
        CHECK(testing::gradient_error(in.k, d_k, loss) < 1e-6);
    }
}

TEST_CASE("log mass and gradients are bitwise the same for one thread and for two") {
    Random random(6);
    const Tensor<float, 4> q = normal_tensor<float, 4>({4, 30, 4, 8}, 1, random),
                           k = normal_tensor<float, 4>({4, 40, 2, 8}, 1, random);
    const ContextTable table = previous_contexts(4, 1, 3);
    const auto run = [&] {
        const Tensor<float, 4> mass = context_log_mass(q, k, table);
        Tensor<float, 4> d_q = zeros_like(q), d_k = zeros_like(k);
        context_log_mass_vjp(q, k, table, mass, mass, d_q, d_k);
        return std::tuple{mass, d_q, d_k};
    };
    const testing::WithThreads scope(1);
    const auto [mass_one, d_q_one, d_k_one] = run();
    set_threads(2);
    const auto [mass_two, d_q_two, d_k_two] = run();
    CHECK(mass_one.storage() == mass_two.storage());
    CHECK(d_q_one.storage() == d_q_two.storage());
    CHECK(d_k_one.storage() == d_k_two.storage());
}

TEST_CASE("context keys that do not fit are refused") {
    const Inputs in({2, 3, 4, 5}, 2, 6, 2, 7);
    const ContextTable table = previous_contexts(2, 1, 1);
    CHECK_THROWS_WITH_AS(context_log_mass(in.q, zeros<double, 4>({2, 6, 2, 4}), table),
                         "context_log_mass: k has shape (2, 6, 2, 4), expected (2, -1, -1, 5) (-1: any)", ShapeError);
    CHECK_THROWS_WITH_AS(context_log_mass(in.q, zeros<double, 4>({2, 6, 3, 5}), table),
                         "context_log_mass: q has 4 heads, expected a multiple of the 3 heads of k (grouped-query attention)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(context_log_mass(in.q, in.k, previous_contexts(3, 1, 1)),
                         "context table: has 3 lists and 3 counts of positives, expected 2 of each, one per batch entry",
                         ConfigError);
}

TEST_CASE("where queries are the contexts' keys themselves, one gradient takes both, for any number of threads") {
    Random random(4);
    const Tensor<double, 4> x = normal_tensor<double, 4>({6, 40, 2, 8}, 1, random);
    const ContextTable table = previous_contexts(6, 1, 3);
    const Tensor<double, 4> mass = context_log_mass(x, x, table), d_mass = normal_tensor<double, 4>(shape_of(mass), 1, random);
    Tensor<double, 4> d_q = zeros_like(x), d_k = zeros_like(x);
    context_log_mass_vjp(x, x, table, mass, d_mass, d_q, d_k);
    const auto together = [&] {
        Tensor<double, 4> d = zeros_like(x);
        context_log_mass_vjp(x, x, table, mass, d_mass, d, d);
        return d;
    };
    const testing::WithThreads scope(1);
    const Tensor<double, 4> one = together();
    CHECK(testing::largest_difference(one, Tensor<double, 4>(d_q + d_k)) < 1e-12);
    set_threads(4);
    for (int i = 0; i < 20; ++i) CHECK(together().storage() == one.storage());
}
