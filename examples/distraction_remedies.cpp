/// Which remedy for distraction replaces crossbatch training, and which adds to it?   (beyond the paper)
///
/// A growing memory distracts: many keys of other documents take attention away from the keys of the query's own document.
/// Crossbatch training is one cure. Here are seven more (fot/remedies), each in a standard model and in one that is trained by
/// crossbatch; the first, scores that depend on how many keys there are, comes in three forms. All models are trained on the same
/// text for the same number of steps, and differ in what the remedy adds or replaces alone. Measured are r_64, the share of
/// attention that stays with the query's own document among 64, and bits per byte with memories of up to 524288 tokens.
///
/// In these memories documents come one after another, or one window of each document in turn ("interleaved"). When they are
/// interleaved, the age of a key says nothing about the document that it is from. The smallest memory, 512 tokens, then holds the
/// last four windows, and nothing of the document that is being predicted while five or more documents are unfinished.
///
///     standard, crossbatch_<n>   no remedy; n contexts in the end                                                   (control)
///     infonce                    next-token loss + 0.1 InfoNCE over n contexts, all the time                        (control)
///     whole_memory               no remedy, but the whole memory is read and not its k best                         (control)
///     ssmax                      scores that grow with the logarithm of the number of keys, also in training
///     log_length                 the same in inference only: it is not trained
///     adaptive_temperature       in inference only: scores that are larger where a query's attention is spread over many keys
///     sink                       a learned score that takes part in the softmax without belonging to a key
///     output_gate                each head is gated by the token
///     differential               the difference of two attentions
///     annealed_infonce           0.1 next-token loss + InfoNCE for a fifth of the steps, then the reverse
///     entmax                     scores far below the best have no weight; a gate joins local context and memory
///     untied                     which context: by a learned map of its mean key; then which key in it
///     <remedy>_crossbatch        the remedy and crossbatch together
///
/// What cannot be measured in the same way. r_64 is computed from the weights that a layer gives to contexts, however it computes
/// them. Differential attention has negative weights; their absolute values are counted. `untied` reads the whole memory in chunks
/// of a window, so its control is whole_memory. Without crossbatch, the gate of `entmax` and the map of `untied` get no gradient:
/// they stay as they began. `adaptive_temperature` takes the entropy over local keys and all keys of the contexts for r_64, but
/// over local keys and the k best of a memory for bits per byte. The memory layer has one head unless --memory-heads says
/// otherwise; with one, InfoNCE on one chosen head is the same as InfoNCE, so it is not listed apart.
///
/// By default the program trains standard, crossbatch_16 and four remedies: ssmax, sink, output_gate and annealed_infonce. To try a
/// remedy of your own, add an entry to the table in support/remedies.hpp.
///
/// Data:    the libstdc++ headers that come with g++ (--corpus DIR[:GLOB] for other text, one file one document).
/// Time:    400 steps took 27 minutes of one core without AVX-512, so the default should take some 36, on two cores some 22;
///          --quick: seconds; --full: all models, three seeds, 1000 steps (hours).
/// Memory:  1.5 GiB: a kilobyte a token, each size has a memory of its own, and all are copied once.
/// Command: build/release/examples/distraction_remedies
/// Expect:  at 128K tokens no model without crossbatch is shown to be as good as crossbatch_16; ssmax_crossbatch is better, clearly
///          at 2K to 32K; annealed_infonce has the largest r_64, and no fewer bits with a memory than without. (600 steps, three
///          seeds: measurements.md.)
#include "support/remedies.hpp"
#include "support/remedy_models.hpp"
#include "support/remedy_reports.hpp"
#include "support/stream_reading.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// The models without a remedy, then every remedy in a standard model and in one trained by crossbatch.
std::vector<RemedyPlan> all_plans(const TextSettings& settings) {
    const LanguageModelRecipe standard{.name = "standard"},
        crossbatch{.name = message("crossbatch_", settings.contexts),
                   .kind = LanguageModelKind::crossbatch,
                   .contexts = doubled_contexts(settings.contexts, settings.steps)};
    std::vector<RemedyPlan> plans{{standard.name, standard}, {crossbatch.name, crossbatch}};
    for (const Remedy& remedy : remedies())
        for (const auto& [suffix, recipe] : {std::pair{"", standard}, std::pair{"_crossbatch", crossbatch}}) {
            plans.push_back({remedy.name + suffix, recipe, remedy});
            if (!remedy.inference_only) plans.back().recipe.name = plans.back().name;
        }
    return plans;
}

