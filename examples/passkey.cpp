/// Does a model find a pass key far beyond the length it was trained on?   (claim C10)
///
/// A byte-level LLaMA learns to find keys in prompts that fit its window, the short ones first, and then is pre-trained on short
/// windows of text with such prompts among them. It is continued in two ways, in as many steps of the same cost:
///
///     fot    by crossbatch in the memory layer: two previous windows of the own document beside windows of other documents
///     long   on local contexts of twice the length
///
/// and asked for keys in prompts of up to a million bytes. `fot` reads them window by window into the memory of its one memory
/// layer, and so does `base_memory`, the pre-trained model, which was never told to. `base` and `long` see the end of the prompt,
/// as much of it as they were trained on. Scores are strict: every digit right under greedy decoding, and then a full stop.
///
/// Reading is exact, but not wasteful: the layers below the memory layer see one window alone, so windows of the same bytes
/// (the filler comes again and again) leave the same keys and values, which are computed once.
///
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text), and passkey prompts made here.
/// Time:    18 minutes on two cores; --quick: seconds; --full: three seeds, up to 16M bytes.
/// Memory:  1 GiB a million bytes of prompt, half of that for prompts above 4M bytes, whose numbers have 16 bits: 8 GiB with
///          --full. At most 1 GiB more for windows that may come again.
/// Command: build/release/examples/passkey
/// Expect:  fot near 1 at every length, base and long only in their own windows. base_memory comes close: the pre-trained model
///          copies in its last layer, which is the memory layer, and filler hardly distracts it.
#include "fot/data/passkey.hpp"

#include <unordered_map>

#include "fot/model/generation.hpp"
#include "fot/model/long_llama_files.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "support/accuracy_curves.hpp"
#include "support/held_out_text.hpp"
#include "support/sizes.hpp"
#include "support/staged_training.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct PasskeySettings {
    std::string corpus = "libstdcxx";
    Index length = 256, batch = 16, contexts = 4, trials = 0, longest = 0, top_k = 32, overlap = 64;
    Index curriculum_steps = 0, steps = 0, further_curriculum_steps = 0, further_steps = 0;
    double accuracy = 0.99;
    std::vector<std::string> models{"base", "base_memory", "long", "fot"};
};

/// The three trainings: prompts alone, the short ones first, then text with prompts among it.
StagedTraining training_of(const std::string& name, const PasskeySettings& settings, const std::vector<TokenDocument>& text) {
    const Index length = settings.length, batch = settings.batch;
    StagedTraining training{.name = name,
                            .stages = {{112, 2 * batch}, {150, 3 * batch / 2}, {200, 5 * batch / 4}, {length, batch}},
                            .curriculum_steps = settings.curriculum_steps,
                            .steps = settings.curriculum_steps + settings.steps,
                            .rate = 0.5,
                            .settings = {{"corpus", settings.corpus}, {"text", fingerprint(text)}}};
    if (name == "base") return training;
    training.steps_before = training.steps;
    training.settings["steps before"] = message(training.curriculum_steps, " + ", settings.steps);
    training.curriculum_steps = settings.further_curriculum_steps;
    training.steps = settings.further_curriculum_steps + settings.further_steps;
    training.rate = 0.4;
    if (name == "fot") {
        training.windows = 3;
        training.settings["contexts"] = message(settings.contexts);
        training.stages = {{96, 2 * batch}, {128, 2 * batch}, {192, batch}, {length, batch}};
    } else {
        // A step costs what one of fot's does: that reads two previous windows through three of four layers, and a current one.
        training.stages = {
            {192, 5 * batch / 2}, {256, 5 * batch / 2}, {3 * length / 2, 5 * batch / 4}, {2 * length, 5 * batch / 4}};
    }
    return training;
}

/// What is trained on. In the mixture every other entry is a prompt; of those between, one is filler of such prompts, the next
/// text.
bool is_prompt(Index entry) { return entry % 2 == 0; }
bool is_filler(Index entry) { return entry % 4 == 1; }

class PasskeyDocuments {
   public:
    PasskeyDocuments(const std::vector<TokenDocument>& text, Random& random) : text_(text), random_(random) {}

    /// Documents of `windows` windows and a token. `only_prompts`: no text, no filler.
    std::vector<TokenDocument> draw(Index entries, Index length, Index windows, bool only_prompts) {
        std::vector<TokenDocument> documents;
        for (Index b = 0; b < entries; ++b)
            documents.push_back(only_prompts || is_prompt(b) ? prompt(length, windows)
                                : is_filler(b)               ? filler(windows * length + 1)
                                                             : text(windows * length + 1));
        return documents;
    }

