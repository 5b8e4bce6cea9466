/// Does an existing model learn to use a memory by a short training with FoT, and does it stay good at short inputs?   (C4 and C12)
///
/// A standard transformer is trained on short documents first: it has never seen more than its local context. Then it is continued
/// on long ones as each of the compared models; none has a parameter that the first one lacks. What is measured:
///
///     long inputs    held-out documents of several corpora, of which it was trained on one, at 2, 4, 16 and 64 times the local
///                    context: the local one and a memory of the rest. A Transformer-XL sees 2 contexts at a time (and, through its
///                    layers, a little of as many more as it has layers); it has no further memory.
///     short inputs   held-out documents of less than 20 KB without any memory, before and after
///
/// Crossbatch is trained here with a quarter of each batch seeing no context at all: a model that always has a previous context
/// forgets how to do without.
///
/// Data:    the libstdc++ headers that come with g++; boost, books, latex and proofs are measured on as well if they are there (see
///          examples/README.md). --corpus trains on another one. --from FILE continues that model: of this program, or of any
///          other here that was trained on another corpus (on the same one it has seen some of what is measured).
/// Time:    below ten minutes on two cores; --quick: seconds; --full: three seeds, twice the places measured.
/// Command: build/release/examples/fine_tune_existing_model
/// Expect:  crossbatch gains up to 16 contexts everywhere, to 64 on books and proofs; at 64 it is below mt_merged on all corpora;
///          at 2 it is level with xl or below, but for its own corpus; on short inputs it is level with the standard model. With
///          --further-steps 400 it gains up to 4 contexts only.
#include "fot/measure/recurrence_perplexity.hpp"
#include "support/memory_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// Bytes of the shortest document that counts as a short input.
constexpr Index shortest_input = 300;

/// Documents that are measured on.
struct TestSet {
    std::string name;
    std::vector<TokenDocument> documents;
    bool trained_on = false;
    MemoryCurves curves = {};

    /// Before the names of results and files.
    std::string prefix() const { return trained_on ? std::string() : name + "."; }
};

/// One corpus, split by document, and each part again into short and long documents.
struct ShortAndLong {
    std::vector<TokenDocument> train_short, train_long, test_short, test_long;
};

/// Errors: ConfigError if the model to be continued has seen documents of the test part; DataError if short or long ones are
/// missing there.
ShortAndLong short_and_long(const TextSettings& settings, const std::string& from) {
    const CorpusSplit split = split_corpus(settings);
    if (!from.empty()) require_unseen(from, settings, split);
    ShortAndLong parts;
    const auto deal = [](const std::vector<Document>& documents, std::vector<TokenDocument>& brief,
                         std::vector<TokenDocument>& deep) {
        for (TokenDocument& document : byte_documents(documents))
            (document.length() < shortest_document ? brief : deep).push_back(std::move(document));
    };
    deal(split.train, parts.train_short, parts.train_long);
    deal(split.test, parts.test_short, parts.test_long);
    require<DataError>(!parts.test_short.empty() && !parts.test_long.empty(), settings.corpus, ": ", parts.test_short.size(),
                       " test documents below ", shortest_document, " bytes and ", parts.test_long.size(),
                       " of that length, expected some of each");
    return parts;
}

/// The model before, and what becomes of it.
std::vector<TrainingPlan> plans(const TextSettings& settings, Index further, const std::string& from,
                                const std::vector<TokenDocument>& short_documents) {
    using enum LanguageModelKind;
    const TrainingPlan::Phase first{{.name = "short", .kind = standard}, settings.steps, &short_documents};
    const std::vector<LanguageModelRecipe> continuations{
        {.name = "standard", .kind = standard},
        {.name = "xl", .kind = transformer_xl, .walk_windows = settings.walk_windows},
        {.name = "mt_merged", .kind = memorizing, .walk_windows = settings.walk_windows},
        {.name = message("crossbatch_", settings.contexts),
         .kind = crossbatch,
         .contexts = doubled_contexts(settings.contexts, further),
         .local_entries = settings.batch / 4}};
    TrainingPlan before{.name = "before", .phases = {}, .from = from};
    if (from.empty()) before.phases.push_back(first);
    std::vector<TrainingPlan> list{before};
    for (const LanguageModelRecipe& recipe : continuations) {
        list.push_back(before);
        list.back().name = recipe.name;
        list.back().phases.push_back({recipe, further});
    }
    return list;
}

