/// What does a memory layer look at, token by token?   (claim C13)
///
/// Documents are read one after another into one memory. For each byte at the end of the last one we list what every head
/// retrieved: from which document, how far back, with which share of the attention to what was retrieved (kNN score), and whether
/// the key stands out among its neighbours in the memory (Focus score). The page in --output shows the text, marked by where the
/// attention goes, and what was retrieved for a byte, with the text around it (support/memory_page.hpp); the table on the screen
/// has the means.
///
/// Data:    --text FILE or DIR[:GLOB], one file one document, of which the last one by name is inspected; without --text, the test
///          documents of --corpus, which a model of --checkpoint has not been trained on.
/// Model:   --checkpoint FILE of any program here that trains on text; without it a model is trained by crossbatch.
/// Time:    21 seconds with --checkpoint on a machine that other programs shared; without it one training run more; --quick:
///          seconds.
/// Memory:  a kilobyte for each remembered token.
/// Command: build/release/examples/inspect_memory
/// Expect:  names and phrases of the document are found where they stood before: the best entry is of the query's own document more
///          often than by chance, which is the document's share of the memory; the more so, the more attention goes to the memory.
#include "fot/files/replacing_file.hpp"
#include "support/memory_page.hpp"
#include "support/sizes.hpp"
#include "support/text_models.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct InspectionSettings {
    std::string text, checkpoint;
    Index windows = 1, memory = 65536, top_k = 32;
};

std::vector<Document> documents_to_read(const InspectionSettings& inspection, const TextSettings& settings) {
    if (inspection.text.empty()) {
        if (inspection.checkpoint.empty()) return load_split(settings).test;
        if (std::optional<CorpusSplit> split = split_of_training(inspection.checkpoint, settings)) return std::move(split->test);
        CorpusSplit split = load_split(settings);  // of another corpus
        require_unseen(inspection.checkpoint, settings, split);
        return std::move(split.test);
    }
    if (std::filesystem::is_regular_file(inspection.text)) return {{inspection.text, read_text(inspection.text)}};
    return load_corpus(inspection.text);
}

