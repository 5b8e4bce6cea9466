/// What the experiments on memory size share: the curves of several models and seeds, and what is read off them.
///
/// Read first: fot/measure/memory_curve.hpp, support/text_experiment.hpp.   Read next: multi_document_perplexity.cpp.
#pragma once

#include <map>

#include "fot/measure/memory_curve.hpp"
#include "text_experiment.hpp"

namespace fot::examples {

/// Curves of models, one of each seed, on the same documents.
class MemoryCurves {
   public:
    using Curve = std::map<MemoryCondition, PerplexityMeter>;

    void add(const std::string& model, Curve curve) { curves_[model].push_back(std::move(curve)); }

    bool has(const std::string& model, const MemoryCondition& at) const { return curves_.at(model)[0].count(at) > 0; }

    /// Bits per byte: the median of the seeds; the interval is over seeds, with fewer than three of them over the documents of the
    /// first.
    Estimate bits_per_byte(const std::string& model, const MemoryCondition& at) const {
        std::vector<double> values;
        for (const Curve& curve : curves_.at(model)) values.push_back(curve.at(at).bits_per_byte(bootstrap_seed).value);
        return over_seeds(values, curves_.at(model)[0].at(at).bits_per_byte(bootstrap_seed).interval);
    }

    /// Bits per byte of a minus b on the same documents (and, seed by seed, of models that began alike): below 0 where a is better.
    Estimate difference(const std::string& a, const MemoryCondition& at_a, const std::string& b,
                        const MemoryCondition& at_b) const {
        std::vector<double> values;
        const auto of_seed = [&](std::size_t s) {
            return bits_per_byte_difference(curves_.at(a)[s].at(at_a), curves_.at(b)[s].at(at_b), bootstrap_seed);
        };
        for (std::size_t s = 0; s < curves_.at(a).size(); ++s) values.push_back(of_seed(s).value);
        return over_seeds(values, of_seed(0).interval);
    }

    /// Rows of (model, seed, scope, memory tokens, top_k, bits per byte, interval over documents), for a CSV file.
    Csv csv(std::uint64_t first_seed) const {
        Csv csv({"model", "seed", "scope", "memory_tokens", "top_k", "bits_per_byte", "low", "high", "perplexity"});
        for (const auto& [model, seeds] : curves_)
            for (std::size_t s = 0; s < seeds.size(); ++s)
                for (const auto& [at, meter] : seeds[s]) {
                    const Estimate bits = meter.bits_per_byte(bootstrap_seed);
                    csv.add(model, first_seed + s, at.scope == MemoryScope::single_document ? "single" : "multi", at.tokens,
                            at.top_k, bits.value, bits.interval.low, bits.interval.high, meter.perplexity(bootstrap_seed).value);
                }
        return csv;
    }

   private:
    static constexpr std::uint64_t bootstrap_seed = 1;

