/// Does a model find a passkey far beyond the length it was trained on?   (claim C10)
///
/// A byte-level LLaMA learns to find keys in prompts that fit its window, the short ones first, and then is pre-trained on short
/// windows of text with such prompts among them. It is continued in two ways, with the same number of steps and equal cost per
/// step:
///
///     fot    by crossbatch in the memory layer: two previous windows of the query's own document beside windows of other documents
///     long   on local contexts of twice the length
///
/// and asked for keys in prompts of up to a million bytes. `fot` reads them window by window into the memory of its one memory
/// layer, and so does `base_memory`, the pre-trained model, which was never trained with a memory. `base` and `long` see the end of
/// the prompt, as much of it as they were trained on. Scores are strict: every digit right under greedy decoding, and then a full
/// stop.
///
/// With --packed-contexts `fot` is trained as LongLLaMA was: the three windows of a document are entries of one batch, and all are
/// trained on. The first sees no other window, the second and third see those before them and the last of the preceding document.
/// A step then costs about a fifth more.
///
/// Reading is exact, but not wasteful: the layers below the memory layer see only one window, so windows of the same bytes (the
/// filler comes again and again) leave the same keys and values, which are computed once. With --counted the memory holds them once
/// too, with a count, and whole periods of filler are counted without being read. The answers are the same up to 4M bytes;
/// above that the memory of all entries is rounded, the counted one is not. The counted memory of a prompt of a billion bytes takes
/// no more room than that of a short one.
///
/// Source: paper section 4.2, Figure 1. The paper counts tokens, this program bytes.
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text), and passkey prompts made here.
/// Time:    18 minutes on two cores; --quick: seconds; --full: three seeds, up to 16M bytes.
/// Memory:  1 GiB per million bytes of prompt; above 4M bytes half of that, since keys and values are then stored as bfloat16: 8
///          GiB with --full. At most 1 GiB more is used to keep windows that may come again. With --counted the program needs only
///          this 1 GiB and the prompt itself.
/// Command: build/release/examples/passkey
///          build/release/examples/passkey --counted --longest 1073741824 --measure base_memory fot
/// Expect:  fot near 1 at every length, base and long only in their own windows. base_memory comes close: the pre-trained model
///          copies in its last layer, which is the memory layer, and filler hardly distracts it.
#include "fot/model/generation.hpp"
#include "fot/model/long_llama_files.hpp"
#include "support/accuracy_curves.hpp"
#include "support/passkey_documents.hpp"
#include "support/passkey_training.hpp"
#include "support/prediction.hpp"
#include "support/sizes.hpp"
#include "support/window_memory.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What is trained, and asked.
struct PasskeySettings : PasskeyTraining {
    Index trials = 0, longest = 0, top_k = 32, overlap = 64;
    bool counted = false;
    std::vector<std::string> models{"base", "base_memory", "long", "fot"};
};

