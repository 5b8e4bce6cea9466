#include "fot/remedies/annealed_contrast.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("the contrast leads for as many steps as were asked for, then the next-token loss does") {
    const AnnealedContrast schedule{.leading_steps = 3, .smaller = 0.2};
    for (const Index step : {0, 2}) {
        CHECK(schedule.at(step).language == 0.2);
        CHECK(schedule.at(step).contrast == 1);
    }
    for (const Index step : {3, 1000}) {
        CHECK(schedule.at(step).language == 1);
        CHECK(schedule.at(step).contrast == 0.2);
    }
    CHECK(AnnealedContrast{.leading_steps = 0}.at(0).language == 1);
}

TEST_CASE("both losses count by their weights, in value and gradient") {
    Variable<double, 1> language(full<double, 1>({1}, 2.0), true), contrast(full<double, 1>({1}, 3.0), true);
    const auto loss = [&](Tape& tape) { return weighted_losses(tape, language, contrast, {0.1, 0.5}); };
    Tape tape(Tape::inference);
    CHECK(loss(tape).value()(0) == doctest::Approx(0.1 * 2 + 0.5 * 3));
    CHECK(gradient_error(loss, language, contrast) < 1e-6);
}

TEST_CASE("the contrast of one head is that of its queries and of the keys that they read; other heads get no gradient") {
    Random random(1);
    Variable<double, 4> q = normal_variable<4>({2, 3, 4, 5}, random), k = normal_variable<4>({3, 2, 2, 5}, random);
    const ContextTable table = previous_contexts(2, 1, 2, 3);
    const auto loss = [&](Tape& tape) { return contrastive_loss_of_head(tape, q, k, table, 3); };
    CHECK(gradient_error(loss, q, k) < 1e-6);
    for (Index h = 0; h < 4; ++h) CHECK((q.gradient()(1, 2, h, 0) == 0) == (h != 3));
    for (Index g = 0; g < 2; ++g) CHECK((k.gradient()(1, 1, g, 0) == 0) == (g != 1));

    Tape tape(Tape::inference);
    double mean = 0;
    for (Index h = 0; h < 4; ++h) mean += contrastive_loss_of_head(tape, q, k, table, h).value()(0) / 4;
    CHECK(mean == doctest::Approx(contrastive_loss(q.value(), k.value(), table).value).epsilon(1e-12));
}

TEST_CASE("a negative step and weights outside 0 to 1 are refused, and so is a head that is not there") {
    CHECK_THROWS_AS(AnnealedContrast{}.at(-1), ConfigError);
    CHECK_THROWS_AS(AnnealedContrast{.leading_steps = -1}.at(0), ConfigError);
    CHECK_THROWS_AS(AnnealedContrast{.smaller = 1.5}.at(0), ConfigError);
    Tape tape(Tape::inference);
    const Variable<double, 4> x(zeros<double, 4>({2, 1, 2, 3}));
    CHECK_THROWS_AS(contrastive_loss_of_head(tape, x, x, previous_contexts(2, 1, 1), 2), ConfigError);
}
