/// Does a model find a pass key far beyond the length it was trained on?   (claim C10)
///
/// A byte-level LLaMA learns to find keys in prompts that fit its window, the short ones first, and then is pre-trained on short
/// windows of text with such prompts among them. It is continued in two ways, with the same number of tokens:
///
///     fot    by crossbatch in the memory layer: the previous window of the own document beside windows of other documents
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
/// Time:    not timed yet at default size; --quick: seconds; --full: three seeds, up to 16M bytes.
/// Command: build/release/examples/passkey
/// Expect:  fot near 1 at every length, the others at 0 beyond their own. Not yet: base and long find keys in their windows, fot
///          has not learned to find them in its memory.
#include "fot/data/passkey.hpp"

#include <unordered_map>

#include "fot/model/generation.hpp"
#include "fot/model/long_llama_training.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/long_llama_files.hpp"
#include "fot/train/muon.hpp"
#include "fot/train/trainer.hpp"
#include "support/text_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct PasskeySettings {
    std::string corpus = "libstdcxx";
    Index length = 256, batch = 16, steps = 0, further_steps = 0, contexts = 4, seeds = 0, trials = 0, longest = 0, top_k = 32;
    Index curriculum_steps = 0;
    double curriculum_accuracy = 0;
    Index width = 128, layers = 4, heads = 2, memory_layer = 2, last_context = 64;
};

/// Every fourth entry of a batch is a passkey prompt, the next one filler of such a prompt, the others are text. So a prompt that
/// sees contexts of the entries behind it meets more filler, as in a longer prompt, but no other key, which it could not tell from
/// its own.
bool is_prompt(Index entry) { return entry % 4 == 0; }
bool is_filler(Index entry) { return entry % 4 == 1; }

LongLlamaConfig shape_of_model(const PasskeySettings& settings) {
    return {.vocabulary = byte_vocabulary,
            .width = settings.width,
            .feed_forward = settings.width * 11 / 4,
            .layers = settings.layers,
            .heads = settings.heads,
            .window = settings.length,
            .last_context = settings.last_context,
            .memory_layers = {settings.memory_layer}};
}

/// Documents of `windows` windows, the last of which is trained on: text, filler, and prompts whose answer lies in that window.
class PasskeyBatches {
   public:
    PasskeyBatches(const std::vector<TokenDocument>& documents, std::uint64_t seed) : documents_(documents), random_(seed) {}

    /// The next batch: all windows but the last are previous ones. `only_prompts`: no text, no filler.
    ContextBatch<float> next(Index entries, Index length, Index windows, bool only_prompts = false) {
        const WindowShape shape{.entries = entries, .positives = windows - 1, .length = length};
        ContextBatch<float> batch =
            only_prompts ? fot::detail::empty_context_batch<float>(shape) : sample_contexts<float>(documents_, shape, random_);
        for (Index b = 0; b < entries; ++b)
            if (only_prompts || is_prompt(b))
                write_prompt(shape, b, batch);
            else if (is_filler(b))
                write(shape, b, filler(windows * length + 1), windows * length + 1, 1, batch);
        return batch;
    }

    Random& random() { return random_; }

   private:
    /// A prompt of any length that ends in the last window. If it is too long for a single one, its front is cut off, but not its
    /// key.
    void write_prompt(const WindowShape& shape, Index b, ContextBatch<float>& batch) {
        const Index windows = shape.positives + 1, most = windows * shape.length - 7,
                    least = std::max(shortest_passkey_prompt(), (windows - 1) * shape.length + 48);
        for (;;) {
            const PasskeyPrompt prompt =
                passkey_prompt(least + random_.below(std::max<Index>(most - least, shape.length / 2)), random_);
            const auto size = static_cast<Index>(prompt.text.size());
            const Index cut = std::clamp<Index>(size - most, 0, prompt.key_at);
            if (size - cut > most) continue;
            write(shape, b, prompt.text.substr(static_cast<std::size_t>(cut)) + prompt.answer + ".", size - cut, 0.02f, batch);
            return;
        }
    }

    /// The filler of a prompt from a random place on.
    std::string filler(Index bytes) {
        const PasskeyPrompt prompt = passkey_prompt(4 * bytes + 1000, random_);
        for (;;) {
            const Index first = 100 + random_.below(3 * bytes);
            const std::string text = prompt.text.substr(static_cast<std::size_t>(first), static_cast<std::size_t>(bytes));
            if (text.find("key") == std::string::npos) return text;
        }
    }

