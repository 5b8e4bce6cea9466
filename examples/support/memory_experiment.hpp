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

    bool has(const std::string& model) const { return curves_.count(model) > 0; }
    bool has(const std::string& model, const MemoryCondition& at) const { return curves_.at(model)[0].count(at) > 0; }

    /// Bits per byte: the median of the seeds; the interval is over seeds, with fewer than three of them over documents.
    Estimate bits_per_byte(const std::string& model, const MemoryCondition& at) const {
        std::vector<Estimate> of_each;
        for (const Curve& curve : curves_.at(model)) of_each.push_back(curve.at(at).bits_per_byte(bootstrap_seed));
        return over_seeds(of_each);
    }

    /// Bits per byte of a minus b on the same documents, seed by seed (of models that began alike): below 0 where a is better.
    /// Intervals are over documents.
    std::vector<Estimate> differences(const std::string& a, const MemoryCondition& at_a, const std::string& b,
                                      const MemoryCondition& at_b) const {
        std::vector<Estimate> of_each;
        for (std::size_t s = 0; s < curves_.at(a).size(); ++s)
            of_each.push_back(bits_per_byte_difference(curves_.at(a)[s].at(at_a), curves_.at(b)[s].at(at_b), bootstrap_seed));
        return of_each;
    }

    /// The same of all seeds together, as bits_per_byte.
    Estimate difference(const std::string& a, const MemoryCondition& at_a, const std::string& b,
                        const MemoryCondition& at_b) const {
        return over_seeds(differences(a, at_a, b, at_b));
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
    std::vector<Index> other_top_ks = {};
    Index documents = 0, longest = 0;  ///< at most so many test documents, at most so many bytes of each; 0: all
    std::string checkpoint = {};
    std::vector<std::string> only = {};  ///< models, by name; empty: all
};

/// The memory sizes that are measured: 0, and those of the ladder.
inline std::vector<Index> memory_sizes(const MemorySettings& settings) {
    std::vector<Index> sizes = memory_ladder(settings.smallest, settings.largest);
    sizes.insert(sizes.begin(), 0);
    return sizes;
}

/// Declares the options of MemorySettings on the example.
inline void add_memory_options(Example& example, MemorySettings& settings, const Scaled<Index>& largest,
                               const Scaled<Index>& longest) {
    example.option("--smallest", settings.smallest, "smallest memory, tokens; each further one is four times as large", 1);
    example.option("--largest", settings.largest, largest, "largest memory, tokens", 1);
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.option("--documents", settings.documents, Scaled<Index>{2, 0, 0}, "test documents that are measured; 0: all");
    example.option("--longest", settings.longest, longest, "bytes of each that are read; 0: all");
    example.option("--checkpoint", settings.checkpoint, "measure this model instead of training any");
    example.option("--only", settings.only, "train and measure these models; none: all");
}

/// What is trained on and what is measured: the split of the corpus. (Call it after chosen_plans.) With a --checkpoint it is that
/// of the model's own training. If that was on another corpus nothing has been seen before, and all documents of two windows or
/// more are measured, but for the first `stream_tokens` (at least), which become the validation part.
/// Errors: those of split_of_training; DataError if no document is left to be measured.
inline CorpusSplit held_out(const TextSettings& settings, const MemorySettings& memory, Index stream_tokens) {
    if (memory.checkpoint.empty()) return load_split(settings);
    if (std::optional<CorpusSplit> split = split_of_training(memory.checkpoint, settings)) return *std::move(split);
    const Index least = 2 * settings.length + 1;
    std::vector<Document> documents = load_corpus(settings.corpus);
    const std::size_t all = documents.size();
    std::erase_if(documents, [&](const Document& document) { return static_cast<Index>(document.text.size()) < least; });
    Random random(7);
    random.shuffle(documents);
    CorpusSplit split;
    Index kept = 0;
    for (Document& document : documents) {
        std::vector<Document>& part = kept < stream_tokens ? split.validation : split.test;
        kept += static_cast<Index>(document.text.size());
        part.push_back(std::move(document));
    }
    require<DataError>(!split.test.empty(), settings.corpus, ": ", all, " documents, of which ", documents.size(), " have ", least,
                       " bytes or more and ", split.validation.size(), " fill the memory of ", stream_tokens,
                       " tokens; none is left to be measured (--largest N makes the memory smaller)");
    return split;
}

/// As many of the documents as are to be measured, and as much of each.
inline std::vector<TokenDocument> at_most(std::vector<TokenDocument> documents, const MemorySettings& settings) {
    if (settings.documents > 0 && settings.documents < static_cast<Index>(documents.size()))
        documents.resize(static_cast<std::size_t>(settings.documents));
    for (TokenDocument& document : documents)
        if (settings.longest > 0 && settings.longest < document.length())
            document.tokens.resize(static_cast<std::size_t>(settings.longest));
    return documents;
}

