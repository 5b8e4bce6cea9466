/// Is crossbatch training on several ranks the same training, to the last bit, and what do the ranks send each other?
///
/// The model of distraction_issue with many contexts, its documents spread over the ranks. A rank computes the previous contexts of
/// its documents and its entries of the batch; what its entries see of other ranks' documents is sent, and the gradients go back.
/// So no machine computes all d contexts of a step (--contexts d: the corpus must have as many documents for training). With
/// --streamed N none holds them either: N contexts at a time go to the ranks whose entries see them. Some steps are trained once
/// more on one rank alone, for comparison.
///
/// Data:    as distraction_issue.
/// Time:    two minutes with two ranks on two cores, four with one; --quick: seconds.
/// Command: mpiexec -n 2 build/release/examples/distributed_distraction   (MPI), or
///          build/release/examples/distributed_distraction --ranks 2      (threads)
///          A checkpoint is left by rank 0; any number of ranks goes on from it.
///          1024 contexts, 32 at a time, of real text:
///          mpiexec -n 4 build/release/examples/distributed_distraction --quick --corpus '/usr/include:**/*.h' --contexts 1024
///          --steps 4 --streamed 32
/// Expect:  losses equal bit by bit; r_64 and bits per byte as distraction_issue prints them; bytes as the formulas say.
#include "fot/distributed/crossbatch.hpp"
#include "support/memory_reports.hpp"
#include "support/positive_masses.hpp"
#include "support/ranks.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// What a training left beside the model.
struct Trained {
    std::vector<double> losses;                          // of each step
    double predicted_bytes = 0;                          // that a rank sends of keys and values once, by the formula
    Index keys_and_values_sent = 0, gradients_sent = 0;  // bytes, by this rank
    Index most_of_others = 0;                            // contexts of other ranks that this one has had at a time
};

/// Trains the first `steps` of the training that the settings say, with `streamed` contexts at a time. All ranks call it.
Trained train(const Example& example, Communicator& ranks, const TextSettings& settings, Index streamed,
              const std::vector<TokenDocument>& documents, Index steps, bool kept, Transformer<float>& model) {
    const LanguageModelRecipe recipe{.name = message("distributed_crossbatch_", settings.contexts, streamed > 0 ? "_streamed" : ""),
                                     .kind = LanguageModelKind::crossbatch,
                                     .contexts = doubled_contexts(settings.contexts, settings.steps)};
    ContextSchedule contexts = recipe.contexts;
    Random random(example.seed() + 1000);
    Muon<float> optimizer(model.parameters(), {});
    const LearningRate rate = LearningRate::linear_decay(settings.learning_rate, 40, settings.steps);
    TextModelFile file(example, settings, model.config(), example.seed());
    file.add_training(recipe, {settings.steps}, documents);
    std::optional<Progress> bar;
    if (ranks.rank() == 0) bar.emplace(message("train on ", ranks.size(), ranks.size() == 1 ? " rank" : " ranks"), steps);
    Trained trained;
    Trainer<float> trainer(optimizer, {.steps = steps,
                                       .learning_rate = [&](Index step) { return rate.at(step); },
                                       .checkpoint = kept ? file.path() : "",
                                       .checkpoint_every_seconds = 60,
                                       .writes_checkpoint = ranks.rank() == 0,
                                       .stop = [&] { return any_of(ranks, "stop", interrupted()); },
                                       .metadata = file.metadata(),
                                       .progress =
                                           [&](const TrainingProgress& at) {
                                               if (bar) bar->update(at.steps_done, training_note(at));
                                           }});
    trainer.keep("batches", random);
    trainer.keep("contexts", contexts);
    trainer.keep("losses", trained.losses);
    trainer.keep("predicted_bytes", trained.predicted_bytes);
    trainer.keep("keys_and_values_sent", trained.keys_and_values_sent);
    trainer.keep("gradients_sent", trained.gradients_sent);
    trainer.keep("most_of_others", trained.most_of_others);
    resume(trainer);
    const Trained before = trained;  // counts of the training so far: those of the ranks begin anew
    require_same(ranks, "the number of steps done (do all ranks see the same checkpoint?)", message(trainer.steps_done()));
    DistributedCrossbatch<float> crossbatch(ranks, model, streamed);
    const Index context_bytes = 2 * settings.length * model.config().memory_heads *
                                model.config().head_width_of(settings.layers - 1) * static_cast<Index>(sizeof(float));
    const auto drawn = [&](Index pool, Random& from) {
        return sample_contexts<float>(documents, {.entries = settings.batch, .pool = pool, .length = settings.length}, from);
    };
    Random trial(0);  // too few documents for the largest d are refused now, not when it comes
    drawn(std::max(settings.batch, contexts.values().back()), trial);
    trainer.run([&](Index step) {
        const Index d = contexts.next(step, random), pool = std::max(settings.batch, d);
        const ContextBatch<float> batch = drawn(pool, random);
        trained.losses.push_back(crossbatch.step(batch, contexts_of(batch, d - 1)));
        trained.predicted_bytes +=
            static_cast<double>(std::min(d - 1, pool - pool / ranks.size()) * context_bytes);  // of one node, equal shares
        trained.keys_and_values_sent = before.keys_and_values_sent + ranks.bytes_sent("keys and values");
        trained.gradients_sent = before.gradients_sent + ranks.bytes_sent("gradients of keys and values");
        trained.most_of_others = std::max(before.most_of_others, crossbatch.most_of_others());
        return StepResult{.loss = trained.losses.back(), .tokens = settings.batch * settings.length};
    });
    stop_if_interrupted(training_is_kept);
    return trained;
}

