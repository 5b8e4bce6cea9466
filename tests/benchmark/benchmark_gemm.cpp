/// The products of a linear map and of its gradients, `gemm` beside the BLAS library's own, on one thread.
///
///     build/release/tests/benchmark/benchmark_gemm
///
/// Shapes are those of the text models: rows x inner -> columns. Without AVX-512 both are the library's. OPENBLAS_CORETYPE=SkylakeX
/// and =Haswell in the environment show OpenBLAS's two kinds of kernels.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fot/core/blas_kernels.hpp"
#include "fot/core/keep_freed_memory.hpp"
#include "fot/core/random.hpp"
#include "support/timing.hpp"

using namespace fot;

namespace {

/// GFLOP/s of gemm and of the library, measured in turn: medians.
std::pair<double, double> rates(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c, Index repeats) {
    const auto ours = [&] { gemm(1.0f, a, b, 1.0f, c); };
    const auto library = [&] {
        using cxxblas::Transpose;
        const auto turned = [](bool transposed) { return transposed ? Transpose::Trans : Transpose::NoTrans; };
        const auto as_int = [](Index i) { return static_cast<int>(i); };
        cxxblas::gemm<int>(cxxblas::StorageOrder::RowMajor, turned(a.transposed), turned(b.transposed), as_int(c.rows),
                           as_int(c.columns), as_int(a.used_columns()), 1.0f, a.data, as_int(a.leading), b.data, as_int(b.leading),
                           1.0f, c.data, as_int(c.leading));
    };
    std::vector<double> of_ours, of_library;
    for (Index i = 0; i < repeats; ++i) {
        of_ours.push_back(testing::seconds_of(ours));
        of_library.push_back(testing::seconds_of(library));
    }
    const double operations =
        2e-9 * static_cast<double>(c.rows) * static_cast<double>(c.columns) * static_cast<double>(a.used_columns());
    return {operations / testing::median(of_ours), operations / testing::median(of_library)};
}

}  // namespace

int main(int argc, char** argv) {
    Index repeats = 51;
    CLI::App app("Matrix products");
    app.add_option("--repeats", repeats, "timed repetitions")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    set_threads(1);
    std::printf("%s\n", blas_name().c_str());
    Random random(0);
    for (const auto& shape : {Shape<3>{2048, 128, 128}, Shape<3>{2048, 128, 512}, Shape<3>{2048, 512, 128}, Shape<3>{256, 128, 512},
                              Shape<3>{1024, 1024, 1024}}) {
        const Index rows = shape[0], in = shape[1], out = shape[2];
        const Tensor<float, 2> x = normal_tensor<float, 2>({rows, in}, 1, random),
                               weight = normal_tensor<float, 2>({out, in}, 1, random),
                               d_y = normal_tensor<float, 2>({rows, out}, 1, random);
        Tensor<float, 2> y = zeros_like(d_y), d_x = zeros_like(x), d_weight = zeros_like(weight);
        const auto report = [&](const char* what, std::pair<double, double> rate) {
            std::printf("%4ld x %4ld -> %4ld  %-18s %4.0f GFLOP/s, library %4.0f\n", rows, in, out, what, rate.first, rate.second);
            std::printf("result gemm_speedup.%s.%ld_%ld_%ld %.2f\n", what, rows, in, out, rate.first / rate.second);
        };
        report("forward", rates(as_matrix(x), transpose(as_matrix(weight)), as_matrix(y), repeats));
        report("input_gradient", rates(as_matrix(d_y), as_matrix(weight), as_matrix(d_x), repeats));
        report("weight_gradient", rates(transpose(as_matrix(d_y)), as_matrix(x), as_matrix(d_weight), repeats));
    }
}
