/// LLaMA inference: a prompt in one window, then tokens one by one, random weights.
///
///     build/release/tests/benchmark/benchmark_llama --threads 2 --memory-tokens 100000 --dtype bf16
///
/// `--memory-tokens` puts so many random entries into the memory of each `--memory-layers` layer first.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fot/core/bfloat16.hpp"
#include "fot/core/keep_freed_memory.hpp"
#include "fot/model/long_llama_generation.hpp"
#include "support/timing.hpp"

using namespace fot;

namespace {

/// Stored random weights, as floats or rounded to bfloat16.
class StoredRandomWeights : public WeightSource<float> {
   public:
    StoredRandomWeights(bool rounded, bool rounded_inputs, Random& random)
        : rounded_(rounded), rounded_inputs_(rounded_inputs), random_(random) {}
    LinearMap<float> matrix(const std::string&, Index rows, Index columns, double) const override {
        const double deviation = 1 / std::sqrt(static_cast<double>(columns));
        Tensor<float, 2> numbers = normal_tensor<float, 2>({rows, columns}, deviation, random_);
        if (!rounded_) return LinearMap<float>(Variable<float, 2>(std::move(numbers))).numbers();
        const auto bits = std::make_shared<std::vector<BFloat16>>(numbers.size());
        round_numbers(numbers.data(), element_count(numbers), bits->data());
        return StoredMatrix{bits->data(), Dtype::bf16, rows, columns, bits, rounded_inputs_};
    }
    Variable<float, 1> scales(const std::string&, Index count) const override {
        return Variable<float, 1>(full<float, 1>({count}, 1.0f));
    }

   private:
    bool rounded_, rounded_inputs_;
    Random& random_;
};

}  // namespace

int main(int argc, char** argv) {
    TransformerConfig shape{.vocabulary = 256, .width = 512, .layers = 8, .memory_layers = {}, .heads = 8, .feed_forward = 1376};
    Index length = 2048, decode = 64, thread_count = 2, repeats = 3, memory_tokens = 0, top_k = 0;
    std::string dtype = "f32";
    bool rounded_inputs = false;
    CLI::App app("LLaMA inference");
    app.add_option("--vocabulary", shape.vocabulary, "tokens")->capture_default_str();
    app.add_option("--hidden", shape.width, "model width")->capture_default_str();
    app.add_option("--intermediate", shape.feed_forward, "inner width")->capture_default_str();
    app.add_option("--layers", shape.layers, "layers")->capture_default_str();
    app.add_option("--heads", shape.heads, "heads")->capture_default_str();
    app.add_option("--memory-layers", shape.memory_layers, "layers with a memory");
    app.add_option("--memory-tokens", memory_tokens, "entries of each memory")->capture_default_str();
    app.add_option("--top-k", top_k, "retrieved entries; 0: attention to all")->capture_default_str();
    app.add_option("--length", length, "tokens of the prompt")->capture_default_str();
    app.add_option("--decode", decode, "tokens that are generated")->capture_default_str();
    app.add_option("--dtype", dtype, "of the weights")->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
    app.add_flag("--rounded-inputs", rounded_inputs, "bfloat16 weights: inputs of a prompt are rounded to bfloat16, too");
    app.add_option("--threads", thread_count, "threads")->capture_default_str();
    app.add_option("--repeats", repeats, "timed repetitions")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    keep_freed_memory();
    set_threads(thread_count);
    const LongLlamaConfig config{.model = as_llama(shape), .window = length + decode, .last_context = length + decode};

    Random random(0);
    const LongLlama<float> model(config,
                                 Transformer<float>(config.model, StoredRandomWeights(dtype == "bf16", rounded_inputs, random)));
    Tokens prompt = empty<std::int32_t, 2>({1, length});
    for (auto& token : prompt.storage()) token = static_cast<std::int32_t>(random.below(shape.vocabulary));
    std::vector<double> prefill, generation;
    for (Index repeat = -1; repeat < repeats; ++repeat) {  // the first does not count
        LongLlamaState<float> state(config, 1, {.top_k = top_k});
        for (const Index layer : shape.memory_layers)
            for (Index first = 0; first < memory_tokens; first += 1024) {
                const Index count = std::min<Index>(1024, memory_tokens - first);
                const Tensor<float, 3> entries = normal_tensor<float, 3>(
                    {count, config.model.key_heads_of(layer), config.model.head_width_of(layer)}, 1, random);
                state.memory().memory(layer, 0).append(entries, entries, 0);
            }
        const double start = testing::now_seconds();
        double middle = 0;
        generate<float>(model, prompt, decode, state, {.temperature = 0}, random, {}, [&](const auto&, const auto&) {
            if (middle == 0) middle = testing::now_seconds();
            return true;
        });
        if (repeat < 0) continue;
        prefill.push_back(static_cast<double>(length) / (middle - start));
        generation.push_back(static_cast<double>(decode - 1) / (testing::now_seconds() - middle));
    }
    const auto median = [](std::vector<double> values) {
        std::sort(values.begin(), values.end());
        return values[values.size() / 2];
    };
    std::printf("result prefill_tokens_per_second %.0f\nresult decode_tokens_per_second %.1f\n", median(prefill),
                median(generation));
}