   private:
    /// A prompt of any length that ends in the last window. If it is too long, its front is cut off, but not its key. Where there
    /// are previous windows, the sentences with the key lie across two windows in a third of the prompts: in a long prompt they
    /// often do. What is asked for is the answer, and the key where it stands a second time.
    TokenDocument prompt(Index length, Index windows) {
        const Index most = windows * length - 7, least = std::max(shortest_passkey_prompt(), (windows - 1) * length + 48);
        const bool across = windows > 1 && random_.below(3) == 0;
        for (;;) {
            const PasskeyPrompt prompt = passkey_prompt(least + random_.below(std::max<Index>(most - least, length / 2)), random_);
            const auto size = length_of(prompt.text);
            const Index cut = std::clamp<Index>(size - most, 0, prompt.key_at);
            if (size - cut > most) continue;
            const Index begin = prompt.key_at - cut, end = begin + prompt.key_size - 1;
            if (across && begin / length == end / length) continue;
            TokenDocument document{"prompt",
                                   byte_tokens(std::string(prompt.text.begin() + cut, prompt.text.end()) + prompt.answer + ".")};
            document.loss_mask.assign(document.tokens.size(), 1);
            std::fill_n(document.loss_mask.begin(), size - cut, 0.02f);
            std::fill_n(document.loss_mask.begin() + prompt.again_at - cut, prompt.answer.size(), 1.0f);
            return document;
        }
    }

    /// The filler of a prompt from a random place on.
    TokenDocument filler(Index bytes) {
        const PasskeyPrompt prompt = passkey_prompt(4 * bytes + 1000, random_);
        for (;;) {
            const Index first = 100 + random_.below(3 * bytes);
            const std::string text(prompt.text.begin() + first, prompt.text.begin() + first + bytes);
            if (text.find("key") == std::string::npos) return unasked({"filler", byte_tokens(text)});
        }
    }

    TokenDocument text(Index bytes) {
        const TokenDocument& whole = element(text_, random_.below(length_of(text_)));
        const auto first = whole.tokens.begin() + random_.below(whole.length() - bytes + 1);
        return unasked({whole.source, {first, first + bytes}});
    }

    /// Bytes that are learned, but not counted as answers: a row's weights only count beside one another.
    static TokenDocument unasked(TokenDocument document) {
        document.loss_mask.assign(document.tokens.size(), 0.5f);
        return document;
    }

    const std::vector<TokenDocument>& text_;
    Random& random_;
};

/// Every entry sees its own `previous` windows. In the mixture a prompt sees the last one of the next entries without a key too, so
/// that it sees `contexts` documents: more filler, as in a longer prompt, but no other key, which it could not tell from its own.
/// Text sees as many of any, but half of it none, for the model must stay good without a memory.
ContextTable contexts_of(Index entries, Index previous, Index contexts) {
    ContextTable table = previous_contexts(entries, previous, 0);
    for (Index b = 0; b < entries; ++b) {
        std::vector<Index>& list = element(table.contexts, b);
        for (Index i = 1; length_of(list) < previous - 1 + contexts; ++i)
            if (const Index other = (b + i) % entries; !is_prompt(b) || !is_prompt(other)) list.push_back(other);
        if (b % 8 != 7) continue;
        list.clear();
        element(table.positives, b) = 0;
    }
    return table;
}

void train(Example& example, const PasskeySettings& settings, const std::string& name, const std::vector<TokenDocument>& text,
           std::uint64_t seed, Transformer<float>& model) {
    const StagedTraining training = training_of(name, settings, text);
    const Index mixture = name == "base" ? length_of(training.stages) - 1 : 0;  // the first stage that is one
    train_in_stages(example, training, settings.accuracy, seed, model, [&](Index stage, const LengthAndBatch& at, Random& random) {
        return StagedBatch{PasskeyDocuments(text, random).draw(at.batch, at.length, training.windows, stage < mixture),
                           training.windows > 1 ? contexts_of(at.batch, training.windows - 1, settings.contexts) : ContextTable{}};
    });
}

