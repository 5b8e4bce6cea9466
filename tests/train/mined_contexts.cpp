#include "fot/train/mined_contexts.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/nn/slices.hpp"

using namespace fot;

namespace {

std::unique_ptr<KeySearch<double>> exact(Index width) { return std::make_unique<ExactKeySearch<double>>(width); }

}  // namespace

TEST_CASE("by hand: two contexts of two keys, one query that sees all keys") {
    ContextKeys<double> keys(1, 1, 2, exact);
    Tensor<double, 4> k = empty<double, 4>({2, 2, 1, 1});
    k(0, 0, 0, 0) = 0;
    k(0, 1, 0, 0) = std::log(2.0);
    k(1, 0, 0, 0) = std::log(3.0);
    k(1, 1, 0, 0) = std::log(4.0);
    keys.add(k);
    CHECK(keys.contexts() == 2);
    const Tensor<double, 4> query = full<double, 4>({1, 1, 1, 1}, 1.0);
    const Tensor<double, 2> mass = keys.attention_mass(query, 4);
    CHECK(mass(0, 0) == doctest::Approx(0.3));
    CHECK(mass(0, 1) == doctest::Approx(0.7));
    const Tensor<double, 2> of_two = keys.attention_mass(query, 2);  // the best two are those of the second context
    CHECK(of_two(0, 0) == 0);
    CHECK(of_two(0, 1) == doctest::Approx(1));
}

TEST_CASE("each query and head gives one unit of attention, to contexts of its own head's keys") {
    Random random(1);
    ContextKeys<double> keys(2, 4, 3, exact);
    for (const Index contexts : {5, 1, 9}) keys.add(normal_tensor<double, 4>({contexts, 3, 2, 4}, 1, random));
    CHECK(keys.contexts() == 15);
    const Tensor<double, 4> queries = normal_tensor<double, 4>({3, 6, 2, 4}, 1, random);
    const Tensor<double, 2> mass = keys.attention_mass(queries, 8);
    for (Index b = 0; b < 3; ++b) {
        double sum = 0;
        for (Index c = 0; c < 15; ++c) sum += mass(b, c);
        CHECK(sum == doctest::Approx(12));
    }
    // The queries of an entry are its own: alone they have the same mass.
    const Tensor<double, 2> alone = keys.attention_mass(slice<0>(queries, 1, 1), 8);
    for (Index c = 0; c < 15; ++c) CHECK(alone(0, c) == doctest::Approx(mass(1, c)));
}

TEST_CASE("the hardest contexts are those with most mass of entries that they may distract") {
    const Tensor<double, 2> mass{{5, 1, 0, 2}, {0, 2, 0, 2}};
    const auto all = [](Index, Index) { return true; };
    CHECK(hardest_contexts(mass, all, 3) == std::vector<Index>{0, 3, 1});
    const auto not_its_own = [](Index b, Index c) { return !(b == 0 && c == 0); };  // context 0 is of entry 0's document
    CHECK(hardest_contexts(mass, not_its_own, 4) == std::vector<Index>{3, 1, 0, 2});
    CHECK(hardest_contexts(mass, all, 0).empty());
    CHECK_THROWS_AS(hardest_contexts(mass, all, 5), ConfigError);
    const auto only_first = [](Index, Index c) { return c == 1; };
    CHECK(hardest_contexts(mass, only_first, 1) == std::vector<Index>{1});
    CHECK_THROWS_AS(hardest_contexts(mass, only_first, 2), ConfigError);
}

TEST_CASE("keys and queries of other shapes, and numbers that are none, are refused") {
    Random random(1);
    ContextKeys<double> keys(2, 4, 3, exact);
    CHECK_THROWS_AS(keys.add(normal_tensor<double, 4>({1, 2, 2, 4}, 1, random)), ShapeError);
    CHECK_THROWS_AS(keys.add(normal_tensor<double, 4>({1, 3, 1, 4}, 1, random)), ShapeError);
    keys.add(normal_tensor<double, 4>({1, 3, 2, 4}, 1, random));
    CHECK_THROWS_AS(keys.attention_mass(normal_tensor<double, 4>({1, 1, 2, 5}, 1, random), 2), ShapeError);
    CHECK_THROWS_AS(keys.attention_mass(normal_tensor<double, 4>({1, 1, 2, 4}, 1, random), 0), ConfigError);
    CHECK_THROWS_AS((ContextKeys<double>(0, 4, 3, exact)), ConfigError);
    Tensor<double, 4> q = normal_tensor<double, 4>({1, 2, 2, 4}, 1, random);
    q(0, 1, 0, 2) = NAN;
    CHECK_THROWS_AS(keys.attention_mass(q, 2), NumericError);
    CHECK_THROWS_AS(hardest_contexts(
                        Tensor<double, 2>{{1, NAN, 2}}, [](Index, Index) { return true; }, 1),
                    NumericError);
}

TEST_CASE("a head's queries meet keys of that head") {
    ContextKeys<double> keys(2, 1, 1, exact);
    keys.add(Tensor<double, 4>{{{{50.0}, {0.0}}}, {{{0.0}, {50.0}}}});  // head 0 likes context 0, head 1 context 1
    const Tensor<double, 2> mass =
        keys.attention_mass(Tensor<double, 4>{{{{1.0}, {-1.0}}}}, 2);  // and head 1 is asked the other way
    CHECK(mass(0, 0) == doctest::Approx(2));
    CHECK(mass(0, 1) == doctest::Approx(0));
}
