/// Do remedies for distraction find definitions that crossbatch training alone loses?   (beyond the paper)
///
/// distraction_remedies asks what remedies do to the loss on text. Here models with the same remedies look definitions up, as in
/// dictionary_lookup, which shows what a loss hides: whether the one key that matters is found. Each model is trained twice, after
/// the curriculum of dictionary_lookup: its questions see the definitions of their own document alone (1 context), or those of 16
/// documents, of which 15 are negatives. A remedy of inference alone is applied to both models without a remedy.
///
///     none        no remedy                                                                                         (control)
///     infonce     next-token loss + 0.1 InfoNCE over 16 contexts, in the queries of the answers                     (control)
///     ...         the others are those of distraction_remedies, where they are listed
///
/// A remedy replaces crossbatch if with 1 context it finds what `none` finds with 16. It adds to crossbatch if with 16 contexts it
/// finds more than `none` with 16. InfoNCE has negatives of its own in both. `untied` reads the whole memory, so whole_memory,
/// which has no other remedy, is what it is to be compared with.
///
/// A curriculum takes at most 2000 steps. A model that has not learned to look words up by then is measured all the same, and the
/// program says so.
///
/// By default four remedies are trained: ssmax, sink, output_gate and annealed_infonce.
///
/// Data:    the dictionary, made here.
/// Time:    half an hour of one core (three seeds of as many models took 90 minutes); --quick: seconds; --full: all remedies and
///          three seeds (hours).
/// Memory:  1 GiB for each million tokens.
/// Command: build/release/examples/dictionary_remedies
/// Expect:  at a million tokens .92 of the answers right with crossbatch, .34 without. Of the models without it those with a
///          contrastive loss come nearest. LogN and adaptive temperature add .03 to crossbatch (measurements.md, "Remedies").
#include "support/accuracy_curves.hpp"
#include "support/dictionary_remedy_models.hpp"
#include "support/memory_snapshot.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct RemedySettings {
    std::vector<std::string> only = {};
    std::vector<Index> memories = {};
    Index questions = 400, top_k = 32;
    std::string folder = {};
};

/// What a model answers at each size of the memory: of each question the share of its answer tokens that are right.
using Answers = std::map<Index, std::vector<double>>;

std::vector<double> shares_of_questions(const MemorySnapshot& snapshot, const Source<float>& source) {
    std::vector<double> shares;
    for (const SnapshotWindow& window : snapshot.windows) {
        const Tensor<std::uint8_t, 2> right = correct_predictions(snapshot.logits(window, source), window.targets);
        const Index answer = DictionaryTask{}.value_length;
        for (Index first = 0; first < element_count(right); first += answer)
            shares.push_back(std::accumulate(right.data() + first, right.data() + first + answer, 0.0) /
                             static_cast<double>(answer));
    }
    return shares;
}

Answers answers_at_each_size(const RemediedDictionaryModel& model, const RemedySettings& settings, std::uint64_t seed) {
    const EvaluationDictionary dictionary({}, seed + 5000);
    Answers answers;
    for (const Index tokens : settings.memories) {
        stop_if_interrupted("trained models are kept; the same command measures again");
        const MemorySnapshot snapshot = dictionary_snapshot(model.model(), dictionary, tokens, settings.questions, seed + 6000);
        answers[tokens] = shares_of_questions(snapshot, *model.memory(snapshot.state));
    }
    return answers;
}

/// The share of right answer tokens of a model, over seeds; intervals of one seed are over questions.
Estimate share(const Measurements<Answers>& measured, const std::string& model, Index tokens) {
    return share_over_seeds(measured.each(model, [&](const Answers& answers) { return bootstrap_mean(answers.at(tokens), 1); }));
}

/// What model a has more than model b, on the same questions.
Estimate difference(const Measurements<Answers>& measured, const std::string& a, const std::string& b, Index tokens) {
    std::vector<Estimate> of_each;
    for (std::size_t s = 0; s < measured.of_seeds(a).size(); ++s)
        of_each.push_back(bootstrap_mean_difference(measured.of_seeds(a)[s].at(tokens), measured.of_seeds(b)[s].at(tokens), 1));
    return over_seeds(of_each);
}

