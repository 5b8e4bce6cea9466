/// Which documents do the text programs train on, and which do they measure?
///
/// Prints for each document of a corpus its part (train, validation or test), its size in bytes, and a hash of its name and text.
/// Of documents that are dropped, because they are too similar to one of an earlier part, it prints the name. The split is the same
/// for every seed. Documents below 20000 bytes are in no part; the last line counts them. (fine_tune_existing_model has a split of
/// its own, of all documents of 300 bytes or more.)
///
/// Why: the headers of g++ change with its version, so a table about them must say which documents it was measured on. `result
/// train` is the hash of all training documents together, which a kept model names too (support/held_out_text.hpp).
///
/// Time:    under a second.
/// Command: build/release/examples/list_documents --corpus libstdcxx
/// Expect:  documents.csv, and `result train`, `validation`, `test`: hashes that are equal where the documents are.
#include "support/held_out_text.hpp"

using namespace fot;
using namespace fot::examples;

int main(int argc, char** argv) try {
    Example example(argc, argv, "Which documents do the text programs train on, and which do they measure?");
    TextSettings settings;
    example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB], one file one document");
    example.parse();

    const CorpusSplit split = load_split(settings);
    Table table({"part", "document", "bytes", "hash"}), totals({"part", "documents", "bytes"});
    const auto list = [&](const std::string& part, const std::vector<Document>& documents) {
        Index bytes = 0;
        for (const TokenDocument& document : byte_documents(documents)) {
            table.add(part, document.source, document.length(), fingerprint({document}));
            bytes += document.length();
        }
        totals.add(part, documents.size(), bytes);
        example.result(part, fingerprint(byte_documents(documents)));
    };
    list("train", split.train);
    list("validation", split.validation);
    list("test", split.test);
    for (const std::string& name : split.dropped) table.add("dropped", name, "", "");
    example.show("Documents of " + settings.corpus, table);
    example.show("In all", totals);
    example.out() << "\nToo short for any part: " << short_documents(load_corpus(settings.corpus)).size() << " documents below "
                  << shortest_document << " bytes\n";
    example.csv("documents", table);
    return example.finish();
} catch (...) {
    return report_failure();
}
