#include "fot/core/tile_product.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "fot/core/random.hpp"
#include "support/difference.hpp"

using namespace fot;

namespace {

template <class Real>
std::vector<Real> random_numbers(Index count, Random& random) {
    std::vector<Real> numbers(static_cast<std::size_t>(count));
    for (Real& number : numbers) number = static_cast<Real>(random.normal());
    return numbers;
}

template <class Real>
constexpr double tolerance = std::is_same_v<Real, float> ? 3e-5 : 1e-13;

/// What one case multiplies: a (rows, depth), stored turned over or not, b (depth, columns), both with gaps between their rows.
template <class Real>
struct Case {
    Index rows, depth, columns;
    bool turned;
    Index a_leading = (turned ? rows : depth) + 3, b_leading = columns + 2;
    std::vector<Real> a, b;
    PackedFactor<Real> packed{};

    Case(Index rows_, Index depth_, Index columns_, bool turned_, Random& random)
        : rows(rows_), depth(depth_), columns(columns_), turned(turned_) {
        a = random_numbers<Real>((turned ? depth : rows) * a_leading + 1, random);
        b = random_numbers<Real>(depth * b_leading + 1, random);
        pack(b.data(), depth, columns, b_leading, packed);
    }
    LeftFactor<Real> left() const { return {a.data(), turned ? 1 : a_leading, turned ? a_leading : 1}; }
    double expected(Index i, Index j, Index used_depth) const {
        double sum = 0;
        for (Index k = 0; k < used_depth; ++k)
            sum += static_cast<double>(a[static_cast<std::size_t>(turned ? k * a_leading + i : i * a_leading + k)]) *
                   static_cast<double>(b[static_cast<std::size_t>(k * b_leading + j)]);
        return sum;
    }
};

}  // namespace

TEST_CASE_TEMPLATE("a tile product is the plain loop for all rows, columns and depths, plain or turned over, new or added", Real,
                   float, double) {
    constexpr Index width = panel_width<Real>;
    Random random(1);
    for (Index rows = 1; rows <= 2 * register_rows<SimdVector<Real>> + 1; ++rows)
        for (const Index columns : {Index{1}, width - 1, width, width + 1, 2 * width, 2 * width + 3})
            for (const Index depth : {0, 1, 7, 16, 33})
                for (const bool turned : {false, true}) {
                    const Case<Real> x(rows, depth, columns, turned, random);
                    const Index leading = x.packed.padded_columns() + 1;
                    const std::vector<Real> before = random_numbers<Real>(rows * leading, random);
                    std::vector<Real> fresh(before.size(), std::numeric_limits<Real>::quiet_NaN()), added = before;
                    tile_product<false>(rows, x.left(), x.packed, fresh.data(), leading);
                    tile_product<true>(rows, x.left(), x.packed, added.data(), leading);
                    double worst = 0;
                    bool gaps_untouched = true;
                    for (Index i = 0; i < rows; ++i)
                        for (Index j = 0; j < leading; ++j) {
                            const auto at = static_cast<std::size_t>(i * leading + j);
                            if (j == x.packed.padded_columns())
                                gaps_untouched = gaps_untouched && std::isnan(fresh[at]) && added[at] == before[at];
                            if (j >= columns) continue;
                            const double exact = x.expected(i, j, depth);
                            const double errors[] = {
                                std::abs(static_cast<double>(fresh[at]) - exact),
                                std::abs(static_cast<double>(added[at]) - static_cast<double>(before[at]) - exact)};
                            for (const double error : errors) worst = testing::worse(worst, error);
                        }
                    CAPTURE(rows);
                    CAPTURE(columns);
                    CAPTURE(depth);
                    REQUIRE(worst < tolerance<Real>);
                    REQUIRE(gaps_untouched);
                }
}

TEST_CASE_TEMPLATE("only the wanted columns and the wanted depth of the right factor are used", Real, float, double) {
    constexpr Index width = panel_width<Real>;
    Random random(2);
    const Index rows = register_rows<SimdVector<Real>> + 1, depth = 9, columns = 3 * width - 2;
    const Case<Real> x(rows, depth, columns, false, random);
    const Index leading = x.packed.padded_columns();
    for (const Index used_columns : {Index{0}, Index{1}, width, width + 1, columns})
        for (const Index used_depth : {Index{0}, Index{1}, Index{5}, depth}) {
            std::vector<Real> c(static_cast<std::size_t>(rows * leading), Real(77));
            tile_product<false>(rows, x.left(), x.packed, c.data(), leading, used_columns, used_depth);
            const Index written = (used_columns + width - 1) / width * width;
            double worst = 0;
            for (Index i = 0; i < rows; ++i)
                for (Index j = 0; j < leading; ++j) {
                    if (j >= used_columns && j < written) continue;
                    const double expected = j < used_columns ? x.expected(i, j, used_depth) : 77;
                    const double error = std::abs(static_cast<double>(c[static_cast<std::size_t>(i * leading + j)]) - expected);
                    worst = testing::worse(worst, error);
                }
            CHECK(worst < tolerance<Real>);
        }
}

