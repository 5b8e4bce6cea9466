/// What does a LongLLaMA, OpenLLaMA or Code Llama checkpoint write after a prompt?
///
/// The folder is one of Hugging Face's: config.json, model.safetensors or pytorch_model.bin (or several, with an index),
/// tokenizer.model. All of the prompt but its last tokens goes to memory, window by window; then tokens are written one by one,
/// until there are as many as asked for, or one of the model's end tokens is written. Weights stay in their file, in 16 bits if the
/// file has them so, and are widened to float as they are used. (Prompts with --rounded-inputs and bfloat16 weights need no
/// widening where the processor has AVX512_BF16.)
///
/// Without --folder a model of random weights is made and written first: a toy, to show that all works, or one of the --shape of
/// LongLLaMA-3B or of the 7B code model, to see how much memory and time it takes.
///
/// Command: build/release/examples/long_llama_generate --folder long_llama_3b --prompt-file book.txt --prompt "In short, "
///          --score-file TEXT: its first --tokens tokens are read one by one, and their loss in bits is printed
///          --shape 3b --random-prompt 2048 --tokens 32: takes a minute, and 6.9 GB of disk
/// Expect:  text as it is written, then the memory's size, tokens per second of prompt and of generation, and the most memory that
///          was resident.
#include <sys/resource.h>

#include <chrono>

#include "fot/data/corpus.hpp"
#include "fot/data/tokenizer.hpp"
#include "fot/model/long_llama_files.hpp"
#include "fot/model/long_llama_generation.hpp"
#include "fot/model/transformer.hpp"
#include "support/example.hpp"
#include "support/growing_text.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct GenerationSettings {
    std::string folder, shape = "toy", prompt, prompt_file, score_file;
    std::vector<std::int32_t> ids;
    Index tokens = 100, random_prompt = 0, window = 0, last_context = -1, memory_top_k = 0, capacity = 0;
    std::vector<Index> memory_layers;
    SamplingOptions sampling = {.temperature = 0.8, .top_p = 0.95};
    bool oldest_first = false, rounded_inputs = false, any_architecture = false;
};

/// The shapes that random weights can have: LongLLaMA-3B's, that of the 7B code model, and a toy's.
LongLlamaConfig config_of(const std::string& shape) {
    if (shape == "3b") return {};
    TransformerConfig model{.vocabulary = 256, .width = 64, .layers = 3, .memory_layers = {1}, .heads = 4, .feed_forward = 160};
    if (shape == "toy") return {.model = as_llama(model), .window = 64, .last_context = 32};
    model = {.vocabulary = 32016, .width = 4096, .layers = 32, .memory_layers = {8, 16, 24}, .heads = 32, .feed_forward = 11008};
    return {.model = as_llama(model, 1e6), .window = 4096};
}

