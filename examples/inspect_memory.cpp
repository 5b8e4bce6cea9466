/// What does a memory layer look at, token by token?   (claim C13)
///
/// Documents are read one after another into one memory. For each byte at the end of the last one we list what every head
/// retrieved: from which document, how far back, with which share of the attention (kNN score), and whether the key stands out
/// among its neighbours in the memory (Focus score). The table on the screen has the best entry; the page in --output shows the
/// text, coloured by where the attention goes, and all that was retrieved for the byte under the mouse.
///
/// Data:    --text FILE or DIR[:GLOB], one file one document, the last one by name is inspected; if not given the test documents of
///          --corpus, which a model of --checkpoint has not been trained on.
/// Model:   --checkpoint FILE of any program here that trains on text; trained by crossbatch if not given.
/// Time:    not timed yet at default size; --quick: seconds. A remembered token takes a kilobyte.
/// Command: build/release/examples/inspect_memory
/// Expect:  names and phrases of the document are found where they stood before: the best entry is of the own document more often
///          than its share of the memory, the more so the more attention goes to the memory.
#include <nlohmann/json.hpp>

#include "fot/measure/memory_inspection.hpp"
#include "fot/files/replacing_file.hpp"
#include "support/text_experiment.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct InspectionSettings {
    std::string text, checkpoint;
    Index windows = 1, memory = 65536, top_k = 32, shown = 8;
};

/// All that was read, in order.
struct Stream {
    std::vector<std::int32_t> tokens;
    std::vector<std::string> documents;

    /// The bytes first ... last-1 that there are, line ends and what is no printable ASCII as dots.
    std::string words(Index first, Index last) const {
        std::string text;
        for (Index i = std::max<Index>(first, 0); i < std::min(last, static_cast<Index>(tokens.size())); ++i) {
            const auto byte = tokens[static_cast<std::size_t>(i)];
            text += byte >= 32 && byte < 127 ? static_cast<char>(byte) : '.';
        }
        return text;
    }
};

/// A byte of the inspected text and what each head found.
struct InspectedByte {
    Index position;
    double own_share;  ///< of the memory that is of the inspected document: how often its entries would be found by chance
    std::vector<InspectedQuery> heads;
};

std::vector<Document> documents_to_read(const InspectionSettings& inspection, const TextSettings& settings) {
    if (inspection.text.empty()) {
        std::optional<CorpusSplit> split;
        if (!inspection.checkpoint.empty()) split = split_of_training(inspection.checkpoint, settings);
        return split ? std::move(split->test) : load_split(settings).test;
    }
    if (std::filesystem::is_regular_file(inspection.text)) return {{inspection.text, read_text(inspection.text)}};
    return load_corpus(inspection.text);
}

/// Reads the documents; the last whole windows of the last document are inspected before they are remembered. Windows that would
/// have left the memory by then are skipped: they count as bytes of the stream, but are not read. (What the layers below the memory
/// layer compute depends on no other window.)
std::vector<InspectedByte> read_and_inspect(Transformer<float>& model, const std::vector<Document>& documents, Index length,
                                            const InspectionSettings& settings, Stream& stream) {
    const auto size_of = [&](const Document& document) { return static_cast<Index>(document.text.size()); };
    // The rest of the last document behind its last whole window is left out.
    const Index last_size = size_of(documents.back()), last_read = last_size < length ? last_size : last_size / length * length;
    Index all = last_read;
    for (std::size_t d = 0; d + 1 < documents.size(); ++d) all += size_of(documents[d]);
    const Index skipped = all - settings.windows * length - settings.memory;  // bytes no longer remembered when inspection begins
    std::vector<InspectedByte> inspected;
    MemoryState<float> state(model.config(), 1, Storage::full, settings.memory);
    examples::Progress bar("read", all);
    for (std::size_t d = 0; d < documents.size(); ++d) {
        const std::vector<std::int32_t> tokens = byte_tokens(documents[d].text);
        const bool last = d + 1 == documents.size();
        const Index size = last ? last_read : size_of(documents[d]), windows = (size + length - 1) / length;
        stream.documents.push_back(documents[d].name);
        for (Index w = 0; w < windows; ++w) {
            stop_if_interrupted("nothing is lost but time");
            const Index first = w * length, count = std::min(length, size - first),
                        position = static_cast<Index>(stream.tokens.size());
            stream.tokens.insert(stream.tokens.end(), tokens.begin() + first, tokens.begin() + first + count);
            if (position + count <= skipped) continue;
            const Tokens window = token_row({tokens.data() + first, static_cast<std::size_t>(count)});
            if (last && w >= windows - settings.windows) {
                const auto queries = inspect_window(model, model.config().last_memory_layer(), window, state, settings.top_k);
                const Index remembered = std::min(position, settings.memory);
                const double own =
                    static_cast<double>(std::min(first, remembered)) / static_cast<double>(std::max<Index>(remembered, 1));
                for (Index t = 0; t < count; ++t) inspected.push_back({position + t, own, queries[static_cast<std::size_t>(t)]});
            }
            read_window(model, window, state, {.top_k = settings.top_k, .document = static_cast<Index>(d)});
            bar.update(position + count);
        }
    }
    return inspected;
}

