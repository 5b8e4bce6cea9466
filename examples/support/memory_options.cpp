#include "memory_options.hpp"

namespace fot::examples {

void add_memory_options(Example& example, MemorySettings& settings, const Scaled<Index>& largest, const Scaled<Index>& longest) {
    example.option("--smallest", settings.smallest, "smallest memory, tokens; each further one is four times as large", 1);
    example.option("--largest", settings.largest, largest, "largest memory, tokens", 1);
    example.option("--top-k", settings.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.option("--documents", settings.documents, {2, 0, 0}, "test documents that are measured; 0: all");
    example.option("--longest", settings.longest, longest, "bytes of each that are read; 0: all");
    example.option("--checkpoint", settings.checkpoint, "measure this model instead of training any");
    example.option("--only", settings.only, "train and measure these models; none: all");
}

std::vector<Index> memory_sizes(const MemorySettings& settings) {
    std::vector<Index> sizes = memory_ladder(settings.smallest, settings.largest);
    sizes.insert(sizes.begin(), 0);
    return sizes;
}

CorpusSplit split_of(const TextSettings& settings, const MemorySettings& memory, Index stream_tokens) {
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
    require_unseen(memory.checkpoint, settings, split);
    return split;
}

std::vector<TokenDocument> at_most(std::vector<TokenDocument> documents, const MemorySettings& settings) {
    if (settings.documents > 0 && settings.documents < length_of(documents))
        documents.resize(static_cast<std::size_t>(settings.documents));
    for (TokenDocument& document : documents)
        if (settings.longest > 0 && settings.longest < document.length())
            document.tokens.resize(static_cast<std::size_t>(settings.longest));
    return documents;
}

std::vector<TokenDocument> measured_documents(const CorpusSplit& split, const MemorySettings& settings) {
    return at_most(byte_documents(split.test), settings);
}

std::vector<TokenDocument> documents_before(const CorpusSplit& split, const MemorySettings& settings) {
    std::vector<TokenDocument> documents = byte_documents(split.validation);
    Index kept = 0;
    auto first = documents.end();
    while (first != documents.begin() && kept < settings.largest) kept += (--first)->length();
    require<DataError>(kept >= settings.largest, "the validation documents have ", kept, " tokens, expected the largest memory, ",
                       settings.largest, ", or more (--largest N makes it smaller)");
    documents.erase(documents.begin(), first);
    return documents;
}

void require_measurable(const std::string& name, const std::vector<TokenDocument>& documents, const MemoryCurveOptions& options) {
    Index longest = 0;
    for (const TokenDocument& document : documents) longest = std::max(longest, document.length());
    require<DataError>(!scored_windows(longest, options.window, options.scored_windows, options.score_from).empty(), name,
                       ": the longest of ", documents.size(), " documents to be measured has ", longest,
                       " bytes, expected a whole window of ", options.window, " and one byte more from byte ", options.score_from,
                       " on (a larger --longest, or a smaller --largest or --length)");
}

}  // namespace fot::examples
