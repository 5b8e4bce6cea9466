/// The answers to the questions of the course, each worked out by the library, or from the definition beside it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "fot/attention/causal_attention.hpp"
#include "fot/attention/joining.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/core/random.hpp"
#include "fot/loss/contrastive_loss.hpp"
#include "fot/measure/positive_mass.hpp"
#include "support/tape_check.hpp"

using namespace fot;

namespace {

/// log E[e^(sharpness cos)] for directions drawn evenly from the sphere in so many dimensions: by the density of the cosine.
double log_mean_exponential(double sharpness, Index dimensions) {
    const Index steps = 200000;
    double mass = 0, all = 0;
    for (Index i = 1; i < steps; ++i) {
        const double cosine = -1 + 2 * static_cast<double>(i) / static_cast<double>(steps);
        const double density = std::exp(static_cast<double>(dimensions - 3) / 2 * std::log1p(-cosine * cosine));
        all += density;
        mass += density * std::exp(sharpness * (cosine - 1));  // below e^0
    }
    return sharpness + std::log(mass / all);
}

/// log of the number of random keys that a key of this cosine stands.
double log_capacity(double cosine, double sharpness, Index dimensions = 64) {
    return cosine * sharpness - log_mean_exponential(sharpness, dimensions);
}

/// The same at the sharpness that is best for it.
double best_log_capacity(double cosine, Index dimensions = 64) {
    const double near = cosine * static_cast<double>(dimensions) / (1 - cosine * cosine);
    double best = 0;
    for (double sharpness = near / 2; sharpness < 2 * near; sharpness += near / 100)
        best = std::max(best, log_capacity(cosine, sharpness, dimensions));
    return best;
}

/// A query (1,1,1,D) of length `sharpness` along the first axis.
Tensor<double, 4> query(double sharpness, Index dimensions) {
    Tensor<double, 4> q = zeros<double, 4>({1, 1, 1, dimensions});
    q(0, 0, 0, 0) = sharpness;
    return q;
}

}  // namespace

TEST_CASE("1: packing 4 and range 7 with stepping") {
    const ContextTable table = packed_contexts(16, 7, 4, true);
    const auto positives = [&](Index entry) { return element(table.positives, entry); };
    const auto negatives = [&](Index entry) { return length_of(element(table.contexts, entry)) - positives(entry); };
    const std::vector<std::pair<Index, Index>> last_pack{{0, 0}, {1, 2}, {2, 4}, {3, 4}};
    for (Index row_in_pack = 0; row_in_pack < 4; ++row_in_pack)
        CHECK(std::pair(positives(12 + row_in_pack), negatives(12 + row_in_pack)) == element(last_pack, row_in_pack));
    for (Index entry = 0; entry < 16; ++entry) {
        CHECK((positives(entry) == 0) == (entry % 4 == 0));
        CHECK((negatives(entry) == 0) == (entry % 4 == 0 || entry < 4));
    }
}

TEST_CASE("2: masses .6 local, .2 own, .1 and .1 of others") {
    const double log_mass[] = {std::log(.2), std::log(.1), std::log(.1)};
    CHECK(positive_share(log_mass, 2, 1) == doctest::Approx(2. / 3));
    CHECK(positive_share(log_mass, 3, 1) == doctest::Approx(1. / 2));
    // The loss asks for keys: one in each context, whose score is the log of its mass.
    Tensor<double, 4> keys = zeros<double, 4>({3, 1, 1, 1});
    for (Index c = 0; c < 3; ++c) keys(c, 0, 0, 0) = log_mass[c];
    CHECK(contrastive_loss(query(1, 1), keys, {3, {{0, 1, 2}}, {1}}).value == doctest::Approx(std::log(2)));
}

TEST_CASE("2: the mean of the logarithm and the logarithm of the mean") {
    CHECK(-std::log((.9 + .1) / 2) == doctest::Approx(.693).epsilon(1e-3));
    // Two queries, the own key of score log 9 and then of score -log 9, against one other of score 0.
    Tensor<double, 4> q = zeros<double, 4>({1, 2, 1, 1}), keys = zeros<double, 4>({2, 1, 1, 1});
    q(0, 0, 0, 0) = std::log(9), q(0, 1, 0, 0) = -std::log(9), keys(0, 0, 0, 0) = 1;
    const ContextTable table{2, {{0, 1}}, {1}};
    const Tensor<double, 3> shares = positive_mass_per_query(context_log_mass(q, keys, table), 2);
    CHECK(shares(0, 0, 0) == doctest::Approx(.9));
    CHECK(shares(0, 1, 0) == doctest::Approx(.1));
    CHECK(contrastive_loss(q, keys, table).value == doctest::Approx(1.204).epsilon(1e-3));
}

