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

    /// Bits per byte. Three seeds or more: their median, and the interval over seeds. Fewer: the first one, and the interval over
    /// documents.
    Estimate bits_per_byte(const std::string& model, const MemoryCondition& at) const {
        std::vector<double> values;
        for (const Curve& curve : curves_.at(model)) values.push_back(curve.at(at).bits_per_byte(bootstrap_seed).value);
        return over_seeds(values, curves_.at(model)[0].at(at).bits_per_byte(bootstrap_seed));
    }

    /// Bits per byte of a minus b on the same documents (and, seed by seed, of models that began alike): below 0 where a is better.
    Estimate difference(const std::string& a, const MemoryCondition& at_a, const std::string& b,
                        const MemoryCondition& at_b) const {
        std::vector<double> values;
        const auto of_seed = [&](std::size_t s) {
            return bits_per_byte_difference(curves_.at(a)[s].at(at_a), curves_.at(b)[s].at(at_b), bootstrap_seed);
        };
        for (std::size_t s = 0; s < curves_.at(a).size(); ++s) values.push_back(of_seed(s).value);
        return over_seeds(values, of_seed(0));
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

    static Estimate over_seeds(const std::vector<double>& values, const Estimate& first) {
        const SeedSummary summary = summarize_seeds(values);
        return {summary.median, summary.interval ? *summary.interval : first.interval};
    }

    std::map<std::string, std::vector<Curve>> curves_;
};

/// `result difference.<a>-<b>.<memory> <value> <low> <high>`.
inline void report_difference(Report& report, const std::string& a, const std::string& b, Index memory, const Estimate& estimate) {
    report.result(
        message("difference.", a, "-", b, ".", memory),
        message(value_text(estimate.value), " ", value_text(estimate.interval.low), " ", value_text(estimate.interval.high)));
}

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

/// Trains every model with every seed, and measures it on the test documents after a stream of other documents.
inline MemoryCurves train_and_measure(Example& example, const TextSettings& settings,
                                      const std::vector<LanguageModelRecipe>& models, const CorpusSplit& split,
                                      const std::vector<TokenDocument>& before, const MemoryCurveOptions& options) {
    const std::vector<TokenDocument> training = byte_documents(split.train), test = byte_documents(split.test);
    MemoryCurves curves;
    for (Index s = 0; s < settings.seeds; ++s)
        for (const LanguageModelRecipe& recipe : models) {
            const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
            Transformer<float> model = trained_text_model(example, settings, recipe, training, seed);
            curves.add(recipe.name, measured_curve(model, test, before, options, message(recipe.name, ", seed ", seed)));
        }
    return curves;
}

/// What the intervals of MemoryCurves are over.
inline const char* intervals_over(const TextSettings& settings) {
    return settings.seeds >= 3 ? "median and 95 % interval over seeds" : "95 % interval over documents";
}

/// The curve of a model over memory sizes above 0, as a line of a plot. `condition` makes a MemoryCondition of a size.
template <class Condition>
Series curve_series(const MemoryCurves& curves, const std::string& model, const std::string& name, const std::vector<Index>& sizes,
                    Condition condition) {
    Series series{.name = name, .x = {}, .y = {}};
    for (const Index size : sizes)
        if (size > 0) series.add(static_cast<double>(size), curves.bits_per_byte(model, condition(size)));
    return series;
}

}  // namespace fot::examples
