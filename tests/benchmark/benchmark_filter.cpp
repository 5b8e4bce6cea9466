/// What the filter in front of exact search gains, and what it costs where it gains nothing.
///
///     benchmark_filter [--keys 1048576] [--queries 256] [--width 64] [--k 32] [--threads 0]
///
/// Each kind of data is searched with the filter and in float, in turn, five times after a warm-up. `..._float_over_filter` is the
/// quotient of the medians: above 1 the filter gains. What both find is compared bit by bit. The kinds:
///
///     normal     independent numbers
///     unit       directions, as queries and keys with QK-norm have them
///     clusters   directions around 1000 centres, which the bound tells apart
///     narrow     around 64 centres, so close that most keys near a query stay candidates: the worst case, left to the float search
///
/// The keys of a trained model are searched by examples/dictionary_lookup. In both searches the threads share the work as
/// `exact_search` has it.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fot/core/keep_freed_memory.hpp"
#include "fot/memory/exact_search.hpp"
#include "support/search_check.hpp"
#include "support/timing.hpp"

using namespace fot;

namespace {

template <class Search>
SearchResult<float> search(const Tensor<float, 2>& keys, const Tensor<float, 2>& queries, Index k) {
    const auto add_keys = [&](Search& each, Index, Index first, Index last) {
        each.add(as_matrix(keys).rows_from(first, last - first), first);
    };
    return std::move(exact_search_in_parts<float, Search>(extent(keys, 0), {as_matrix(queries)}, k, add_keys)[0]);
}

/// False if the two searches differ.
bool compare(const char* kind, const Tensor<float, 2>& keys, const Tensor<float, 2>& queries, Index k) {
    SearchResult<float> filtered, in_float;
    std::vector<double> filtered_times, float_times;
    for (Index repeat = 0; repeat <= 5; ++repeat) {
        const double with = testing::seconds_of([&] { filtered = search<StreamingSearch<float>>(keys, queries, k); }),
                     without = testing::seconds_of([&] { in_float = search<StreamingSearch<float, NoFilter>>(keys, queries, k); });
        if (repeat == 0) continue;
        filtered_times.push_back(with);
        float_times.push_back(without);
    }
    const double with = testing::median(filtered_times), without = testing::median(float_times);
    std::printf("result %s_filter_ms %.2f\nresult %s_float_ms %.2f\nresult %s_float_over_filter %.3f\n", kind, 1e3 * with, kind,
                1e3 * without, kind, without / with);
    return testing::same(filtered, in_float);
}

}  // namespace

int main(int argc, char** argv) {
    Index keys = Index{1} << 20, queries = 256, width = 64, k = 32, thread_count = 0;
    CLI::App app("The filter of exact search");
    app.add_option("--keys", keys, "keys searched")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--queries", queries, "queries")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--width", width, "numbers in a key")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--k", k, "best keys wanted per query")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--threads", thread_count, "threads, 0 for all")->capture_default_str()->check(CLI::NonNegativeNumber);
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    if (thread_count > 0) set_threads(thread_count);
    std::printf("keys %td, queries %td, width %td, k %td, threads %td, products of bytes %s\n", keys, queries, width, k, threads(),
                ByteProducts::fast ? "fast" : "not fast: no filter");

    Random random(1);
    bool same = compare("normal", normal_tensor<float, 2>({keys, width}, 1, random),
                        normal_tensor<float, 2>({queries, width}, 1, random), k);
    same &= compare("unit", testing::unit_rows<float>(keys, width, random), testing::unit_rows<float>(queries, width, random), k);
    const auto around = [&](const char* kind, Index centres, double deviation) {
        const Tensor<float, 2> centre = testing::unit_rows<float>(centres, width, random);
        same &= compare(kind, testing::rows_around(centre, keys, deviation, random),
                        testing::rows_around(centre, queries, deviation, random), k);
    };
    around("clusters", 1000, 0.05);
    around("narrow", 64, 0.01);
    std::printf("result bitwise_equal %d\n", same);
    return same ? 0 : 1;
}
