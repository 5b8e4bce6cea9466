/// What the experiments on attention to the own document share: r_d and next-byte prediction on held-out documents.
///
/// Read first: fot/measure/positive_mass.hpp, support/text_experiment.hpp.   Read next: distraction_issue.cpp.
#pragma once

#include <map>

#include "fot/measure/intervals.hpp"
#include "fot/measure/positive_mass.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "text_experiment.hpp"

namespace fot::examples {

/// r_d on held-out text. Queries come from test documents; the other contexts are random windows of all other held-out documents,
/// which come again where those are fewer than 63: another window each time.
inline PositiveMass measure_positive_mass(const TextSettings& settings, const CorpusSplit& split, Transformer<float>& model) {
    const std::vector<TokenDocument> test = byte_documents(split.test);
    std::vector<TokenDocument> held_out = test;
    for (TokenDocument& document : byte_documents(split.validation)) held_out.push_back(std::move(document));
    require<DataError>(held_out.size() >= 2, "text experiment: ", held_out.size(), " held-out documents, expected 2 or more");

    const Index most = 64, length = settings.length;
    const ContextTable table = previous_contexts(1, 1, most - 1, most);
    PositiveMass mass({1, 2, 4, 8, 16, 32, 64});
    Random random(2024);  // the same places for every model and seed
    const auto copy_window = [&](const TokenDocument& document, Index start, std::int32_t* target) {
        std::copy_n(document.tokens.data() + start, length, target);
    };
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

/// r_d of models, by name: one measurement of each seed.
using PositiveMasses = std::map<std::string, std::vector<PositiveMass>>;

/// r_d of one model for each number d of contexts that was measured: over documents by seed, then over seeds.
inline std::vector<Estimate> positive_mass_estimates(const std::vector<PositiveMass>& of_seeds) {
    std::vector<Estimate> estimates;
    for (std::size_t i = 0; i < of_seeds.front().contexts().size(); ++i) {
        std::vector<Estimate> of_each;
        for (const PositiveMass& seed : of_seeds) of_each.push_back(bootstrap_mean(seed.per_document(i), 1));
        estimates.push_back(over_seeds(of_each));
    }
    return estimates;
}

/// The plot of r_d, the CSV file of each seed, and `result positive_mass.<model>.<d> <value>`.
inline void report_positive_mass(Example& example, const std::vector<TrainingPlan>& models, const PositiveMasses& measured,
                                 const std::string& title) {
    Plot plot{.name = "positive_mass",
              .title = title,
              .x_label = "contexts d",
              .y_label = "positive attention mass r_d",
              .log_x = true,
              .log_y = true};
    Csv csv({"model", "seed", "d", "positive_mass", "low", "high"});
    const std::vector<Index>& contexts = measured.at(models[0].name)[0].contexts();
    for (const TrainingPlan& plan : models) {
        const std::vector<PositiveMass>& seeds = measured.at(plan.name);
        const std::vector<Estimate> estimates = positive_mass_estimates(seeds);
        Series series{.name = plan.name, .x = {}, .y = {}};
        for (std::size_t i = 0; i < contexts.size(); ++i) {
            for (std::size_t s = 0; s < seeds.size(); ++s) {
                const Interval interval = bootstrap_mean(seeds[s].per_document(i), 1).interval;
                csv.add(plan.name, example.seed() + s, contexts[i], seeds[s].mean(i), interval.low, interval.high);
            }
            series.add(static_cast<double>(contexts[i]), estimates[i]);
            example.report().result(message("positive_mass.", plan.name, ".", contexts[i]), estimates[i].value);
        }
        plot.series.push_back(series);
    }
    Series guide{.name = "1/d: attention does not care", .x = {}, .y = {}, .style = Style::guide};
    for (const Index d : contexts) guide.add(static_cast<double>(d), 1.0 / static_cast<double>(d));
    plot.series.push_back(guide);
    example.report().csv("positive_mass_by_seed", csv);
    example.report().plot(plot);
}

/// How well the next byte is predicted.
struct Prediction {
    double bits_per_byte = 0, accuracy = 0;
};

/// Prediction on test documents with and without the previous context: a model that gains nothing from it ignores it.
inline std::pair<Prediction, Prediction> predictions(const TextSettings& settings, const CorpusSplit& split,
                                                     Transformer<float>& model) {
    const std::vector<TokenDocument> test = byte_documents(split.test);
    const auto entries = static_cast<Index>(test.size());
    Random random(2025);
    Prediction with, without;
    for (Index batch = 0; batch < settings.queries; ++batch) {
        const ContextBatch<float> drawn =
            sample_contexts<float>(test, {.entries = entries, .positives = 1, .length = settings.length}, random);
        Tape tape(Tape::inference);
        const ContextTable own = previous_contexts(entries, 1, 0);
        const auto add = [&](Prediction& prediction, const Variable<float, 3>& logits) {
            const double batches = static_cast<double>(settings.queries);
            const Tensor<std::uint8_t, 2> correct = correct_predictions(logits.value(), drawn.targets);
            const auto right = static_cast<double>(std::ranges::count_if(correct.storage(), [](auto each) { return each != 0; }));
            prediction.bits_per_byte +=
                cross_entropy(logits.value(), drawn.targets, drawn.mask, Reduction::token_mean) / (batches * std::log(2.0));
            prediction.accuracy += right / (batches * static_cast<double>(correct.size()));
        };
        add(with, model.crossbatch(tape, {drawn.previous, drawn.current, own}));
        add(without, model.local(tape, drawn.current));
    }
    return {with, without};
}

}  // namespace fot::examples
