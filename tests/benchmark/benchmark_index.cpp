/// When does an index pay? Search times of the exact scan, inverted lists and a graph, at one recall; and what building costs.
///
///     benchmark_index [--keys 65536,1048576] [--queries 1,16,256] [--width 64] [--k 32] [--recall 0.95] [--probes 0] [--threads 0]
///
/// Keys are directions around random centres, one centre for 256 keys, and queries are drawn as keys are: the easy case, in which
/// an index is at its best. (How far attention is from it, the program exact_or_approximate measures.) The numbers come from
/// std::mt19937(1) and std::normal_distribution, centres first, then keys, then queries, so that another library can be given the
/// same. Lists: the power of two above the root of the number of keys. The setting of each index is the first of 1, 2, 4, ... that
/// reaches the recall; it is printed with the share of the keys that was scored, so that two libraries can be compared at the same
/// setting.
///
///     breakeven   queries after which building and searching with the index has taken less than the exact scan of them
///
/// Times are medians of five after two that do not count.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <random>

#include "fot/core/keep_freed_memory.hpp"
#include "fot/memory/inverted_lists.hpp"
#include "fot/memory/key_graph.hpp"
#include "support/search_check.hpp"
#include "support/timing.hpp"

using namespace fot;

namespace {

/// Keys and queries around the same centres.
struct Vectors {
    Tensor<float, 2> keys, queries;

    Vectors(Index count, Index asked, Index width)
        : keys(empty<float, 2>({count, width})), queries(empty<float, 2>({asked, width})) {
        std::mt19937 engine(1);
        std::normal_distribution<float> normal;
        Tensor<float, 2> centres = empty<float, 2>({std::max<Index>(count / 256, 1), width});
        for (float& x : centres.storage()) x = normal(engine);
        for (Tensor<float, 2>* rows : {&keys, &queries}) {
            for (Index i = 0; i < extent(*rows, 0); ++i) {
                const Index centre = static_cast<Index>(engine() % static_cast<std::uint32_t>(extent(centres, 0)));
                for (Index d = 0; d < width; ++d) (*rows)(i, d) = centres(centre, d) + 0.7f * normal(engine);
            }
            testing::normalize_rows(*rows);
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::vector<Index> key_counts{65536, 1048576}, query_counts{1, 16, 256};
    Index width = 64, k = 32, thread_count = 0, graph_largest = 1048576;
    double wanted = 0.95;
    CLI::App app("When an index pays");
    app.add_option("--keys", key_counts, "keys searched")->delimiter(',')->check(CLI::PositiveNumber);
    app.add_option("--queries", query_counts, "queries at once, ascending")->delimiter(',')->check(CLI::PositiveNumber);
    app.add_option("--width", width, "numbers in a key")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--k", k, "best keys wanted per query")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--recall", wanted, "of the k best, that an index must reach")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 1.0));
    app.add_option("--graph-largest", graph_largest, "keys beyond which no graph is built")->capture_default_str();
    app.add_option("--threads", thread_count, "threads, 0 for all")->capture_default_str()->check(CLI::NonNegativeNumber);
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    if (thread_count > 0) set_threads(thread_count);

    for (const Index count : key_counts) {
        const Vectors vectors(count, query_counts.back(), width);
        const SearchResult<float> right = exact_search(vectors.keys, vectors.queries, k);
        std::vector<double> scan;
        for (const Index asked : query_counts) {
            scan.push_back(testing::median_seconds(
                5, [&] { exact_search(as_matrix(vectors.keys), as_matrix(vectors.queries).rows_from(0, asked), k); }));
            std::printf("result exact.%td.%td_ms %.3f\n", count, asked, 1e3 * scan.back());
        }
        const auto measure = [&](const char* name, KeySearch<float>& search, double build, const auto& set, Index first,
                                 Index last) {
            Index setting = first;
            KeysFound<float> found;
            for (;; setting *= 2) {
                set(setting);
                found = search.find(as_matrix(vectors.queries), k);
                if (testing::recall(found.best, right) >= wanted || 2 * setting > last) break;
            }
            std::printf(
                "result %s_setting.%td %td\nresult %s_recall.%td %.4f\nresult %s_scored.%td %.5f\nresult %s_build_s.%td %.2f\n",
                name, count, setting, name, count, testing::recall(found.best, right), name, count,
                static_cast<double>(found.scored) / static_cast<double>(count * query_counts.back()), name, count, build);
            for (std::size_t i = 0; i < query_counts.size(); ++i) {
                const auto queries = as_matrix(vectors.queries).rows_from(0, query_counts[i]);
                const double seconds = testing::median_seconds(5, [&] { search.find(queries, k); });
                const double saved = (scan[i] - seconds) / static_cast<double>(query_counts[i]);
                std::printf("result %s.%td.%td_ms %.3f\nresult %s_breakeven.%td.%td %.0f\n", name, count, query_counts[i],
                            1e3 * seconds, name, count, query_counts[i], saved > 0 ? build / saved : INFINITY);
            }
            std::fflush(stdout);
        };

        Index lists = 1;
        while (lists * lists < count) lists *= 2;
        std::unique_ptr<InvertedLists<float>> inverted;
        const double build_lists = testing::seconds_of([&] {
            inverted = std::make_unique<InvertedLists<float>>(as_matrix(vectors.keys), InvertedListsOptions{.lists = lists});
            inverted->add(as_matrix(vectors.keys));
        });
        measure(
            "ivf", *inverted, build_lists, [&](Index probes) { inverted->set_probes(probes); }, 1, lists);
#if defined(FOT_WITH_HNSWLIB)
        if (count > graph_largest) continue;
        KeyGraph graph(width);
        const double build_graph = testing::seconds_of([&] { graph.add(as_matrix(vectors.keys)); });
        measure(
            "hnsw", graph, build_graph, [&](Index breadth) { graph.set_breadth(breadth); }, 32, 8192);
#endif
    }
}
