/// Does attention get distracted by unrelated documents, and does crossbatch training cure it?   (claim C1)
///
/// Three models of the same shape, data, steps and optimiser learn the same text byte by byte: a standard transformer, crossbatch with
/// one context (the own previous one), and crossbatch in which documents of the batch are added as negatives. Then each looks at the
/// previous context of a held-out document beside contexts of other held-out documents, and we measure which share of the
/// memory layer's attention stays with the own document, r_d among d contexts. Attention that does not care gives 1/d.
///
/// Data:    the libstdc++ headers that come with g++ (--corpus DIR[:GLOB] for other text, one file one document).
/// Time:    about five minutes on two cores, about half a gigabyte; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/distraction_issue
/// Expect:  the standard model on the line 1/d, crossbatch above it, with more contexts further above.
#include <filesystem>
#include <map>

#include "fot/data/corpus.hpp"
#include "fot/data/documents.hpp"
#include "fot/measure/intervals.hpp"
#include "fot/measure/positive_mass.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/muon.hpp"
#include "fot/train/trainer.hpp"
#include "support/options.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct Settings {
    std::string corpus;  // empty: the libstdc++ headers
    Index steps = 0, seeds = 0, batch = 16, length = 128, contexts = 0, width = 128, layers = 3, heads = 4, memory_heads = 1;
    Index queries = 0;  // places of each held-out document that are measured
    double learning_rate = 1;
};

/// A model of the comparison: how many contexts it sees when. Number 0: local context only.
struct Recipe {
    std::string name;
    ContextSchedule contexts;
    bool standard = false;
};

/// The number of contexts is raised in powers of two once the model has learned to use its previous context; a model that starts with
/// many learns to ignore them all.
std::vector<Recipe> recipes(const Settings& settings) {
    std::vector<std::pair<Index, Index>> raised{{0, 1}};
    const Index begin = 3 * settings.steps / 10, end = settings.steps / 2;
    Index stages = 0;
    for (Index c = 2; c <= settings.contexts; c *= 2) ++stages;
    for (Index stage = 1, c = 2; c <= settings.contexts; c *= 2, ++stage)
        raised.emplace_back(begin + (stages > 1 ? (end - begin) * (stage - 1) / (stages - 1) : 0), c);
    return {{"standard", ContextSchedule::constant(1), true},
            {"crossbatch_1", ContextSchedule::constant(1)},
            {message("crossbatch_", settings.contexts), ContextSchedule::at_steps(raised)}};
}

CorpusSplit load(const Settings& settings) {
    std::vector<Document> documents = settings.corpus.empty() ? libstdcxx_documents() : load_corpus(settings.corpus);
    return split_documents(std::move(documents), 20000, 0.15, 0.15, 7);  // the split is the same for every seed
}

Transformer<float> new_model(const Settings& settings, Random& random) {
    return Transformer<float>({.vocabulary = byte_vocabulary,
                               .width = settings.width,
                               .layers = settings.layers,
                               .memory_layers = {settings.layers - 1},
                               .heads = settings.heads,
                               .memory_heads = settings.memory_heads,
                               .feed_forward = 4 * settings.width},
                              random);
}

/// Next-token loss of a batch, in nats. Without contexts it is the loss of a standard transformer.
Variable<float, 1> loss_of(Tape& tape, Transformer<float>& model, const ContextBatch<float>& batch, Index contexts) {
    const Index entries = extent(batch.current, 0);
    const ContextTable table = contexts == 0 ? no_contexts(entries) : previous_contexts(entries, 1, contexts - 1, extent(batch.previous, 0));
    const Tokens none = empty<std::int32_t, 2>({0, 0});
    const Variable<float, 3> logits = model.crossbatch(tape, {contexts == 0 ? none : batch.previous, batch.current, table});
    return cross_entropy(tape, logits, batch.targets, batch.mask, Reduction::token_mean);
}