    std::map<std::string, std::vector<Curve>> curves_;
};

/// Memory sizes: 0, then `smallest`, four times that, ... up to `largest`, which is always among them.
inline std::vector<Index> memory_ladder(Index smallest, Index largest) {
    require<ConfigError>(smallest >= 1 && largest >= smallest, "memory sizes from ", smallest, " to ", largest,
                         ": expected 1 or more, in rising order");
    std::vector<Index> sizes{0};
    for (Index size = smallest; size < largest; size *= 4) sizes.push_back(size);
    sizes.push_back(largest);
    return sizes;
}

/// Measures a model, with a progress bar; Ctrl-C leaves.
inline MemoryCurves::Curve measured_curve(Transformer<float>& model, const std::vector<TokenDocument>& documents,
                                          const std::vector<TokenDocument>& before, MemoryCurveOptions options,
                                          const std::string& what) {
    Index all = 0;
    for (const auto* list : {&before, &documents})
        for (const TokenDocument& document : *list) all += document.length();
    examples::Progress bar(message("measure ", what), all);
    options.progress = [&](Index done, Index) {
        stop_if_interrupted("trained models are kept; the same command measures again");
        bar.update(done);
    };
    return memory_curve(model, documents, before, options);
}

/// What an experiment on memory size measures, and on how much text.
struct MemorySettings {
    Index smallest = 512, largest = 0, top_k = 128;
    Index documents = 0, longest = 0;  ///< at most so many test documents, at most so many bytes of each; 0: all
    std::string checkpoint = {};
};

/// Declares the options of MemorySettings on the example.
inline void add_memory_options(Example& example, MemorySettings& settings, const Scaled<Index>& largest,
                               const Scaled<Index>& longest = {8192, 262144, 0}) {
    example.option("--smallest", settings.smallest, "smallest memory, tokens; each further one is four times as large");
    example.option("--largest", settings.largest, largest, "largest memory, tokens");
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.option("--documents", settings.documents, Scaled<Index>{2, 0, 0}, "test documents that are measured; 0: all");
    example.option("--longest", settings.longest, longest, "bytes of each that are read; 0: all");
    example.option("--checkpoint", settings.checkpoint, "measure this model instead of training any");
}

/// The test documents of a split that are measured.
inline std::vector<TokenDocument> measured_documents(const CorpusSplit& split, const MemorySettings& settings) {
    std::vector<TokenDocument> documents = byte_documents(split.test);
    if (settings.documents > 0 && settings.documents < static_cast<Index>(documents.size()))
        documents.resize(static_cast<std::size_t>(settings.documents));
    for (TokenDocument& document : documents)
        if (settings.longest > 0 && settings.longest < document.length())
            document.tokens.resize(static_cast<std::size_t>(settings.longest));
    return documents;
}

/// Documents that fill the largest memory before the first test document: the last validation documents.
/// Errors: DataError if they are too few.
inline std::vector<TokenDocument> documents_before(const CorpusSplit& split, const MemorySettings& settings) {
    std::vector<TokenDocument> documents = byte_documents(split.validation);
    Index kept = 0;
    auto first = documents.end();
    while (first != documents.begin() && kept < settings.largest) kept += (--first)->length();
    require<DataError>(kept >= settings.largest, "the validation documents have ", kept, " tokens, expected the largest memory, ",
                       settings.largest, ", or more (--largest N makes it smaller)");
    documents.erase(documents.begin(), first);
    return documents;
}

/// A way to read, made of a memory size.
using ConditionOf = std::function<MemoryCondition(Index)>;

inline ConditionOf reading(MemoryScope scope, const MemorySettings& settings) {
    return [scope, top_k = settings.top_k](Index tokens) { return MemoryCondition{scope, tokens, top_k}; };
}

/// Every memory size, read in each of the ways.
inline MemoryCurveOptions curve_options(const TextSettings& settings, const std::vector<Index>& sizes,
                                        const std::vector<ConditionOf>& ways, Index score_from = 0) {
    MemoryCurveOptions options{
        .conditions = {}, .window = settings.length, .scored_windows = settings.queries, .score_from = score_from};
    for (const Index size : sizes)
        for (const ConditionOf& way : ways) options.conditions.push_back(way(size));
    return options;
}

/// The plans of a comparison; with --checkpoint that one model, measured once, in place of them all.
inline std::vector<TrainingPlan> unless_checkpoint(const MemorySettings& memory, TextSettings& settings,
                                                   std::vector<TrainingPlan> plans) {
    if (memory.checkpoint.empty()) return plans;
    settings.seeds = 1;
    return {{.name = "checkpoint", .phases = {}}};
}

/// The model of a plan: trained, or the one of --checkpoint, whose shape then becomes that of the settings.
inline Transformer<float> model_of(Example& example, TextSettings& settings, const MemorySettings& memory, const TrainingPlan& plan,
                                   const std::vector<TokenDocument>& training, std::uint64_t seed) {
    return memory.checkpoint.empty() ? trained_text_model(example, settings, plan, training, seed)
                                     : stored_text_model(memory.checkpoint, settings);
}

/// Trains every model with every seed, and measures it.
inline MemoryCurves train_and_measure(Example& example, TextSettings& settings, const MemorySettings& memory,
                                      const std::vector<TrainingPlan>& models, const CorpusSplit& split,
                                      const std::vector<TokenDocument>& before, const MemoryCurveOptions& options) {
    const std::vector<TokenDocument> training = byte_documents(split.train), test = measured_documents(split, memory);
    MemoryCurves curves;
    for (Index s = 0; s < settings.seeds; ++s)
        for (const TrainingPlan& plan : models) {
            const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
            Transformer<float> model = model_of(example, settings, memory, plan, training, seed);
            curves.add(plan.name, measured_curve(model, test, before, options, message(plan.name, ", seed ", seed)));
        }
    return curves;
}

/// What the intervals of MemoryCurves are over.
inline const char* intervals_over(const TextSettings& settings) {
    return settings.seeds >= 3 ? "median and 95 % interval over seeds" : "95 % interval over documents";
}

/// The curve of a model over memory sizes above 0, as a line of a plot.
inline Series curve_series(const MemoryCurves& curves, const std::string& model, const std::string& name,
                           const std::vector<Index>& sizes, const ConditionOf& condition) {
    Series series{.name = name, .x = {}, .y = {}};
    for (const Index size : sizes)
        if (size > 0) series.add(static_cast<double>(size), curves.bits_per_byte(model, condition(size)));
    return series;
}

/// Two models, each read in its way.
struct ComparedPair {
    std::string a;
    ConditionOf a_at;
    std::string b;
    ConditionOf b_at;

