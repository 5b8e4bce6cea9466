#include "fot/core/matrix_view.hpp"

#include <doctest/doctest.h>

using namespace fot;

TEST_CASE("a tensor is the matrix of its rows, also without columns") {
    Tensor<float, 3> x = zeros<float, 3>({2, 3, 4});
    const Tensor<float, 3>& constant = x;
    const MatrixView<float> view = as_matrix(x);
    CHECK((view.data == x.data() && view.rows == 6 && view.columns == 4 && view.leading == 4 && !view.transposed));
    CHECK(std::is_same_v<decltype(as_matrix(constant)), MatrixView<const float>>);
    CHECK(as_matrix(constant).rows == 6);
    const Tensor<float, 1> line = zeros<float, 1>({5});
    CHECK((as_matrix(line).rows == 1 && as_matrix(line).columns == 5));
    const Tensor<float, 2> no_columns = zeros<float, 2>({3, 0}), no_rows = zeros<float, 2>({0, 2});
    CHECK((as_matrix(no_columns).rows == 3 && as_matrix(no_columns).columns == 0));
    CHECK((as_matrix(no_rows).rows == 0 && as_matrix(no_rows).columns == 2));
}

TEST_CASE("turning a view over twice gives it back") {
    float data[6] = {};
    const MatrixView<float> view = matrix(data, 2, 3), turned = transpose(view), again = transpose(turned);
    CHECK((turned.used_rows() == 3 && turned.used_columns() == 2 && turned.rows == 2));
    CHECK((again.used_rows() == 2 && !again.transposed));
}