TEST_CASE("2: a document and its copy share the attention") {
    Random random(9);
    Tensor<double, 4> keys = normal_tensor<double, 4>({2, 6, 1, 4}, 1, random);
    std::copy_n(row(keys, 0), 24, row(keys, 1));
    const Tensor<double, 4> q = normal_tensor<double, 4>({1, 3, 1, 4}, 5, random);
    const Tensor<double, 3> shares = positive_mass_per_query(context_log_mass(q, keys, {2, {{0, 1}}, {1}}), 2);
    for (const double share : shares.storage()) CHECK(share == doctest::Approx(.5).epsilon(1e-12));
}

TEST_CASE("4: microfot has the lines that the exercise changes, each once") {
    std::ifstream file(FOT_TESTS_FOLDER "/../examples/microfot.cpp");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    for (const std::string line : {"d_v[key + j] +=", "d_k[key + j] +=", "\"crossbatch\", seed, 2, 16"}) {
        CAPTURE(line);
        CHECK(text.find(line) != std::string::npos);
        CHECK(text.find(line) == text.rfind(line));
    }
}

TEST_CASE("6: two attentions joined by their log-sum-exp are one softmax") {
    Random random(2);
    const auto numbers = [&](Index keys) { return normal_tensor<double, 4>({1, keys, 1, 8}, 1, random); };
    const Tensor<double, 4> q = numbers(1), first_k = numbers(3), first_v = numbers(3), second_k = numbers(5),
                            second_v = numbers(5);
    Tape tape(Tape::inference);
    const auto attend = [&](const Tensor<double, 4>& k, const Tensor<double, 4>& v) {
        return causal_attention(tape, Variable<double, 4>(q), Variable<double, 4>(k), Variable<double, 4>(v));
    };
    const Attention<double> joined = merge(tape, attend(first_k, first_v), attend(second_k, second_v));
    double denominator = 0, sum = 0;
    const auto take_in = [&](const Tensor<double, 4>& k, const Tensor<double, 4>& v) {
        for (Index s = 0; s < extent(k, 1); ++s) {
            const double weight = std::exp(std::inner_product(row(q, 0, 0, 0), row(q, 0, 0, 0) + 8, row(k, 0, s, 0), 0.0));
            denominator += weight;
            sum += weight * v(0, s, 0, 0);
        }
    };
    take_in(first_k, first_v);
    take_in(second_k, second_v);
    CHECK(joined.o.value()(0, 0, 0, 0) == doctest::Approx(sum / denominator).epsilon(1e-12));
    CHECK(joined.log_sum_exp.value()(0, 0, 0) == doctest::Approx(std::log(denominator)).epsilon(1e-12));
}

TEST_CASE("6: log-sum-exp of log 3 and 0, results 1 and 5") {
    const auto part = [](double o, double log_sum_exp) {
        return AttentionResult<double>{full<double, 4>({1, 1, 1, 1}, o), full<double, 3>({1, 1, 1}, log_sum_exp)};
    };
    const AttentionResult<double> first = part(1, std::log(3)), second = part(5, 0), both = merge<double>(first, second);
    CHECK(both.o(0, 0, 0, 0) == doctest::Approx(2));
    CHECK(both.log_sum_exp(0, 0, 0) == doctest::Approx(std::log(4)));
}

TEST_CASE("6: with constant contexts only the query learns from them") {
    Random random(5);
    const auto numbers = [&](Index entries, Index tokens) { return normal_tensor<double, 4>({entries, tokens, 1, 4}, 1, random); };
    for (const bool differentiable : {true, false}) {
        // The contexts alone, so that all that reaches the query is from them.
        const Variable<double, 4> q(numbers(1, 2), true);
        const Variable<double, 4> context_k(numbers(2, 3), differentiable), context_v(numbers(2, 3), differentiable);
        Tape tape;
        const Attention<double> attention = context_attention(tape, q, context_k, context_v, {2, {{0, 1}}, {1}});
        testing::replay(tape, attention.o, numbers(1, 2));
        CHECK(context_k.has_gradient() == differentiable);
        CHECK(context_v.has_gradient() == differentiable);
        const auto& d_q = q.gradient().storage();
        CHECK(std::any_of(d_q.begin(), d_q.end(), [](double x) { return std::abs(x) > 1e-3; }));
    }
}