/// Where an entry stands in the stream.
Index place_of(const InspectedByte& byte, const InspectedEntry& entry) { return byte.position - entry.tokens_ago; }

/// The page: the text and its retrieved entries as data, and a few lines of script that show them.
std::string page(const std::vector<InspectedByte>& inspected, const Stream& stream, Index shown) {
    nlohmann::json bytes = nlohmann::json::array();
    const Index own = static_cast<Index>(stream.documents.size()) - 1;
    for (const InspectedByte& byte : inspected) {
        nlohmann::json heads = nlohmann::json::array();
        for (const InspectedQuery& query : byte.heads) {
            nlohmann::json found = nlohmann::json::array();
            for (std::size_t i = 0; i < query.found.size() && i < static_cast<std::size_t>(shown); ++i) {
                const InspectedEntry& entry = query.found[i];
                const Index at = place_of(byte, entry);
                found.push_back({{"document", stream.documents[static_cast<std::size_t>(entry.document)]},
                                 {"own", entry.document == own},
                                 {"ago", entry.tokens_ago},
                                 {"knn", entry.knn_score},
                                 {"before", stream.words(at - 40, at)},
                                 {"key", stream.words(at, at + 1)},
                                 {"after", stream.words(at + 1, at + 25)}});
            }
            heads.push_back({{"mass", query.memory_mass}, {"focus", query.focus_score}, {"found", found}});
        }
        const auto value = stream.tokens[static_cast<std::size_t>(byte.position)];
        bytes.push_back({{"text", value == '\n' ? "\n" : stream.words(byte.position, byte.position + 1)}, {"heads", heads}});
    }
    std::string data = bytes.dump();
    for (std::size_t at = 0; (at = data.find('<', at)) != std::string::npos;) data.replace(at, 1, "\\u003c");  // no </script> in it
    return message(R"(<!doctype html>
<html lang="en"><meta charset="utf-8"><title>What the memory layer looks at</title>
<style>
body { font: 15px/1.5 sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; color: #222 }
#text { font: 14px/1.6 monospace; white-space: pre-wrap; border: 1px solid #ccc; padding: 1em }
#text span { cursor: default } #text span.chosen { outline: 2px solid #222 }
table { border-collapse: collapse; font-size: 13px } td, th { padding: .15em .7em; text-align: left }
td.number { text-align: right } code b { background: #fd6 }
</style>
<h1>What the memory layer looks at</h1>
<p>Green: the best retrieved entry is of the same document; red: of another one. The stronger the colour, the more of the
attention goes to the memory rather than to the text just before. Point at a byte to see what it retrieved.</p>
<div id="text"></div><div id="found"></div>
<script>
const bytes = )",
                   data, R"(;
const element = (name, text) => { const e = document.createElement(name); if (text !== undefined) e.textContent = text; return e; };
const area = document.getElementById("text"), found = document.getElementById("found");
let chosen = null;
function show(span, byte) {
  if (chosen) chosen.className = "";
  (chosen = span).className = "chosen";
  found.replaceChildren();
  byte.heads.forEach((head, h) => {
    found.append(element("h3", `head ${h}: ${(100 * head.mass).toFixed(0)} % of the attention to the memory, Focus score ${head.focus.toFixed(2)}`));
    const table = element("table"), top = element("tr");
    for (const name of ["kNN score", "bytes ago", "document", "text there"]) top.append(element("th", name));
    table.append(top);
    for (const entry of head.found) {
      const row = element("tr"), share = element("td", entry.knn.toFixed(3)), ago = element("td", entry.ago), text = element("td"), code = element("code");
      share.className = ago.className = "number";
      code.append(entry.before, element("b", entry.key), entry.after);
      text.append(code);
      row.append(share, ago, element("td", entry.document), text);
      row.style.background = entry.own ? "#e4f5e4" : "#fbe4e4";
      table.append(row);
    }
    found.append(table);
  });
}
for (const byte of bytes) {
  const span = element("span", byte.text), head = byte.heads[0];
  if (head.found.length) span.style.background = `rgba(${head.found[0].own ? "0,150,0" : "200,0,0"},${(0.7 * head.mass).toFixed(2)})`;
  span.onmouseover = () => show(span, byte);
  area.append(span);
}
</script></html>
)");
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(argc, argv, "What does a memory layer look at, token by token?", [](Example& example) {
        TextSettings settings;
        InspectionSettings inspection;
        add_text_options(example, settings, {12, 1000, 4000}, {4, 16, 32});
        example.option("--text", inspection.text, "FILE or DIR[:GLOB] to read; empty: the test documents of the corpus");
        example.option("--checkpoint", inspection.checkpoint, "read with this model instead of training one");
        example.option("--windows", inspection.windows, "windows that are inspected, at the end of the last document", 1);
        example.option("--memory", inspection.memory, Scaled<Index>{4096, 65536, 65536}, "tokens that are remembered", 1);
        example.option("--top-k", inspection.top_k, "retrieved entries per query and head", 1);
        example.option("--shown", inspection.shown, "of them on the page", 1);
        example.parse();

        std::vector<Document> documents = documents_to_read(inspection, settings);
        if (example.scale() == Scale::quick && documents.size() > 2) documents.resize(2);
        const std::vector<TrainingPlan> plans = plans_of({{.name = message("crossbatch_", settings.contexts),
                                                           .kind = LanguageModelKind::crossbatch,
                                                           .contexts = doubled_contexts(settings.contexts, settings.steps)}},
                                                         settings.steps);
        Transformer<float> model = inspection.checkpoint.empty() ? trained_text_model(example, settings, plans.front(),
                                                                                      byte_documents(load_split(settings).train),
                                                                                      static_cast<std::uint64_t>(example.seed()))
                                                                 : stored_text_model(inspection.checkpoint, settings);
        Stream stream;
        const std::vector<InspectedByte> inspected = read_and_inspect(model, documents, settings.length, inspection, stream);

        Table table(
            {"byte", "head", "to memory", "kNN score", "Focus score", "bytes ago", "document", "what stood there, [byte], then"});
        struct Mean {
            double entries = 0, mass = 0, knn = 0, focus = 0;
        } found[2];  // where the best entry is of another document, and of the own one
        double chance = 0;
        for (const InspectedByte& byte : inspected)
            for (std::size_t h = 0; h < byte.heads.size(); ++h) {
                const InspectedQuery& query = byte.heads[h];
                if (query.found.empty()) continue;
                const InspectedEntry& best = query.found[0];
                const Index at = place_of(byte, best);
                table.add(message("'", stream.words(byte.position, byte.position + 1), "'"), h, fixed(query.memory_mass, 2),
                          fixed(best.knn_score, 2), fixed(query.focus_score, 2), best.tokens_ago,
                          stream.documents[static_cast<std::size_t>(best.document)],
                          message(stream.words(at - 20, at), "[", stream.words(at, at + 1), "]", stream.words(at + 1, at + 12)));
                Mean& mean = found[best.document + 1 == static_cast<Index>(stream.documents.size())];
                ++mean.entries;
                mean.mass += query.memory_mass;
                mean.knn += best.knn_score;
                mean.focus += query.focus_score;
                chance += byte.own_share;
            }
        const double count = found[0].entries + found[1].entries;
        require<DataError>(count > 0, "inspect_memory: nothing was in the memory before the inspected windows; the text has ",
                           stream.tokens.size(), " bytes, expected more than ", inspection.windows, " windows of ",
                           settings.length);
        example.out() << "\nThe end of " << stream.documents.back() << ", after "
                      << count_text(static_cast<Index>(stream.tokens.size())) << " bytes of " << documents.size()
                      << " documents; the best entry of each head\n\n"
                      << table;
        Table means({"best entry", "how often", "by chance", "to memory", "kNN score", "Focus score"});
        for (const int own : {1, 0}) {
            const Mean& mean = found[own];
            means.add(own ? "of this document" : "of another", fixed(mean.entries / count, 2),
                      fixed(own ? chance / count : 1 - chance / count, 2), fixed(mean.mass / mean.entries, 2),
                      fixed(mean.knn / mean.entries, 2), fixed(mean.focus / mean.entries, 2));
        }
        example.out() << "\n" << means;
        write_text_file(example.output() / "memory.html", page(inspected, stream, inspection.shown));
        example.report().file("memory.html");
        example.report().result("memory_mass", (found[0].mass + found[1].mass) / count);
        example.report().result("own_document", found[1].entries / count);
        example.report().result("own_document_by_chance", chance / count);
        example.report().result("own_document_by_mass", found[1].mass / (found[0].mass + found[1].mass));
        example.report().result("knn_score", (found[0].knn + found[1].knn) / count);
        example.report().result("focus_score", (found[0].focus + found[1].focus) / count);
    });
}
