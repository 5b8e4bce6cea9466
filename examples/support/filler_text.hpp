/// The text of a corpus in which something is hidden.
///
/// Read first: fot/data/named_passkeys.hpp, support/held_out_text.hpp.   Read next: passkey_in_text.cpp, two_hops.cpp.
#pragma once

#include "example.hpp"
#include "fot/data/named_passkeys.hpp"
#include "fot/data/split.hpp"
#include "named_corpus.hpp"

namespace fot::examples {

/// The documents of these corpora, one corpus after another; of none: all of a split, those first that were not trained on.
inline std::vector<Document> filler_documents(const CorpusSplit& split, const std::vector<std::string>& corpora) {
    std::vector<Document> documents;
    for (const std::string& corpus : corpora) std::ranges::move(load_corpus(corpus), std::back_inserter(documents));
    if (corpora.empty())
        for (const std::vector<Document>* part : {&split.test, &split.validation, &split.train})
            documents.insert(documents.end(), part->begin(), part->end());
    return documents;
}

/// The first `bytes` bytes of documents one after another (running_text). The program prints how often the documents come.
inline std::string filler_text(Example& example, const std::vector<Document>& documents, Index bytes) {
    Index corpus_bytes = 0;
    for (const Document& document : documents) corpus_bytes += length_of(document.text);
    example.out() << "Filler of the longest prompt: " << bytes << " bytes of a corpus of " << corpus_bytes << ", which comes "
                  << (bytes + corpus_bytes - 1) / corpus_bytes << " times\n";
    return running_text(documents, bytes);
}

}  // namespace fot::examples