/// The numbers of contexts in training.
constexpr Index alone = 1, crossbatch = 16;

std::string name_of(const std::string& remedy, Index contexts) { return message(remedy, "_", contexts); }

/// A row for each model and size.
void report(Example& example, const RemedySettings& settings, const std::vector<Remedy>& remedies,
            const Measurements<Answers>& measured) {
    Table table({"remedy", "contexts", "memory tokens", "right answer tokens", "minus none_1", "minus none_16"});
    for (const Index contexts : {alone, crossbatch})
        for (const Remedy& remedy : remedies)
            for (const Index tokens : settings.memories) {
                const std::string name = name_of(remedy.name, contexts);
                const Estimate right = share(measured, name, tokens);
                example.result(message("accuracy.", name, ".", tokens), right);
                std::vector<std::string> cells{remedy.name, message(contexts), count_text(tokens), estimate_text(right)};
                for (const Index of_control : {alone, crossbatch}) {
                    const std::string control = name_of("none", of_control);
                    if (name == control || !measured.has(control)) {
                        cells.push_back("-");
                        continue;
                    }
                    const Estimate more = difference(measured, name, control, tokens);
                    example.result(message("difference.", name, "-", control, ".", tokens), more);
                    cells.push_back(estimate_text(more));
                }
                table.add_row(cells);
            }
    example.show("Right answer tokens, by remedy and contexts in training", table);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Do remedies for distraction find definitions that crossbatch training alone loses?");
    std::vector<Remedy> all = remedies();
    all.insert(all.begin(), no_remedy());
    std::vector<std::string> names;
    for (const Remedy& remedy : all) names.push_back(remedy.name);
    RemedySettings settings;
    example.add_seeds_option();
    example
        .option("--only", settings.only,
                {{"none", "adaptive_temperature", "annealed_infonce"},
                 {"none", "ssmax", "sink", "output_gate", "annealed_infonce"},
                 names},
                "remedies that are trained and measured")
        .one_of(names);
    example.option("--memories", settings.memories, {{4096}, {65536, 1048576}, {65536, 1048576}},
                   "tokens of the memories of definitions", 256);
    example.option("--questions", settings.questions, "questions at each size", 1);
    example.option("--top-k", settings.top_k, "retrieved entries per query and head", 1);
    example.option("--models", settings.folder, "folder of trained models, which programs can share; empty: --output");
    example.parse();
    const EvaluationDictionary any({}, 0);
    for (const Index tokens : settings.memories) any.windows_for(tokens);  // refused before training, not after
    std::erase_if(all, [&](const Remedy& remedy) { return std::ranges::count(settings.only, remedy.name) == 0; });

    Measurements<Answers> measured;
    Table csv({"remedy", "contexts", "seed", "curriculum_steps", "learned", "memory_tokens", "token_accuracy", "low", "high"});
    for (const std::uint64_t seed : example.seeds())
        for (const Remedy& remedy : all)
            for (const Index contexts : {alone, crossbatch}) {
                const std::string name = name_of(remedy.name, contexts);
                example.out() << name << ", seed " << seed << std::endl;
                const RemediedDictionaryModel model(example, example.models_folder(settings.folder), remedy, contexts,
                                                    settings.top_k, seed);
                const Answers answers = answers_at_each_size(model, settings, seed);
                for (const auto& [tokens, shares] : answers)
                    csv.add(remedy.name, contexts, seed, model.curriculum().steps, model.curriculum().learned ? 1 : 0, tokens,
                            bootstrap_mean(shares, 1));
                measured.add(name, answers);
            }
    report(example, settings, all, measured);
    example.csv("accuracy_by_seed", csv);
    return example.finish();
} catch (...) {
    return report_failure();
}
