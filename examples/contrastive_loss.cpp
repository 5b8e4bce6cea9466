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
/// Time:    about eight minutes on two cores; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/contrastive_loss
/// Expect:  crossbatch raises r_d more than InfoNCE does beside a standard transformer's loss, and InfoNCE adds next to nothing to
///          crossbatch; against the hardest keys alone it does harm. paper_notes.md has the figures.
#include "fot/loss/contrastive_loss.hpp"

#include <map>

#include "support/text_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct Recipe {
    std::string name;
    bool crossbatch;    // contexts in the model's softmax; else the next-token loss is that of a standard transformer
    bool contrast;      // InfoNCE is added
    Index hardest = 0;  // negatives per query; 0: all keys of the negative contexts
};

/// a + weight * b, for two losses.
Variable<float, 1> weighted_sum(Tape& tape, const Variable<float, 1>& a, const Variable<float, 1>& b, float weight) {
    return tape.record(
        full<float, 1>({1}, a.value()(0) + weight * b.value()(0)),
        [=](const Tensor<float, 1>& d_sum) {
            if (a.needs_gradient()) a.gradient()(0) += d_sum(0);
            if (b.needs_gradient()) b.gradient()(0) += weight * d_sum(0);
        },
        a, b);
}

/// One step after another, for train_text_model.
struct ContrastiveTraining {
    Transformer<float>& model;
    const TextSettings& settings;
    Recipe recipe;
    float weight;
    const std::vector<TokenDocument>& documents;
    Random random;
    ContextSchedule schedule = doubled_contexts(settings.contexts, settings.steps);

    void keep(Trainer<float>& trainer) {
        trainer.keep("batches", random);
        trainer.keep("contexts", schedule);
    }

    StepResult operator()(Index step) {
        const Index contexts = schedule.next(step, random), entries = settings.batch, pool = std::max(entries, contexts);
        const ContextBatch<float> batch = sample_contexts<float>(
            documents, {.entries = entries, .pool = pool, .positives = 1, .length = settings.length}, random);
        const ContextTable table = previous_contexts(entries, 1, contexts - 1, pool);
        Tape tape;
        std::vector<MemoryLayerView<float>> seen;
        const Variable<float, 3> with_contexts = model.crossbatch(tape, {batch.previous, batch.current, table}, &seen);
        const Variable<float, 3> logits = recipe.crossbatch ? with_contexts : model.local(tape, batch.current);
        Variable<float, 1> loss = cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
        if (recipe.contrast && contexts > 1)
            loss = weighted_sum(tape, loss, contrastive_loss(tape, seen[0].q, seen[0].context_k, table, recipe.hardest), weight);
        tape.backward(loss);
        return {.loss = static_cast<double>(loss.value()(0)), .tokens = entries * settings.length};
    }
};

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
        const std::vector<Recipe> models{
            {"crossbatch", true, false}, {"infonce", false, true}, {"both", true, true}, {"hard", true, true, 64}};
        std::map<std::string, std::vector<PositiveMass>> mass;
        std::map<std::string, std::vector<double>> with, without;
        Csv csv({"model", "seed", "d", "positive_mass"});
        for (Index s = 0; s < settings.seeds; ++s)
            for (const Recipe& recipe : models) {
                const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
                Random random(seed);
                Transformer<float> model = new_text_model(settings, random);
                ContrastiveTraining steps{model, settings, recipe, static_cast<float>(weight), training, Random(seed + 1000)};
                train_text_model(example, settings, recipe.name, steps, seed, model);
                mass[recipe.name].push_back(measure_positive_mass(settings, split, model));
                const auto [bits_with, bits_without] = bits_per_byte(settings, split, model);
                with[recipe.name].push_back(bits_with);
                without[recipe.name].push_back(bits_without);
                for (std::size_t i = 0; i < mass[recipe.name].back().contexts().size(); ++i)
                    csv.add(recipe.name, seed, mass[recipe.name].back().contexts()[i], mass[recipe.name].back().mean(i));
            }

        Plot plot{.name = "positive_mass",
                  .title = "Crossbatch and InfoNCE",
                  .x_label = "contexts d",
                  .y_label = "positive attention mass r_d",
                  .log_x = true,
                  .log_y = true};
        Table table({"model", "r_2", "r_8", "r_64", "r_64 x 64", "bits/byte, local context", "with the previous context"});
        Series guide{.name = "1/d: attention does not care", .x = {}, .y = {}, .style = Style::guide};
        for (const Recipe& recipe : models) {
            std::vector<double> medians;
            Series series{.name = recipe.name, .x = {}, .y = {}};
            const std::vector<Index>& contexts = mass[recipe.name][0].contexts();
            for (std::size_t i = 0; i < contexts.size(); ++i) {
                std::vector<double> seeds;
                for (const PositiveMass& of_seed : mass[recipe.name]) seeds.push_back(of_seed.mean(i));
                medians.push_back(median(seeds));
                series.add(static_cast<double>(contexts[i]), medians.back());
                if (&recipe == &models[0]) guide.add(static_cast<double>(contexts[i]), 1.0 / static_cast<double>(contexts[i]));
                example.report().result(message("positive_mass.", recipe.name, ".", contexts[i]), medians.back());
            }
            plot.series.push_back(series);
            table.add(recipe.name, fixed(medians[1]), fixed(medians[3]), fixed(medians[6], 4), fixed(64 * medians[6], 2),
                      fixed(median(without[recipe.name])), fixed(median(with[recipe.name])));
            example.report().result(message("bits_per_byte.", recipe.name), median(with[recipe.name]));
        }
        plot.series.push_back(guide);
        example.out() << "\nHeld-out documents" << (settings.seeds > 1 ? ", medians over seeds" : "") << "\n\n" << table;
        example.report().csv("positive_mass_by_seed", csv);
        example.report().plot(plot);
    });
}