/// Trains `model`, or goes on where an interrupted run of the same settings stopped.
void train(Example& example, const Settings& settings, Recipe recipe, const std::vector<TokenDocument>& documents, std::uint64_t seed,
           Transformer<float>& model) {
    Random random(seed + 1000);
    Muon<float> optimizer(model.parameters(), {});
    const LearningRate schedule = LearningRate::linear_decay(settings.learning_rate, 40, settings.steps);
    const std::filesystem::path checkpoint = example.output() / message(recipe.name, "_seed", seed, "_", settings.steps, "steps.safetensors");
    examples::Progress bar(message("train ", recipe.name, ", seed ", seed), settings.steps);
    Trainer<float> trainer(model.parameters(), optimizer,
                           {.steps = settings.steps,
                            .learning_rate = [&](Index step) { return schedule.at(step); },
                            .checkpoint = checkpoint,
                            .progress = [&](const fot::Progress& at) {
                                bar.update(at.steps_done, message(fixed(at.loss / std::log(2.0)), " bits/byte, ", static_cast<Index>(at.tokens_per_second), " tokens/s"));
                            }});
    trainer.keep("batches", random);
    trainer.resume();
    const TrainingOutcome outcome = trainer.run([&](Index step) {
        const Index contexts = recipe.standard ? 0 : recipe.contexts.next(step, random);
        const WindowShape shape{.entries = settings.batch, .pool = std::max(settings.batch, contexts), .positives = 1, .length = settings.length};
        Tape tape;
        const Variable<float, 1> loss = loss_of(tape, model, sample_contexts<float>(documents, shape, random), contexts);
        tape.backward(loss);
        return StepResult{.loss = static_cast<double>(loss.value()(0)), .tokens = settings.batch * settings.length};
    });
    if (outcome == TrainingOutcome::interrupted)
        throw Interrupted(message("training of ", recipe.name, " is kept in ", checkpoint.string(), "; the same command goes on from there"));
}

/// r_d on held-out text. Queries come from test documents; the other contexts from windows of all other held-out documents.
PositiveMass measure(const Settings& settings, const CorpusSplit& split, Transformer<float>& model) {
    const std::vector<TokenDocument> test = byte_documents(split.test);
    std::vector<TokenDocument> held_out = test;
    for (TokenDocument& document : byte_documents(split.validation)) held_out.push_back(std::move(document));
    require<DataError>(held_out.size() >= 2, "distraction_issue: ", held_out.size(), " held-out documents, expected 2 or more");

    const Index most = 64, length = settings.length;
    const ContextTable table = previous_contexts(1, 1, most - 1, most);
    PositiveMass mass({1, 2, 4, 8, 16, 32, 64});
    Random random(2024);  // the same places for every model and seed
    const auto copy_window = [&](const TokenDocument& document, Index start, std::int32_t* target) { std::copy_n(document.tokens.data() + start, length, target); };
    for (std::size_t d = 0; d < test.size(); ++d) {
        // All places of a document are averaged before intervals are drawn: the document is the unit.
        Tensor<float, 4> of_document = empty<float, 4>({1, settings.queries * length, settings.memory_heads, most});
        for (Index place = 0; place < settings.queries; ++place) {
            Tokens contexts = empty<std::int32_t, 2>({most, length}), current = empty<std::int32_t, 2>({1, length});
            const Index start = random.below(test[d].length() - 2 * length + 1);
            copy_window(test[d], start, row(contexts, 0));
            copy_window(test[d], start + length, row(current, 0));
            for (Index i = 1; i < most; ++i) {
                std::size_t other = d;
                while (other == d) other = static_cast<std::size_t>(random.below(static_cast<Index>(held_out.size())));
                copy_window(held_out[other], random.below(held_out[other].length() - length + 1), row(contexts, i));
            }
            Tape tape(Tape::inference);
            std::vector<MemoryLayerView<float>> seen;
            model.crossbatch(tape, {contexts, current, table}, &seen);
            const Tensor<float, 4> log_mass = context_log_mass(seen[0].q.value(), seen[0].context_k.value(), table);
            std::copy_n(log_mass.data(), log_mass.size(), row(of_document, Index(0), place * length));
        }
        mass.add(of_document);
    }
    return mass;
}

