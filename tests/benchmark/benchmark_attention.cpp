/// Crossbatch attention, forward and backward, at the shapes of the toy dictionary model: 2 heads of width 64. Its steps are those
/// that the tape runs: local attention, attention to contexts, and their merge.
///
///     build/release/tests/benchmark/benchmark_attention --batch 16 --length 256 --contexts 16 --threads 2
///
/// `peak_mib` is what the tensors hold at most beyond inputs, outputs and gradients: it must not grow with the contexts.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/core/keep_freed_memory.hpp"
#include "fot/core/random.hpp"
#include "support/allocations.hpp"
#include "support/timing.hpp"

int main(int argc, char** argv) {
    using namespace fot;
    Index batch = 16, length = 256, contexts = 16, thread_count = 2, repeats = 10, heads = 2, width = 64;
    float scale = 0.125f;
    CLI::App app("Crossbatch attention, forward and backward");
    app.add_option("--batch", batch, "documents")->capture_default_str();
    app.add_option("--length", length, "local tokens and tokens of a previous context")->capture_default_str();
    app.add_option("--contexts", contexts, "contexts that each document sees beside its local one")->capture_default_str();
    app.add_option("--heads", heads, "heads")->capture_default_str();
    app.add_option("--width", width, "width of a head")->capture_default_str();
    app.add_option("--scale", scale, "of the scores: 8 is attention as sharp as a trained model's")->capture_default_str();
    app.add_option("--threads", thread_count, "threads")->capture_default_str();
    app.add_option("--repeats", repeats, "timed repetitions")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    set_threads(thread_count);

    Random random(0);
    const Shape<4> shape{batch, length, heads, width};
    const auto tensor = [&](Index entries) { return normal_tensor<float, 4>({entries, length, heads, width}, 1, random); };
    const Index pool = std::max(batch, contexts);  // as many documents as contexts are asked for
    Tensor<float, 4> q = tensor(batch);
    const Tensor<float, 4> k = tensor(batch), v = tensor(batch), context_k = tensor(pool), context_v = tensor(pool);
    for (float& number : q.storage()) number *= scale;
    const Tensor<float, 4> d_o = normal_tensor<float, 4>(shape, 1e-5f, random);  // as small as under a mean over a batch's tokens
    const ContextTable table = previous_contexts(batch, 1, contexts - 1, pool);
    const AttentionInput<float> of_local{q, k, v}, of_contexts{q, context_k, context_v};

    Tensor<float, 4> d_q = zeros<float, 4>(shape), d_k = d_q, d_v = d_q, d_context_k = zeros_like(context_k),
                     d_context_v = d_context_k;
    const Index output = Index{sizeof(float)} * (element_count(q) + batch * heads * length);
    Index peak = 0;
    const auto both_passes = [&] {
        const AttentionResult<float> near = causal_attention(of_local), further = context_attention(of_contexts, table),
                                     result = merge<float>(further, near);
        AttentionResult<float> d_near{zeros_like(near.o), zeros_like(near.log_sum_exp)}, d_further = d_near;
        merge_vjp<float>(further, near, {d_o}, {&d_further.o, &d_further.log_sum_exp}, {&d_near.o, &d_near.log_sum_exp});
        context_attention_vjp(of_contexts, table, further, {d_further.o, &d_further.log_sum_exp},
                              {&d_q, &d_context_k, &d_context_v});
        causal_attention_vjp(of_local, {}, near, {d_near.o, &d_near.log_sum_exp}, {&d_q, &d_k, &d_v});
    };
    const double seconds =
        testing::median_seconds(repeats, [&] { peak = std::max(peak, testing::peak_bytes(both_passes) - output); });
    const double multiply_adds = 7.0 * static_cast<double>(batch * heads * length * width) *
                                 (static_cast<double>(contexts * length) + 0.5 * static_cast<double>(length));
    std::printf("attention %ld x %ld tokens, %ld contexts, %ld x %ld heads, %ld threads: %.0f GFLOP/s\n", batch, length, contexts,
                heads, width, threads(), 2e-9 * multiply_adds / seconds);
    std::printf("result attention_ms %.2f\nresult peak_mib %.2f\n", 1e3 * seconds, static_cast<double>(peak) / 1048576);
}
