/// What does an explicit contrastive loss add to crossbatch training?   (beyond the paper: its section 6 names it as future work)
///
/// Crossbatch contrasts implicitly: positives and negatives compete in one softmax, and the next-token loss decides how sharply.
/// InfoNCE does so explicitly: its value is -log of the share of attention to contexts that falls on the query's own document.
/// Three models, trained for the same number of steps, on the same data, with the same optimiser:
///
///     crossbatch   next-token loss with 16 contexts (the model of distraction_issue)
///     infonce      next-token loss of a standard transformer, plus InfoNCE on the memory layer's queries and keys
///     both         next-token loss of crossbatch, plus InfoNCE
///
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text).
/// Time:    about five minutes and half a gigabyte on two cores; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/contrastive_loss
/// Expect:  crossbatch raises r_d more than InfoNCE beside a standard transformer's loss does, which here contrasts over as many
///          contexts as crossbatch has at a step (over 16 from the first step on it raises r_d more: distraction_remedies). With
///          the default weight InfoNCE hardly changes the r_d of crossbatch; a larger --weight raises it, and costs bits per byte
///          (examples/measurements.md, C1).
#include "support/positive_masses.hpp"
#include "support/prediction.hpp"
#include "support/text_models.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

std::vector<LanguageModelRecipe> recipes(const TextSettings& settings, double weight) {
    using enum LanguageModelKind;
    const ContextSchedule contexts = doubled_contexts(settings.contexts, settings.steps);
    return {{.name = "crossbatch", .kind = crossbatch, .contexts = contexts},
            {.name = "infonce", .kind = standard, .contexts = contexts, .contrastive_weight = weight},
            {.name = "both", .kind = crossbatch, .contexts = contexts, .contrastive_weight = weight}};
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "What does an explicit contrastive loss add to crossbatch training?");
    TextSettings settings;
    double weight = 0.1;
    add_text_options(example, settings, {12, 800, 4000}, {8, 16, 16});
    add_comparison_options(example, settings);
    example.option("--weight", weight, "weight of InfoNCE beside the next-token loss, both in nats");
    example.parse();

    const CorpusSplit split = load_split(settings);
    const std::vector<TokenDocument> training = byte_documents(split.train);
    require_trainable(settings, recipes(settings, weight), training);
    PositiveMasses masses;
    Measurements<Predictions> predictions;
    for (const std::uint64_t seed : example.seeds())
        for (const LanguageModelRecipe& recipe : recipes(settings, weight)) {
            Transformer<float> model = trained_text_model(example, settings, recipe, training, seed);
            masses.add(recipe.name, measure_positive_mass(settings, split, model));
            predictions.add(recipe.name, measure_predictions(settings, split, model));
        }

    report_positive_mass(example, masses, "Crossbatch and InfoNCE");
    Table table({"model", "r_2", "r_8", "r_64", "r_64 x 64", "bits/byte, local context", "with the previous context", "accuracy"});
    for (const std::string& model : masses.models()) {
        const AccuracyCurve mass = shares_over_seeds(masses, model);
        const double local = median(predictions.each(model, [](const Predictions&of) { return of.local.bits_per_byte; })),
                     with = median(predictions.each(model, [](const Predictions&of) { return of.with_previous.bits_per_byte; })),
                     accuracy = median(predictions.each(model, [](const Predictions&of) { return of.with_previous.accuracy; }));
        table.add(model, estimate_text(mass.at(2)), estimate_text(mass.at(8)), estimate_text(mass.at(64), 4),
                  fixed(64 * mass.at(64).value, 2), fixed(local), fixed(with), fixed(accuracy));
        example.result(message("bits_per_byte.", model), with);
        example.result(message("accuracy.", model), accuracy);
    }
    example.show(message("Held-out documents", example.seeds().size() > 1 ? ", medians over seeds" : "",
                         "; r_d: ", intervals_over(example), "; accuracy: of the next byte, with the previous context"),
                 table);
    return example.finish();
} catch (...) {
    return report_failure();
}
