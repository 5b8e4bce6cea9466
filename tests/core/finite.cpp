#include "fot/core/finite.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace fot;

TEST_CASE_TEMPLATE("a number that is not finite is seen wherever it stands in a row of any length, and finite ones are not", Real,
                   float, double) {
    const Real infinity = std::numeric_limits<Real>::infinity();
    for (Index count = 0; count < 40; ++count) {
        std::vector<Real> row(static_cast<std::size_t>(count), std::numeric_limits<Real>::max());
        CHECK(all_finite(row.data(), count));
        for (Real& number : row)
            for (const Real bad : {infinity, -infinity, std::numeric_limits<Real>::quiet_NaN()}) {
                const Real good = std::exchange(number, bad);
                REQUIRE_FALSE(all_finite(row.data(), count));
                number = good;
            }
    }
}

TEST_CASE("the error says which number it is") {
    Tensor<float, 2> x = zeros<float, 2>({2, 3});
    CHECK_NOTHROW(require_finite("reader: logits", x));
    x(1, 0) = -std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH_AS(require_finite("reader: logits", x),
                         "reader: logits of shape (2, 3): number 3 is -inf, expected finite numbers", NumericError);
}
