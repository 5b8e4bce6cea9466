/// Does an existing model learn to use a memory by a short training with FoT, and does it stay good at short inputs?   (C4 and C12)
///
/// A standard transformer is trained first: it has never seen more than its local context. Then it is continued, for fewer steps,
/// as each of the compared models; none has a parameter that the first one lacks. What is measured:
///
///     long inputs    held-out documents of several corpora, of which it was trained on one, at 2, 4, 16 and 64 times the local
///                    context: the local one and a memory of the rest. A Transformer-XL sees 2 contexts, no more.
///     short inputs   documents of less than 20 KB without any memory, before and after
///
/// Data:    the libstdc++ headers that come with g++; boost, books, latex and proofs are measured on as well if they are there (see
///          examples/README.md). --corpus trains on another one.
/// Time:    not timed yet at default size; --quick: seconds; --full: three seeds, longer training.
/// Command: build/release/examples/fine_tune_existing_model
/// Expect:  crossbatch gains from every longer input on every corpus, and is level with the standard model on short ones.
#include "fot/measure/recurrence_perplexity.hpp"
#include "support/memory_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// Documents that are measured on.
struct TestSet {
    std::string name;
    std::vector<TokenDocument> documents;
    MemoryCurves curves = {};
};

std::vector<TrainingPlan> plans(const TextSettings& settings, Index further) {
    using enum LanguageModelKind;
    const TrainingPlan::Phase first{{.name = "standard", .kind = standard}, settings.steps};
    const std::vector<LanguageModelRecipe> continuations{{.name = "standard", .kind = standard},
                                                         {.name = "xl", .kind = transformer_xl},
                                                         {.name = "mt_merged", .kind = memorizing},
                                                         {.name = message("crossbatch_", settings.contexts),
                                                          .kind = crossbatch,
                                                          .contexts = doubled_contexts(settings.contexts, further)}};
    std::vector<TrainingPlan> list{{"before", {first}}};
    for (const LanguageModelRecipe& recipe : continuations) list.push_back({recipe.name, {first, {recipe, further}}});
    return list;
}

/// The test documents of the corpus of training, and of every other one that is on this machine.
std::vector<TestSet> long_inputs(Example& example, const TextSettings& settings, const MemorySettings& memory,
                                 const CorpusSplit& split) {
    std::vector<TestSet> sets{{settings.corpus, measured_documents(split, memory)}};
    for (const NamedCorpus& corpus : named_corpora()) {
        if (corpus.name == settings.corpus || example.scale() == Scale::quick) continue;
        try {
            TextSettings of_corpus = settings;
            of_corpus.corpus = corpus.name;
            sets.push_back({corpus.name, measured_documents(load_split(of_corpus), memory)});
        } catch (const FileError& missing) {
            example.out() << "not measured on " << missing.what() << "\n";
        }
    }
    return sets;
}

