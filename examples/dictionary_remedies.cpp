/// Do remedies for distraction find definitions that crossbatch training alone loses?   (beyond the paper)
///
/// distraction_remedies asks what remedies do to the loss on text. Here their models look definitions up, as in dictionary_lookup,
/// which shows what a loss hides: whether the one key that matters is found. Each remedy is trained twice, on its own context alone
/// and on 16 contexts, of which 15 are negatives. A remedy that replaces crossbatch makes up for missing negatives; one that adds
/// to it helps a model that had them.
///
///     none        crossbatch training on so many contexts, and no remedy                                            (control)
///     infonce     0.1 InfoNCE over 16 contexts beside the loss, after the curriculum                                (control)
///     ...         the others are those of distraction_remedies, where they are listed
///
/// The curriculum of a model is dictionary_lookup's, with the remedy, but without InfoNCE: there are no negatives. A model that has
/// not learned to look words up in its 2000 steps is measured all the same, and the program says so.
///
/// `untied` reads the whole memory, so it is to be compared with whole_memory, which has no other remedy. By default four remedies
/// are trained: ssmax, sink, output_gate and annealed_infonce.
///
/// Data:    the dictionary, made here.
/// Time:    not measured as a whole; --quick: seconds; --full: all remedies and three seeds.
/// Memory:  1 GiB for each million tokens.
/// Command: build/release/examples/dictionary_remedies
#include "support/accuracy_curves.hpp"
#include "support/dictionary_training.hpp"
#include "support/memory_snapshot.hpp"
#include "support/remedies.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// Contexts of training with negatives; also those that InfoNCE contrasts.
constexpr Index crossbatch_contexts = 16;

struct RemedySettings {
    std::vector<std::string> only = {};
    std::vector<Index> memories = {};
    Index questions = 400, top_k = 32;
    std::string folder = {};
};

/// A model with a remedy, trained on so many contexts, or read from its file if it is there.
class RemediedDictionaryModel {
   public:
    /// The remedy must outlive the model.
    RemediedDictionaryModel(Example& example, const std::filesystem::path& folder, const Remedy& remedy, Index contexts,
                            Index top_k, std::uint64_t seed)
        : remedy_(remedy),
          training_{.name = remedy.inference_only ? "uniform" : remedy.name,  // as every program names the model without a remedy
                    .steps = Scaled<Index>{2, 200, 200}.at(example.scale()),
                    .contexts = contexts},
          model_(new_model(training_, seed)),
          at_{.layer = model_.layer(model_.config().last_memory_layer()),
              .config = model_.config(),
              .heads = model_.config().memory_heads,
              .window = DictionaryTask{}.half_length,
              .keys = keys_in_training(training_),
              .top_k = top_k,
              .seed = seed} {
        if (!remedy.inference_only) {
            remedy.change(at_);
            training_.source = [this](const Contexts<float>& seen) { return remedy_.contexts(at_, seen); };
        }
        DictionaryStep step;  // none: the usual one
        if (remedy.loss_weights) step = [this](auto&, Index number, Random& random) { return contrastive_step(number, random); };
        train_dictionary_model(example, folder, training_, seed, model_, step);
        if (remedy.inference_only) remedy.change(at_);
    }

    RemediedDictionaryModel(const RemediedDictionaryModel&) = delete;  // the view refers to the model
    RemediedDictionaryModel& operator=(const RemediedDictionaryModel&) = delete;

    /// The share of right answer tokens at each size of the memory.
    AccuracyCurve right_at_each_size(const RemedySettings& settings, std::uint64_t seed) const {
        const EvaluationDictionary dictionary({}, seed + 5000);
        AccuracyCurve right;
        for (const Index tokens : settings.memories) {
            const MemorySnapshot snapshot = dictionary_snapshot(model_, dictionary, tokens, settings.questions, seed + 6000);
            right[tokens] = estimate_of(right_answers(snapshot, *remedy_.memory(at_, snapshot.state)));
        }
        return right;
    }

   private:
    static Transformer<float> new_model(const DictionaryTraining& training, std::uint64_t seed) {
        Random weights(seed);
        return new_dictionary_model(training, weights);
    }

