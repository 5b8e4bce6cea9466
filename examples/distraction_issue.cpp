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
#include "support/memory_experiment.hpp"
#include "support/positive_mass_experiment.hpp"

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
            add_comparison_options(example, settings);
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

            const std::vector<Index> sizes = memory_sizes(memory);
            const ConditionOf stream = reading(MemoryScope::multi_document, memory.top_k);
            const MemoryCurveOptions options = curve_options(settings, sizes, {stream});
            require_measurable(settings.corpus, test, options);
            PositiveMasses measured;
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

            std::vector<std::string> head{"d", "1/d"};
            std::vector<std::vector<Estimate>> mass;  // of each model: of each d
            for (const TrainingPlan& plan : models) {
                head.push_back(plan.name);
                mass.push_back(positive_mass_estimates(measured[plan.name]));
            }
            Table table(head);
            const std::vector<Index>& contexts = measured[models[0].name][0].contexts();
            for (std::size_t i = 0; i < contexts.size(); ++i) {
                std::vector<std::string> cells{message(contexts[i]), fixed(1.0 / static_cast<double>(contexts[i]), 4)};
                for (const std::vector<Estimate>& of_model : mass) cells.push_back(estimate_text(of_model[i], 4));
                table.add_row(cells);
            }
            example.out() << "\nPositive attention mass r_d on held-out documents, " << intervals_over(settings) << "\n\n"
                          << table << "\nIs the previous context used, and which heads attend to it?\n\n"
                          << gains;
            report_positive_mass(example, models, measured, "Attention that stays with the own document");
            report_curves(example, settings, curves, models, sizes, stream,
                          "A memory that fills with other documents: bits per byte");
            const std::string many = message("crossbatch_", settings.contexts);
            if (memory.checkpoint.empty())
                compare_models(example, settings, curves, sizes,
                               {{many, stream, "crossbatch_1", stream}, {many, stream, "standard", without_memory(stream)}});
        });
}