/// Bits per byte on windows of held-out text, without a memory: what the continuation cost, or gained, on short contexts.
double text_loss(Transformer<float>& model, const std::vector<TokenDocument>& documents, Index length) {
    Random random(12);  // the same windows for every model
    double nats = 0;
    const Index batches = 64;
    for (Index i = 0; i < batches; ++i) {
        const ContextBatch<float> batch =
            sample_contexts<float>(documents, {.entries = 8, .positives = 0, .length = length}, random);
        Tape tape(Tape::inference);
        nats += cross_entropy(tape, model.local(tape, batch.current), batch.targets, batch.mask).value()(0);
    }
    return nats / static_cast<double>(batches) / std::log(2.0);
}

/// What a window leaves in memory, by its bytes. Each is read with the last `overlap` bytes before it, which are in memory already:
/// a key that two windows share is whole in the later one.
class WindowMemory {
   public:
    WindowMemory(Transformer<float>& model, Index window, Index overlap)
        : model_(model), layer_(model.config().last_memory_layer()), window_(window), overlap_(overlap) {}

    /// Appends what the bytes leave in the memory layer, window by window.
    void read(std::string_view text, MemoryState<float>& state) {
        const Index size = length_of(text);
        for (Index end = 0, first = 0; end < size; first = end - overlap_) {
            const Index known_before = end - first;
            end = std::min(size, first + window_);
            const std::string bytes(text.begin() + first, text.begin() + end);
            auto known = known_.find(bytes);
            if (known == known_.end()) {
                if (known_.size() >= 4096) known_.clear();
                known = known_.emplace(bytes, keys_and_values(bytes)).first;
            }
            state.memory(layer_, 0).append(from(known->second.first, known_before), from(known->second.second, known_before), 0);
        }
    }

   private:
    using Pairs = std::pair<Tensor<float, 3>, Tensor<float, 3>>;  // keys and values

    Pairs keys_and_values(const std::string& bytes) {
        Tape tape(Tape::inference);
        const KeysAndValues<float> window = element(model_.keys_and_values(tape, token_row(byte_tokens(bytes))), layer_);
        const auto rows = [](const Tensor<float, 4>& y) { return reshaped<3>(y, {extent(y, 1), extent(y, 2), extent(y, 3)}); };
        return {rows(window.k.value()), rows(window.v.value())};
    }

    /// The rows from `first` on.
    static Tensor<float, 3> from(const Tensor<float, 3>& rows, Index first) {
        return slice<0>(rows, first, extent(rows, 0) - first);
    }

    Transformer<float>& model_;
    Index layer_, window_, overlap_;
    std::unordered_map<std::string, Pairs> known_;
};