/// Reads the documents; the last whole windows of the last document are inspected before they are remembered. Windows that would
/// have left the memory by then are skipped: they count as bytes of the text, but are not read. (What the layers below the memory
/// layer compute depends on no other window.)
InspectedText read_and_inspect(Transformer<float>& model, const std::vector<Document>& documents, Index length,
                               const InspectionSettings& settings) {
    const Index last_document = length_of(documents) - 1;
    const auto read_of = [&](Index d) {  // the rest of the last document after its last whole window is left out
        const Index size = length_of(element(documents, d).text);
        return d < last_document || size < length ? size : size / length * length;
    };
    Index all = 0;
    for (Index d = 0; d <= last_document; ++d) all += read_of(d);
    const Index skipped = all - settings.windows * length - settings.memory;  // bytes no longer remembered when inspection begins
    InspectedText text;
    MemoryState<float> state(model.config(), 1, Storage::full, settings.memory);
    Progress bar("read", all);
    for (Index d = 0; d <= last_document; ++d) {
        const std::vector<std::int32_t> tokens = byte_tokens(element(documents, d).text);
        text.documents.push_back(element(documents, d).name);
        for (Index first = 0; first < read_of(d); first += length) {
            stop_if_interrupted("nothing is lost but time");
            const Index count = std::min(length, read_of(d) - first), position = length_of(text.tokens);
            const std::vector<std::int32_t> bytes(tokens.begin() + first, tokens.begin() + first + count);
            text.tokens.insert(text.tokens.end(), bytes.begin(), bytes.end());
            if (position + count <= skipped) continue;
            const Tokens window = token_row(bytes);
            if (d == last_document && first + settings.windows * length >= read_of(d)) {
                const auto queries = inspect_window(model, model.config().last_memory_layer(), window, state, settings.top_k);
                const Index remembered = std::min(position, settings.memory);
                const double own =
                    static_cast<double>(std::min(first, remembered)) / static_cast<double>(std::max<Index>(remembered, 1));
                for (Index t = 0; t < count; ++t) text.bytes.push_back({position + t, own, element(queries, t)});
            }
            read_window(model, window, state, {.top_k = settings.top_k, .document = d});
            bar.update(position + count);
        }
    }
    return text;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "What does a memory layer look at, token by token?");
    TextSettings settings;
    InspectionSettings inspection;
    add_text_options(example, settings, {12, 1000, 4000}, {4, 16, 32});
    example.option("--text", inspection.text, "FILE or DIR[:GLOB] to read; empty: the test documents of the corpus");
    example.option("--checkpoint", inspection.checkpoint, "read with this model instead of training one");
    example.option("--windows", inspection.windows, "windows that are inspected, at the end of the last document", 1);
    example.option("--memory", inspection.memory, {4096, 65536, 65536}, "tokens that are remembered", 1);
    example.option("--top-k", inspection.top_k, "retrieved entries per query and head", 1);
    example.parse();

    if (!inspection.checkpoint.empty()) example.require_not_given(training_options(), "--checkpoint names a model that is trained");
    std::vector<Document> documents = documents_to_read(inspection, settings);
    if (example.scale() == Scale::quick && documents.size() > 2) documents.resize(2);
    Index bytes = 0;
    for (const Document& document : documents) bytes += length_of(document.text);
    require<DataError>(bytes > settings.length, "inspect_memory: the text has ", bytes, " bytes, expected more than a window of ",
                       settings.length);
    const LanguageModelRecipe recipe{.name = message("crossbatch_", settings.contexts),
                                     .kind = LanguageModelKind::crossbatch,
                                     .contexts = doubled_contexts(settings.contexts, settings.steps)};
    Transformer<float> model =
        inspection.checkpoint.empty()
            ? trained_text_model(example, settings, recipe, byte_documents(load_split(settings).train), example.seed())
            : stored_text_model(inspection.checkpoint, settings);
    const InspectedText text = read_and_inspect(model, documents, settings.length, inspection);

    struct Mean {
        double entries = 0, mass = 0, knn = 0, focus = 0;
    } found[2];  // where the best entry is of another document, and of its own
    double chance = 0;
    for (const InspectedByte& byte : text.bytes)
        for (const InspectedQuery& query : byte.heads) {
            if (query.found.empty()) continue;
            Mean& mean = found[query.found[0].document + 1 == length_of(text.documents)];
            ++mean.entries;
            mean.mass += query.memory_mass;
            mean.knn += query.found[0].knn_score;
            mean.focus += query.focus_score;
            chance += byte.own_share;
        }
    const double count = found[0].entries + found[1].entries;
    require<DataError>(count > 0, "inspect_memory: nothing was in the memory before the inspected windows; the text has ",
                       text.tokens.size(), " bytes, expected more than ", inspection.windows, " windows of ", settings.length);
    Table means({"best entry", "how often", "by chance", "to memory", "kNN score", "Focus score"});
    for (const int own : {1, 0}) {
        const Mean& mean = found[own];
        means.add(own ? "of this document" : "of another", fixed(mean.entries / count, 2),
                  fixed(own ? chance / count : 1 - chance / count, 2), fixed(mean.mass / mean.entries, 2),
                  fixed(mean.knn / mean.entries, 2), fixed(mean.focus / mean.entries, 2));
    }
    example.show(message("The end of ", text.documents.back(), ", after ", count_text(length_of(text.tokens)), " bytes of ",
                         documents.size(), " documents: means"),
                 means);
    write_text_file(example.output() / "memory.html", memory_page(text, settings.length));
    example.file("memory.html");
    example.result("memory_mass", (found[0].mass + found[1].mass) / count);
    example.result("own_document", found[1].entries / count);
    example.result("own_document_by_chance", chance / count);
    example.result("own_document_by_mass", found[1].mass / (found[0].mass + found[1].mass));
    example.result("knn_score", (found[0].knn + found[1].knn) / count);
    example.result("focus_score", (found[0].focus + found[1].focus) / count);
    return example.finish();
} catch (...) {
    return report_failure();
}