    /// Writes a text over entry b. What comes before byte `asked` counts `before` in the loss, the rest 1.
    static void write(const WindowShape& shape, Index b, const std::string& text, Index asked, float before,
                      ContextBatch<float>& batch) {
        const std::vector<std::int32_t> tokens = byte_tokens(text);
        const auto size = static_cast<Index>(tokens.size());
        const auto token = [&](Index i) { return i < size ? tokens[static_cast<std::size_t>(i)] : 0; };
        const Index previous = shape.positives;
        for (Index t = 0; t < shape.length; ++t) {
            for (Index window = 0; window < previous; ++window)
                batch.previous(window * shape.entries + b, t) = token((previous - 1 - window) * shape.length + t);
            const Index at = previous * shape.length + t;
            batch.current(b, t) = token(at);
            batch.targets(b, t) = token(at + 1);
            batch.mask(b, t) = at + 1 >= size ? 0.0f : at + 1 >= asked ? 1.0f : before;
        }
    }

    const std::vector<TokenDocument>& documents_;
    Random random_;
};

/// The share of the prompts in a batch whose every answer byte was predicted.
double answered(const ContextBatch<float>& batch, const Tensor<float, 3>& logits, bool only_prompts) {
    const Tensor<std::uint8_t, 2> correct = correct_predictions(logits, batch.targets);
    Proportion right;
    for (Index b = 0; b < extent(correct, 0); ++b) {
        if (!only_prompts && !is_prompt(b)) continue;
        bool all = true;
        for (Index t = 0; t < extent(correct, 1); ++t) all = all && (batch.mask(b, t) != 1.0f || correct(b, t) != 0);
        right.add(all);
    }
    return right.value();
}

/// Trains for `steps`, on from the weights as they are; what is kept is not trained again. `kind`: base, fot, long. A base model
/// begins with a curriculum: prompts alone, the short ones first, until it answers them.
void train(Example& example, const PasskeySettings& settings, const std::string& kind, Index steps,
           const std::vector<TokenDocument>& documents, std::uint64_t seed, Transformer<float>& model) {
    const bool fot = kind == "fot", base = kind == "base";
    const Index windows = fot ? 2 : 1, entries = kind == "long" ? settings.batch / 2 : settings.batch,
                length = kind == "long" ? 2 * settings.length : settings.length;
    const auto stage = [&](Index bytes, Index batch) {
        return Stage<LengthAndBatch>{{bytes, batch}, Stage<LengthAndBatch>::no_step, settings.curriculum_accuracy};
    };
    LengthSchedule lengths = LengthSchedule::stages(
        {stage(112, 2 * entries), stage(150, 3 * entries / 2), stage(200, 5 * entries / 4), stage(length, entries)});
    Index curriculum = base ? settings.curriculum_steps : 0;  // steps of it, fewer once it has ended earlier

    PasskeyBatches batches(documents, seed + 1000);
    Muon<float> optimizer(model.parameters(), {});
    const LearningRate warm = LearningRate::constant(0.4, 40),
                       schedule = LearningRate::linear_decay(base ? 0.6 : 0.4, base ? 0 : 40, steps);
    const Index most = curriculum + steps;
    examples::Progress bar(message("train ", kind, ", seed ", seed), most);
    const std::filesystem::path checkpoint =
        example.output() / message(kind, "_", settings.steps, base ? "" : message("_", steps), "steps_seed", seed, ".safetensors");
    Trainer<float> trainer(
        model.parameters(), optimizer,
        {.steps = most,
         .learning_rate = [&](Index step) { return step < curriculum ? warm.at(step) : schedule.at(step - curriculum); },
         .checkpoint = checkpoint,
         .checkpoint_every_seconds = 60,
         .metadata = {{"program", "passkey"},
                      {"model", kind},
                      {"seed", message(seed)},
                      {"corpus", settings.corpus},
                      {"length", message(settings.length)},
                      {"batch", message(settings.batch)},
                      {"curriculum", message(settings.curriculum_steps, " steps, accuracy ", settings.curriculum_accuracy)},
                      {"contexts", message(settings.contexts)}},
         .progress =
             [&](const fot::Progress& at) {
                 bar.update(at.steps_done + (base ? settings.curriculum_steps - curriculum : 0),
                            message("loss ", fixed(at.loss), ", answered ", fixed(*at.accuracy, 2)));
             }});
    trainer.keep("batches", batches.random());
    trainer.keep("lengths", lengths);
    trainer.keep("curriculum", curriculum);
    trainer.resume();
    // Entry i sees its own previous window and those of i+1 ... i+contexts-1. The last quarter of the text sees none: the model
    // must stay good without a memory.
    ContextTable table = previous_contexts(entries, 1, settings.contexts - 1);
    for (Index b = 3; b < entries; b += 4) {
        table.contexts[static_cast<std::size_t>(b)].clear();
        table.positives[static_cast<std::size_t>(b)] = 0;
    }
    const TrainingOutcome outcome = trainer.run([&](Index step) {
        const bool short_prompts = step < curriculum;
        const LengthAndBatch at = short_prompts ? lengths.next(step, batches.random()) : LengthAndBatch{length, entries};
        const ContextBatch<float> batch = batches.next(at.batch, at.length, windows, short_prompts);
        Tape tape;
        const Variable<float, 3> logits =
            fot ? model.crossbatch(tape, {batch.previous, batch.current, table}) : model.local(tape, batch.current);
        const Variable<float, 1> loss = cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::row_mean);
        tape.backward(loss);
        const double accuracy = answered(batch, logits.value(), short_prompts);
        if (short_prompts) {
            lengths.observe(accuracy);
            if (lengths.finished()) curriculum = step + 1;
        }
        StepResult result{.loss = static_cast<double>(loss.value()(0)), .accuracy = accuracy, .tokens = at.batch * at.length};
        result.done = step + 1 == curriculum + steps;
        return result;
    });
    if (outcome == TrainingOutcome::interrupted)
        throw Interrupted(message("training is kept in ", checkpoint.string(), "; the same command goes on from there"));
}

