/// Can an existing model learn to use a memory by a short training with FoT, and stay good at short inputs?   (C4, C12, C14)
///
/// A standard transformer is trained on short documents first, so it has never seen more than its local context. Then it is
/// continued on long documents as each of the compared models. None of them has a parameter that the first model lacks. Measured:
///
///     long inputs    held-out documents of several corpora, of which the model was trained on one, at 2, 4, 16 and 64 times the
///                    local context: the local context itself and a memory of the rest. A Transformer-XL sees 2 contexts at a time.
///                    Through its layers it also sees a little of earlier ones: n layers reach n windows back, of which it sees one
///                    directly. It has no further memory. `long` is trained without a memory on local contexts of two windows, the
///                    text that crossbatch sees in a step, and reads two: ordinary training on long contexts (C14)
///     short inputs   held-out documents of less than 20 KB without any memory, before and after
///
/// A quarter of each crossbatch batch sees no context here: a model that always has a previous context forgets how to do without.
/// With --packed-contexts it is trained as LongLLaMA was: four windows of a document lie in one batch, and each sees the windows
/// before it. All four are trained on, the first without a context.
///
/// Source: paper section 5.2, appendix G, Table 3 (C4); section 4.6, Table 5 (C12); section 4.5, Table 2 (C14). Bits per
///          byte here.
/// Data:    the libstdc++ headers that come with g++; boost, books, latex and proofs are measured on as well if they are there (see
///          examples/README.md). --corpus trains on another corpus. --from FILE continues the model in that file. It may come from
///          this program, or from any other program here if it was trained on another corpus (a model trained on the same corpus
///          has seen some of what is measured).
/// Time:    below ten minutes on two cores without `long`, which was not timed; --quick: seconds; --full: three seeds, twice the
///          places measured.
/// Command: build/release/examples/fine_tune_existing_model
/// Expect:  crossbatch gains up to 4 contexts everywhere, to 16 on all but its own corpus, to 64 on books and proofs. At 64 it is
///          below the Memorizing Transformer (mt_merged) on all corpora. At 2 it lies near Transformer-XL (xl), below it on some
///          corpora and above it on the corpus that both were trained on. On short inputs crossbatch is close to the standard
///          model. `long` is better than crossbatch at two windows of its own corpus, and worse on proofs (C14).
///          With --further-steps 400 gains on C++ code end at 4 contexts.
#include "fot/measure/local_perplexity.hpp"
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
    MemoryCurves curves = {};
};

/// The model before, and what it is continued as.
std::vector<LanguageModelRecipe> all_plans(const TextSettings& settings, Index further, bool packed) {
    using enum LanguageModelKind;
    return {{.name = "before"},
            {.name = "standard", .kind = standard},
            {.name = "xl", .kind = transformer_xl, .walk_windows = settings.walk_windows},
            {.name = "mt_merged", .kind = memorizing, .walk_windows = settings.walk_windows},
            {.name = "long", .kind = standard, .local_windows = 2},
            {.name = message(packed ? "packed_" : "crossbatch_", settings.contexts),
             .kind = crossbatch,
             .contexts = doubled_contexts(settings.contexts, further),
             .local_entries = packed ? 0 : settings.batch / 4,
             .packing = packed ? 4 : 0}};
}

/// The test documents of every other corpus that is on this machine, has some that are long enough, and of which the models have
/// been trained on none: zero-shot.
std::vector<TestSet> other_corpora(Example& example, const TextSettings& settings, const MemorySettings& memory,
                                   const MemoryCurveOptions& options, const CorpusSplit& split, const std::string& from) {
    std::vector<TrainedOn> seen{{.corpus = settings.corpus, .each = fingerprints(byte_documents(split.train))}};
    if (!from.empty()) std::ranges::copy(trained_on(from), std::back_inserter(seen));
    std::vector<TestSet> sets;
    for (const NamedCorpus& corpus : named_corpora()) {
        const bool is_seen = std::ranges::any_of(seen, [&](const TrainedOn& of) { return same_folder(of.corpus, corpus.name); });
        if (is_seen || example.scale() == Scale::quick) continue;
        try {
            const CorpusSplit other = load_split({.corpus = corpus.name});
            for (const TrainedOn& before : seen) require_none_of(before.each, other.test, message(corpus.name, ": a model"));
            TestSet set{corpus.name, measured_documents(other, memory)};
            require_measurable(set.name, set.documents, options);
            sets.push_back(std::move(set));
        } catch (const Error& problem) {
            example.out() << "not measured on " << problem.what() << "\n";
        }
    }
    return sets;
}

