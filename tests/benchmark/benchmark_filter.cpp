/// What the filter in front of exact search gains, and what it costs where it gains nothing.
///
///     benchmark_filter [--keys 1048576] [--queries 256] [--width 64] [--k 32] [--threads 0] [--model FILE]
///
/// Each kind of data is searched with the filter and in float, in turn, five times after a warm-up. `..._float_over_filter` is the
/// quotient of the medians: above 1 the filter gains. What both find is compared bit by bit. The kinds:
///
///     normal     independent numbers
///     unit       directions, as queries and keys with QK-norm have them
///     clusters   directions around 1000 centres, which the bound tells apart
///     narrow     around 64 centres, so close that most keys near a query stay candidates: the worst case, left to the float search
///     trained    with --model, a checkpoint of examples/dictionary_lookup: keys of definitions, and queries where answers are
///                given, in the first head of its last memory layer, whose width they have
///
/// In both searches the threads share the work as `exact_search` has it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "fot/core/keep_freed_memory.hpp"
#include "fot/data/evaluation_dictionary.hpp"
#include "fot/memory/exact_search.hpp"
#include "fot/train/model_file.hpp"
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

/// The rows (B,T,H,D) of head 0 are added to rows of D numbers, as long as there is room.
void add_rows(const Tensor<float, 4>& x, Tensor<float, 2>& rows, Index& count) {
    for (Index b = 0; b < extent(x, 0); ++b)
        for (Index t = 0; t < extent(x, 1) && count < extent(rows, 0); ++t)
            std::copy_n(row(x, b, t, Index(0)), extent(rows, 1), row(rows, count++));
}

/// Errors: as load_model and EvaluationDictionary::windows_for; ConfigError for a model of anything else.
bool compare_trained(const std::string& file, Index key_count, Index query_count, Index k) {
    require_metadata(file, {{"task", "dictionary lookup"}});
    const Transformer<float> model = load_model<float>(file);
    const Index layer = model.config().last_memory_layer(), group = 64;
    require<ConfigError>(layer >= 0, file, ": a model without a memory layer");
    const EvaluationDictionary dictionary({}, 1);
    const DictionaryTask& task = dictionary.task();
    const Index windows = dictionary.windows_for(key_count), width = model.config().head_width_of(layer);
    Tensor<float, 2> keys = empty<float, 2>({key_count, width}), queries = empty<float, 2>({query_count, width});
    Index added = 0;
    for (Index first = 0; first < windows; first += group) {
        Tape tape(Tape::inference);
        const Tokens definitions = dictionary.windows(first, std::min(group, windows - first));
        add_rows(element(model.keys_and_values(tape, definitions), layer).k.value(), keys, added);
    }
    Random random(2);
    const Index questions = (query_count + task.value_length - 1) / task.value_length;
    const DictionaryBatch<float> batch = dictionary.questions<float>(dictionary.sample_questions(key_count, questions, random));
    std::vector<LayerView<float>> asked;
    const NoSource<float> none;
    Tape tape(Tape::inference);
    model.forward(tape, batch.current, ObservedSource<float>(none, asked), answer_positions(task));
    Index asking = 0;
    add_rows(asked.back().q.value(), queries, asking);
    return compare("trained", keys, queries, k);
}

}  // namespace

int main(int argc, char** argv) try {
    Index keys = Index{1} << 20, queries = 256, width = 64, k = 32, thread_count = 0;
    std::string model;
    CLI::App app("The filter of exact search");
    app.add_option("--keys", keys, "keys searched")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--queries", queries, "queries")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--width", width, "numbers in a key")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--k", k, "best keys wanted per query")->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--threads", thread_count, "threads, 0 for all")->capture_default_str()->check(CLI::NonNegativeNumber);
    app.add_option("--model", model, "a checkpoint of dictionary_lookup, whose keys are searched as well")
        ->check(CLI::ExistingFile);
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    if (thread_count > 0) set_threads(thread_count);
    std::printf("keys %td, queries %td, width %td, k %td, threads %td, products of bytes %s\n", keys, queries, width, k, threads(),
                ByteProducts::fast ? "fast" : "not fast: no filter");

    bool same = model.empty() || compare_trained(model, keys, queries, k);
    Random random(1);
    same &= compare("normal", normal_tensor<float, 2>({keys, width}, 1, random),
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
} catch (const Error& error) {
    std::fprintf(stderr, "benchmark_filter: %s\n", error.what());
    return 1;
}
