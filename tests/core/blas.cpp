#include "fot/core/blas.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "fot/core/random.hpp"
#include "support/difference.hpp"
#include "support/far_apart.hpp"
#include "support/with_threads.hpp"

using namespace fot;

namespace {

/// A matrix within a block of numbers that has `gap` spare numbers at the end of each row and `offset` in front.
template <class Real>
struct Stored {
    std::vector<Real> numbers;
    Index rows, columns, leading, offset;
    bool transposed = false;

    Stored(Index rows_, Index columns_, Index gap, Index offset_, Random& random)
        : numbers(static_cast<std::size_t>(offset_ + rows_ * (columns_ + gap))),
          rows(rows_),
          columns(columns_),
          leading(columns_ + gap),
          offset(offset_) {
        for (Real& number : numbers) number = static_cast<Real>(random.normal());
    }
    MatrixView<Real> view() { return {numbers.data() + offset, rows, columns, leading, transposed}; }
};

template <class Real>
double element(MatrixView<const Real> view, Index i, Index j) {
    return static_cast<double>(view.data[view.transposed ? j * view.leading + i : i * view.leading + j]);
}

/// Largest deviation of gemm from plain loops in double, over the whole block of c, gaps included.
template <class Real>
double gemm_error(Real alpha, MatrixView<const Real> a, MatrixView<const Real> b, Real beta, Stored<Real>& c) {
    std::vector<double> expected(c.numbers.begin(), c.numbers.end());
    for (Index i = 0; i < c.rows; ++i)
        for (Index j = 0; j < c.columns; ++j) {
            double sum = 0;
            for (Index k = 0; k < a.used_columns(); ++k) sum += element(a, i, k) * element(b, k, j);
            double& target = expected[static_cast<std::size_t>(c.offset + i * c.leading + j)];
            target = static_cast<double>(alpha) * sum + (beta == Real(0) ? 0 : static_cast<double>(beta) * target);
        }
    gemm(alpha, a, b, beta, c.view());
    double worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (std::isnan(expected[i]) && std::isnan(c.numbers[i])) continue;
        const double error = std::abs(static_cast<double>(c.numbers[i]) - expected[i]);
        worst = testing::worse(worst, error);
    }
    return worst;
}

/// gemm in all forms of its factors: turned over or not, with gaps between rows or not.
template <class Real>
void require_right(Index m, Index n, Index p, double alpha, double beta, Random& random) {
    const double tolerance = (std::is_same_v<Real, float> ? 2e-4 : 1e-12) * std::max(1.0, static_cast<double>(n) / 32);
    for (int flags = 0; flags < 8; ++flags) {
        const bool turn_a = flags & 1, turn_b = flags & 2;
        const Index gap = flags & 4 ? 3 : 0, offset = flags & 4 ? 2 : 0;
        Stored<Real> a(turn_a ? n : m, turn_a ? m : n, gap, offset, random);
        Stored<Real> b(turn_b ? p : n, turn_b ? n : p, gap, offset, random);
        a.transposed = turn_a;
        b.transposed = turn_b;
        Stored<Real> c(m, p, gap, offset, random);
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(p);
        CAPTURE(flags);
        REQUIRE(gemm_error<Real>(Real(alpha), a.view(), b.view(), Real(beta), c) < tolerance);
    }
}

template <class Real>
Tensor<Real, 2> random_matrix(Index rows, Index columns, std::uint64_t seed) {
    Random random(seed);
    return normal_tensor<Real, 2>({rows, columns}, 1.0, random);
}

}  // namespace

TEST_CASE_TEMPLATE("gemm is the plain loop for all shapes, transposes, strides, alpha and beta", Real, float, double) {
    Random random(1);
    for (const Index m : {0, 1, 2, 7, 33})
        for (const Index n : {0, 1, 3, 32})
            for (const Index p : {0, 1, 5, 18})
                for (const double alpha : {1.0, -0.5, 0.0})
                    for (const double beta : {0.0, 1.0, 2.5}) require_right<Real>(m, n, p, alpha, beta, random);
}

