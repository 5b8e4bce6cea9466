/// Do unrelated documents distract attention, and does crossbatch training cure it?   (claims C1 and C7)
///
/// Three models of the same shape, data, steps and optimiser learn the same text byte by byte:
///
///     standard        trained on its local context alone, as a transformer usually is
///     crossbatch_1    crossbatch with one context, that of the query's own document
///     crossbatch_<n>  crossbatch in which contexts of other documents of the batch are added as negatives
///
/// In all three the last layer has no positions, so that it can be given a memory afterwards.
///
/// Then each model sees the previous context of a held-out document beside contexts of other held-out documents. We measure r_d,
/// the share of a query's attention to d contexts in the memory layer that falls on the query's own document. Even attention gives
/// 1/d. We also measure what the share is good for: bits per byte with a memory that fills with other documents (C7;
/// multi_document_perplexity has more). --full adds a fourth model, crossbatch with an explicit contrastive loss beside the
/// next-token loss.
///
/// Source: paper section 3.3, Figure 3 (C1); appendix C.2, Figure 6 (C7, in bits per byte here).
/// Data:    the libstdc++ headers that come with g++ (--corpus DIR[:GLOB] for other text, one file one document).
/// Time:    about five minutes on two cores, about half a gigabyte; --quick: seconds; --full: three seeds, 32 contexts.
/// Command: build/release/examples/distraction_issue
/// Expect:  the standard model on the line 1/d, crossbatch above it, with more contexts further above.
#include "support/memory_reports.hpp"
#include "support/positive_masses.hpp"
#include "support/prediction.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// The models of the comparison. Every one is trained in the same way but for the contexts it sees.
std::vector<LanguageModelRecipe> recipes(const TextSettings& settings, double contrastive_weight, Index sliding_steps) {
    const LanguageModelRecipe one{.name = "crossbatch_1", .kind = LanguageModelKind::crossbatch, .sliding_steps = sliding_steps},
        many{.name = message("crossbatch_", settings.contexts),
             .kind = LanguageModelKind::crossbatch,
             .contexts = doubled_contexts(settings.contexts, settings.steps),
             .sliding_steps = sliding_steps};
    std::vector<LanguageModelRecipe> list{{.name = "standard", .kind = LanguageModelKind::standard}, one, many};
    if (contrastive_weight > 0) {
        list.push_back(many);
        list.back().name += "_infonce";
        list.back().contrastive_weight = contrastive_weight;
    }
    return list;
}