/// A model that was trained with a window before its own reads one; any other reads memories of all sizes.
MemoryCurve measured_as_trained(Transformer<float>& model, const LanguageModelRecipe& plan, const TestSet& set, const Reading& own,
                                const MemoryCurveOptions& options, std::uint64_t seed) {
    const Index window = options.window, places = options.scored_windows, from = options.score_from;
    if (plan.kind == LanguageModelKind::transformer_xl)
        return {{own.with(window), recurrence_perplexity(model, set.documents, window, places, from)}};
    if (plan.local_windows > 1)
        return {{own.with(window), local_perplexity(model, set.documents, window, plan.local_windows - 1, places, from)}};
    return measured_curve(model, set.documents, {}, options, message(set.name, ", ", plan.name, ", seed ", seed));
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does an existing model learn to use a memory by a short training, and stay good at short inputs?");
    TextSettings settings{.split_from = shortest_input};
    MemorySettings memory;
    std::string from;
    bool packed = false;
    Index further = 0;
    add_text_options(example, settings, {12, 600, 600}, {4, 16, 16});
    add_comparison_options(example, settings);
    add_walk_option(example, settings);
    example.option("--further-steps", further, {8, 1200, 1200}, "training steps of each continuation", 1);
    example.flag("--packed-contexts", packed, "crossbatch in the released form: contexts are other windows of the same batch");
    example.option("--from", from, "continue this model, in place of one that is trained here first");
    example.option("--top-k", memory.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.option("--documents", memory.documents, {2, 0, 0}, "documents of each kind that are measured; 0: all");
    example.option("--only", memory.only, "continue the first model as these; none: as all");
    example.option("--longest", memory.longest, {16384, 16384, 16384}, "bytes of each that are read; 0: all");
    example.parse();
    if (!from.empty()) {
        example.require_not_given({"--steps", "--length", "--width", "--layers", "--memory-heads", "--unnormalized-heads"},
                                  "--from names a model that has been trained");
        require<ConfigError>(stored_text_model(from, settings).config().integration == Integration::merged, "--from ", from,
                             ": a model with a gate, expected one without");
    }

    const Index length = settings.length;
    const Reading own{MemoryScope::single_document, memory.top_k};
    const std::vector<Index> sizes{0, length, 3 * length, 15 * length, 63 * length};  // of the memory
    const MemoryCurveOptions options = curve_options(settings, sizes, {own}, sizes.back());
    const MemoryCurveOptions without{.conditions = {own.with(0)}, .window = length};

    const CorpusSplit split = split_corpus(settings);
    if (!from.empty()) require_unseen(from, settings, split);
    const std::vector<TokenDocument> train_short = byte_documents(short_documents(split.train)),
                                     train_long = byte_documents(long_documents(split.train));
    std::vector<TestSet> sets{{settings.corpus, at_most(byte_documents(long_documents(split.test)), memory)}};
    require_measurable(settings.corpus, sets.front().documents, options);
    for (TestSet& set : other_corpora(example, settings, memory, options, split, from)) sets.push_back(std::move(set));
    TestSet brief{"short inputs", at_most(byte_documents(short_documents(split.test)), memory)};
    require_measurable(brief.name, brief.documents, without);
    example.out() << train_short.size() << " short and " << train_long.size() << " long documents for training, "
                  << brief.documents.size() << " short and " << sets.front().documents.size() << " long ones for testing\n\n";

    const std::vector<LanguageModelRecipe> all = all_plans(settings, further, packed),
                                           plans = chosen_plans(example, memory, settings, all);
    if (from.empty()) require_trainable(settings, {{.name = "short"}}, train_short);
    for (const LanguageModelRecipe& plan : plans)
        if (plan.name != "before") require_trainable(settings, {plan}, train_long);
    for (const std::uint64_t seed : example.seeds())
        for (const LanguageModelRecipe& plan : plans) {
            // A model of short documents first; then continued on long ones.
            Random weights(seed);
            Transformer<float> model = from.empty() ? new_text_model(settings, weights) : stored_text_model(from, settings);
            TextModelFile file(example, settings, model.config(), seed, from);
            if (from.empty()) train_text_model(settings, {.name = "short"}, {settings.steps}, train_short, file, model);
            if (plan.name != "before") train_text_model(settings, plan, {further}, train_long, file, model);

            for (TestSet& set : sets) set.curves.add(plan.name, measured_as_trained(model, plan, set, own, options, seed));
            brief.curves.add(plan.name, measured_curve(model, brief.documents, {}, without,
                                                       message("short inputs, ", plan.name, ", seed ", seed)));
        }

    // The focused model against the others as they are at their best: the model before without memory, XL and the long context with
    // two windows; and against itself with two.
    const std::string focused = all.back().name;
    const Reading none{.scope = own.scope, .top_k = own.top_k, .bare = true},
        one_window{.scope = own.scope, .top_k = own.top_k, .most = length};
    for (const TestSet& set : sets) {
        const bool trained_on = &set == &sets.front();
        const std::string name = trained_on ? "" : set.name;
        report_curves(example, set.curves, sizes, own, message(set.name, trained_on ? "" : ", zero-shot", ": bits per byte"), {},
                      name);
        compare_models(example, set.curves, {sizes.begin() + 1, sizes.end()},
                       {{focused, "before", own, none},
                        {focused, "xl", own},
                        {focused, "xl", own, one_window},
                        {focused, "long", own},
                        {focused, "long", own, one_window},
                        {focused, "mt_merged", own},
                        {focused, focused, own, one_window}},
                       name);
    }
    const MemoryCondition bare = own.with(0);
    const auto compared = [&](const std::string& model, const std::string& other) -> std::string {
        if (model == other || !brief.curves.has(model) || !brief.curves.has(other)) return "-";
        const Estimate difference = brief.curves.difference(model, bare, other, bare);
        example.result(message("difference.", model, "-", other, ".short"), difference);
        return estimate_text(difference);
    };
    Table of_short({"model", "bits/byte", "minus before"});
    for (const LanguageModelRecipe& plan : plans)
        of_short.add(plan.name, estimate_text(brief.curves.bits_per_byte(plan.name, bare)), compared(plan.name, "before"));
    example.show("Short inputs without memory", of_short);
    for (const char* other : {"standard", "long"}) compared(focused, other);
    return example.finish();
} catch (...) {
    return report_failure();
}