TEST_CASE_TEMPLATE("so it is for shapes that are made of tiles: whole panels and parts of one, one piece of depth and two", Real,
                   float, double) {
    Random random(1);
    for (const Index m : {64, 250})
        for (const Index n : {1, 3, 256, 259})
            for (const Index p : {16, 64, 290})
                for (const double beta : {0.0, 1.0}) require_right<Real>(m, n, p, 1, beta, random);
}

TEST_CASE_TEMPLATE("so it is for few results with long sums, which are computed in parts", Real, float, double) {
    Random random(1);
    REQUIRE(detail::parts_of_sums(5, 18, 2300) == 2);
    for (const double beta : {0.0, 1.0, -0.5}) require_right<Real>(5, 2300, 18, 0.5, beta, random);
    require_right<Real>(1, 20000, 1, 1, 1, random);
}

TEST_CASE("factors and result may lie so far apart that 32 bits do not count the numbers between") {
    Random random(5);
    const testing::FarApart<float> a(65, 5, random), b(65, 3, random), c(65, 3, random);
    if (!a.reserved() || !b.reserved() || !c.reserved()) return;
    Tensor<float, 2> square = zeros<float, 2>({5, 3}), product = c.near();
    gemm(1.f, transpose(MatrixView<const float>(a.view())), MatrixView<const float>(b.view()), 0.f, as_matrix(square));
    for (Index i = 0; i < 5; ++i)
        for (Index j = 0; j < 3; ++j) {
            double sum = 0;
            for (Index k = 0; k < 65; ++k) sum += static_cast<double>(a.near()(k, i) * b.near()(k, j));
            CHECK(std::abs(static_cast<double>(square(i, j)) - sum) < 1e-4);
        }
    gemm(1.f, as_matrix(a.near()), as_matrix(std::as_const(square)), 1.f, as_matrix(product));
    gemm(1.f, MatrixView<const float>(a.view()), as_matrix(std::as_const(square)), 1.f, c.view());
    for (Index i = 0; i < 65; ++i)
        for (Index j = 0; j < 3; ++j) CHECK(c.view().row(i)[j] == doctest::Approx(product(i, j)).epsilon(1e-4));
}

TEST_CASE_TEMPLATE("gemm with beta = 0 overwrites NaN and infinity in the result", Real, float, double) {
    Random random(2);
    for (const Index inner : {0, 1, 9})
        for (const auto& [rows, columns] : {Shape<2>{1, 11}, {13, 11}, {64, 32}, {64, 33}}) {
            Stored<Real> a(rows, inner, 0, 0, random), b(inner, columns, 0, 0, random), c(rows, columns, 2, 1, random);
            for (Real& number : c.numbers) number = std::numeric_limits<Real>::quiet_NaN();
            CHECK(gemm_error<Real>(Real(1), a.view(), b.view(), Real(0), c) < 1e-4);
            CHECK(std::isnan(c.numbers[0]));  // in front of the view: untouched
        }
}

TEST_CASE_TEMPLATE("a product that is shared among threads is the plain loop, too", Real, float, double) {
    const testing::WithThreads scope(1);
    Random random(3);
    for (const auto& [rows, inner, columns] :
         {Shape<3>{1, 1000, 300}, {300, 1000, 1}, {2, 700, 200}, {64, 64, 64}, {149, 50, 150}, {83, 91, 61}})
        for (int flags = 0; flags < 4; ++flags) {
            const bool turn_a = flags & 1, turn_b = flags & 2;
            Stored<Real> a(turn_a ? inner : rows, turn_a ? rows : inner, 5, 3, random);
            Stored<Real> b(turn_b ? columns : inner, turn_b ? inner : columns, 5, 3, random);
            a.transposed = turn_a;
            b.transposed = turn_b;
            for (const Index thread_count : {1, 2, 3, 40}) {
                set_threads(thread_count);
                Stored<Real> c(rows, columns, 4, 3, random);
                CHECK(gemm_error<Real>(Real(1), a.view(), b.view(), Real(1), c) < (std::is_same_v<Real, float> ? 1e-3 : 1e-11));
            }
        }
}

