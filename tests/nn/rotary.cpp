#include "fot/nn/rotary.hpp"

#include <doctest/doctest.h>

#include "support/tape_check.hpp"

using namespace fot;
using fot::testing::normal_variable;

namespace {

/// The definition, pair by pair.
Tensor<double, 4> turned(const Tensor<double, 4>& x, const Tensor<Index, 2>& positions, double base) {
    Tensor<double, 4> y = zeros_like(x);
    const Index width = extent(x, 3);
    for (Index b = 0; b < extent(x, 0); ++b)
        for (Index t = 0; t < extent(x, 1); ++t)
            for (Index h = 0; h < extent(x, 2); ++h)
                for (Index j = 0; j < width / 2; ++j) {
                    const Index first = j, second = j + width / 2;
                    const double angle = static_cast<double>(positions(b, t)) /
                                         std::pow(base, 2 * static_cast<double>(j) / static_cast<double>(width));
                    y(b, t, h, first) = x(b, t, h, first) * std::cos(angle) - x(b, t, h, second) * std::sin(angle);
                    y(b, t, h, second) = x(b, t, h, second) * std::cos(angle) + x(b, t, h, first) * std::sin(angle);
                }
    return y;
}

double head_product(const Tensor<double, 4>& q, const Tensor<double, 4>& k, Index t, Index s) {
    double sum = 0;
    for (Index j = 0; j < extent(q, 3); ++j) sum += q(0, t, 0, j) * k(0, s, 0, j);
    return sum;
}

}  // namespace

TEST_CASE("position 1 turns the first pair by one radian: hand numbers") {
    const RotaryTable<double> table(10000, 2, 2);
    Tensor<double, 4> x = zeros<double, 4>({1, 1, 1, 2});
    x(0, 0, 0, 0) = 1;
    const Tensor<double, 4> y = rotate(x, std::vector<Index>{1}, table);
    CHECK(y(0, 0, 0, 0) == doctest::Approx(std::cos(1.0)));
    CHECK(y(0, 0, 0, 1) == doctest::Approx(std::sin(1.0)));
}

TEST_CASE("rotations equal the definition, with positions per batch entry and with common ones") {
    Random random(1);
    const RotaryTable<double> table(100, 6, 50);
    const Tensor<double, 4> x = normal_tensor<double, 4>({2, 3, 2, 6}, 1, random);
    const Tensor<Index, 2> own{{0, 7, 49}, {3, 3, 1}}, common{{5, 0, 11}, {5, 0, 11}};
    CHECK(testing::largest_difference(rotate(x, own, table), turned(x, own, 100)) < 1e-12);
    CHECK(testing::largest_difference(rotate(x, std::vector<Index>{5, 0, 11}, table), turned(x, common, 100)) < 1e-12);
}

TEST_CASE("the inner product of query and key depends on their distance only") {
    Random random(3);
    const RotaryTable<double> table(10000, 16, 1000);
    Tensor<double, 4> q = normal_tensor<double, 4>({1, 2, 1, 16}, 1, random),
                      k = normal_tensor<double, 4>({1, 2, 1, 16}, 1, random);
    std::copy_n(row(q, 0, 0), 16, row(q, 0, 1));
    std::copy_n(row(k, 0, 0), 16, row(k, 0, 1));
    const Tensor<double, 4> q_at = rotate(q, std::vector<Index>{17, 917}, table),
                            k_at = rotate(k, std::vector<Index>{5, 905}, table);
    CHECK(head_product(q_at, k_at, 0, 0) == doctest::Approx(head_product(q_at, k_at, 1, 1)));
    CHECK(head_product(q_at, k_at, 0, 0) != doctest::Approx(head_product(q_at, k_at, 0, 1)));
}

TEST_CASE("position 0 is bitwise the identity") {
    Random random(4);
    const RotaryTable<float> table(10000, 4, 1);
    const Tensor<float, 4> x = normal_tensor<float, 4>({2, 3, 2, 4}, 1, random);
    CHECK(rotate(x, std::vector<Index>{0, 0, 0}, table).storage() == x.storage());
}