/// What a window leaves in memory, by its bytes.
class WindowMemory {
   public:
    explicit WindowMemory(Transformer<float>& model) : model_(model), layer_(model.config().last_memory_layer()) {}

    /// Appends what the bytes leave in the memory layer, window by window.
    void read(const std::string& text, Index window, MemoryState<float>& state) {
        for (std::size_t first = 0; first < text.size(); first += static_cast<std::size_t>(window)) {
            const std::string bytes = text.substr(first, static_cast<std::size_t>(window));
            auto known = known_.find(bytes);
            if (known == known_.end()) {
                if (known_.size() >= 4096) known_.clear();
                known = known_.emplace(bytes, keys_and_values(bytes)).first;
            }
            state.memory(layer_, 0).append(known->second.first, known->second.second, 0);
        }
    }

   private:
    using KeysAndValues = std::pair<Tensor<float, 3>, Tensor<float, 3>>;

    KeysAndValues keys_and_values(const std::string& bytes) {
        Tape tape(Tape::inference);
        Variable<float, 3> x = model_.embed(tape, token_row(byte_tokens(bytes)));
        for (Index i = 0; i < layer_; ++i) x = model_.layer(i).local(tape, x);
        const Variable<float, 3> h = model_.layer(layer_).normalized(tape, x);
        const auto rows = [](const Tensor<float, 4>& y) { return reshaped<3>(y, {extent(y, 1), extent(y, 2), extent(y, 3)}); };
        return {rows(model_.layer(layer_).keys(tape, h).value()), rows(model_.layer(layer_).values(tape, h).value())};
    }

    Transformer<float>& model_;
    Index layer_;
    std::unordered_map<std::string, KeysAndValues> known_;
};