/// What is trained without --only and --full: four remedies beside the models without one.
std::vector<std::string> usual_models(const TextSettings& settings) {
    std::vector<std::string> names{"standard", message("crossbatch_", settings.contexts)};
    for (const char* remedy : {"ssmax", "sink", "output_gate", "annealed_infonce"})
        for (const char* suffix : {"", "_crossbatch"}) names.push_back(std::string(remedy) + suffix);
    return names;
}

/// Trains a model, or reads it from its file, and measures it.
void measure(Example& example, const TextSettings& settings, const MemorySettings& memory, const RemedyPlan& plan,
             const std::vector<TokenDocument>& training, const CorpusSplit& split, const Reading& reading, std::uint64_t seed,
             RemedyMeasurements& measured) {
    const RemediedModel model(example, settings, plan, memory.top_k, training, seed);
    measured.seconds.add(plan.name, model.seconds_per_step);
    measured.masses.add(plan.name, measure_positive_mass(settings, split, model.model, [&](const auto&, const auto& input) {
                            return log_context_weights(model, input);
                        }));
    StreamReader filled(model.model, settings, memory_sizes(memory), [&](const auto& state) { return model.memory(state); });
    filled.read(documents_before(split, memory), false, false, message("fill the memory of ", plan.name, ", seed ", seed));
    for (const bool by_turns : {false, true}) {
        const std::string name = by_turns ? interleaved(plan.name) : plan.name, what = message(name, ", seed ", seed);
        StreamReader reader = filled;
        reader.read(measured_documents(split, memory), by_turns, true, message("measure ", what));
        measured.curves.add(name, reader.curve(reading));
        if (const auto* sparse = dynamic_cast<const EntmaxMemory<float>*>(&reader.source(memory.largest)))
            example.out() << what << ": " << sparse->inexact()
                          << " queries of the largest memory would need more than its k best\n";
    }
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Which remedy for distraction replaces crossbatch training, and which adds to it?");
    TextSettings settings;
    MemorySettings memory;
    add_text_options(example, settings, {2, 600, 1000}, {8, 16, 16});
    add_comparison_options(example, settings, {1, 2, 32});
    example.option("--smallest", memory.smallest, "smallest memory, tokens; each further one is four times as large", 1);
    example.option("--largest", memory.largest, {8192, 524288, 524288}, "largest memory, tokens", 1);
    example.option("--top-k", memory.top_k, "retrieved entries per query and head", 1);
    example.option("--documents", memory.documents, {2, 0, 0}, "test documents that are measured; 0: all");
    example.option("--longest", memory.longest, {8192, 32768, 32768}, "bytes of each that are read; 0: all");
    example.option("--only", memory.only, "train and measure these models; none: four remedies, all with --quick and --full");
    example.parse();
    require<ConfigError>(!settings.unnormalized_heads, "--unnormalized-heads: the remedies are for scores that are cosines");
    require<ConfigError>(settings.contexts >= 2, "--contexts ", settings.contexts, ": expected 2 or more, to have negatives");
    if (memory.only.empty() && example.scale() == Scale::standard) memory.only = usual_models(settings);

    const std::vector<RemedyPlan> plans = chosen_plans(example, memory, settings, all_plans(settings));
    const CorpusSplit split = load_split(settings);
    const Reading reading{MemoryScope::multi_document, memory.top_k};
    std::vector<Index> sizes = memory_sizes(memory);
    documents_before(split, memory);  // too little text is refused before anything is trained
    require_measurable(settings.corpus, measured_documents(split, memory), curve_options(settings, sizes, {reading}));
    const std::vector<TokenDocument> training = byte_documents(split.train);
    for (const RemedyPlan& plan : plans) require_trainable(settings, {plan.recipe}, training);
    RemedyMeasurements measured;
    for (const std::uint64_t seed : example.seeds())
        for (const RemedyPlan& plan : plans) measure(example, settings, memory, plan, training, split, reading, seed, measured);

    sizes.erase(sizes.begin());  // no memory
    const std::string control = message("crossbatch_", settings.contexts);
    for (const bool crossbatch : {true, false}) plot_differences(example, measured, sizes, reading, control, crossbatch);
    report_differences(example, measured, sizes, reading, control);
    if (sizes.size() > 3) sizes.erase(sizes.begin() + 1, sizes.end() - 2);  // this table: the smallest and the two largest
    report_remedies(example, measured, sizes, reading);
    return example.finish();
} catch (...) {
    return report_failure();
}
