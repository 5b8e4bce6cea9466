/// What is measured of memories, and on how much text: memory sizes, test documents, and the documents that fill a memory first.
///
/// Read first: support/held_out_text.hpp, support/sizes.hpp, fot/measure/memory_curve.hpp.   Read next: support/memory_curves.hpp.
#pragma once

#include "fot/measure/memory_curve.hpp"
#include "sizes.hpp"
#include "text_models.hpp"

namespace fot::examples {

/// The options of programs that measure models with memories.
struct MemorySettings {
    Index smallest = 512, largest = 0, top_k = 128;
    std::vector<Index> other_top_ks = {};
    Index documents = 0, longest = 0;  ///< most test documents, and most bytes of each; 0: all
    std::string checkpoint = {};
    std::vector<std::string> only = {};  ///< models, by name; empty: all
};

/// Declares them on the example.
inline void add_memory_options(Example& example, MemorySettings& settings, const Scaled<Index>& largest,
                               const Scaled<Index>& longest) {
    example.option("--smallest", settings.smallest, "smallest memory, tokens; each further one is four times as large", 1);
    example.option("--largest", settings.largest, largest, "largest memory, tokens", 1);
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.option("--documents", settings.documents, {2, 0, 0}, "test documents that are measured; 0: all");
    example.option("--longest", settings.longest, longest, "bytes of each that are read; 0: all");
    example.option("--checkpoint", settings.checkpoint, "measure this model instead of training any");
    example.option("--only", settings.only, "train and measure these models; none: all");
}

/// The memory sizes that are measured: 0, and those of the ladder.
inline std::vector<Index> memory_sizes(const MemorySettings& settings) {
    std::vector<Index> sizes = memory_ladder(settings.smallest, settings.largest);
    sizes.insert(sizes.begin(), 0);
    return sizes;
}

/// The plans (recipes, or anything with a name) of a comparison: all, those of --only, or with --checkpoint that one model,
/// measured once, and its shape in the settings.
/// Errors: ConfigError if two plans have the same name, or --only has one that no plan has.
template <class Plan>
std::vector<Plan> chosen_plans(Example& example, const MemorySettings& memory, TextSettings& settings, std::vector<Plan> plans) {
    if (!memory.checkpoint.empty()) {
        stored_text_model(memory.checkpoint, settings);
        example.use_one_seed();
        return {{.name = "checkpoint"}};
    }
    std::string names;
    for (const Plan& plan : plans) {
        require<ConfigError>(std::ranges::count(plans, plan.name, &Plan::name) == 1, "--contexts ", settings.contexts,
                             " makes two models called ", plan.name, ": expected another number");
        names += " " + plan.name;
    }
    for (const std::string& name : memory.only)
        require<ConfigError>(std::ranges::count(plans, name, &Plan::name) > 0, "--only ", name, ": expected one of", names);
    if (!memory.only.empty())
        std::erase_if(plans, [&](const Plan& plan) { return std::ranges::count(memory.only, plan.name) == 0; });
    return plans;
}

/// The split of the corpus into what is trained on and what is measured. (Call it after chosen_plans.) With a --checkpoint it is
/// that of the model's own training. If that was on another corpus nothing has been seen before, and all documents of two windows
/// or more are measured, but for the first `stream_tokens` (at least), which become the validation part.
/// Errors: those of split_of_training; DataError if no document is left to be measured.
inline CorpusSplit split_of(const TextSettings& settings, const MemorySettings& memory, Index stream_tokens) {
    if (memory.checkpoint.empty()) return load_split(settings);
    if (std::optional<CorpusSplit> split = split_of_training(memory.checkpoint, settings)) return *std::move(split);
    const Index least = 2 * settings.length + 1;
    std::vector<Document> documents = load_corpus(settings.corpus);
    const Index all = length_of(documents);
    std::erase_if(documents, [&](const Document& document) { return length_of(document.text) < least; });
    Random random(7);
    random.shuffle(documents);
    CorpusSplit split;
    Index kept = 0;
    for (Document& document : documents) {
        std::vector<Document>& part = kept < stream_tokens ? split.validation : split.test;
        kept += length_of(document.text);
        part.push_back(std::move(document));
    }
    require<DataError>(!split.test.empty(), settings.corpus, ": ", all, " documents, of which ", documents.size(), " have ", least,
                       " bytes or more and ", split.validation.size(), " fill the memory of ", stream_tokens,
                       " tokens; none is left to be measured (--largest N makes the memory smaller)");
    return split;
}

/// As many of the documents as are to be measured, and as much of each.
inline std::vector<TokenDocument> at_most(std::vector<TokenDocument> documents, const MemorySettings& settings) {
    if (settings.documents > 0 && settings.documents < length_of(documents))
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

/// Makes sure before anything is trained that some document is long enough to be measured.
/// Errors: DataError if no document has a window that is predicted.
inline void require_measurable(const std::string& name, const std::vector<TokenDocument>& documents,
                               const MemoryCurveOptions& options) {
    Index longest = 0;
    for (const TokenDocument& document : documents) longest = std::max(longest, document.length());
    require<DataError>(!scored_windows(longest, options.window, options.scored_windows, options.score_from).empty(), name,
                       ": the longest of ", documents.size(), " documents to be measured has ", longest,
                       " bytes, expected a whole window of ", options.window, " and one byte more from byte ", options.score_from,
                       " on (a larger --longest, or a smaller --largest or --length)");
}

}  // namespace fot::examples
