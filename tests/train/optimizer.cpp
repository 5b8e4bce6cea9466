#include "fot/train/optimizer.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <memory>

#include "fot/core/random.hpp"
#include "fot/train/adafactor.hpp"
#include "fot/train/adamw.hpp"
#include "fot/train/muon.hpp"
#include "support/allocations.hpp"
#include "support/with_threads.hpp"

using namespace fot;

namespace {

/// A toy model with a parameter of each kind, and gradients that depend on the step and on the values.
struct Toy {
    Variable<float, 2> embedding, matrix;
    Variable<float, 1> temperature;

    explicit Toy(std::uint64_t seed) {
        Random random(seed);
        embedding = Variable<float, 2>(normal_tensor<float, 2>({5, 4}, 1, random), true);
        matrix = Variable<float, 2>(normal_tensor<float, 2>({6, 4}, 1, random), true);
        temperature = Variable<float, 1>(normal_tensor<float, 1>({2}, 1, random), true);
    }

    std::vector<Parameter<float>> parameters() {
        return {parameter("embedding", Role::embedding, embedding), parameter("layers.0.up", Role::hidden_matrix, matrix),
                parameter("layers.0.temperature", Role::temperature, temperature)};
    }

    void set_gradients(Index t) {
        Random random(static_cast<std::uint64_t>(1000 + t));
        for (const auto& p : parameters())
            for (std::size_t i = 0; i < p.value().size(); ++i) p.gradient()[i] = p.value()[i] + static_cast<float>(random.normal());
    }
    void step(Optimizer<float>& optimizer, Index t) {
        set_gradients(t);
        optimizer.step(0.01);
    }
};

std::vector<float> numbers_of(const std::vector<Parameter<float>>& parameters) {
    std::vector<float> all;
    for (const auto& p : parameters) all.insert(all.end(), p.value().begin(), p.value().end());
    return all;
}

std::unique_ptr<Optimizer<float>> make(const std::string& name, const std::vector<Parameter<float>>& parameters) {
    if (name == "adamw") return std::make_unique<AdamW<float>>(parameters);
    if (name == "muon") return std::make_unique<Muon<float>>(parameters);
    const AdafactorOptions options{.min_dim_size_to_factor = 2, .momentum = 0.9};
    return std::make_unique<Adafactor<float>>(parameters, options);
}

}  // namespace

TEST_CASE("an optimiser restored from its slots goes on bitwise as the uninterrupted one") {
    for (const std::string name : {"adamw", "adafactor", "muon"}) {
        CAPTURE(name);
        Toy straight(7), resumed(7);
        const auto first = make(name, straight.parameters()), before = make(name, resumed.parameters());
        for (Index t = 0; t < 3; ++t) {
            straight.step(*first, t);
            resumed.step(*before, t);
        }
        const auto after = make(name, resumed.parameters());
        const OptimizerState<float> kept = before->state(), fresh = after->state();
        REQUIRE(kept.slots.size() == fresh.slots.size());
        for (std::size_t i = 0; i < kept.slots.size(); ++i) {
            REQUIRE(kept.slots[i].name == fresh.slots[i].name);
            REQUIRE(kept.slots[i].shape == fresh.slots[i].shape);
            std::copy_n(kept.slots[i].data, kept.slots[i].count, fresh.slots[i].data);
        }
        *fresh.step_count = *kept.step_count;
        for (Index t = 3; t < 6; ++t) {
            straight.step(*first, t);
            resumed.step(*after, t);
        }
        CHECK(numbers_of(straight.parameters()) == numbers_of(resumed.parameters()));
        CHECK(after->step_count() == 6);
    }
}

