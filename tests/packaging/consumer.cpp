// What a user of the library writes first: two tensors and their product, in small whole numbers that are exact in float.
#include <fot/fot.hpp>

int main() {
    const fot::Tensor<float, 2> a = {{1, 2, 3}, {4, 5, 6}}, b = {{1, 0}, {0, 1}, {1, 1}};
    fot::Tensor<float, 2> c = fot::zeros<float, 2>({2, 2});
    fot::gemm(1.0f, fot::as_matrix(a), fot::as_matrix(b), 0.0f, fot::as_matrix(c));
    return c == fot::Tensor<float, 2>{{4, 5}, {10, 11}} ? 0 : 1;
}
