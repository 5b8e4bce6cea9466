#include "fot/remedies/entmax_scoring.hpp"

#include <doctest/doctest.h>

#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("scores are those of a temperature times 1 + e^a (log n)^c of each head") {
    Random random(1);
    const Variable<double, 4> x(normal_tensor<double, 4>({1, 1, 2, 4}, 1, random));
    EntmaxScoring<double> scoring(2, 3, 1e-9);
    const UnitScoring<double> unit(2, 3, 1e-9);
    scoring.log_weight.value()(1) = 0.5;
    scoring.power.value()(1) = 0.7;
    Tape tape(Tape::inference);
    for (const Index n : {2, 100, 1000000}) {
        const KeysSeen seen{{n - 1}, {0}};
        const Tensor<double, 4> scaled = scoring.queries(tape, x, seen).value(), before = unit.queries(tape, x, seen).value();
        const double log_n = std::log(static_cast<double>(n));
        CHECK(scaled(0, 0, 0, 2) == doctest::Approx(before(0, 0, 0, 2) * (1 + std::exp(-2.0) * log_n)).epsilon(1e-12));
        CHECK(scaled(0, 0, 1, 2) ==
              doctest::Approx(before(0, 0, 1, 2) * (1 + std::exp(0.5) * std::pow(log_n, 0.7))).epsilon(1e-12));
    }
    CHECK(scoring.queries(tape, x, {{0}, {0}}).value() == scoring.queries(tape, x, {{1}, {0}}).value());  // finite for one key
}

TEST_CASE("a model with the length scale has its gradient, and crossbatch and a memory agree") {
    const auto change = [](auto& model) { model.layer(1).scoring = std::make_unique<EntmaxScoring<double>>(2, 2, 1e-3); };
    check_remedy(change, "layers.1.length_power");
    check_remedy(change, "layers.1.log_length_weight");
}
