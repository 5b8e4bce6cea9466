/// Does a model find a passkey far beyond the length it was trained on?   (claim C10)
///
/// A byte-level LLaMA learns to find keys in prompts that fit its window, the short ones first, and then is pre-trained on short
/// windows of text with such prompts among them. It is continued in two ways, in as many steps of the same cost:
///
///     fot    by crossbatch in the memory layer: two previous windows of its own document beside windows of other documents
///     long   on local contexts of twice the length
///
/// and asked for keys in prompts of up to a million bytes. `fot` reads them window by window into the memory of its one memory
/// layer, and so does `base_memory`, the pre-trained model, which was never trained to. `base` and `long` see the end of the
/// prompt, as much of it as they were trained on. Scores are strict: every digit right under greedy decoding, and then a full stop.
///
/// With --packed-contexts `fot` is trained as LongLLaMA was: the three windows of a document are entries of one batch, each sees
/// those before it and the last ones of the document before, and all are trained on. A step costs about a fifth more then.
///
/// Reading is exact, but not wasteful: the layers below the memory layer see one window alone, so windows of the same bytes (the
/// filler comes again and again) leave the same keys and values, which are computed once.
///
/// Source: paper section 4.2, Figure 1. The paper counts tokens, this program bytes.
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text), and passkey prompts made here.
/// Time:    18 minutes on two cores; --quick: seconds; --full: three seeds, up to 16M bytes.
/// Memory:  1 GiB per million bytes of prompt; above 4M bytes half of that, since keys and values are then stored as bfloat16: 8
///          GiB with --full. At most 1 GiB more for windows that may come again.
/// Command: build/release/examples/passkey
/// Expect:  fot near 1 at every length, base and long only in their own windows. base_memory comes close: the pre-trained model
///          copies in its last layer, which is the memory layer, and filler hardly distracts it.
#include "fot/model/generation.hpp"
#include "fot/model/long_llama_files.hpp"
#include "support/accuracy_curves.hpp"
#include "support/passkey_documents.hpp"
#include "support/prediction.hpp"
#include "support/sizes.hpp"
#include "support/staged_training.hpp"
#include "support/window_memory.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct PasskeySettings {
    std::string corpus = "libstdcxx";
    Index length = 256, batch = 16, contexts = 4, trials = 0, longest = 0, top_k = 32, overlap = 64;
    Index curriculum_steps = 0, steps = 0, further_curriculum_steps = 0, further_steps = 0;
    double accuracy = 0.99;
    bool packed = false, counted = false;
    std::vector<std::string> models{"base", "base_memory", "long", "fot"};
};

/// Windows of a document that `fot` is trained on at a time: the last ones of three see two before them.
constexpr Index fot_windows = 3;

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
        if (settings.packed)
            training.name += "_packed";
        else
            training.windows = fot_windows;
        training.settings["contexts"] = message(settings.contexts);
        training.stages = {{96, 2 * batch}, {128, 2 * batch}, {192, batch}, {length, batch}};
    } else {
        // A step costs what one of fot's does: that reads two previous windows through three of four layers, and a current one.
        training.stages = {
            {192, 5 * batch / 2}, {256, 5 * batch / 2}, {3 * length / 2, 5 * batch / 4}, {2 * length, 5 * batch / 4}};
    }
    return training;
}

void train(Example& example, const PasskeySettings& settings, const std::string& name, const std::vector<TokenDocument>& text,
           std::uint64_t seed, Transformer<float>& model) {
    const StagedTraining training = training_of(name, settings, text);
    const Index mixture = name == "base" ? length_of(training.stages) - 1 : 0;  // the first stage that is one
    const Index windows = name == "fot" ? fot_windows : 1;
    train_in_stages(example, training, settings.accuracy, seed, model, [&](Index stage, const LengthAndBatch& at, Random& random) {
        StagedBatch batch{passkey_documents(text, at.batch, at.length, windows, stage < mixture, random)};
        if (windows == 1) return batch;
        if (!settings.packed) return StagedBatch{batch.documents, passkey_contexts(at.batch, windows - 1, settings.contexts)};
        return StagedBatch{windows_of(batch.documents, at.length),
                           packed_contexts(windows * at.batch, settings.contexts, windows, /*stepping=*/true)};
    });
}

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
    example.flag("--packed-contexts", settings.packed, "train fot in the released form: contexts are other windows of the batch");
    example.option("--measure", settings.models, "models that are measured")
        ->check(CLI::IsMember({"base", "base_memory", "long", "fot"}));
    example.option("--trials", settings.trials, {2, 100, 100}, "prompts of each length", 1);
    example.option("--longest", settings.longest, {4096, 1048576, 16777216}, "bytes of the longest prompt", 256);
    example.option("--overlap", settings.overlap, "bytes before a window that are read with it, on the way to memory");
    example.flag("--counted", settings.counted,
                 "memories hold equal entries once, with their number: the same answers in less room");
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.parse();
    require<ConfigError>(
        settings.length >= 200 && settings.batch >= 8 && settings.batch % 8 == 0 && settings.overlap < settings.length, "--length ",
        settings.length, ", --batch ", settings.batch, ", --overlap ", settings.overlap,
        ": expected 200 or more, a multiple of 8, and less than --length");

    const CorpusSplit split = load_split({.corpus = settings.corpus});
    const std::vector<TokenDocument> documents = byte_documents(split.train);
    const TextSettings windows{.length = settings.length, .places = 64};  // of held-out text
    std::vector<Index> sizes{256, 2048, 16384, 102400, 262144, 1048576, 4194304, 16777216, 67108864, 1073741824};
    std::erase_if(sizes, [&](Index size) { return size > settings.longest; });

    Measurements<AccuracyCurve> accuracies;
    std::map<std::string, std::vector<double>> losses;  // by model: of each seed
    Table table({"model", "seed", "prompt, bytes", "accuracy"});
    Table csv({"model", "seed", "bytes", "accuracy", "low", "high"}), answers({"model", "seed", "bytes", "trial", "key", "answer"});
    for (const std::uint64_t seed : example.seeds())
        for (const std::string& name : settings.models) {
            Random weights(seed);
            Transformer<float> model(small_llama(settings.length).model, weights);
            train(example, settings, "base", documents, seed, model);
            if (name == "fot" || name == "long") train(example, settings, name, documents, seed, model);
            if (name == "fot")
                save_long_llama(example.output() / message("long_llama_seed", seed), small_llama(settings.length), model);
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