TEST_CASE_TEMPLATE(
    "a product is the same to the last bit with any number of threads if it is made of tiles, and with the same if not", Real,
    float, double) {
    const testing::WithThreads scope(1);
    for (const auto& [rows, inner, columns] :
         {Shape<3>{149, 60, 150}, {3, 900, 700}, {700, 90, 30}, {40, 5000, 50}, {500, 900, 2}}) {
        const Tensor<Real, 2> a = random_matrix<Real>(rows, inner, 1), b = random_matrix<Real>(columns, inner, 2);
        const auto product = [&](Index thread_count) {
            set_threads(thread_count);
            Tensor<Real, 2> c = full<Real, 2>({rows, columns}, Real(1));
            gemm(Real(1), as_matrix(a), transpose(as_matrix(b)), Real(1), as_matrix(c));
            return c;
        };
        const Tensor<Real, 2> alone = product(1);
        for (const Index thread_count : {2, 3, 5, 16, 64}) {
            const Tensor<Real, 2> shared = product(thread_count);
            CHECK(testing::largest_difference(shared, alone) < (std::is_same_v<Real, float> ? 1e-3 : 1e-11));
            CHECK(shared == product(thread_count));
            if (detail::in_tiles(as_matrix(alone))) CHECK(shared == alone);
        }
    }
}

TEST_CASE("a result is cut into blocks that cover it once") {
    for (const Index extent : {1, 31, 32, 33, 100, 4096})
        for (const Index grain : {1, 32})
            for (const Index parts : {1, 2, 3, 7}) {
                Index end = 0;
                for (Index i = 0; i < parts; ++i) {
                    const detail::Part part(extent, i, parts, grain);
                    CHECK(part.first == end);
                    CHECK((part.first % grain == 0 && part.last >= part.first));
                    end = part.last;
                }
                CHECK(end == extent);
            }
}

TEST_CASE("no thread has much more than its share of a result, and one row more costs no thread more than 1.3 times its share") {
    for (const Index thread_count : {1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 64})
        for (const Index columns : {64, 128, 256, 512, 1376, 3200}) {
            double before = 0;
            for (Index rows = 1; rows <= 4096; ++rows) {
                const Shape<2> cut = detail::cuts<float>(rows, columns, thread_count);
                REQUIRE((cut[0] >= 1 && cut[1] >= 1 && cut[0] * cut[1] <= thread_count));
                double largest = 0;  // of the blocks
                for (Index i = 0; i < cut[0]; ++i)
                    for (Index j = 0; j < cut[1]; ++j) {
                        const detail::Part of_rows(rows, i, cut[0]), of_columns(columns, j, cut[1], panel_width<float>);
                        largest = std::max(
                            largest, static_cast<double>((of_rows.last - of_rows.first) * (of_columns.last - of_columns.first)));
                    }
                const double share = static_cast<double>(rows * columns) / static_cast<double>(thread_count);
                if (share >= 2048) {  // smaller ones are not worth a thread
                    CAPTURE(thread_count);
                    CAPTURE(columns);
                    CAPTURE(rows);
                    REQUIRE(largest <= 1.5 * share);
                    REQUIRE(largest * static_cast<double>(rows - 1) <= 1.3 * before * static_cast<double>(rows));
                }
                before = largest;
            }
        }
}

TEST_CASE_TEMPLATE("gemm of a matrix with its own prefix, transposed, is not taken for a symmetric product (same start address)",
                   Real, float, double) {
    const Tensor<Real, 2> keys = random_matrix<Real>(6, 4, 4);
    const MatrixView<const Real> all = as_matrix(keys), queries = matrix(keys.data(), 3, 4);
    Random random(5);
    Stored<Real> scores(3, 6, 0, 0, random);
    CHECK(gemm_error<Real>(Real(1), queries, transpose(all), Real(0), scores) < 1e-5);
    Stored<Real> turned(6, 3, 0, 0, random);
    CHECK(gemm_error<Real>(Real(1), all, transpose(queries), Real(0), turned) < 1e-5);
    Stored<Real> square(6, 6, 0, 0, random);
    CHECK(gemm_error<Real>(Real(1), all, transpose(all), Real(0), square) < 1e-5);
    Stored<Real> inner(4, 4, 0, 0, random);
    CHECK(gemm_error<Real>(Real(1), transpose(all), all, Real(0), inner) < 1e-5);
}