TEST_CASE("turning back undoes the turn") {
    Random random(5);
    const RotaryTable<double> table(10000, 4, 100);
    const Tensor<double, 4> x = normal_tensor<double, 4>({1, 2, 3, 4}, 1, random);
    const std::vector<Index> positions{42, 99};
    Tensor<double, 4> back = zeros_like(x);
    rotate_vjp(rotate(x, positions, table), positions, table, back);
    CHECK(testing::largest_difference(back, x) < 1e-14);
}

TEST_CASE("the gradient of the turn is that of finite differences") {
    Random random(6);
    const RotaryTable<double> table(50, 4, 20);
    Variable<double, 4> x = normal_variable<4>({2, 3, 2, 4}, random);
    const std::vector<Index> common{0, 7, 19};
    const Tensor<Index, 2> own{{1, 2, 3}, {9, 0, 4}};
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return rotate(tape, x, common, table); }, x) < 1e-6);
    CHECK(testing::tape_gradient_error([&](Tape& tape) { return rotate(tape, x, own, table); }, x) < 1e-6);
}

TEST_CASE("a larger table rotates as the smaller one, and a recorded step keeps the table it was made with") {
    Random random(7);
    RotaryTable<double> table(10000, 4, 3);
    Variable<double, 4> x = normal_variable<4>({1, 2, 1, 4}, random);
    const std::vector<Index> positions{1, 2};
    Tape tape;
    const Variable<double, 4> y = rotate(tape, x, positions, table);
    const RotaryTable<double> same = table.covering(2), larger = table.covering(5);
    CHECK(&same.cosine() == &table.cosine());  // shared, not copied
    CHECK(same.positions() == 3);
    CHECK(larger.positions() == 6);
    CHECK(table.positions() == 3);
    CHECK(rotate(x.value(), positions, larger).storage() == y.value().storage());
    table = RotaryTable<double>(10, 4, 0);
    testing::replay(tape, y, y.value());
    CHECK(testing::largest_difference(x.gradient(), x.value()) < 1e-14);
}

TEST_CASE("a table that covers a list of positions covers the highest of them") {
    const RotaryTable<double> table(10000, 4, 3);
    CHECK(table.covering({1, 7, 2}).positions() == 8);
    CHECK(table.covering({1, 2, 0}).positions() == 3);
    CHECK(table.covering(std::vector<Index>{}).positions() == 3);
    CHECK(RotaryTable<double>(10000, 4).positions() == 1024);
    CHECK(RotaryTable<double>(10000, 4, 0).positions() == 0);
}

TEST_CASE("angles are exact far out, also in float") {
    const RotaryTable<float> table(500, 8, 100001);
    for (const Index position : {99991, 100000})
        for (Index j = 0; j < 4; ++j) {
            const double angle = static_cast<double>(position) / std::pow(500.0, static_cast<double>(j) / 4);
            CHECK(std::abs(static_cast<double>(table.cosine()(position, j)) - std::cos(angle)) < 1e-7);
            CHECK(std::abs(static_cast<double>(table.sine()(position, j)) - std::sin(angle)) < 1e-7);
        }
}