TEST_CASE_TEMPLATE("a row of the product is bitwise the same whatever the number of rows", Real, float, double) {
    Random random(3);
    const Index all = 2 * register_rows<SimdVector<Real>> + 1, depth = 67, columns = 2 * panel_width<Real> + 1;
    for (const bool turned : {false, true}) {
        const Case<Real> x(all, depth, columns, turned, random);
        const Index leading = x.packed.padded_columns();
        const std::vector<Real> before = random_numbers<Real>(all * leading, random);
        std::vector<Real> full_product(before.size()), full_added = before;
        tile_product<false>(all, x.left(), x.packed, full_product.data(), leading);
        tile_product<true>(all, x.left(), x.packed, full_added.data(), leading);
        for (Index rows = 1; rows < all; ++rows) {
            std::vector<Real> part(before.size()), part_added = before;
            tile_product<false>(rows, x.left(), x.packed, part.data(), leading);
            tile_product<true>(rows, x.left(), x.packed, part_added.data(), leading);
            CHECK(std::equal(part.begin(), part.begin() + rows * leading, full_product.begin()));
            CHECK(std::equal(part_added.begin(), part_added.begin() + rows * leading, full_added.begin()));
        }
        for (Index i = 0; i < all; ++i) {  // and wherever it stands
            std::vector<Real> one(static_cast<std::size_t>(leading));
            const LeftFactor<Real> left = x.left();
            tile_product<false>(1, LeftFactor<Real>{left.data + i * left.row_stride, left.row_stride, left.column_stride}, x.packed,
                                one.data(), leading);
            CHECK(std::equal(one.begin(), one.end(), full_product.begin() + i * leading));
        }
    }
}

TEST_CASE_TEMPLATE("packing keeps every number, and fills the last panel with zeros", Real, float, double) {
    constexpr Index width = panel_width<Real>;
    Random random(4);
    for (const Index columns : {Index{0}, Index{1}, width, width + 1})
        for (const Index depth : {0, 1, 5}) {
            const Index leading = columns + 2;
            const std::vector<Real> source = random_numbers<Real>(depth * leading + 1, random);
            PackedFactor<Real> packed;
            pack(source.data(), depth, columns, leading, packed);
            CHECK(packed.depth == depth);
            CHECK(packed.columns == columns);
            CHECK(packed.padded_columns() == (columns == 0 ? 0 : columns <= width ? width : 2 * width));
            for (Index j = 0; j < packed.padded_columns(); ++j)
                for (Index k = 0; k < depth; ++k)
                    CHECK(packed.numbers.data()[j / width * width * depth + k * width + j % width] ==
                          (j < columns ? source[static_cast<std::size_t>(k * leading + j)] : Real(0)));
        }
}

TEST_CASE_TEMPLATE("packing a transpose is packing the matrix turned over, bit for bit", Real, float, double) {
    constexpr Index width = panel_width<Real>;
    Random random(5);
    for (Index columns : {Index{0}, Index{1}, Index{3}, width - 1, width, width + 1, 3 * width + 5})
        for (const Index depth : {0, 1, 2, 7, 8, 9, 15, 16, 17, 33, 64}) {
            const Index leading = depth + 3;
            const std::vector<Real> source = random_numbers<Real>(columns * leading + 1, random);
            std::vector<Real> turned(static_cast<std::size_t>(depth * columns + 1));
            for (Index j = 0; j < columns; ++j)
                for (Index k = 0; k < depth; ++k)
                    turned[static_cast<std::size_t>(k * columns + j)] = source[static_cast<std::size_t>(j * leading + k)];
            PackedFactor<Real> plain, transposed;
            pack(turned.data(), depth, columns, columns, plain);
            pack_transposed(source.data(), columns, depth, leading, transposed);
            CHECK((transposed.depth == depth && transposed.columns == columns));
            REQUIRE(
                std::equal(plain.numbers.data(), plain.numbers.data() + depth * plain.padded_columns(), transposed.numbers.data()));
        }
}

TEST_CASE_TEMPLATE("a packed factor can be packed again, smaller, without traces of what it held", Real, float, double) {
    constexpr Index width = panel_width<Real>;
    Random random(6);
    const std::vector<Real> source = random_numbers<Real>(40 * 40, random);
    PackedFactor<Real> reused, fresh;
    pack(source.data(), 20, 2 * width + 3, 40, reused);
    const auto same = [&] {
        return std::equal(fresh.numbers.data(), fresh.numbers.data() + fresh.depth * fresh.padded_columns(), reused.numbers.data());
    };
    pack(source.data(), 5, 3, 40, reused);
    pack(source.data(), 5, 3, 40, fresh);
    CHECK((reused.depth == 5 && reused.columns == 3 && reused.padded_columns() == width));
    CHECK(same());
    pack_transposed(source.data(), width + 1, 7, 40, reused);
    pack_transposed(source.data(), width + 1, 7, 40, fresh);
    CHECK(same());
}

TEST_CASE_TEMPLATE("infinity stays in its own column", Real, float, double) {
    const Real infinity = std::numeric_limits<Real>::infinity();
    const Real a[] = {1, 2}, b[] = {3, infinity, 4, 5, -1, 6};  // (1, 2) times (2, 3)
    PackedFactor<Real> packed;
    pack(b, 2, 3, 3, packed);
    std::vector<Real> c(static_cast<std::size_t>(packed.padded_columns()), Real(9));
    tile_product<false>(1, LeftFactor<Real>{a, 2, 1}, packed, c.data(), packed.padded_columns());
    CHECK((c[0] == 13 && c[1] == infinity && c[2] == 16));
}

TEST_CASE("no rows or no columns: nothing is written") {
    PackedFactor<float> packed;
    const float number = 1;
    pack(&number, 1, 1, 1, packed);
    float untouched = 5;
    tile_product<false>(0, LeftFactor<float>{&number, 1, 1}, packed, &untouched, 16);
    pack(&number, 1, 0, 1, packed);
    tile_product<false>(1, LeftFactor<float>{&number, 1, 1}, packed, &untouched, 16);
    CHECK(untouched == 5);
}