/// Whether the model answers right. With a memory, all but the last bytes of the prompt lie there; without, it sees the last
/// `seen`.
bool answers(Transformer<float>& model, const PasskeyPrompt& prompt, const PasskeySettings& settings, WindowMemory* memory,
             Index seen, Storage storage) {
    const Index size = length_of(prompt.text), wanted = length_of(prompt.answer) + 1,
                local = std::min(size, memory ? small_llama(settings.length).last_context : seen - wanted);
    const std::string_view far(prompt.text.begin(), prompt.text.end() - local), near(prompt.text.end() - local, prompt.text.end());
    MemoryState<float> state(model.config(), 1, storage);
    if (memory) memory->read(far, state);
    Random unused(0);
    const std::vector<std::int32_t> written = generate(model, byte_tokens(near), wanted, std::max(settings.length, seen), state,
                                                       {.temperature = 0}, unused, {.top_k = settings.top_k});
    return text_of(written) == prompt.answer + ".";
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does a model find a pass key far beyond the length it was trained on?");
    PasskeySettings settings;
    example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB]");
    example.option("--steps", settings.steps, {12, 600, 600}, "steps of pre-training", 1);
    example.option("--curriculum-steps", settings.curriculum_steps, {8, 1000, 1000}, "most steps on prompts alone, before that", 3);
    example.option("--further-curriculum-steps", settings.further_curriculum_steps, {8, 600, 600},
                   "most steps of each continuation in shorter windows, before that", 3);
    example.option("--further-steps", settings.further_steps, {8, 700, 700}, "steps of each continuation", 1);
    example.option("--accuracy", settings.accuracy, "share of predicted answer bytes that ends a stage of a curriculum");
    example.add_seeds_option();
    example.option("--length", settings.length, "local context of training, bytes", 1);
    example.option("--batch", settings.batch, "documents in a batch", 1);
    example.option("--contexts", settings.contexts, "contexts that an entry sees in crossbatch")->check(CLI::Range(1, 4));
    example.option("--measure", settings.models, "models that are measured")
        ->check(CLI::IsMember({"base", "base_memory", "long", "fot"}));
    example.option("--trials", settings.trials, {2, 100, 100}, "prompts of each length", 1);
    example.option("--longest", settings.longest, {4096, 1048576, 16777216}, "bytes of the longest prompt", 256);
    example.option("--overlap", settings.overlap, "bytes before a window that are read with it, on the way to memory");
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.parse();
    require<ConfigError>(
        settings.length >= 200 && settings.batch >= 8 && settings.batch % 8 == 0 && settings.overlap < settings.length, "--length ",
        settings.length, ", --batch ", settings.batch, ", --overlap ", settings.overlap,
        ": expected 200 or more, a multiple of 8, and less than --length");

    const CorpusSplit split = load_split({.corpus = settings.corpus});
    const std::vector<TokenDocument> documents = byte_documents(split.train);
    const std::vector<TokenDocument> held_out = byte_documents(split.validation);
    std::vector<Index> sizes;
    for (const Index size :
         {Index(256), Index(2048), Index(16384), Index(102400), Index(262144), Index(1048576), Index(4194304), Index(16777216)})
        if (size <= settings.longest) sizes.push_back(size);

    Measurements<AccuracyCurve> accuracies;
    std::map<std::string, std::vector<double>> losses;  // by model: of each seed
    Table table({"model", "seed", "prompt, bytes", "accuracy"});
    Table csv({"model", "seed", "bytes", "accuracy", "low", "high"});
    for (const std::uint64_t seed : example.seeds()) {
        const auto trained = [&](const std::string& continuation) {
            Random random(seed);
            Transformer<float> model(small_llama(settings.length).model, random);
            train(example, settings, "base", documents, seed, model);
            if (!continuation.empty()) train(example, settings, continuation, documents, seed, model);
            return model;
        };
        for (const std::string& name : settings.models) {
            const bool remembers = name == "fot" || name == "base_memory";
            Transformer<float> model = trained(name == "fot" || name == "long" ? name : "");
            if (name == "fot")
                save_long_llama(example.output() / message("long_llama_seed", seed), small_llama(settings.length), model);
            if (name != "base_memory") losses[name].push_back(text_loss(model, held_out, settings.length));
            WindowMemory memory(model, settings.length, settings.overlap);
            AccuracyCurve accuracy;
            for (const Index size : sizes) {
                Random random(seed * 1000003 + static_cast<std::uint64_t>(size));  // the same prompts for every model
                Progress bar(message(name, ", seed ", seed, ", ", count_text(size)), settings.trials);
                Proportion right;
                for (Index trial = 0; trial < settings.trials; ++trial) {
                    stop_if_interrupted("trained models are kept; the same command asks again");
                    const PasskeyPrompt prompt = passkey_prompt(size, random);
                    right.add(answers(model, prompt, settings, remembers ? &memory : nullptr,
                                      name == "long" ? 2 * settings.length : settings.length,
                                      size > 4194304 ? Storage::bfloat16 : Storage::full));
                    bar.update(trial + 1, message("accuracy ", fixed(right.value(), 2)));
                }
                const Estimate share = estimate_of(right);
                accuracy[size] = share;
                table.add(name, seed, count_text(size), estimate_text(share));
                csv.add(name, seed, size, share);
            }
            accuracies.add(name, accuracy);
        }
    }
    example.show(message("All digits right, ", settings.trials, " prompts of each length, 95 % binomial intervals"), table);
    Table text({"model", "text, bits per byte", "of base's"});
    for (const auto& [name, of_seeds] : losses) {
        const double loss = median(of_seeds), ratio = losses.contains("base") ? loss / median(losses.at("base")) : NAN;
        text.add(name, fixed(loss), std::isnan(ratio) ? "-" : message(fixed(100 * ratio, 1), " %"));
        example.result("bits_per_byte." + name, loss);
        if (name != "base" && !std::isnan(ratio)) example.result("bits_per_byte_ratio." + name, ratio);
    }
    example.show(message("Held-out text in windows of ", settings.length, " bytes, without a memory, medians over seeds"), text);
    Plot plot{.name = "accuracy", .title = "Passkey", .x_label = "prompt, bytes", .y_label = "accuracy"};
    for (const std::string& name : settings.models) report_accuracy(example, "accuracy", accuracies, name, plot);
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
    return example.finish();
} catch (...) {
    return report_failure();
}
