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

TEST_CASE("the transpose of the transpose is the view itself") {
    float data[6] = {};
    const MatrixView<float> view = matrix(data, 2, 3), once = transpose(view), twice = transpose(once);
    CHECK((once.used_rows() == 3 && once.used_columns() == 2 && once.rows == 2));
    CHECK((twice.used_rows() == 2 && !twice.transposed));
}

TEST_CASE("rows of a view are those of the stored matrix") {
    float data[24];
    for (int i = 0; i < 24; ++i) data[i] = static_cast<float>(i);
    const MatrixView<float> view = matrix(data + 1, 4, 3, 6), middle = view.rows_from(1, 2);
    CHECK((view.row(0)[0] == 1 && view.row(3)[2] == 21));
    CHECK((middle.rows == 2 && middle.columns == 3 && middle.leading == 6 && !middle.transposed));
    CHECK((middle.row(0)[0] == 7 && middle.row(1)[2] == 15));
    CHECK(transpose(view).rows_from(1, 2).transposed);
    CHECK(MatrixView<const float>(view).row(2) == data + 13);
}

TEST_CASE("a head of (B,T,H,D) is a matrix in place") {
    Tensor<float, 4> x = empty<float, 4>({2, 3, 4, 5});
    for (Index i = 0; i < element_count(x); ++i) x.data()[i] = static_cast<float>(i);
    const Tensor<float, 4>& constant = x;
    const MatrixView<const float> of_constant = head(constant, 1, 2);
    CHECK((of_constant.rows == 3 && of_constant.columns == 5 && of_constant.leading == 20));
    for (Index t = 0; t < 3; ++t)
        for (Index d = 0; d < 5; ++d) CHECK(of_constant.row(t)[d] == x(1, t, 2, d));
    head(x, 0, 1).rows_from(2, 1).row(0)[3] = -1;
    CHECK(x(0, 2, 1, 3) == -1);
}
