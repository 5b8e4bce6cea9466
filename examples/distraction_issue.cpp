/// Does attention get distracted by unrelated documents, and does crossbatch training cure it?   (claim C1)
///
/// Three models of the same shape, data, steps and optimiser learn the same text byte by byte: a standard transformer, crossbatch
/// with one context (the own previous one), and crossbatch in which documents of the batch are added as negatives. Then each looks
/// at the previous context of a held-out document beside contexts of other held-out documents, and we measure which share of the
/// memory layer's attention stays with the own document, r_d among d contexts. Attention that does not care gives 1/d. What it is
/// good for is measured beside it: bits per byte with a memory that fills with other documents (claim C7, at length in
/// multi_document_perplexity). --full has a fourth model: crossbatch and, beside the next-token loss, an explicit contrastive one.
///
/// Data:    the libstdc++ headers that come with g++ (--corpus DIR[:GLOB] for other text, one file one document).
/// Time:    about five minutes on two cores, about half a gigabyte; --quick: seconds; --full: three seeds, 32 contexts.
/// Command: build/release/examples/distraction_issue
/// Expect:  the standard model on the line 1/d, crossbatch above it, with more contexts further above.
#include <map>

#include "support/memory_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// The models of the comparison. Every one is trained in the same way but for the contexts it sees.
std::vector<LanguageModelRecipe> recipes(const TextSettings& settings, double contrastive_weight) {
    const LanguageModelRecipe one{.name = "crossbatch_1", .kind = LanguageModelKind::crossbatch},
        many{.name = message("crossbatch_", settings.contexts),
             .kind = LanguageModelKind::crossbatch,
             .contexts = doubled_contexts(settings.contexts, settings.steps)};
    std::vector<LanguageModelRecipe> list{{.name = "standard", .kind = LanguageModelKind::standard}, one, many};
    if (contrastive_weight > 0) {
        list.push_back(many);
        list.back().name += "_infonce";
        list.back().contrastive_weight = contrastive_weight;
    }
    return list;
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(
        argc, argv, "Does attention get distracted by unrelated documents, and does crossbatch training cure it?",
        [](Example& example) {
            TextSettings settings;
            MemorySettings memory;
            double contrastive_weight = 0;
            add_text_options(example, settings, {12, 1000, 1000}, {8, 16, 32});
            add_memory_options(example, memory, {8192, 131072, 131072}, {8192, 32768, 32768});
            example.option("--contrastive-weight", contrastive_weight, Scaled<double>{0, 0, 0.5},
                           "of InfoNCE in a further model; 0: no such model");
            example.parse();

            const std::vector<TrainingPlan> models =
                chosen_plans(memory, settings, plans_of(recipes(settings, contrastive_weight), settings.steps));
            const CorpusSplit split = held_out(settings, memory, memory.largest);
            const std::vector<TokenDocument> training = byte_documents(split.train), before = documents_before(split, memory),
                                             test = measured_documents(split, memory);
            example.out() << split.train.size() << " documents for training, " << split.validation.size() << " for validation, "
                          << split.test.size() << " for testing\n\n";

            const std::vector<Index> sizes = memory_ladder(memory.smallest, memory.largest);
            const ConditionOf stream = reading(MemoryScope::multi_document, memory.top_k);
            const MemoryCurveOptions options = curve_options(settings, sizes, {stream});
            std::map<std::string, std::vector<PositiveMass>> measured;  // r_d of each seed
            MemoryCurves curves;
            Table gains({"model", "seed", "bits/byte, local context", "with the previous context", "r_64 x 64 by head"});
            for (Index s = 0; s < settings.seeds; ++s)
                for (const TrainingPlan& plan : models) {
                    const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
                    Transformer<float> model = model_of(example, settings, memory, plan, training, seed);
                    const PositiveMass mass = measure_positive_mass(settings, split, model);
                    const auto [with, without] = predictions(settings, split, model);
                    std::string heads;
                    for (const double r : mass.per_head(6)) heads += (heads.empty() ? "" : " ") + fixed(64 * r, 1);
                    gains.add(plan.name, seed, fixed(without.bits_per_byte), fixed(with.bits_per_byte), heads);
                    measured[plan.name].push_back(mass);
                    curves.add(plan.name, measured_curve(model, test, before, options, message(plan.name, ", seed ", seed)));
                }

            Plot plot{.name = "positive_mass",
                      .title = "Attention that stays with the own document",
                      .x_label = "contexts d",
                      .y_label = "positive attention mass r_d",
                      .log_x = true,
                      .log_y = true};
            Csv csv({"model", "seed", "d", "positive_mass", "low", "high"});
            std::vector<std::string> head{"d", "1/d"};
            for (const TrainingPlan& plan : models) head.push_back(plan.name);
            Table table(head);
            std::vector<std::vector<std::string>> rows;
            const std::vector<Index> contexts = measured[models[0].name][0].contexts();
            for (const Index d : contexts) rows.push_back({message(d), fixed(1.0 / static_cast<double>(d), 4)});
            for (const TrainingPlan& plan : models) {
                const std::vector<PositiveMass>& seeds = measured[plan.name];
                Series series{.name = plan.name, .x = {}, .y = {}};
                for (std::size_t i = 0; i < contexts.size(); ++i) {
                    std::vector<Estimate> of_each;
                    for (std::size_t s = 0; s < seeds.size(); ++s) {
                        const Estimate of_documents = bootstrap_mean(seeds[s].per_document(i), 1);
                        of_each.push_back(of_documents);
                        csv.add(plan.name, example.seed() + s, contexts[i], seeds[s].mean(i), of_documents.interval.low,
                                of_documents.interval.high);
                    }
                    const Estimate estimate = over_seeds(of_each);
                    series.add(static_cast<double>(contexts[i]), estimate);
                    rows[i].push_back(estimate_text(estimate, 4));
                    example.report().result(message("positive_mass.", plan.name, ".", contexts[i]), estimate.value);
                }
                plot.series.push_back(series);
            }
            Series guide{.name = "1/d: attention does not care", .x = {}, .y = {}, .style = Style::guide};
            for (const Index d : contexts) guide.add(static_cast<double>(d), 1.0 / static_cast<double>(d));
            plot.series.push_back(guide);

            for (const std::vector<std::string>& cells : rows) table.add_row(cells);
            example.out() << "\nPositive attention mass r_d on held-out documents, " << intervals_over(settings) << "\n\n"
                          << table << "\nIs the previous context used, and which heads attend to it?\n\n"
                          << gains;
            example.report().csv("positive_mass_by_seed", csv);
            example.report().plot(plot);
            report_curves(example, settings, curves, models, sizes, stream,
                          "A memory that fills with other documents: bits per byte");
            const std::string many = message("crossbatch_", settings.contexts);
            if (memory.checkpoint.empty())
                compare_models(example, settings, curves, sizes,
                               {{many, stream, "crossbatch_1", stream}, {many, stream, "standard", without_memory(stream)}});
        });
}