/// What the model answers. With `windows`, all but the last bytes of the prompt are read into the memory of `state`; without, it
/// sees the last `seen`.
template <class State>
std::string answer(const Transformer<float>& model, const PasskeyPrompt& prompt, const PasskeySettings& settings,
                   WindowMemory* windows, Index seen, State state) {
    const Index size = length_of(prompt.text), wanted = length_of(prompt.answer) + 1,
                local = std::min(size, windows ? small_llama(settings.length).last_context : seen - wanted);
    const std::string_view far(prompt.text.begin(), prompt.text.end() - local), near(prompt.text.end() - local, prompt.text.end());
    if (windows) windows->read(far, state);
    Random unused(0);
    return text_of(generate(model, byte_tokens(near), wanted, std::max(settings.length, seen), state, {.temperature = 0}, unused,
                            {.top_k = settings.top_k}));
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does a model find a passkey far beyond the length it was trained on?");
    PasskeySettings settings;
    add_passkey_options(example, settings);
    example
        .option("--contexts", settings.contexts,
                "documents that a prompt sees in crossbatch; with --packed-contexts, windows before it")
        .within(1, 4);
    example.flag("--packed-contexts", settings.packed, "train fot in the released form: contexts are other windows of the batch");
    example.option("--measure", settings.models, "models that are measured").one_of({"base", "base_memory", "long", "fot"});
    example.option("--trials", settings.trials, {2, 100, 100}, "prompts of each length", 1);
    example.option("--longest", settings.longest, {4096, 1048576, 16777216}, "bytes of the longest prompt", 256);
    example.option("--overlap", settings.overlap, "bytes before a window that are read with it, on the way to memory");
    example.flag("--counted", settings.counted, "memories hold equal entries once, with a count: prompts of any length");
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.parse();
    require<ConfigError>(settings.length >= 200 && fot_windows * settings.length < shortest_document && settings.batch >= 8 &&
                             settings.batch % 8 == 0 && settings.overlap < settings.length,
                         "--length ", settings.length, ", --batch ", settings.batch, ", --overlap ", settings.overlap,
                         ": expected 200 ... ", (shortest_document - 1) / fot_windows, ", a multiple of 8, and less than --length");

    const CorpusSplit split = load_split({.corpus = settings.corpus});
    const std::vector<TokenDocument> documents = byte_documents(split.train);
    const TextSettings windows{.length = settings.length, .places = 64};  // of held-out text
    std::vector<Index> sizes{256, 2048, 16384, 102400, 262144, 1048576, 4194304, 16777216, 67108864, 1073741824};
    std::erase_if(sizes, [&](Index size) { return size >= settings.longest; });
    sizes.push_back(settings.longest);

    Measurements<AccuracyCurve> accuracies;
    std::map<std::string, std::vector<double>> losses;  // by model: of each seed
    Table table({"model", "seed", "prompt, bytes", "accuracy"});
    Table csv({"model", "seed", "bytes", "accuracy", "low", "high"}), answers({"model", "seed", "bytes", "trial", "key", "answer"});
    for (const std::uint64_t seed : example.seeds())
        for (const std::string& name : settings.models) {
            Random weights(seed);
            Transformer<float> model(small_llama(settings.length).model, weights);
            train_on_passkeys(example, settings, name, documents, seed, model);
            if (name == "fot")
                save_long_llama(example.output() / message(settings.packed ? "long_llama_packed_seed" : "long_llama_seed", seed),
                                small_llama(settings.length), model);
            if (name != "base_memory")
                losses[name].push_back(measure_predictions(windows, {{}, {}, split.validation, {}}, model).local.bits_per_byte);
            WindowMemory windows_of_model(model, settings.length, settings.overlap);
            WindowMemory* memory = name == "fot" || name == "base_memory" ? &windows_of_model : nullptr;
            const Index seen = name == "long" ? 2 * settings.length : settings.length;
            AccuracyCurve accuracy;
            for (const Index size : sizes) {
                Random random(seed * 1000003 + static_cast<std::uint64_t>(size));  // the same prompts for every model
                Progress bar(message(name, ", seed ", seed, ", ", count_text(size)), settings.trials);
                Proportion right;
                for (Index trial = 0; trial < settings.trials; ++trial) {
                    stop_if_interrupted("trained models are kept; the same command asks again");
                    const PasskeyPrompt prompt = passkey_prompt(size, random);
                    const auto ask = [&](auto state) { return answer(model, prompt, settings, memory, seen, std::move(state)); };
                    const Storage storage = size > 4194304 ? Storage::bfloat16 : Storage::full;
                    const std::string written =
                        settings.counted ? ask(CountedMemoryState<float>(model.config(), std::max<Index>(settings.top_k, 1)))
                                         : ask(MemoryState<float>(model.config(), 1, storage));
                    right.add(written == prompt.answer + ".");
                    answers.add(name, seed, size, trial, prompt.answer, written);
                    bar.update(trial + 1, message("accuracy ", fixed(right.value(), 2)));
                }
                const Estimate share = estimate_of(right);
                accuracy[size] = share;
                table.add(name, seed, count_text(size), estimate_text(share));
                csv.add(name, seed, size, share);
            }
            accuracies.add(name, accuracy);
        }
    example.show(message("All digits right, ", settings.trials, " prompts of each length, 95 % binomial intervals"), table);
    Table text({"model", "text, bits per byte", "of base's"});
    for (const auto& [name, of_seeds] : losses) {
        const double loss = median(of_seeds), of_base = losses.contains("base") ? loss / median(losses.at("base")) : NAN;
        text.add(name, fixed(loss), fixed(100 * of_base, 1) + " %");
        example.result("bits_per_byte." + name, loss);
        if (name != "base" && !std::isnan(of_base)) example.result("bits_per_byte_ratio." + name, of_base);
    }
    example.show(message("Held-out text in windows of ", settings.length, " bytes, without a memory, medians over seeds"), text);
    Plot plot{.name = "accuracy", .title = "Passkey", .x_label = "prompt, bytes", .y_label = "accuracy"};
    for (const std::string& name : settings.models) report_accuracy(example, "accuracy", accuracies, name, plot);
    example.csv("accuracy_by_seed", csv);
    example.csv("answers", answers);
    example.plot(plot);
    return example.finish();
} catch (...) {
    return report_failure();
}
