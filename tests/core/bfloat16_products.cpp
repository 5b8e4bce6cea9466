#include "fot/core/bfloat16_products.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "fot/core/random.hpp"

using namespace fot;

namespace {

constexpr Index gap = 3;

/// Rows of random bfloat16 numbers, `gap` numbers apart. They begin where a number of 32 bits may not.
class Weight {
   public:
    Weight(Index rows, Index columns, Random& random)
        : rows_(rows), columns_(columns), numbers_(static_cast<std::size_t>(1 + rows * (columns + gap))) {
        for (BFloat16& number : numbers_) number = to_bfloat16(random.normal());
    }
    MatrixView<const BFloat16> view() const { return matrix(numbers_.data() + 1, rows_, columns_, columns_ + gap); }

   private:
    Index rows_, columns_;
    std::vector<BFloat16> numbers_;
};

/// A matrix (T,I) of 7, with a column to the right that no product may touch.
Tensor<float, 2> room_for(Index rows, Index columns) { return full<float, 2>({rows, columns + 1}, 7.0f); }

MatrixView<float> without_last_column(Tensor<float, 2>& y) {
    return matrix(y.data(), extent(y, 0), extent(y, 1) - 1, extent(y, 1));
}

}  // namespace

TEST_CASE_TEMPLATE("products of bfloat16 numbers are those of the rounded numbers, for every number of rows and columns", Products,
                   PlainBFloat16Products, BFloat16Products) {
    Random random(1);
    for (const Index in : {1, 2, 7, 64, 511, 1030})
        for (const Index out : {1, 15, 17, 32, 33, 300})
            for (const Index count : {1, 11, 12, 13, 250}) {
                if (in * out * count > 10'000'000) continue;  // takes long in plain loops, and shows nothing that others do not
                const Tensor<float, 2> x = normal_tensor<float, 2>({count, in}, 1, random);
                const Weight w(out, in, random);
                Tensor<float, 2> y = room_for(count, out);
                const Tensor<BFloat16Pair, 2> pairs = bfloat16_pairs(as_matrix(x));
                Products::multiply(as_matrix(pairs), w.view(), without_last_column(y));
                double largest_error = 0;
                bool beside = true;
                for (Index t = 0; t < count; ++t) {
                    for (Index i = 0; i < out; ++i) {
                        double sum = 0, size = 0;
                        for (Index k = 0; k < in; ++k) {
                            const double product = static_cast<double>(to_float(to_bfloat16(x(t, k)))) *
                                                   static_cast<double>(to_float(w.view().row(i)[k]));
                            sum += product;
                            size += std::abs(product);
                        }
                        largest_error = std::max(largest_error, std::abs(static_cast<double>(y(t, i)) - sum) / size);
                    }
                    beside = beside && y(t, out) == 7.0f;
                }
                INFO("in ", in, ", out ", out, ", rows ", count);
                CHECK(largest_error < 1e-6);
                CHECK(beside);
            }
}

TEST_CASE_TEMPLATE("a row of products does not depend on the rows beside it", Products, PlainBFloat16Products, BFloat16Products) {
    Random random(2);
    const Tensor<float, 2> x = normal_tensor<float, 2>({30, 700}, 1, random);
    const Weight w(70, 700, random);
    const Tensor<BFloat16Pair, 2> pairs = bfloat16_pairs(as_matrix(x));
    Tensor<float, 2> all = room_for(30, 70), one = room_for(1, 70);
    Products::multiply(as_matrix(pairs), w.view(), without_last_column(all));
    for (Index t = 0; t < 30; ++t) {
        Products::multiply(as_matrix(pairs).rows_from(t, 1), w.view(), without_last_column(one));
        CHECK(std::equal(one.begin(), one.end(), row(all, t)));
    }
}

TEST_CASE_TEMPLATE("a NaN stays in its row, and infinities have their sign", Products, PlainBFloat16Products, BFloat16Products) {
    Tensor<float, 2> x = full<float, 2>({3, 40}, 1.0f);
    x(0, 39) = std::numeric_limits<float>::quiet_NaN();
    x(1, 3) = -std::numeric_limits<float>::infinity();
    std::vector<BFloat16> ones(40, to_bfloat16(1.0f));
    Tensor<float, 2> y = zeros<float, 2>({3, 1});
    Products::multiply(as_matrix(bfloat16_pairs(as_matrix(std::as_const(x)))), matrix(std::as_const(ones).data(), 1, 40),
                       as_matrix(y));
    CHECK(std::isnan(y(0, 0)));
    CHECK(y(1, 0) == -std::numeric_limits<float>::infinity());
    CHECK(y(2, 0) == 40.0f);
}

TEST_CASE_TEMPLATE("sums over nothing are zero", Products, PlainBFloat16Products, BFloat16Products) {
    Tensor<float, 2> y = full<float, 2>({2, 3}, 7.0f);
    const Tensor<float, 2> x = empty<float, 2>({2, 0});
    Products::multiply(as_matrix(bfloat16_pairs(as_matrix(x))), MatrixView<const BFloat16>{nullptr, 3, 0, 0}, as_matrix(y));
    CHECK(y == zeros<float, 2>({2, 3}));
}