TEST_CASE("slots exist before the first step, are zero, and carry optimiser, parameter and part in their names") {
    Toy toy(1);
    const auto names = [&](const std::string& name) {
        const auto optimizer = make(name, toy.parameters());
        std::vector<std::string> found;
        for (const auto& slot : optimizer->state().slots) {
            found.push_back(slot.name + " " + shape_text(slot.shape));
            for (Index i = 0; i < slot.count; ++i) CHECK(slot.data[i] == 0.0f);
        }
        CHECK(*optimizer->state().step_count == 0);
        return found;
    };
    using Names = std::vector<std::string>;
    CHECK(names("adamw") == Names{"adamw.embedding.m (5, 4)", "adamw.embedding.v (5, 4)", "adamw.layers.0.up.m (6, 4)",
                                  "adamw.layers.0.up.v (6, 4)", "adamw.layers.0.temperature.m (2)",
                                  "adamw.layers.0.temperature.v (2)"});
    CHECK(names("muon") == Names{"muon.embedding.m (5, 4)", "muon.embedding.v (5, 4)", "muon.layers.0.up.momentum (6, 4)",
                                 "muon.layers.0.temperature.m (2)", "muon.layers.0.temperature.v (2)"});
    CHECK(names("adafactor") == Names{"adafactor.embedding.v_row (5)", "adafactor.embedding.v_column (4)",
                                      "adafactor.embedding.momentum (5, 4)", "adafactor.layers.0.up.v_row (6)",
                                      "adafactor.layers.0.up.v_column (4)", "adafactor.layers.0.up.momentum (6, 4)",
                                      "adafactor.layers.0.temperature.v (2)", "adafactor.layers.0.temperature.momentum (2)"});
}

TEST_CASE("a step leaves the gradients as they are, and at a factor of 0 the values too") {
    for (const std::string name : {"adamw", "adafactor", "muon"}) {
        CAPTURE(name);
        Toy toy(3);
        const auto optimizer = make(name, toy.parameters());
        for (const auto& p : toy.parameters()) std::ranges::fill(p.gradient(), 0.5f);
        const std::vector<float> before = numbers_of(toy.parameters());
        optimizer->step(0);
        CHECK(numbers_of(toy.parameters()) == before);
        for (const auto& p : toy.parameters())
            for (const float g : p.gradient()) CHECK(g == 0.5f);
    }
}

TEST_CASE("the number that a step takes means the same for every optimiser: a factor on the rates of its options") {
    for (const std::string name : {"adamw", "adafactor", "muon"}) {
        CAPTURE(name);
        Toy whole(3), half(3);
        const auto before = numbers_of(whole.parameters());
        for (const auto& toy : {&whole, &half})
            for (const auto& p : toy->parameters()) std::ranges::fill(p.gradient(), 0.5f);
        make(name, whole.parameters())->step();
        make(name, half.parameters())->step(0.5);
        const auto after = numbers_of(whole.parameters()), half_way = numbers_of(half.parameters());
        for (std::size_t i = 0; i < before.size(); ++i) {
            CHECK(std::abs(after[i] - before[i]) > 1e-5f);
            CHECK(std::abs(after[i] - before[i]) < 0.1f);  // at a factor of 1 no optimiser makes a wild step
            CHECK(half_way[i] - before[i] == doctest::Approx(0.5f * (after[i] - before[i])).epsilon(2e-2));
        }
    }
}

TEST_CASE("every role has its own learning-rate factor") {
    const LearningRateFactors factors{1, 2, 3, 4, 5, 6};
    CHECK(factors.of(Role::embedding) == 1);
    CHECK(factors.of(Role::hidden_matrix) == 2);
    CHECK(factors.of(Role::output) == 3);
    CHECK(factors.of(Role::norm_scale) == 4);
    CHECK(factors.of(Role::temperature) == 5);
    CHECK(factors.of(Role::gate) == 6);
}

