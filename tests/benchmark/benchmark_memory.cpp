/// Fill a memory of N tokens with the keys and values of the toy model's memory layer, then answer 1600 queries by exact top-32.
///
///     build/release/tests/benchmark/benchmark_memory --tokens 1048576 --threads 2
///
/// The model is the one of benchmark_training (for bytes: --vocabulary 256 --memory-heads 1 --ff 512 --length 128); windows go
/// through its two lower layers. Keys and values are stored in float, or in bfloat16 (2 bytes a number) from 8M tokens on, so that
/// 16M tokens fit into 12 GiB; --storage chooses.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "fot/core/keep_freed_memory.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/model/transformer.hpp"
#include "support/timing.hpp"

using namespace fot;

int main(int argc, char** argv) {
    Index token_count = Index{1} << 20, length = 256, thread_count = 2;
    const Index queries = 1600, k = 32;
    TransformerConfig config{
        .vocabulary = 64, .width = 128, .layers = 3, .memory_layers = {2}, .heads = 4, .memory_heads = 2, .feed_forward = 256};
    std::string storage = "auto";
    CLI::App app("Fill and search a memory");
    app.add_option("--tokens", token_count, "memory tokens; whole windows of them are used")->capture_default_str();
    app.add_option("--length", length, "tokens of a window")->capture_default_str();
    app.add_option("--threads", thread_count, "threads")->capture_default_str();
    app.add_option("--vocabulary", config.vocabulary, "kinds of tokens")->capture_default_str();
    app.add_option("--memory-heads", config.memory_heads, "heads of the memory layer")->capture_default_str();
    app.add_option("--ff", config.feed_forward, "inner width")->capture_default_str();
    app.add_option("--storage", storage, "float, bfloat16, or auto: bfloat16 from 8M tokens on")
        ->check(CLI::IsMember({"auto", "float", "bfloat16"}))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    set_threads(thread_count);
    const bool half = storage == "bfloat16" || (storage == "auto" && token_count >= Index{8} << 20);

    Random random(0);
    Transformer<float> model(config, random);
    const Index heads = config.memory_heads, width = config.width / heads, windows = token_count / length, block = 8;
    const auto keys_and_values = [&](const Tokens& tokens) {
        Tape tape(Tape::inference);
        return model.keys_and_values(tape, tokens)[2];
    };
    const auto random_tokens = [&](Index rows) {
        Tokens tokens = empty<std::int32_t, 2>({rows, length});
        for (auto& token : tokens.storage()) token = static_cast<std::int32_t>(random.below(config.vocabulary));
        return tokens;
    };
    keys_and_values(random_tokens(1));  // the first pass is not timed

    const double start = testing::now_seconds();
    KeyValueMemory<float> memory(heads, width, half ? Storage::bfloat16 : Storage::full);
    for (Index first = 0; first < windows;) {
        // Some blocks of windows side by side, each on one thread from the tokens to the keys.
        std::vector<Tokens> tokens;
        for (Index i = 0; i < 4 * threads() && first < windows; ++i) {
            tokens.push_back(random_tokens(std::min(block, windows - first)));
            first += extent(tokens.back(), 0);
        }
        std::vector<KeysAndValues<float>> results(tokens.size());
        parallel_for(length_of(tokens), [&](Index i) { element(results, i) = keys_and_values(element(tokens, i)); });
        for (const auto& [k_of_block, v_of_block] : results)
            for (Index b = 0; b < extent(k_of_block.value(), 0); ++b) memory.append(k_of_block.value(), v_of_block.value(), b, 0);
    }
    const double filled = testing::now_seconds();

    Tensor<float, 3> q = normal_tensor<float, 3>({queries, heads, width}, 1, random);
    for (Index n = 0; n < queries * heads; ++n) {
        float square = 0;
        for (Index d = 0; d < width; ++d) square += q.data()[n * width + d] * q.data()[n * width + d];
        for (Index d = 0; d < width; ++d) q.data()[n * width + d] *= 50 / std::sqrt(square);
    }
    const auto searched = testing::now_seconds();
    const RetrievedEntries<float> retrieved = memory.retrieve(q, k);
    Tensor<float, 3> o = zeros<float, 3>({queries, heads, width});
    for (Index n = 0; n < queries; ++n)
        for (Index h = 0; h < heads; ++h) {
            const float* scores = row(retrieved.found.scores, n, h);
            double sum = 0;
            for (Index j = 0; j < k; ++j) sum += std::exp(static_cast<double>(scores[j] - scores[0]));
            for (Index j = 0; j < k; ++j) {
                const auto weight = static_cast<float>(std::exp(static_cast<double>(scores[j] - scores[0])) / sum);
                for (Index d = 0; d < width; ++d) o(n, h, d) += weight * retrieved.values(0, n, h, j, d);
            }
        }
    const double done = testing::now_seconds();

    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("%ld tokens in %s, %ld threads, first output %.4f\n", memory.size(), half ? "bfloat16" : "float", threads(),
                static_cast<double>(o(0, 0, 0)));
    std::printf("result fill_tokens_per_second %.0f\nresult search_seconds %.3f\nresult total_seconds %.3f\nresult peak_mib %.0f\n",
                static_cast<double>(memory.size()) / (filled - start), done - searched, done - start,
                static_cast<double>(usage.ru_maxrss) / 1024);
}