TEST_CASE("gemm respects a view's offset and leading dimension") {
    Tensor<double, 2> x = random_matrix<double>(8, 10, 6);
    const Tensor<double, 2> y = random_matrix<double>(9, 7, 7);
    const MatrixView<const double> a = matrix(&x(2, 3), 4, 5, 10), b = matrix(&y(1, 2), 5, 3, 7);
    Tensor<double, 2> c = zeros<double, 2>({4, 3});
    gemm(1.0, a, b, 0.0, as_matrix(c));
    for (Index i = 0; i < 4; ++i)
        for (Index j = 0; j < 3; ++j) {
            double sum = 0;
            for (Index k = 0; k < 5; ++k) sum += x(2 + i, 3 + k) * y(1 + k, 2 + j);
            CHECK(c(i, j) == doctest::Approx(sum));
        }
}

TEST_CASE("gemm on a strided view: a head of (B,T,H,D) is multiplied, and written, in place") {
    const Index B = 2, T = 5, H = 3, D = 4;
    Random random(8);
    const Tensor<double, 4> q = normal_tensor<double, 4>({B, T, H, D}, 1.0, random),
                            k = normal_tensor<double, 4>({B, T, H, D}, 1.0, random);
    const Tensor<double, 4> untouched = full<double, 4>({B, T, H, D}, 7.0);
    for (Index b = 0; b < B; ++b)
        for (Index h = 0; h < H; ++h) {
            Tensor<double, 2> scores = empty<double, 2>({T, T});
            const MatrixView<const double> q_bh = matrix(row(q, b, 0, h), T, D, H * D), k_bh = matrix(row(k, b, 0, h), T, D, H * D);
            gemm(1.0, q_bh, transpose(k_bh), 0.0, as_matrix(scores));
            Tensor<double, 4> o = untouched;
            gemm(1.0, as_matrix(std::as_const(scores)), k_bh, 0.0, matrix(row(o, b, 0, h), T, D, H * D));
            for (Index t = 0; t < T; ++t)
                for (Index s = 0; s < T; ++s) {
                    double sum = 0;
                    for (Index d = 0; d < D; ++d) sum += q(b, t, h, d) * k(b, s, h, d);
                    CHECK(scores(t, s) == doctest::Approx(sum));
                }
            for (Index b2 = 0; b2 < B; ++b2)
                for (Index t = 0; t < T; ++t)
                    for (Index h2 = 0; h2 < H; ++h2)
                        for (Index d = 0; d < D; ++d) {
                            double sum = 0;
                            for (Index s = 0; s < T; ++s) sum += scores(t, s) * k(b, s, h, d);
                            CHECK(o(b2, t, h2, d) == (b2 == b && h2 == h ? doctest::Approx(sum) : doctest::Approx(7.0)));
                        }
        }
}

TEST_CASE_TEMPLATE(
    "products within a parallel loop are right: OpenBLAS computes without threads of its own, and has them again after", Real,
    float, double) {  // so few columns are always left to BLAS
#ifdef WITH_OPENBLAS
    const int before = openblas_get_num_threads();
    openblas_set_num_threads(2);
#endif
    const Tensor<Real, 2> x = random_matrix<Real>(64, 64, 9), y = random_matrix<Real>(64, 2, 10);
    Tensor<Real, 2> alone = empty<Real, 2>({64, 2});
    REQUIRE(!detail::in_tiles(as_matrix(alone)));
    const testing::WithThreads scope(1);  // the last bits depend on how a product is shared
    gemm(Real(1), as_matrix(x), as_matrix(y), Real(0), as_matrix(alone));
    set_threads(2);
    Tensor<Real, 3> many = empty<Real, 3>({200, 64, 2});
    parallel_for(200, [&](Index i) { gemm(Real(1), as_matrix(x), as_matrix(y), Real(0), matrix(row(many, i), 64, 2)); });
    for (Index i = 0; i < 200; ++i) CHECK(std::equal(alone.data(), alone.data() + alone.size(), row(many, i)));
#ifdef WITH_OPENBLAS
    CHECK(openblas_get_num_threads() == 2);
#ifdef _OPENMP
    {
        const detail::BlasOnOneThread one, another;
        CHECK(openblas_get_num_threads() == 1);
    }
#endif
    CHECK(openblas_get_num_threads() == 2);
    openblas_set_num_threads(before);
#endif
}