TEST_CASE("9: what 16 million tokens take") {
    const Index tokens = Index(1) << 24, width = 128, part = 4096;
    KeyValueMemory<float> memory(1, width, Storage::bfloat16);
    memory.append(zeros<float, 3>({part, 1, width}), zeros<float, 3>({part, 1, width}), 0);
    const std::size_t documents = static_cast<std::size_t>(part) * sizeof(Index);
    CHECK((memory.bytes() - documents) * static_cast<std::size_t>(tokens / part) == std::size_t{8} << 30);
    CHECK(1600. * static_cast<double>(tokens) * static_cast<double>(width) == doctest::Approx(3.4e12).epsilon(.02));
}

TEST_CASE("9: how often the best k change while keys pass in random order") {
    CHECK(128 * (1 + std::log(std::ldexp(1., 24) / 128)) == doctest::Approx(1636).epsilon(.001));
    const Index k = 16, keys = 20000, trials = 20;
    Random random(8);
    double changes = 0;
    for (Index trial = 0; trial < trials; ++trial) {
        std::vector<double> best;  // a heap, the smallest first
        for (Index i = 0; i < keys; ++i) {
            const double score = random.uniform();
            if (static_cast<Index>(best.size()) == k) {
                if (score <= best.front()) continue;
                std::pop_heap(best.begin(), best.end(), std::greater<>());
                best.pop_back();
            }
            best.push_back(score);
            std::push_heap(best.begin(), best.end(), std::greater<>());
            ++changes;
        }
    }
    const double expected = static_cast<double>(k) * (1 + std::log(static_cast<double>(keys) / static_cast<double>(k)));
    CHECK(changes / static_cast<double>(trials) == doctest::Approx(expected).epsilon(.05));
}

TEST_CASE("10: how many random keys an own key stands") {
    CHECK(std::exp(best_log_capacity(.3)) == doctest::Approx(20).epsilon(.05));
    CHECK(std::exp(best_log_capacity(.7)) == doctest::Approx(2e9).epsilon(.05));
    for (const double cosine : {.3, .5, .7})  // the formula of the notes
        CHECK(best_log_capacity(cosine) == doctest::Approx(-32 * std::log1p(-cosine * cosine)).epsilon(.01));
    CHECK(log_capacity(1, 50) == doctest::Approx(34.0).epsilon(.005));
    CHECK(50 - 50. * 50 / (2 * 64) == doctest::Approx(30.5).epsilon(.005));  // the normal approximation
    CHECK(log_capacity(1, 5) == doctest::Approx(4.8).epsilon(.005));
    // And drawn: the mass of 20000 random keys of length one at 1/tau = 8.
    Random random(6);
    KeyValueMemory<double> memory(1, 64);
    Tensor<double, 3> keys = normal_tensor<double, 3>({20000, 1, 64}, 1, random);
    for (Index i = 0; i < 20000; ++i) {
        double* key = row(keys, i, 0);
        const double length = std::sqrt(std::inner_product(key, key + 64, key, 0.0));
        std::transform(key, key + 64, key, [length](double x) { return x / length; });
    }
    memory.append(keys, keys, 0);
    const double mass = memory_attention(query(8, 64), {&memory}).log_sum_exp(0, 0, 0) - std::log(20000.);
    CHECK(mass == doctest::Approx(log_mean_exponential(8, 64)).epsilon(.05));
    CHECK(mass == doctest::Approx(.5).epsilon(.05));
}

TEST_CASE("10: the temperature that withstands 16 million keys") {
    const double keys = std::log(std::ldexp(1., 24));
    CHECK(keys == doctest::Approx(16.6).epsilon(.005));
    CHECK(log_capacity(1, 20) == doctest::Approx(17.0).epsilon(.005));
    CHECK(log_capacity(1, 20) > keys);
    CHECK(log_capacity(1, 19.5) == doctest::Approx(keys).epsilon(.005));
    CHECK(log_capacity(1, keys) < keys);
}
