/// What does an explicit contrastive loss add to crossbatch training?   (beyond the paper: its section on future work)
///
/// Crossbatch contrasts implicitly: positives and negatives compete in one softmax, and the next-token loss decides how sharply.
/// InfoNCE says so outright: its value is -log of the own document's share of attention. Four models, equal steps, data and
/// optimiser:
///
///     crossbatch   next-token loss with 16 contexts (the model of distraction_issue)
///     infonce      next-token loss of a standard transformer, plus InfoNCE on the memory layer's queries and keys
///     both         next-token loss of crossbatch, plus InfoNCE
///     hard         the same against the 64 hardest negative keys of each query only
///
/// Time:    about five minutes and half a gigabyte on two cores; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/contrastive_loss
/// Expect:  crossbatch raises r_d more than InfoNCE does beside a standard transformer's loss. To crossbatch, InfoNCE of the
///          default weight adds next to nothing; a larger --weight raises r_d and costs bits per byte. Against the hardest keys
///          alone it does harm. paper_notes.md has the figures.
#include <map>

#include "support/positive_mass_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

std::vector<LanguageModelRecipe> recipes(const TextSettings& settings, double weight) {
    using enum LanguageModelKind;
    const ContextSchedule contexts = doubled_contexts(settings.contexts, settings.steps);
    return {{.name = "crossbatch", .kind = crossbatch, .contexts = contexts},
            {.name = "infonce", .kind = standard, .contexts = contexts, .contrastive_weight = weight},
            {.name = "both", .kind = crossbatch, .contexts = contexts, .contrastive_weight = weight},
            {.name = "hard", .kind = crossbatch, .contexts = contexts, .contrastive_weight = weight, .hardest_negatives = 64}};
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(argc, argv, "What does an explicit contrastive loss add to crossbatch training?", [](Example& example) {
        TextSettings settings;
        double weight = 0.1;
        add_text_options(example, settings, {12, 800, 4000}, {8, 16, 16});
        add_comparison_options(example, settings);
        example.option("--weight", weight, "weight of InfoNCE beside the next-token loss, both in nats");
        example.parse();

        const CorpusSplit split = load_split(settings);
        const std::vector<TokenDocument> training = byte_documents(split.train);
        const std::vector<TrainingPlan> models = plans_of(recipes(settings, weight), settings.steps);
        PositiveMasses measured;
        std::map<std::string, std::vector<double>> with, without, accuracy;
        for (Index s = 0; s < settings.seeds; ++s)
            for (const TrainingPlan& plan : models) {
                const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
                Transformer<float> model = trained_text_model(example, settings, plan, training, seed);
                measured[plan.name].push_back(measure_positive_mass(settings, split, model));
                const auto [remembering, local] = predictions(settings, split, model);
                with[plan.name].push_back(remembering.bits_per_byte);
                without[plan.name].push_back(local.bits_per_byte);
                accuracy[plan.name].push_back(remembering.accuracy);
            }

        report_positive_mass(example, models, measured, "Crossbatch and InfoNCE");
        Table table(
            {"model", "r_2", "r_8", "r_64", "r_64 x 64", "bits/byte, local context", "with the previous context", "accuracy"});
        for (const TrainingPlan& plan : models) {
            const std::vector<Estimate> mass = positive_mass_estimates(measured[plan.name]);
            table.add(plan.name, estimate_text(mass[1]), estimate_text(mass[3]), estimate_text(mass[6], 4),
                      fixed(64 * mass[6].value, 2), fixed(median(without[plan.name])), fixed(median(with[plan.name])),
                      fixed(median(accuracy[plan.name])));
            example.report().result(message("bits_per_byte.", plan.name), median(with[plan.name]));
            example.report().result(message("accuracy.", plan.name), median(accuracy[plan.name]));
        }
        example.out() << "\nHeld-out documents" << (settings.seeds > 1 ? ", medians over seeds" : "")
                      << "; r_d: " << intervals_over(settings) << "; accuracy: of the next byte, with the previous context\n\n"
                      << table;
    });
}