void report(Example& example, const TextSettings& settings, const MemorySettings& memory, const CorpusSplit& split,
            Transformer<float>& model) {
    const std::string name = message("crossbatch_", settings.contexts);
    PositiveMasses masses;
    masses.add(name, measure_positive_mass(settings, split, model));
    report_positive_mass(example, masses, "Attention that stays with its own document");
    const Reading stream{MemoryScope::multi_document, memory.top_k};
    const std::vector<Index> sizes = memory_sizes(memory);
    MemoryCurves curves;
    curves.add(name, measured_curve(model, measured_documents(split, memory), documents_before(split, memory),
                                    curve_options(settings, sizes, {stream}), name));
    report_curves(example, curves, sizes, stream, "A memory that fills with other documents: bits per byte");
}

}  // namespace

int main(int argc, char** argv) {
    TextSettings settings;
    MemorySettings memory;
    Index compared = 0, streamed = 0;
    const auto declare = [&](Example& example) {
        add_text_options(example, settings, {12, 1000, 1000}, {8, 16, 32});
        example.option("--places,--queries", settings.places, {1, 16, 32}, "places measured in each test document", 1);
        example.option("--smallest", memory.smallest, "smallest memory, tokens; each further one is four times as large", 1);
        example.option("--largest", memory.largest, {8192, 131072, 131072}, "largest memory, tokens", 1);
        example.option("--documents", memory.documents, {2, 0, 0}, "test documents that are measured; 0: all");
        example.option("--longest", memory.longest, {8192, 32768, 32768}, "bytes of each that are read; 0: all");
        example.option("--compared-steps", compared, {4, 20, 20}, "steps that are trained once more on one rank alone", 1);
        example.option("--streamed", streamed, "contexts of others that a rank holds at a time; 0: all that its entries see");
    };
    return run_on_ranks(
        argc, argv, "Is crossbatch training on several ranks the same training, and what is sent?", declare,
        [&](Example& example, Communicator& ranks) {
            CorpusSplit split;
            together(ranks, "reading the corpus", [&] { split = split_of(settings, memory, memory.largest); });
            const std::vector<TokenDocument> training = byte_documents(split.train);
            require_same(ranks, "the text", fingerprint(training));
            Random weights(example.seed());
            Transformer<float> model = new_text_model(settings, weights);
            const double peak_before = highest_peak_mebibytes(ranks);
            const double waited = ranks.seconds_waiting(), sent = ranks.seconds_sending();
            const auto begun = std::chrono::steady_clock::now();
            const Trained trained = train(example, ranks, settings, streamed, training, settings.steps, true, model);
            const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
            const Table traffic = traffic_table(ranks, seconds, waited, sent);
            const double peak = highest_peak_mebibytes(ranks);
            if (ranks.rank() != 0) return;

            const Index steps = std::min(compared, settings.steps);
            SingleProcess alone;
            Random again(example.seed());
            Transformer<float> of_one = new_text_model(settings, again);
            const std::vector<double> losses = train(example, alone, settings, streamed, training, steps, false, of_one).losses;
            const bool equal = std::ranges::equal(losses, std::span(trained.losses).first(losses.size()));
            Plot plot{.name = "loss", .title = "Loss of training", .x_label = "step", .y_label = "nats a byte"};
            Series of_ranks{message(ranks.size(), " ranks")}, of_alone{"one rank alone"};
            const auto add_all = [](Series& series, const std::vector<double>& of_steps) {
                for (Index i = 0; i < length_of(of_steps); ++i) {
                    const double loss = element(of_steps, i);
                    series.add(i + 1, {loss, {loss, loss}});  // with an interval: a curve of its own colour
                }
            };
            add_all(of_ranks, trained.losses);
            add_all(of_alone, losses);
            plot.series = {of_ranks, of_alone};
            example.plot(plot);
            example.show("What the ranks have sent until the end of training, and their time in training", traffic);
            example.out() << "\nThe losses of " << steps << " steps are " << (equal ? "" : "NOT ")
                          << "those of one rank, bit by bit.\n";
            example.result("same_losses_as_one_rank", equal ? 1 : 0);
            example.result("bytes_sent.keys_and_values", trained.keys_and_values_sent);
            example.result("bytes_by_formula.keys_and_values", (streamed > 0 ? 2 : 1) * trained.predicted_bytes);
            example.result("bytes_sent.gradients", trained.gradients_sent);
            example.result("bytes_by_formula.gradients", trained.predicted_bytes);
            example.result("most_contexts_of_others", trained.most_of_others);
            example.result("highest_peak_mebibytes.before_training", peak_before);
            example.result("highest_peak_mebibytes", peak);
            report(example, settings, memory, split, model);
        });
}