/// Whether the model answers right. With a memory, all but the last bytes of the prompt lie there; without, it sees the last
/// `seen`.
bool answers(Transformer<float>& model, const PasskeyPrompt& prompt, const PasskeySettings& settings, WindowMemory* memory,
             Index seen, Storage storage) {
    const auto size = static_cast<Index>(prompt.text.size()), wanted = static_cast<Index>(prompt.answer.size()) + 1,
               local = std::min(size, memory ? settings.last_context : seen - wanted);
    MemoryState<float> state(model.config(), 1, storage);
    if (memory) memory->read(prompt.text.substr(0, static_cast<std::size_t>(size - local)), settings.length, state);
    Random unused(0);
    const std::vector<std::int32_t> written =
        generate(model, byte_tokens(prompt.text.substr(static_cast<std::size_t>(size - local))), wanted,
                 std::max(settings.length, seen), state, {.temperature = 0}, unused, {.top_k = settings.top_k});
    return text_of(written) == prompt.answer + ".";
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(argc, argv, "Does a model find a pass key far beyond the length it was trained on?", [](Example& example) {
        PasskeySettings settings;
        example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB]");
        example.option("--steps", settings.steps, Scaled<Index>{12, 1500, 3000}, "steps of pre-training", 1);
        example.option("--curriculum-steps", settings.curriculum_steps, Scaled<Index>{8, 1500, 1500},
                       "most steps on prompts alone, before that", 1);
        example.option("--curriculum-accuracy", settings.curriculum_accuracy, Scaled<double>{0.01, 0.8, 0.8},
                       "share of answers that ends a stage of them");
        example.option("--further-steps", settings.further_steps, Scaled<Index>{8, 500, 1000}, "steps of each continuation", 1);
        example.option("--seeds", settings.seeds, Scaled<Index>{1, 1, 3}, "seeds, beginning with --seed", 1);
        example.option("--length", settings.length, "local context of training, bytes", 1);
        example.option("--batch", settings.batch, "documents in a batch", 1);
        example.option("--contexts", settings.contexts, "contexts that an entry sees in crossbatch, at most 4", 1);
        example.option("--trials", settings.trials, Scaled<Index>{2, 100, 100}, "prompts of each length", 1);
        example.option("--longest", settings.longest, Scaled<Index>{4096, 1048576, 16777216}, "bytes of the longest prompt", 256);
        example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
        example.parse();
        require<ConfigError>(settings.contexts >= 1 && settings.contexts <= 4, "--contexts ", settings.contexts,
                             ": expected 1 ... 4");
        require<ConfigError>(settings.length >= 200 && settings.batch >= 8 && settings.batch % 8 == 0, "--length ", settings.length,
                             ", --batch ", settings.batch, ": expected 200 or more, and a multiple of 8");

        const CorpusSplit split = split_documents(load_corpus(settings.corpus), shortest_document, 0.15, 0.15, 7);
        const std::vector<TokenDocument> documents = byte_documents(split.train);
        std::vector<Index> sizes;
        for (const Index size :
             {Index(256), Index(2048), Index(16384), Index(102400), Index(262144), Index(1048576), Index(4194304), Index(16777216)})
            if (size <= settings.longest) sizes.push_back(size);

        const std::vector<std::string> models{"base", "base_memory", "long", "fot"};
        std::map<std::string, std::vector<std::vector<Estimate>>> accuracies;  // by model: of each size, of each seed
        Table table({"model", "seed", "prompt, bytes", "accuracy"});
        Csv csv({"model", "seed", "bytes", "accuracy", "low", "high"});
        for (Index s = 0; s < settings.seeds; ++s) {
            const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
            const auto trained = [&](const std::string& continuation) {
                Random random(seed);
                Transformer<float> model(llama_config(shape_of_model(settings)), random);
                train(example, settings, "base", settings.steps, documents, seed, model);
                if (!continuation.empty()) train(example, settings, continuation, settings.further_steps, documents, seed, model);
                return model;
            };
            for (const std::string& name : models) {
                const bool remembers = name == "fot" || name == "base_memory";
                Transformer<float> model = trained(name == "fot" || name == "long" ? name : "");
                if (name == "fot") {
                    LongLlamaConfig config = shape_of_model(settings);
                    save_long_llama(example.output() / message("long_llama_seed", seed), long_llama(config, model));
                }
                WindowMemory memory(model);
                accuracies[name].resize(sizes.size());
                for (std::size_t i = 0; i < sizes.size(); ++i) {
                    Random random(seed * 1000003 + static_cast<std::uint64_t>(sizes[i]));  // the same prompts for every model
                    examples::Progress bar(message(name, ", seed ", seed, ", ", count_text(sizes[i])), settings.trials);
                    Proportion right;
                    for (Index trial = 0; trial < settings.trials; ++trial) {
                        stop_if_interrupted("trained models are kept; the same command asks again");
                        const PasskeyPrompt prompt = passkey_prompt(sizes[i], random);
                        right.add(answers(model, prompt, settings, remembers ? &memory : nullptr,
                                          name == "long" ? 2 * settings.length : settings.length,
                                          sizes[i] > 4194304 ? Storage::bfloat16 : Storage::full));
                        bar.update(trial + 1, message("accuracy ", fixed(right.value(), 2)));
                    }
                    accuracies[name][i].push_back({right.value(), right.interval()});
                    table.add(name, seed, count_text(sizes[i]), estimate_text(right.value(), right.interval()));
                    csv.add(name, seed, sizes[i], right.value(), right.interval().low, right.interval().high);
                }
            }
        }
        example.out() << "\nAll digits right, " << settings.trials << " prompts of each length, 95 % binomial intervals\n\n"
                      << table;
        Plot plot{.name = "accuracy", .title = "Passkey", .x_label = "prompt, bytes", .y_label = "accuracy", .log_x = true};
        for (const std::string& name : models) {
            Series series{.name = name, .x = {}, .y = {}};
            for (std::size_t i = 0; i < sizes.size(); ++i) {
                const Estimate estimate = over_seeds(accuracies[name][i]);
                series.add(static_cast<double>(sizes[i]), estimate);
                example.report().result(message("accuracy.", name, ".", sizes[i]), estimate.value);
            }
            plot.series.push_back(series);
        }
        example.report().csv("accuracy_by_seed", csv);
        example.report().plot(plot);
    });
}
