/// Can a memory answer from facts that are spread over a long text: one, or two that belong together?
///
///     qa1   Where is Kuz?        the person's last move                                       (as bAbI's first task)
///     qa2   Where is the pib?    with whom the thing is, then that person's last move         (as bAbI's second task)
///
/// Facts are hidden in running text that does not repeat, as BABILong hides those of bAbI in books (fot/data/stories.hpp). A
/// model is trained on windows of text (support/story_training.hpp), and reads the text into a memory that all questions share.
/// There are three models, of which a default run has one, in_writing.
///
/// What can be known.
///
/// One hop, several moves. A memory layer has no positions: m moves of a person, each in a window of its own, leave the same
/// entries in whatever order they come. So the last of them is answered in 1/m of the cases at most (overwritten_keys.cpp has the
/// proof). In a story of bAbI's form (2 to 10 moves of four persons, one who has moved is asked for) the mean of 1/m is .668. A
/// model with one memory layer that reads its memory as a set is right no more often, however long it was trained. Two readings of
/// the memory know an order, both in inference only:
///
///     plain    the memory as in training: a set
///     aged     the weight of an entry falls with its age in windows (support/aging_memory.hpp)
///     newest   of entries that fit about equally well the newest counts (support/overwriting_memory.hpp)
///
/// Aging favours recent text over old facts, and favours it more in a longer text. With `newest` a newer entry wins only if it fits
/// about as well as the fact, or better. By chance some entry does, but only in a far longer text. There a smaller --margin
/// helps.
///
/// Two hops, one memory layer. All that this layer asks is computed from the question, which names the thing. A move names a person
/// and a room, and its window was read alone: its key has nothing of the thing. So the layer cannot prefer the move of the person
/// who has the thing. It would have to fetch the moves of all persons at once, in the few numbers of its heads, and choose later;
/// with many persons that cannot be. There are two ways out:
///
///     two_layers   the upper memory layer asks with what the lower one has found
///     in_writing   the answer says first with whom the thing is. What is written is local context, from which the same layer asks
///                  again: a hop for each sentence, as in a chain of thought
///
/// `one_layer` is asked for the room at once, too, and has nothing but the one layer.
///
/// Persons, things and rooms have made-up names of three letters. The second and third letter of a room can also be looked up by
/// the letters before them, which is easily learned. Then only the first letter has to be looked up by the person's name.
///
/// A prompt hides --together stories and, for each number of moves, as many further persons. To a question about one person the
/// facts about all others are decoys. The text is read once. Facts are written over it, and only the windows that see one are read
/// again (as in passkey_in_text.cpp).
///
/// Source: after bAbI (Weston et al. 2015) and BABILong (Kuratov et al. 2024); all names and sentences are ours.
/// Data:    the libstdc++ headers that come with g++ (--corpus, --filler for other text), held-out documents first.
/// Time:    in_writing, the default: some ten minutes of one shared core. two_layers takes longer, since its lower memory layer
///          attends to windows at all bytes of a question. --quick: seconds; --full: all models, three seeds.
/// Memory:  264 bytes for each byte of the longest prompt and each memory layer; 136 above 4M bytes (bfloat16).
/// Command: build/release/examples/two_hops
///          build/release/examples/two_hops --filler boost libstdcxx --readings plain newest --margin 1 --sizes 52428800
/// Expect:  of in_writing, at 1M bytes: plain, 1/m of persons who moved m times and about .67 of stories; newest, .95 or more of
///          all, in one hop and in two. What came out: measurements.md, "Facts in text".
#include "support/accuracy_curves.hpp"
#include "support/aging_memory.hpp"
#include "support/filler_text.hpp"
#include "support/overwriting_memory.hpp"
#include "support/shared_memory.hpp"
#include "support/sizes.hpp"
#include "support/story_questions.hpp"
#include "support/story_training.hpp"
#include "support/window_memory.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What is trained, and asked.
struct StorySettings : LookupTraining {
    Index trials = 0, together = 4, top_k = 32, overlap = 32;
    double strength = 1, margin = 2;
    std::vector<std::string> filler = {};
    std::vector<Index> sizes = {}, moves{story, 1, 2, 4};
    std::vector<std::string> models = {}, readings{"plain", "aged", "newest"};
};

/// By question (qa1, qa2), reading of the memory, and number of moves.
using Answers = std::map<std::tuple<std::string, std::string, Index>, Answered>;

