// A product for which the system gives too little memory ends with an error that says so, and succeeds once there is more. Where
// this is broken OpenBLAS never comes back: ctest's timeout ends the program. A program of its own, because OpenBLAS keeps what it
// got.
#include <sys/resource.h>

#include <cstdio>
#include <fot/core/blas.hpp>
#include <fstream>

using namespace fot;

namespace {

/// From now on the program may take so many bytes of address space beyond what it has.
void allow(rlim_t further_bytes) {
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit limit{};
    ::getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = std::min(limit.rlim_max, pages * 4096 + further_bytes);
    require<Error>(pages > 0 && ::setrlimit(RLIMIT_AS, &limit) == 0, "the memory cannot be limited");
}

/// True if the product of a matrix of twos and one of threes comes out, false if there is no memory for it. BLAS computes it,
/// because it is scaled.
bool product_is_made() {
    const Tensor<double, 2> a = full<double, 2>({100, 100}, 2), b = full<double, 2>({100, 3}, 3);
    Tensor<double, 2> c = empty<double, 2>({100, 3});
    try {
        gemm(0.5, as_matrix(a), as_matrix(b), 0.0, as_matrix(c));
    } catch (const Error& error) {
        std::printf("%s\n", error.what());
        return false;
    }
    require<NumericError>(c(0, 0) == 300 && c(99, 2) == 300, "a wrong product: ", c(0, 0), " and ", c(99, 2), ", expected 300");
    return true;
}

}  // namespace

int main() try {
    set_threads(1);
    allow(64 << 20);
    for (int attempt = 0; attempt < 2; ++attempt) require<Error>(!product_is_made(), "a product is made without memory");
    allow(192 << 20);
    require<Error>(product_is_made(), "there is memory for the product now");
    set_threads(2);  // the second product has memory only once the first one has ended
    allow(64 << 20);
    for (int attempt = 0; attempt < 100; ++attempt) product_is_made();
    allow(rlim_t{1} << 30);
    require<Error>(product_is_made(), "there is memory for both products now");
    return 0;
} catch (const std::exception& problem) {
    std::fprintf(stderr, "error: %s\n", problem.what());
    return 1;
}
