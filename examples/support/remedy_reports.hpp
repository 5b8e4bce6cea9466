/// What is reported of remedies for distraction: a table of all models, their differences to the control, and two figures.
///
/// Read first: support/memory_curves.hpp, support/positive_masses.hpp.   Read next: distraction_remedies.cpp.
#pragma once

#include "memory_curves.hpp"
#include "positive_masses.hpp"

namespace fot::examples {

/// A model's name where documents come by turns.
inline std::string interleaved(const std::string& model) { return model + "_interleaved"; }

/// Everything that is measured, by model. Curves are under the model's name and under the interleaved one.
struct RemedyMeasurements {
    PositiveMasses masses = {};
    MemoryCurves curves = {};
    Measurements<double> seconds = {};  ///< of a step; NaN of a model that was read from its file
};

/// A row a model, and bits_per_byte_by_seed.csv. Results: `positive_mass.<model>.64 <value> <low> <high>`,
/// `bits_per_byte.<model>.<memory>` and `bits_per_byte.<model>_interleaved.<memory>` likewise, `seconds_per_step.<model> <value>`.
inline void report_remedies(Example& example, const RemedyMeasurements& measured, const std::vector<Index>& sizes,
                            const Reading& reading) {
    std::vector<std::string> head{"model", "r_64", "no memory"};
    for (const char* order : {"", ", interleaved"})
        for (const Index size : sizes) head.push_back(count_text(size) + order);
    head.push_back("seconds a step");
    Table table(head);
    for (const std::string& model : measured.masses.models()) {
        const auto bits = [&](const std::string& name, Index size) {
            const Estimate estimate = measured.curves.bits_per_byte(name, reading.with(size));
            example.result(message("bits_per_byte.", name, ".", size), estimate);
            return fixed(estimate.value);
        };
        const Estimate r_64 = shares_over_seeds(measured.masses, model).at(64);
        example.result(message("positive_mass.", model, ".64"), r_64);
        std::vector<std::string> cells{model, fixed(r_64.value, 4), bits(model, 0)};
        for (const std::string& name : {model, interleaved(model)})
            for (const Index size : sizes) cells.push_back(bits(name, size));
        cells.push_back(report_seconds(example, measured.seconds, model));
        table.add_row(cells);
    }
    example.show("r_64, and bits per byte by tokens of memory", table);

    Table csv({"model", "seed", "memory_tokens", "bits_per_byte", "low", "high"});
    for (const std::string& model : measured.curves.models())
        for (std::size_t s = 0; s < measured.curves.of_seeds(model).size(); ++s)
            for (const auto& [at, meter] : measured.curves.of_seeds(model)[s])
                csv.add(model, example.seed() + s, at.tokens, meter.bits_per_byte(1));
    example.csv("bits_per_byte_by_seed", csv);
}

/// Two rows a model: what it has more or less than the control on the same documents, marked where the whole interval lies below 0.
/// `result difference.<model>-<control>.<memory> <value> <low> <high>`, both names with "_interleaved" for documents by turns.
/// Nothing without the control.
inline void report_differences(Example& example, const RemedyMeasurements& measured, const std::vector<Index>& sizes,
                               const Reading& reading, const std::string& control) {
    if (!measured.curves.has(control)) return;
    std::vector<std::string> head{"model", "documents"};
    for (const Index size : sizes) head.push_back(count_text(size));
    Table table(head);
    for (const std::string& model : measured.masses.models())
        for (const bool by_turns : {false, true}) {
            if (model == control) continue;
            const std::string a = by_turns ? interleaved(model) : model, b = by_turns ? interleaved(control) : control;
            std::vector<std::string> cells{model, by_turns ? "interleaved" : "one after another"};
            for (const Index size : sizes) {
                const Estimate difference = measured.curves.difference(a, reading.with(size), b, reading.with(size));
                example.result(message("difference.", a, "-", b, ".", size), difference);
                cells.push_back(estimate_text(difference) + (difference.interval.high < 0 ? " *" : ""));
            }
            table.add_row(cells);
        }
    example.show(message("Bits per byte minus those of ", control, " by tokens of memory, ", intervals_over(example),
                         "; *: lower, the whole interval"),
                 table);
}

/// The same differences over memory sizes, documents one after another: a figure of the models with crossbatch, or of those
/// without. Nothing without the control.
inline void plot_differences(Example& example, const RemedyMeasurements& measured, const std::vector<Index>& sizes,
                             const Reading& reading, const std::string& control, bool crossbatch) {
    if (!measured.curves.has(control)) return;
    Plot plot{.name = crossbatch ? "with_crossbatch" : "without_crossbatch",
              .title = crossbatch ? "With crossbatch training: what lies below 0 adds to it"
                                  : "Without crossbatch training: what reaches 0 replaces it",
              .x_label = "memory tokens, of many documents",
              .y_label = message("bits per byte minus ", control)};
    Series zero{control};
    for (const Index size : sizes) zero.add(size, 0.0);
    for (const std::string& model : measured.masses.models()) {
        if (model == control || (model.find("crossbatch") != std::string::npos) != crossbatch) continue;
        Series& series = plot.series.emplace_back(Series{model});
        for (const Index size : sizes)
            series.add(size, measured.curves.difference(model, reading.with(size), control, reading.with(size)));
    }
    if (plot.series.empty()) return;
    plot.series.push_back(zero);
    example.plot(plot);
}

}  // namespace fot::examples