TEST_CASE("an optimiser refuses a bad factor and two parameters of one name") {
    Toy toy(1);
    AdamW<float> optimizer(toy.parameters());
    const auto parameters = toy.parameters();
    CHECK_THROWS_WITH_AS(optimizer.step(-1), "adamw: a factor on the learning rates of -1, expected a finite number of 0 or more",
                         ConfigError);
    CHECK_THROWS_AS(optimizer.step(std::numeric_limits<double>::infinity()), ConfigError);
    CHECK(optimizer.step_count() == 0);
    CHECK_THROWS_WITH_AS(AdamW<float>({parameters[0], parameters[0]}), "adamw: two parameters are named embedding", ConfigError);
    Parameter<float> again = parameters[0];
    again.name = "head";
    CHECK_THROWS_WITH_AS(AdamW<float>({parameters[0], again}), "adamw: embedding and head are one parameter under two names",
                         ConfigError);
}

TEST_CASE("an optimiser of no parameters and of empty ones can step") {
    Variable<float, 2> none(zeros<float, 2>({0, 3}), true), wide(zeros<float, 2>({3, 0}), true);
    for (const std::string name : {"adamw", "adafactor", "muon"}) {
        const auto idle = make(name, {});
        idle->step(0.1);
        CHECK(idle->step_count() == 1);
        CHECK(idle->state().slots.empty());
        Toy alone(3), beside(3);  // what is empty changes nothing for the others
        std::vector<Parameter<float>> some = beside.parameters();
        some.insert(some.begin(), parameter("none", Role::hidden_matrix, none));
        some.push_back(parameter("wide", Role::hidden_matrix, wide));
        const auto of_alone = make(name, alone.parameters()), of_some = make(name, some);
        for (Index t = 0; t < 3; ++t) {
            alone.step(*of_alone, t);
            beside.step(*of_some, t);
        }
        CHECK(of_some->step_count() == 3);
        CHECK(numbers_of(beside.parameters()) == numbers_of(alone.parameters()));
        CHECK(numbers_of(alone.parameters()) != numbers_of(Toy(3).parameters()));
    }
}

TEST_CASE("a step that runs out of memory has not been taken, and the next one is the one it would have been") {
    const testing::WithThreads one(1);
    for (const std::string name : {"adamw", "muon", "adafactor"}) {
        CAPTURE(name);
        Toy toy(1), expected_toy(1);
        const auto optimizer = make(name, toy.parameters()), expected = make(name, expected_toy.parameters());
        const auto state_of = [](Optimizer<float>& each) {
            std::vector<float> all = numbers_of(each.parameters());
            for (const auto& slot : each.state().slots) all.insert(all.end(), slot.data, slot.data + slot.count);
            return all;
        };
        for (Index t = 0; t < 3; ++t) {
            toy.set_gradients(t);
            const std::vector<float> before = state_of(*optimizer);
            const Index failures = testing::for_every_failing_allocation([&] { optimizer->step(0.01); },
                                                                         [&] {
                                                                             REQUIRE(state_of(*optimizer) == before);
                                                                             REQUIRE(optimizer->step_count() == t);
                                                                         });
            if (name != "adamw") CHECK(failures > 3);
            expected_toy.set_gradients(t);
            expected->step(0.01);
            CHECK(state_of(*optimizer) == state_of(*expected));
        }
    }
}

TEST_CASE("a gradient that is not finite, or whose square is not, reaches neither values nor state") {
    for (const std::string name : {"adamw", "muon", "adafactor"})
        for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e21f})
            for (const std::size_t i : {0u, 1u, 2u}) {
                Toy toy(1);
                const auto optimizer = make(name, toy.parameters());
                toy.set_gradients(0);
                const Parameter<float> p = toy.parameters()[i];
                p.gradient().back() = bad;
                const std::vector<float> before = numbers_of(toy.parameters());
                const std::string why = bad == 1e21f ? " is too large to be squared" : " is not finite";
                CHECK_THROWS_WITH_AS(optimizer->step(), (name + ": the gradient of " + p.name + why).c_str(), NumericError);
                CHECK(numbers_of(toy.parameters()) == before);
                CHECK(optimizer->step_count() == 0);
                for (const auto& slot : optimizer->state().slots)
                    CHECK(std::count(slot.data, slot.data + slot.count, 0.0f) == slot.count);
            }
}
