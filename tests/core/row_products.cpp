#include "fot/core/row_products.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "fot/core/random.hpp"
#include "support/difference.hpp"

using namespace fot;

namespace {

/// Rows with gaps between them, of a type.
template <class Real, class Stored>
struct Rows {
    Index rows, columns, leading;
    std::vector<Stored> numbers;

    Rows(Index r, Index c, Random& random)
        : rows(r), columns(c), leading(c + 3), numbers(static_cast<std::size_t>(r * (c + 3) + 1)) {
        for (Stored& number : numbers)
            if constexpr (std::is_class_v<Stored>)
                number = to_bfloat16(static_cast<float>(random.normal()));
            else
                number = static_cast<Stored>(random.normal());
    }
    MatrixView<const Stored> view() const { return matrix(numbers.data(), rows, columns, leading); }
    double at(Index i, Index j) const { return detail::widened<double>(element(numbers, i * leading + j)); }
};

template <class Real, class Stored>
void check_products(double tolerance) {
    Random random(1);
    for (const Index N : {1, 2, 3, 4})
        for (const Index M : {0, 1, 5, 40})
            for (const Index D : {0, 1, 3, 4, 17, 32, 64, 100, 131}) {
                CAPTURE(N);
                CAPTURE(M);
                CAPTURE(D);
                const Rows<Real, Real> x(N, D, random);
                const Rows<Real, Stored> y(M, D, random);
                Tensor<Real, 2> products = full<Real, 2>({N, M + 2}, Real(7));
                row_products(x.view(), y.view(), products.data(), M + 2);
                Tensor<Real, 2> sums = full<Real, 2>({N, D + 1}, Real(3));
                const Rows<Real, Real> weights(N, M, random);
                add_weighted_rows(weights.numbers.data(), weights.leading, y.view(), matrix(sums.data(), N, D, D + 1));
                for (Index n = 0; n < N; ++n) {
                    for (Index m = 0; m < M; ++m) {
                        double expected = 0;
                        for (Index d = 0; d < D; ++d) expected += x.at(n, d) * y.at(m, d);
                        REQUIRE(std::abs(static_cast<double>(products(n, m)) - expected) < tolerance);
                    }
                    for (Index d = 0; d < D; ++d) {
                        double expected = 3;
                        for (Index m = 0; m < M; ++m) expected += weights.at(n, m) * y.at(m, d);
                        REQUIRE(std::abs(static_cast<double>(sums(n, d)) - expected) < tolerance);
                    }
                    REQUIRE((products(n, M) == 7 && sums(n, D) == 3));  // nothing is written beyond
                }
            }
}

}  // namespace

TEST_CASE("few rows: products and weighted sums are those of plain loops, in every storage") {
    check_products<float, float>(2e-5);
    check_products<double, double>(1e-12);
    check_products<float, BFloat16>(2e-5);
    check_products<double, BFloat16>(1e-12);
}

TEST_CASE("equal rows have bitwise equal products wherever they stand") {
    Random random(2);
    for (const Index D : {5, 64, 100}) {
        const Tensor<float, 2> x = normal_tensor<float, 2>({4, D}, 1, random), one = normal_tensor<float, 2>({1, D}, 1, random);
        Tensor<float, 2> y = empty<float, 2>({23, D}), products = empty<float, 2>({4, 23});
        for (Index m = 0; m < 23; ++m) std::copy_n(one.data(), D, row(y, m));
        row_products(as_matrix(x), as_matrix(std::as_const(y)), products.data(), 23);
        for (Index n = 0; n < 4; ++n)
            for (Index m = 0; m < 23; ++m) REQUIRE(products(n, m) == products(n, 0));
    }
}

TEST_CASE("more rows than few are refused") {
    const Tensor<float, 2> x = zeros<float, 2>({few_rows + 1, 4}), y = zeros<float, 2>({3, 4});
    Tensor<float, 2> products = zeros<float, 2>({few_rows + 1, 3}), sums = zeros<float, 2>({few_rows + 1, 4});
    CHECK_THROWS_WITH_AS(row_products(as_matrix(x), as_matrix(y), products.data(), 3),
                         message("row_products: ", few_rows + 1, " rows, expected at most ", few_rows).c_str(), ShapeError);
    CHECK_THROWS_AS(add_weighted_rows(products.data(), 3, as_matrix(y), as_matrix(sums)), ShapeError);
}