TEST_CASE("rotary positions refuse odd widths and positions that are not in the table") {
    CHECK_THROWS_WITH_AS(RotaryTable<float>(10000, 5, 1), "RotaryTable: head width 5, expected an even number above 0",
                         ConfigError);
    CHECK_THROWS_WITH_AS(RotaryTable<float>(0, 4, 1), "RotaryTable: base is 0, expected a finite number above 0", ConfigError);
    CHECK_THROWS_WITH_AS(RotaryTable<float>(10000, 4, -1), "RotaryTable: -1 positions, expected 0 ... 4194304", ConfigError);
    CHECK_THROWS_AS(RotaryTable<float>(std::numeric_limits<double>::infinity(), 4, 1), ConfigError);
    const RotaryTable<float> small(10000, 4, 1);
    CHECK_THROWS_WITH_AS(small.covering((Index(1) << 40) - 1), "RotaryTable: 1099511627776 positions, expected 0 ... 4194304",
                         ConfigError);
    CHECK_THROWS_WITH_AS(small.covering({0, Index(1) << 22}), "RotaryTable: 4194305 positions, expected 0 ... 4194304",
                         ConfigError);
    Tensor<float, 4> d_y = zeros<float, 4>({1, 1, 1, 4}), too_small = zeros<float, 4>({1, 1, 1, 2});
    CHECK_THROWS_WITH_AS(rotate_vjp(d_y, std::vector<Index>{0}, small, too_small),
                         "rotate vjp: d_x has shape (1, 1, 1, 2), expected (1, 1, 1, 4)", ShapeError);
    const RotaryTable<float> table(10000, 4, 8);
    const Tensor<float, 4> x = zeros<float, 4>({1, 2, 1, 4});
    CHECK_THROWS_WITH_AS(rotate(x, std::vector<Index>{0, 8}, table), "rotate: position 8 is outside the table of 8 positions",
                         ConfigError);
    CHECK_THROWS_WITH_AS(rotate(x, Tensor<Index, 2>{{-1, 0}}, table), "rotate: position -1 is outside the table of 8 positions",
                         ConfigError);
    CHECK_THROWS_WITH_AS(rotate(x, std::vector<Index>{0}, table), "rotate: got 1 positions, expected one for each of 2 tokens",
                         ShapeError);
    CHECK_THROWS_WITH_AS(rotate(x, Tensor<Index, 2>{{0, 1}, {0, 1}}, table), "rotate: positions has shape (2, 2), expected (1, 2)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(rotate(zeros<float, 4>({1, 2, 1, 6}), std::vector<Index>{0, 1}, table),
                         "rotate: head width is 6, the table is made for 4", ConfigError);
}

TEST_CASE("scaled rotations: all slower by the factor, or by how often a pair turns within the window") {
    const double base = 10000;
    const RotaryTable<double> plain(base, 8, 5), linear(base, 8, 5, {4}), covering = linear.covering(9);
    for (Index j = 0; j < 4; ++j) {
        const double angle = 3 / std::pow(base, 2 * static_cast<double>(j) / 8);
        CHECK(linear.cosine()(3, j) == doctest::Approx(std::cos(angle / 4)).epsilon(1e-14));
        CHECK(covering.sine()(3, j) == linear.sine()(3, j));
    }
    // Llama 3.1: factor 8, window 8192, between 1 and 4 rotations. By wavelength, as it is usually written.
    const RotaryScaling scaling{8, 8192, 1, 4};
    for (const double frequency : {1.0, 0.1, 4.1 * 2 * 3.14159265358979 / 8192, 2.5 * 2 * 3.14159265358979 / 8192, 1e-4, 1e-6}) {
        const double wavelength = 2 * 3.14159265358979323846 / frequency, smooth = (8192 / wavelength - 1) / 3;
        const double expected = wavelength < 8192.0 / 4   ? frequency
                                : wavelength > 8192.0 / 1 ? frequency / 8
                                                          : (1 - smooth) * frequency / 8 + smooth * frequency;
        CHECK(scaling.frequency(frequency) == doctest::Approx(expected).epsilon(1e-12));
    }
    CHECK(RotaryScaling{}.frequency(0.3) == 0.3);
    for (const RotaryScaling wrong :
         {RotaryScaling{0.5}, RotaryScaling{2, -1}, RotaryScaling{2, 10, 4, 4}, RotaryScaling{2, 10, 0, 4}})
        CHECK_THROWS_AS((RotaryTable<double>(base, 8, 5, wrong)), ConfigError);
}
