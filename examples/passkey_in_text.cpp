/// Does a model find one passkey among others, in text that does not repeat?   (claim C10)
///
/// The known task, that of `passkey`, repeats a few sentences and hides one key. Here the filler is the text of a corpus, which
/// does not repeat until the corpus is used up, and the keys have names: "The pass key of kuz is 31415." One of them is asked for,
/// the others are decoys. A model that knows what a key looks like, but not whose it is, is right in one of n + 1 answers among n
/// decoys.
///
///     fot           trained by crossbatch: a question sees the window with its key, in the end 63 other windows too
///     one_context   the same without the other windows: no negatives (--measure)
///     base_memory   trained with window and question in one local context; it meets a memory only when it is asked here
///
/// All are trained on answers alone: they look up keys and do not write text. How they learn it is told in
/// support/lookup_training.hpp.
///
/// The memory is that of the whole prompt, read window by window, each with the 64 bytes before it. But a prompt is not read as a
/// whole. Keys are written over the text without moving it, so that a window without a key in it sees the same bytes in all prompts
/// of a length, and leaves the same entries. The text is read once. For each set of keys the windows that see one of them are read
/// again, and their new entries replace the old ones; afterwards the old entries are put back. The memory is bitwise that of the
/// prompt (a test compares).
///
/// Questions about one set of keys are answered together: one search serves the next byte of all answers. Only the question is the
/// local context. Scores are strict: all five digits under greedy decoding, and then a full stop.
///
/// Source: paper section 4.2, Figure 1, made harder. The paper counts tokens, this program bytes.
/// Data:    the libstdc++ headers that come with g++ (--corpus, --filler for other text), held-out documents first. Text that is
///          shorter than the prompt comes again from its beginning; the program says how often. libstdc++ has 7 million bytes.
/// Time:    fot 9 to 25 minutes of one core, base_memory 24 to 40, by seed; --quick: seconds; --full: three seeds, up to 16M bytes.
/// Memory:  1 GiB per million bytes of the longest prompt; half of that above 4M bytes, since keys and values are then stored as
///          bfloat16.
/// Command: build/release/examples/passkey_in_text
/// Expect:  accuracy of `fot` near 1 at 1M bytes, whatever the number of decoys; measurements.md has the figures (C10).
#include "support/accuracy_curves.hpp"
#include "support/filler_text.hpp"
#include "support/named_passkey_training.hpp"
#include "support/shared_memory.hpp"
#include "support/sizes.hpp"
#include "support/window_memory.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What is trained, and asked.
struct TextPasskeySettings : LookupTraining {
    Index trials = 0, top_k = 32, overlap = 64;
    std::vector<Index> sizes = {}, decoys = {};
    std::vector<std::string> filler = {}, models{"fot", "base_memory"};
};

constexpr Index most_names = 26 * 26 * 26;

/// What a model answers to questions of the same length: its likeliest bytes, one after another, as many as an answer has.
std::vector<std::string> answers(const Transformer<float>& model, std::span<const NamedKey> asked, const Source<float>& memory) {
    Tokens tokens = zeros<std::int32_t, 2>({length_of(asked), length_of(asked[0].question())});
    for (Index i = 0; i < length_of(asked); ++i) std::ranges::copy(byte_tokens(element(asked, i).question()), row(tokens, i));
    std::vector<std::string> written(asked.size());
    for (Index byte = 0; byte < length_of(asked[0].answer()); ++byte) {
        Tape tape(Tape::inference);
        const Tensor<float, 3> logits = model.forward(tape, tokens, memory, {extent(tokens, 1) - 1}).value();
        Tokens next = zeros<std::int32_t, 2>({length_of(asked), 1});
        for (Index i = 0; i < length_of(asked); ++i) {
            const float* of_question = row(logits, i);
            next(i, 0) = static_cast<std::int32_t>(std::max_element(of_question, of_question + byte_vocabulary) - of_question);
            element(written, i) += static_cast<char>(next(i, 0));
        }
        tokens = concatenate<1>(tokens, next);
    }
    return written;
}

/// How often the answer is right, and how often it is the key of a decoy.
struct Answered {
    Proportion right, decoy;
};