/// Trains a model from the weights as they are: random places of random documents, and the previous windows of d documents.
void train(const Example& example, const TextSettings& settings, const LanguageModelRecipe& recipe,
           const std::vector<TokenDocument>& documents, std::uint64_t seed, Transformer<float>& model) {
    ContextSchedule contexts = recipe.contexts;  // d of each step: 1 at first, doubled later
    Random random(seed + 1000);
    Muon<float> optimizer(model.parameters(), {});
    const LearningRate rate = LearningRate::linear_decay(settings.learning_rate, 40, settings.steps);
    TextModelFile file(example, settings, model.config(), seed);
    file.add_training(recipe, {settings.steps}, documents);
    Progress bar(message("train ", recipe.name, ", seed ", seed), settings.steps);
    Trainer<float> trainer(optimizer,
                           {.steps = settings.steps,
                            .learning_rate = [&](Index step) { return rate.at(step); },
                            .checkpoint = file.path(),
                            .checkpoint_every_seconds = 60,
                            .metadata = file.metadata(),
                            .progress = [&](const TrainingProgress& at) { bar.update(at.steps_done, training_note(at)); }});
    trainer.keep("batches", random);
    trainer.keep("contexts", contexts);
    resume(trainer);
    const auto drawn = [&](Index pool, Index overlap, Random& from) {
        return sample_contexts<float>(
            documents, {.entries = settings.batch, .pool = pool, .length = settings.length, .overlap = overlap}, from);
    };
    trainer.run([&](Index step) {
        const Index d = contexts.next(step, random), pool = std::max(settings.batch, d);
        const ContextBatch<float> batch = drawn(pool, sliding_overlap(step, recipe.sliding_steps, settings.length), random);
        // Of the d previous contexts that a document sees the first is its own; the others are there to be told apart from it.
        const ContextTable own_and_others = previous_contexts(settings.batch, 1, d - 1, pool);
        Tape tape;
        const bool standard = recipe.kind == LanguageModelKind::standard;
        const Contexts<float> seen(model.keys_and_values(tape, standard ? Tokens{} : batch.previous), own_and_others);
        std::vector<LayerView<float>> asked;  // the memory layer's queries
        const Variable<float, 3> logits =
            standard ? model.local(tape, batch.current) : model.forward(tape, batch.current, ObservedSource<float>(seen, asked));
        Variable<float, 1> loss = cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
        if (recipe.contrastive_weight > 0 && d > 1)
            loss = add(tape, loss,
                       contrastive_loss(tape, asked[0].q, seen.of_layer(asked[0].layer).k, own_and_others,
                                        static_cast<float>(recipe.contrastive_weight)));
        tape.backward(loss);
        return StepResult{.loss = loss.value()(0), .tokens = settings.batch * settings.length};
    });
    stop_if_interrupted(training_is_kept);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does attention get distracted by unrelated documents, and does crossbatch training cure it?");
    TextSettings settings;
    MemorySettings memory;
    double contrastive_weight = 0;
    Index sliding_steps = 0;
    add_text_options(example, settings, {12, 1000, 1000}, {8, 16, 32});
    add_comparison_options(example, settings);
    add_memory_options(example, memory, {8192, 131072, 131072}, {8192, 32768, 32768});
    example.option("--contrastive-weight", contrastive_weight, {0, 0, 0.5},
                   "weight of InfoNCE in a further model; 0: none is trained");
    example.option("--sliding-steps", sliding_steps,
                   "first steps of crossbatch, in which contexts slide from the current window to the place before it");
    example.parse();
    require<ConfigError>(sliding_steps < settings.steps, "--sliding-steps ", sliding_steps, ": expected fewer than the ",
                         settings.steps, " of the training");

    const std::vector<LanguageModelRecipe> plans =
        chosen_plans(example, memory, settings, recipes(settings, contrastive_weight, sliding_steps));
    const CorpusSplit split = split_of(settings, memory, memory.largest);
    const std::vector<TokenDocument> training = byte_documents(split.train), before = documents_before(split, memory),
                                     test = measured_documents(split, memory);
    example.out() << training.size() << " documents for training, " << split.validation.size() << " for validation, "
                  << split.test.size() << " for testing\n\n";
    const Reading stream{MemoryScope::multi_document, memory.top_k};
    const std::vector<Index> sizes = memory_sizes(memory);
    const MemoryCurveOptions options = curve_options(settings, sizes, {stream});
    require_measurable(settings.corpus, test, options);
    if (memory.checkpoint.empty()) require_trainable(settings, plans, training);

    PositiveMasses masses;
    MemoryCurves curves;
    Table gains({"model", "seed", "bits/byte, local context", "with the previous context", "r_64 x 64 by head"});
    for (const std::uint64_t seed : example.seeds())
        for (const LanguageModelRecipe& plan : plans) {
            Random weights(seed);
            Transformer<float> model =
                memory.checkpoint.empty() ? new_text_model(settings, weights) : stored_text_model(memory.checkpoint, settings);
            if (memory.checkpoint.empty()) train(example, settings, plan, training, seed, model);

            const PositiveMass mass = measure_positive_mass(settings, split, model);
            const Predictions predicted = measure_predictions(settings, split, model);
            std::string by_head;
            for (const double r_64 : mass.per_head(mass.contexts().size() - 1))
                by_head += message(by_head.empty() ? "" : " ", fixed(64 * r_64, 1));
            gains.add(plan.name, seed, fixed(predicted.local.bits_per_byte), fixed(predicted.with_previous.bits_per_byte), by_head);
            masses.add(plan.name, mass);
            curves.add(plan.name, measured_curve(model, test, before, options, message(plan.name, ", seed ", seed)));
        }

    report_positive_mass(example, masses, "Attention that stays with its own document");
    example.show("Is the previous context used, and which heads attend to it?", gains);
    report_curves(example, curves, sizes, stream, "A memory that fills with other documents: bits per byte");
    const std::string many = message("crossbatch_", settings.contexts);
    const Reading bare{.scope = stream.scope, .top_k = stream.top_k, .bare = true};
    compare_models(example, curves, sizes, {{many, "crossbatch_1", stream}, {many, "standard", stream, bare}});
    return example.finish();
} catch (...) {
    return report_failure();
}
