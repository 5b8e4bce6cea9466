/// Two independent implementations of an operation on random shapes: the library's, on its tape, and one composed of single
/// numbers.
///
///     each_case([](Random& random) {
///         auto x = normal_variable<2>({below(random, 5), 3}, random);
///         return disagreement([&](Tape& tape) { return std::tuple(f(tape, x)); },
///                             [](const Scalars<2>& x) { return std::tuple(f written out); }, x);
///     });
///
/// The environment variable FOT_CASES says how many cases each operation gets.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <tuple>

#include "support/scalar_tape.hpp"
#include "support/tape_check.hpp"

namespace fot::testing {

/// Of each operation.
inline Index agreement_cases() {
    const char* wanted = std::getenv("FOT_CASES");
    return wanted ? std::max(1L, std::atol(wanted)) : 100;
}

/// 1 ... most.
inline Index up_to(Index most, Random& random) { return 1 + random.below(most); }

/// Largest difference relative to the largest expected number, or to 1 if that is smaller.
template <std::size_t N, class Expected>
double relative_difference(const Tensor<double, N>& got, Expected&& expected) {
    double worst = 0, largest = 1;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double wanted = expected(i), difference = std::abs(got.data()[i] - wanted);
        if (got.data()[i] == wanted) continue;  // infinities
        worst = std::isfinite(difference) ? std::max(worst, difference) : std::numeric_limits<double>::infinity();
        largest = std::max(largest, std::abs(wanted));
    }
    return worst / largest;
}

/// Of the results, and of the gradients with respect to every input, under a random weighting of all results.
/// `fused(tape)` returns a tuple of variables, `composed(inputs as scalars ...)` the same as a tuple of scalars.
template <class Fused, class Composed, std::size_t... N>
double disagreement(Fused&& fused, Composed&& composed, const Variable<double, N>&... inputs) {
    ((inputs.gradient() = zeros_like(inputs.value())), ...);
    Scalar::forget_all();
    Tape tape;
    const auto results = fused(tape);
    const std::tuple<Scalars<N>...> scalar_inputs(Scalars<N>(inputs.value())...);
    const auto scalar_results = std::apply(composed, scalar_inputs);

    double worst = 0;
    Random random(11);
    const auto weigh = [&](const auto& y, const auto& z) {
        REQUIRE(shape_of(y.value()) == z.shape);
        worst = std::max(worst, relative_difference(y.value(), [&](std::size_t i) { return z.numbers[i].value(); }));
        auto& weights = y.gradient();
        for (std::size_t i = 0; i < weights.size(); ++i) {
            weights.data()[i] = std::isfinite(z.numbers[i].value()) ? random.normal() : 0;
            z.numbers[i].add_gradient(weights.data()[i]);
        }
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (weigh(std::get<I>(results), std::get<I>(scalar_results)), ...); }
    (std::make_index_sequence<std::tuple_size_v<std::decay_t<decltype(results)>>>());
    tape.backward(Variable<double, 1>(zeros<double, 1>({1})));
    Scalar::backward();
    const auto compare = [&](const auto& x, const auto& z) {
        worst = std::max(worst, relative_difference(x.gradient(), [&](std::size_t i) { return z.numbers[i].gradient(); }));
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (compare(inputs, std::get<I>(scalar_inputs)), ...); }
    (std::make_index_sequence<sizeof...(N)>());
    return worst;
}

/// Runs the cases; a failure names its number.
template <class Case>
void each_case(Case&& run) {
    const OneThread alone;
    for (Index number = 0; number < agreement_cases(); ++number) {
        CAPTURE(number);
        Random random(static_cast<std::uint64_t>(number) + 1000);
        CHECK(run(random) < 1e-11);
    }
}

}  // namespace fot::testing
