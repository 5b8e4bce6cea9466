// What a user of the library writes first: two tensors and their product, in small whole numbers that are exact in float. None of
// our flags comes along: neither instructions, optimisation nor sanitizers, and no warning of what a strict compiler finds below,
// for which this project would not compile (-Werror is its own).
#include <fot/fot.hpp>

#if defined(__AVX2__) || defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__)
#error "flags of fot's own programs reach those who use it"
#endif

int shadow(long number) {
    const int narrow = number;
    int unused;
    if (narrow > 0) {
        const unsigned number = narrow;
        return number;
    }
    return 0;
}

int main(int count, char** words) {
    const fot::Tensor<float, 2> a = {{1, 2, 3}, {4, 5, 6}}, b = {{1, 0}, {0, 1}, {1, 1}};
    fot::Tensor<float, 2> c = fot::zeros<float, 2>({2, 2});
    fot::gemm(1.0f, fot::as_matrix(a), fot::as_matrix(b), 0.0f, fot::as_matrix(c));
    return c == fot::Tensor<float, 2>{{4, 5}, {10, 11}} && shadow(count) == 1 ? 0 : 1;
}
