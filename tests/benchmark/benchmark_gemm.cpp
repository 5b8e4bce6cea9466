/// The products of a linear map and of its gradients, `gemm` beside the BLAS library's own, on one thread.
///
///     build/release/tests/benchmark/benchmark_gemm
///
/// Shapes are those of the text models: rows x inner -> columns. Without AVX2 both are the library's. OPENBLAS_CORETYPE=SkylakeX
/// and =Haswell in the environment show OpenBLAS's two kinds of kernels.
///
///     build/release/tests/benchmark/benchmark_gemm --sweep
///
/// looks for cliffs instead: products of 1 to 4096 rows, columns and inner extents, the other two being 128. It prints the worst
/// step, and fails if one more costs more than 1.3 times its share. The 33rd column costs a whole panel of 32, and so do
/// the 65th, the 97th ...: that is its share.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <ctime>
#include <limits>

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

/// Processor time of the calling thread: what others do on the machine does not count.
double processor_seconds() {
    std::timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Seconds of a product whose extent along one axis (0: rows, 1: inner, 2: columns) grows: the least of all passes.
class Sweep {
   public:
    static constexpr Index most = 4096, others = 128;

    Sweep(std::size_t axis, Random& random)
        : axis_(axis),
          a_(normal_tensor<float, 2>({most, most}, 1, random)),
          b_(normal_tensor<float, 2>({most, most}, 1, random)),
          c_(zeros_like(a_)),
          seconds_(most + 1, std::numeric_limits<double>::max()) {
        for (int pass = 0; pass < 3; ++pass)
            for (Index extent = 1; extent <= most; ++extent) measure(extent);
    }

    /// What the step from `extent - 1` costs, in times of its share. One that looks dear is measured again.
    double step(Index extent) {
        for (int again = 0; again < 40 && ratio(extent) > 1.25; ++again) {
            measure(extent - 1);
            measure(extent);
        }
        return ratio(extent);
    }

   private:
    void measure(Index extent) {
        Shape<3> shape{others, others, others};
        shape[axis_] = extent;
        const auto [rows, inner, columns] = shape;
        const Index repeats = 1 + 200000 / (rows * inner * columns);
        const double start = processor_seconds();
        for (Index i = 0; i < repeats; ++i)
            gemm(1.0f, matrix(a_.data(), rows, inner), transpose(matrix(b_.data(), columns, inner)), 0.0f,
                 matrix(c_.data(), rows, columns));
        double& least = element(seconds_, extent);
        least = std::min(least, (processor_seconds() - start) / static_cast<double>(repeats));
    }
    double ratio(Index extent) const {
        const auto growth = [](Index to, Index from) { return static_cast<double>(to) / static_cast<double>(from); };
        double share = growth(extent, extent - 1);
        if (axis_ == 2) share = std::max(share, growth(padded_to_panels<float>(extent), padded_to_panels<float>(extent - 1)));
        return element(seconds_, extent) / element(seconds_, extent - 1) / share;
    }

    std::size_t axis_;
    Tensor<float, 2> a_, b_, c_;
    std::vector<double> seconds_;
};

/// Prints the worst step along each axis. True if none costs more than 1.3 times its share.
bool has_no_cliff(Random& random) {
    double worst_of_all = 0;
    for (const auto& [axis, name] : {std::pair<std::size_t, const char*>{0, "rows"}, {1, "inner"}, {2, "columns"}}) {
        Sweep sweep(axis, random);
        double worst = 0;
        Index at = 0;
        for (Index extent = 2; extent <= Sweep::most; ++extent)
            if (const double step = sweep.step(extent); step > worst) worst = step, at = extent;
        std::printf("%-8s worst step: to %ld, %.2f times its share\nresult worst_step.%s %.3f\n", name, at, worst, name, worst);
        worst_of_all = std::max(worst_of_all, worst);
    }
    return worst_of_all <= 1.3;
}

}  // namespace

int main(int argc, char** argv) {
    Index repeats = 51;
    bool sweep = false;
    CLI::App app("Matrix products");
    app.add_option("--repeats", repeats, "timed repetitions")->capture_default_str();
    app.add_flag("--sweep", sweep, "look for cliffs between sizes 1 and 4096");
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    set_threads(1);
    std::printf("%s\n", blas_name().c_str());
    Random random(0);
    if (sweep) return has_no_cliff(random) ? 0 : 1;
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
