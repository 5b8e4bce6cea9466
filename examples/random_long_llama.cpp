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
        return {.model = as_llama({.vocabulary = 32016,
                                   .width = 4096,
                                   .layers = 32,
                                   .memory_layers = {8, 16, 24},
                                   .heads = 32,
                                   .feed_forward = 11008},
                                  1e6),
                .window = 4096};
    require<ConfigError>(shape == "toy", "--shape ", shape, ": expected toy, 3b or 7b");
    return {.model = as_llama({.vocabulary = 256, .width = 64, .layers = 3, .memory_layers = {1}, .heads = 4, .feed_forward = 160}),
            .window = 64,
            .last_context = 32};
}

/// Pieces of one stream of random numbers of deviation 0.02, as such models are initialised. Each matrix begins at a place of its
/// own in the stream.
class PiecesOfStream : public WeightSource<float> {
   public:
    PiecesOfStream(Index length, std::uint64_t seed)
        : stream_(std::make_shared<std::vector<BFloat16>>(static_cast<std::size_t>(length))) {
        Random random(seed);
        for (BFloat16& number : *stream_) number = to_bfloat16(0.02 * random.normal());
    }
    LinearMap<float> matrix(const std::string&, Index rows, Index columns, double) const override {
        parameters_ += rows * columns;
        return StoredMatrix{stream_->data() + stride * matrices_++, Dtype::bf16, rows, columns, stream_};
    }
    Variable<float, 1> scales(const std::string&, Index count) const override {
        parameters_ += count;
        return Variable<float, 1>(full<float, 1>({count}, 1.0f));
    }
    /// Numbers given out so far.
    Index parameters() const { return parameters_; }
    static constexpr Index stride = 4099;

   private:
    std::shared_ptr<std::vector<BFloat16>> stream_;
    mutable Index matrices_ = 0, parameters_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "A checkpoint of random weights in the shape of a large model");
    std::string shape;
    example.option("--shape", shape, {"toy", "3b", "7b"}, "toy, 3b or 7b");
    example.parse();
    const LongLlamaConfig config = config_of(shape);

    const TransformerConfig& model = config.model;
    const Index largest = model.width * std::max(model.vocabulary, model.feed_forward), matrices = 7 * model.layers + 2;
    const PiecesOfStream weights(largest + matrices * PiecesOfStream::stride, example.seed());
    const std::filesystem::path folder = example.output() / "long_llama";
    save_long_llama(folder, config, Transformer<float>(model, weights));
    const Index all = weights.parameters();
    example.out() << shape << ": " << fixed(1e-9 * static_cast<double>(all), 2) << " billion parameters in " << folder.string()
                  << "\n";
    example.result("parameters", all);
    example.result("bytes", static_cast<Index>(std::filesystem::file_size(folder / "model.safetensors")));
    return example.finish();
} catch (...) {
    return report_failure();
}