/// Bits per byte on test documents with and without the previous context: a model that gains nothing from it ignores it.
std::pair<double, double> bits_per_byte(const Settings& settings, const CorpusSplit& split, Transformer<float>& model) {
    const std::vector<TokenDocument> test = byte_documents(split.test);
    const auto entries = static_cast<Index>(test.size());
    Random random(2025);
    double with = 0, without = 0;
    for (Index batch = 0; batch < settings.queries; ++batch) {
        const ContextBatch<float> drawn = sample_contexts<float>(test, {.entries = entries, .positives = 1, .length = settings.length}, random);
        Tape tape(Tape::inference);
        with += static_cast<double>(loss_of(tape, model, drawn, 1).value()(0));
        without += static_cast<double>(loss_of(tape, model, drawn, 0).value()(0));
    }
    const double bits = 1 / (static_cast<double>(settings.queries) * std::log(2.0));
    return {bits * with, bits * without};
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(argc, argv, "Does attention get distracted by unrelated documents, and does crossbatch training cure it?", [](Example& example) {
        Settings settings;
        example.option("--corpus", settings.corpus, "DIR[:GLOB], one file one document; empty: the libstdc++ headers");
        example.option("--steps", settings.steps, Scaled<Index>{12, 1000, 4000}, "training steps of each model");
        example.option("--seeds", settings.seeds, Scaled<Index>{1, 1, 3}, "seeds, beginning with --seed");
        example.option("--contexts", settings.contexts, Scaled<Index>{8, 16, 32}, "contexts of the third model at the end of training");
        example.option("--batch", settings.batch, "documents in a batch");
        example.option("--length", settings.length, "local context, bytes");
        example.option("--width", settings.width, "model width");
        example.option("--layers", settings.layers, "layers; the last one is the memory layer");
        example.option("--memory-heads", settings.memory_heads, "heads of the memory layer");
        example.option("--queries", settings.queries, Scaled<Index>{1, 16, 32}, "places measured in each test document");
        example.option("--learning-rate", settings.learning_rate, "factor on the learning rates of the optimiser");
        example.parse();

        const CorpusSplit split = load(settings);
        const std::vector<TokenDocument> training = byte_documents(split.train);
        example.out() << split.train.size() << " documents for training, " << split.validation.size() << " for validation, " << split.test.size()
                      << " for testing\n\n";

        // Per model: r_d of each seed, and of the documents of the first seed.
        const std::vector<Recipe> models = recipes(settings);
        std::map<std::string, std::vector<PositiveMass>> measured;
        Table gains({"model", "seed", "bits/byte, local context", "with the previous context", "r_64 x 64 by head"});
        for (Index s = 0; s < settings.seeds; ++s)
            for (const Recipe& recipe : models) {
                const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
                Random random(seed);
                Transformer<float> model = new_model(settings, random);
                train(example, settings, recipe, training, seed, model);
                const PositiveMass mass = measure(settings, split, model);
                const auto [with, without] = bits_per_byte(settings, split, model);
                std::string heads;
                for (const double r : mass.per_head(6)) heads += (heads.empty() ? "" : " ") + fixed(64 * r, 1);
                gains.add(recipe.name, seed, fixed(without), fixed(with), heads);
                measured[recipe.name].push_back(mass);
            }

        Plot plot{.name = "positive_mass", .title = "Attention that stays with the own document", .x_label = "contexts d", .y_label = "positive attention mass r_d", .log_x = true, .log_y = true};
        Csv csv({"model", "seed", "d", "positive_mass", "low", "high"});
        Table table({"d", "1/d", models[0].name, models[1].name, models[2].name});
        std::vector<std::vector<std::string>> rows;
        const std::vector<Index> contexts = measured[models[0].name][0].contexts();
        for (const Index d : contexts) rows.push_back({message(d), fixed(1.0 / static_cast<double>(d), 4)});
        for (const Recipe& recipe : models) {
            const std::vector<PositiveMass>& seeds = measured[recipe.name];
            Series series{.name = recipe.name, .x = {}, .y = {}};
            for (std::size_t i = 0; i < contexts.size(); ++i) {
                std::vector<double> values;
                for (std::size_t s = 0; s < seeds.size(); ++s) {
                    const Estimate of_documents = bootstrap_mean(seeds[s].per_document(i), 1);
                    values.push_back(seeds[s].mean(i));
                    csv.add(recipe.name, example.seed() + s, contexts[i], seeds[s].mean(i), of_documents.interval.low, of_documents.interval.high);
                }
                // Three seeds or more: the median and the interval over seeds. Fewer: the interval over documents of the first one.
                const SeedSummary summary = summarize_seeds(values);
                const Estimate estimate{summary.median, summary.interval ? *summary.interval : bootstrap_mean(seeds[0].per_document(i), 1).interval};
                series.add(static_cast<double>(contexts[i]), estimate);
                rows[i].push_back(estimate_text(estimate, 4));
                example.report().result(message("positive_mass.", recipe.name, ".", contexts[i]), estimate.value);
            }
            plot.series.push_back(series);
        }
        Series guide{.name = "1/d: attention does not care", .x = {}, .y = {}, .style = Style::guide};
        for (const Index d : contexts) guide.add(static_cast<double>(d), 1.0 / static_cast<double>(d));
        plot.series.push_back(guide);

        for (const std::vector<std::string>& cells : rows) table.add_row(cells);
        example.out() << "\nPositive attention mass r_d on held-out documents, " << (settings.seeds >= 3 ? "median and 95 % interval over seeds" : "95 % interval over documents")
                      << "\n\n" << table << "\nIs the previous context used, and which heads attend to it?\n\n" << gains;
        example.report().csv("positive_mass_by_seed", csv);
        example.report().plot(plot);
    });
}