/// Pieces of one stream of random numbers of deviation 0.02, as such models are initialised. Each matrix begins at a place of its
/// own in the stream, so that billions of weights need little memory.
class PiecesOfStream : public WeightSource<float> {
   public:
    PiecesOfStream(const TransformerConfig& config, std::uint64_t seed)
        : stream_(std::make_shared<std::vector<BFloat16>>(static_cast<std::size_t>(
              config.width * std::max(config.vocabulary, config.feed_forward) + (7 * config.layers + 2) * stride))) {
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

   private:
    static constexpr Index stride = 4099;
    std::shared_ptr<std::vector<BFloat16>> stream_;
    mutable Index matrices_ = 0, parameters_ = 0;
};

/// A model of random weights in bfloat16, in a folder of --output. It has learned nothing, but reads and writes as fast, and takes
/// as much memory, as a real one.
std::filesystem::path random_model(Example& example, const std::string& shape) {
    const LongLlamaConfig config = config_of(shape);
    const std::filesystem::path folder = example.output() / "random_model";
    const PiecesOfStream weights(config.model, example.seed());
    save_long_llama(folder, config, Transformer<float>(config.model, weights));
    example.out() << "no --folder: a model of random weights is in " << folder.string() << "\n\n";
    example.result("parameters", weights.parameters());
    example.result("bytes", static_cast<Index>(std::filesystem::file_size(folder / "model.safetensors")));
    return folder;
}

/// The tokens as text, or as numbers if there is no tokenizer.
std::string shown(const Tokenizer* tokenizer, const std::vector<std::int32_t>& tokens) {
    if (tokenizer) return tokenizer->decode(tokens);
    std::string text;
    for (const std::int32_t token : tokens) text += message(token, " ");
    return text;
}

/// The same after another token, without that: the space between the two is in neither of them alone.
std::string shown_after(const Tokenizer* tokenizer, std::int32_t before, std::vector<std::int32_t> tokens) {
    const std::string start = tokenizer ? tokenizer->decode({before}) : "";
    if (tokenizer) tokens.insert(tokens.begin(), before);
    const std::string all = shown(tokenizer, tokens);
    return all.starts_with(start) ? all.substr(start.size()) : all;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "What does a LongLLaMA checkpoint write after a prompt?");
    GenerationSettings settings;
    const Option folder_given =
        example.option("--folder", settings.folder, "with config.json and weights: model.safetensors or pytorch_model.bin");
    example.option("--shape", settings.shape, "of random weights without --folder: toy, 3b (6.9 GB) or 7b")
        .one_of({"toy", "3b", "7b"})
        .excludes(folder_given);
    // One prompt: text, numbers or chance.
    const Option prompt_text = example.option("--prompt", settings.prompt, "text to go on from");
    const Option prompt_file = example.option("--prompt-file", settings.prompt_file, "a file that comes before the prompt");
    const Option ids = example.sequence("--ids", settings.ids, "token numbers in place of text, as 1,2,3");
    ids.excludes(prompt_text).excludes(prompt_file);
    example.option("--random-prompt", settings.random_prompt, "random tokens in place of a text: to measure time and memory")
        .excludes(prompt_text)
        .excludes(prompt_file)
        .excludes(ids);
    example.option("--tokens", settings.tokens, {20, 100, 100}, "tokens to write", 1);
    example.option("--score-file", settings.score_file, "a text to measure after the prompt, in place of writing");
    example.option("--memory-layers", settings.memory_layers, "layers with a memory, in place of the checkpoint's");
    example.option("--window", settings.window, "tokens of a window; 0: as in the checkpoint");
    example.option("--last-context", settings.last_context, "tokens that stay in the local cache; -1: as in the checkpoint", -1);
    example.option("--memory-top-k", settings.memory_top_k, "retrieved entries per query and head; 0: the whole memory");
    example.option("--capacity", settings.capacity, "entries that a memory keeps, the oldest leave first; 0: all");
    example.option("--temperature", settings.sampling.temperature, "of sampling; 0: always the likeliest token");
    example.option("--top-k", settings.sampling.top_k, "only the likeliest tokens; 0: all");
    example.option("--top-p", settings.sampling.top_p, "only the likeliest tokens of this probability together");
    example.flag("--oldest-first", settings.oldest_first,
                 "a full local cache lets go of its oldest tokens, not of all; always so without memory layers");
    example.flag(
        "--rounded-inputs", settings.rounded_inputs,
        "of weights in bfloat16: prompts are rounded to bfloat16 as well, and read faster if the processor has AVX512_BF16");
    example.flag("--any-architecture", settings.any_architecture, "reads as a LLaMA what its config.json calls by another name");
    example.parse();
    settings.sampling.check();
    if (!settings.score_file.empty())
        example.require_not_given({"--temperature", "--top-k", "--top-p"}, "nothing is written with --score-file");