/// The test documents of every other corpus that is on this machine, has some that are long enough, and that the model has not
/// been trained on: zero-shot.
std::vector<TestSet> other_corpora(Example& example, const TextSettings& settings, const MemorySettings& memory,
                                   const MemoryCurveOptions& options, const std::string& from) {
    std::vector<TrainedOn> seen{{.corpus = settings.corpus}};
    if (!from.empty()) std::ranges::copy(trained_on(from), std::back_inserter(seen));
    std::vector<TestSet> sets;
    for (const NamedCorpus& corpus : named_corpora()) {
        if (std::ranges::count(seen, corpus.name, &TrainedOn::corpus) > 0 || example.scale() == Scale::quick) continue;
        try {
            TestSet set{corpus.name, measured_documents(load_split({.corpus = corpus.name}), memory)};
            require_measurable(set.name, set.documents, options);
            sets.push_back(std::move(set));
        } catch (const Error& problem) {
            example.out() << "not measured on " << problem.what() << "\n";
        }
    }
    return sets;
}

/// Table, plot and CSV file of one set, and `result bits_per_byte.[<corpus>.]<model>.<memory> <value>`.
void report_set(Example& example, const TextSettings& settings, const TestSet& set, const std::vector<TrainingPlan>& models,
                const std::vector<Index>& sizes, const ConditionOf& own) {
    std::vector<std::string> head{"model"};
    for (const Index size : sizes) head.push_back(message(size / settings.length + 1, size == 0 ? " context" : " contexts"));
    Table table(head);
    Plot plot{.name = message("bits_per_byte_", file_name_of(set.name)),
              .title = message("Fine-tuned models on ", set.name),
              .x_label = "tokens, local context and memory",
              .y_label = "bits per byte",
              .log_x = true};
    for (const TrainingPlan& plan : models) {
        std::vector<std::string> cells{plan.name};
        Series series{.name = plan.name, .x = {}, .y = {}};
        for (const Index size : sizes) {
            if (!set.curves.has(plan.name, own(size))) {
                cells.push_back("-");
                continue;
            }
            const Estimate estimate = set.curves.bits_per_byte(plan.name, own(size));
            cells.push_back(estimate_text(estimate));
            series.add(static_cast<double>(size + settings.length), estimate);
            example.report().result(message("bits_per_byte.", set.prefix(), plan.name, ".", size), estimate.value);
        }
        table.add_row(cells);
        plot.series.push_back(series);
    }
    example.out() << "\n"
                  << set.name << (set.trained_on ? "" : ", zero-shot") << ", " << set.documents.size()
                  << " documents: bits per byte, " << intervals_over(settings) << "\n\n"
                  << table;
    example.report().plot(plot);
    example.report().csv(message("by_seed_", file_name_of(set.name)), set.curves.csv(example.seed()));
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(
        argc, argv, "Does an existing model learn to use a memory by a short training, and stay good at short inputs?",
        [](Example& example) {
            TextSettings settings{.split_from = shortest_input};
            MemorySettings memory;
            std::string from;
            Index further = 0;
            add_text_options(example, settings, {12, 600, 600}, {4, 16, 16});
            add_comparison_options(example, settings);
            add_walk_option(example, settings);
            example.option("--further-steps", further, Scaled<Index>{8, 1200, 1200}, "training steps of each continuation", 1);
            example.option("--from", from, "continue this model, in place of one that is trained here first");
            example.option("--top-k", memory.top_k, "retrieved entries per query and head; 0: the whole memory");
            example.option("--documents", memory.documents, Scaled<Index>{2, 0, 0},
                           "documents of each kind that are measured; 0: all");
            example.option("--longest", memory.longest, Scaled<Index>{16384, 16384, 16384}, "bytes of each that are read; 0: all");
            example.parse();
            if (!from.empty()) stored_text_model(from, settings);

            const Index length = settings.length;
            const ConditionOf own = reading(MemoryScope::single_document, memory.top_k);
            const std::vector<Index> sizes{0, length, 3 * length, 15 * length, 63 * length};  // of the memory
            const MemoryCurveOptions options = curve_options(settings, sizes, {own}, sizes.back());
            const MemoryCurveOptions without{.conditions = {own(0)}, .window = length};

            ShortAndLong parts = short_and_long(settings, from);
            std::vector<TestSet> sets{{settings.corpus, at_most(std::move(parts.test_long), memory), true}};
            require_measurable(settings.corpus, sets.front().documents, options);
            for (TestSet& set : other_corpora(example, settings, memory, options, from)) sets.push_back(std::move(set));
            TestSet brief{"short inputs", at_most(std::move(parts.test_short), memory)};
            require_measurable(brief.name, brief.documents, without);
            example.out() << parts.train_short.size() << " short and " << parts.train_long.size()
                          << " long documents for training, " << brief.documents.size() << " short and "
                          << sets.front().documents.size() << " long ones for testing\n\n";

            const std::vector<TrainingPlan> models = plans(settings, further, from, parts.train_short);
            for (Index s = 0; s < settings.seeds; ++s)
                for (const TrainingPlan& plan : models) {
                    const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
                    Transformer<float> model = trained_text_model(example, settings, plan, parts.train_long, seed);
                    const std::string what = message(plan.name, ", seed ", seed);
                    for (TestSet& set : sets) {
                        MemoryCurves::Curve curve;
                        if (plan.name == "xl")  // its memory is the window before, and it cannot do without
                            curve[own(length)] =
                                recurrence_perplexity(model, set.documents, length, options.scored_windows, options.score_from);
                        else
                            curve = measured_curve(model, set.documents, {}, options, message(set.name, ", ", what));
                        set.curves.add(plan.name, std::move(curve));
                    }
                    brief.curves.add(plan.name,
                                     measured_curve(model, brief.documents, {}, without, message("short inputs, ", what)));
                }

            for (const TestSet& set : sets) report_set(example, settings, set, models, sizes, own);
            const std::string focused = models.back().name;
            Table differences({"documents", "memory", message(focused, " - before"), message(focused, " - xl"),
                               message(focused, " - mt_merged"), message(focused, ", - 2 contexts")});
            for (const TestSet& set : sets)
                for (const Index size : sizes) {
                    if (size == 0) continue;
                    // Against the model before and XL as they are at their best: without memory, and with two contexts.
                    const auto row_of = [&](const char* kind, const std::string& other, Index other_size) {
                        const Estimate estimate = set.curves.difference(focused, own(size), other, own(other_size));
                        report_interval(example.report(), message(kind, ".", set.prefix(), focused, "-", other, ".", size),
                                        estimate);
                        return estimate_text(estimate);
                    };
                    const std::string against_before = row_of("difference", "before", 0),
                                      against_xl = row_of("difference", "xl", length),
                                      against_mt = row_of("difference", "mt_merged", size);
                    std::string longer = "-";
                    if (size > length) {
                        const Estimate change = set.curves.difference(focused, own(size), focused, own(length));
                        report_interval(example.report(), message("change.", set.prefix(), focused, ".", length, "-", size),
                                        change);
                        longer = estimate_text(change);
                    }
                    differences.add(set.name, count_text(size), against_before, against_xl, against_mt, longer);
                }
            Table of_short({"model", "bits/byte", "against before"});
            for (const TrainingPlan& plan : models) {
                const Estimate change = brief.curves.difference(plan.name, own(0), "before", own(0));
                of_short.add(plan.name, estimate_text(brief.curves.bits_per_byte(plan.name, own(0))), estimate_text(change));
                if (plan.name != "before")
                    report_interval(example.report(), message("difference.", plan.name, "-before.short"), change);
            }
            example.out() << "\nDifferences on the same documents, bits per byte (below 0: the first is better), "
                          << intervals_over(settings) << "\n\n"
                          << differences << "\nShort inputs without memory\n\n"
                          << of_short;
            report_interval(example.report(), message("difference.", focused, "-standard.short"),
                            brief.curves.difference(focused, own(0), "standard", own(0)));
        });
}