    /// A step after the curriculum, with InfoNCE.
    StepResult contrastive_step(Index step, Random& random) {
        const DictionaryTask task;
        const std::vector<Index> answers = answer_positions(task);
        const DictionaryBatch<float> batch = dictionary_batch<float>(task, dictionary_batch_size, dictionary_batch_size, random);
        const Tokens targets = take_positions(batch.targets, answers);
        Tape tape;
        const Contexts<float> seen(model_.keys_and_values(tape, batch.previous),
                                   previous_contexts(dictionary_batch_size, 1, training_.contexts - 1, dictionary_batch_size));
        const Remedy::MadeSource source = remedy_.contexts(at_, seen);
        std::vector<LayerView<float>> asked;  // what the memory layer asks
        const Variable<float, 3> logits = model_.forward(tape, batch.current, ObservedSource<float>(*source, asked), answers);
        const Variable<float, 1> next_token =
            cross_entropy(tape, logits, targets, full<float, 2>(shape_of(targets), 1.0f), Reduction::token_mean);
        const Variable<float, 1> loss =
            with_infonce(tape, next_token, asked[0], seen, crossbatch_contexts, remedy_.loss_weights(step, training_.steps));
        tape.backward(loss);
        Proportion right;
        right.add_each(correct_predictions(logits.value(), targets));
        return {.loss = loss.value()(0),
                .accuracy = right.value(),
                .tokens = element_count(batch.current) + element_count(batch.previous)};
    }

    const Remedy& remedy_;
    DictionaryTraining training_;
    Transformer<float> model_;
    RemedyView at_;
};

/// None, then those of the table.
std::vector<Remedy> all_remedies() {
    std::vector<Remedy> list{{.name = "none", .inference_only = true}};
    for (Remedy& remedy : remedies()) list.push_back(std::move(remedy));
    return list;
}

/// What model a has more than model b on the same questions, over seeds. Of one seed the interval is that of two independent
/// shares, which is too wide.
Estimate difference(const Measurements<AccuracyCurve>& curves, const std::string& a, const std::string& b, Index tokens) {
    std::vector<Estimate> of_each;
    for (std::size_t s = 0; s < curves.of_seeds(a).size(); ++s) {
        const Estimate of_a = curves.of_seeds(a)[s].at(tokens), of_b = curves.of_seeds(b)[s].at(tokens);
        of_each.push_back(
            {of_a.value - of_b.value, {of_a.interval.low - of_b.interval.high, of_a.interval.high - of_b.interval.low}});
    }
    return over_seeds(of_each);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Do remedies for distraction find definitions that crossbatch training alone loses?");
    const std::vector<Remedy> all = all_remedies();
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
    const std::filesystem::path folder = settings.folder.empty() ? example.output() : std::filesystem::path(settings.folder);

    const auto name_of = [](const Remedy& remedy, Index contexts) { return message(remedy.name, "_", contexts); };
    Measurements<AccuracyCurve> curves;
    Table csv({"remedy", "contexts", "seed", "memory_tokens", "token_accuracy", "low", "high"});
    for (const std::uint64_t seed : example.seeds())
        for (const Remedy& remedy : all) {
            if (std::ranges::count(settings.only, remedy.name) == 0) continue;
            for (const Index contexts : {Index(1), crossbatch_contexts}) {
                const RemediedDictionaryModel model(example, folder, remedy, contexts, settings.top_k, seed);
                example.out() << "measure " << name_of(remedy, contexts) << ", seed " << seed << std::endl;
                const AccuracyCurve right = model.right_at_each_size(settings, seed);
                for (const auto& [tokens, accuracy] : right) csv.add(remedy.name, contexts, seed, tokens, accuracy);
                curves.add(name_of(remedy, contexts), right);
            }
        }

    Table table({"remedy", "contexts", "memory tokens", "right answer tokens", "minus none"});
    const bool compared = std::ranges::count(settings.only, "none") > 0;
    for (const Index contexts : {Index(1), crossbatch_contexts})
        for (const Remedy& remedy : all) {
            const std::string name = name_of(remedy, contexts), control = name_of(all[0], contexts);
            if (!curves.has(name)) continue;
            for (const auto& [tokens, accuracy] : shares_over_seeds(curves, name)) {
                example.result(message("accuracy.", name, ".", tokens), accuracy);
                std::string minus_none = "-";
                if (compared && name != control) {
                    const Estimate more = difference(curves, name, control, tokens);
                    example.result(message("difference.", name, "-", control, ".", tokens), more);
                    minus_none = estimate_text(more);
                }
                table.add(remedy.name, contexts, count_text(tokens), estimate_text(accuracy), minus_none);
            }
        }
    example.show("Right answer tokens, by remedy and contexts in training", table);
    example.csv("accuracy_by_seed", csv);
    return example.finish();
} catch (...) {
    return report_failure();
}
