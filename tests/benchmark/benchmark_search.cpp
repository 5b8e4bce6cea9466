/// How fast is exact search, beside the plain matrix product of its shape?
///
///     benchmark_search [--keys 1000000] [--queries 256] [--width 64] [--k 32] [--threads 0]
///
/// The data is what a small FAISS program of the same purpose draws (std::mt19937(1) and std::normal_distribution, keys first),
/// so that the sum of all indices can be compared with an IndexFlatIP. Search and product run in turn, five times after a
/// warm-up; times are medians.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <random>

#include "fot/memory/exact_search.hpp"

using namespace fot;

namespace {

template <class F>
double milliseconds(F&& run) {
    const auto start = std::chrono::steady_clock::now();
    run();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> times) {
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
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
        const double search = milliseconds([&] { found = exact_search(key, query, k); });
        const double sgemm = milliseconds([&] {
            for (Index first = 0; first < keys; first += block) {
                const Index count = std::min(block, keys - first);
                gemm(1.0f, as_matrix(query), transpose(matrix(row(key, first), count, width)), 0.0f,
                     matrix(product.data(), queries, count, extent(product, 1)));
            }
        });
        if (repeat == 0) continue;
        search_times.push_back(search);
        product_times.push_back(sgemm);
    }
    Index checksum = 0;
    for (const Index i : found.indices.storage()) checksum += i;
    std::printf("result search_ms %.2f\nresult plain_sgemm_ms %.2f\nresult search_over_sgemm %.3f\nresult index_checksum %td\n",
                median(search_times), median(product_times), median(product_times) / median(search_times), checksum);
}