/// Asks for `trials` keys hidden in a text whose memory `state` holds, each among `decoys` others. Keys are drawn anew as soon as
/// all of a set have been asked for.
Answered ask(const Transformer<float>& model, const TextPasskeySettings& settings, std::string_view text, Index decoys,
             WindowMemory& windows, MemoryState<float>& state, Random& random, Progress& bar) {
    Answered answered;
    const MemorySource<float> entries(state, settings.top_k);
    const SharedMemory memory(entries);
    while (answered.right.trials < settings.trials) {
        stop_if_interrupted("trained models are kept; the same command asks again");
        std::vector<NamedKey> keys = named_keys(decoys + 1, random);
        std::string prompt(text);
        const std::vector<Index> places = hide_keys(keys, prompt, random);
        const auto read_again = [&](std::string_view of) {
            for (const Index place : places) windows.reread(of, place, place + named_key_bytes(), state);
        };
        read_again(prompt);
        random.shuffle(keys);
        const auto count = static_cast<std::size_t>(std::min(settings.trials - answered.right.trials, decoys + 1));
        const std::span<const NamedKey> asked = std::span(keys).first(count);
        const std::vector<std::string> written = answers(model, asked, memory);
        for (std::size_t i = 0; i < count; ++i) {
            const bool right = written[i] == asked[i].answer();
            answered.right.add(right);
            answered.decoy.add(!right && std::ranges::count(keys, written[i], &NamedKey::answer) > 0);
        }
        read_again(text);
        bar.update(answered.right.trials, message("accuracy ", fixed(answered.right.value(), 2)));
    }
    return answered;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does a model find one pass key among others, in text that does not repeat?");
    TextPasskeySettings settings;
    example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB]");
    example.option("--filler", settings.filler, "other corpora to hide keys in; none: the same, held-out documents first");
    example.option("--measure", settings.models, "models that are measured").one_of({"fot", "one_context", "base_memory"});
    example.option("--curriculum-steps", settings.curriculum_steps, {20, 3000, 3000},
                   "most steps of each training in which a question sees its own window alone", 1);
    example.option("--steps", settings.steps, {10, 600, 600}, "steps after these, with other windows in crossbatch", 1);
    example.option("--windows", settings.windows, {8, 64, 64}, "windows with keys that a question sees at the end of crossbatch",
                   4);
    example.option("--length", settings.length, "bytes of a window");
    example.add_seeds_option();
    example.option("--trials", settings.trials, {2, 100, 100}, "questions for each length and number of decoys", 1);
    example.option("--sizes", settings.sizes, {{4096}, {16384, 1048576}, {16384, 1048576, 16777216}},
                   "bytes of prompts, the shortest first", 1024);
    example.option("--decoys", settings.decoys, {{1, 10}, {1, 10, 100, 1000}, {1, 10, 100, 1000}},
                   "other keys in a prompt; left out where they would be a quarter of it");
    example.option("--overlap", settings.overlap, "bytes before a window that are read with it, on the way to memory");
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.parse();
    require<ConfigError>(
        settings.length >= named_key_bytes() && settings.overlap < settings.length && std::ranges::is_sorted(settings.sizes),
        "--length ", settings.length, ", --overlap ", settings.overlap, ", --sizes: expected ", named_key_bytes(),
        " or more, less than --length, and in rising order");
    for (const Index decoys : settings.decoys)
        require<ConfigError>((decoys + 1) * named_key_bytes() <= settings.sizes.back() / 4 && decoys < most_names, "--decoys ",
                             decoys, ": expected fewer than ", most_names, ", of ", named_key_bytes(),
                             " bytes each that fill no more than a quarter of the longest prompt");

    const CorpusSplit split = load_split({.corpus = settings.corpus});
    const std::vector<TokenDocument> training = byte_documents(split.train);
    const Index longest = settings.sizes.back();
    const std::string text = filler_text(example, filler_documents(split, settings.filler), longest);

    Measurements<AccuracyCurve> accuracies;  // by model and bytes: over decoys
    Table table({"model", "seed", "prompt, bytes", "decoys", "accuracy", "answers a decoy"});
    Table csv({"model", "seed", "bytes", "decoys", "accuracy", "low", "high", "decoy", "curriculum_steps", "learned"});
    for (const std::uint64_t seed : example.seeds())
        for (const std::string& name : settings.models) {
            const auto [model, curriculum] =
                trained_named_passkey_model(example, settings, name == "base_memory" ? "base" : name, training, seed);
            WindowMemory windows(model, settings.length, settings.overlap, /*kept=*/1);
            MemoryState<float> state(model.config(), 1, longest > 4194304 ? Storage::bfloat16 : Storage::full);
            for (const Index size : settings.sizes) {
                const Index read = windows.whole_windows(size - length_of(NamedKey{"bim", "92653"}.question()));
                const std::string_view prompt(text.begin(), text.begin() + read);
                Progress reading(message(name, ", seed ", seed, ", read ", count_text(size)), read);
                read_on(windows, prompt, state, reading);
                AccuracyCurve accuracy;
                for (const Index decoys : settings.decoys) {
                    if ((decoys + 1) * named_key_bytes() > read / 4) continue;
                    Random random(seed * 1000003 + static_cast<std::uint64_t>(size + decoys));  // the same keys for every model
                    Progress bar(message(name, ", seed ", seed, ", ", count_text(size), ", ", decoys, " decoys"), settings.trials);
                    const Answered answered = ask(model, settings, prompt, decoys, windows, state, random, bar);
                    accuracy[decoys] = estimate_of(answered.right);
                    table.add(name, seed, count_text(size), decoys, estimate_text(accuracy[decoys]),
                              fixed(answered.decoy.value(), 2));
                    csv.add(name, seed, size, decoys, accuracy[decoys], answered.decoy.value(), curriculum.steps,
                            curriculum.learned ? 1 : 0);
                }
                accuracies.add(message(name, ".", size), accuracy);
            }
        }
    example.show(message("All digits right, ", settings.trials, " questions each, 95 % binomial intervals"), table);
    Plot plot{.name = "accuracy", .title = "Passkey in text", .x_label = "decoys", .y_label = "accuracy"};
    for (const std::string& name : accuracies.models()) report_accuracy(example, "accuracy", accuracies, name, plot);
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
    return example.finish();
} catch (...) {
    return report_failure();
}