    /// A model that only sees its own document, where others see a stream, has "_single" behind its name.
    std::string name(const char* between) const {
        const bool same = a_at(1).scope == b_at(1).scope;
        const auto marked = [&](const std::string& model, const ConditionOf& at) {
            return message(model, !same && at(1).scope == MemoryScope::single_document ? "_single" : "");
        };
        return message(marked(a, a_at), between, marked(b, b_at));
    }
};

/// `result difference.<a>-<b>.<memory> <value> <low> <high>`; `what` is "<a>-<b>.<memory>".
inline void report_difference(Report& report, const std::string& what, const Estimate& estimate) {
    const Interval& interval = estimate.interval;
    report.result(message("difference.", what),
                  message(fixed(estimate.value, 5), " ", fixed(interval.low, 5), " ", fixed(interval.high, 5)));
}

/// The table of differences at each memory size, and `result difference.<a>-<b>.<memory> <value> <low> <high>`.
inline void compare_models(Example& example, const TextSettings& settings, const MemoryCurves& curves,
                           const std::vector<Index>& sizes, const std::vector<ComparedPair>& pairs) {
    std::vector<std::string> head{"memory tokens"};
    for (const ComparedPair& pair : pairs) head.push_back(pair.name(" - "));
    Table table(head);
    for (const Index size : sizes) {
        std::vector<std::string> cells{count_text(size)};
        for (const ComparedPair& pair : pairs) {
            const Estimate estimate = curves.difference(pair.a, pair.a_at(size), pair.b, pair.b_at(size));
            cells.push_back(estimate_text(estimate));
            report_difference(example.report(), message(pair.name("-"), ".", size), estimate);
        }
        table.add_row(cells);
    }
    example.out() << "\nDifferences on the same documents, bits per byte (below 0: the first is better), "
                  << intervals_over(settings) << "\n\n"
                  << table;
}

/// The table and plot of all models over memory sizes, the CSV file, and `result bits_per_byte.<model>.<memory> <value>`.
inline void report_curves(Example& example, const TextSettings& settings, const MemoryCurves& curves,
                          const std::vector<TrainingPlan>& models, const std::vector<Index>& sizes, const ConditionOf& condition,
                          const std::string& title) {
    Plot plot{.name = "bits_per_byte", .title = title, .x_label = "memory tokens", .y_label = "bits per byte", .log_x = true};
    Table table({"model", "memory tokens", "bits/byte"});
    for (const TrainingPlan& plan : models) {
        for (const Index size : sizes) {
            const Estimate estimate = curves.bits_per_byte(plan.name, condition(size));
            table.add(plan.name, count_text(size), estimate_text(estimate));
            example.report().result(message("bits_per_byte.", plan.name, ".", size), estimate.value);
        }
        plot.series.push_back(curve_series(curves, plan.name, plan.name, sizes, condition));
    }
    example.out() << "\n" << title << " on test documents, " << intervals_over(settings) << "\n\n" << table;
    example.report().csv("bits_per_byte_by_seed", curves.csv(example.seed()));
    example.report().plot(plot);
}

}  // namespace fot::examples