TEST_CASE("a wrong result shape is refused") {
    const Tensor<double, 2> a = random_matrix<double>(2, 3, 10), b = random_matrix<double>(3, 4, 11);
    Tensor<double, 2> wrong = zeros<double, 2>({4, 2}), small = zeros<double, 2>({2, 3}), right = zeros<double, 2>({2, 4});
    CHECK_NOTHROW(gemm(1.0, as_matrix(a), as_matrix(b), 0.0, as_matrix(right)));
    CHECK_THROWS_WITH_AS(gemm(1.0, as_matrix(a), as_matrix(b), 0.0, as_matrix(wrong)),
                         "gemm: a (2, 3) times b (3, 4) does not give c (4, 2)", ShapeError);
    CHECK_THROWS_WITH_AS(gemm(1.0, as_matrix(a), as_matrix(b), 0.0, as_matrix(small)),
                         "gemm: a (2, 3) times b (3, 4) does not give c (2, 3)", ShapeError);
    CHECK_THROWS_WITH_AS(gemm(1.0, as_matrix(a), transpose(as_matrix(b)), 0.0, as_matrix(right)),
                         "gemm: a (2, 3) times b (4, 3) does not give c (2, 4)", ShapeError);
    CHECK(std::all_of(wrong.data(), wrong.data() + wrong.size(), [](double x) { return x == 0; }));
}

TEST_CASE("a view that makes no sense is refused") {
    std::vector<double> numbers(100);
    double* data = numbers.data();
    const MatrixView<double> good = matrix(data, 2, 2);
    CHECK_THROWS_WITH_AS(gemm(1.0, good, good, 0.0, transpose(good)), "gemm: the result must not be a transposed view", ShapeError);
    CHECK_THROWS_WITH_AS(gemm(1.0, matrix(data, 2, 2, 1), good, 0.0, good), "gemm: a view of 2 x 2 numbers has leading dimension 1",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gemm(1.0, good, good, 0.0, matrix(data, 2, 2, 1)), "gemm: a view of 2 x 2 numbers has leading dimension 1",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gemm(1.0, matrix(data, 2, 2, -2), good, 0.0, good),
                         "gemm: a view of 2 x 2 numbers has leading dimension -2", ShapeError);
    CHECK_THROWS_WITH_AS(gemm(1.0, matrix(data, -1, 2), good, 0.0, matrix(data, -1, 2)),
                         "gemm: a view of -1 x 2 numbers has leading dimension 2", ShapeError);
    const Index huge = Index{1} << 31;
    CHECK_THROWS_WITH_AS(gemm(1.0, matrix(data, huge, 1), matrix(data, 1, 2), 0.0, matrix(data, huge, 2)),
                         "gemm: an extent of 2147483648 x 1 is too large for this BLAS", ShapeError);
    CHECK_THROWS_WITH_AS(gemm(1.0, matrix(data, 1, 2, huge), good, 0.0, matrix(data, 1, 2)),
                         "gemm: an extent of 1 x 2 is too large for this BLAS", ShapeError);
}

TEST_CASE("a sum of no products is zero: beta alone is left") {
    const Tensor<float, 2> no_columns = empty<float, 2>({3, 0}), no_rows = empty<float, 2>({0, 2});
    Tensor<float, 2> sum = full<float, 2>({3, 2}, 4.0f);
    gemm(1.0f, as_matrix(no_columns), as_matrix(no_rows), 0.5f, as_matrix(sum));
    for (Index i = 0; i < 3; ++i) CHECK((sum(i, 0) == 2.0f && sum(i, 1) == 2.0f));
}
