/// What one token costs beside plain loops of dot products: a search, attention to a whole memory, attention to its best entries.
///
///     build/release/tests/benchmark/benchmark_few_queries --threads 1 [--storage bfloat16]
///
/// Ours and the plain loop run in turn. `..._over_plain` is the quotient of the two medians: 1 is as fast as the loop, less is
/// faster. The loops share the heads among threads and nothing else, so the quotients say most with one thread. The last line is
/// attention of 256 queries with one head, where only the memory can be shared: compare it with --threads 1.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fot/attention/memory_attention.hpp"
#include "fot/core/keep_freed_memory.hpp"
#include "fot/core/random.hpp"
#include "fot/memory/exact_search.hpp"
#include "support/timing.hpp"

using namespace fot;

namespace {

double dot(const float* a, const float* b, Index count) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (Index i = 0; i < count; ++i) sum += a[i] * b[i];
    return static_cast<double>(sum);
}

void add_scaled(float factor, const float* x, Index count, float* y) {
#pragma omp simd
    for (Index i = 0; i < count; ++i) y[i] += factor * x[i];
}

/// Softmax attention of a query to a head of a memory, in two passes over its blocks.
void attend_plainly(const float* q, const KeyValueMemory<float>& memory, Index head, float* scores, float* o) {
    const Index width = memory.width();
    memory.for_each_block(head, [&](const auto& keys, const auto&, Index first) {
        for (Index i = 0; i < keys.rows; ++i) scores[first + i] = static_cast<float>(dot(q, keys.row(i), width));
    });
    const float sum = exponentials(scores, memory.size(), largest(scores, memory.size()));
    std::fill_n(o, width, 0.0f);
    memory.for_each_block(head, [&](const auto&, const auto& values, Index first) {
        for (Index i = 0; i < values.rows; ++i) add_scaled(scores[first + i] / sum, values.row(i), width, o);
    });
}

/// The quotient of the medians of two runs, in turn.
template <class Ours, class Plain>
void compare(const char* name, Index repeats, Ours&& ours, Plain&& plain) {
    std::vector<double> of_ours, of_plain;
    for (Index i = -1; i < repeats; ++i) {  // the first does not count
        const double first = testing::seconds_of(ours), second = testing::seconds_of(plain);
        if (i < 0) continue;
        of_ours.push_back(first);
        of_plain.push_back(second);
    }
    const double ours_seconds = testing::median(of_ours), plain_seconds = testing::median(of_plain);
    std::printf("result %s_ms %.3f\nresult %s_over_plain %.3f\n", name, 1e3 * ours_seconds, name, ours_seconds / plain_seconds);
}

}  // namespace

int main(int argc, char** argv) {
    Index keys = Index{1} << 19, remembered = Index{1} << 17, heads = 4, width = 96, k = 128, thread_count = 1, repeats = 9;
    std::string storage = "float";
    CLI::App app("One token beside plain loops");
    app.add_option("--keys", keys, "keys that one query of width 64 searches")->capture_default_str();
    app.add_option("--remembered", remembered, "entries that one token attends to")->capture_default_str();
    app.add_option("--heads", heads, "heads of that memory")->capture_default_str();
    app.add_option("--width", width, "their width")->capture_default_str();
    app.add_option("--k", k, "best entries")->capture_default_str();
    app.add_option("--storage", storage, "of the memories")->check(CLI::IsMember({"float", "bfloat16"}))->capture_default_str();
    app.add_option("--threads", thread_count, "threads")->capture_default_str();
    app.add_option("--repeats", repeats, "timed repetitions")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    set_threads(thread_count);
    const Storage kept = storage == "float" ? Storage::full : Storage::bfloat16;
    Random random(1);
    const auto memory_of = [&](const Tensor<float, 3>& entries) {
        KeyValueMemory<float> memory(extent(entries, 1), extent(entries, 2), kept);
        memory.append(entries, entries, 0);
        return memory;
    };

    {
        const Tensor<float, 3> key = normal_tensor<float, 3>({keys, 1, 64}, 1, random),
                               q = normal_tensor<float, 3>({1, 1, 64}, 1, random);
        const KeyValueMemory<float> memory = memory_of(key);
        const MatrixView<const float> flat = matrix(key.data(), keys, 64), query = matrix(q.data(), 1, 64);
        std::vector<float> scores(static_cast<std::size_t>(keys));
        const auto score_all = [&](MatrixView<const float> rows, Index first) {
            for (Index i = 0; i < rows.rows; ++i) element(scores, first + i) = static_cast<float>(dot(q.data(), rows.row(i), 64));
        };
        compare(
            "search", repeats, [&] { exact_search(flat, query, 32); }, [&] { score_all(flat, 0); });
        compare(
            "memory_search", repeats, [&] { memory.search(q, 32); },
            [&] { memory.for_each_block(0, [&](const auto& rows, const auto&, Index first) { score_all(rows, first); }); });
    }
    {
        const Tensor<float, 3> entries = normal_tensor<float, 3>({remembered, heads, width}, 0.3, random);
        const KeyValueMemory<float> memory = memory_of(entries);
        const Tensor<float, 4> q = normal_tensor<float, 4>({1, 1, heads, width}, 0.3, random);
        Tensor<float, 2> scores = empty<float, 2>({heads, remembered}), o = empty<float, 2>({heads, width});
        compare(
            "whole_memory", repeats, [&] { memory_attention(q, {&memory}); },
            [&] { parallel_for(heads, [&](Index h) { attend_plainly(row(q, 0, 0, h), memory, h, row(scores, h), row(o, h)); }); });
    }
    {
        const Index queries = 512, w = width;
        const Tensor<float, 3> best = normal_tensor<float, 3>({queries, k, w}, 1, random);
        Tensor<float, 2> scores = normal_tensor<float, 2>({queries, k}, 1, random), copy = scores,
                         o = empty<float, 2>({queries, w});
        for (Index n = 0; n < queries; ++n) std::sort(row(scores, n), row(scores, n) + k, std::greater<>{});
        compare(
            "best_entries", 10 * repeats,
            [&] {
                for (Index n = 0; n < queries; ++n) found_attention(row(scores, n), row(best, n), k, w, row(o, n));
            },
            [&] {
                for (Index n = 0; n < queries; ++n) {
                    float* weights = row(copy, n);
                    std::copy_n(row(scores, n), k, weights);
                    const float sum = exponentials(weights, k, weights[0]);
                    std::fill_n(row(o, n), w, 0.0f);
                    for (Index j = 0; j < k; ++j) add_scaled(weights[j] / sum, row(best, n, j), w, row(o, n));
                }
            });
    }
    {
        const KeyValueMemory<float> memory = memory_of(normal_tensor<float, 3>({Index{1} << 18, 1, 64}, 0.3, random));
        const Tensor<float, 4> q = normal_tensor<float, 4>({1, 256, 1, 64}, 0.3, random);
        std::printf("result one_head_256_queries_ms %.2f\n",
                    1e3 * testing::median_seconds(repeats, [&] { memory_attention(q, {&memory}); }));
    }
}