/// Hides casts in a text whose memory `state` holds, and asks, until there are `trials` questions of each kind.
Answers ask(const Transformer<float>& model, const StorySettings& settings, StoryQuestion two_hops, std::string_view text,
            WindowMemory& windows, MemoryState<float>& state, Random& random, Progress& bar) {
    const MemorySource<float> plain(state, settings.top_k);
    const AgingMemory aged(state, settings.top_k, settings.strength, settings.length - settings.overlap);
    const OverwritingMemory newest(state, settings.top_k, settings.margin);
    const std::map<std::string, const Source<float>*> readings{{"plain", &plain}, {"aged", &aged}, {"newest", &newest}};
    Answers answers;
    for (Index done = 0, count = 0; done < settings.trials; done += count) {
        stop_if_interrupted("trained models are kept; the same command asks again");
        count = std::min(settings.trials - done, settings.together);
        const Cast cast = new_cast(settings.moves, count, random);
        std::string prompt(text);
        const std::vector<Index> places = hide_sentences(facts(cast.persons, random), prompt, random);
        const auto read_again = [&](std::string_view of) {
            for (const Index place : places) windows.reread(of, place, place + fact_bytes, state);
        };
        read_again(prompt);
        for (const auto& [question, kind] : {std::pair("qa1", StoryQuestion::person), {"qa2", two_hops}})
            for (const std::string& reading : settings.readings) {
                std::vector<FormToFill> forms;
                for (const auto& [moves, asked] : cast.asked)
                    for (const Mover& person : asked) forms.push_back(question_about(person, kind));
                const std::vector<std::string> filled = filled_in(model, forms, SharedMemory(*readings.at(reading)));
                auto answer = filled.begin();
                for (const auto& [moves, asked] : cast.asked)
                    for (const Mover& person : asked) answers[{question, reading, moves}].add(person, kind, *answer++);
            }
        read_again(text);
        bar.update(done + count);
    }
    return answers;
}

