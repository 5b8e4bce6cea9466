/// How fast is exact search, beside the plain matrix product of its shape by the BLAS library?
///
///     benchmark_search [--keys 1000000] [--queries 256] [--width 64] [--k 32] [--threads 0]
///
/// The data is what a small FAISS program of the same purpose draws (std::mt19937(1) and std::normal_distribution, keys first),
/// so that the sum of all indices can be compared with an IndexFlatIP. Search and product run in turn, five times after a
/// warm-up; times are medians. The product is the BLAS library's (fot's `gemm` would go through the tiles that the search is made
/// of), called by each thread for its share of the keys.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <random>

#include "fot/core/blas_kernels.hpp"
#include "fot/core/keep_freed_memory.hpp"
#include "fot/memory/exact_search.hpp"
#include "support/timing.hpp"

using namespace fot;

namespace {

/// c = a b^T by the BLAS library, the columns shared among the threads.
void plain_product(MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c) {
    const detail::BlasOnOneThread alone;
    const auto as_int = [](Index i) { return static_cast<int>(i); };
    parallel_slices(c.columns, (c.columns + threads() - 1) / threads(), [&](Index first, Index last) {
        cxxblas::gemm<int>(cxxblas::StorageOrder::RowMajor, cxxblas::Transpose::NoTrans, cxxblas::Transpose::Trans, as_int(c.rows),
                           as_int(last - first), as_int(a.columns), 1.0f, a.data, as_int(a.leading), b.data + first * b.leading,
                           as_int(b.leading), 0.0f, c.data + first, as_int(c.leading));
    });
}

}  // namespace

int main(int argc, char** argv) {
    Index keys = 1000000, queries = 256, width = 64, k = 32, thread_count = 0;
    CLI::App app("Exact search beside the plain product of its shape");
    app.add_option("--keys", keys, "keys searched")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--queries", queries, "queries")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--width", width, "numbers in a key")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--k", k, "best keys wanted per query")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--threads", thread_count, "threads, 0 for all")->capture_default_str()->check(CLI::NonNegativeNumber);
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    if (thread_count > 0) set_threads(thread_count);
    std::printf("keys %td, queries %td, width %td, k %td, threads %td, BLAS %s\n", keys, queries, width, k, threads(),
                blas_name().c_str());

    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    Tensor<float, 2> key = empty<float, 2>({keys, width}), query = empty<float, 2>({queries, width});
    for (float& x : key.storage()) x = normal(engine);
    for (float& x : query.storage()) x = normal(engine);

    const Index block = 65536;
    Tensor<float, 2> product = empty<float, 2>({queries, std::min(block, keys)});
    SearchResult<float> found;
    std::vector<double> search_times, product_times;
    for (int repeat = 0; repeat <= 5; ++repeat) {
        const double search = testing::seconds_of([&] { found = exact_search(key, query, k); });
        const double sgemm = testing::seconds_of([&] {
            for (Index first = 0; first < keys; first += block) {
                const Index count = std::min(block, keys - first);
                plain_product(as_matrix(query), matrix(row(key, first), count, width),
                              matrix(product.data(), queries, count, extent(product, 1)));
            }
        });
        if (repeat == 0) continue;
        search_times.push_back(search);
        product_times.push_back(sgemm);
    }
    Index checksum = 0;
    for (const Index i : found.indices.storage()) checksum += i;
    const double search = testing::median(search_times), sgemm = testing::median(product_times);
    std::printf("result search_ms %.2f\nresult plain_sgemm_ms %.2f\nresult search_over_sgemm %.3f\nresult index_checksum %td\n",
                1e3 * search, 1e3 * sgemm, sgemm / search, checksum);
}
