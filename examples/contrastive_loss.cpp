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

#include "support/text_experiment.hpp"

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
        example.option("--weight", weight, "weight of InfoNCE beside the next-token loss, both in nats");
        example.parse();

        const CorpusSplit split = load_split(settings);
        const std::vector<TokenDocument> training = byte_documents(split.train);
        const std::vector<TrainingPlan> models = plans_of(recipes(settings, weight), settings.steps);
        std::map<std::string, std::vector<PositiveMass>> mass;
        std::map<std::string, std::vector<double>> with, without, accuracy;
        Csv csv({"model", "seed", "d", "positive_mass"});
        for (Index s = 0; s < settings.seeds; ++s)
            for (const TrainingPlan& plan : models) {
                const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
                Transformer<float> model = trained_text_model(example, settings, plan, training, seed);
                mass[plan.name].push_back(measure_positive_mass(settings, split, model));
                const auto [remembering, local] = predictions(settings, split, model);
                with[plan.name].push_back(remembering.bits_per_byte);
                without[plan.name].push_back(local.bits_per_byte);
                accuracy[plan.name].push_back(remembering.accuracy);
                for (std::size_t i = 0; i < mass[plan.name].back().contexts().size(); ++i)
                    csv.add(plan.name, seed, mass[plan.name].back().contexts()[i], mass[plan.name].back().mean(i));
            }

        Plot plot{.name = "positive_mass",
                  .title = "Crossbatch and InfoNCE",
                  .x_label = "contexts d",
                  .y_label = "positive attention mass r_d",
                  .log_x = true,
                  .log_y = true};
        Table table(
            {"model", "r_2", "r_8", "r_64", "r_64 x 64", "bits/byte, local context", "with the previous context", "accuracy"});
        Series guide{.name = "1/d: attention does not care", .x = {}, .y = {}, .style = Style::guide};
        for (const TrainingPlan& plan : models) {
            std::vector<double> medians;
            Series series{.name = plan.name, .x = {}, .y = {}};
            const std::vector<Index>& contexts = mass[plan.name][0].contexts();
            for (std::size_t i = 0; i < contexts.size(); ++i) {
                std::vector<double> seeds;
                for (const PositiveMass& of_seed : mass[plan.name]) seeds.push_back(of_seed.mean(i));
                medians.push_back(median(seeds));
                series.add(static_cast<double>(contexts[i]), medians.back());
                if (&plan == &models[0]) guide.add(static_cast<double>(contexts[i]), 1.0 / static_cast<double>(contexts[i]));
                example.report().result(message("positive_mass.", plan.name, ".", contexts[i]), medians.back());
            }
            plot.series.push_back(series);
            table.add(plan.name, fixed(medians[1]), fixed(medians[3]), fixed(medians[6], 4), fixed(64 * medians[6], 2),
                      fixed(median(without[plan.name])), fixed(median(with[plan.name])), fixed(median(accuracy[plan.name])));
            example.report().result(message("bits_per_byte.", plan.name), median(with[plan.name]));
            example.report().result(message("accuracy.", plan.name), median(accuracy[plan.name]));
        }
        plot.series.push_back(guide);
        example.out() << "\nHeld-out documents" << (settings.seeds > 1 ? ", medians over seeds" : "")
                      << "; accuracy: of the next byte, with the previous context\n\n"
                      << table;
        example.report().csv("positive_mass_by_seed", csv);
        example.report().plot(plot);
    });
}