/// Figures and results. `accuracies`: over bytes, by "question.model.reading.form".
void report(Example& example, const StorySettings& settings, const Measurements<AccuracyCurve>& accuracies) {
    Plot by_size{"accuracy",       "Stories of bAbI's form, hidden in text", "prompt, bytes", "right answers", "x", {},
                 Interval{0, 1.05}},
        by_moves{"moves",
                 message("Persons who have moved m times, in ", count_text(settings.sizes.back()), " bytes"),
                 "moves of the person m",
                 "right answers",
                 "x",
                 {},
                 Interval{0, 1.05}},
        not_drawn;
    for (const std::string& curve : accuracies.models())
        report_accuracy(example, "accuracy", accuracies, curve, curve.ends_with(form_name(story)) ? by_size : not_drawn);
    for (const std::string question : {"qa1", "qa2"})
        for (const std::string& model : settings.models) {
            for (const std::string& reading : settings.readings) {
                const std::string name = message(question, ".", model, ".", reading);
                Series series{name};
                for (const Index moves : settings.moves)
                    if (moves != story)
                        series.add(moves,
                                   shares_over_seeds(accuracies, message(name, ".", form_name(moves))).at(settings.sizes.back()));
                by_moves.series.push_back(series);
            }
            const std::string learned = message(question, ".", model, ".plain.", form_name(1));
            if (!accuracies.has(learned)) continue;
            Proportion escaped;
            for (const AccuracyCurve& curve : accuracies.of_seeds(learned)) escaped.add(curve.begin()->second.value >= 0.5);
            example.result(message("escaped.", question, ".", model), estimate_of(escaped));
        }
    Series one_in{"1/m"};
    for (const Index moves : settings.moves)
        if (moves != story) one_in.add(moves, 1 / static_cast<double>(moves));
    by_moves.series.push_back(one_in);
    example.plot(by_size);
    example.plot(by_moves);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv,
                    "Can a memory answer from facts that are spread over a long text: one, or two that belong together?");
    StorySettings settings;
    example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB]");
    example.option("--filler", settings.filler, "other corpora to hide facts in; none: the same, held-out documents first");
    const std::vector<std::string> all{"in_writing", "one_layer", "two_layers"};
    example.option("--measure", settings.models, {all, {"in_writing"}, all}, "models that are measured").one_of(all);
    example.option("--readings", settings.readings, "of the memory").one_of({"plain", "aged", "newest"});
    example.option("--curriculum-steps", settings.curriculum_steps, {20, 3000, 3000},
                   "most steps of each training in which a question sees its own windows alone", 1);
    example.option("--steps", settings.steps, {10, 300, 300}, "steps after these, with other windows in crossbatch", 1);
    example.option("--windows", settings.windows, {8, 64, 64}, "windows that a question sees at the end of crossbatch", 8);
    example.option("--length", settings.length, "bytes of a window", fact_bytes);
    example.add_seeds_option();
    example.option("--trials", settings.trials, {2, 100, 100}, "questions of each kind for each length", 1);
    example.option("--together", settings.together, "stories, and persons of each number of moves, in one prompt", 1);
    example.option("--sizes", settings.sizes, {{4096}, {4096, 65536, 1048576}, {4096, 65536, 1048576}},
                   "bytes of prompts, the shortest first", 4096);
    example.option("--moves", settings.moves, "how often a person has moved; 0: a story of bAbI's form");
    example.option("--strength", settings.strength, "with which old entries lose weight, in the reading aged");
    example.option("--margin", settings.margin, "nats within which the newest entry counts, in the reading newest");
    example.option("--overlap", settings.overlap, "bytes before a window that are read with it, on the way to memory", fact_bytes);
    example.option("--top-k", settings.top_k, "retrieved entries per query and head", 1);
    example.parse();
    require<ConfigError>(settings.overlap < settings.length && std::ranges::is_sorted(settings.sizes), "--overlap ",
                         settings.overlap, ", --sizes: expected less than --length ", settings.length, ", and in rising order");

    {  // facts that do not fit the shortest prompt are refused before anything is trained
        Random trial(0);
        std::string shortest(static_cast<std::size_t>(settings.sizes.front() - settings.length), ' ');
        hide_sentences(facts(new_cast(settings.moves, std::min(settings.together, settings.trials), trial).persons, trial),
                       shortest, trial);
    }
    const CorpusSplit split = load_split({.corpus = settings.corpus});
    const std::vector<TokenDocument> training = byte_documents(split.train);
    const Index longest = settings.sizes.back();
    const std::string text = filler_text(example, filler_documents(split, settings.filler), longest);

    Measurements<AccuracyCurve> accuracies;
    Table table({"model", "seed", "question", "reading", "moves", "prompt, bytes", "the last room", "any, by its first letter"});
    Table csv({"model", "seed", "question", "reading", "moves", "bytes", "last", "low", "high", "any"});
    for (const std::uint64_t seed : example.seeds())
        for (const std::string& name : settings.models) {
            const Transformer<float> model = trained_story_model(example, settings, name, training, seed).first;
            const StoryQuestion two_hops = name == "in_writing" ? StoryQuestion::thing_in_writing : StoryQuestion::thing;
            WindowMemory windows(model, settings.length, settings.overlap, /*kept=*/1);
            MemoryState<float> state(model.config(), 1, longest > 4194304 ? Storage::bfloat16 : Storage::full);
            std::map<std::string, AccuracyCurve> curves;
            for (const Index size : settings.sizes) {
                const Index read = windows.whole_windows(size - 64);  // the question has less than 64 bytes
                const std::string_view prompt(text.begin(), text.begin() + read);
                Progress reading_bar(message(name, ", seed ", seed, ", read ", count_text(size)), read);
                read_on(windows, prompt, state, reading_bar);
                Random random(seed * 1000003 + static_cast<std::uint64_t>(size));  // the same stories for every model
                Progress bar(message(name, ", seed ", seed, ", ask at ", count_text(size)), settings.trials);
                for (const auto& [what, answered] : ask(model, settings, two_hops, prompt, windows, state, random, bar)) {
                    const auto& [question, reading, moves] = what;
                    const Estimate last = estimate_of(answered.last);
                    curves[message(question, ".", name, ".", reading, ".", form_name(moves))][size] = last;
                    table.add(name, seed, question, reading, form_name(moves), count_text(size), estimate_text(last),
                              fixed(answered.any.value(), 2));
                    csv.add(name, seed, question, reading, form_name(moves), size, last, answered.any.value());
                }
            }
            for (const auto& [curve, accuracy] : curves) accuracies.add(curve, accuracy);
        }
    example.show(message("Right answers, ", settings.trials, " questions each, 95 % binomial intervals"), table);
    example.csv("answers", csv);
    report(example, settings, accuracies);
    return example.finish();
} catch (...) {
    return report_failure();
}
