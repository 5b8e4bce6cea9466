/// Two independent implementations of an operation on random shapes: the library's, on its tape, and one composed of single
/// numbers.
///
///     each_case([](Random& random) {
///         auto x = normal_variable<2>({up_to(5, random), 3}, random);
///         return disagreement([&](Tape& tape) { return std::tuple(f(tape, x)); },
///                             [](const Scalars<2>& x) { return std::tuple(f written out); }, x);
///     });
///
/// The environment variable FOT_CASES says how many cases each operation gets (300), FOT_SEED which (1).
#pragma once

#include <doctest/doctest.h>

#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "support/scalar_tape.hpp"
#include "support/tape_check.hpp"

namespace fot::testing {

/// The environment variable `name`, or `otherwise` where it is not set.
/// Errors: ConfigError unless it is a whole number from 1 to a million million.
inline Index number_from_environment(const char* name, Index otherwise) {
    const char* set = std::getenv(name);
    if (!set) return otherwise;
    const std::string_view text = set;
    Index number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    require<ConfigError>(
        read.ec == std::errc() && read.ptr == text.data() + text.size() && number >= 1 && number <= 1'000'000'000'000, name,
        " is '", text, "', expected a whole number of 1 or more");
    return number;
}

/// 1 ... most.
inline Index up_to(Index most, Random& random) { return 1 + random.below(most); }

/// Largest difference relative to the largest expected number, or to 1 if that is smaller. NaN where it is not expected, and
/// infinity where another number is, are no small differences whatever else is expected.
template <std::size_t N, class Expected>
double relative_difference(const Tensor<double, N>& got, Expected&& expected) {
    double worst = 0, largest = 1;
    for (std::size_t i = 0; i < got.size(); ++i) {
        const double wanted = expected(i), found = got.data()[i], difference = std::abs(found - wanted);
        if (found == wanted) continue;  // infinities
        if (!std::isfinite(difference)) return difference;
        worst = std::max(worst, difference);
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
        worst = worse(worst, relative_difference(y.value(), [&](std::size_t i) { return z.numbers[i].value(); }));
        auto& weights = y.gradient();
        for (std::size_t i = 0; i < weights.size(); ++i) {
            weights.data()[i] = std::isfinite(z.numbers[i].value()) ? random.normal() : 0;
            z.numbers[i].add_gradient(weights.data()[i]);
        }
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (weigh(std::get<I>(results), std::get<I>(scalar_results)), ...); }
    (std::make_index_sequence<std::tuple_size_v<std::decay_t<decltype(results)>>>());
    tape.replay();
    Scalar::backward();
    const auto compare = [&](const auto& x, const auto& z) {
        worst = worse(worst, relative_difference(x.gradient(), [&](std::size_t i) { return z.numbers[i].gradient(); }));
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (compare(inputs, std::get<I>(scalar_inputs)), ...); }
    (std::make_index_sequence<sizeof...(N)>());
    return worst;
}

/// Runs the cases; a failure names its seed and number. A case is a function of the random numbers and, where the operation cuts
/// large inputs into tiles or slices, of whether this one is to be larger than a tile: every 20th is.
template <class Case>
void each_case(Case&& run) {
    const WithThreads alone(1);
    const Index seed = number_from_environment("FOT_SEED", 1), cases = number_from_environment("FOT_CASES", 300);
    for (Index number = 0; number < cases; ++number) {
        CAPTURE(seed);
        CAPTURE(number);
        Random random(static_cast<std::uint64_t>(seed) * 1'000'000 + static_cast<std::uint64_t>(number));
        if constexpr (std::is_invocable_v<Case, Random&, bool>)
            CHECK(run(random, number % 20 == 19) < 1e-11);
        else
            CHECK(run(random) < 1e-11);
    }
}

}  // namespace fot::testing
