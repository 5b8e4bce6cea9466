#include "fot/core/product_of_tiles.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "support/difference.hpp"

using namespace fot;

namespace {

template <class Real>
double number(MatrixView<const Real> view, Index i, Index j) {
    return static_cast<double>(view.transposed ? view.row(j)[i] : view.row(i)[j]);
}

}  // namespace

TEST_CASE_TEMPLATE("a product of tiles is the plain loop, for any extents, factors turned over or not, alpha and beta", Real, float,
                   double) {
    Random random(1);
    for (const auto& [m, n, p] : {Shape<3>{1, 1, 1}, {7, 5, 33}, {250, 3, 32}, {13, 300, 31}, {241, 257, 290}})
        for (const auto& [alpha, beta] : {Shape<2>{1, 0}, {1, 1}, {-2, 3}})
            for (int turned = 0; turned < 4; ++turned) {
                const bool turn_a = turned & 1, turn_b = turned & 2;
                const Tensor<Real, 2> a_stored = normal_tensor<Real, 2>({turn_a ? n : m, turn_a ? m : n}, 1, random),
                                      b_stored = normal_tensor<Real, 2>({turn_b ? p : n, turn_b ? n : p}, 1, random),
                                      before = normal_tensor<Real, 2>({m, p}, 1, random);
                const MatrixView<const Real> a = turn_a ? transpose(as_matrix(a_stored)) : as_matrix(a_stored),
                                             b = turn_b ? transpose(as_matrix(b_stored)) : as_matrix(b_stored);
                Tensor<double, 2> expected = empty<double, 2>({m, p});
                for (Index i = 0; i < m; ++i)
                    for (Index j = 0; j < p; ++j) {
                        double sum = 0;
                        for (Index k = 0; k < n; ++k) sum += number(a, i, k) * number(b, k, j);
                        expected(i, j) =
                            static_cast<double>(alpha) * sum + static_cast<double>(beta) * static_cast<double>(before(i, j));
                    }
                Tensor<Real, 2> c = before;
                detail::product_of_tiles(static_cast<Real>(alpha), a, b, static_cast<Real>(beta), as_matrix(c));
                CHECK(testing::largest_difference(c, expected) < (std::is_same_v<Real, float> ? 4e-4 : 1e-12));
            }
}

TEST_CASE("a number of the product does not depend on which part of the product it is computed in") {
    Random random(2);
    const Tensor<float, 2> a = normal_tensor<float, 2>({100, 300}, 1, random), b = normal_tensor<float, 2>({300, 100}, 1, random);
    Tensor<float, 2> whole = empty<float, 2>({100, 100}), in_parts = empty<float, 2>({100, 100});
    detail::product_of_tiles(1.0f, as_matrix(a), as_matrix(b), 0.0f, as_matrix(whole));
    for (const Index rows : {1, 7, 50})
        for (const Index columns : {1, 20, 64}) {
            for (Index i = 0; i < 100; i += rows)
                for (Index j = 0; j < 100; j += columns) {
                    const Index m = std::min(rows, 100 - i), p = std::min(columns, 100 - j);
                    detail::product_of_tiles(1.0f, matrix(&a(i, 0), m, 300), matrix(&b(0, j), 300, p, 100), 0.0f,
                                             matrix(&in_parts(i, j), m, p, 100));
                }
            CHECK(in_parts == whole);
        }
}
