/// How often does a model learn a synthetic task at all?
///
/// A model that is to look something up stays on a plateau at first, where no answer is better than a guess. Within some dozens of
/// steps it then finds out how to look. When that happens depends on the first weights and the order of the batches, and for some
/// seeds it may not happen in the steps that a training has. A table of accuracies over three seeds does not show that. Here many
/// seeds go through the curriculum of each task alone, and `escaped` is the share of them that have learned it within so many
/// steps.
///
///     dictionary   of one_context (the query's own context in a memory, as all crossbatch models begin), of standard (whole
///                  documents in one local context) and of without_memory (the same in every layer: the baseline of C2)
///     passkeys     keys by name in text: of fot (passkey_in_text) and of base (window and question are one local context)
///     stories      facts in text: of in_writing (two_hops)
///
/// associative_recall prints the same of its own models.
///
/// Data:    the dictionary, made here; passkeys and stories are hidden in the libstdc++ headers that come with g++.
/// Time:    a curriculum of the dictionary takes half a minute to five minutes of one core, one of passkeys.base up to 37; not
///          timed as a whole; --quick: seconds; --full: ten seeds (hours).
/// Command: build/release/examples/escape_rates --full --only dictionary.one_context
/// Expect:  all ten seeds of dictionary.one_context learn, in about 245 steps, all of dictionary.standard, in 430 to 1900, and all
///          of passkeys.fot, in 355 to 2604. passkeys.base does not always (measurements.md, "Escape rates").
#include "fot/measure/intervals.hpp"
#include "support/accuracy_curves.hpp"
#include "support/dictionary_training.hpp"
#include "support/named_passkey_training.hpp"
#include "support/story_training.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What is learned, and the most steps that it may take.
struct EscapeSettings {
    std::vector<std::string> only = {};
    Index dictionary_steps = 0;
    LookupTraining lookup = {};
};

/// A task, and the model that is to learn it.
struct Escape {
    std::string task, model;
    std::string name() const { return task + "." + model; }
};

const std::vector<Escape> all_escapes{{"dictionary", "one_context"}, {"dictionary", "standard"}, {"dictionary", "without_memory"},
                                      {"passkeys", "fot"},           {"passkeys", "base"},       {"stories", "in_writing"}};

/// How the curriculum of a task goes with a seed.
Curriculum curriculum_of(Example& example, const EscapeSettings& settings, const Escape& escape,
                         const std::vector<TokenDocument>& text, std::uint64_t seed) {
    if (escape.task == "passkeys") return trained_named_passkey_model(example, settings.lookup, escape.model, text, seed).second;
    if (escape.task == "stories") return trained_story_model(example, settings.lookup, escape.model, text, seed).second;
    const bool one_context = escape.model == "one_context";
    const DictionaryTraining training{.name = escape.model,
                                      .steps = 1,  // after the curriculum
                                      .contexts = one_context ? 1 : 0,
                                      .standard = !one_context,
                                      .curriculum_steps = settings.dictionary_steps,
                                      .shape = {.without_memory = escape.model == "without_memory"}};
    Random weights(seed);
    Transformer<float> model = new_dictionary_model(training, weights);
    return train_dictionary_model(example, example.output(), training, seed, model);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "How often does a model learn a synthetic task at all?");
    EscapeSettings settings;
    std::vector<std::string> names;
    for (const Escape& escape : all_escapes) names.push_back(escape.name());
    settings.only = names;
    settings.lookup.steps = 1;  // after the curriculum
    example.option("--only", settings.only, "tasks and models").one_of(names);
    example.option("--dictionary-steps", settings.dictionary_steps, {40, 2000, 2000},
                   "most steps of a curriculum of the dictionary", 1);
    example.option("--curriculum-steps", settings.lookup.curriculum_steps, {20, 3000, 3000}, "most steps of the other curricula",
                   1);
    example.option("--windows", settings.lookup.windows, {8, 64, 64}, "four times as many as a batch of the longest has", 8);
    example.add_seeds_option(10);
    example.parse();

    const CorpusSplit split = load_split({.corpus = settings.lookup.corpus});
    const std::vector<TokenDocument> text = byte_documents(split.train);
    Table table({"task and model", "seeds", "escaped", "steps: median", "least", "most"}),
        csv({"task", "seed", "steps", "escaped"});
    for (const Escape& escape : all_escapes) {
        if (std::ranges::count(settings.only, escape.name()) == 0) continue;
        Proportion escaped;
        std::vector<double> steps;
        for (const std::uint64_t seed : example.seeds()) {
            const Curriculum curriculum = curriculum_of(example, settings, escape, text, seed);
            steps.push_back(static_cast<double>(curriculum.steps));
            escaped.add(curriculum.learned);
            csv.add(escape.name(), seed, curriculum.steps, curriculum.learned ? 1 : 0);
        }
        const auto [shortest, longest] = std::ranges::minmax(steps);
        table.add(escape.name(), escaped.trials, estimate_text(estimate_of(escaped), 2), fixed(median(steps), 0),
                  fixed(shortest, 0), fixed(longest, 0));
        example.result("escaped." + escape.name(), estimate_of(escaped));
    }
    example.show("The share of seeds that learn a curriculum", table);
    example.csv("curriculum_steps_by_seed", csv);
    return example.finish();
} catch (...) {
    return report_failure();
}
