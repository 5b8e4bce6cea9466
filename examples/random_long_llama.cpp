/// How much memory and time does a LongLLaMA of billions of parameters take? A checkpoint to find out with.
///
/// Writes a folder in the form of Hugging Face with random weights in bfloat16: of the shape of LongLLaMA-3B (26 layers of width
/// 3200, 6.9 GB) or of the 7B code model, or of a toy. Nothing can be learned from what it writes, but it reads and writes as fast,
/// and takes as much memory, as a real one. All tensors are pieces of one stream of random numbers, at places of their own, so
/// the tool itself needs little memory.
///
/// Time:    18 seconds at 3b, and 40 for the second command; --quick: a toy, in a moment.
/// Command: build/release/examples/random_long_llama --shape 3b --output random_3b
///          build/release/examples/long_llama_generate --folder random_3b/long_llama --random-prompt 2048 --tokens 32
/// Expect:  the folder and its size; then, from the second program, tokens per second, prompt and generation apart, and the most
///          memory that was resident.
#include "fot/model/long_llama_files.hpp"
#include "support/example.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

LongLlamaConfig config_of(const std::string& shape) {
    if (shape == "3b") return {};
    if (shape == "7b")
        return {.vocabulary = 32016,
                .width = 4096,
                .feed_forward = 11008,
                .layers = 32,
                .heads = 32,
                .window = 4096,
                .last_context = 1024,
                .memory_layers = {8, 16, 24},
                .rotary_base = 1e6};
    require<ConfigError>(shape == "toy", "--shape ", shape, ": expected toy, 3b or 7b");
    return {.vocabulary = 256,
            .width = 64,
            .feed_forward = 160,
            .layers = 3,
            .heads = 4,
            .window = 64,
            .last_context = 32,
            .memory_layers = {1}};
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "A checkpoint of random weights in the shape of a large model");
    std::string shape;
    example.option("--shape", shape, {"toy", "3b", "7b"}, "toy, 3b or 7b");
    example.parse();
    const LongLlamaConfig config = config_of(shape);

    // Weights of deviation 0.02, as such models are initialised. A matrix begins at a place of its own in the stream.
    LongLlamaWeights<float> weights;
    weights.layers.resize(static_cast<std::size_t>(config.layers));
    Index largest = 0, all = 0;
    for_each_weight(config, weights, [&](const LongLlamaWeight& at, auto&) {
        largest = std::max(largest, at.rows * std::max<Index>(at.columns, 1));
        all += at.rows * std::max<Index>(at.columns, 1);
    });
    Random random(example.seed());
    const Index matrices = 7 * config.layers + 2, stride = 4099;
    const auto stream = std::make_shared<std::vector<BFloat16>>(static_cast<std::size_t>(largest + matrices * stride));
    for (BFloat16& number : *stream) number = to_bfloat16(0.02 * random.normal());
    Index next = 0;
    for_each_weight(config, weights, [&](const LongLlamaWeight& at, auto& weight) {
        if constexpr (std::is_same_v<decltype(weight), StoredMatrix&>)
            weight = {stream->data() + stride * next++, Dtype::bf16, at.rows, at.columns, stream};
        else
            weight = full<float, 1>({at.rows}, 1.0f);
    });
    const std::filesystem::path folder = example.output() / "long_llama";
    save_long_llama(folder, LongLlama<float>(config, std::move(weights)));
    example.out() << shape << ": " << fixed(1e-9 * static_cast<double>(all), 2) << " billion parameters in " << folder.string()
                  << "\n";
    example.result("parameters", all);
    example.result("bytes", static_cast<Index>(std::filesystem::file_size(folder / "model.safetensors")));
    return example.finish();
} catch (...) {
    return report_failure();
}
