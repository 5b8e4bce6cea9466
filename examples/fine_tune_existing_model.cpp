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
#include "support/memory_reports.hpp"

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
    const ShortAndLong parts{byte_documents(short_documents(split.train)), byte_documents(long_documents(split.train)),
                             byte_documents(short_documents(split.test)), byte_documents(long_documents(split.test))};
    require<DataError>(!parts.test_short.empty() && !parts.test_long.empty(), settings.corpus, ": ", parts.test_short.size(),
                       " test documents below ", shortest_document, " bytes and ", parts.test_long.size(),
                       " of that length, expected some of each");
    return parts;
}

/// The model before, and what it is continued as.
std::vector<LanguageModelRecipe> all_plans(const TextSettings& settings, Index further) {
    using enum LanguageModelKind;
    return {{.name = "before"},
            {.name = "standard", .kind = standard},
            {.name = "xl", .kind = transformer_xl, .walk_windows = settings.walk_windows},
            {.name = "mt_merged", .kind = memorizing, .walk_windows = settings.walk_windows},
            {.name = message("crossbatch_", settings.contexts),
             .kind = crossbatch,
             .contexts = doubled_contexts(settings.contexts, further),
             .local_entries = settings.batch / 4}};
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

/// A text as part of a file name: what cannot be in one becomes '_'.
std::string file_name_of(std::string text) {
    for (char& letter : text)
        if (!std::isalnum(static_cast<unsigned char>(letter)) && letter != '.' && letter != '-') letter = '_';
    return text;
}

/// Table, plot and CSV file of one set, and `result bits_per_byte.[<corpus>.]<model>.<memory> <value>`.
void report_set(Example& example, const TextSettings& settings, const TestSet& set, const std::vector<Index>& sizes,
                const Reading& own) {
    std::vector<std::string> head{"model"};
    for (const Index size : sizes) head.push_back(message(size / settings.length + 1, size == 0 ? " context" : " contexts"));
    Table table(head);
    Plot plot{.name = message("bits_per_byte_", file_name_of(set.name)),
              .title = message("Fine-tuned models on ", set.name),
              .x_label = "tokens, local context and memory",
              .y_label = "bits per byte"};
    for (const std::string& model : set.curves.models()) {
        std::vector<std::string> cells{model};
        Series series{model};
        for (const Index size : sizes) {
            if (!set.curves.has(model, own.with(size))) {
                cells.push_back("-");
                continue;
            }
            const Estimate estimate = set.curves.bits_per_byte(model, own.with(size));
            cells.push_back(estimate_text(estimate));
            series.add(size + settings.length, estimate);
            example.result(message("bits_per_byte.", set.prefix(), model, ".", size), estimate.value);
        }
        table.add_row(cells);
        plot.series.push_back(series);
    }
    example.show(message(set.name, set.trained_on ? "" : ", zero-shot", ", ", set.documents.size(), " documents: bits per byte, ",
                         intervals_over(example)),
                 table);
    example.plot(plot);
    example.csv(message("by_seed_", file_name_of(set.name)), set.curves.csv(example.seed()));
}

/// The focused model against the others as they are at their best: the model before without memory, XL with two contexts.
void report_differences(Example& example, const std::vector<TestSet>& sets, const std::string& focused,
                        const std::vector<Index>& sizes, const Reading& own) {
    const Index one_window = sizes[1];
    Table table({"documents", "memory", message(focused, " - before"), message(focused, " - xl"), message(focused, " - mt_merged"),
                 message(focused, ", - 2 contexts")});
    for (const TestSet& set : sets)
        for (const Index size : sizes) {
            if (size == 0) continue;
            const auto difference = [&](const std::string& other, Index other_size, const std::string& result) {
                const Estimate estimate = set.curves.difference(focused, own.with(size), other, own.with(other_size));
                example.result(result, estimate);
                return estimate_text(estimate);
            };
            const auto against = [&](const std::string& other, Index other_size) {
                return difference(other, other_size, message("difference.", set.prefix(), focused, "-", other, ".", size));
            };
            const std::string before = against("before", 0), xl = against("xl", one_window), mt = against("mt_merged", size);
            table.add(set.name, count_text(size), before, xl, mt,
                      size == one_window
                          ? "-"
                          : difference(focused, one_window, message("change.", set.prefix(), focused, ".", one_window, "-", size)));
        }
    example.show(
        message("Differences on the same documents, bits per byte (below 0: the first is better), ", intervals_over(example)),
        table);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does an existing model learn to use a memory by a short training, and stay good at short inputs?");
    TextSettings settings{.split_from = shortest_input};
    MemorySettings memory;
    std::string from;
    Index further = 0;
    add_text_options(example, settings, {12, 600, 600}, {4, 16, 16});
    add_comparison_options(example, settings);
    add_walk_option(example, settings);
    example.option("--further-steps", further, {8, 1200, 1200}, "training steps of each continuation", 1);
    example.option("--from", from, "continue this model, in place of one that is trained here first");
    example.option("--top-k", memory.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.option("--documents", memory.documents, {2, 0, 0}, "documents of each kind that are measured; 0: all");
    example.option("--longest", memory.longest, {16384, 16384, 16384}, "bytes of each that are read; 0: all");
    example.parse();
    if (!from.empty()) stored_text_model(from, settings);

    const Index length = settings.length;
    const Reading own{MemoryScope::single_document, memory.top_k};
    const std::vector<Index> sizes{0, length, 3 * length, 15 * length, 63 * length};  // of the memory
    const MemoryCurveOptions options = curve_options(settings, sizes, {own}, sizes.back());
    const MemoryCurveOptions without{.conditions = {own.with(0)}, .window = length};

    ShortAndLong parts = short_and_long(settings, from);
    std::vector<TestSet> sets{{settings.corpus, at_most(std::move(parts.test_long), memory), true}};
    require_measurable(settings.corpus, sets.front().documents, options);
    for (TestSet& set : other_corpora(example, settings, memory, options, from)) sets.push_back(std::move(set));
    TestSet brief{"short inputs", at_most(std::move(parts.test_short), memory)};
    require_measurable(brief.name, brief.documents, without);
    example.out() << parts.train_short.size() << " short and " << parts.train_long.size() << " long documents for training, "
                  << brief.documents.size() << " short and " << sets.front().documents.size() << " long ones for testing\n\n";

    const std::vector<LanguageModelRecipe> plans = all_plans(settings, further);
    for (const std::uint64_t seed : example.seeds())
        for (const LanguageModelRecipe& plan : plans) {
            // A model of short documents first; then continued on long ones.
            Random weights(seed);
            Transformer<float> model = from.empty() ? new_text_model(settings, weights) : stored_text_model(from, settings);
            TextModelFile file(example, settings, model.config().integration, seed, from);
            if (from.empty()) train_text_model(settings, {.name = "short"}, {settings.steps}, parts.train_short, file, model);
            if (plan.name != "before") train_text_model(settings, plan, {further}, parts.train_long, file, model);

            const std::string what = message(plan.name, ", seed ", seed);
            for (TestSet& set : sets) {
                MemoryCurve curve;
                if (plan.name == "xl")  // its memory is the window before, and it cannot do without
                    curve[own.with(length)] =
                        recurrence_perplexity(model, set.documents, length, options.scored_windows, options.score_from);
                else
                    curve = measured_curve(model, set.documents, {}, options, message(set.name, ", ", what));
                set.curves.add(plan.name, std::move(curve));
            }
            brief.curves.add(plan.name, measured_curve(model, brief.documents, {}, without, message("short inputs, ", what)));
        }

    for (const TestSet& set : sets) report_set(example, settings, set, sizes, own);
    const std::string focused = plans.back().name;
    report_differences(example, sets, focused, sizes, own);
    const MemoryCondition bare = own.with(0);
    Table of_short({"model", "bits/byte", "against before"});
    for (const LanguageModelRecipe& plan : plans) {
        const Estimate change = brief.curves.difference(plan.name, bare, "before", bare);
        of_short.add(plan.name, estimate_text(brief.curves.bits_per_byte(plan.name, bare)), estimate_text(change));
        if (plan.name != "before") example.result(message("difference.", plan.name, "-before.short"), change);
    }
    example.show("Short inputs without memory", of_short);
    example.result(message("difference.", focused, "-standard.short"), brief.curves.difference(focused, bare, "standard", bare));
    return example.finish();
} catch (...) {
    return report_failure();
}