    const std::filesystem::path folder =
        settings.folder.empty() ? random_model(example, settings.shape) : std::filesystem::path(settings.folder);
    const auto configure = [&](LongLlamaConfig& config) {
        if (!settings.memory_layers.empty()) config.model.memory_layers = settings.memory_layers;
        if (settings.window > 0) config.window = settings.window;
        if (settings.last_context >= 0) config.last_context = settings.last_context;
    };
    if (settings.any_architecture)
        example.out() << "warning: --any-architecture: the numbers are wrong if the model computes in another way than a LLaMA\n\n";
    const LongLlama<float> model =
        load_long_llama<float>(folder, configure, settings.rounded_inputs ? Weights::rounded_inputs : Weights::stored,
                               settings.any_architecture ? OtherArchitectures::taken : OtherArchitectures::refused);
    const LongLlamaConfig& config = model.config();
    std::unique_ptr<Tokenizer> tokenizer;
    std::vector<std::int32_t> prompt = settings.ids;
    Random random(example.seed());
    for (Index i = 0; i < settings.random_prompt; ++i)
        prompt.push_back(static_cast<std::int32_t>(random.below(config.model.vocabulary)));
    require<DataError>(!ids.given() || !prompt.empty(), "--ids is empty, expected a token to go on from");
    if (prompt.empty()) {
        tokenizer = tokenizer_of(folder, config.model.vocabulary);
        std::string text = settings.prompt_file.empty() ? "" : read_text(settings.prompt_file);
        text += settings.prompt;
        const bool none = !prompt_text.given() && !prompt_file.given();
        prompt = tokenizer->encode(none ? "Once upon a time" : text);
        require<DataError>(!prompt.empty(), "the prompt is empty, expected a token to go on from");
    }
    const bool plain = config.model.memory_layers.empty();
    if (plain) example.require_not_given({"--memory-top-k", "--capacity"}, "the model has no memory layers");
    if (const Index length = length_of(prompt); plain && length > config.window)
        example.out() << "The prompt of " << length << " tokens is longer than the window of " << config.window
                      << ": a layer without memory forgets what comes before its last " << config.last_context << ".\n\n";

    using Clock = std::chrono::steady_clock;
    const auto seconds_since = [](Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); };
    LongLlamaState<float> state(config, 1,
                                {.top_k = settings.memory_top_k,
                                 .capacity = settings.capacity,
                                 .spill = settings.oldest_first || plain ? Spill::oldest_first : Spill::all_at_once});
    if (!settings.score_file.empty()) {
        if (!tokenizer) tokenizer = tokenizer_of(folder, config.model.vocabulary);
        std::vector<std::int32_t> text = tokenizer->encode(read_text(settings.score_file));
        const std::vector<std::int32_t> marks = tokenizer->encode("");
        if (!marks.empty() && text.front() == marks.front()) text.erase(text.begin());  // it goes on, and does not begin
        text.resize(std::min(text.size(), static_cast<std::size_t>(settings.tokens)));
        require<DataError>(!text.empty(), "--score-file '", settings.score_file, "' has no tokens");
        double nats = 0;
        for (const double of_token : continuation_nats(model, token_row(prompt), token_row(text), state)) nats += of_token;
        example.out() << prompt.size() << " tokens read, then " << text.size() << " one by one; local cache " << state.local_size()
                      << ", memory " << state.memory_size() << " tokens\n";
        example.result("bits_per_token", nats / std::log(2.0) / static_cast<double>(text.size()));
        return example.finish();
    }
    std::vector<std::int32_t> written;
    GrowingText text;
    const Clock::time_point begin = Clock::now();
    double prompt_seconds = 0;
    generate<float>(model, token_row(prompt), settings.tokens, state, settings.sampling, random, {},
                    [&](const std::vector<std::int32_t>& drawn, const Tensor<float, 3>&) {
                        if (written.empty()) prompt_seconds = seconds_since(begin);
                        written.push_back(drawn[0]);
                        example.out() << text.add(shown_after(tokenizer.get(), prompt.back(), written)) << std::flush;
                        return !interrupted();
                    });
    const double all_seconds = seconds_since(begin);
    example.out() << text.rest() << "\n\n"
                  << prompt.size() << " tokens read, " << written.size() << " written; local cache " << state.local_size()
                  << ", memory " << state.memory_size() << " tokens, " << state.memory_bytes() / 1048576 << " MiB\n";
    example.result("prompt_tokens_per_second", static_cast<double>(prompt.size()) / prompt_seconds);
    if (written.size() > 1)
        example.result("generated_tokens_per_second", static_cast<double>(written.size() - 1) / (all_seconds - prompt_seconds));
    example.result("memory_tokens", state.memory_size());
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    example.result("peak_resident_mib", usage.ru_maxrss / 1024);
    return example.finish();
} catch (...) {
    return report_failure();
}
