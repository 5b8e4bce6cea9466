#include "fot/nn/embedding.hpp"

#include <doctest/doctest.h>

#include "fot/nn/linear.hpp"
#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

TEST_CASE("a token becomes its row of the table: hand numbers") {
    const Tokens tokens{{2, 0}};
    const Tensor<float, 2> table{{1, 2}, {3, 4}, {5, 6}};
    const Tensor<float, 3> x = embedding(tokens, table);
    CHECK(shape_of(x) == Shape<3>{1, 2, 2});
    CHECK(x(0, 0, 0) == 5);
    CHECK(x(0, 0, 1) == 6);
    CHECK(x(0, 1, 0) == 1);
}

TEST_CASE("the gradient of the table adds up over repeated tokens") {
    Random random(1);
    const Tokens tokens{{1, 1, 3}, {0, 1, 3}};
    Variable<double, 2> table = normal_variable<2>({5, 3}, random);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return embedding(tape, tokens, table); }, table) < 1e-6);
    Tensor<double, 2> d_table = zeros<double, 2>({5, 3});
    embedding_vjp(full<double, 3>({2, 3, 3}, 1.0), tokens, d_table);
    CHECK(d_table(1, 2) == 3);
    CHECK(d_table(4, 0) == 0);
}

TEST_CASE("a table that also is the output map gathers both gradients") {
    Random random(2);
    const Tokens tokens{{4, 2, 2}};
    Variable<double, 2> table = normal_variable<2>({5, 3}, random);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return linear(tape, embedding(tape, tokens, table), table); }, table) <
          1e-6);
}

TEST_CASE("the gradient of the table is bitwise the same with one thread and with several") {
    Random random(3);
    Tokens tokens = empty<std::int32_t, 2>({4, 300});
    for (auto& token : tokens.storage()) token = static_cast<std::int32_t>(random.below(7));
    const Tensor<float, 3> d_x = normal_tensor<float, 3>({4, 300, 200}, 1, random);
    Tensor<float, 2> one = zeros<float, 2>({7, 200}), several = one;
    const testing::WithThreads scope(1);
    embedding_vjp(d_x, tokens, one);
    set_threads(3);
    embedding_vjp(d_x, tokens, several);
    CHECK(one.storage() == several.storage());
}

TEST_CASE("a token outside the vocabulary is refused with its place") {
    const Tensor<float, 2> table = zeros<float, 2>({3, 2});
    CHECK_THROWS_WITH_AS(embedding(Tokens{{0, 1}, {2, 3}}, table),
                         "embedding: token 3 at position (1, 1) is outside the vocabulary of 3", DataError);
    CHECK_THROWS_WITH_AS(embedding(Tokens{{-1}}, table), "embedding: token -1 at position (0, 0) is outside the vocabulary of 3",
                         DataError);
    Tensor<float, 2> d_table = table;  // and so its gradient is not written beside the table
    for (const std::int32_t token : {-1, 3})
        CHECK_THROWS_AS(embedding_vjp(full<float, 3>({1, 1, 2}, 1.f), Tokens{{token}}, d_table), DataError);
    CHECK(d_table == table);
}