/// The test documents of a split that are measured.
inline std::vector<TokenDocument> measured_documents(const CorpusSplit& split, const MemorySettings& settings) {
    return at_most(byte_documents(split.test), settings);
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

/// The part of a memory of `tokens` that is of the own document, over the windows that are measured.
inline double own_share(const std::vector<TokenDocument>& documents, const MemoryCurveOptions& options, Index tokens) {
    double own = 0, all = 0;
    for (const TokenDocument& document : documents)
        for (const Index window : scored_windows(document.length(), options.window, options.scored_windows, options.score_from)) {
            own += static_cast<double>(std::min(tokens, window * options.window));
            all += static_cast<double>(tokens);
        }
    return all == 0 ? 1 : own / all;
}

/// A way to read, made of a memory size.
using ConditionOf = std::function<MemoryCondition(Index)>;

inline ConditionOf reading(MemoryScope scope, Index top_k) {
    return [scope, top_k](Index tokens) { return MemoryCondition{scope, tokens, top_k}; };
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

/// Makes sure before anything is trained that some document is long enough to be measured; `smaller` names options for the error.
/// Errors: DataError if no document has a window that is predicted.
inline void require_measurable(const std::string& name, const std::vector<TokenDocument>& documents,
                               const MemoryCurveOptions& options, const char* smaller = "--length") {
    Index longest = 0;
    for (const TokenDocument& document : documents) longest = std::max(longest, document.length());
    require<DataError>(!scored_windows(longest, options.window, options.scored_windows, options.score_from).empty(), name,
                       ": the longest of ", documents.size(), " documents to be measured has ", longest,
                       " bytes, expected a whole window of ", options.window, " and one byte more from byte ", options.score_from,
                       " on (a larger --longest, or a smaller ", smaller, ")");
}

/// The plans of a comparison: all, those of --only, or with --checkpoint that one model, measured once, and its shape in the
/// settings.   Errors: ConfigError if two plans have the same name, or --only has one that no plan has.
inline std::vector<TrainingPlan> chosen_plans(const MemorySettings& memory, TextSettings& settings,
                                              std::vector<TrainingPlan> plans) {
    if (!memory.checkpoint.empty()) {
        stored_text_model(memory.checkpoint, settings);
        settings.seeds = 1;
        return {{.name = "checkpoint", .phases = {}}};
    }
    std::string names;
    for (const TrainingPlan& plan : plans) {
        require<ConfigError>(std::ranges::count(plans, plan.name, &TrainingPlan::name) == 1, "--contexts ", settings.contexts,
                             " makes two models called ", plan.name, ": expected another number");
        names += " " + plan.name;
    }
    for (const std::string& name : memory.only)
        require<ConfigError>(std::ranges::count(plans, name, &TrainingPlan::name) > 0, "--only ", name, ": expected one of", names);
    if (!memory.only.empty())
        std::erase_if(plans, [&](const TrainingPlan& plan) { return std::ranges::count(memory.only, plan.name) == 0; });
    return plans;
}

/// The model of a plan: trained, or the one of --checkpoint, whose shape then becomes that of the settings.
inline Transformer<float> model_of(Example& example, TextSettings& settings, const MemorySettings& memory, const TrainingPlan& plan,
                                   const std::vector<TokenDocument>& training, std::uint64_t seed) {
    return memory.checkpoint.empty() ? trained_text_model(example, settings, plan, training, seed)
                                     : stored_text_model(memory.checkpoint, settings);
}

/// Trains every model with every seed, and measures it.   Errors: those of require_measurable and the training.
inline MemoryCurves train_and_measure(Example& example, TextSettings& settings, const MemorySettings& memory,
                                      const std::vector<TrainingPlan>& models, const CorpusSplit& split,
                                      const std::vector<TokenDocument>& before, const MemoryCurveOptions& options) {
    const std::vector<TokenDocument> training = byte_documents(split.train), test = measured_documents(split, memory);
    require_measurable(settings.corpus, test, options, options.score_from > 0 ? "--largest or --length" : "--length");
    MemoryCurves curves;
    for (Index s = 0; s < settings.seeds; ++s)
        for (const TrainingPlan& plan : models) {
            const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
            Transformer<float> model = model_of(example, settings, memory, plan, training, seed);
            curves.add(plan.name, measured_curve(model, test, before, options, message(plan.name, ", seed ", seed)));
        }
    return curves;
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

    /// A model that only sees its own document, where others see a stream, has "_single" behind its name; one without any memory
    /// "_bare".
    std::string name_of_a() const { return marked(a, a_at); }
    std::string name_of_b() const { return marked(b, b_at); }
    std::string name(const char* between) const { return message(name_of_a(), between, name_of_b()); }

   private:
    std::string marked(const std::string& model, const ConditionOf& at) const {
        const bool alone = a_at(1).scope != b_at(1).scope && at(1).scope == MemoryScope::single_document;
        return message(model, at(1).tokens == 0 ? "_bare" : alone ? "_single" : "");
    }
};

/// A model without memory, whatever the size that others have.
inline ConditionOf without_memory(const ConditionOf& like) {
    return [like](Index) { return like(0); };
}

/// `result <name> <value> <low> <high>`.
inline void report_interval(Report& report, const std::string& name, const Estimate& estimate) {
    const Interval& interval = estimate.interval;
    report.result(name, message(fixed(estimate.value, 5), " ", fixed(interval.low, 5), " ", fixed(interval.high, 5)));
}

/// The table of differences at each memory size, differences.csv with those of each seed and their intervals over documents, and
/// `result difference.<a>-<b>.<memory> <value> <low> <high>`. A pair that is a model beside itself is left out, and one of a model
/// that was not measured.
inline void compare_models(Example& example, const TextSettings& settings, const MemoryCurves& curves,
                           const std::vector<Index>& sizes, std::vector<ComparedPair> pairs) {
    std::vector<std::string> names;
    std::erase_if(pairs, [&](const ComparedPair& pair) {
        if (!curves.has(pair.a) || !curves.has(pair.b)) return true;
        const bool again = std::find(names.begin(), names.end(), pair.name("-")) != names.end();
        names.push_back(pair.name("-"));
        return again || (pair.a == pair.b && pair.a_at(1) == pair.b_at(1));
    });
    if (pairs.empty()) return;
    Csv csv({"a", "b", "memory_tokens", "seed", "difference", "low", "high"});
    Table table({"first", "second", "memory tokens", "first - second"});
    for (const ComparedPair& pair : pairs)
        for (const Index size : sizes) {
            const std::vector<Estimate> of_each = curves.differences(pair.a, pair.a_at(size), pair.b, pair.b_at(size));
            for (std::size_t s = 0; s < of_each.size(); ++s)
                csv.add(pair.name_of_a(), pair.name_of_b(), size, example.seed() + s, of_each[s].value, of_each[s].interval.low,
                        of_each[s].interval.high);
            const Estimate estimate = over_seeds(of_each);
            table.add(pair.name_of_a(), pair.name_of_b(), count_text(size), estimate_text(estimate));
            report_interval(example.report(), message("difference.", pair.name("-"), ".", size), estimate);
        }
    example.out() << "\nDifferences on the same documents, bits per byte (below 0: the first is better), "
                  << intervals_over(settings) << "\n\n"
                  << table;
    example.report().csv("differences", csv);
}

/// What each model gains or loses between two memory sizes, on the same documents, and `result change.<model>.<from>-<to> <value>
/// <low> <high>`.
inline void report_changes(Example& example, const TextSettings& settings, const MemoryCurves& curves,
                           const std::vector<TrainingPlan>& models, const ConditionOf& condition, Index from, Index to) {
    Table table({"model", message(count_text(to), " - ", count_text(from), " memory tokens")});
    for (const TrainingPlan& plan : models) {
        const Estimate estimate = curves.difference(plan.name, condition(to), plan.name, condition(from));
        table.add(plan.name, estimate_text(estimate));
        report_interval(example.report(), message("change.", plan.name, ".", from, "-", to), estimate);
    }
    example.out() << "\nWhat more memory changes, bits per byte (below 0: it helps), " << intervals_over(settings) << "\n\n"
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

/// A whole experiment: models that read long documents with a memory of the document so far, and pairs of them compared. What is
/// predicted lies beyond the largest memory.
inline void compare_on_own_document(Example& example, TextSettings settings, const MemorySettings& memory,
                                    const std::vector<TrainingPlan>& plans,
                                    const std::vector<std::pair<std::string, std::string>>& pairs) {
    const std::vector<TrainingPlan> models = chosen_plans(memory, settings, plans);
    const CorpusSplit split = held_out(settings, memory, 0);
    const std::vector<Index> sizes = memory_sizes(memory);
    const ConditionOf own = reading(MemoryScope::single_document, memory.top_k);
    const MemoryCurveOptions options = curve_options(settings, sizes, {own}, memory.largest);
    const auto deep = std::ranges::count_if(measured_documents(split, memory), [&](const TokenDocument& document) {
        return document.length() > memory.largest + settings.length;
    });
    example.out() << split.train.size() << " documents for training; " << deep << " of " << split.test.size()
                  << " test documents are longer than " << count_text(memory.largest) << " bytes and measured\n\n";
    const MemoryCurves curves = train_and_measure(example, settings, memory, models, split, {}, options);

    report_curves(example, settings, curves, models, sizes, own,
                  message("Bits per byte from byte ", memory.largest, " of a document on"));
    report_changes(example, settings, curves, models, own, memory.smallest, memory.largest);
    if (!memory.checkpoint.empty()) return;
    std::vector<ComparedPair> compared;
    for (const auto& [a, b] : pairs) compared.push_back({a, own, b, own});
    compare_models(example, settings, curves, sizes, compared);
}

}  // namespace fot::examples
