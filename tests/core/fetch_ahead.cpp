#include "fot/core/fetch_ahead.hpp"

#include <doctest/doctest.h>

using namespace fot;

TEST_CASE("pieces are fetched until all are, of a matrix with gaps none, and nothing is written") {
    Tensor<float, 2> x = full<float, 2>({10, 7}, 3.0f);
    for (const Index leading : {7, 70})
        for (const Index pieces : {1, 3, 1000}) {
            FetchAhead ahead(MatrixView<const float>{x.data(), leading == 7 ? Index(10) : Index(1), 7, leading, false});
            ahead.cut(pieces);
            for (Index i = 0; i < pieces + 5; ++i) ahead.fetch_piece();
        }
    FetchAhead().fetch_piece();
    CHECK(x == full<float, 2>({10, 7}, 3.0f));
}
