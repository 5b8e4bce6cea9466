/// Which BLAS computes products, and whether it recognises the processor: for the first lines of a program's output.
///
/// An OpenBLAS that is older than the processor may not recognise it. Debian 12's OpenBLAS falls back to SSE kernels from 2004 on
/// Intel processors of 2023, which is several times slower, and to AVX2 kernels on AMD processors with AVX-512, which is half as
/// fast. The environment variable OPENBLAS_CORETYPE chooses different kernels. Only OpenBLAS can be asked, and a better choice is
/// proposed only if it uses SSE kernels on an x86-64 processor with AVX2 or AVX-512.
///
/// Read first: core/blas.hpp.
#pragma once

#include <cstdlib>
#include <string>

#include "fot/core/blas.hpp"

namespace fot {

/// Name of the BLAS that products run on, for the first lines of a program's output.
inline std::string blas_name() {
#ifdef WITH_OPENBLAS
    return std::string(openblas_get_config()) + " (kernels: " + openblas_get_corename() + ")";
#else
    return "unknown CBLAS";
#endif
}

/// The kernels of OpenBLAS that a processor with these instructions can run, if `used` are SSE kernels; "" if they are not.
inline std::string faster_blas_kernels(const std::string& used, bool avx2, bool avx512) {
    for (const char* sse : {"Generic", "Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Atom", "Opteron", "Barcelona"})
        if (used == sse) return avx512 ? "SkylakeX" : avx2 ? "Haswell" : "";
    return "";
}

/// A value of OPENBLAS_CORETYPE that makes products here several times as fast, "" if there is none. One that is set already is
/// left alone.
inline std::string faster_blas_kernels() {
#if defined(WITH_OPENBLAS) && defined(__GNUC__) && defined(__x86_64__)
    if (std::getenv("OPENBLAS_CORETYPE") == nullptr)
        return faster_blas_kernels(openblas_get_corename(), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
                                   __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"));
#endif
    return "";
}

}  // namespace fot
