#include "fot/core/blas_kernels.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace fot;

TEST_CASE("faster kernels are named for a processor that an old OpenBLAS does not know") {
    CHECK(faster_blas_kernels("Prescott", true, true) == "SkylakeX");
    CHECK(faster_blas_kernels("Nehalem", true, false) == "Haswell");
    CHECK(faster_blas_kernels("Prescott", false, false) == "");
    CHECK(faster_blas_kernels("Haswell", true, true) == "");
    CHECK(faster_blas_kernels("Zen", true, false) == "");
    const char* set = std::getenv("OPENBLAS_CORETYPE");
    const std::string before = set == nullptr ? "" : set;
    ::setenv("OPENBLAS_CORETYPE", "Prescott", 1);
    CHECK(faster_blas_kernels() == "");
    set == nullptr ? ::unsetenv("OPENBLAS_CORETYPE") : ::setenv("OPENBLAS_CORETYPE", before.c_str(), 1);
}

TEST_CASE("the BLAS says its name: a fallback would be far slower") {
#ifdef WITH_OPENBLAS
    CHECK(blas_name().find("OpenBLAS") != std::string::npos);
    CHECK(blas_name().find("(kernels: ") != std::string::npos);
#else
    CHECK(blas_name() == "unknown CBLAS");
#endif
}
