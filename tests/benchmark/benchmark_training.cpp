/// One training step of the toy Focused Transformer: forward, loss, backward, optimiser (AdamW; --optimizer muon as in the
/// examples).
///
///     build/release/tests/benchmark/benchmark_training --batch 16 --length 256 --contexts 16 --threads 2
///
/// The model: 3 layers of width 128, 4 heads, the last layer a memory layer of 2 heads, squared ReLU, vocabulary 64 (dictionary
/// lookup; for the text of the examples: --vocabulary 256 --memory-heads 1 --ff 512 --length 128). Every position goes through
/// every layer;
/// --only-outputs computes the memory layer where there is a loss, as the dictionary example does.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "fot/core/keep_freed_memory.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/adamw.hpp"
#include "fot/train/muon.hpp"
#include "support/timing.hpp"

using namespace fot;

namespace {

/// Multiply-adds that a step needs: forward, and twice that backward. What is computed again to save memory does not count.
double useful_multiply_adds(const TransformerConfig& config, double batch, double pool, double length, double contexts) {
    const auto E = static_cast<double>(config.width), F = static_cast<double>(config.feed_forward),
               V = static_cast<double>(config.vocabulary);
    const double maps = 4 * E * E + 2 * E * F;      // per token and layer: q k v o, up, down
    const double local = 2 * E * (length + 1) / 2;  // per token and layer: scores and values, causal
    const double lower = static_cast<double>(config.layers - 1) * (maps + local);
    const double current = batch * length * (lower + maps + local + 2 * E * contexts * length + E * V);
    const double previous = pool * length * (lower + 2 * E * E);  // of the memory layer only keys and values
    return 3 * (current + previous);
}

}  // namespace

int main(int argc, char** argv) {
    TransformerConfig config{
        .vocabulary = 64, .width = 128, .layers = 3, .memory_layers = {2}, .heads = 4, .memory_heads = 2, .feed_forward = 256};
    Index batch = 16, length = 256, contexts = 16, thread_count = 2, repeats = 10;
    bool only_outputs = false;
    std::string optimizer_name = "adamw";
    CLI::App app("One training step");
    app.add_option("--batch", batch, "documents")->capture_default_str();
    app.add_option("--length", length, "tokens of a context")->capture_default_str();
    app.add_option("--contexts", contexts, "previous contexts that each document sees")->capture_default_str();
    app.add_option("--threads", thread_count, "threads")->capture_default_str();
    app.add_option("--vocabulary", config.vocabulary, "64: loss on dictionary answers; else on every token")->capture_default_str();
    app.add_option("--memory-heads", config.memory_heads, "heads of the memory layer")->capture_default_str();
    app.add_option("--ff", config.feed_forward, "inner width")->capture_default_str();
    app.add_option("--repeats", repeats, "timed repetitions")->capture_default_str();
    app.add_option("--optimizer", optimizer_name, "adamw or muon")->check(CLI::IsMember({"adamw", "muon"}))->capture_default_str();
    app.add_flag("--only-outputs", only_outputs, "compute the memory layer only where there is a loss");
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    set_threads(thread_count);

    Random random(0);
    Transformer<float> model(config, random);
    std::unique_ptr<Optimizer<float>> optimizer;
    if (optimizer_name == "muon")
        optimizer = std::make_unique<Muon<float>>(model.parameters(), MuonOptions{});
    else
        optimizer = std::make_unique<AdamW<float>>(model.parameters(), AdamWOptions{.learning_rate = 3e-3, .beta2 = 0.98});
    const Index pool = std::max(batch, contexts);
    const auto random_tokens = [&](Index rows, Index columns) {
        Tokens tokens = empty<std::int32_t, 2>({rows, columns});
        for (auto& token : tokens.storage()) token = static_cast<std::int32_t>(random.below(config.vocabulary));
        return tokens;
    };
    std::vector<Index> outputs;
    for (Index t = 0; t < length; ++t)
        if (config.vocabulary != 64 || (t % 10 >= 5 && t % 10 < 9)) outputs.push_back(t);
    const Index target_length = only_outputs ? static_cast<Index>(outputs.size()) : length;
    const Tokens previous = random_tokens(pool, length), current = random_tokens(batch, length),
                 targets = random_tokens(batch, target_length);
    Tensor<float, 2> mask = full<float, 2>({batch, target_length}, only_outputs ? 1.0f : 0.0f);
    if (!only_outputs)
        for (Index b = 0; b < batch; ++b)
            for (const Index t : outputs) mask(b, t) = 1;
    const ContextTable table = previous_contexts(batch, 1, contexts - 1, pool);
    const std::vector<Parameter<float>> parameters = model.parameters();

    const double seconds = testing::median_seconds(repeats, [&] {
        Tape tape;
        const Variable<float, 3> logits =
            model.crossbatch(tape, {previous, current, table, only_outputs ? outputs : std::vector<Index>{}});
        const Variable<float, 1> loss = cross_entropy(tape, logits, targets, mask, Reduction::token_mean);
        zero_gradients(parameters);
        tape.backward(loss);
        optimizer->step();
    });

    const Tensor<float, 2> a = normal_tensor<float, 2>({2048, 2048}, 1, random),
                           b = normal_tensor<float, 2>({2048, 2048}, 1, random);
    Tensor<float, 2> product = empty<float, 2>({2048, 2048});
    const double sgemm_seconds =
        testing::median_seconds(5, [&] { gemm(1.0f, as_matrix(a), as_matrix(b), 0.0f, as_matrix(product)); });
    const double peak = 2.0 * 2048 * 2048 * 2048 / sgemm_seconds;
    const double rate = 2 *
                        useful_multiply_adds(config, static_cast<double>(batch), static_cast<double>(pool),
                                             static_cast<double>(length), static_cast<double>(contexts)) /
                        seconds;
    std::printf("%ld x %ld tokens, %ld contexts, %ld threads%s: %.0f GFLOP/s useful, plain sgemm %.0f GFLOP/s\n", batch, length,
                contexts, threads(),
                only_outputs ? ", memory layer only where there is a loss (useful work counted as if everywhere)" : "", 1e-9 * rate,
                1e-9 * peak);
    std::printf("result train_step_ms %.2f\nresult tokens_per_second %.0f\nresult sgemm_peak_share %.3f\n", 1e3 * seconds,
                2.0 * static_cast<double>(batch * length) / seconds, rate / peak);
}