/// Documents that are too short for training, `most` at most; 0: all.
std::vector<TokenDocument> short_inputs(const TextSettings& settings, Index most) {
    std::vector<TokenDocument> documents = byte_documents(load_corpus(settings.corpus));
    std::erase_if(documents, [&](const TokenDocument& document) {
        return document.length() >= shortest_document || document.length() <= settings.length;
    });
    require<DataError>(!documents.empty(), "fine_tune_existing_model: all documents of ", settings.corpus, " have ",
                       shortest_document, " bytes or more; none is left as a short input");
    if (most > 0 && most < static_cast<Index>(documents.size())) documents.resize(static_cast<std::size_t>(most));
    return documents;
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(
        argc, argv, "Does an existing model learn to use a memory by a short training, and stay good at short inputs?",
        [](Example& example) {
            TextSettings settings;
            MemorySettings memory;
            Index further = 0;
            add_text_options(example, settings, {12, 1000, 4000}, {4, 16, 16});
            example.option("--further-steps", further, Scaled<Index>{8, 400, 1000}, "training steps of each continuation");
            example.option("--top-k", memory.top_k, "retrieved entries per query and head; 0: the whole memory");
            example.option("--documents", memory.documents, Scaled<Index>{2, 0, 0},
                           "documents of each kind that are measured; 0: all");
            example.option("--longest", memory.longest, Scaled<Index>{16384, 131072, 0}, "bytes of each that are read; 0: all");
            example.parse();

            const Index length = settings.length;
            const std::vector<Index> contexts{1, 2, 4, 16, 64};
            const ConditionOf own = reading(MemoryScope::single_document, memory);
            std::vector<Index> sizes;  // of the memory
            for (const Index count : contexts) sizes.push_back((count - 1) * length);
            const MemoryCurveOptions options = curve_options(settings, sizes, {own}, sizes.back());

            const CorpusSplit split = load_split(settings);
            const std::vector<TokenDocument> training = byte_documents(split.train);
            std::vector<TestSet> sets = long_inputs(example, settings, memory, split);
            TestSet brief{"short inputs", short_inputs(settings, memory.documents)};
            example.out() << "\n";
            const std::vector<TrainingPlan> models = plans(settings, further);
            for (Index s = 0; s < settings.seeds; ++s)
                for (const TrainingPlan& plan : models) {
                    const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
                    Transformer<float> model = trained_text_model(example, settings, plan, training, seed);
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
                    MemoryCurveOptions without{.conditions = {own(0)}, .window = length};
                    brief.curves.add(plan.name,
                                     measured_curve(model, brief.documents, {}, without, message("short inputs, ", what)));
                }

            for (const TestSet& set : sets) {
                std::vector<std::string> head{"model"};
                for (const Index count : contexts) head.push_back(message(count, count == 1 ? " context" : " contexts"));
                Table table(head);
                const bool trained_on = set.name == settings.corpus;
                const std::string prefix = trained_on ? std::string() : message(set.name, ".");
                Plot plot{.name = message("bits_per_byte_", set.name),
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
                        cells.push_back(fixed(estimate.value));
                        series.add(static_cast<double>(size + length), estimate);
                        example.report().result(message("bits_per_byte.", prefix, plan.name, ".", size), estimate.value);
                    }
                    table.add_row(cells);
                    plot.series.push_back(series);
                }
                example.out() << "\n" << set.name << (trained_on ? "" : ", zero-shot") << ": bits per byte\n\n" << table;
                example.report().plot(plot);
                example.report().csv(message("by_seed_", set.name), set.curves.csv(example.seed()));
            }

            const std::string focused = models.back().name;
            Table differences({"documents", message(focused, " - before, 1 context"), message(focused, " - xl, 2 contexts"),
                               message(focused, " - mt_merged, 64 contexts"), message(focused, ", 64 - 2 contexts")});
            for (const TestSet& set : sets) {
                const auto difference = [&](const std::string& a, Index a_size, const std::string& b, Index b_size) {
                    return set.curves.difference(a, own(a_size), b, own(b_size));
                };
                const Estimate local = difference(focused, 0, "before", 0), xl = difference(focused, length, "xl", length),
                               mt = difference(focused, sizes.back(), "mt_merged", sizes.back()),
                               longer = difference(focused, sizes.back(), focused, length);
                differences.add(set.name, estimate_text(local), estimate_text(xl), estimate_text(mt), estimate_text(longer));
                if (set.name != settings.corpus) continue;
                report_difference(example.report(), message(focused, "-xl.", length), xl);
                report_difference(example.report(), message(focused, "-mt_merged.", sizes.back()), mt);
            }
            const Estimate brief_change = brief.curves.difference(focused, own(0), "before", own(0)),
                           brief_standard = brief.curves.difference(focused, own(0), "standard", own(0));
            example.out() << "\nDifferences on the same documents, bits per byte (below 0: the first is better), "
                          << intervals_over(settings) << "\n\n"
                          << differences << "\nShort inputs: " << focused << " - before " << estimate_text(brief_change)
                          << ", - standard " << estimate_text(brief_standard) << " bits per byte\n";
            report_difference(example.report(), message(focused, "-before.short"), brief_change);
            report_difference(example.report(), message(focused, "-standard.short"), brief_standard);
        });
}
